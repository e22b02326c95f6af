//! When how many events had been handed to the kernel.

use std::io::{self, Write};

use crate::clock;

/// Finer samples would cost more than they tell. What follows a sample this closely is counted to
/// it, so an event is never said to have been sent later than it was.
const INTERVAL_NS: u64 = 100_000;

/// Samples of (monotonic nanoseconds, events so far).
pub struct Timeline {
    samples: Vec<(u64, u64)>,
}

impl Timeline {
    /// A timeline without samples.
    pub fn new() -> Self {
        Self { samples: Vec::new() }
    }

    /// Notes that so many events have been sent by now.
    pub fn sample(&mut self, events: u64) {
        let now = clock::monotonic_ns();
        match self.samples.last_mut() {
            Some((time_ns, so_far)) if now < *time_ns + INTERVAL_NS => *so_far = events,
            _ => self.samples.push((now, events)),
        }
    }

    /// Writes one line of two numbers per sample.
    pub fn write(&self, mut out: impl Write) -> io::Result<()> {
        for (time_ns, events) in &self.samples {
            writeln!(out, "{time_ns} {events}")?;
        }
        out.flush()
    }
}
