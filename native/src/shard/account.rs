//! What the threads of a journal report, counted in the shared region.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::counters::{self, Region, add, cells};
use crate::journal::{Commit, Observer, Stall, Upkeep};

/// Counts what a journal's threads report.
pub(super) struct Account {
    pub(super) region: Arc<Region>,
    pub(super) worker: usize,
    pub(super) journal: counters::Journal,
}

impl Account {
    fn cell(&self, cell: counters::Cell) -> &AtomicU64 {
        self.region.worker(self.worker, cell, self.journal.index())
    }
}

impl Observer for Account {
    fn committed(&self, commit: &Commit<'_>) {
        counters::commit(
            &self.region,
            self.worker,
            self.journal,
            commit.next_sequence,
            commit.events_by_source,
        );
        add(self.cell(cells::WRITTEN_BYTES), commit.bytes);
        add(self.cell(cells::BATCHES), commit.batches);
        add(self.cell(cells::COMPRESSED_BATCHES), commit.compressed_batches);
        add(self.cell(cells::SEGMENTS), commit.segments);
        if self.journal == counters::Journal::Events {
            counters::observe(&self.region, self.worker, cells::SYNC_SECONDS, commit.sync_duration);
        }
    }

    fn stalled(&self, stall: Option<Stall>) {
        let code = match stall {
            None => 0,
            Some(Stall::NoSpace) => 1,
            Some(Stall::DiskError) => 2,
        };
        self.cell(cells::STALL).store(code, Ordering::Release);
        if stall.is_some() {
            add(self.cell(cells::STALLS), 1);
        }
    }

    fn cared(&self, upkeep: &Upkeep<'_>) {
        match upkeep {
            Upkeep::Sealed => add(self.cell(cells::SEALS), 1),
            Upkeep::Recompressed { bytes_before, bytes_after } => {
                add(self.cell(cells::RECOMPRESSIONS), 1);
                add(self.cell(cells::RECOMPRESSION_READ), *bytes_before);
                add(self.cell(cells::RECOMPRESSION_WRITTEN), *bytes_after);
            }
            Upkeep::Failed(_) => add(self.cell(cells::UPKEEP_ERRORS), 1),
        }
    }
}
