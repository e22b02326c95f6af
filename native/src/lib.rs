//! The once-per-event half of `fapilog-ingest`.
//!
//! # Layout (the order is the data flow)
//! - [`receive`]: sockets to bytes, through an epoll set of its own
//! - [`frame`]: bytes to lines
//! - [`decode`]: lines to canonical events, or a [`reject::Reject`]
//! - [`journal`]: events to durable Zstandard segments, and back
//! - [`counters`]: the shared region that accounts for every event
//! - [`shard`]: the composition of the above for one worker
//! - [`py`]: the only module, with this file, that knows Python

pub mod decode;
pub mod error;
pub mod journal;
pub mod reject;
