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

/// Recovers the journals of a worker that is gone and brings its counters to rest: what is
/// stored counts as journaled, and what was received and is not stored counts as lost.
///
/// # Errors
/// When a journal cannot be read or its torn tail cannot be cut.
pub fn recover(region: &Region, worker: usize, data_dir: &Path) -> Result<Found> {
    let mut recoveries = Vec::with_capacity(2);
    let mut stored = Vec::with_capacity(2);
    for journal in JOURNALS {
        let directory = directory(data_dir, journal, worker);
        let recovery = journal::recover(&directory)?;
        let mut counts = vec![0; region.listeners().len()];
        let mut next_sequence = recovery.next_sequence;
        if let Some(sequence) = counters::counted_sequence(region, worker, journal) {
            let (next, sources) = journal::events_since(&directory, sequence)?;
            next_sequence = next;
            for (source, count) in sources {
                let listener = region.listeners().iter().position(|name| *name == source);
                let listener = listener.ok_or_else(|| {
                    Error::Layout(format!("{}: no listener {source:?}", directory.display()))
                })?;
                counts[listener] += count;
            }
        }
        recoveries.push(recovery);
        stored.push((journal, next_sequence, counts));
    }
    let lost = match &stored[..] {
        [(events, next_event, event_counts), (dead, next_dead, dead_counts)] => counters::settle(
            region,
            worker,
            [(*events, *next_event, event_counts), (*dead, *next_dead, dead_counts)],
        ),
        _ => 0,
    };
    match <[Recovery; 2]>::try_from(recoveries) {
        Ok([events, dead]) => Ok(Found { events, dead, lost }),
        Err(_) => Err(Error::Invalid("two journals".into())),
    }
}
