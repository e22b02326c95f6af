//! A sender's timestamp as fapilog normalises it: RFC 3339 in UTC, to the millisecond.

use std::io::Write;
use std::sync::LazyLock;

use regex::bytes::Regex;

use super::iso8601::{self, civil_date};
use crate::pipeline::python_str::python_text;
use crate::text::write_string;

/// Seconds between the beginnings of the year 1 and of 1970.
const EPOCH_SECONDS: i64 = 62_135_596_800;

/// What fapilog passes unread. In Python, digits are those of any script and a line may end
/// behind the text; none, which cannot be, means that such texts are unusable.
static UNREAD: LazyLock<Option<Regex>> =
    LazyLock::new(|| Regex::new(r"\A\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(?:\.\d{3})?Z\n?\z").ok());

/// Reads timestamps in memory that it uses again.
#[derive(Debug, Default)]
pub struct Timestamps {
    text: Vec<u8>,
    offset: Vec<u8>,
}

impl Timestamps {
    /// Appends the JSON string for a timestamp given as JSON; false, and `out` as it was, for
    /// one that fapilog cannot use.
    pub fn write(&mut self, json: &[u8], out: &mut Vec<u8>) -> bool {
        let milliseconds = match json {
            _ if is_rfc3339(json) => {
                out.extend_from_slice(json);
                return true;
            }
            [b'"', ..] => {
                let text = python_text(json, &mut self.text);
                if UNREAD.as_ref().is_some_and(|unread| unread.is_match(text)) {
                    write_string(text, out);
                    return true;
                }
                replace_zulu(text, &mut self.offset);
                iso8601::parse(&self.offset).map(|microseconds| microseconds / 1000)
            }
            b"true" => from_posix(1.0),
            b"false" => from_posix(0.0),
            [b'-' | b'0'..=b'9', ..] => {
                str::from_utf8(json).ok().and_then(|text| from_posix(text.parse().ok()?))
            }
            _ => None,
        };
        if let Some(milliseconds) = milliseconds {
            write_milliseconds(milliseconds, out);
        }
        milliseconds.is_some()
    }
}

/// Whether that is what nearly every sender sends, `"2026-11-22T00:04:06.035Z"`, the fraction
/// being optional.
fn is_rfc3339(json: &[u8]) -> bool {
    const FORM: &[u8; 26] = b"\"0000-00-00T00:00:00.000Z\"";
    let matches = |form: &[u8]| {
        json.len() == form.len()
            && json.iter().zip(form).all(|(byte, expected)| match expected {
                b'0' => byte.is_ascii_digit(),
                _ => byte == expected,
            })
    };
    matches(FORM) || matches(b"\"0000-00-00T00:00:00Z\"")
}

/// `text.replace("Z", "+00:00")`.
fn replace_zulu(text: &[u8], out: &mut Vec<u8>) {
    out.clear();
    for byte in text {
        match byte {
            b'Z' => out.extend_from_slice(b"+00:00"),
            _ => out.push(*byte),
        }
    }
}

/// `datetime.fromtimestamp`: rounded half to even to the microsecond, then cut.
/// The result counts from the beginning of the year 1.
fn from_posix(seconds: f64) -> Option<i64> {
    const RANGE: std::ops::Range<f64> = -62_135_596_800.0..253_402_300_800.0;
    let mut whole = seconds.trunc();
    let mut microseconds = ((seconds - whole) * 1e6).round_ties_even();
    if microseconds >= 1e6 {
        microseconds -= 1e6;
        whole += 1.0;
    } else if microseconds < 0.0 {
        microseconds += 1e6;
        whole -= 1.0;
    }
    if !RANGE.contains(&whole) {
        return None;
    }
    #[allow(clippy::cast_possible_truncation, reason = "whole numbers in the range of the type")]
    let (whole, microseconds) = (whole as i64, microseconds as i64);
    Some((whole + EPOCH_SECONDS) * 1000 + microseconds / 1000)
}

/// Appends a time, in milliseconds since the beginning of the year 1, as a JSON string.
fn write_milliseconds(milliseconds: i64, out: &mut Vec<u8>) {
    let seconds = milliseconds / 1000;
    let (year, month, day) = civil_date(seconds / 86_400);
    let (hour, minute, second) = (seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
    let fraction = milliseconds % 1000;
    // Writing to a Vec cannot fail.
    let _ = write!(
        out,
        "\"{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{fraction:03}Z\""
    );
}
