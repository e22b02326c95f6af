//! The members of a JSON object that is known to be valid, where they stand.

use crate::decode::trim_blanks;

/// Hands on the key, in its quotes, and the value of each member of a valid object.
pub fn each_member<'a>(object: &'a [u8], mut found: impl FnMut(&'a [u8], &'a [u8])) {
    let mut rest = trim_blanks(object.strip_prefix(b"{").unwrap_or_default());
    while let [b'"', ..] = rest {
        let (key, behind) = rest.split_at(string_length(rest));
        let value = trim_blanks(trim_blanks(behind).strip_prefix(b":").unwrap_or_default());
        let (value, behind) = value.split_at(value_length(value));
        let value = trim_blanks(value);
        if key.len() < 2 || value.is_empty() {
            return;
        }
        found(key, value);
        rest = trim_blanks(behind.strip_prefix(b",").unwrap_or_default());
    }
}

/// Up to the comma or bracket behind a value.
fn value_length(text: &[u8]) -> usize {
    let (mut at, mut depth) = (0, 0);
    while at < text.len() {
        match text[at] {
            b'"' => at += string_length(&text[at..]) - 1,
            b'{' | b'[' => depth += 1,
            b',' | b'}' if depth == 0 => break,
            b'}' | b']' => depth -= 1,
            _ => {}
        }
        at += 1;
    }
    at.min(text.len())
}

/// Of the string that a text begins with, in its quotes.
fn string_length(text: &[u8]) -> usize {
    let mut at = 1;
    while let Some(byte) = text.get(at) {
        match byte {
            b'"' => return at + 1,
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
    text.len()
}
