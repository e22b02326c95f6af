//! Batches to frames and back. A raw data frame is put around lines that stay where they are:
//! ```text
//!  4  0xFD2FB528, a Zstandard frame
//!  1  0xC0: content size in 8 bytes, window below, no checksum, no dictionary
//!  1  0x38: window of 128 KiB, so that readers need no more memory than that
//!  8  bytes of the lines
//!  for every 128 KiB of lines:
//!     3  size << 3 | raw block (0) << 1 | last block (1)
//!     n  the lines
//! ```

use std::hash::Hasher as _;
use std::iter;

use twox_hash::XxHash3_64;
use zstd_safe::{CCtx, CParameter, DCtx};

use super::batch::Batch;
use super::format::{DataFacts, Metadata};

const FRAME_HEADER: usize = 14;
const BLOCK_HEADER: usize = 3;
const BLOCK: usize = 128 << 10;

/// Turns batches into frames; keeps its memory from one to the next.
pub(super) struct Encoder {
    shard: u32,
    sources: Vec<String>,
    /// The Zstandard level of the next batch; `None`: its lines are stored as they are.
    level: Option<i32>,
    /// Made when it is needed for the first time.
    compressor: Option<CCtx<'static>>,
    metadata: Vec<u8>,
    /// A whole compressed data frame, or the headers of a raw one without the lines.
    data: Vec<u8>,
}

impl Encoder {
    pub fn new(shard: u32, sources: Vec<String>) -> Self {
        let (metadata, data) = (Vec::new(), Vec::new());
        Self { shard, sources, level: None, compressor: None, metadata, data }
    }

    /// Store what comes from now on at this Zstandard level, or as it is.
    pub fn set_level(&mut self, level: Option<i32>) -> Result<(), String> {
        if let Some(level) = level {
            let compressor = match &mut self.compressor {
                Some(compressor) => compressor,
                none => none.insert(CCtx::try_create().ok_or("out of memory for zstd")?),
            };
            compressor.set_parameter(CParameter::CompressionLevel(level)).map_err(describe)?;
        }
        self.level = level;
        Ok(())
    }

    /// Whether the next batch is compressed.
    pub fn compresses(&self) -> bool {
        self.level.is_some()
    }

    /// The bytes to store for `batch`, in parts to be written one after the other.
    pub fn encode<'a>(
        &'a mut self,
        batch: &'a Batch,
    ) -> Result<impl Iterator<Item = &'a [u8]>, String> {
        let lines = &batch.lines;
        self.data.clear();
        let compressor = self.compressor.as_mut().filter(|_| self.level.is_some());
        let header = if let Some(compressor) = compressor {
            self.data.reserve(zstd_safe::compress_bound(lines.len()));
            compressor.compress2(&mut self.data, lines).map_err(describe)?
        } else {
            raw_headers(lines, &mut self.data);
            FRAME_HEADER
        };
        let mut hash = XxHash3_64::new();
        let mut length = 0;
        for part in parts(&self.data, header, lines) {
            hash.write(part);
            length += part.len() as u64;
        }
        let facts = DataFacts { length, checksum: hash.finish() };
        Metadata::encode(batch, self.shard, &self.sources, facts, &mut self.metadata);
        Ok(iter::once(self.metadata.as_slice()).chain(parts(&self.data, header, lines)))
    }
}

/// The parts of a data frame whose first `header` bytes stand before any block header.
/// A compressed frame has no block headers of its own here, and so none of the lines either.
fn parts<'a>(data: &'a [u8], header: usize, lines: &'a [u8]) -> impl Iterator<Item = &'a [u8]> {
    let (frame_header, block_headers) = data.split_at(header);
    let blocks = block_headers.chunks(BLOCK_HEADER).zip(lines.chunks(BLOCK));
    iter::once(frame_header).chain(blocks.flat_map(|(header, block)| [header, block]))
}

fn raw_headers(lines: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(&zstd_safe::MAGICNUMBER.to_le_bytes());
    out.extend_from_slice(&[0xC0, 0x38]);
    out.extend_from_slice(&(lines.len() as u64).to_le_bytes());
    let blocks = lines.len().div_ceil(BLOCK);
    for (index, block) in lines.chunks(BLOCK).enumerate() {
        let header = block.len() << 3 | usize::from(index + 1 == blocks);
        out.extend_from_slice(&header.to_le_bytes()[..BLOCK_HEADER]);
    }
}

/// Turns data frames, raw or compressed, back into lines.
pub(super) struct Decoder {
    decompressor: DCtx<'static>,
}

impl Decoder {
    pub fn new() -> Result<Self, String> {
        let decompressor = DCtx::try_create().ok_or("out of memory for zstd")?;
        Ok(Self { decompressor })
    }

    /// Replace `lines` by what the data frame `frame` of `metadata` holds.
    pub fn decode(
        &mut self,
        metadata: &Metadata,
        frame: &[u8],
        lines: &mut Vec<u8>,
    ) -> Result<(), String> {
        lines.clear();
        let wanted = usize::try_from(metadata.lines_length).map_err(|error| error.to_string())?;
        lines.try_reserve(wanted).map_err(|error| error.to_string())?;
        self.decompressor.decompress(lines, frame).map_err(describe)?;
        if lines.len() != wanted {
            return Err(format!("{} bytes of lines, {wanted} announced", lines.len()));
        }
        Ok(())
    }
}

pub(super) fn describe(code: zstd_safe::ErrorCode) -> String {
    zstd_safe::get_error_name(code).to_owned()
}
