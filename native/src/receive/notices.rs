//! What people should know of: who was refused, and why. Of many with one cause only the first
//! is told at once; the others are counted and told with the next one after a while.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// So long nothing more is told of the same listener and cause.
const QUIET: Duration = Duration::from_secs(60);

/// One thing to log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notice {
    /// Index of the listener in the region.
    pub listener: usize,
    /// The cause, as in the metrics.
    pub cause: &'static str,
    /// Whom it befell.
    pub peer: Option<SocketAddr>,
    /// In words for people.
    pub detail: String,
    /// How many others there were since the last time.
    pub others: u64,
}

#[derive(Debug)]
struct Quiet {
    until: Instant,
    others: u64,
}

/// Notices that wait to be logged: at most one for each listener and cause.
#[derive(Debug, Default)]
pub struct Notices {
    waiting: Vec<Notice>,
    quiet: HashMap<(usize, &'static str), Quiet>,
}

impl Notices {
    /// Notes something; `detail` is only asked where it will be told.
    pub fn add(
        &mut self,
        listener: usize,
        cause: &'static str,
        peer: Option<SocketAddr>,
        detail: impl FnOnce() -> String,
    ) {
        let now = Instant::now();
        let quiet = self.quiet.entry((listener, cause)).or_insert(Quiet { until: now, others: 0 });
        if now < quiet.until {
            quiet.others += 1;
            return;
        }
        let others = std::mem::take(&mut quiet.others);
        quiet.until = now + QUIET;
        self.waiting.push(Notice { listener, cause, peer, detail: detail(), others });
    }

    /// Takes what waits.
    pub fn take(&mut self) -> Vec<Notice> {
        std::mem::take(&mut self.waiting)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A flood with one cause is one notice; another cause is told beside it.
    #[test]
    fn one_notice_for_each_cause() {
        let mut notices = Notices::default();
        for _ in 0..1000 {
            notices.add(0, "denied", None, || "10.0.0.1".into());
        }
        notices.add(1, "denied", None, String::new);
        let told: Vec<_> = notices.take().iter().map(|notice| notice.listener).collect();
        assert_eq!(told, [0, 1]);
        notices.add(0, "denied", None, String::new);
        assert_eq!(notices.take(), []);
    }
}
