//! What becomes of closed segments: a thread of low priority seals each of them into the
//! shard's chain and, if wished, has it take fewer bytes while the machine is idle.
//!
//! It never delays the writer: they share atomics, and a draft that the writer puts in place.
//! Of the directory only `seals.ndjson` and drafts are this thread's, and only while it has the
//! lock of that file, so a successor's writer need not wait for it.

mod audit;
mod chain;
mod digest;
mod idle;
mod keeper;
mod recompress;
mod repair;
mod seal;
mod swap;

pub use audit::{Audit, audit_directory};
pub(super) use audit::{known_missing, sealed_segments};
pub(super) use keeper::{Care, Keeper};
pub use repair::{Repair, repair_directory};
pub use seal::{Cause, Seal};
pub(super) use swap::Swap;
