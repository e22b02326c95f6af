//! Takes what is damaged out of the segments of a shard that nobody writes to. Every intact
//! batch stays as it is, the damaged file is kept under another name, and the chain records
//! what is lost.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::super::directory::{
    DirectoryLock, SegmentName, list_segments, segment_path, sync_directory,
};
use super::super::encode::Decoder;
use super::super::format::Metadata;
use super::super::scan::{Check, Scan, Step};
use super::super::verify::check_lines;
use super::audit::Sealed;
use super::chain::Chain;
use super::digest::{Contents, SegmentDigest};
use super::recompress::{draft_path, remove_drafts};
use super::seal::{Cause, Seal};
use crate::clock;
use crate::error::{Error, Result};

/// Behind the name of a segment: no reader looks for files named like that.
const DAMAGED: &str = ".damaged";
/// So many bytes are copied at a time.
const PIECE: u64 = 1 << 20;

/// What was done, or would be, for one damaged segment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Repair {
    /// The segment.
    pub path: PathBuf,
    /// Where the damaged file is kept; `None` when nothing was changed.
    pub damaged_path: Option<PathBuf>,
    /// Intact batches, which stay.
    pub batches: u64,
    /// Events in them.
    pub events: u64,
    /// Bytes that are no intact batch.
    pub damaged_bytes: u64,
    /// Sequence numbers that are lost, each from the first to the one behind the last.
    pub missing: Vec<(u64, u64)>,
}

/// Repair the shard in `directory`, or only say what would be done. Fails when a writer is at
/// work there, or the keeper of one.
pub fn repair_directory(directory: &Path, dry_run: bool) -> Result<Vec<Repair>> {
    let _lock = DirectoryLock::acquire(directory)?;
    let segments = list_segments(directory)?;
    let sealed = Sealed::read(directory)?;
    let mut surveys = Vec::new();
    for (index, segment) in segments.iter().enumerate() {
        let next = segments.get(index + 1).map(|next| next.first_sequence);
        let sealed_sequence = sealed.end(segment.first_sequence);
        surveys.push(Survey::take(segment, next, sealed_sequence)?);
    }
    let damaged = surveys.iter().filter(|survey| survey.damaged_bytes > 0).count();
    if dry_run || damaged == 0 {
        let damaged = surveys.into_iter().filter(|survey| survey.damaged_bytes > 0);
        return Ok(damaged.map(|survey| survey.report(None)).collect());
    }
    let mut chain = Chain::open(directory)?.ok_or_else(|| {
        let busy = io::Error::from_raw_os_error(libc::EWOULDBLOCK);
        Error::io(format!("lock the seals in {}", directory.display()), busy)
    })?;
    remove_drafts(directory)?;
    let shard = surveys.iter().find(|survey| survey.batches > 0).map_or(0, |survey| survey.shard);
    let mut repairs = Vec::new();
    for mut survey in surveys {
        survey.shard = shard;
        if repairs.len() == damaged {
            break; // what is behind is for the server to seal
        }
        if survey.damaged_bytes > 0 {
            let damaged_path = survey.apply(directory, &mut chain)?;
            repairs.push(survey.report(Some(damaged_path)));
        } else if survey.batches > 0 && !chain.is_beyond(survey.first_sequence) {
            // Segments are sealed in their order.
            let contents = digest(&survey.path, survey.first_sequence)?;
            chain.append(Seal::new(survey.shard, Cause::Closed, clock::now_ns(), &contents))?;
        }
    }
    Ok(repairs)
}

/// What is in one segment, and what is not.
struct Survey {
    path: PathBuf,
    shard: u32,
    first_sequence: u64,
    /// Whether it is the last: then nothing says where its numbers end but what is in it.
    is_last: bool,
    /// Offset and length of the intact parts.
    intact: Vec<(u64, u64)>,
    batches: u64,
    events: u64,
    damaged_bytes: u64,
    /// Behind the last intact batch.
    next_sequence: u64,
    /// The same, according to its seal, or to what a damaged batch at the end says of itself.
    announced_sequence: u64,
    missing: Vec<(u64, u64)>,
}

impl Survey {
    fn take(
        segment: &SegmentName,
        next: Option<u64>,
        sealed_sequence: Option<u64>,
    ) -> Result<Self> {
        let first_sequence = segment.first_sequence;
        let mut survey = Self {
            path: segment.path.clone(),
            shard: 0,
            first_sequence,
            is_last: next.is_none(),
            intact: Vec::new(),
            batches: 0,
            events: 0,
            damaged_bytes: 0,
            next_sequence: first_sequence,
            announced_sequence: sealed_sequence.unwrap_or(first_sequence),
            missing: Vec::new(),
        };
        let may_be_torn = next.is_none() && sealed_sequence.is_none();
        let ends_damaged = survey.walk(&mut Scan::open(&segment.path)?, may_be_torn)?;
        let end = next.unwrap_or(survey.announced_sequence);
        if ends_damaged && survey.next_sequence < end {
            survey.missing.push((survey.next_sequence, end));
        }
        Ok(survey)
    }

    /// Look at every batch; whether damage is behind the last intact one.
    fn walk(&mut self, scan: &mut Scan, may_be_torn: bool) -> Result<bool> {
        let mut decoder = Decoder::new().map_err(Error::Invalid)?;
        let mut lines = Vec::new();
        let mut offset = 0;
        let mut ends_damaged = false;
        loop {
            let end = match scan.step(offset, Check::Data)? {
                Step::Batch(metadata) => {
                    let end = offset + metadata.stored_length();
                    if check_lines(scan, &mut decoder, &metadata, &mut lines).is_ok() {
                        self.keep(offset, &metadata);
                        ends_damaged = false;
                        offset = end;
                        continue;
                    }
                    end
                }
                Step::Damaged { end, .. } => end,
                // What a dead writer left is for the next one to cut off.
                Step::Torn { incomplete: true, .. } if may_be_torn && self.damaged_bytes == 0 => {
                    return Ok(false);
                }
                Step::Torn { .. } => scan.length()?,
                Step::End => return Ok(ends_damaged),
            };
            if let Step::Batch(metadata) = scan.step(offset, Check::Metadata)? {
                self.announced_sequence = self.announced_sequence.max(metadata.next_sequence());
            }
            self.damaged_bytes += end - offset;
            ends_damaged = true;
            offset = end;
        }
    }

    fn keep(&mut self, offset: u64, metadata: &Metadata) {
        if metadata.first_sequence > self.next_sequence {
            self.missing.push((self.next_sequence, metadata.first_sequence));
        }
        self.shard = metadata.shard;
        self.batches += 1;
        self.events += metadata.count;
        self.next_sequence = metadata.next_sequence();
        self.announced_sequence = self.announced_sequence.max(self.next_sequence);
        self.intact.push((offset, metadata.stored_length()));
    }

    /// Put the intact parts in the place of the segment. At every moment its name stands for
    /// one of the two files, and the damaged one has a name. Returns that name.
    fn apply(&self, directory: &Path, chain: &mut Chain) -> Result<PathBuf> {
        let failed = |error| Error::io(format!("repair {}", self.path.display()), error);
        let draft = draft_path(&self.path);
        self.write_intact(&draft).map_err(failed)?;
        let contents = digest(&draft, self.first_sequence)?;
        if contents.is_damaged || contents.events != self.events {
            return Err(Error::damaged(&draft, 0, "what was read back is not what was copied"));
        }
        let damaged_path = self.keep_damaged().map_err(failed)?;
        if self.is_last && self.announced_sequence > self.next_sequence {
            // These numbers were given out, and are not to be given to other events.
            let reserved = segment_path(directory, self.announced_sequence);
            File::create_new(reserved).map_err(failed)?;
        }
        sync_directory(directory)?;
        // The last one, when nothing is left of it, is for the next start to write to.
        if contents.bytes > 0 || !self.is_last || self.announced_sequence > self.next_sequence {
            let mut seal = Seal::new(self.shard, Cause::Repaired, clock::now_ns(), &contents);
            seal.missing.clone_from(&self.missing);
            chain.append(seal)?;
        }
        fs::rename(&draft, &self.path).map_err(failed)?;
        sync_directory(directory)?;
        Ok(damaged_path)
    }

    fn write_intact(&self, draft: &Path) -> io::Result<()> {
        let source = File::open(&self.path)?;
        let mut file = OpenOptions::new().create_new(true).append(true).open(draft)?;
        let mut scan = Scan::open(&self.path).map_err(io::Error::other)?;
        for &(offset, length) in &self.intact {
            let mut at = offset;
            while at < offset + length {
                let wanted = (offset + length - at).min(PIECE);
                let piece = scan.bytes(at, wanted).map_err(io::Error::other)?;
                if piece.is_empty() {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
                file.write_all(piece)?;
                at += piece.len() as u64;
            }
        }
        let metadata = source.metadata()?;
        file.set_permissions(metadata.permissions())?;
        file.set_modified(metadata.modified()?)?;
        file.sync_all()
    }

    /// Give the damaged file another name besides its own.
    fn keep_damaged(&self) -> io::Result<PathBuf> {
        let inode = fs::metadata(&self.path)?.ino();
        let mut number = 1;
        loop {
            let mut name = self.path.as_os_str().to_owned();
            name.push(DAMAGED);
            if number > 1 {
                name.push(format!("-{number}"));
            }
            match fs::hard_link(&self.path, &name) {
                // It may be there from a repair before, or from this one before it was killed.
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                    if fs::metadata(&name)?.ino() == inode {
                        return Ok(name.into());
                    }
                    number += 1;
                }
                Err(error) => return Err(error),
                Ok(()) => return Ok(name.into()),
            }
        }
    }

    fn report(self, damaged_path: Option<PathBuf>) -> Repair {
        Repair {
            path: self.path,
            damaged_path,
            batches: self.batches,
            events: self.events,
            damaged_bytes: self.damaged_bytes,
            missing: self.missing,
        }
    }
}

fn digest(path: &Path, first_sequence: u64) -> Result<Contents> {
    let mut digest = SegmentDigest::of_content(path, first_sequence)?;
    while digest.advance()? {}
    Ok(digest.finish())
}
