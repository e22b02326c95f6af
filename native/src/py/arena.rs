//! `Arena` for Python: the supervisor makes the memory of each slot, the worker maps it.

use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::sync::Arc;

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

use crate::receive::arena::Arena;

enum Memory {
    /// Made for others.
    Made(OwnedFd),
    Mapped(Arc<Arena>),
}

/// The memory of one worker slot.
#[pyclass(name = "Arena", module = "ingest._native", frozen)]
pub struct PyArena(Memory);

impl PyArena {
    /// The mapped memory.
    ///
    /// # Errors
    /// Where it was made and not attached.
    pub(super) fn mapped(&self) -> PyResult<Arc<Arena>> {
        match &self.0 {
            Memory::Mapped(arena) => Ok(Arc::clone(arena)),
            Memory::Made(_) => Err(PyValueError::new_err("the arena is not attached")),
        }
    }
}

#[pymethods]
impl PyArena {
    #[staticmethod]
    fn create(capacity_bytes: usize) -> PyResult<Self> {
        Ok(Self(Memory::Made(Arena::create(capacity_bytes)?)))
    }

    #[staticmethod]
    fn attach(fileno: RawFd) -> PyResult<Self> {
        Ok(Self(Memory::Mapped(Arc::new(Arena::attach(fileno)?))))
    }

    fn fileno(&self) -> RawFd {
        match &self.0 {
            Memory::Made(descriptor) => descriptor.as_raw_fd(),
            Memory::Mapped(arena) => arena.fileno(),
        }
    }
}

pub(super) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<PyArena>()
}
