//! JSON strings: written from text, and cut where they stand.

use std::io::Write;

/// Appends a JSON string.
pub fn write_string(text: &str, out: &mut Vec<u8>) {
    out.push(b'"');
    let bytes = text.as_bytes();
    let mut plain = 0;
    for (at, &byte) in bytes.iter().enumerate() {
        if byte >= b' ' && byte != b'"' && byte != b'\\' {
            continue;
        }
        out.extend_from_slice(&bytes[plain..at]);
        plain = at + 1;
        match byte {
            b'"' | b'\\' => out.extend_from_slice(&[b'\\', byte]),
            // Writing to a Vec cannot fail.
            _ => drop(write!(out, "\\u{byte:04x}")),
        }
    }
    out.extend_from_slice(&bytes[plain..]);
    out.push(b'"');
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
