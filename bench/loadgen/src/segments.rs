//! Reads the segments of a journal by their documented format (docs/journal.md), with nothing of
//! the server: another decoder of Zstandard, and every length and checksum looked at.
//!
//! Where a batch is damaged, it goes on at the next one that is intact.

use std::fs;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use memchr::memmem;
use ruzstd::decoding::StreamingDecoder;
use xxhash_rust::xxh3::xxh3_64;

const MAGIC: &[u8; 4] = &0x184D_2A5B_u32.to_le_bytes();
const SIGNATURE: &[u8; 8] = b"journal\x01";
const SIGNATURE_AT: usize = 8;
const PREFIX_BYTES: usize = 8;
const CHECKSUM_BYTES: usize = 8;

/// What was seen besides the lines.
#[derive(Default, PartialEq, Eq, Debug)]
pub struct Facts {
    /// Batches that are intact.
    pub batches: u64,
    /// Sequence numbers between two batches that none of them has.
    pub missing_sequences: u64,
    /// Sequence numbers that more than one event has.
    pub repeated_sequences: u64,
    /// Places where something else stands than a whole batch.
    pub damages: u64,
    /// Bytes there.
    pub damaged_bytes: u64,
}

/// Hands the lines of every intact batch of a shard to `take`, in the order stored.
pub fn read_shard(shard: &Path, facts: &mut Facts, mut take: impl FnMut(&[u8])) -> io::Result<()> {
    let mut next = None;
    let mut lines = Vec::new();
    for path in list(shard)? {
        let segment = fs::read(path)?;
        let (mut offset, mut intact_to) = (0, 0);
        while offset < segment.len() {
            let rest = &segment[offset..];
            let Some(frame) = decode(rest, &mut lines) else {
                // Every frame of ours begins with these bytes; look for the next one.
                offset += 1 + memmem::find(&rest[1..], MAGIC).unwrap_or(rest.len() - 1);
                continue;
            };
            facts.note_damage(offset - intact_to);
            offset += frame.bytes;
            intact_to = offset;
            let Some(Numbers { first, count }) = frame.numbers else { continue };
            facts.batches += 1;
            let expected = next.unwrap_or(first);
            facts.missing_sequences += first.saturating_sub(expected);
            facts.repeated_sequences += expected.saturating_sub(first);
            next = Some(first + count);
            lines.split_inclusive(|&byte| byte == b'\n').for_each(&mut take);
        }
        facts.note_damage(offset - intact_to);
    }
    Ok(())
}

impl Facts {
    fn note_damage(&mut self, bytes: usize) {
        self.damages += u64::from(bytes > 0);
        self.damaged_bytes += bytes as u64;
    }
}

/// What stands at some place of a segment: a batch, or a frame that readers pass over.
struct Frame {
    bytes: usize,
    numbers: Option<Numbers>,
}

struct Numbers {
    first: u64,
    count: u64,
}

/// The segments of a shard, oldest first.
fn list(shard: &Path) -> io::Result<Vec<PathBuf>> {
    let mut segments = Vec::new();
    for entry in fs::read_dir(shard)? {
        let path = entry?.path();
        if path.to_string_lossy().ends_with(".ndjson.zst") {
            segments.push(path);
        }
    }
    segments.sort();
    Ok(segments)
}

/// The frame at the beginning of `bytes`, the lines of a batch in `lines`; None if it is damaged.
fn decode(bytes: &[u8], lines: &mut Vec<u8>) -> Option<Frame> {
    if bytes.get(..4)? != MAGIC {
        return None;
    }
    let length = PREFIX_BYTES + u32::from_le_bytes(bytes.get(4..8)?.try_into().ok()?) as usize;
    let (metadata, rest) = bytes.split_at_checked(length)?;
    if metadata.get(SIGNATURE_AT..SIGNATURE_AT + SIGNATURE.len())? != SIGNATURE {
        return Some(Frame { bytes: length, numbers: None });
    }
    let (content, _) = metadata.split_at_checked(length.checked_sub(CHECKSUM_BYTES)?)?;
    if number(metadata, content.len())? != xxh3_64(content) {
        return None;
    }
    let [first, count, data_bytes, lines_bytes, checksum] = [
        number(metadata, 16)?,
        number(metadata, 24)?,
        number(metadata, 56)?,
        number(metadata, 64)?,
        number(metadata, 72)?,
    ];
    let data = rest.get(..usize::try_from(data_bytes).ok()?)?;
    if xxh3_64(data) != checksum {
        return None;
    }
    lines.clear();
    StreamingDecoder::new(data).ok()?.read_to_end(lines).ok()?;
    let ends = memchr::memchr_iter(b'\n', lines).count() as u64;
    (lines.len() as u64 == lines_bytes && ends == count)
        .then_some(Frame { bytes: length + data.len(), numbers: Some(Numbers { first, count }) })
}

fn number(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(bytes.get(at..at + 8)?.try_into().ok()?))
}
