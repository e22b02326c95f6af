//! Hops through a segment from metadata frame to metadata frame, and over what is damaged.
//! What the disk cannot read is damaged too: in its place are zeros.

use std::collections::BTreeSet;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use memchr::memmem;
use twox_hash::XxHash3_64;

use super::format::{Decoded, Metadata, SIGNATURE, SIGNATURE_OFFSET};
use crate::error::{Error, Result};

/// Holds nearly every metadata frame.
const METADATA_READ: usize = 1024;
const SCAN_READ: usize = 256 << 10;
/// What a disk cannot read is passed over in blocks of this size.
const BLOCK: u64 = 4 << 10;
const UNREADABLE: &str = "the disk cannot read it";

/// How much of a batch has to be right for it to be one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Check {
    /// The metadata frame, and that the file is long enough for the data. Reads no data.
    Metadata,
    /// Also the checksum of the data, which is in [`Scan::data`] afterwards.
    Data,
}

/// What there is at some offset of a segment.
#[derive(Debug)]
pub(super) enum Step {
    Batch(Metadata),
    /// No batch, but one begins at `end`.
    Damaged {
        end: u64,
        what: &'static str,
    },
    /// No batch, and none behind. `incomplete`: it begins like one that the file is too short
    /// for, as a writer leaves it that died or is still at work.
    Torn {
        incomplete: bool,
        what: &'static str,
    },
    /// The end of the file.
    End,
}

enum Entry {
    Batch(Metadata),
    Incomplete(&'static str),
    Invalid(&'static str),
}

/// A segment that is read; it may be written at the same time.
#[derive(Debug)]
pub(super) struct Scan {
    file: File,
    path: PathBuf,
    buffer: Vec<u8>,
    /// Bytes of the metadata frame at the beginning of the buffer, after a batch was found.
    metadata_length: usize,
    data: Vec<u8>,
    /// Where blocks begin that could not be read.
    unreadable: BTreeSet<u64>,
}

impl Scan {
    pub fn open(path: &Path) -> Result<Self> {
        let file = File::open(path)
            .map_err(|error| Error::io(format!("open {}", path.display()), error))?;
        let path = path.to_owned();
        Ok(Self {
            file,
            path,
            buffer: Vec::new(),
            metadata_length: 0,
            data: Vec::new(),
            unreadable: BTreeSet::new(),
        })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The data frame of the batch that was checked last.
    pub fn data(&self) -> &[u8] {
        &self.data
    }

    /// The metadata frame of the batch that was found last.
    pub fn metadata_frame(&self) -> &[u8] {
        &self.buffer[..self.metadata_length]
    }

    /// Up to `wanted` bytes at `offset`, whatever they are; zeros where they cannot be read.
    pub fn bytes(&mut self, offset: u64, wanted: u64) -> Result<&[u8]> {
        self.metadata_length = 0;
        let end = self.length()?.min(offset.saturating_add(wanted));
        self.read(offset, usize::MAX, end.max(offset))?;
        Ok(&self.buffer)
    }

    /// Whether the disk could not read some of what is from `from` to `to`.
    pub fn is_unreadable(&self, from: u64, to: u64) -> bool {
        self.unreadable.range(block_of(from)..to).next().is_some()
    }

    pub fn length(&self) -> Result<u64> {
        let metadata = self.file.metadata();
        metadata.map(|metadata| metadata.len()).map_err(|error| self.failed(error))
    }

    /// Look at `offset`, where a batch should begin or the file end.
    pub fn step(&mut self, offset: u64, check: Check) -> Result<Step> {
        let length = self.length()?;
        if offset >= length {
            return Ok(Step::End);
        }
        let (incomplete, what) = match self.entry(offset, length, check)? {
            Entry::Batch(metadata) => return Ok(Step::Batch(metadata)),
            Entry::Incomplete(what) => (true, what),
            Entry::Invalid(what) => (false, what),
        };
        let next = self.next_batch(offset + 1, length, check)?;
        let is_unreadable = self.is_unreadable(offset, next.unwrap_or(length));
        let what = if is_unreadable { UNREADABLE } else { what };
        Ok(match next {
            Some(end) => Step::Damaged { end, what },
            // A dying writer leaves what can be read.
            None => Step::Torn { incomplete: incomplete && !is_unreadable, what },
        })
    }

    fn entry(&mut self, offset: u64, length: u64, check: Check) -> Result<Entry> {
        self.metadata_length = 0;
        self.read(offset, METADATA_READ, length)?;
        let mut decoded = Metadata::decode(&self.buffer);
        if let Decoded::Incomplete(needed) = decoded
            && needed > METADATA_READ
        {
            self.read(offset, needed, length)?;
            decoded = Metadata::decode(&self.buffer);
        }
        let metadata = match decoded {
            Decoded::Metadata(metadata) => metadata,
            Decoded::Incomplete(_) => return Ok(Entry::Incomplete("the metadata is cut off")),
            Decoded::Invalid(what) => return Ok(Entry::Invalid(what)),
        };
        if length - offset < metadata.stored_length() {
            return Ok(Entry::Incomplete("the data is cut off"));
        }
        if check == Check::Data && !self.data_matches(offset, &metadata)? {
            return Ok(Entry::Invalid("data checksum does not match"));
        }
        // No longer than what was read: that is where it was decoded from.
        self.metadata_length = usize::try_from(metadata.length).unwrap_or(0);
        Ok(Entry::Batch(metadata))
    }

    fn data_matches(&mut self, offset: u64, metadata: &Metadata) -> Result<bool> {
        let Ok(length) = usize::try_from(metadata.data_length) else { return Ok(false) };
        let mut data = std::mem::take(&mut self.data);
        data.resize(length, 0);
        let read = self.read_at(&mut data, offset + metadata.length)?;
        self.data = data;
        // A file that was cut meanwhile is shorter than it was a moment ago.
        Ok(read == length && XxHash3_64::oneshot(&self.data) == metadata.data_checksum)
    }

    /// Where the next batch begins, at `from` or behind.
    fn next_batch(&mut self, from: u64, length: u64, check: Check) -> Result<Option<u64>> {
        let signature = memmem::Finder::new(SIGNATURE);
        let mut at = from + SIGNATURE_OFFSET;
        while at < length {
            self.read(at, SCAN_READ, length)?;
            let Some(found) = signature.find(&self.buffer) else {
                if self.buffer.len() < SCAN_READ {
                    return Ok(None);
                }
                // The signature may begin in this piece and end in the next.
                at += (SCAN_READ - SIGNATURE.len() + 1) as u64;
                continue;
            };
            let begin = at + found as u64 - SIGNATURE_OFFSET;
            if let Entry::Batch(_) = self.entry(begin, length, check)? {
                return Ok(Some(begin));
            }
            at += found as u64 + 1;
        }
        Ok(None)
    }

    /// Fill the buffer with up to `wanted` bytes at `offset` of a file of `length` bytes.
    fn read(&mut self, offset: u64, wanted: usize, length: u64) -> Result<()> {
        let left = usize::try_from(length - offset).unwrap_or(usize::MAX);
        let mut buffer = std::mem::take(&mut self.buffer);
        buffer.resize(wanted.min(left), 0);
        let read = self.read_at(&mut buffer, offset)?;
        buffer.truncate(read);
        self.buffer = buffer;
        Ok(())
    }

    fn read_at(&mut self, out: &mut [u8], offset: u64) -> Result<usize> {
        let mut filled = 0;
        while filled < out.len() {
            let at = offset + filled as u64;
            match self.file.read_at(&mut out[filled..], at) {
                Ok(0) => break,
                Ok(bytes) => filled += bytes,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.raw_os_error() == Some(libc::EIO) => {
                    self.unreadable.insert(block_of(at));
                    let rest = &mut out[filled..];
                    let length = rest.len().min(usize::try_from(next_block(at) - at).unwrap_or(0));
                    rest[..length].fill(0);
                    filled += length;
                }
                Err(error) => return Err(self.failed(error)),
            }
        }
        Ok(filled)
    }

    fn failed(&self, error: io::Error) -> Error {
        Error::io(format!("read {}", self.path.display()), error)
    }
}

/// Where the block begins that holds `offset`.
fn block_of(offset: u64) -> u64 {
    offset - offset % BLOCK
}

/// Where the block behind it begins: the next place at which reading may work.
pub(super) fn next_block(offset: u64) -> u64 {
    block_of(offset) + BLOCK
}
