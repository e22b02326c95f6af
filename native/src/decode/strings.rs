//! What the escapes in strings stand for.
//! That the line is UTF-8 has been checked before; here only bytes below 0x80 matter.

use super::line::Line;
use crate::reject::Reject;

/// The position of the quote that ends the string which has its first escape at `at`.
#[cold]
pub fn skip_escapes(line: Line, at: usize) -> Result<usize, Reject> {
    each_escape(line, at, |_, _, _| {})
}

/// The same; appends what the string, which begins at `start`, says to `text`.
#[cold]
pub fn unescape(line: Line, start: usize, at: usize, text: &mut Vec<u8>) -> Result<usize, Reject> {
    let mut copied = start;
    let closing = each_escape(line, at, |at, character, behind| {
        text.extend_from_slice(line.text(copied, at));
        text.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
        copied = behind;
    })?;
    text.extend_from_slice(line.text(copied, closing));
    Ok(closing)
}

/// Hands on where each escape begins, the character it stands for, and where it ends.
fn each_escape(
    line: Line,
    mut at: usize,
    mut found: impl FnMut(usize, char, usize),
) -> Result<usize, Reject> {
    loop {
        match line.byte(at) {
            b'"' => return Ok(at),
            b'\\' => {
                let (character, behind) = read_escape(line, at)?;
                found(at, character, behind);
                at = behind;
            }
            ..0x20 => return Err(Reject::InvalidJson),
            _ => at += 1,
        }
    }
}

/// The character that the escape at `at` stands for, and the position behind it.
fn read_escape(line: Line, at: usize) -> Result<(char, usize), Reject> {
    let character = match line.byte(at + 1) {
        same @ (b'"' | b'\\' | b'/') => char::from(same),
        b'b' => '\u{8}',
        b'f' => '\u{c}',
        b'n' => '\n',
        b'r' => '\r',
        b't' => '\t',
        b'u' => return read_code_point(line, at + 2),
        _ => return Err(Reject::InvalidJson),
    };
    Ok((character, at + 2))
}

/// `at` is behind the `\u`. Beyond the basic plane two escapes are one character.
fn read_code_point(line: Line, at: usize) -> Result<(char, usize), Reject> {
    let first = read_hexadecimal(line, at)?;
    if let Some(character) = char::from_u32(first) {
        return Ok((character, at + 4));
    }
    if first >= 0xdc00 || *line.bytes(at + 4) != *b"\\u" {
        return Err(Reject::LoneSurrogate);
    }
    let second = read_hexadecimal(line, at + 6)?;
    if !(0xdc00..0xe000).contains(&second) {
        return Err(Reject::LoneSurrogate);
    }
    let code_point = 0x1_0000 + ((first - 0xd800) << 10) + (second - 0xdc00);
    let character = char::from_u32(code_point).ok_or(Reject::LoneSurrogate)?;
    Ok((character, at + 10))
}

fn read_hexadecimal(line: Line, at: usize) -> Result<u32, Reject> {
    let digits = line.bytes::<4>(at);
    digits.iter().try_fold(0, |value, digit| {
        let digit = char::from(*digit).to_digit(16).ok_or(Reject::InvalidJson)?;
        Ok(value << 4 | digit)
    })
}
