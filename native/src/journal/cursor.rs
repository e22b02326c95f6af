//! Reads a shard's batches in order, from anywhere, and goes on when more are written.
//!
//! Never writes and needs no lock. On the live segment half a batch is "not yet"; only with a
//! segment behind it is it damage.

use std::io;
use std::path::{Path, PathBuf};

use super::directory::{SegmentName, list_segments};
use super::encode::Decoder;
use super::format::Metadata;
use super::scan::{Check, Scan, Step};
use crate::error::{Error, Result};

/// Where a cursor begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    /// At the oldest event there is.
    Oldest,
    /// Behind the last one: only what is written from now on.
    End,
    /// At the batch that holds this sequence number; the batch may begin before it.
    Sequence(u64),
    /// So that at least this many events are ahead, or all there are.
    Last(u64),
}

/// A batch as it was read; the cursor reuses its memory for the next one.
#[derive(Debug, Default)]
pub struct StoredBatch {
    /// The sequence number of the first event; the others follow without a gap.
    pub first_sequence: u64,
    /// How many events.
    pub count: u64,
    /// Sequence numbers between the batch read before and this one that are not there any
    /// more: deleted by retention, or damaged.
    pub missing: u64,
    /// When the first event was received, in nanoseconds since 1970.
    pub first_received_ns: u64,
    /// When the last event was received.
    pub last_received_ns: u64,
    /// The sources and how many events each of them has in the batch.
    pub sources: Vec<(String, u64)>,
    /// The events, one per line, each ended by `\n`.
    pub lines: Vec<u8>,
}

struct Position {
    scan: Scan,
    segment_sequence: u64,
    offset: u64,
}

/// A place in the journal of one shard.
pub struct Cursor {
    directory: PathBuf,
    /// `None` until there is a segment.
    position: Option<Position>,
    /// The sequence number that should come next, once that is known.
    expected: Option<u64>,
    decoder: Decoder,
    batch: StoredBatch,
}

impl Cursor {
    /// A cursor on the shard in `directory`, which need not exist yet.
    pub fn open(directory: &Path, start: Start) -> Result<Self> {
        let mut cursor = Self {
            directory: directory.to_owned(),
            position: None,
            expected: None,
            decoder: Decoder::new().map_err(Error::Invalid)?,
            batch: StoredBatch::default(),
        };
        match start {
            Start::Oldest => {}
            Start::End => cursor.seek(u64::MAX)?,
            Start::Sequence(sequence) => {
                cursor.seek(sequence)?;
                cursor.expected = Some(sequence);
            }
            Start::Last(events) => {
                if let Some(sequence) = sequence_before_end(directory, events)? {
                    cursor.seek(sequence)?;
                }
            }
        }
        Ok(cursor)
    }

    /// The next batch; `None` at the end of what is written so far, and later perhaps not.
    ///
    /// [`Error::Damaged`] tells once of a damaged part; the call after it goes on behind that.
    pub fn next_batch(&mut self) -> Result<Option<&StoredBatch>> {
        // Known before the live end was looked at, and so proof that it was not live.
        let mut successor: Option<Position> = None;
        loop {
            let Some(position) = &mut self.position else {
                self.position = self.open_after(None)?;
                if self.position.is_none() {
                    return Ok(None);
                }
                continue;
            };
            match position.scan.step(position.offset, Check::Data)? {
                Step::Batch(metadata) => {
                    let offset = position.offset;
                    position.offset += metadata.stored_length();
                    // After a failed sync the same batches are written to another segment.
                    if self.expected.is_some_and(|expected| metadata.next_sequence() <= expected) {
                        continue;
                    }
                    self.load(metadata, offset)?;
                    return Ok(Some(&self.batch));
                }
                Step::Damaged { end, what } => {
                    let error = Error::damaged(position.scan.path(), position.offset, what);
                    position.offset = end;
                    return Err(error);
                }
                end @ (Step::End | Step::Torn { .. }) => {
                    if let Some(next) = successor.take() {
                        let damage = match end {
                            Step::Torn { what, .. } => {
                                Some(Error::damaged(position.scan.path(), position.offset, what))
                            }
                            _ => None,
                        };
                        self.position = Some(next);
                        if let Some(damage) = damage {
                            return Err(damage);
                        }
                        continue;
                    }
                    let current = position.segment_sequence;
                    successor = self.open_after(Some(current))?;
                    if successor.is_none() {
                        return Ok(None);
                    }
                }
            }
        }
    }

    /// The batch that [`Self::next_batch`] gave last.
    pub fn batch(&self) -> &StoredBatch {
        &self.batch
    }

    fn load(&mut self, metadata: Metadata, offset: u64) -> Result<()> {
        if let Some(position) = &self.position {
            self.decoder
                .decode(&metadata, position.scan.data(), &mut self.batch.lines)
                .map_err(|what| Error::damaged(position.scan.path(), offset, what))?;
        }
        let missing =
            self.expected.map_or(0, |expected| metadata.first_sequence.saturating_sub(expected));
        self.expected = Some(metadata.next_sequence());
        self.batch.first_sequence = metadata.first_sequence;
        self.batch.count = metadata.count;
        self.batch.missing = missing;
        self.batch.first_received_ns = metadata.first_received_ns;
        self.batch.last_received_ns = metadata.last_received_ns;
        self.batch.sources = metadata.sources;
        Ok(())
    }

    /// Go to the batch that holds `sequence`, to damage before it, or to the end.
    fn seek(&mut self, sequence: u64) -> Result<()> {
        let segments = list_segments(&self.directory)?;
        let behind = segments.partition_point(|segment| segment.first_sequence <= sequence);
        let Some(segment) = segments.get(behind.saturating_sub(1)) else { return Ok(()) };
        let Some(mut position) = open_position(segment)? else {
            // Deleted since it was listed: begin with the oldest that is left.
            return Ok(());
        };
        self.expected = Some(segment.first_sequence);
        while let Step::Batch(metadata) = position.scan.step(position.offset, Check::Metadata)? {
            if metadata.next_sequence() > sequence {
                break;
            }
            position.offset += metadata.stored_length();
            self.expected = Some(metadata.next_sequence());
        }
        self.position = Some(position);
        Ok(())
    }

    /// The beginning of the segment that follows the one of `current`; of the oldest for `None`.
    fn open_after(&self, current: Option<u64>) -> Result<Option<Position>> {
        loop {
            let segments = list_segments(&self.directory)?;
            let next = segments
                .iter()
                .find(|segment| current.is_none_or(|current| segment.first_sequence > current));
            let Some(next) = next else { return Ok(None) };
            if let Some(position) = open_position(next)? {
                return Ok(Some(position));
            }
        }
    }
}

/// The beginning of `segment`; `None` when retention was faster.
fn open_position(segment: &SegmentName) -> Result<Option<Position>> {
    match Scan::open(&segment.path) {
        Ok(scan) => {
            Ok(Some(Position { scan, segment_sequence: segment.first_sequence, offset: 0 }))
        }
        Err(Error::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// The first sequence number of a batch that has at least `events` events from its beginning
/// to the end of the journal; the oldest there is when there are fewer.
fn sequence_before_end(directory: &Path, events: u64) -> Result<Option<u64>> {
    let mut ahead = 0;
    let mut sequence = None;
    for segment in list_segments(directory)?.iter().rev() {
        let Some(mut position) = open_position(segment)? else { break };
        let mut batches = Vec::new();
        loop {
            match position.scan.step(position.offset, Check::Metadata)? {
                Step::Batch(metadata) => {
                    batches.push((metadata.first_sequence, metadata.count, position.offset));
                    position.offset += metadata.stored_length();
                }
                Step::Damaged { end, .. } => position.offset = end,
                Step::Torn { .. } | Step::End => break,
            }
        }
        for (first_sequence, count, offset) in batches.into_iter().rev() {
            if ahead >= events {
                return Ok(Some(sequence.unwrap_or(u64::MAX)));
            }
            sequence = Some(first_sequence);
            // Only what can be read counts, and so much of it will be read anyway.
            if matches!(position.scan.step(offset, Check::Data)?, Step::Batch(_)) {
                ahead += count;
            }
        }
    }
    Ok(sequence)
}
