//! The seam: the only module, with `lib.rs`, that knows Python. What crosses here crosses
//! once per batch, never once per event.

// Arguments from Python are converted into owned values; taking them by value is the rule here.
#![allow(clippy::needless_pass_by_value)]

use pyo3::exceptions::{PyOSError, PyRuntimeError, PyValueError};
use pyo3::prelude::*;

use crate::error::Error;

mod arena;
mod holder;
mod journal;
mod pipeline;
mod region;
mod shard;
mod sources;

pub use arena::PyArena;
pub use holder::PyHolder;
pub use journal::{PyBatch, PyJournalReader, PySegmentReport};
pub use pipeline::{PyDeadLetters, PyHandoff, PySegment};
pub use region::{PyLedger, PyMetric, PyRegion};
pub use shard::{PyFound, PyShard};
pub use sources::PySources;

impl From<Error> for PyErr {
    fn from(error: Error) -> Self {
        let text = error.to_string();
        match error {
            // With errno as first argument Python picks FileNotFoundError, PermissionError, ….
            Error::Io { source, .. } => match source.raw_os_error() {
                Some(number) => PyOSError::new_err((number, text)),
                None => PyOSError::new_err(text),
            },
            Error::Invalid(_) | Error::Layout(_) => PyValueError::new_err(text),
            Error::Damaged { .. } => PyRuntimeError::new_err(text),
        }
    }
}

/// Adds everything that Python sees to the module.
pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add("__version__", env!("CARGO_PKG_VERSION"))?;
    arena::register(module)?;
    holder::register(module)?;
    journal::register(module)?;
    pipeline::register(module)?;
    region::register(module)?;
    sources::register(module)?;
    shard::register(module)
}
