//! The conservation law of the tier, per worker and listener:
//!
//! `received = journaled + filtered + dead_lettered + dropped + lost + in_flight`
//!
//! `in_flight` is counted on its own (what is being decoded plus what the journals hold
//! and have not synced), so the law can fail, and `closed` says whether it holds.
//!
//! A worker may be killed between any two stores. What a journal made durable is therefore
//! kept in two rows, and one store of the checkpoint cell (sequence and row together)
//! decides which row counts: [`settle`] finds one consistent state after any kill.

use std::sync::atomic::{AtomicU64, Ordering};

use super::region::{Region, add};
use super::schema::{Cell, cells};
use super::table::DROP_REASONS;

/// The journals of a shard, by the index of their label value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Journal {
    /// Canonical events.
    Events = 0,
    /// Dead letters.
    Dead = 1,
}

impl Journal {
    /// Index of the journal's cell in rows with the label `journal`.
    pub fn index(self) -> usize {
        self as usize
    }

    /// The counter of what this journal made durable.
    fn durable(self) -> Cell {
        match self {
            Self::Events => cells::JOURNALED,
            Self::Dead => cells::DEAD_LETTERED,
        }
    }
}

/// The sum of one worker and listener at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ledger {
    /// Complete frames read.
    pub received: u64,
    /// Durable in the journal.
    pub journaled: u64,
    /// Dropped on purpose by a filter.
    pub filtered: u64,
    /// Durable in the dead-letter journal.
    pub dead_lettered: u64,
    /// Discarded by policy, by the index of the reason.
    pub dropped: [u64; DROP_REASONS.len()],
    /// Received and never durable, by the index of the reason.
    pub lost: [u64; 2],
    /// Being decoded, or in a journal and not yet durable.
    pub in_flight: u64,
    /// Datagrams the kernel dropped before they could be read; beside the sum.
    pub kernel_dropped: u64,
    /// Whether the sum holds.
    pub closed: bool,
}

/// A reading that falls between two stores of the worker is repeated this often.
const READ_ATTEMPTS: usize = 10_000;

fn get(cell: &AtomicU64) -> u64 {
    cell.load(Ordering::Acquire)
}

impl Ledger {
    /// Reads the sum of one worker and listener.
    pub fn read(region: &Region, worker: usize, listener: usize) -> Self {
        let mut ledger = Self::read_once(region, worker, listener);
        for _ in 1..READ_ATTEMPTS {
            if ledger.closed {
                break;
            }
            std::hint::spin_loop();
            ledger = Self::read_once(region, worker, listener);
        }
        ledger
    }

    fn read_once(region: &Region, worker: usize, listener: usize) -> Self {
        let cell = |place, index| get(region.listener(worker, listener, place, index));
        // What leaves is read before what enters, so that a race shows as in flight.
        let journaled = cell(cells::JOURNALED, 0);
        let dead_lettered = cell(cells::DEAD_LETTERED, 0);
        let lost = [
            cell(cells::LOST, cells::LOST_WORKER_DIED),
            cell(cells::LOST, cells::LOST_DRAIN_DEADLINE),
        ];
        let filtered = cell(cells::FILTERED, 0);
        let dropped = std::array::from_fn(|reason| cell(cells::DROPPED, reason));
        let accepted = cell(cells::ACCEPTED, 0);
        let decoding = cell(cells::DECODING, 0);
        let received = cell(cells::RECEIVED, 0);
        let gone = total([journaled, dead_lettered].into_iter().chain(lost));
        let refused = total([filtered].into_iter().chain(dropped));
        Self {
            received,
            journaled,
            filtered,
            dead_lettered,
            dropped,
            lost,
            in_flight: total([accepted, decoding]).saturating_sub(gone),
            kernel_dropped: cell(cells::KERNEL_DROPPED, 0),
            closed: accepted >= gone && received == total([accepted, refused, decoding]),
        }
    }
}

/// A sum of cells. Those of a damaged region may hold anything, which must not end the reader.
fn total(cells: impl IntoIterator<Item = u64>) -> u64 {
    cells.into_iter().fold(0, u64::saturating_add)
}

/// The two rows of a checkpoint for one listener.
fn rows(region: &Region, worker: usize, listener: usize, journal: Journal) -> [&AtomicU64; 2] {
    [cells::CHECKPOINT_EVEN, cells::CHECKPOINT_ODD]
        .map(|row| region.listener(worker, listener, row, journal.index()))
}

/// Records that `counts` more events per listener are durable and that everything below
/// `next_sequence` is. Called by the journal's writer thread only.
pub(crate) fn commit(
    region: &Region,
    worker: usize,
    journal: Journal,
    next_sequence: u64,
    counts: &[u64],
) {
    let checkpoint = region.worker(worker, cells::CHECKPOINT, journal.index());
    let current = usize::from(get(checkpoint) & 1 == 1);
    let next = 1 - current;
    for (listener, count) in counts.iter().enumerate() {
        let rows = rows(region, worker, listener, journal);
        rows[next].store(total([get(rows[current]), *count]), Ordering::Release);
    }
    checkpoint.store((total([next_sequence, 1]) << 1) | next as u64, Ordering::Release);
    publish(region, worker, journal, next, next_sequence);
}

fn publish(region: &Region, worker: usize, journal: Journal, row: usize, next_sequence: u64) {
    for listener in 0..region.listeners().len() {
        let durable = get(rows(region, worker, listener, journal)[row]);
        region.listener(worker, listener, journal.durable(), 0).store(durable, Ordering::Release);
    }
    region
        .worker(worker, cells::DURABLE_SEQUENCE, journal.index())
        .store(next_sequence, Ordering::Release);
}

/// The sequence number up to which a journal has been counted, if it ever was.
pub fn counted_sequence(region: &Region, worker: usize, journal: Journal) -> Option<u64> {
    let checkpoint = get(region.worker(worker, cells::CHECKPOINT, journal.index()));
    (checkpoint >> 1).checked_sub(1)
}

/// What a journal of a dead worker holds: the next sequence number on disk and, per listener, the
/// events stored at or above [`counted_sequence`].
pub type Stored<'a> = (Journal, u64, &'a [u64]);

/// Brings a dead worker's slot to rest. What its journals hold is counted as durable; whatever
/// else was received and not accounted for is counted as lost. Returns the events lost.
pub fn settle(region: &Region, worker: usize, found: [Stored<'_>; 2]) -> u64 {
    let missing = resume(region, worker, found);
    for (listener, missing) in missing.iter().enumerate() {
        let cell = |place, index| region.listener(worker, listener, place, index);
        add(cell(cells::LOST, cells::LOST_WORKER_DIED), *missing);
        add(cell(cells::ACCEPTED, 0), *missing);
        cell(cells::DECODING, 0).store(0, Ordering::Release);
    }
    missing.iter().sum()
}

/// The same before a successor that hands on once more what was received and is not stored: that is
/// in flight. Returns how much that is, per listener.
pub fn resume(region: &Region, worker: usize, found: [Stored<'_>; 2]) -> Vec<u64> {
    for (journal, next_sequence, counts) in found {
        commit(region, worker, journal, next_sequence, counts);
    }
    let missing = |listener| {
        let cell = |place, index| region.listener(worker, listener, place, index);
        let received = get(cell(cells::RECEIVED, 0));
        let dropped = (0..DROP_REASONS.len()).map(|reason| get(cell(cells::DROPPED, reason)));
        let refused = total([get(cell(cells::FILTERED, 0))].into_iter().chain(dropped));
        let gone = total([
            get(cell(cells::JOURNALED, 0)),
            get(cell(cells::DEAD_LETTERED, 0)),
            get(cell(cells::LOST, cells::LOST_WORKER_DIED)),
            get(cell(cells::LOST, cells::LOST_DRAIN_DEADLINE)),
        ]);
        let missing = received.saturating_sub(total([gone, refused]));
        let accepted = received.saturating_sub(total([refused, missing]));
        cell(cells::ACCEPTED, 0).store(accepted, Ordering::Release);
        cell(cells::DECODING, 0).store(missing, Ordering::Release);
        missing
    };
    (0..region.listeners().len()).map(missing).collect()
}

#[cfg(test)]
mod tests {
    use super::super::table::METRICS;
    use super::*;

    fn region() -> Region {
        Region::create(1, &["tcp".to_owned(), "udp".to_owned()], &[], b"").unwrap()
    }

    fn receive(region: &Region, listener: usize, count: u64) {
        for cell in [cells::RECEIVED, cells::ACCEPTED] {
            region.listener(0, listener, cell, 0).fetch_add(count, Ordering::Relaxed);
        }
    }

    /// Received events are in flight until a commit, then journaled; the sum always holds.
    #[test]
    fn commit_moves_events_from_in_flight_to_journaled() {
        let region = region();
        receive(&region, 0, 10);
        let before = Ledger::read(&region, 0, 0);
        assert_eq!((before.in_flight, before.journaled, before.closed), (10, 0, true));
        commit(&region, 0, Journal::Events, 10, &[10, 0]);
        let after = Ledger::read(&region, 0, 0);
        assert_eq!((after.in_flight, after.journaled, after.closed), (0, 10, true));
    }

    /// An event that vanished without a count opens the ledger.
    #[test]
    fn an_event_that_is_nowhere_is_noticed() {
        let region = region();
        region.listener(0, 0, cells::RECEIVED, 0).store(1, Ordering::Relaxed);
        assert!(!Ledger::read(&region, 0, 0).closed);
    }

    /// After a kill at any store of a commit, settling counts each event exactly once.
    #[test]
    fn a_torn_commit_is_settled_exactly() {
        for torn_rows in 0..=2 {
            let region = region();
            receive(&region, 0, 100);
            receive(&region, 1, 50);
            commit(&region, 0, Journal::Events, 60, &[40, 20]);
            commit(&region, 0, Journal::Dead, 5, &[5, 0]);
            // The worker dies while it writes the rows of its next commit.
            for listener in 0..torn_rows {
                let [even, _] = rows(&region, 0, listener, Journal::Events);
                even.store(77, Ordering::Relaxed);
            }
            assert_eq!(counted_sequence(&region, 0, Journal::Events), Some(60));
            let lost =
                settle(&region, 0, [(Journal::Events, 90, &[20, 10]), (Journal::Dead, 5, &[0, 0])]);
            assert_eq!(lost, 35 + 20);
            let tcp = Ledger::read(&region, 0, 0);
            assert_eq!((tcp.journaled, tcp.dead_lettered, tcp.lost), (60, 5, [35, 0]));
            assert_eq!((tcp.in_flight, tcp.closed), (0, true));
            let udp = Ledger::read(&region, 0, 1);
            assert_eq!((udp.journaled, udp.lost, udp.closed), (30, [20, 0], true));
        }
    }

    /// Whatever a damaged region holds, settling it ends, and the sum shows that it is no sum.
    #[test]
    fn a_damaged_slot_is_noticed() {
        let region = region();
        for sample in region.samples() {
            if let (Some(0), Some(0)) = (sample.worker, sample.part) {
                let row = &METRICS[sample.metric];
                let label = sample.value_index.map(|index| row.values[index]);
                let cell = region.by_name(Some(0), row.name, Some(0), label).unwrap();
                cell.store(u64::MAX - 1, Ordering::Relaxed);
            }
        }
        region.worker(0, cells::CHECKPOINT, 0).store(u64::MAX, Ordering::Relaxed);
        let next = counted_sequence(&region, 0, Journal::Events).unwrap();
        settle(&region, 0, [(Journal::Events, next, &[1, 1]), (Journal::Dead, 5, &[1, 1])]);
        assert!(!Ledger::read(&region, 0, 0).closed);
    }

    /// A slot that never counted anything has no sequence to count from.
    #[test]
    fn a_fresh_slot_has_no_counted_sequence() {
        let region = region();
        assert_eq!(counted_sequence(&region, 0, Journal::Events), None);
        commit(&region, 0, Journal::Events, 0, &[0, 0]);
        assert_eq!(counted_sequence(&region, 0, Journal::Events), Some(0));
    }
}
