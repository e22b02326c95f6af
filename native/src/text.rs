//! JSON strings: written as few escapes as JSON allows, as orjson does it, and read and cut where
//! they stand. What is read comes from a decoded event or is read with forbearance.

use crate::words::{self, below, equal};

/// Appends `text`, which is UTF-8 and has no escapes in it, in quotes.
#[inline]
pub fn write_string(text: impl AsRef<[u8]>, out: &mut Vec<u8>) {
    out.push(b'"');
    write_escaped(text.as_ref(), out);
    out.push(b'"');
}

/// The same without the quotes.
#[inline]
pub fn write_escaped(text: &[u8], out: &mut Vec<u8>) {
    if is_plain(text) {
        out.extend_from_slice(text);
    } else {
        write_escapes(text, out);
    }
}

/// Whether a text needs no escapes.
#[inline]
pub fn is_plain(text: &[u8]) -> bool {
    words::none(text, escapes)
}

/// Marks the bytes that need an escape.
#[inline]
fn escapes(word: u64) -> u64 {
    below(word, 0x20) | equal(word, b'"') | equal(word, b'\\')
}

#[inline(never)]
fn write_escapes(mut text: &[u8], out: &mut Vec<u8>) {
    loop {
        let (plain, rest) = text.split_at(plain_length(text));
        out.extend_from_slice(plain);
        let [byte, rest @ ..] = rest else { return };
        let escape = match byte {
            b'"' | b'\\' => *byte,
            0x08 => b'b',
            0x0c => b'f',
            b'\n' => b'n',
            b'\r' => b'r',
            b'\t' => b't',
            _ => b'u',
        };
        out.extend_from_slice(&[b'\\', escape]);
        if escape == b'u' {
            let digit = |value: u8| b"0123456789abcdef"[usize::from(value)];
            out.extend_from_slice(&[b'0', b'0', digit(byte >> 4), digit(byte & 15)]);
        }
        text = rest;
    }
}

/// How many bytes a text begins with that need no escape.
fn plain_length(text: &[u8]) -> usize {
    words::position(text, escapes).unwrap_or(text.len())
}

/// A string without its quotes.
pub fn inside(string: &[u8]) -> &[u8] {
    if let [b'"', inside @ .., b'"'] = string { inside } else { string }
}

/// Appends the UTF-8 text of a JSON string, which is given with its quotes.
pub fn unescape(string: &[u8], out: &mut Vec<u8>) {
    let mut rest = string;
    if let [b'"', text @ .., b'"'] = string {
        rest = text;
    }
    while let Some(at) = memchr::memchr(b'\\', rest) {
        let (plain, escape) = rest.split_at(at);
        out.extend_from_slice(plain);
        let (character, length) = read_escape(escape);
        out.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
        rest = escape.get(length..).unwrap_or_default();
    }
    out.extend_from_slice(rest);
}

/// The character that stands at the beginning, and the length of its escape.
fn read_escape(escape: &[u8]) -> (char, usize) {
    let character = match escape.get(1) {
        Some(b'b') => '\u{8}',
        Some(b'f') => '\u{c}',
        Some(b'n') => '\n',
        Some(b'r') => '\r',
        Some(b't') => '\t',
        Some(b'u') => return read_code_point(escape),
        // A quote, a backslash or a slash.
        Some(same) => char::from(*same),
        None => char::REPLACEMENT_CHARACTER,
    };
    (character, 2)
}

/// Beyond the basic plane two escapes are one character. Half of such a pair is none.
fn read_code_point(escape: &[u8]) -> (char, usize) {
    let first = read_hexadecimal(escape, 2);
    let second = match escape.get(6..8) {
        Some(b"\\u") if (0xd800..0xdc00).contains(&first) => read_hexadecimal(escape, 8),
        _ => 0,
    };
    if (0xdc00..0xe000).contains(&second) {
        let code_point = 0x1_0000 + ((first & 0x3ff) << 10) + (second & 0x3ff);
        return (char::from_u32(code_point).unwrap_or(char::REPLACEMENT_CHARACTER), 12);
    }
    (char::from_u32(first).unwrap_or(char::REPLACEMENT_CHARACTER), 6)
}

fn read_hexadecimal(escape: &[u8], at: usize) -> u32 {
    let digits = escape.get(at..at + 4).unwrap_or_default();
    digits
        .iter()
        .fold(0, |value, digit| value << 4 | char::from(*digit).to_digit(16).unwrap_or_default())
}

/// Where the character of that number begins in the inside of a valid JSON string; its length
/// when it has no more characters.
pub fn offset_of_character(inside: &[u8], number: usize) -> usize {
    let mut at = 0;
    for _ in 0..number {
        let Some(first) = inside.get(at) else { break };
        at += match first {
            b'\\' => match inside.get(at + 1..at + 4) {
                // The escapes of a surrogate pair are one character.
                Some([b'u', b'd' | b'D', b'8' | b'9' | b'a' | b'b' | b'A' | b'B']) => 12,
                Some([b'u', ..]) => 6,
                _ => 2,
            },
            ..0x80 => 1,
            0x80..0xe0 => 2,
            0xe0..0xf0 => 3,
            0xf0.. => 4,
        };
    }
    at.min(inside.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `orjson.dumps` of the same texts.
    #[test]
    fn escapes_are_those_of_orjson() {
        for (text, expected) in [
            ("", r#""""#),
            ("plain é 😀 / \u{7f}\u{2028}", "\"plain é 😀 / \u{7f}\u{2028}\""),
            ("\"\\\u{8}\u{c}\n\r\t", r#""\"\\\b\f\n\r\t""#),
            ("a\0b\u{1f}c\u{b}", r#""a\u0000b\u001fc\u000b""#),
        ] {
            let mut out = Vec::new();
            write_string(text.as_bytes(), &mut out);
            assert_eq!(String::from_utf8(out).unwrap(), expected);
        }
    }

    /// Every escape and every length of UTF-8 is one character.
    #[test]
    fn characters_are_counted_as_readers_see_them() {
        let characters =
            [r"a", r"\n", r"\u0041", r"\ud83d\ude00", "é", "€", "😀", r"\uDBFF\uDFFF", r"\\"];
        let inside = characters.concat();
        let mut offset = 0;
        for (number, character) in characters.iter().enumerate() {
            assert_eq!(offset_of_character(inside.as_bytes(), number), offset, "{character}");
            offset += character.len();
        }
        assert_eq!(offset_of_character(inside.as_bytes(), 100), inside.len());
    }
}
