//! The once-per-event half of `fapilog-ingest`.
//!
//! # Layout (the order is the data flow)
//! - [`receive`]: sockets to bytes, through an epoll set of its own
//! - [`frame`]: bytes to frames, which are lines, counted octets or datagrams
//! - [`syslog`]: syslog messages to lines of JSON
//! - [`decode`]: lines to canonical events, or a [`reject::Reject`]
//! - [`pipeline`]: the stages between an event and its storage
//! - [`journal`]: events to durable Zstandard segments, and back
//! - [`counters`]: the shared region that accounts for every event
//! - [`shard`]: the composition of the above for one worker
//! - [`py`]: the only module, with this file, that knows Python

pub mod clock;
pub mod counters;
pub mod dead_letter;
pub mod decode;
pub mod error;
pub mod frame;
pub mod journal;
pub mod pipeline;
#[cfg(feature = "python")]
pub mod py;
pub mod receive;
pub mod reject;
pub mod shard;
pub mod syslog;
mod text;
mod words;

/// The Python module `ingest._native`.
#[cfg(feature = "python")]
#[pyo3::pymodule(gil_used = true)]
fn _native(module: &pyo3::Bound<'_, pyo3::types::PyModule>) -> pyo3::PyResult<()> {
    py::register(module)
}
