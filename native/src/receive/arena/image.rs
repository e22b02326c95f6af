//! What the counters of a listener said before the cycle in work: what a dead worker had counted of
//! a cycle that it did not complete is put back, and its successor counts it anew.

use std::sync::atomic::{AtomicU64, Ordering};

use super::{Arena, Layout};
use crate::counters::{DROP_REASONS, MAXIMUM_LISTENERS, Region, cells};

/// The image of one listener, valid while its cycle is the one in work.
#[repr(C, align(64))]
pub(super) struct Image {
    cycle: AtomicU64,
    received: AtomicU64,
    filtered: AtomicU64,
    dropped: [AtomicU64; DROP_REASONS.len()],
}

impl Arena {
    /// The position below which everything is counted: the end of the last complete cycle.
    pub fn counted(&self) -> u64 {
        // Its last bits tell apart cycles that end at one position.
        self.header().cycle.load(Ordering::Relaxed) & !0x3f
    }

    /// A cycle is complete, and all up to a position is counted. Positions never go back.
    pub fn complete_cycle(&self, position: u64) {
        let cell = &self.header().cycle;
        let cycle = cell.load(Ordering::Relaxed);
        let next = if position > cycle { position } else { cycle & !0x3f | (cycle + 1) & 0x3f };
        cell.store(next, Ordering::Release);
        if position > self.header().attempted.load(Ordering::Relaxed) {
            self.header().attempts.store(0, Ordering::Release);
        }
    }

    /// A replay begins a cycle with the record at a position; how often that was tried, with this,
    /// and never ended. None: one behind it was tried before.
    pub fn attempt(&self, position: u64) -> Option<u64> {
        let (attempted, attempts) = (&self.header().attempted, &self.header().attempts);
        let before = attempted.load(Ordering::Acquire);
        if position < before {
            return None;
        }
        if position > before {
            attempts.store(0, Ordering::Release);
            attempted.store(position, Ordering::Release);
        }
        let attempt = attempts.load(Ordering::Acquire) + 1;
        attempts.store(attempt, Ordering::Release);
        Some(attempt)
    }

    fn image(&self, listener: usize) -> &Image {
        assert!(listener < MAXIMUM_LISTENERS, "no such listener");
        // SAFETY: within the mapping, aligned, and all fields are atomics.
        unsafe { &*self.at(Layout::IMAGES + listener * size_of::<Image>()) }
    }

    /// Notes what a listener had counted, before the first change of it in a cycle.
    pub fn keep_image(&self, region: &Region, worker: usize, listener: usize) {
        let image = self.image(listener);
        let cycle = self.header().cycle.load(Ordering::Relaxed);
        if image.cycle.load(Ordering::Relaxed) == cycle {
            return;
        }
        for (cell, index, kept) in image.cells() {
            let now = region.listener(worker, listener, cell, index).load(Ordering::Relaxed);
            kept.store(now, Ordering::Relaxed);
        }
        image.cycle.store(cycle, Ordering::Release);
    }

    /// Puts back what was counted of a cycle that was not completed.
    pub fn put_images_back(&self, region: &Region, worker: usize) {
        let cycle = self.header().cycle.load(Ordering::Acquire);
        for listener in 0..region.listeners().len() {
            let image = self.image(listener);
            if image.cycle.load(Ordering::Acquire) == cycle {
                for (cell, index, kept) in image.cells() {
                    let before = kept.load(Ordering::Relaxed);
                    region.listener(worker, listener, cell, index).store(before, Ordering::Release);
                }
            }
        }
    }
}

impl Image {
    fn cells(&self) -> impl Iterator<Item = (crate::counters::Cell, usize, &AtomicU64)> {
        let dropped = self.dropped.iter().enumerate();
        [(cells::RECEIVED, 0, &self.received), (cells::FILTERED, 0, &self.filtered)]
            .into_iter()
            .chain(dropped.map(|(index, kept)| (cells::DROPPED, index, kept)))
    }
}
