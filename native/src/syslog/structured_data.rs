//! The structured data of RFC 5424: `-` or elements of named values.

use super::members::Members;
use super::message::Flaw;
use crate::words::{self, below, equal};

/// Reads what stands at the beginning of `rest`, which ends with `text`; returns what follows.
#[inline]
pub fn read<'a>(
    text: &'a [u8],
    mut rest: &'a [u8],
    members: &mut Members,
    keys: usize,
) -> Result<&'a [u8], Flaw> {
    let broken = Flaw::InvalidStructuredData;
    if let [b'-', behind @ ..] = rest {
        return Ok(behind);
    }
    let before = rest;
    while let [b'[', element @ ..] = rest {
        let (name, mut behind) = split_name(element).ok_or(broken)?;
        members.open(text, name, behind);
        loop {
            match behind {
                [b']', next @ ..] => {
                    rest = next;
                    break;
                }
                [b' ', b']' | b' ', ..] => behind = &behind[1..],
                [b' ', parameter @ ..] => {
                    let (name, value) = split_name(parameter).ok_or(broken)?;
                    let [b'=', b'"', start @ ..] = value else { return Err(broken) };
                    let length = value_length(start).ok_or(broken)?;
                    let (inside, end) = start.split_at(length);
                    members.add(text, (name, value), (inside, end));
                    behind = &end[1..];
                }
                _ => return Err(broken),
            }
        }
        if members.count() > keys {
            return Err(Flaw::TooManyKeys);
        }
    }
    if before.len() == rest.len() { Err(broken) } else { Ok(rest) }
}

/// The name that a text begins with, and what follows.
#[inline]
fn split_name(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let is_end = |word| {
        below(word, b'!')
            | equal(word, b'=')
            | equal(word, b']')
            | equal(word, b'"')
            | equal(word, 0x7f)
    };
    let end = words::position(text, is_end)?;
    (end > 0).then(|| text.split_at(end))
}

/// Up to the quote that ends it. A bracket in a value should be escaped; not all senders do it.
#[inline]
fn value_length(text: &[u8]) -> Option<usize> {
    let mut start = 0;
    loop {
        let rest = text.get(start..)?;
        let at = words::position(rest, |word| equal(word, b'"') | equal(word, b'\\'))?;
        if rest[at] == b'"' {
            return Some(start + at);
        }
        start += at + 2;
    }
}

/// What a backslash and the byte behind it stand for.
pub fn unescape(byte: u8) -> Option<u8> {
    matches!(byte, b'"' | b'\\' | b']').then_some(byte)
}
