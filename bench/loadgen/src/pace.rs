//! How many events may have been sent by now.

use std::time::{Duration, Instant};

/// Events fall due in bursts, one per tick: a system call per event would cost too much.
pub const TICK: Duration = Duration::from_millis(1);

/// A constant rate from the moment it was made, or no limit.
pub struct Pace {
    started: Instant,
    rate: Option<f64>,
}

impl Pace {
    /// A pace of `rate` events per second.
    pub fn new(rate: Option<f64>) -> Self {
        Self { started: Instant::now(), rate }
    }

    /// Events that may be sent now, given those that were.
    pub fn owed(&self, sent: u64) -> u64 {
        self.rate.map_or(u64::MAX, |rate| {
            let ticks = self.started.elapsed().div_duration_f64(TICK).floor();
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
            let due = (ticks * TICK.as_secs_f64() * rate) as u64;
            due.saturating_sub(sent)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::Pace;

    #[test]
    fn without_a_rate_everything_is_owed() {
        assert_eq!(Pace::new(None).owed(5), u64::MAX);
    }

    #[test]
    fn what_was_sent_is_no_longer_owed() {
        assert_eq!(Pace::new(Some(1000.0)).owed(1_000_000), 0);
    }
}
