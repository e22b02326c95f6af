//! A thousand different events in one buffer, renumbered in place instead of built anew.
//!
//! An event's identity is the fixed-width text `CCCCCC-NNNNNNNNNNN` (connection, sequence number)
//! in `context.request_id`. The last three digits are the event's place in the block and never
//! change, so giving events to another connection or moving them on costs one store of 15 bytes
//! each, and no connection needs a buffer of its own.

use std::io::Write as _;
use std::ops::Range;
use std::time::SystemTime;

/// Events in a block: with about 320 bytes each, one write is about 320 KB.
pub const EVENTS: usize = 1000;
/// What stands before an event's identity in its text.
pub const IDENTITY_KEY: &[u8] = b"\"request_id\":\"";
/// Digits of the connection in an identity.
pub const CONNECTION_DIGITS: usize = 6;
/// Digits of the sequence number in an identity.
pub const SEQUENCE_DIGITS: usize = 11;

const SLOT_DIGITS: usize = 3;
const PATCH_BYTES: usize = CONNECTION_DIGITS + 1 + SEQUENCE_DIGITS - SLOT_DIGITS;

const LEVELS: [&str; 5] = ["DEBUG", "INFO", "INFO", "WARNING", "ERROR"];
const LOGGERS: [&str; 4] = ["shop.checkout", "shop.cart", "auth.session", "gateway.proxy"];
const MESSAGES: [&str; 4] =
    ["request completed", "payment authorised", "session refreshed", "upstream answered slowly"];
const STATUSES: [u16; 6] = [200, 200, 201, 204, 404, 503];

/// The buffer and where in it each event begins.
pub struct Block {
    bytes: Vec<u8>,
    starts: Vec<usize>,
    identities: Vec<usize>,
}

impl Block {
    /// Builds the events; their timestamps are now.
    pub fn new() -> Self {
        let timestamp = humantime::format_rfc3339_micros(SystemTime::now()).to_string();
        let mut block = Self {
            bytes: Vec::with_capacity(EVENTS * 340),
            starts: vec![0],
            identities: Vec::with_capacity(EVENTS),
        };
        for slot in 0..EVENTS {
            block.push(&timestamp, slot);
        }
        block
    }

    fn push(&mut self, timestamp: &str, slot: usize) {
        // Any multiplication that spreads the bits will do: texts should differ, not be random.
        let noise = (slot as u64 + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        let event = format!(
            concat!(
                r#"{{"timestamp":"{timestamp}","level":"{level}","logger":"{logger}","#,
                r#""message":"{message}","context":{{"request_id":"000000-{slot:011}","#,
                r#""trace_id":"{noise:016x}{mixed:016x}"}},"data":{{"ip":"203.0.113.{host}","#,
                r#""path":"/v1/orders/{order}","status":{status},"duration":0.{micros:06},"#,
                r#""password":"horse-{secret:04x}"}}}}"#,
                "\n"
            ),
            timestamp = timestamp,
            level = LEVELS[slot % LEVELS.len()],
            logger = LOGGERS[slot % LOGGERS.len()],
            message = MESSAGES[slot / 7 % MESSAGES.len()],
            slot = slot,
            noise = noise,
            mixed = noise.rotate_left(29),
            host = noise % 254 + 1,
            order = noise % 1_000_000,
            status = STATUSES[slot / 3 % STATUSES.len()],
            micros = noise % 900_000 + 1,
            secret = noise % 0xFFFF,
        );
        let key = memchr::memmem::find(event.as_bytes(), IDENTITY_KEY).unwrap_or_default();
        self.identities.push(self.bytes.len() + key + IDENTITY_KEY.len());
        self.bytes.extend_from_slice(event.as_bytes());
        self.starts.push(self.bytes.len());
    }

    /// Where the event at `slot` begins, newline of the one before excluded.
    pub fn start(&self, slot: usize) -> usize {
        self.starts[slot]
    }

    /// The slot whose event contains the byte at `offset` ([`EVENTS`] at the end of the block).
    pub fn slot_at(&self, offset: usize) -> usize {
        self.starts.partition_point(|&start| start <= offset) - 1
    }

    /// The bytes of the events at `slots` as those of `connection`, in its block `number`.
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
}

#[cfg(test)]
mod tests {
    use super::{Block, EVENTS};

    #[test]
    fn events_are_about_320_bytes_of_json_text() {
        let block = Block::new();
        let mean = block.start(EVENTS) / EVENTS;
        assert!((310..=330).contains(&mean), "{mean} bytes per event");
    }

    #[test]
    fn numbering_sets_connection_and_sequence_of_every_event() {
        let mut block = Block::new();
        let text = String::from_utf8(block.numbered(42, 7, 0..EVENTS).to_vec()).unwrap();
        assert_eq!(text.matches(r#""request_id":"000042-00000007"#).count(), EVENTS);
        assert!(text.lines().last().unwrap().contains("000042-00000007999"));
    }

    #[test]
    fn a_slot_is_found_by_any_of_its_bytes() {
        let block = Block::new();
        assert_eq!(block.slot_at(0), 0);
        assert_eq!(block.slot_at(block.start(5) - 1), 4);
        assert_eq!(block.slot_at(block.start(5)), 5);
        assert_eq!(block.slot_at(block.start(EVENTS)), EVENTS);
    }
}
