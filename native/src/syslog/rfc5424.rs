//! RFC 5424: a header of fixed fields, structured data, and the message.

use super::members::Members;
use super::message::{Flaw, Message, split_word};
use super::structured_data;
use super::timestamp::read_iso;

/// What stands behind the version, if a text that follows a priority has one: a number, and a
/// time or `-`. Others number their messages, so a number alone says nothing.
#[inline]
pub fn split_version(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let length = text.iter().take(4).position(|byte| !byte.is_ascii_digit())?;
    let [b' ', rest @ ..] = &text[length..] else { return None };
    let has_time = match rest {
        [b'-', b' ', ..] => true,
        [_, _, _, _, b'-', _, _, b'-', ..] => rest[..4].iter().all(u8::is_ascii_digit),
        _ => false,
    };
    (has_time && matches!(text[0], b'1'..=b'9')).then(|| (&text[..length], rest))
}

/// Reads what stands behind the version, with which `text` ends, into `message`.
#[inline]
pub fn read<'a>(
    text: &'a [u8],
    rest: &'a [u8],
    keys: usize,
    message: &mut Message<'a>,
    members: &mut Members,
) -> Result<(), Flaw> {
    let rest = if let [b'-', rest @ ..] = rest {
        rest
    } else {
        let (timestamp, rest) = read_iso(rest).ok_or(Flaw::InvalidTimestamp)?;
        message.timestamp = Some(timestamp);
        rest
    };
    let mut rest = rest.strip_prefix(b" ").ok_or(Flaw::InvalidTimestamp)?;
    let fields =
        [&mut message.hostname, &mut message.logger, &mut message.procid, &mut message.msgid];
    for field in fields {
        let (word, behind) = split_word(rest);
        if word.is_empty() || behind.is_empty() {
            return Err(Flaw::InvalidHeader);
        }
        *field = if word == b"-" { b"" } else { word };
        rest = behind;
    }
    message.header = &text[..text.len() - rest.len()];
    message.text = match structured_data::read(text, rest, members, keys)? {
        [] => &[],
        [b' ', text @ ..] => text,
        _ => return Err(Flaw::InvalidStructuredData),
    };
    Ok(())
}
