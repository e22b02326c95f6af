//! Lines to canonical events.
