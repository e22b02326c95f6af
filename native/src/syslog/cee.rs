//! `@cee:` and a JSON object: its members become those of `data`, one of them the message.

use super::members::Members;
use super::message::Flaw;
use super::object::each_member;
use crate::decode::{Blind, Decoder, trim_blanks};

/// An object that is valid; which of its members is the message.
#[derive(Debug, Clone, Copy)]
pub struct Cee<'a> {
    object: &'a [u8],
    /// A JSON string in its quotes; an empty one if no member is the message.
    pub message: &'a [u8],
    message_key: &'a [u8],
}

/// Members that may be the message, the likelier one first.
const MESSAGES: [&[u8]; 2] = [b"\"msg\"", b"\"message\""];

/// Reads what stands behind `@cee:`. Structured data that has a member of the same name makes
/// it invalid.
pub fn read<'a>(
    text: &'a [u8],
    rest: &'a [u8],
    elements: &Members,
    decoder: &mut Decoder,
    scratch: &mut Vec<u8>,
) -> Result<Cee<'a>, Flaw> {
    let object = trim_blanks(rest);
    scratch.clear();
    decoder.decode(object, true, &mut Blind, scratch).map_err(|_| Flaw::InvalidCee)?;
    let mut cee = Cee { object, message: b"\"\"", message_key: b"" };
    let mut is_taken = false;
    let mut found = MESSAGES.len();
    each_member(object, |key, value| {
        is_taken |= elements.has_object(text, &key[1..key.len() - 1]);
        let place = MESSAGES.iter().position(|message| *message == key);
        if let Some(place) = place.filter(|place| *place < found && value[0] == b'"') {
            found = place;
            (cee.message, cee.message_key) = (value, key);
        }
    });
    if is_taken { Err(Flaw::DuplicateKey) } else { Ok(cee) }
}

impl Cee<'_> {
    /// Appends the members but the message, each with a comma behind it.
    pub fn write(&self, out: &mut Vec<u8>) {
        each_member(self.object, |key, value| {
            if key != self.message_key {
                out.extend_from_slice(key);
                out.push(b':');
                // A bare break stands between tokens only.
                for part in value.split(|byte| matches!(byte, b'\n' | b'\r')) {
                    out.extend_from_slice(part);
                }
                out.push(b',');
            }
        });
    }
}
