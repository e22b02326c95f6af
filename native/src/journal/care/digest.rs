//! The digests of a segment, batch by batch, so that they can follow the writer. Every byte is
//! hashed once; what the batches say, however they are stored, a second time where that is asked.

use std::path::Path;

use blake3::{Hash, Hasher};

use super::super::encode::Decoder;
use super::super::format::Metadata;
use super::super::scan::{Check, Scan, Step};
use crate::error::{Error, Result};

/// Damage is hashed in pieces of this size.
const PIECE: u64 = 1 << 20;

/// What is in a segment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Contents {
    pub first_sequence: u64,
    pub next_sequence: u64,
    pub events: u64,
    pub bytes: u64,
    pub bytes_digest: Hash,
    /// `None` where it was not asked for.
    pub content_digest: Option<Hash>,
    /// Not all of it is intact batches.
    pub is_damaged: bool,
}

/// A segment on the way through its digests.
pub(super) struct SegmentDigest {
    scan: Scan,
    bytes_hasher: Hasher,
    content: Option<Content>,
    contents: Contents,
}

/// What the batches say, on its way into a digest.
struct Content {
    hasher: Hasher,
    decoder: Decoder,
    /// Of the batch that was taken in last.
    lines: Vec<u8>,
}

impl SegmentDigest {
    /// Of the bytes alone: half of the work, as nothing is decoded nor hashed twice.
    pub fn of_bytes(path: &Path, first_sequence: u64) -> Result<Self> {
        Self::open(path, first_sequence, None)
    }

    /// Of the bytes and of what they say.
    pub fn of_content(path: &Path, first_sequence: u64) -> Result<Self> {
        let decoder = Decoder::new().map_err(Error::Invalid)?;
        let content = Content { hasher: Hasher::new(), decoder, lines: Vec::new() };
        Self::open(path, first_sequence, Some(content))
    }

    fn open(path: &Path, first_sequence: u64, content: Option<Content>) -> Result<Self> {
        Ok(Self {
            scan: Scan::open(path)?,
            bytes_hasher: Hasher::new(),
            content,
            contents: Contents {
                first_sequence,
                next_sequence: first_sequence,
                events: 0,
                bytes: 0,
                bytes_digest: Hash::from_bytes([0; 32]),
                content_digest: None,
                is_damaged: false,
            },
        })
    }

    pub fn first_sequence(&self) -> u64 {
        self.contents.first_sequence
    }

    /// Bytes taken in.
    pub fn bytes(&self) -> u64 {
        self.contents.bytes
    }

    /// Take in the next batch of a closed segment, or the damage before it. False at the end.
    pub fn advance(&mut self) -> Result<bool> {
        let offset = self.contents.bytes;
        let step = self.scan.step(offset, Check::Data)?;
        let end = match step {
            Step::Batch(metadata) => {
                self.take(&metadata);
                return Ok(true);
            }
            Step::Damaged { end, .. } => end,
            Step::Torn { .. } => self.scan.length()?,
            Step::End => return Ok(false),
        };
        self.contents.is_damaged = true;
        while self.contents.bytes < end {
            let wanted = (end - self.contents.bytes).min(PIECE);
            let piece = self.scan.bytes(self.contents.bytes, wanted)?;
            if piece.is_empty() {
                break;
            }
            self.bytes_hasher.update(piece);
            self.contents.bytes += piece.len() as u64;
        }
        Ok(true)
    }

    /// Take in the next batch of a live segment, if everything in it is below
    /// `durable_sequence`: what is not may still be cut off. False where there is none.
    pub fn follow(&mut self, durable_sequence: u64) -> Result<bool> {
        if self.contents.next_sequence >= durable_sequence {
            return Ok(false);
        }
        match self.scan.step(self.contents.bytes, Check::Data)? {
            Step::Batch(metadata) if metadata.next_sequence() <= durable_sequence => {
                self.take(&metadata);
                Ok(true)
            }
            _ => Ok(false),
        }
    }

    /// The lines of the batch that was taken in last, where there is to be a digest of them.
    pub fn lines(&self) -> &[u8] {
        self.content.as_ref().map_or(&[], |content| &content.lines)
    }

    /// Its metadata frame.
    pub fn metadata_frame(&self) -> &[u8] {
        self.scan.metadata_frame()
    }

    pub fn finish(mut self) -> Contents {
        self.contents.bytes_digest = self.bytes_hasher.finalize();
        self.contents.content_digest = self.content.map(|content| content.hasher.finalize());
        self.contents
    }

    fn take(&mut self, metadata: &Metadata) {
        let frame = self.scan.metadata_frame();
        self.bytes_hasher.update(frame);
        self.bytes_hasher.update(self.scan.data());
        let contents = &mut self.contents;
        contents.bytes += metadata.stored_length();
        contents.next_sequence = metadata.next_sequence();
        if let Some(content) = &mut self.content
            && !content.take(metadata, frame, self.scan.data())
        {
            contents.is_damaged = true;
            return;
        }
        contents.events += metadata.count;
    }
}

impl Content {
    /// Whether the data frame holds what its metadata frame announces.
    fn take(&mut self, metadata: &Metadata, metadata_frame: &[u8], data: &[u8]) -> bool {
        if self.decoder.decode(metadata, data, &mut self.lines).is_err() {
            return false;
        }
        for part in Metadata::lasting(metadata_frame) {
            self.hasher.update(part);
        }
        self.hasher.update(&self.lines);
        true
    }
}
