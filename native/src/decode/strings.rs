//! Strings: where one ends, and what its escapes mean.
//! That the line is UTF-8 has been checked before; here only bytes below 0x80 matter.

use super::block::stops;
use super::line::{BLOCK, Line};
use crate::reject::Reject;

/// The position of the first quote, backslash or control character from `at` on.
#[inline]
pub fn find_stop(line: Line, mut at: usize) -> usize {
    loop {
        let stops = stops(line.block(at));
        if stops != 0 {
            return at + stops.trailing_zeros() as usize;
        }
        at += BLOCK;
    }
}

/// The position behind the string whose first character is at `at`.
#[inline]
pub fn skip_string(line: Line, at: usize) -> Result<usize, Reject> {
    let stop = find_stop(line, at);
    if line.byte(stop) == b'"' { Ok(stop + 1) } else { skip_escapes(line, stop) }
}

#[cold]
fn skip_escapes(line: Line, mut stop: usize) -> Result<usize, Reject> {
    loop {
        match line.byte(stop) {
            b'"' => return Ok(stop + 1),
            b'\\' => stop = find_stop(line, read_escape(line, stop)?.1),
            _ => return Err(Reject::InvalidJson),
        }
    }
}

/// Appends what the string from `at` on says to `text`; the position behind it.
#[cold]
pub fn unescape(line: Line, mut at: usize, text: &mut Vec<u8>) -> Result<usize, Reject> {
    loop {
        let stop = find_stop(line, at);
        text.extend_from_slice(line.text(at, stop));
        match line.byte(stop) {
            b'"' => return Ok(stop + 1),
            b'\\' => {
                let (character, behind) = read_escape(line, stop)?;
                text.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
                at = behind;
            }
            _ => return Err(Reject::InvalidJson),
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
    if first >= 0xdc00 || line.byte(at + 4) != b'\\' || line.byte(at + 5) != b'u' {
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
    let mut value = 0;
    for at in at..at + 4 {
        let digit = char::from(line.byte(at)).to_digit(16).ok_or(Reject::InvalidJson)?;
        value = value << 4 | digit;
    }
    Ok(value)
}
