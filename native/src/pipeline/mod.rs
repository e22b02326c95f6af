//! The stages of fapilog's pipeline that run in Rust, on the raw text of an event.
//!
//! # Layout (the order is the data flow)
//! - [`config`]: what the stages are told
//! - [`filters`]: which events go on
//! - [`url`]: one string without the credentials in it
//! - [`envelope`], [`size_guard`]: the form in which an event is stored
//! - [`tokens`], [`json_string`]: where the values of an event are, and how a string is written
//! - [`python_str`]: how Python writes a JSON scalar, where fapilog compares or shows one

pub mod config;
pub mod envelope;
pub mod filters;
pub mod json_string;
pub mod python_str;
pub mod size_guard;
pub mod tokens;
pub mod url;
