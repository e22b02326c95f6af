//! A thousand different messages in one buffer, renumbered in place instead of built anew.
//!
//! The last three digits of a message's identity are its place in the block and never change, so
//! giving messages to another connection or moving them on costs one store of 13 bytes each, and
//! no connection needs a buffer of its own.

use std::io::Write as _;
use std::ops::Range;

use crate::identity::{CONNECTION_AT, CONNECTION_DIGITS, Identity, SEQUENCE_DIGITS};
use crate::messages::{Format, Writer};

/// Messages in a block: with about 320 bytes each, one write is about 320 KB.
pub const EVENTS: usize = 1000;

const SLOT_DIGITS: usize = 3;
const PATCH_BYTES: usize = CONNECTION_DIGITS + 1 + SEQUENCE_DIGITS - SLOT_DIGITS;

/// How messages are told apart.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Framing {
    /// Each ends with a newline.
    Newline,
    /// Each begins with its length (RFC 6587).
    OctetCount,
    /// Not at all: each is a datagram.
    Datagram,
}

/// The buffer and where in it each message begins.
pub struct Block {
    bytes: Vec<u8>,
    starts: Vec<usize>,
    identities: Vec<usize>,
}

impl Block {
    /// Builds the messages of a run; their timestamps are now.
    pub fn new(format: Format, framing: Framing, run: usize) -> Self {
        Self::of(&Writer::new(format), framing, run)
    }

    /// Builds the messages of a run from a writer.
    pub fn of(writer: &Writer, framing: Framing, run: usize) -> Self {
        let mut block =
            Self { bytes: Vec::new(), starts: vec![0], identities: Vec::with_capacity(EVENTS) };
        for sequence in 0..EVENTS {
            let identity = Identity { run, connection: 0, sequence };
            block.push(&writer.message(identity), framing, &identity.to_string());
        }
        block
    }

    fn push(&mut self, message: &str, framing: Framing, identity: &str) {
        if framing == Framing::OctetCount {
            self.bytes.extend_from_slice(format!("{} ", message.len()).as_bytes());
        }
        let place = message.find(identity).unwrap_or_default() + CONNECTION_AT;
        self.identities.push(self.bytes.len() + place);
        self.bytes.extend_from_slice(message.as_bytes());
        if framing == Framing::Newline {
            self.bytes.push(b'\n');
        }
        self.starts.push(self.bytes.len());
    }

    /// Where the message at `slot` begins, with what frames it.
    pub fn start(&self, slot: usize) -> usize {
        self.starts[slot]
    }

    /// The slot whose message contains the byte at `offset` ([`EVENTS`] at the end of the block).
    pub fn slot_at(&self, offset: usize) -> usize {
        self.starts.partition_point(|&start| start <= offset) - 1
    }

    /// The bytes of the messages at `slots` as those of `connection`, in its block `number`.
    pub fn numbered(&mut self, connection: usize, number: u64, slots: Range<usize>) -> &[u8] {
        let mut patch = [0; PATCH_BYTES];
        let width = SEQUENCE_DIGITS - SLOT_DIGITS;
        // The digits fit by the bounds of the command line; a short write cannot happen.
        let _ = write!(&mut patch[..], "{connection:0CONNECTION_DIGITS$}-{number:0width$}");
        for &at in &self.identities[slots.clone()] {
            self.bytes[at..at + PATCH_BYTES].copy_from_slice(&patch);
        }
        &self.bytes[self.starts[slots.start]..self.starts[slots.end]]
    }

    /// The message at `slot` as it was numbered last, with what frames it.
    pub fn message(&self, slot: usize) -> &[u8] {
        &self.bytes[self.starts[slot]..self.starts[slot + 1]]
    }

    /// The messages at `slots` numbered like that, each for itself.
    pub fn numbered_apart(
        &mut self,
        connection: usize,
        number: u64,
        slots: Range<usize>,
    ) -> impl Iterator<Item = &[u8]> {
        self.numbered(connection, number, slots.clone());
        slots.map(|slot| self.message(slot))
    }
}

#[cfg(test)]
mod tests {
    use super::{Block, EVENTS, Framing};
    use crate::identity::{Identity, Search};
    use crate::messages::Format;

    #[test]
    fn numbering_sets_connection_and_sequence_of_every_message() {
        for format in [Format::Json, Format::Rfc5424, Format::Rfc3164] {
            let mut block = Block::new(format, Framing::Newline, 9);
            let search = Search::new();
            let lines = block.numbered(42, 7, 0..EVENTS).split_inclusive(|&byte| byte == b'\n');
            for (slot, line) in lines.enumerate() {
                let expected = Identity { run: 9, connection: 42, sequence: 7 * EVENTS + slot };
                assert_eq!(search.identity(line), Some(expected));
            }
        }
    }

    #[test]
    fn a_slot_is_found_by_any_of_its_bytes() {
        let block = Block::new(Format::Json, Framing::Newline, 0);
        assert_eq!(block.slot_at(0), 0);
        assert_eq!(block.slot_at(block.start(5) - 1), 4);
        assert_eq!(block.slot_at(block.start(5)), 5);
        assert_eq!(block.slot_at(block.start(EVENTS)), EVENTS);
    }

    #[test]
    fn an_octet_count_is_the_length_of_what_follows_it() {
        let mut block = Block::new(Format::Rfc5424, Framing::OctetCount, 0);
        let frames = block.numbered_apart(1, 0, 0..EVENTS);
        for frame in frames.map(|frame| std::str::from_utf8(frame).unwrap()) {
            let (count, message) = frame.split_once(' ').unwrap();
            assert_eq!(count.parse(), Ok(message.len()), "{frame}");
            assert!(message.starts_with("<1"), "{frame}");
        }
    }

    #[test]
    fn a_datagram_is_the_message_alone() {
        let mut block = Block::new(Format::Rfc3164, Framing::Datagram, 0);
        for message in block.numbered_apart(1, 0, 0..EVENTS) {
            assert!(message.starts_with(b"<") && !message.ends_with(b"\n"));
        }
    }
}
