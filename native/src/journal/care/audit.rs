//! Follows the chain of a shard and compares it with the files. Changes nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use blake3::Hasher;

use super::super::directory::{SegmentName, list_segments, segment_path};
use super::super::scan::Scan;
use super::chain::{self, Stored};
use super::seal::{Cause, Seal};
use crate::error::{Error, Result};

/// So many bytes are hashed at a time.
const PIECE: u64 = 1 << 20;

/// What the chain of a shard says about its files.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Audit {
    /// Seals in the chain.
    pub seals: u64,
    /// Segments that are what they were when they were sealed.
    pub good: u64,
    /// Segments that are not sealed yet, the one being written among them.
    pub unsealed: u64,
    /// Sealed segments before the oldest one there is: deleted by retention, or by somebody.
    pub deleted: u64,
    /// Segments that were repaired, after which they were sealed again.
    pub repaired: Vec<PathBuf>,
    /// Digest of the newest seal. Kept elsewhere, it proves everything before it later.
    pub head: Option<String>,
    /// Those of the digests asked for that are in the chain.
    pub known: Vec<String>,
    /// What is wrong: the file, and words.
    pub findings: Vec<(PathBuf, String)>,
}

/// Check the chain of the shard in `directory`, and every sealed segment against it.
/// `digests` are looked for among those of the seals.
pub fn audit_directory(directory: &Path, digests: &[String]) -> Result<Audit> {
    let stored = chain::read(directory)?;
    let mut audit = Audit::default();
    let seals = follow_chain(&stored, directory, digests, &mut audit);
    let segments = find_missing(directory, &seals, &mut audit)?;
    let end = seals.values().flatten().map(|seal| seal.next_sequence).max().unwrap_or(0);
    // The newest may be live. Whoever closes another one makes the file first.
    if segments.len() > 2 && !chain::path(directory).exists() {
        let what = "is not there: it was removed, or nobody has sealed these segments yet";
        audit.findings.push((chain::path(directory), what.to_owned()));
    }
    for segment in &segments {
        audit_segment(directory, segment, end, &seals, &mut audit)?;
    }
    Ok(audit)
}

/// The sequence numbers that the seals of a shard say to be lost.
pub(in super::super) fn known_missing(directory: &Path) -> Result<Vec<(u64, u64)>> {
    let seals = chain::read(directory)?.lines.into_iter().flatten();
    Ok(seals.flat_map(|seal| seal.missing).collect())
}

/// What the seals of a shard say of its segments.
#[derive(Debug)]
pub(in super::super) struct Sealed {
    /// For each sealed segment, the sequence number behind it.
    ends: BTreeMap<u64, u64>,
    /// The newest line of the file is a seal, if there is one at all.
    is_newest_known: bool,
}

impl Sealed {
    /// Read the seals in `directory`.
    pub fn read(directory: &Path) -> Result<Self> {
        let lines = chain::read(directory)?.lines;
        let is_newest_known = lines.last().is_none_or(std::result::Result::is_ok);
        let seals = lines.into_iter().flatten();
        let ends = seals.map(|seal| (seal.first_sequence, seal.next_sequence)).collect();
        Ok(Self { ends, is_newest_known })
    }

    /// The sequence number behind the segment of `first_sequence`, if it has a seal.
    pub fn end(&self, first_sequence: u64) -> Option<u64> {
        self.ends.get(&first_sequence).copied()
    }

    /// Whether the segment of `first_sequence` may have had a seal. Segments are sealed in their
    /// order, so one that is older than a sealed one had, and any where the newest is damaged.
    pub fn may_contain(&self, first_sequence: u64) -> bool {
        !self.is_newest_known || self.ends.range(first_sequence..).next().is_some()
    }
}

/// Seals that are in their place, by the segment they are of.
type Seals = BTreeMap<u64, Vec<Seal>>;

/// Read the seals in their order, and say where they do not follow each other.
fn follow_chain(stored: &Stored, directory: &Path, digests: &[String], audit: &mut Audit) -> Seals {
    let file = chain::path(directory);
    let mut seals = Seals::new();
    let mut next_sequence = 0;
    // Unknown behind a line that is no seal, and before the first: older ones may be deleted.
    let mut previous = None;
    for (number, line) in (1..).zip(&stored.lines) {
        audit.seals += 1;
        let mut find = |what| audit.findings.push((file.clone(), format!("line {number}: {what}")));
        let seal = match line {
            Ok(seal) => seal,
            Err(what) => {
                find(*what);
                previous = None;
                continue;
            }
        };
        if previous.is_some_and(|previous| previous != seal.previous) {
            find("does not follow the line before: a seal is missing, exchanged or inserted");
        }
        let of_segment = seals.entry(seal.first_sequence).or_default();
        match (seal.cause, of_segment.last()) {
            (Cause::Closed | Cause::Repaired, None) => {
                if seal.first_sequence < next_sequence {
                    find("is of an older segment than the line before");
                }
                next_sequence = seal.next_sequence;
            }
            (Cause::Closed, Some(_)) => find("seals a segment for a second time"),
            (Cause::Recompressed, Some(older)) if !seal.has_content_of(older) => {
                find("has another content than the segment had when it was sealed");
            }
            (Cause::Recompressed | Cause::Repaired, _) => {}
        }
        let names = [Some(&seal.digest), seal.previous.as_ref()];
        for digest in digests.iter().filter(|digest| names.contains(&Some(digest))) {
            if !audit.known.contains(digest) {
                audit.known.push(digest.clone());
            }
        }
        audit.head = Some(seal.digest.clone());
        previous = Some(Some(seal.digest.clone()));
        of_segment.push(seal.clone());
    }
    seals
}

/// Say which sealed segments are not there, and return those that are.
fn find_missing(directory: &Path, seals: &Seals, audit: &mut Audit) -> Result<Vec<SegmentName>> {
    let mut segments = list_segments(directory)?;
    let mut missing = missing(seals, &segments);
    if !missing.is_empty() {
        // Retention may have been at work while they were listed.
        segments = list_segments(directory)?;
        missing = self::missing(seals, &segments);
    }
    let oldest = segments.first().map(|segment| segment.first_sequence);
    let is_deleted = |sequence: &&u64| oldest.is_none_or(|oldest| **sequence < oldest);
    audit.deleted = seals.keys().filter(is_deleted).count() as u64;
    for sequence in missing {
        let what = "is sealed and not there".to_owned();
        audit.findings.push((segment_path(directory, sequence), what));
    }
    if let Some((_, newest)) = seals.last_key_value()
        && segments.is_empty()
    {
        let end = newest.last().map_or(0, |seal| seal.next_sequence);
        let what = format!("no segment is left, nor the number {end} at which it went on");
        audit.findings.push((directory.to_owned(), what));
    }
    Ok(segments)
}

/// Sealed segments that are not there although an older one is.
fn missing(seals: &Seals, segments: &[SegmentName]) -> Vec<u64> {
    let present: BTreeSet<_> = segments.iter().map(|segment| segment.first_sequence).collect();
    let Some(oldest) = present.first() else { return Vec::new() };
    seals
        .range(oldest..)
        .map(|(sequence, _)| *sequence)
        .filter(|of| !present.contains(of))
        .collect()
}

/// Compare a segment with its seals; `end`: the sequence number behind everything sealed.
fn audit_segment(
    directory: &Path,
    segment: &SegmentName,
    end: u64,
    seals: &Seals,
    audit: &mut Audit,
) -> Result<()> {
    let Some(of_segment) = seals.get(&segment.first_sequence) else {
        let is_empty = fs::metadata(&segment.path).is_ok_and(|metadata| metadata.len() == 0);
        if segment.first_sequence < end {
            let what = "is not in the chain: it was inserted, or its seal was removed";
            audit.findings.push((segment.path.clone(), what.to_owned()));
        } else if !is_empty {
            audit.unsealed += 1;
        }
        return Ok(());
    };
    if of_segment.first().is_some_and(|seal| seal.cause == Cause::Recompressed) {
        let what = "was recompressed and never sealed before".to_owned();
        audit.findings.push((segment.path.clone(), what));
    }
    let Some((bytes, digest)) = digest_file(&segment.path)? else { return Ok(()) };
    // The same content may still, or already, be stored in the bytes of another of its seals.
    let repaired = of_segment.iter().rposition(|seal| seal.cause == Cause::Repaired);
    let same_content = &of_segment[repaired.unwrap_or(0)..];
    let is_of = |seal: &Seal| seal.bytes == bytes && seal.bytes_digest == digest;
    if same_content.iter().any(is_of) || is_sealed_since(directory, segment, is_of)? {
        audit.good += 1;
        if repaired.is_some() {
            audit.repaired.push(segment.path.clone());
        }
    } else {
        let sealed = same_content.last().map_or(0, |seal| seal.bytes);
        let what = if sealed == bytes {
            "is not what was sealed".to_owned()
        } else {
            format!("is not what was sealed: it has {bytes} bytes and had {sealed}")
        };
        audit.findings.push((segment.path.clone(), what));
    }
    Ok(())
}

/// Whether a segment has got a fitting seal since the chain was read.
fn is_sealed_since(
    directory: &Path,
    segment: &SegmentName,
    is_of: impl Fn(&Seal) -> bool,
) -> Result<bool> {
    let mut newest = chain::read(directory)?.lines.into_iter().flatten();
    let newest = newest.rfind(|seal| seal.first_sequence == segment.first_sequence);
    Ok(newest.is_some_and(|seal| seal.cause == Cause::Recompressed && is_of(&seal)))
}

/// Length and BLAKE3 of a file, with zeros for what cannot be read, as when it is sealed; `None`
/// where retention was faster.
fn digest_file(path: &Path) -> Result<Option<(u64, String)>> {
    let mut scan = match Scan::open(path) {
        Ok(scan) => scan,
        Err(Error::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
            return Ok(None);
        }
        Err(error) => return Err(error),
    };
    let mut hasher = Hasher::new();
    loop {
        let piece = scan.bytes(hasher.count(), PIECE)?;
        if piece.is_empty() {
            return Ok(Some((hasher.count(), hasher.finalize().to_hex().to_string())));
        }
        hasher.update(piece);
    }
}
