//! Whether batches are compressed: while the disk is the limit, and as long as that helps.
//!
//! The writer's thread can tell: it waits neither for batches nor for a processor, so it waits for
//! the disk. What it can not tell is what compression would bring, so it tries, and looks whether
//! more became durable. Where the kernel does not say how threads wait, nothing is compressed.

use std::time::{Duration, Instant};

use super::thread_time::{ThreadClock, ThreadTime};

/// From step to step of these levels, the next one with more work for the processor.
const LEVELS: [Option<i32>; 3] = [None, Some(-5), Some(1)];
/// A decision is made after the first sync behind so long a time.
const WINDOW: Duration = Duration::from_millis(500);
/// The disk is the limit if the thread waits for it for such a share of the time.
const LIMITED: f64 = 0.6;
/// It keeps up if it would for such a share with what is compressed stored as it is.
const KEEPS_UP: f64 = 0.5;
/// Nor was it the limit if the queue was not half full for so many windows.
const CALM: u32 = 120;
/// A step is kept if so much more becomes durable.
const GAIN: f64 = 1.1;
/// After a step that brought nothing it waits for so many windows, twice as many every time.
const PATIENCE: u32 = 4;
const PATIENCE_MAXIMUM: u32 = 128;

/// What happened between two decisions.
#[derive(Debug, Clone, Copy)]
struct Window {
    /// Bytes of lines made durable in a second.
    speed: f64,
    /// The share of the time for which the thread waited for the disk.
    blocked: f64,
    /// How many times smaller the lines are in the file.
    ratio: f64,
    /// Half of the queue waited for the disk, so senders did or were about to.
    is_full: bool,
}

/// Goes up and down the levels.
#[derive(Debug)]
struct Ladder {
    step: usize,
    /// The speed before the last step, until that is judged.
    speed_before: Option<f64>,
    /// For how many windows no step is tried.
    rest: u32,
    patience: u32,
    /// Windows since the queue was half full.
    calm: u32,
}

impl Ladder {
    fn new() -> Self {
        Self { step: 0, speed_before: None, rest: 0, patience: PATIENCE, calm: 0 }
    }

    fn level(&self) -> Option<i32> {
        LEVELS[self.step]
    }

    fn judge(&mut self, window: &Window) {
        let speed_before = self.speed_before.take();
        self.calm = if window.is_full { 0 } else { self.calm + 1 };
        let keeps_up = window.blocked * window.ratio < KEEPS_UP || self.calm >= CALM;
        if self.step > 0 && keeps_up {
            *self = Self::new();
            return;
        }
        if let Some(speed_before) = speed_before {
            if window.speed < speed_before * GAIN {
                self.step -= 1;
                self.rest = self.patience;
                self.patience = (self.patience * 2).min(PATIENCE_MAXIMUM);
                return;
            }
            self.patience = PATIENCE;
        }
        if self.rest > 0 {
            self.rest -= 1;
        } else if window.is_full && window.blocked >= LIMITED && self.step + 1 < LEVELS.len() {
            self.speed_before = Some(window.speed);
            self.step += 1;
        }
    }
}

/// Watches the writer's thread, on it.
#[derive(Debug)]
pub(super) struct Adaptive {
    clock: ThreadClock,
    ladder: Ladder,
    /// The window began then, at a moment without anything written and not synced.
    started: Instant,
    time: ThreadTime,
    idle: Duration,
    lines: u64,
    stored: u64,
    is_full: bool,
}

impl Adaptive {
    /// For the calling thread; `None` where the kernel does not say what that waits for.
    pub fn start() -> Option<Self> {
        let clock = ThreadClock::open()?;
        let time = clock.read()?;
        Some(Self {
            clock,
            ladder: Ladder::new(),
            started: Instant::now(),
            time,
            idle: Duration::ZERO,
            lines: 0,
            stored: 0,
            is_full: false,
        })
    }

    /// The Zstandard level of what comes; `None`: it is stored as it is.
    pub fn level(&self) -> Option<i32> {
        self.ladder.level()
    }

    /// Nothing was there to write since `since`.
    pub fn waited(&mut self, since: Instant) {
        self.idle += since.elapsed();
    }

    /// What was written is durable: bytes of lines and of the file. `is_full`: half of the queue
    /// has waited for that. Returns whether to go on at another level.
    pub fn synced(&mut self, lines: usize, stored: u64, is_full: bool) -> bool {
        self.lines += lines as u64;
        self.stored += stored;
        self.is_full |= is_full;
        let elapsed = self.started.elapsed();
        if elapsed < WINDOW {
            return false;
        }
        let level = self.ladder.level();
        if let Some(window) = self.window(elapsed) {
            self.ladder.judge(&window);
        }
        self.restart();
        self.ladder.level() != level
    }

    /// Forget the window: what failed says nothing about speed.
    pub fn restart(&mut self) {
        self.started = Instant::now();
        self.time = self.clock.read().unwrap_or(self.time);
        (self.idle, self.lines, self.stored, self.is_full) = (Duration::ZERO, 0, 0, false);
    }

    #[allow(clippy::cast_precision_loss, reason = "shares and speeds")]
    fn window(&self, elapsed: Duration) -> Option<Window> {
        let time = self.clock.read()?;
        if time.running == self.time.running {
            return None; // of a thread that has worked: the kernel does not count
        }
        let before = self.time.running + self.time.runnable;
        let busy = (time.running + time.runnable).saturating_sub(before);
        let blocked = elapsed.saturating_sub(busy).saturating_sub(self.idle);
        Some(Window {
            speed: self.lines as f64 / elapsed.as_secs_f64(),
            blocked: blocked.as_secs_f64() / elapsed.as_secs_f64(),
            ratio: self.lines as f64 / self.stored.max(1) as f64,
            is_full: self.is_full,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Window = Window { speed: 100.0, blocked: 0.9, ratio: 1.0, is_full: true };

    #[test]
    fn a_disk_that_is_no_limit_gets_lines_as_they_are() {
        let mut ladder = Ladder::new();
        for window in [
            Window { blocked: 0.5, ..LIMIT },
            Window { is_full: false, ..LIMIT },
            Window { speed: 0.0, blocked: 0.0, ..LIMIT },
        ] {
            ladder.judge(&window);
            assert_eq!(ladder.level(), None);
        }
    }

    #[test]
    fn a_disk_that_is_the_limit_gets_the_level_that_makes_most_of_it() {
        let mut ladder = Ladder::new();
        ladder.judge(&LIMIT);
        assert_eq!(ladder.level(), Some(-5));
        ladder.judge(&Window { speed: 300.0, ratio: 3.0, ..LIMIT });
        assert_eq!(ladder.level(), Some(1));
        // Here the processor would be the limit.
        ladder.judge(&Window { speed: 280.0, ratio: 4.0, ..LIMIT });
        assert_eq!(ladder.level(), Some(-5));
        // Fewer lines, with which the disk would just keep up: not yet.
        ladder.judge(&Window { speed: 90.0, blocked: 0.2, ratio: 3.0, is_full: false });
        assert_eq!(ladder.level(), Some(-5));
        ladder.judge(&Window { speed: 50.0, blocked: 0.1, ratio: 3.0, is_full: false });
        assert_eq!(ladder.level(), None);
    }

    #[test]
    fn a_disk_that_is_busy_without_delaying_anybody_gets_lines_as_they_are_after_a_while() {
        let mut ladder = Ladder::new();
        ladder.judge(&LIMIT);
        let calm = Window { is_full: false, speed: 200.0, ratio: 3.0, ..LIMIT };
        for _ in 1..CALM {
            ladder.judge(&calm);
            assert_eq!(ladder.level(), Some(-5));
        }
        ladder.judge(&calm);
        assert_eq!(ladder.level(), None);
    }

    #[test]
    fn what_does_not_help_is_tried_more_and_more_seldom() {
        let mut ladder = Ladder::new();
        let tried = (0..1000)
            .filter(|_| {
                ladder.judge(&LIMIT);
                ladder.level().is_some()
            })
            .count();
        assert_eq!((tried, ladder.patience), (12, PATIENCE_MAXIMUM));
    }
}
