//! The durable journal of one shard: a directory of Zstandard segments.
//!
//! # Layout (the order is the data flow)
//! - [`batch`], [`append`]: events into batches, on the loop's thread
//! - [`queue`], [`writer`]: batches to the writer thread, and its group commits
//! - [`adaptive`]: whether the disk is the limit, so that batches are compressed
//! - [`encode`], [`format`], [`segment`], [`retention`]: batches to bytes in files
//! - [`scan`], [`recovery`], [`cursor`], [`verify`]: bytes in files back to batches
//! - [`care`]: closed segments are sealed and recompressed, damaged ones repaired

mod adaptive;
mod append;
mod batch;
mod care;
mod cursor;
mod directory;
mod encode;
mod format;
mod observer;
mod options;
mod queue;
mod recovery;
mod retention;
mod scan;
mod segment;
mod thread_time;
mod verify;
mod wake;
mod writer;

pub use append::{Closed, Journal};
pub use batch::Batch;
pub use care::{Audit, Cause, Repair, Seal, audit_directory, repair_directory};
pub use cursor::{Cursor, Start, StoredBatch};
pub use observer::{Commit, Observer, Stall, Upkeep};
pub use options::{Compression, Options, Recompress};
pub use recovery::{Cut, Damage, Recovery, events_since, recover};
pub use verify::{Finding, FindingKind, SegmentReport, verify_directory};
