//! The promises of the journal, on real files.
#![allow(missing_docs, clippy::unwrap_used, clippy::panic)]

mod errors;
mod reader;
mod recovery;
mod support;
mod writer;
