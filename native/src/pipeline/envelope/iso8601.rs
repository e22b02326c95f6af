//! The times that `datetime.fromisoformat` of Python 3.11 reads, all of them: basic and extended
//! forms, weeks, any separator, fractions of any length, offsets with seconds.
//!
//! It follows the C code of Python in reading a zero byte behind the end of the text, because
//! what that code accepts beyond the documentation depends on it.

/// Of the proleptic Gregorian calendar, from the year 1 to 9999.
pub const DAYS: i64 = 3_652_059;
const DAY_US: i64 = 86_400_000_000;
const SECOND_US: i64 = 1_000_000;

/// Microseconds between the beginning of the year 1 and the time, in UTC if it has no offset.
pub fn parse(text: &[u8]) -> Option<i64> {
    if text.len() < 7 {
        return None;
    }
    let separator = find_separator(text)?;
    let midnight = parse_date(text, separator)? * DAY_US;
    if text.len() <= separator {
        return Some(midnight);
    }
    let time = &text[separator + character_length(text[separator])..];
    // As in Python, an offset may begin with the first byte, although no time is before it then.
    let offset = time.iter().position(|byte| matches!(byte, b'+' | b'-'));
    let (clock, has_rest) = parse_clock(time, offset.unwrap_or(time.len()))?;
    let offset_us = match offset {
        Some(offset) => parse_offset(&time[offset..])?,
        None if has_rest => return None,
        None => 0,
    };
    let [hour, minute, second, microsecond] = clock;
    if hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let utc = midnight + seconds(hour, minute, second) * SECOND_US + microsecond - offset_us;
    (0..DAYS * DAY_US).contains(&utc).then_some(utc)
}

fn seconds(hour: i64, minute: i64, second: i64) -> i64 {
    hour * 3600 + minute * 60 + second
}

fn byte(text: &[u8], at: usize) -> u8 {
    text.get(at).copied().unwrap_or(0)
}

fn digits(text: &[u8], at: usize, count: usize) -> Option<i64> {
    (at..at + count).try_fold(0, |value, at| {
        let digit = byte(text, at);
        digit.is_ascii_digit().then(|| value * 10 + i64::from(digit - b'0'))
    })
}

/// The length of a character in UTF-8 by its first byte.
fn character_length(first: u8) -> usize {
    match first {
        ..0x80 => 1,
        0xe0..0xf0 => 3,
        0xf0.. => 4,
        _ => 2,
    }
}

/// Where the date ends, which its first characters tell.
fn find_separator(text: &[u8]) -> Option<usize> {
    let is_digit = |at| byte(text, at).is_ascii_digit();
    let separator = match (byte(text, 4), byte(text, 5)) {
        _ if text.len() == 7 => 7,
        // A digit behind 2026-W01- could be a day, but a time is more likely.
        (b'-', b'W') if byte(text, 8) == b'-' => match text.len() {
            9 => return None,
            10 => 10,
            _ if is_digit(10) => 8,
            _ => 10,
        },
        (b'-', b'W') => 8,
        (b'-', _) => 10,
        // Whether a day follows the week shows in the number of digits: a time has them in pairs.
        (b'W', _) => match (7..text.len()).find(|at| !is_digit(*at)).unwrap_or(text.len()) {
            end @ ..9 => end,
            end if end % 2 == 0 => 7,
            _ => 8,
        },
        _ => 8,
    };
    Some(separator)
}

/// Days since the beginning of the year 1.
fn parse_date(text: &[u8], length: usize) -> Option<i64> {
    let year = digits(text, 0, 4)?;
    let is_extended = byte(text, 4) == b'-';
    let dash = usize::from(is_extended);
    let at = 4 + dash;
    let separated = |at| !is_extended || byte(text, at) == b'-';
    if byte(text, at) == b'W' {
        let week = digits(text, at + 1, 2)?;
        let day = match at + 3 {
            end if end >= length => 1,
            end if separated(end) => digits(text, end + dash, 1)?,
            _ => return None,
        };
        return week_day(year, week, day);
    }
    let month = digits(text, at, 2)?;
    if !separated(at + 2) {
        return None;
    }
    let day = digits(text, at + 2 + dash, 2)?;
    let is_date = at + 4 + dash == length
        && year > 0
        && (1..=12).contains(&month)
        && (1..=days_in_month(year, month)).contains(&day);
    is_date.then(|| days_before_month(year, month) + day - 1)
}

fn week_day(year: i64, week: i64, day: i64) -> Option<i64> {
    if year == 0 || !(1..=7).contains(&day) {
        return None;
    }
    let first = days_before_year(year);
    // The year 1 began on a Monday. A week belongs to the year that has its Thursday.
    let weekday = first % 7;
    let weeks = if weekday == 3 || (weekday == 2 && is_leap(year)) { 53 } else { 52 };
    if !(1..=weeks).contains(&week) {
        return None;
    }
    let first_monday = if weekday > 3 { first - weekday + 7 } else { first - weekday };
    let date = first_monday + (week - 1) * 7 + day - 1;
    (0..DAYS).contains(&date).then_some(date)
}

/// Hour, minute, second and microsecond, and whether something is left behind them. `end` is
/// where an offset begins.
fn parse_clock(text: &[u8], end: usize) -> Option<([i64; 4], bool)> {
    let mut clock = [0; 4];
    let mut at = 0;
    let mut is_extended = false;
    for part in 0..3 {
        clock[part] = digits(text, at, 2)?;
        at += 3;
        let behind = byte(text, at - 1);
        if part == 0 {
            is_extended = behind == b':';
        }
        if at >= end {
            return Some((clock, behind != 0));
        }
        match behind {
            b':' if is_extended => {}
            b'.' | b',' => break,
            _ if !is_extended => at -= 1,
            _ => return None,
        }
    }
    let count = (end - at).min(6);
    clock[3] = (count..6).fold(digits(text, at, count)?, |value, _| value * 10);
    at += count;
    while byte(text, at).is_ascii_digit() {
        at += 1;
    }
    Some((clock, byte(text, at) != 0))
}

/// Microseconds east of Greenwich; `text` begins with the sign.
fn parse_offset(text: &[u8]) -> Option<i64> {
    let ([hour, minute, second, microsecond], has_rest) = parse_clock(&text[1..], text.len() - 1)?;
    // Python forgets the fraction of an offset that is less than a second.
    let offset = match seconds(hour, minute, second) {
        0 => 0,
        seconds => seconds * SECOND_US + microsecond,
    };
    let signed = if text[0] == b'-' { -offset } else { offset };
    (!has_rest && offset < DAY_US).then_some(signed)
}

fn is_leap(year: i64) -> bool {
    year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
}

fn days_in_month(year: i64, month: i64) -> i64 {
    match month {
        2 => 28 + i64::from(is_leap(year)),
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

fn days_before_year(year: i64) -> i64 {
    let years = year - 1;
    years * 365 + years / 4 - years / 100 + years / 400
}

/// Days between the beginning of the year 1 and that of the month.
fn days_before_month(year: i64, month: i64) -> i64 {
    days_before_year(year) + (1..month).map(|month| days_in_month(year, month)).sum::<i64>()
}

/// Year, month and day of a number of days since the beginning of the year 1.
pub fn civil_date(days: i64) -> (i64, i64, i64) {
    // At most one too large: a year has fewer days than its calendar has on average.
    let mut year = days * 400 / 146_097 + 1;
    while days_before_year(year) > days {
        year -= 1;
    }
    while days_before_year(year + 1) <= days {
        year += 1;
    }
    let mut month = 12;
    while days_before_month(year, month) > days {
        month -= 1;
    }
    (year, month, days - days_before_month(year, month) + 1)
}
