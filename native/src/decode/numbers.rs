//! Numbers: the grammar, and whether every common reader can hold the value:
//! an integer in 64 bits (signed or unsigned), anything else in a finite double.

use std::str;

use super::line::Line;
use crate::reject::Reject;

/// The position behind the number that begins at `start` with a digit or a minus.
#[inline]
pub fn skip_number(line: Line, start: usize) -> Result<usize, Reject> {
    let digits_from = start + usize::from(line.byte(start) == b'-');
    let end = skip_digits(line, digits_from);
    let digits = end - digits_from;
    if digits == 0 || (digits > 1 && line.byte(digits_from) == b'0') {
        return Err(Reject::InvalidJson);
    }
    match line.byte(end) {
        b'.' | b'e' | b'E' => skip_fraction(line, start, end),
        // 18 digits are less than 2^63.
        _ if digits <= 18 => Ok(end),
        _ => check_integer(line, start, end),
    }
}

#[inline]
fn skip_digits(line: Line, mut at: usize) -> usize {
    while line.byte(at).is_ascii_digit() {
        at += 1;
    }
    at
}

/// `point` is the position behind the integer part.
#[inline]
fn skip_fraction(line: Line, start: usize, point: usize) -> Result<usize, Reject> {
    let mut end = point;
    if line.byte(end) == b'.' {
        end = skip_digits(line, point + 1);
        if end == point + 1 {
            return Err(Reject::InvalidJson);
        }
    }
    // 308 digits are less than 10^308, the exponent of the largest doubles.
    if matches!(line.byte(end), b'e' | b'E') || point - start > 308 {
        return skip_exponent(line, start, end);
    }
    Ok(end)
}

#[cold]
fn skip_exponent(line: Line, start: usize, mut end: usize) -> Result<usize, Reject> {
    if matches!(line.byte(end), b'e' | b'E') {
        let digits_from = end + 1 + usize::from(matches!(line.byte(end + 1), b'+' | b'-'));
        end = skip_digits(line, digits_from);
        if end == digits_from {
            return Err(Reject::InvalidJson);
        }
    }
    let finite = parse::<f64>(line, start, end).is_some_and(f64::is_finite);
    if finite { Ok(end) } else { Err(Reject::NumberOutOfRange) }
}

#[cold]
fn check_integer(line: Line, start: usize, end: usize) -> Result<usize, Reject> {
    let fits = parse::<u64>(line, start, end).is_some() || parse::<i64>(line, start, end).is_some();
    if fits { Ok(end) } else { Err(Reject::NumberOutOfRange) }
}

fn parse<T: str::FromStr>(line: Line, start: usize, end: usize) -> Option<T> {
    str::from_utf8(line.text(start, end)).ok()?.parse().ok()
}
