//! What the kernel says of the time of a thread.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::time::Duration;

/// How long a thread worked, and how long it could have but others had the processor.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct ThreadTime {
    pub running: Duration,
    pub runnable: Duration,
}

/// The clock of one thread.
#[derive(Debug)]
pub(super) struct ThreadClock(File);

impl ThreadClock {
    /// That of the calling thread; `None` where the kernel has none. One without
    /// `CONFIG_SCHED_INFO` has, but always reads as zeros.
    pub fn open() -> Option<Self> {
        File::open("/proc/thread-self/schedstat").ok().map(Self)
    }

    pub fn read(&self) -> Option<ThreadTime> {
        let mut text = [0; 64];
        let length = self.0.read_at(&mut text, 0).ok()?;
        parse(std::str::from_utf8(&text[..length]).ok()?)
    }
}

/// Nanoseconds running, nanoseconds runnable and a number of turns.
fn parse(text: &str) -> Option<ThreadTime> {
    let mut numbers = text.split_ascii_whitespace().map(str::parse);
    let mut next = || Some(Duration::from_nanos(numbers.next()?.ok()?));
    Some(ThreadTime { running: next()?, runnable: next()? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_kernel_counted_is_read() {
        let (running, runnable) = (Duration::from_nanos(12), Duration::from_nanos(345));
        assert_eq!(parse("12 345 6\n"), Some(ThreadTime { running, runnable }));
        assert_eq!(parse(""), None);
    }
}
