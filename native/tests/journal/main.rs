//! The promises of the journal, on real files.
#![allow(missing_docs)]

mod errors;
mod reader;
mod recovery;
mod support;
mod writer;
