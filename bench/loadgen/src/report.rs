//! What was sent, as one JSON object.

use std::fmt;
use std::io;

use crate::clock;

/// Streams that the server ended, each counted once, and calls that failed.
#[derive(Default, PartialEq, Eq, Debug, Clone, Copy)]
pub struct Breaks {
    /// Connections that were reset, before or after their last event.
    pub resets: u64,
    /// Connections that the server closed before their last event.
    pub closed: u64,
    /// Connections that failed in another way.
    pub failed: u64,
    /// Connections that the server had not closed when waiting for it ended.
    pub unclosed: u64,
    /// Calls of sendmmsg that failed; what they were given was sent by a later one.
    pub send_errors: u64,
}

impl Breaks {
    /// Counts a stream that ended with an error.
    pub fn count(&mut self, error: &io::Error) {
        match error.kind() {
            io::ErrorKind::ConnectionReset => self.resets += 1,
            // Writing on after the server closed.
            io::ErrorKind::BrokenPipe => self.closed += 1,
            _ => self.failed += 1,
        }
    }

    /// Did every connection live to its last event?
    pub fn none(&self) -> bool {
        Self { send_errors: 0, ..*self } == Self::default()
    }
}

/// When sending began, and how much CPU time had been used.
pub struct Meter {
    started_ns: u64,
    cpu_seconds: f64,
}

/// From the moment when all connections were open to that when the last byte was handed over.
#[derive(Default)]
pub struct Cost {
    /// `CLOCK_MONOTONIC` at the beginning.
    pub started_ns: u64,
    /// `CLOCK_MONOTONIC` at the end.
    pub ended_ns: u64,
    /// CPU time of the generator in between.
    pub cpu_seconds: f64,
}

impl Meter {
    /// Begins now.
    pub fn start() -> Self {
        Self { started_ns: clock::monotonic_ns(), cpu_seconds: clock::cpu_seconds() }
    }

    /// Ends now.
    pub fn stop(&self) -> Cost {
        Cost {
            started_ns: self.started_ns,
            ended_ns: clock::monotonic_ns(),
            cpu_seconds: clock::cpu_seconds() - self.cpu_seconds,
        }
    }
}

/// The totals and what they cost.
pub struct Sent {
    /// The run that the events' identities name.
    pub run: usize,
    /// Bytes handed to the kernel, or to TLS.
    pub bytes: u64,
    /// Events handed over whole, per connection.
    pub per_connection: Vec<u64>,
    /// The connections that the server ended, by their numbers.
    pub broken: Vec<usize>,
    /// What went wrong.
    pub breaks: Breaks,
    /// Time and CPU time.
    pub cost: Cost,
}

impl fmt::Display for Sent {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { run, bytes, per_connection, broken, breaks, cost } = self;
        write!(
            out,
            concat!(
                r#"{{"run":{},"events":{},"bytes":{},"seconds":{},"cpu_seconds":{},"#,
                r#""started_ns":{},"ended_ns":{},"resets":{},"closed":{},"failed":{},"#,
                r#""unclosed":{},"send_errors":{},"per_connection":{:?},"broken":{:?}}}"#,
            ),
            run,
            per_connection.iter().sum::<u64>(),
            bytes,
            (cost.ended_ns - cost.started_ns) as f64 / 1e9,
            cost.cpu_seconds,
            cost.started_ns,
            cost.ended_ns,
            breaks.resets,
            breaks.closed,
            breaks.failed,
            breaks.unclosed,
            breaks.send_errors,
            per_connection,
            broken,
        )
    }
}
