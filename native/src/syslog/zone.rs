//! What a time leaves open: the year, and the offset from UTC, by the time of receipt and the
//! listener's time zone. A time is worked out once for each minute of it.

use jiff::civil::DateTime;
use jiff::tz::{AmbiguousOffset, Offset, TimeZone};

use super::calendar::{days_from_epoch, days_in_month};
use super::timestamp::{Civil, Timestamp, Zone};
use crate::clock;
use crate::error::{Error, Result};

const MINUTE_NS: u64 = 60_000_000_000;
/// Minutes that are remembered.
const KEPT: usize = 8;

/// Abbreviations that mean one offset wherever they are used in logs; minutes east of Greenwich.
const ABBREVIATIONS: [(&[u8], i16); 19] = [
    (b"EST", -300),
    (b"EDT", -240),
    (b"CST", -360),
    (b"CDT", -300),
    (b"MST", -420),
    (b"MDT", -360),
    (b"PST", -480),
    (b"PDT", -420),
    (b"WET", 0),
    (b"WEST", 60),
    (b"CET", 60),
    (b"CEST", 120),
    (b"MET", 60),
    (b"MEST", 120),
    (b"EET", 120),
    (b"EEST", 180),
    (b"JST", 540),
    (b"AEST", 600),
    (b"AEDT", 660),
];

/// Whether that is the abbreviation of a zone.
pub fn is_abbreviation(name: &[u8]) -> bool {
    ABBREVIATIONS.iter().any(|(known, _)| *known == name)
}

/// Dates and offsets for the messages of one listener.
#[derive(Debug)]
pub struct Clock {
    zone: TimeZone,
    received_ns: u64,
    kept: [Minute; KEPT],
}

/// A minute of the listener's time, worked out.
#[derive(Debug, Clone, Copy, Default)]
struct Minute {
    /// Month, day, hour and minute; zero is none.
    key: u32,
    /// `2026-11-22T00:04:`
    beginning: [u8; 17],
    offset: OffsetText,
}

/// `Z` or `+hh:mm`.
#[derive(Debug, Clone, Copy, Default)]
struct OffsetText {
    bytes: [u8; 6],
    length: u8,
}

impl Clock {
    /// `zone` is an IANA name or an offset such as `+02:00`.
    pub fn new(zone: &str) -> Result<Self> {
        let unknown = || Error::Invalid(format!("{zone:?} is no time zone"));
        let zone = match zone.as_bytes() {
            [sign @ (b'+' | b'-'), hours @ .., b':', tens, ones] if hours.len() == 2 => {
                let minutes = [hours, &[*tens, *ones]]
                    .map(|digits| super::timestamp::two_digits(digits, 0).map(i32::from));
                let [Some(hours @ ..24), Some(minutes @ ..60)] = minutes else {
                    return Err(unknown());
                };
                let seconds = (hours * 60 + minutes) * 60;
                let seconds = if *sign == b'-' { -seconds } else { seconds };
                TimeZone::fixed(Offset::from_seconds(seconds).map_err(|_| unknown())?)
            }
            _ => TimeZone::get(zone).map_err(|_| unknown())?,
        };
        Ok(Self { zone, received_ns: 0, kept: [Minute::default(); KEPT] })
    }

    /// Tells when the messages that follow were received.
    pub fn begin(&mut self, received_ns: u64) {
        // Which year, and which of two equal times when clocks are put back, depends on it.
        if received_ns / MINUTE_NS != self.received_ns / MINUTE_NS {
            self.kept = [Minute::default(); KEPT];
        }
        self.received_ns = received_ns;
    }

    /// Appends a time as RFC 3339; the name of its zone if that is unknown, in which case it is
    /// taken as the listener's.
    #[inline]
    pub fn write<'a>(&mut self, time: Timestamp<'a>, out: &mut Vec<u8>) -> Option<&'a [u8]> {
        match time {
            Timestamp::AsSent(text) => {
                out.extend_from_slice(text);
                None
            }
            Timestamp::Civil(civil) => self.write_civil(&civil, out),
        }
    }

    fn write_civil<'a>(&mut self, civil: &Civil<'a>, out: &mut Vec<u8>) -> Option<&'a [u8]> {
        let mut unknown = None;
        let minute = if civil.year.is_none() && civil.zone == Zone::Unsaid {
            let key = u32::from_le_bytes([civil.minute, civil.hour, civil.day, civil.month]);
            let place = usize::from(civil.minute) % KEPT;
            if self.kept[place].key != key {
                self.kept[place] = self.work_out(key, civil, &mut unknown);
            }
            &self.kept[place]
        } else {
            &self.work_out(0, civil, &mut unknown)
        };
        out.extend_from_slice(&minute.beginning);
        out.extend_from_slice(&[b'0' + civil.second / 10, b'0' + civil.second % 10]);
        if !civil.fraction.is_empty() {
            out.push(b'.');
            out.extend_from_slice(civil.fraction);
        }
        out.extend_from_slice(&minute.offset.bytes[..usize::from(minute.offset.length)]);
        unknown
    }

    #[inline(never)]
    fn work_out<'a>(&self, key: u32, civil: &Civil<'a>, unknown: &mut Option<&'a [u8]>) -> Minute {
        let year = civil.year.unwrap_or_else(|| self.closest_year(civil));
        let minutes = match civil.zone {
            Zone::Offset(minutes) => minutes,
            Zone::Unsaid => self.offset(year, civil, None).unwrap_or_default(),
            Zone::Named(name) => {
                let of_listener = self.offset(year, civil, Some(name));
                let known = ABBREVIATIONS.iter().find(|(known, _)| *known == name);
                of_listener.or(known.map(|(_, minutes)| *minutes)).unwrap_or_else(|| {
                    *unknown = Some(name);
                    self.offset(year, civil, None).unwrap_or_default()
                })
            }
        };
        let mut beginning = *b"0000-00-00T00:00:";
        // The parsers read years of four digits.
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        let (century, of_century) = ((year / 100 % 100) as u8, (year % 100) as u8);
        let parts = [century, of_century, civil.month, civil.day, civil.hour, civil.minute];
        for (at, value) in [0, 2, 5, 8, 11, 14].into_iter().zip(parts) {
            beginning[at..at + 2].copy_from_slice(&[b'0' + value / 10, b'0' + value % 10]);
        }
        Minute { key, beginning, offset: OffsetText::new(minutes) }
    }

    /// The year that brings a date closest to the time of receipt: in January, December is last
    /// year's. A leap day may be some years away.
    fn closest_year(&self, civil: &Civil<'_>) -> i64 {
        let received = i64::try_from(self.received_ns / 1_000_000_000).unwrap_or_default();
        let this_year = i64::try_from(clock::year(self.received_ns)).unwrap_or_default();
        (this_year - 8..=this_year + 8)
            .filter(|year| civil.day <= days_in_month(*year, civil.month))
            .min_by_key(|year| (seconds(*year, civil) - received).abs())
            .unwrap_or(this_year)
    }

    /// Minutes east of Greenwich in the listener's zone, if that is its abbreviation then.
    fn offset(&self, year: i64, civil: &Civil<'_>, name: Option<&[u8]>) -> Option<i16> {
        let [month, day, hour, minute] =
            [civil.month, civil.day, civil.hour, civil.minute].map(u8::cast_signed);
        let year = i16::try_from(year).ok()?;
        let time = DateTime::new(year, month, day, hour, minute, 0, 0).ok()?;
        let offsets = match self.zone.to_ambiguous_timestamp(time).offset() {
            AmbiguousOffset::Unambiguous { offset } => [offset; 2],
            // A clock that was not put forward shows times that the zone does not have.
            AmbiguousOffset::Gap { before, .. } => [before; 2],
            AmbiguousOffset::Fold { before, after } => [before, after],
        };
        let received = i128::from(self.received_ns / 1_000_000_000);
        offsets
            .into_iter()
            .filter_map(|offset| Some((offset, offset.to_timestamp(time).ok()?)))
            .filter(|(_, instant)| {
                let abbreviation = self.zone.to_offset_info(*instant);
                name.is_none_or(|name| abbreviation.abbreviation().as_bytes() == name)
            })
            .min_by_key(|(_, instant)| (i128::from(instant.as_second()) - received).abs())
            .and_then(|(offset, _)| i16::try_from(offset.seconds() / 60).ok())
    }
}

fn seconds(year: i64, civil: &Civil<'_>) -> i64 {
    let hours = days_from_epoch(year, civil.month, civil.day) * 24 + i64::from(civil.hour);
    hours * 3600 + i64::from(civil.minute) * 60
}

impl OffsetText {
    fn new(minutes: i16) -> Self {
        if minutes == 0 {
            return Self { bytes: *b"Z     ", length: 1 };
        }
        let sign = if minutes < 0 { b'-' } else { b'+' };
        let [hours, minutes] = [minutes.unsigned_abs() / 60, minutes.unsigned_abs() % 60];
        let digit = |value: u16| b'0' + u8::try_from(value % 10).unwrap_or_default();
        let digits = [hours / 10, hours, minutes / 10, minutes].map(digit);
        let bytes = [sign, digits[0], digits[1], b':', digits[2], digits[3]];
        Self { bytes, length: 6 }
    }
}
