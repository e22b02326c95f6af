//! What became of the events of one read or run, summed up before it is counted in the region.

use std::sync::atomic::Ordering;

use crate::counters::{DROP_REASONS, Region, add, cells};
use crate::decode::Edits;
use crate::pipeline::{Passage, Runner};
use crate::reject::Reject;

/// Sums over events of one listener.
#[derive(Default)]
pub(super) struct Tally {
    /// Handed to the journal, or on to Python.
    pub(super) kept: u32,
    filtered: u64,
    /// In the order of [`DROP_REASONS`].
    pub(super) dropped: [u64; DROP_REASONS.len()],
    /// In the order of [`Reject::ALL`].
    rejects: [u32; Reject::ALL.len()],
    /// In the order of the label values of `ingest_edits_total`.
    edits: [u64; 3],
}

impl Tally {
    /// Counts an event that passed the stages, or did not; whether it goes on.
    #[inline]
    pub(super) fn passed(&mut self, passage: Passage) -> bool {
        let (Passage::Kept(edits) | Passage::Filtered(edits)) = passage;
        if edits != Edits::default() {
            self.edits[0] += u64::from(edits.control_fields);
            self.edits[1] += u64::from(edits.groups_wrapped);
            self.edits[2] += u64::from(edits.unwrapped);
        }
        let is_kept = matches!(passage, Passage::Kept(_));
        self.kept += u32::from(is_kept);
        self.filtered += u64::from(!is_kept);
        is_kept
    }

    /// Counts an event that Python's filters dropped.
    pub(super) fn filtered(&mut self) {
        self.filtered += 1;
    }

    /// Counts a line that becomes a dead letter.
    pub(super) fn rejected(&mut self, reject: Reject) {
        self.rejects[reject as usize] += 1;
    }

    /// All events that were counted.
    pub(super) fn events(&self) -> u64 {
        u64::from(self.kept + self.dead()) + self.refused()
    }

    /// Events that were filtered or dropped.
    pub(super) fn refused(&self) -> u64 {
        self.filtered + self.dropped.iter().sum::<u64>()
    }

    /// Dead letters.
    pub(super) fn dead(&self) -> u32 {
        self.rejects.iter().sum()
    }

    /// Adds to the region what is no longer on its way and what the journals have taken over.
    /// `journaled`: the events that were kept are among the latter.
    pub(super) fn publish(&self, region: &Region, worker: usize, listener: usize, journaled: bool) {
        let each = |cell, index, count: u64| {
            if count > 0 {
                add(region.listener(worker, listener, cell, index), count);
            }
        };
        for (index, count) in self.rejects.iter().enumerate() {
            each(cells::REJECTED, index, u64::from(*count));
        }
        for (index, count) in self.edits.iter().enumerate().filter(|(_, count)| **count > 0) {
            add(region.worker(worker, cells::EDITS, index), *count);
        }
        each(cells::FILTERED, 0, self.filtered);
        for (index, count) in self.dropped.iter().enumerate() {
            each(cells::DROPPED, index, *count);
        }
        let kept = if journaled { self.kept } else { 0 };
        each(cells::ACCEPTED, 0, u64::from(kept + self.dead()));
    }
}

/// Counts what the stages of a segment did.
pub(super) fn count_stages(runner: &mut Runner, region: &Region, worker: usize) {
    runner.take_counts(|count| {
        for (cell, number) in
            [(cells::STAGE_FILTERED, count.filtered), (cells::STAGE_CHANGED, count.changed)]
        {
            if number > 0 {
                add(region.stage(worker, count.stage, cell, 0), number);
            }
        }
    });
}

/// Shows how the filters of a segment stand.
pub(super) fn show_stages(runner: &Runner, region: &Region, worker: usize) {
    runner.gauges(|stage, rate, keys| {
        // A share, in millionths.
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        let millionths = rate.map(|rate| (rate * 1e6).round() as u64);
        for (cell, value) in [
            (cells::STAGE_SAMPLE_RATE, millionths),
            (cells::STAGE_KEYS, keys.map(|keys| keys as u64)),
        ] {
            if let Some(value) = value {
                region.stage(worker, stage, cell, 0).store(value, Ordering::Relaxed);
            }
        }
    });
}

/// Sets how many events of a listener are between being received and being handed on.
pub(super) fn set_decoding(region: &Region, worker: usize, listener: usize, count: u64) {
    region.listener(worker, listener, cells::DECODING, 0).store(count, Ordering::Release);
}
