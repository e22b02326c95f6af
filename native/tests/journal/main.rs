//! The promises of the journal, on real files.
#![allow(missing_docs, clippy::unwrap_used, clippy::panic)]

mod damage;
mod errors;
mod reader;
mod recompression;
mod recovery;
mod seals;
mod support;
mod writer;
