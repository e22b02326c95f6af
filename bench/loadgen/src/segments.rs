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

#[cfg(test)]
pub mod tests {
    use std::fs;
    use std::path::{Path, PathBuf};

    use xxhash_rust::xxh3::xxh3_64;

    use super::{Facts, MAGIC, SIGNATURE, read_shard};

    /// A directory of a test, removed with it.
    pub struct Shard(PathBuf);

    impl Shard {
        /// An empty shard that no other test has.
        pub fn new(name: &str) -> Self {
            let path = std::env::temp_dir().join(format!("loadgen-{name}-{}", std::process::id()));
            fs::create_dir(&path).unwrap();
            Self(path)
        }

        /// Writes a segment of these bytes.
        pub fn write(&self, first: u64, segment: &[u8]) {
            fs::write(self.0.join(format!("{first:020}.ndjson.zst")), segment).unwrap();
        }

        /// Where it is.
        pub fn path(&self) -> &Path {
            &self.0
        }

        fn read(&self) -> (Vec<u8>, Facts) {
            let (mut lines, mut facts) = (Vec::new(), Facts::default());
            read_shard(&self.0, &mut facts, |line| lines.extend_from_slice(line)).unwrap();
            (lines, facts)
        }
    }

    impl Drop for Shard {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    /// A batch as it is documented, its lines in one raw block.
    pub fn batch(first: u64, lines: &str) -> Vec<u8> {
        let length = u32::try_from(lines.len()).unwrap();
        // A frame that says no length, with a window of 1 MiB, and the last of its blocks.
        let mut data = vec![0x28, 0xB5, 0x2F, 0xFD, 0, 0x50];
        data.extend_from_slice(&(length << 3 | 1).to_le_bytes()[..3]);
        data.extend_from_slice(lines.as_bytes());
        let count = lines.lines().count() as u64;
        let mut metadata = MAGIC.to_vec();
        metadata.extend_from_slice(&86u32.to_le_bytes());
        metadata.extend_from_slice(SIGNATURE);
        let (bytes, checksum) = (data.len() as u64, xxh3_64(&data));
        for number in [first, count, 0, 0, 0, bytes, u64::from(length), checksum] {
            metadata.extend_from_slice(&number.to_le_bytes());
        }
        metadata.extend_from_slice(&[0; 6]);
        metadata.extend_from_slice(&xxh3_64(&metadata).to_le_bytes());
        [metadata, data].concat()
    }

    #[test]
    fn the_lines_of_all_segments_come_in_order() {
        let shard = Shard::new("order");
        shard.write(3, &batch(3, "d\n"));
        shard.write(0, &[batch(0, "a\nb\n"), batch(2, "c\n")].concat());
        let (lines, facts) = shard.read();
        assert_eq!(lines, b"a\nb\nc\nd\n");
        assert_eq!(facts, Facts { batches: 3, ..Facts::default() });
    }

    #[test]
    fn a_flipped_bit_costs_its_batch_and_no_other() {
        let batches = [batch(0, "a\n"), batch(1, "b\nc\n"), batch(3, "d\n")];
        let (begin, end) = (batches[0].len(), batches[0].len() + batches[1].len());
        for bit in begin * 8..end * 8 {
            let shard = Shard::new("flipped");
            let mut segment = batches.concat();
            segment[bit / 8] ^= 1 << (bit % 8);
            shard.write(0, &segment);
            let (lines, facts) = shard.read();
            assert_eq!(lines, b"a\nd\n", "bit {bit}");
            let found = (facts.batches, facts.missing_sequences, facts.damages);
            assert_eq!(found, (2, 2, 1), "bit {bit}");
        }
    }

    #[test]
    fn a_torn_tail_is_damage_that_nothing_is_missing_for() {
        let whole = batch(0, "a\n");
        let torn = batch(1, "b\n");
        let shard = Shard::new("torn");
        shard.write(0, &[&whole[..], &torn[..torn.len() - 1]].concat());
        let (lines, facts) = shard.read();
        assert_eq!((lines.as_slice(), facts.batches, facts.damages), (&b"a\n"[..], 1, 1));
        assert_eq!(facts.missing_sequences, 0);
    }

    #[test]
    fn numbers_that_are_given_twice_are_seen() {
        let shard = Shard::new("twice");
        shard.write(0, &[batch(0, "a\nb\n"), batch(1, "c\n")].concat());
        assert_eq!(shard.read().1.repeated_sequences, 1);
    }
}
