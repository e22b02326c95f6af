//! Stores the content of a sealed segment in fewer bytes, beside it and batch by batch.
//! What it writes is read back and compared before anybody sees it.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

use twox_hash::XxHash3_64;
use zstd_safe::{CCtx, CParameter};

use super::super::encode::describe;
use super::super::format::{DataFacts, Metadata};
use super::digest::{Contents, SegmentDigest};
use super::idle::free_bytes;
use super::seal::Seal;
use crate::error::{Error, Result};

/// Behind the name of the segment: no reader looks for files named like that.
const DRAFT: &str = ".draft";
/// So much of the lines shows what there is to gain.
const SAMPLE_BYTES: u64 = 8 << 20;
/// A segment is replaced if at most this many percent of it are left.
const WORTHWHILE_PERCENT: u64 = 95;
/// The file system keeps room for so many segments, or nothing is recompressed.
const FREE_SEGMENTS: u64 = 4;

/// How far it is.
pub(super) enum Progress {
    /// There is more to do.
    Working,
    /// The draft holds what the segment does, in fewer bytes, and is durable.
    Ready(Contents),
    /// The segment stays as it is.
    Declined,
    /// There is no room for it at the moment.
    Postponed,
}

enum Stage {
    Packing,
    Checking(Box<SegmentDigest>),
}

/// One segment on its way.
pub(super) struct Recompression {
    path: PathBuf,
    draft_path: PathBuf,
    draft: File,
    /// What the segment was when it was sealed.
    seal: Seal,
    /// `None` once it is at its end.
    source: Option<SegmentDigest>,
    stage: Stage,
    compressor: CCtx<'static>,
    metadata: Vec<u8>,
    data: Vec<u8>,
    source_bytes: u64,
    draft_bytes: u64,
    lines_bytes: u64,
}

/// The draft for the segment at `path`.
pub(super) fn draft_path(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(DRAFT);
    name.into()
}

/// Whether the file system has room for a draft of the segment at `path`, and far more.
pub(super) fn has_room(path: &Path, seal: &Seal) -> bool {
    free_bytes(path) >= seal.bytes.saturating_mul(FREE_SEGMENTS)
}

/// Remove the drafts that a predecessor left in `directory`.
pub(super) fn remove_drafts(directory: &Path) -> Result<()> {
    let failed = |error| Error::io(format!("remove drafts in {}", directory.display()), error);
    for entry in fs::read_dir(directory).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let name = entry.file_name();
        if name.to_str().is_some_and(|name| name.ends_with(&format!(".ndjson.zst{DRAFT}"))) {
            fs::remove_file(entry.path()).map_err(failed)?;
        }
    }
    Ok(())
}

impl Recompression {
    /// Begin with the segment at `path`.
    pub fn begin(path: &Path, seal: &Seal, level: i32) -> Result<Self> {
        let source = SegmentDigest::of_content(path, seal.first_sequence)?;
        let mut compressor =
            CCtx::try_create().ok_or_else(|| Error::Invalid("out of memory for zstd".into()))?;
        compressor
            .set_parameter(CParameter::CompressionLevel(level))
            .map_err(|code| Error::Invalid(describe(code)))?;
        let draft_path = draft_path(path);
        let draft = OpenOptions::new().create_new(true).append(true).open(&draft_path);
        let draft = draft.map_err(|error| failed(&draft_path, "create", error))?;
        Ok(Self {
            path: path.to_owned(),
            draft_path,
            draft,
            seal: seal.clone(),
            source: Some(source),
            stage: Stage::Packing,
            compressor,
            metadata: Vec::new(),
            data: Vec::new(),
            source_bytes: 0,
            draft_bytes: 0,
            lines_bytes: 0,
        })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    pub fn draft_path(&self) -> &Path {
        &self.draft_path
    }

    pub fn seal(&self) -> &Seal {
        &self.seal
    }

    /// Go on by a batch.
    pub fn step(&mut self) -> Result<Progress> {
        match &mut self.stage {
            Stage::Packing => self.pack(),
            Stage::Checking(check) => {
                if check.advance()? {
                    return Ok(Progress::Working);
                }
                let Stage::Checking(check) = std::mem::replace(&mut self.stage, Stage::Packing)
                else {
                    return Ok(Progress::Declined);
                };
                let contents = check.finish();
                if !self.is_sealed(&contents) {
                    let what = "what was read back is not what was recompressed";
                    return Err(Error::damaged(&self.draft_path, 0, what));
                }
                Ok(Progress::Ready(contents))
            }
        }
    }

    fn pack(&mut self) -> Result<Progress> {
        let Some(source) = &mut self.source else { return Ok(Progress::Declined) };
        if source.advance()? {
            if source.metadata_frame().is_empty() {
                return Ok(Progress::Declined); // damage is left for people to see
            }
            if !has_room(&self.path, &self.seal) {
                return Ok(Progress::Postponed);
            }
            self.add_batch()?;
            let is_sampled = self.lines_bytes >= SAMPLE_BYTES && !self.is_worthwhile();
            return Ok(if is_sampled { Progress::Declined } else { Progress::Working });
        }
        let contents = self.source.take().map(SegmentDigest::finish);
        // What was changed since it was sealed must not get a new seal.
        if !contents.is_some_and(|contents| self.is_sealed(&contents)) || !self.is_worthwhile() {
            return Ok(Progress::Declined);
        }
        self.keep_times().map_err(|error| failed(&self.draft_path, "sync", error))?;
        let check = SegmentDigest::of_content(&self.draft_path, self.seal.first_sequence)?;
        self.stage = Stage::Checking(Box::new(check));
        Ok(Progress::Working)
    }

    fn add_batch(&mut self) -> Result<()> {
        let Some(source) = &self.source else { return Ok(()) };
        let lines = source.lines();
        self.data.clear();
        self.data.reserve(zstd_safe::compress_bound(lines.len()));
        self.compressor
            .compress2(&mut self.data, lines)
            .map_err(|code| Error::Invalid(describe(code)))?;
        let checksum = XxHash3_64::oneshot(&self.data);
        let facts = DataFacts { length: self.data.len() as u64, checksum };
        Metadata::renew(source.metadata_frame(), facts, &mut self.metadata);
        for part in [&self.metadata, &self.data] {
            self.draft.write_all(part).map_err(|error| failed(&self.draft_path, "write", error))?;
            self.draft_bytes += part.len() as u64;
        }
        self.source_bytes = source.bytes();
        self.lines_bytes += lines.len() as u64;
        Ok(())
    }

    fn is_sealed(&self, contents: &Contents) -> bool {
        !contents.is_damaged && self.seal.is_of_content(contents)
    }

    fn is_worthwhile(&self) -> bool {
        self.draft_bytes * 100 <= self.source_bytes * WORTHWHILE_PERCENT
    }

    /// Retention goes by the time of the last write, so the draft gets that of the segment.
    fn keep_times(&self) -> std::io::Result<()> {
        let metadata = fs::metadata(&self.path)?;
        self.draft.set_permissions(metadata.permissions())?;
        self.draft.set_modified(metadata.modified()?)?;
        self.draft.sync_all()
    }
}

/// A draft that did not become a segment is of no use. After the swap there is none.
impl Drop for Recompression {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.draft_path);
    }
}

fn failed(path: &Path, what: &str, error: std::io::Error) -> Error {
    Error::io(format!("{what} {}", path.display()), error)
}
