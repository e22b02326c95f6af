//! A cycle: what was read leaves the pipeline together, and is counted and given to the journals then,
//! so that a successor knows of each read whether it was.

use super::BATCH_BYTES;
use super::lines::Lines;
use super::tally::set_decoding;
use crate::counters::{add, cells};

/// Reads whose events leave the pipeline together: one, or with Python all until a batch came back
/// and no event is on its way. The journals are given nothing in between, so that each batch says by
/// its mark exactly which reads are in it.
#[derive(Default)]
pub(super) struct Cycle {
    /// The position behind the last read.
    pub(super) taken: u64,
    /// The same as of the end of the last cycle.
    pub(super) completed: u64,
    /// Whether reads are the predecessor's.
    pub(super) is_replay: bool,
}

impl Lines {
    /// What is in Python's hands will not come back; how many events.
    pub(super) fn give_up(&mut self) -> u64 {
        let mut all = 0;
        for listener in 0..self.held.len() {
            let reason = cells::LOST_DRAIN_DEADLINE;
            let open = self.predecessor.open[listener];
            self.predecessor.lose(&self.region, self.worker, listener, open, reason);
            let again = std::mem::take(&mut self.held_again[listener]);
            let held = std::mem::take(&mut self.held[listener]) - again;
            add(self.region.listener(self.worker, listener, cells::LOST, reason), held);
            add(self.region.listener(self.worker, listener, cells::ACCEPTED, 0), held);
            set_decoding(&self.region, self.worker, listener, 0);
            all += open + held;
        }
        self.complete_cycle();
        all
    }

    /// Whether events of the reads that were taken are on their way through Python.
    pub(super) fn is_within_cycle(&self) -> bool {
        self.runners.len() > 1 && self.held.iter().any(|held| *held > 0)
    }

    /// All reads that were taken have left the pipeline. What is counted says so before the journals
    /// are given anything.
    pub(super) fn complete_cycle(&mut self) {
        let taken = self.cycle.taken;
        self.events.set_mark(taken);
        self.dead.journal.set_mark(taken);
        self.arena.complete_cycle(taken);
        self.cycle.completed = taken;
        if !self.cycle.is_replay && self.predecessor.open.iter().any(|open| *open > 0) {
            self.predecessor.conclude(&self.region, self.worker);
            (0..self.held.len()).for_each(|listener| self.show_decoding(listener, 0));
        }
        // Full batches go to the writer while the next are read.
        if self.events.open_bytes().max(self.dead.journal.open_bytes()) >= BATCH_BYTES {
            self.publish();
        }
    }

    /// Shows how many events of a listener have been received and are not handed on: so many others
    /// still wait.
    pub(super) fn show_decoding(&self, listener: usize, waiting: u64) {
        let held = self.held[listener] - self.held_again[listener];
        let decoding = held + waiting + self.predecessor.open[listener];
        set_decoding(&self.region, self.worker, listener, decoding);
    }

    /// Events of a listener that is not served any more.
    pub(super) fn lose(&mut self, listener: usize, events: u64, mark: u64) {
        let reason = cells::LOST_WORKER_DIED;
        if self.predecessor.has_counted(mark) {
            self.predecessor.lose(&self.region, self.worker, listener, events, reason);
        } else {
            let cell = |cell, index| self.region.listener(self.worker, listener, cell, index);
            add(cell(cells::RECEIVED, 0), events);
            add(cell(cells::LOST, reason), events);
            add(cell(cells::ACCEPTED, 0), events);
        }
        self.show_decoding(listener, 0);
    }
}
