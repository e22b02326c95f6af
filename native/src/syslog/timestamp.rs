//! The timestamps of syslog: of RFC 3339, of RFC 3164, and of the devices that mix the two.
//! Reading needs no clock; what a time leaves open is settled when it is written.

use super::calendar::days_in_month;

/// A time as it was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Timestamp<'a> {
    /// RFC 3339 in its usual form: written as it is.
    AsSent(&'a [u8]),
    /// Anything else.
    Civil(Civil<'a>),
}

/// What clock and calendar of the sender showed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Civil<'a> {
    /// Not sent by most.
    pub year: Option<i64>,
    pub month: u8,
    pub day: u8,
    pub hour: u8,
    pub minute: u8,
    /// 60 in a leap second.
    pub second: u8,
    /// Digits of the fraction of the second, as many as were sent.
    pub fraction: &'a [u8],
    pub zone: Zone<'a>,
}

/// What the sender said of its time zone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Zone<'a> {
    /// Nothing: it is that of the listener.
    Unsaid,
    /// Minutes east of Greenwich.
    Offset(i16),
    /// An abbreviation.
    Named(&'a [u8]),
}

/// Two digits at a position.
#[inline]
pub fn two_digits(text: &[u8], at: usize) -> Option<u8> {
    match text.get(at..at + 2)? {
        [tens @ b'0'..=b'9', ones @ b'0'..=b'9'] => Some((tens - b'0') * 10 + ones - b'0'),
        _ => None,
    }
}

fn year(text: &[u8], at: usize) -> Option<i64> {
    Some(i64::from(two_digits(text, at)?) * 100 + i64::from(two_digits(text, at + 2)?))
}

/// The digits that a text begins with.
fn digits(text: &[u8]) -> &[u8] {
    let end = text.iter().position(|byte| !byte.is_ascii_digit()).unwrap_or(text.len());
    &text[..end]
}

/// `hh:mm:ss` and a fraction; the text behind them.
#[inline]
fn read_clock(text: &[u8]) -> Option<([u8; 3], &[u8], &[u8])> {
    if text.len() < 8 || text[2] != b':' || text[5] != b':' {
        return None;
    }
    let clock = [two_digits(text, 0)?, two_digits(text, 3)?, two_digits(text, 6)?];
    if clock[0] > 23 || clock[1] > 59 || clock[2] > 60 {
        return None;
    }
    let rest = &text[8..];
    let fraction = match rest {
        [b'.' | b',', fraction @ ..] => digits(fraction),
        // H3C, before the year.
        [b':', fraction @ ..] if rest.get(4) == Some(&b' ') && digits(fraction).len() == 3 => {
            &fraction[..3]
        }
        _ => &[],
    };
    let length = if fraction.is_empty() { 0 } else { 1 + fraction.len() };
    Some((clock, fraction, &rest[length..]))
}

/// `Z`, `+hh:mm`, `+hhmm` or `+hh`; the minutes, and the text behind.
fn read_offset(text: &[u8]) -> Option<(i16, &[u8])> {
    let (sign, digits) = match text {
        [b'Z' | b'z', rest @ ..] => return Some((0, rest)),
        [b'+', digits @ ..] => (1, digits),
        [b'-', digits @ ..] => (-1, digits),
        _ => return None,
    };
    let hours = i16::from(two_digits(digits, 0)?);
    let (minutes, length) = match digits.get(2) {
        Some(b':') => (two_digits(digits, 3)?, 5),
        Some(b'0'..=b'9') => (two_digits(digits, 2)?, 4),
        _ => (0, 2),
    };
    let is_offset = hours < 24 && minutes < 60;
    is_offset.then(|| (sign * (hours * 60 + i16::from(minutes)), &digits[length..]))
}

/// `2026-11-22T00:04:06.035Z` and what comes near it; the time, and the text behind. Date and
/// time may be apart by a blank, the offset may be missing.
#[inline]
pub fn read_iso(text: &[u8]) -> Option<(Timestamp<'_>, &[u8])> {
    let date = text.first_chunk::<11>()?;
    if date[4] != date[7] || !matches!(date[4], b'-' | b'/') {
        return None;
    }
    let (year, month, day) = (year(date, 0)?, two_digits(date, 5)?, two_digits(date, 8)?);
    if !is_date(Some(year), month, day) || !matches!(date[10], b'T' | b't' | b' ') {
        return None;
    }
    let ([hour, minute, second], fraction, rest) = read_clock(&text[11..])?;
    let (zone, rest) = match read_offset(rest) {
        Some((minutes, behind)) => {
            let usual = date[4] == b'-'
                && date[10] == b'T'
                && matches!(&rest[..rest.len() - behind.len()], [b'Z'] | [_, _, _, b':', ..])
                && text.get(19) != Some(&b',');
            if usual {
                let length = text.len() - behind.len();
                return Some((Timestamp::AsSent(&text[..length]), behind));
            }
            (Zone::Offset(minutes), behind)
        }
        None => read_zone(rest),
    };
    let civil = Civil { year: Some(year), month, day, hour, minute, second, fraction, zone };
    Some((Timestamp::Civil(civil), rest))
}

/// `Nov 22 00:04:06` and what devices add to it: a weekday, a year in three places, a fraction,
/// a zone. The time, and the text behind.
#[inline]
pub fn read_bsd(text: &[u8]) -> Option<(Timestamp<'_>, &[u8])> {
    let (mut year_sent, mut rest) = (None, text);
    let month = if let Some(month) = month(text) {
        month
    } else {
        (year_sent, rest) = read_before_month(text)?;
        month(rest)?
    };
    let (day, mut rest) = match rest.get(3..6)? {
        [b' ', b' ', ones @ b'1'..=b'9'] => (ones - b'0', &rest[6..]),
        [b' ', b'0'..=b'9', b'0'..=b'9'] => (two_digits(rest, 4)?, &rest[6..]),
        [b' ', ones @ b'1'..=b'9', b' '] => (ones - b'0', &rest[5..]),
        _ => return None,
    };
    rest = rest.strip_prefix(b" ")?;
    if rest.get(4) == Some(&b' ') && year_sent.is_none() {
        year_sent = Some(year(rest, 0)?);
        rest = &rest[5..];
    }
    let ([hour, minute, second], fraction, rest) = read_clock(rest)?;
    let (zone, mut rest) = read_zone(rest);
    if year_sent.is_none() {
        (year_sent, rest) = read_year_behind(rest);
    }
    if !is_date(year_sent, month, day) {
        return None;
    }
    let civil = Civil { year: year_sent, month, day, hour, minute, second, fraction, zone };
    Some((Timestamp::Civil(civil), rest))
}

/// A weekday or a year, and the text behind.
#[cold]
fn read_before_month(text: &[u8]) -> Option<(Option<i64>, &[u8])> {
    const WEEKDAYS: [&[u8; 3]; 7] = [b"Mon", b"Tue", b"Wed", b"Thu", b"Fri", b"Sat", b"Sun"];
    let word = text.first_chunk::<3>()?;
    if WEEKDAYS.contains(&word) {
        let rest = &text[3..];
        let rest = rest.strip_prefix(b",").unwrap_or(rest);
        return Some((None, rest.strip_prefix(b" ")?));
    }
    Some((Some(year(text, 0)?), text[4..].strip_prefix(b" ")?))
}

/// ` 2026` before a blank, a colon or the end; the year, and the text behind.
#[inline]
fn read_year_behind(text: &[u8]) -> (Option<i64>, &[u8]) {
    if let [b' ', b'1' | b'2', ..] = text
        && text.get(5..).is_some_and(is_end)
        && let Some(year @ 1970..2100) = year(text, 1)
    {
        return (Some(year), &text[5..]);
    }
    (None, text)
}

#[inline]
fn month(text: &[u8]) -> Option<u8> {
    let [first, second, third] = *text.first_chunk::<3>()?;
    let month = match [first | 0x20, second | 0x20, third | 0x20] {
        [b'j', b'a', b'n'] => 1,
        [b'f', b'e', b'b'] => 2,
        [b'm', b'a', b'r'] => 3,
        [b'a', b'p', b'r'] => 4,
        [b'm', b'a', b'y'] => 5,
        [b'j', b'u', b'n'] => 6,
        [b'j', b'u', b'l'] => 7,
        [b'a', b'u', b'g'] => 8,
        [b's', b'e', b'p'] => 9,
        [b'o', b'c', b't'] => 10,
        [b'n', b'o', b'v'] => 11,
        [b'd', b'e', b'c'] => 12,
        _ => return None,
    };
    first.is_ascii_uppercase().then_some(month)
}

/// Without a year every date counts that some year has.
fn is_date(year: Option<i64>, month: u8, day: u8) -> bool {
    (1..=12).contains(&month) && (1..=days_in_month(year.unwrap_or(2000), month)).contains(&day)
}

/// A zone behind a blank: an offset, an abbreviation, or `UTC+2`; the text behind. What may as
/// well be a host or a tag counts as a zone only if it is known or something follows that
/// follows none of these.
#[inline]
fn read_zone(text: &[u8]) -> (Zone<'_>, &[u8]) {
    match text {
        [b' ', b'+' | b'-' | b'A'..=b'Z', ..] => {
            read_zone_word(text).unwrap_or((Zone::Unsaid, text))
        }
        _ => (Zone::Unsaid, text),
    }
}

#[inline(never)]
fn read_zone_word(text: &[u8]) -> Option<(Zone<'_>, &[u8])> {
    let word = &text[1..];
    let letters = word.iter().take_while(|byte| byte.is_ascii_uppercase()).count();
    let (name, rest) = word.split_at(letters);
    if matches!(name, b"" | b"UTC" | b"GMT" | b"TZ")
        && let Some((minutes, rest)) = read_offset_or_hours(rest, !name.is_empty())
    {
        return is_end(rest).then_some((Zone::Offset(minutes), rest));
    }
    if !(2..=5).contains(&letters) && name != b"Z" || !is_end(rest) {
        return None;
    }
    if matches!(name, b"UTC" | b"GMT" | b"Z") {
        return Some((Zone::Offset(0), rest));
    }
    let is_zone = super::zone::is_abbreviation(name)
        || rest.starts_with(b": %")
        || read_year_behind(rest).0.is_some();
    is_zone.then_some((Zone::Named(name), rest))
}

/// Behind a name, hours may have one digit.
fn read_offset_or_hours(text: &[u8], is_named: bool) -> Option<(i16, &[u8])> {
    match text {
        [sign @ (b'+' | b'-'), hours @ b'0'..=b'9', rest @ ..] if is_named && is_end(rest) => {
            let minutes = i16::from(hours - b'0') * 60;
            Some((if *sign == b'-' { -minutes } else { minutes }, rest))
        }
        [b'+' | b'-', ..] => read_offset(text),
        _ => None,
    }
}

/// Whether a time may end before this text: a blank, or a colon that is no part of an address.
pub fn is_end(rest: &[u8]) -> bool {
    matches!(rest, [] | [b' ', ..] | [b':'] | [b':', b' ', ..])
}

/// Seconds since 1970 with a fraction, as Meraki sends them: ten digits. The seconds, the digits
/// of the fraction, and the text behind.
pub fn read_epoch(text: &[u8]) -> Option<(i64, &[u8], &[u8])> {
    let whole = digits(text);
    if whole.len() != 10 {
        return None;
    }
    let seconds = str::from_utf8(whole).ok()?.parse().ok()?;
    let fraction = digits(text[10..].strip_prefix(b".")?);
    let rest = &text[11 + fraction.len()..];
    (!fraction.is_empty() && rest.starts_with(b" ")).then_some((seconds, fraction, rest))
}
