//! Walks a shard from end to end and says everything that is wrong with it. Changes nothing.

use std::io;
use std::path::{Path, PathBuf};

use super::care::{Sealed, known_missing};
use super::directory::list_segments;
use super::encode::Decoder;
use super::format::Metadata;
use super::scan::{Check, Scan, Step};
use crate::error::{Error, Result};

/// What is wrong at one place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Byte offset in the segment.
    pub offset: u64,
    /// What sort of thing it is.
    pub kind: FindingKind,
    /// What it is, in words.
    pub what: String,
}

/// Sorts of findings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FindingKind {
    /// Stored bytes are not what was written.
    Damage,
    /// Sequence numbers are missing.
    Gap,
    /// Sequence numbers are missing that a repair recorded as lost. No damage any more.
    KnownGap,
    /// Sequence numbers occur twice.
    Overlap,
    /// The last segment ends within a batch: one that is being written at the moment, or that a
    /// dead writer left and the next one will cut off. No damage.
    TornTail,
}

impl FindingKind {
    /// The name users see.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Damage => "damage",
            Self::Gap => "gap",
            Self::KnownGap => "known_gap",
            Self::Overlap => "overlap",
            Self::TornTail => "torn_tail",
        }
    }
}

/// One segment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SegmentReport {
    /// The file.
    pub path: PathBuf,
    /// The sequence number that its name says.
    pub first_sequence: u64,
    /// The sequence number behind its last batch.
    pub next_sequence: u64,
    /// Bytes of the file.
    pub bytes: u64,
    /// Intact batches.
    pub batches: u64,
    /// Events in them.
    pub events: u64,
    /// What is wrong, in the order of the offsets.
    pub findings: Vec<Finding>,
}

impl SegmentReport {
    fn find(&mut self, offset: u64, kind: FindingKind, what: impl Into<String>) {
        self.findings.push(Finding { offset, kind, what: what.into() });
    }
}

/// Check every segment of a shard: all checksums, that the data can be decoded and holds the
/// promised lines, and that sequence numbers follow each other within and between segments.
pub fn verify_directory(directory: &Path) -> Result<Vec<SegmentReport>> {
    let segments = list_segments(directory)?;
    let known = known_missing(directory)?;
    let sealed = Sealed::read(directory)?;
    let mut decoder = Decoder::new().map_err(Error::Invalid)?;
    let mut reports = Vec::new();
    let mut expected = None;
    for (index, segment) in segments.iter().enumerate() {
        let mut scan = match Scan::open(&segment.path) {
            Ok(scan) => scan,
            Err(Error::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
                // Deleted by retention since it was listed, so what follows is no gap.
                expected = None;
                continue;
            }
            Err(error) => return Err(error),
        };
        let mut report = SegmentReport {
            path: segment.path.clone(),
            first_sequence: segment.first_sequence,
            next_sequence: segment.first_sequence,
            bytes: 0,
            batches: 0,
            events: 0,
            findings: Vec::new(),
        };
        compare_sequence(&mut report, 0, expected, segment.first_sequence, &known);
        verify_segment(&mut scan, &mut decoder, &known, &mut report)?;
        report.bytes = scan.length()?;
        if index + 1 < segments.len() || sealed.end(segment.first_sequence).is_some() {
            // What has a successor or a seal is not live, so its tail should be whole.
            for finding in &mut report.findings {
                if finding.kind == FindingKind::TornTail {
                    finding.kind = FindingKind::Damage;
                }
            }
        }
        expected = Some(report.next_sequence);
        reports.push(report);
    }
    Ok(reports)
}

fn verify_segment(
    scan: &mut Scan,
    decoder: &mut Decoder,
    known: &[(u64, u64)],
    report: &mut SegmentReport,
) -> Result<()> {
    let mut lines = Vec::new();
    let mut offset = 0;
    loop {
        match scan.step(offset, Check::Data)? {
            Step::Batch(metadata) => {
                compare_sequence(
                    report,
                    offset,
                    Some(report.next_sequence),
                    metadata.first_sequence,
                    known,
                );
                match check_lines(scan, decoder, &metadata, &mut lines) {
                    Ok(()) => {
                        report.batches += 1;
                        report.events += metadata.count;
                    }
                    Err(what) => report.find(offset, FindingKind::Damage, what),
                }
                report.next_sequence = metadata.next_sequence();
                offset += metadata.stored_length();
            }
            Step::Damaged { end, what } => {
                let what = format!("{what}; {} bytes until the next batch", end - offset);
                report.find(offset, FindingKind::Damage, what);
                offset = end;
            }
            Step::Torn { incomplete, what } => {
                let kind = if incomplete { FindingKind::TornTail } else { FindingKind::Damage };
                report.find(offset, kind, what);
                return Ok(());
            }
            Step::End => return Ok(()),
        }
    }
}

fn compare_sequence(
    report: &mut SegmentReport,
    offset: u64,
    expected: Option<u64>,
    found: u64,
    known: &[(u64, u64)],
) {
    let Some(expected) = expected else { return };
    if found > expected {
        let what = format!("{} sequence numbers missing from {expected} on", found - expected);
        let is_known = known.iter().any(|&(from, to)| from <= expected && found <= to);
        let kind = if is_known { FindingKind::KnownGap } else { FindingKind::Gap };
        report.find(offset, kind, what);
    } else if found < expected {
        let what = format!("sequence number {found} again, {expected} expected");
        report.find(offset, FindingKind::Overlap, what);
    }
}

/// Whether the data of a batch is the lines that its metadata promises; in words why not.
pub(super) fn check_lines(
    scan: &Scan,
    decoder: &mut Decoder,
    metadata: &Metadata,
    lines: &mut Vec<u8>,
) -> std::result::Result<(), String> {
    decoder.decode(metadata, scan.data(), lines)?;
    let found = memchr::memchr_iter(b'\n', lines).count() as u64;
    if found != metadata.count || lines.last() != Some(&b'\n') {
        return Err(format!("{found} line ends for {} events", metadata.count));
    }
    let by_source: u64 = metadata.sources.iter().map(|(_, events)| events).sum();
    if by_source != metadata.count {
        return Err(format!("sources account for {by_source} of {} events", metadata.count));
    }
    Ok(())
}
