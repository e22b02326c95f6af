//! How a text is written as a JSON string: as few escapes as JSON allows, as orjson does it.

/// Appends `text`, which is UTF-8 and has no escapes in it, in quotes.
pub fn write_string(text: &[u8], out: &mut Vec<u8>) {
    out.push(b'"');
    let mut copied = 0;
    for (at, byte) in text.iter().enumerate() {
        let escape = match byte {
            b'"' => b'"',
            b'\\' => b'\\',
            0x08 => b'b',
            0x0c => b'f',
            b'\n' => b'n',
            b'\r' => b'r',
            b'\t' => b't',
            ..0x20 => b'u',
            _ => continue,
        };
        out.extend_from_slice(&text[copied..at]);
        out.extend_from_slice(&[b'\\', escape]);
        if escape == b'u' {
            let digit = |value: u8| b"0123456789abcdef"[usize::from(value)];
            out.extend_from_slice(&[b'0', b'0', digit(byte >> 4), digit(byte & 15)]);
        }
        copied = at + 1;
    }
    out.extend_from_slice(&text[copied..]);
    out.push(b'"');
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
}
