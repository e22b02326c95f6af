//! What a worker finds of its predecessor: journals with a torn tail, counters in mid-air.

use std::path::{Path, PathBuf};

use crate::counters::{self, Region};
use crate::error::{Error, Result};
use crate::journal::{self, Recovery};

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
    let [events, dead] = JOURNALS.map(|journal| {
        let counted = counters::counted_sequence(region, worker, journal);
        journal::recover(&directory(data_dir, journal, worker), counted)
    });
    settle(region, worker, data_dir, [events?, dead?])
}

/// Brings the counters of a worker that is gone to rest, once its journals are recovered:
/// what is stored counts as journaled, what was received and is not stored counts as lost.
pub(super) fn settle(
    region: &Region,
    worker: usize,
    data_dir: &Path,
    [events, dead]: [Recovery; 2],
) -> Result<Found> {
    let count =
        |journal, recovery: &Recovery| uncounted(region, worker, data_dir, journal, recovery);
    let (next_event, event_counts) = count(counters::Journal::Events, &events)?;
    let (next_dead, dead_counts) = count(counters::Journal::Dead, &dead)?;
    let lost = counters::settle(
        region,
        worker,
        [
            (counters::Journal::Events, next_event, &event_counts),
            (counters::Journal::Dead, next_dead, &dead_counts),
        ],
    );
    Ok(Found { events, dead, lost })
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
