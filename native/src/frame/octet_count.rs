//! The count of octets before a frame (RFC 6587, section 3.4.1): a number and a blank.

/// Digits of a number, its blank, and what the frame begins with.
pub const LONGEST: usize = 12;
const DIGITS: usize = 9;

/// What a frame begins with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Beginning {
    /// A count: how long it is itself, and the frame behind it.
    Count { digits: usize, length: u64 },
    /// So far it could be one.
    Undecided,
    /// The frame itself.
    Frame,
}

/// Looks at the first bytes of a frame. Only a number before the beginning of a priority or of JSON
/// is a count: others number their messages too, and `404 <html>` is text.
#[inline]
pub fn read(bytes: &[u8]) -> Beginning {
    if matches!(bytes.first(), Some(b'1'..=b'9')) { read_number(bytes) } else { Beginning::Frame }
}

fn read_number(bytes: &[u8]) -> Beginning {
    let mut length = 0;
    for (digits, byte) in bytes.iter().enumerate().take(DIGITS + 1) {
        match byte {
            b'0'..=b'9' if digits < DIGITS => length = length * 10 + u64::from(byte - b'0'),
            b' ' => {
                return match &bytes[digits + 1..] {
                    [b'{', ..] | [b'<', b'0'..=b'9', ..] => {
                        Beginning::Count { digits: digits + 1, length }
                    }
                    [] | [b'<'] => Beginning::Undecided,
                    _ => Beginning::Frame,
                };
            }
            _ => return Beginning::Frame,
        }
    }
    Beginning::Undecided
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One to nine digits, a blank, and what frames begin with: a bracket alone may be text.
    #[test]
    fn counts_are_told_from_frames() {
        let count = |digits, length| Beginning::Count { digits, length };
        for (text, expected) in [
            ("7 <13>x", count(2, 7)),
            ("999999999 {", count(10, 999_999_999)),
            ("", Beginning::Frame),
            ("7", Beginning::Undecided),
            ("123456789", Beginning::Undecided),
            ("123456789 ", Beginning::Undecided),
            ("1234567890", Beginning::Frame),
            ("1234567890 <", Beginning::Frame),
            ("0 <", Beginning::Frame),
            ("07 <", Beginning::Frame),
            ("7  <", Beginning::Frame),
            ("7 x", Beginning::Frame),
            ("7 <", Beginning::Undecided),
            ("404 <html>", Beginning::Frame),
            ("2 <<<", Beginning::Frame),
            ("7<", Beginning::Frame),
            ("<13>", Beginning::Frame),
        ] {
            assert_eq!(read(text.as_bytes()), expected, "{text}");
        }
    }
}
