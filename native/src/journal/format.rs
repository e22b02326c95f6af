//! The bytes of a segment: for every batch a metadata frame, then a data frame.
//!
//! The metadata frame (integers little-endian; Zstandard readers skip it):
//! ```text
//! offset size
//!      0    4  0x184D2A5B, a Zstandard skippable frame ("[*M\x18" in the file)
//!      4    4  bytes that follow this field
//!      8    7  "journal"
//!     15    1  format version, 1
//!     16    8  sequence number of the first event
//!     24    8  events
//!     32    8  first event received, nanoseconds since 1970
//!     40    8  last event received
//!     48    8  arena mark: what the writer's owner stored with the batch
//!     56    8  bytes of the data frame
//!     64    8  bytes of the lines in it
//!     72    8  XXH3-64 of the data frame as stored
//!     80    4  shard
//!     84    2  number of sources; for each:
//!          8     events (not 0)
//!          2     bytes of the name
//!          n     the name, UTF-8
//!    end   8  XXH3-64 of everything above
//! ```
//! The data frame is one Zstandard frame with the lines; see [`super::encode`].
//! JSON text cannot hold a bare 0x18, so no line of a raw frame looks like a metadata frame.

use twox_hash::XxHash3_64;

use super::batch::Batch;

const SKIPPABLE_MAGIC: u32 = 0x184D_2A5B;
const PREFIX: usize = 8;
const FIXED: usize = 86;
const CHECKSUM: usize = 8;

/// What stands at [`SIGNATURE_OFFSET`] of every metadata frame; a scan looks for it.
pub(super) const SIGNATURE: &[u8; 8] = b"journal\x01";
pub(super) const SIGNATURE_OFFSET: u64 = 8;
/// No metadata frame is longer, so that a damaged length is not believed.
pub(super) const METADATA_MAXIMUM: usize = 1 << 20;

/// What a metadata frame says about its batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Metadata {
    /// Bytes of the metadata frame itself.
    pub length: u64,
    pub shard: u32,
    pub first_sequence: u64,
    pub count: u64,
    pub first_received_ns: u64,
    pub last_received_ns: u64,
    pub mark: u64,
    pub data_length: u64,
    pub lines_length: u64,
    pub data_checksum: u64,
    pub sources: Vec<(String, u64)>,
}

/// The data frame that a metadata frame announces.
#[derive(Debug, Clone, Copy)]
pub(super) struct DataFacts {
    pub length: u64,
    pub checksum: u64,
}

/// What the bytes at some offset are.
#[derive(Debug)]
pub(super) enum Decoded {
    Metadata(Metadata),
    /// The beginning of a metadata frame that needs this many bytes in all.
    Incomplete(usize),
    Invalid(&'static str),
}

/// Bytes of a metadata frame with `sources` sources whose names have `names` bytes together.
pub(super) fn metadata_length(sources: usize, names: usize) -> usize {
    FIXED + sources * 10 + names + CHECKSUM
}

impl Metadata {
    /// Bytes of the whole batch in the file.
    pub fn stored_length(&self) -> u64 {
        self.length.saturating_add(self.data_length)
    }

    /// The sequence number behind the batch's last event.
    pub fn next_sequence(&self) -> u64 {
        self.first_sequence.saturating_add(self.count)
    }

    /// Write the metadata frame of `batch` into `out`, replacing what is there.
    pub fn encode(batch: &Batch, shard: u32, names: &[String], data: DataFacts, out: &mut Vec<u8>) {
        out.clear();
        out.extend_from_slice(&SKIPPABLE_MAGIC.to_le_bytes());
        out.extend_from_slice(&[0; 4]);
        out.extend_from_slice(SIGNATURE);
        let lines_length = batch.lines.len() as u64;
        for value in [
            batch.first_sequence,
            batch.count,
            batch.first_received_ns,
            batch.last_received_ns,
            batch.mark,
            data.length,
            lines_length,
            data.checksum,
        ] {
            out.extend_from_slice(&value.to_le_bytes());
        }
        out.extend_from_slice(&shard.to_le_bytes());
        out.extend_from_slice(&[0; 2]);
        let mut sources = 0u16;
        for (name, &events) in names.iter().zip(&batch.events_by_source) {
            if events > 0 {
                sources += 1;
                out.extend_from_slice(&events.to_le_bytes());
                // `Options::validate` bounds the names, so nothing is cut off here or below.
                out.extend_from_slice(&(name.len() as u64).to_le_bytes()[..2]);
                out.extend_from_slice(name.as_bytes());
            }
        }
        out[FIXED - 2..FIXED].copy_from_slice(&sources.to_le_bytes());
        let following = (out.len() + CHECKSUM - PREFIX) as u64;
        out[4..PREFIX].copy_from_slice(&following.to_le_bytes()[..4]);
        let checksum = XxHash3_64::oneshot(out);
        out.extend_from_slice(&checksum.to_le_bytes());
    }

    /// What of the metadata frame `frame` stays when its data is stored in another way.
    pub fn lasting(frame: &[u8]) -> [&[u8]; 3] {
        let part = |from, to| frame.get(from..to).unwrap_or_default();
        let sources_end = frame.len().saturating_sub(CHECKSUM);
        [part(16, 56), part(64, 72), part(80, sources_end)]
    }

    /// Write `frame` into `out`, replacing what is there, for data that is stored in another way.
    pub fn renew(frame: &[u8], data: DataFacts, out: &mut Vec<u8>) {
        out.clear();
        out.extend_from_slice(&frame[..frame.len().saturating_sub(CHECKSUM)]);
        out[56..64].copy_from_slice(&data.length.to_le_bytes());
        out[72..80].copy_from_slice(&data.checksum.to_le_bytes());
        let checksum = XxHash3_64::oneshot(out);
        out.extend_from_slice(&checksum.to_le_bytes());
    }

    /// Read the metadata frame at the beginning of `bytes`.
    pub fn decode(bytes: &[u8]) -> Decoded {
        let magic = SKIPPABLE_MAGIC.to_le_bytes();
        if !bytes.iter().zip(magic).all(|(&found, expected)| found == expected) {
            return Decoded::Invalid("no metadata frame here");
        }
        let Some(following) = u32_at(bytes, 4) else {
            return Decoded::Incomplete(FIXED + CHECKSUM);
        };
        let length = PREFIX + following as usize;
        if !(FIXED + CHECKSUM..=METADATA_MAXIMUM).contains(&length) {
            return Decoded::Invalid("impossible length of a metadata frame");
        }
        let Some(frame) = bytes.get(..length) else {
            // A wrong length must not pass for a frame that only ends early.
            return if Self::may_have_length(bytes, length) {
                Decoded::Incomplete(length)
            } else {
                Decoded::Invalid("length of a metadata frame does not fit what is in it")
            };
        };
        let (body, checksum) = frame.split_at(length - CHECKSUM);
        if checksum != XxHash3_64::oneshot(body).to_le_bytes() {
            return Decoded::Invalid("metadata checksum does not match");
        }
        if body[PREFIX..16] != *SIGNATURE {
            return Decoded::Invalid("not a metadata frame of format 1");
        }
        Self::decode_body(body).map_or(Decoded::Invalid("malformed metadata"), Decoded::Metadata)
    }

    /// Whether the beginning of a frame, `bytes`, may be that of one of `length` bytes.
    fn may_have_length(bytes: &[u8], length: usize) -> bool {
        if bytes.iter().skip(PREFIX).zip(SIGNATURE).any(|(found, expected)| found != expected) {
            return false;
        }
        let Some(sources) = u16_at(bytes, FIXED - 2) else { return true };
        let mut end = FIXED;
        for _ in 0..sources {
            let Some(name) = u16_at(bytes, end + 8) else { return end + 10 + CHECKSUM <= length };
            end += 10 + usize::from(name);
        }
        end + CHECKSUM == length
    }

    fn decode_body(body: &[u8]) -> Option<Self> {
        let mut sources = Vec::new();
        let mut rest = body.get(FIXED..)?;
        for _ in 0..u16_at(body, 84)? {
            let events = u64_at(rest, 0)?;
            let end = 10 + usize::from(u16_at(rest, 8)?);
            let name = std::str::from_utf8(rest.get(10..end)?).ok()?;
            sources.push((name.to_owned(), events));
            rest = &rest[end..];
        }
        rest.is_empty().then_some(())?;
        Some(Self {
            length: (body.len() + CHECKSUM) as u64,
            first_sequence: u64_at(body, 16)?,
            count: u64_at(body, 24)?,
            first_received_ns: u64_at(body, 32)?,
            last_received_ns: u64_at(body, 40)?,
            mark: u64_at(body, 48)?,
            data_length: u64_at(body, 56)?,
            lines_length: u64_at(body, 64)?,
            data_checksum: u64_at(body, 72)?,
            shard: u32_at(body, 80)?,
            sources,
        })
    }
}

fn array_at<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..at + N)?.try_into().ok()
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    array_at(bytes, at).map(u16::from_le_bytes)
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    array_at(bytes, at).map(u32::from_le_bytes)
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    array_at(bytes, at).map(u64::from_le_bytes)
}

#[cfg(test)]
mod tests {
    use std::hash::Hasher as _;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn any_bytes_are_decoded_without_a_panic(
            content in proptest::collection::vec(any::<u8>(), 0..200),
            sources in 0u16..4,
        ) {
            Metadata::decode(&content);
            // With a checksum that holds, so that the content itself is looked at.
            let mut frame = SKIPPABLE_MAGIC.to_le_bytes().to_vec();
            frame.extend_from_slice(&[0; 4]);
            frame.extend_from_slice(SIGNATURE);
            frame.extend_from_slice(&content);
            if let Some(bytes) = frame.get_mut(FIXED - 2..FIXED) {
                bytes.copy_from_slice(&sources.to_le_bytes());
            }
            let following = u32::try_from(frame.len() + CHECKSUM - PREFIX).unwrap();
            frame[4..PREFIX].copy_from_slice(&following.to_le_bytes());
            let checksum = XxHash3_64::oneshot(&frame);
            frame.extend_from_slice(&checksum.to_le_bytes());
            Metadata::decode(&frame);
        }

        #[test]
        fn metadata_is_decoded_as_it_was_encoded(
            first_sequence in any::<u32>(),
            counts in proptest::collection::vec(0u32..1000, 1..5),
            shard in any::<u32>(),
            name in ".{0,40}",
        ) {
            let names: Vec<_> = (0..counts.len()).map(|index| format!("{name}{index}")).collect();
            let mut batch = Batch::new(names.len(), 0);
            batch.reset(first_sequence.into());
            for (source, &count) in (0..).zip(&counts) {
                batch.add(source, count, 7, 9);
            }
            let data = DataFacts { length: 11, checksum: 13 };
            let mut frame = Vec::new();
            Metadata::encode(&batch, shard, &names, data, &mut frame);
            prop_assert!(matches!(Metadata::decode(&frame[..frame.len() - 1]),
                Decoded::Incomplete(_)));
            let Decoded::Metadata(metadata) = Metadata::decode(&frame) else {
                return Err(TestCaseError::fail("not decoded"));
            };
            prop_assert_eq!(metadata.length, frame.len() as u64);
            prop_assert_eq!(metadata.first_sequence, u64::from(first_sequence));
            prop_assert_eq!(metadata.next_sequence(), batch.next_sequence());
            prop_assert_eq!((metadata.shard, metadata.mark), (shard, 9));
            prop_assert_eq!((metadata.data_length, metadata.data_checksum), (11, 13));
            let sources = names.into_iter().zip(counts.into_iter().map(u64::from));
            let expected: Vec<_> = sources.filter(|(_, events)| *events > 0).collect();
            prop_assert_eq!(metadata.sources, expected);
        }
    }

    /// Other programs check it, and so do journals from before: XXH3 with 64 bits and no seed.
    #[test]
    fn the_checksum_is_xxh3() {
        assert_eq!(XxHash3_64::oneshot(b""), 0x2d06_8005_38d3_94c2);
        let bytes: Vec<u8> = (0..=255).cycle().take(1 << 20).collect();
        let mut pieces = XxHash3_64::new();
        bytes.chunks(1000).for_each(|piece| pieces.write(piece));
        assert_eq!(pieces.finish(), XxHash3_64::oneshot(&bytes));
    }
}
