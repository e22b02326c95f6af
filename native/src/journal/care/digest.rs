//! The digests of a segment, batch by batch, so that they can follow the writer.

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
    pub content_digest: Hash,
    /// Not all of it is intact batches.
    pub is_damaged: bool,
}

/// A segment on the way through its digests.
pub(super) struct SegmentDigest {
    scan: Scan,
    decoder: Decoder,
    /// Of the batch that was taken in last.
    lines: Vec<u8>,
    bytes_hasher: Hasher,
    content_hasher: Hasher,
    contents: Contents,
}

impl SegmentDigest {
    pub fn open(path: &Path, first_sequence: u64) -> Result<Self> {
        let none = Hash::from_bytes([0; 32]);
        Ok(Self {
            scan: Scan::open(path)?,
            decoder: Decoder::new().map_err(Error::Invalid)?,
            lines: Vec::new(),
            bytes_hasher: Hasher::new(),
            content_hasher: Hasher::new(),
            contents: Contents {
                first_sequence,
                next_sequence: first_sequence,
                events: 0,
                bytes: 0,
                bytes_digest: none,
                content_digest: none,
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

    /// The lines of the batch that was taken in last.
    pub fn lines(&self) -> &[u8] {
        &self.lines
    }

    /// Its metadata frame.
    pub fn metadata_frame(&self) -> &[u8] {
        self.scan.metadata_frame()
    }

    pub fn finish(mut self) -> Contents {
        self.contents.bytes_digest = self.bytes_hasher.finalize();
        self.contents.content_digest = self.content_hasher.finalize();
        self.contents
    }

    fn take(&mut self, metadata: &Metadata) {
        let frame = self.scan.metadata_frame();
        self.bytes_hasher.update(frame);
        self.bytes_hasher.update(self.scan.data());
        let contents = &mut self.contents;
        contents.bytes += metadata.stored_length();
        contents.next_sequence = metadata.next_sequence();
        if self.decoder.decode(metadata, self.scan.data(), &mut self.lines).is_err() {
            contents.is_damaged = true;
            return;
        }
        contents.events += metadata.count;
        for part in Metadata::lasting(frame) {
            self.content_hasher.update(part);
        }
        self.content_hasher.update(&self.lines);
    }
}
