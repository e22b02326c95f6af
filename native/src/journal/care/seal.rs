//! A seal: one line of JSON that says what a closed segment is, and which seal came before.
//!
//! Its `digest` is the BLAKE3 of the line up to `,"digest"`, so any tool can follow the chain.

use std::ops::RangeInclusive;

use blake3::Hash;
use serde::{Deserialize, Serialize};

use super::digest::Contents;

const DIGEST_KEY: &str = ",\"digest\":\"";
/// Format 1 always had a digest of the content.
const VERSIONS: RangeInclusive<u32> = 1..=2;

/// Why a segment was sealed, the first time or again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// Nothing is written to it any more.
    Closed,
    /// The same content is stored in other bytes.
    Recompressed,
    /// What was damaged was taken out; it is another content.
    Repaired,
}

/// What a segment was when it was sealed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Seal {
    /// Of this format, 2; 1 in older seals.
    pub version: u32,
    /// Why there is this seal.
    pub cause: Cause,
    /// When it was made, in nanoseconds since 1970.
    pub sealed_ns: u64,
    /// The shard's number.
    pub shard: u32,
    /// The sequence number in the segment's name.
    pub first_sequence: u64,
    /// The sequence number behind its last batch.
    pub next_sequence: u64,
    /// Events in intact batches.
    pub events: u64,
    /// Bytes of the file.
    pub bytes: u64,
    /// BLAKE3 of the file.
    pub bytes_digest: String,
    /// BLAKE3 of what the intact batches say, however they are stored. There where the segment
    /// may be recompressed, which is not done without it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content_digest: Option<String>,
    /// Sequence numbers known to be lost, each from the first to the one behind the last.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub missing: Vec<(u64, u64)>,
    /// `digest` of the seal before, whichever segment that is of.
    pub previous: Option<String>,
    /// BLAKE3 of the line before this key.
    #[serde(skip_serializing)]
    pub digest: String,
}

impl Seal {
    /// A seal for `contents` that has no place in a chain yet.
    pub(super) fn new(shard: u32, cause: Cause, sealed_ns: u64, contents: &Contents) -> Self {
        Self {
            version: *VERSIONS.end(),
            cause,
            sealed_ns,
            shard,
            first_sequence: contents.first_sequence,
            next_sequence: contents.next_sequence,
            events: contents.events,
            bytes: contents.bytes,
            bytes_digest: hex(contents.bytes_digest),
            content_digest: contents.content_digest.map(hex),
            missing: Vec::new(),
            previous: None,
            digest: String::new(),
        }
    }

    /// Whether both are of the same events, however they are stored.
    pub(super) fn has_content_of(&self, other: &Self) -> bool {
        let content = |seal: &Self| (seal.first_sequence, seal.next_sequence, seal.events);
        let is_known = self.content_digest.is_some();
        is_known && content(self) == content(other) && self.content_digest == other.content_digest
    }

    /// Whether the digest of the content is there, and that of `contents`.
    pub(super) fn is_of_content(&self, contents: &Contents) -> bool {
        self.content_digest.is_some() && self.content_digest == contents.content_digest.map(hex)
    }

    /// The line, newline included, behind the seal with the digest `previous`.
    pub(super) fn link(&mut self, previous: Option<String>) -> serde_json::Result<String> {
        self.previous = previous;
        let mut line = serde_json::to_string(self)?;
        line.pop();
        self.digest = hex(blake3::hash(line.as_bytes()));
        line.push_str(DIGEST_KEY);
        line.push_str(&self.digest);
        line.push_str("\"}\n");
        Ok(line)
    }

    /// The seal in `line`, if it is what was written.
    pub(super) fn parse(line: &str) -> Result<Self, &'static str> {
        let signed = line.rfind(DIGEST_KEY).ok_or("no seal")?;
        let seal: Self = serde_json::from_str(line).map_err(|_| "no seal of format 1 or 2")?;
        if !VERSIONS.contains(&seal.version) {
            return Err("no seal of format 1 or 2");
        }
        if seal.digest != hex(blake3::hash(&line.as_bytes()[..signed])) {
            return Err("digest of the seal does not match");
        }
        Ok(seal)
    }
}

fn hex(hash: Hash) -> String {
    hash.to_hex().to_string()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_seal_of_format_1_is_read() {
        let signed = "{\"version\":1,\"cause\":\"closed\",\"sealed_ns\":5,\"shard\":0,\
            \"first_sequence\":0,\"next_sequence\":7,\"events\":7,\"bytes\":90,\
            \"bytes_digest\":\"9d0c\",\"content_digest\":\"52e7\",\"previous\":null";
        let digest = hex(blake3::hash(signed.as_bytes()));
        let seal = Seal::parse(&format!("{signed}{DIGEST_KEY}{digest}\"}}\n")).unwrap();
        assert_eq!((seal.version, seal.content_digest.as_deref()), (1, Some("52e7")));
    }

    #[test]
    fn two_seals_without_a_digest_of_the_content_are_not_taken_for_the_same() {
        let contents = Contents {
            first_sequence: 0,
            next_sequence: 7,
            events: 7,
            bytes: 90,
            bytes_digest: Hash::from_bytes([1; 32]),
            content_digest: None,
            is_damaged: false,
        };
        let seal = Seal::new(0, Cause::Closed, 5, &contents);
        assert!(!seal.has_content_of(&seal) && !seal.is_of_content(&contents));
    }
}
