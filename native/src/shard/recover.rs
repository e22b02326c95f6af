//! What a worker finds of its predecessor: journals with a torn tail, counters in mid-air.

use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;

use crate::counters::{self, Region, add, cells};
use crate::error::{Error, Result};
use crate::journal::{self, Recovery};
use crate::receive::Arena;

/// What was found in the journals of a shard when they were opened.
#[derive(Debug)]
pub struct Found {
    /// The journal of events.
    pub events: Recovery,
    /// The dead letters.
    pub dead: Recovery,
    /// Events that a predecessor had received and that never became durable.
    pub lost: u64,
}

pub(super) const JOURNALS: [counters::Journal; 2] =
    [counters::Journal::Events, counters::Journal::Dead];

/// Where a shard of a data directory keeps a journal.
pub(super) fn directory(data_dir: &Path, journal: counters::Journal, shard: usize) -> PathBuf {
    let kind = match journal {
        counters::Journal::Events => "journal",
        counters::Journal::Dead => "dead",
    };
    data_dir.join(kind).join(format!("shard-{shard:04}"))
}

/// Recovers the journals of a worker that has no successor and settles its counters.
///
/// # Errors
/// When a journal cannot be read, its torn tail cannot be cut, or a writer is at work.
pub fn recover(region: &Region, worker: usize, data_dir: &Path) -> Result<Found> {
    // Nobody else closes its connections, and they are closed whatever its journals hold.
    for listener in 0..region.listeners().len() {
        let cell = |cell| region.listener(worker, listener, cell, 0);
        let open = cell(cells::LISTENER_CONNECTIONS).swap(0, Ordering::SeqCst);
        add(cell(cells::CONNECTIONS_CLOSED), open);
    }
    region.worker(worker, cells::CONNECTIONS, 0).store(0, Ordering::SeqCst);
    let [events, dead] = JOURNALS.map(|journal| {
        let counted = counters::counted_sequence(region, worker, journal);
        journal::recover(&directory(data_dir, journal, worker), counted)
    });
    let (found, _) = settle(region, worker, data_dir, [events?, dead?], None)?;
    Ok(found)
}

/// Brings the counters of a worker that is gone to rest, once its journals are recovered:
/// what is stored counts as journaled, what was received and is not stored counts as lost. Where
/// there is something to replay in an arena, that is in flight instead: how much, per listener.
pub(super) fn settle(
    region: &Region,
    worker: usize,
    data_dir: &Path,
    [events, dead]: [Recovery; 2],
    replayed: Option<&Arena>,
) -> Result<(Found, Vec<u64>)> {
    let count =
        |journal, recovery: &Recovery| uncounted(region, worker, data_dir, journal, recovery);
    let (next_event, event_counts) = count(counters::Journal::Events, &events)?;
    let (next_dead, dead_counts) = count(counters::Journal::Dead, &dead)?;
    let stored = [
        (counters::Journal::Events, next_event, &event_counts[..]),
        (counters::Journal::Dead, next_dead, &dead_counts[..]),
    ];
    let (mut lost, mut open) = (0, vec![0; region.listeners().len()]);
    if let Some(arena) = replayed {
        arena.put_images_back(region, worker);
        open = counters::resume(region, worker, stored);
    } else {
        lost = counters::settle(region, worker, stored);
    }
    Ok((Found { events, dead, lost }, open))
}

/// The next sequence number of a journal, and per listener what it holds and nobody counted.
fn uncounted(
    region: &Region,
    worker: usize,
    data_dir: &Path,
    journal: counters::Journal,
    recovery: &Recovery,
) -> Result<(u64, Vec<u64>)> {
    let mut counts = vec![0; region.listeners().len()];
    let Some(counted) = counters::counted_sequence(region, worker, journal) else {
        return Ok((recovery.next_sequence, counts));
    };
    let directory = directory(data_dir, journal, worker);
    let (next_sequence, sources) = journal::events_since(&directory, counted)?;
    for (source, count) in sources {
        let listener = region.listeners().iter().position(|name| *name == source);
        let listener = listener.ok_or_else(|| {
            Error::Layout(format!("{}: no listener {source:?}", directory.display()))
        })?;
        counts[listener] += count;
    }
    Ok((next_sequence, counts))
}
