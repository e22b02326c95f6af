//! Counters of connections that stay true although a worker is killed between a change and its count:
//! what the counter will say is noted before the change, of which the table tells.

use std::sync::atomic::{AtomicU64, Ordering};

use super::receipts::Counting;
use super::{Arena, State};
use crate::counters::{Region, cells};

/// What a connection is counted as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Counted {
    /// Opened.
    Opened,
    /// Closed.
    Closed,
}

impl Arena {
    fn counting(&self) -> &Counting {
        // SAFETY: the receipts lie in the mapping, and all fields of this one are atomics.
        unsafe { &(*self.receipts()).counting }
    }

    /// Notes what a counter will say with the connection at a place, before that is open, or has
    /// ended.
    pub fn count(&self, as_what: Counted, counter: &AtomicU64, place: usize, listener: usize) {
        let counting = self.counting();
        let count = counter.load(Ordering::Relaxed) + 1;
        let (opened, closed) = match as_what {
            Counted::Opened => (count, 0),
            Counted::Closed => (0, count),
        };
        for (cell, value) in [
            (&counting.opened, 0),
            (&counting.closed, 0),
            (&counting.place, place as u64),
            (&counting.listener, listener as u64),
            (&counting.opened, opened),
            (&counting.closed, closed),
        ] {
            cell.store(value, Ordering::Release);
        }
    }

    /// Counts what a worker that died did not come to count.
    pub fn finish_counting(&self, region: &Region, worker: usize) {
        let counting = self.counting();
        let get = |cell: &AtomicU64| usize::try_from(cell.load(Ordering::Acquire));
        let (Ok(place), Ok(listener)) = (get(&counting.place), get(&counting.listener)) else {
            return;
        };
        if !self.table().places().contains(&place) || listener >= region.listeners().len() {
            return;
        }
        let state = self.table().entry(place).state();
        for (is_so, count, cell) in [
            (state.is_open(), &counting.opened, cells::CONNECTIONS_OPENED),
            (state == State::Ended, &counting.closed, cells::CONNECTIONS_CLOSED),
        ] {
            if is_so {
                let count = count.load(Ordering::Acquire);
                region.listener(worker, listener, cell, 0).fetch_max(count, Ordering::AcqRel);
            }
        }
    }
}
