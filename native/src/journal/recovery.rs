//! After a crash: where the journal goes on, what was cut, and which events are in it.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use super::care::sealed_segments;
use super::directory::{DirectoryLock, SegmentName, list_segments, sync_directory};
use super::scan::{Check, Scan, Step};
use crate::error::{Error, Result};

/// So many bytes are written again at a time.
const PIECE: usize = 1 << 20;

/// What recovery found and did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recovery {
    /// The sequence number of the next event.
    pub next_sequence: u64,
    /// The torn tail that was taken away.
    pub cut: Option<Cut>,
    /// The mark of the last intact batch, 0 where there is none.
    pub mark: u64,
    /// Damage with intact batches behind it; left as it is, for [`super::verify_directory`].
    pub damage: Vec<Damage>,
}

/// A tail without any whole batch that was cut off.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cut {
    /// The segment.
    pub path: PathBuf,
    /// Where it ends now.
    pub offset: u64,
    /// How many bytes were taken away.
    pub bytes: u64,
}

/// Bytes between two batches that are none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Damage {
    /// The segment.
    pub path: PathBuf,
    /// Where the damage begins.
    pub offset: u64,
    /// How many bytes until the next batch.
    pub bytes: u64,
}

/// Cut the torn tail of a journal that nobody writes to, and make the rest durable.
/// Fails when a writer is at work there. A directory that does not exist is an empty journal.
///
/// `durable_sequence`: everything below it is known to have been synced. Its data is not read,
/// which otherwise takes as long as reading the last segment does.
pub fn recover(directory: &Path, durable_sequence: Option<u64>) -> Result<Recovery> {
    if !directory.exists() {
        return Ok(Recovery { next_sequence: 0, mark: 0, cut: None, damage: Vec::new() });
    }
    let _lock = DirectoryLock::acquire(directory)?;
    recover_locked(directory, durable_sequence)
}

/// [`recover`] for the holder of the directory's lock.
pub(super) fn recover_locked(directory: &Path, durable_sequence: Option<u64>) -> Result<Recovery> {
    let segments = list_segments(directory)?;
    let sealed = sealed_segments(directory);
    let mut recovery = Recovery { next_sequence: 0, mark: 0, cut: None, damage: Vec::new() };
    for segment in segments.iter().rev() {
        // An empty segment still says by its name how far the numbers were given out.
        recovery.next_sequence = recovery.next_sequence.max(segment.first_sequence);
        let sealed_sequence = sealed.get(&segment.first_sequence).copied();
        let found = recover_segment(segment, durable_sequence, sealed_sequence, &mut recovery)?;
        let end = found.max(sealed_sequence).unwrap_or(0);
        recovery.next_sequence = recovery.next_sequence.max(end);
        if found.is_some() {
            break;
        }
    }
    sync_directory(directory)?;
    Ok(recovery)
}

/// Look through one segment, behind which there are no batches: so it was the one being
/// written, and is cut, unless it is sealed: then it was whole, and what is not is damage. The
/// sequence number behind its last batch, if it has one.
fn recover_segment(
    segment: &SegmentName,
    known_durable: Option<u64>,
    sealed_sequence: Option<u64>,
    recovery: &mut Recovery,
) -> Result<Option<u64>> {
    let path = &segment.path;
    let may_cut = recovery.cut.is_none() && sealed_sequence.is_none();
    let durable_sequence = known_durable.unwrap_or(0);
    let mut durable_end = 0;
    let mut end = None;
    let mut scan = Scan::open(path)?;
    let mut offset = 0;
    let mut next_sequence = None;
    loop {
        let is_durable = next_sequence.unwrap_or(segment.first_sequence) < durable_sequence;
        let mut step = scan.step(offset, if is_durable { Check::Metadata } else { Check::Data })?;
        if let Step::Batch(metadata) = &step
            && is_durable
            && metadata.next_sequence() > durable_sequence
        {
            step = scan.step(offset, Check::Data)?;
        }
        match step {
            Step::Batch(metadata) => {
                next_sequence = Some(metadata.next_sequence());
                recovery.mark = metadata.mark;
                offset += metadata.stored_length();
                if metadata.next_sequence() <= durable_sequence {
                    durable_end = offset;
                }
            }
            Step::Damaged { end, .. } => {
                recovery.damage.push(Damage { path: path.clone(), offset, bytes: end - offset });
                offset = end;
            }
            Step::Torn { .. } if may_cut => {
                let bytes = scan.length()? - offset;
                recovery.cut = Some(Cut { path: path.clone(), offset, bytes });
                end = Some(offset);
                break;
            }
            Step::Torn { .. } => {
                let bytes = scan.length()? - offset;
                recovery.damage.push(Damage { path: path.clone(), offset, bytes });
                break;
            }
            Step::End => break,
        }
    }
    // Whole batches may be in the page cache only: from now on they count as durable.
    let file = OpenOptions::new().read(true).write(true).open(path);
    file.and_then(|file| {
        end.map_or(Ok(()), |end| file.set_len(end))?;
        if known_durable.is_some() {
            write_again(&file, durable_end)?;
        }
        file.sync_all()
    })
    .map_err(|error| Error::io(format!("recover {}", path.display()), error))?;
    Ok(next_sequence)
}

/// Write what stands from `offset` on once more. A sync of it may have failed before the writer
/// died: then the kernel has it, but takes it for written, and the next sync leaves it out.
fn write_again(file: &File, mut offset: u64) -> io::Result<()> {
    let mut piece = vec![0; PIECE];
    loop {
        let read = match file.read_at(&mut piece, offset) {
            Ok(0) => return Ok(()),
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        file.write_all_at(&piece[..read], offset)?;
        offset += read as u64;
    }
}

/// Count the events from `sequence` on, by source: what a writer that died had written but
/// not yet reported as durable. Run [`recover`] before; reads metadata only.
///
/// Returns the sequence number behind the last event. `sequence` must be one at which a batch
/// begins or the journal ends, as every durable sequence is.
pub fn events_since(directory: &Path, sequence: u64) -> Result<(u64, Vec<(String, u64)>)> {
    let segments = list_segments(directory)?;
    let first = segments.partition_point(|segment| segment.first_sequence <= sequence);
    let mut next_sequence = sequence;
    let mut events = BTreeMap::new();
    for segment in &segments[first.saturating_sub(1)..] {
        let mut scan = Scan::open(&segment.path)?;
        let mut offset = 0;
        loop {
            match scan.step(offset, Check::Metadata)? {
                Step::Batch(metadata) => {
                    offset += metadata.stored_length();
                    if metadata.next_sequence() <= sequence {
                        continue;
                    }
                    if metadata.first_sequence < sequence {
                        let message = format!("no batch begins at sequence number {sequence}");
                        return Err(Error::Invalid(message));
                    }
                    next_sequence = metadata.next_sequence();
                    for (source, count) in metadata.sources {
                        *events.entry(source).or_insert(0) += count;
                    }
                }
                Step::Damaged { end, .. } => offset = end,
                Step::Torn { .. } | Step::End => break,
            }
        }
    }
    Ok((next_sequence, events.into_iter().collect()))
}
