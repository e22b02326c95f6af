//! The stages of fapilog's pipeline that run in Rust, on the raw text of an event.
//!
//! # Layout (the order is the data flow)
//! - [`config`]: what the stages are told
//! - [`runner`]: the composition of all below for consecutive stages
//! - [`rules`], [`paths`], [`fields`], [`patterns`]: where a value stands, and who wants it; decided once
//! - [`tape`]: what of one event is wanted
//! - [`filters`]: which events go on
//! - [`additions`]: what is added to them
//! - [`redact`], [`url`]: what is masked, stripped or cut
//! - [`scrub`]: what may be kept of a line that is no event
//! - [`envelope`], [`size_guard`]: the form in which an event is stored
//! - [`tokens`]: where all values of an event are, for those two
//! - [`python_str`]: how Python writes a JSON scalar, where fapilog compares or shows one

// Positions within an event, and the numbers of places, have 32 bits: the decoder takes no line
// of 2^31 bytes.
#![allow(clippy::cast_possible_truncation)]

mod additions;
pub mod config;
mod envelope;
mod fields;
mod filters;
mod paths;
mod patterns;
mod python_str;
mod redact;
mod rules;
mod runner;
mod scrub;
mod size_guard;
mod tape;
#[cfg(test)]
mod tests;
mod tokens;
mod url;

pub use additions::Origin;
pub use patterns::PythonPatterns;
pub use runner::{Passage, Runner, StageCount};
pub use scrub::Scrubber;
