//! What was sent, as one JSON object.

use std::fmt;

/// Totals of the senders.
#[derive(Default)]
pub struct Sent {
    /// Bytes handed to the kernel.
    pub bytes: u64,
    /// Events handed to the kernel, per connection.
    pub per_connection: Vec<u64>,
}

/// The totals and what they cost.
pub struct Report {
    /// What was sent.
    pub sent: Sent,
    /// `CLOCK_MONOTONIC` before the first connection was opened.
    pub started_ns: u64,
    /// `CLOCK_MONOTONIC` after the last byte was handed over.
    pub ended_ns: u64,
    /// CPU time of the generator in between.
    pub cpu_seconds: f64,
}

impl fmt::Display for Report {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            out,
            r#"{{"events":{},"bytes":{},"seconds":{},"cpu_seconds":{},"started_ns":{},"ended_ns":{},"per_connection":{:?}}}"#,
            self.sent.per_connection.iter().sum::<u64>(),
            self.sent.bytes,
            (self.ended_ns - self.started_ns) as f64 / 1e9,
            self.cpu_seconds,
            self.started_ns,
            self.ended_ns,
            self.sent.per_connection,
        )
    }
}
