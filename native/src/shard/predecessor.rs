//! What a predecessor that was killed had done of what is replayed: stored it in a journal, counted
//! it. What it had done is not done again, so that each event is stored and counted once.

use crate::counters::{self, Region, add, cells};

/// How far a predecessor came. Positions are those of the arena.
pub(super) struct Predecessor {
    /// What ends here or before is in the journal, by its index.
    pub(super) stored: [u64; 2],
    /// What ends here or before is counted.
    pub(super) counted: u64,
    /// By listener, the events that it had counted as received and of which nothing is stored. The
    /// replay finds out what becomes of them.
    pub(super) open: Vec<u64>,
    /// By listener, the events of these that the replay filters or drops.
    pub(super) refused: Vec<u64>,
    /// By listener, events that sources had submitted and that do not come again, as many as there
    /// can have been.
    pub(super) forgone: Vec<u64>,
}

impl Predecessor {
    /// Whether what ends at a position is in a journal.
    pub(super) fn has_stored(&self, journal: counters::Journal, mark: u64) -> bool {
        mark <= self.stored[journal.index()]
    }

    /// Whether it is in both, as far as it belongs there.
    pub(super) fn has_stored_all(&self, mark: u64) -> bool {
        self.stored.iter().all(|stored| mark <= *stored)
    }

    /// Whether it is counted.
    pub(super) fn has_counted(&self, mark: u64) -> bool {
        mark <= self.counted
    }

    /// Counts what becomes of events that were counted as received: some are handed to the journals.
    /// More of them than it had meant to hand over were filtered before.
    pub(super) fn account(
        &mut self,
        region: &Region,
        worker: usize,
        listener: usize,
        accepted: u64,
        refused: u64,
    ) {
        self.refused[listener] += refused;
        let known = accepted.min(self.open[listener]);
        self.open[listener] -= known;
        let filtered = region.listener(worker, listener, cells::FILTERED, 0);
        let before = filtered.load(std::sync::atomic::Ordering::Relaxed);
        let unfiltered = (accepted - known).min(before);
        if unfiltered > 0 {
            filtered.store(before - unfiltered, std::sync::atomic::Ordering::Release);
        }
        add(region.listener(worker, listener, cells::ACCEPTED, 0), accepted);
    }

    /// Events that were counted as received and cannot be handed to a journal any more.
    pub(super) fn lose(
        &mut self,
        region: &Region,
        worker: usize,
        listener: usize,
        events: u64,
        reason: usize,
    ) {
        let lost = events.min(self.open[listener]);
        self.open[listener] -= lost;
        add(region.listener(worker, listener, cells::LOST, reason), lost);
        add(region.listener(worker, listener, cells::ACCEPTED, 0), lost);
    }

    /// The replay is over: what has not come again was filtered this time, as far as filters did
    /// anything; they decide anew, and their state is gone.
    pub(super) fn conclude(&mut self, region: &Region, worker: usize) {
        for listener in 0..self.open.len() {
            let unacknowledged = self.open[listener].min(self.forgone[listener]);
            self.open[listener] -= unacknowledged;
            let reason = cells::DROPPED_UNACKNOWLEDGED;
            add(region.listener(worker, listener, cells::DROPPED, reason), unacknowledged);
            let filtered = self.open[listener].min(self.refused[listener]);
            self.open[listener] -= filtered;
            add(region.listener(worker, listener, cells::FILTERED, 0), filtered);
            let rest = self.open[listener];
            self.lose(region, worker, listener, rest, cells::LOST_WORKER_DIED);
        }
    }
}
