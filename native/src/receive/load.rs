//! How much a sender, or a worker, has to say: bytes per second, smoothed.

use crate::clock;

/// An event counts as so many bytes beside its own: about what it costs, however short it is.
const EVENT_BYTES: u64 = 256;
/// What was measured over this time has as much weight as all that was before.
const MEMORY_SECONDS: f64 = 0.25;

/// A smoothed rate. It can be measured here and there: its clock is that of the machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SmoothedLoad {
    /// What came since `since_ns`.
    pub counted: u64,
    /// `CLOCK_MONOTONIC` of the last measurement.
    pub since_ns: u64,
    /// The rate as of then.
    pub per_second: u64,
}

impl SmoothedLoad {
    /// One that begins now.
    pub fn new() -> Self {
        Self { counted: 0, since_ns: clock::monotonic_ns(), per_second: 0 }
    }

    /// Counts one read.
    pub fn add(&mut self, bytes: usize, events: usize) {
        self.counted += bytes as u64 + EVENT_BYTES * events as u64;
    }

    /// Takes what came up to now into the rate, and gives it.
    #[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    pub fn measure(&mut self, now_ns: u64) -> u64 {
        let seconds = now_ns.saturating_sub(self.since_ns) as f64 / 1e9;
        if seconds > 0.0 {
            let weight = seconds / (seconds + MEMORY_SECONDS);
            let before = self.per_second as f64;
            let now = self.counted as f64 / seconds;
            self.per_second = (before + (now - before) * weight).round() as u64;
            self.counted = 0;
            self.since_ns = now_ns;
        }
        self.per_second
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A steady stream is measured as what it is, however often one looks.
    #[test]
    fn the_rate_of_a_steady_stream_does_not_depend_on_when_it_is_measured() {
        for step_ms in [3u64, 50, 250] {
            let mut load = SmoothedLoad { counted: 0, since_ns: 0, per_second: 0 };
            for round in 1..=5000 / step_ms {
                load.add(usize::try_from(step_ms).unwrap() * 1000, 0);
                load.measure(round * step_ms * 1_000_000);
            }
            assert!(load.per_second.abs_diff(1_000_000) < 20_000, "{step_ms}: {load:?}");
        }
    }
}
