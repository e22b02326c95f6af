//! Clients that behave badly, many from one thread and for a bounded time.

mod client;
mod crowd;
mod kind;

pub use crowd::run;
pub use kind::Kind;
