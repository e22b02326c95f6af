//! What a parser finds in a syslog message: parts of its text, to be written as an event.

use super::priority::Priority;
use super::timestamp::Timestamp;
use crate::words;

/// A message, taken apart. A part that the sender left out is empty.
#[derive(Debug, Default)]
pub struct Message<'a> {
    pub priority: Option<Priority>,
    pub timestamp: Option<Timestamp<'a>>,
    pub hostname: &'a [u8],
    /// The app-name of RFC 5424 or the tag of RFC 3164.
    pub logger: &'a [u8],
    pub procid: &'a [u8],
    /// The message ID of RFC 5424, or what stands behind the `%` in messages of Cisco.
    pub msgid: &'a [u8],
    /// The numbers that network devices count their messages with.
    pub sequence: &'a [u8],
    /// The part of a device that speaks, as IOS XR names it.
    pub node: &'a [u8],
    /// What the device says of its clock.
    pub clock: &'static str,
    /// All that the fields above are parts of.
    pub header: &'a [u8],
    /// What is left: the message proper.
    pub text: &'a [u8],
    /// What is wrong with it although it could be taken apart.
    pub flaw: Option<Flaw>,
}

/// Why a message cannot be taken apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flaw {
    /// Nothing but blanks.
    Empty,
    /// A JSON object: as a text, its secrets would have no path and escape redaction.
    Json,
    /// A number in angle brackets above 191.
    InvalidPriority,
    /// A version of the protocol other than 1.
    InvalidVersion,
    /// RFC 5424: no time, or none that exists.
    InvalidTimestamp,
    /// RFC 5424: a field of the header is missing.
    InvalidHeader,
    /// RFC 5424: structured data that breaks off or breaks its grammar.
    InvalidStructuredData,
    /// A CEF header without its fields, or an extension that does not begin with a key.
    InvalidCef,
    /// What follows `@cee:` is not an object that would be taken as an event.
    InvalidCee,
    /// A text that begins as a JSON object and is none.
    InvalidJson,
    /// Two sources of `data` have the same key.
    DuplicateKey,
    /// More parameters than an event may have keys.
    TooManyKeys,
    /// The bytes are not UTF-8.
    InvalidUtf8,
    /// Neither JSON nor syslog.
    UnknownFormat,
}

impl Flaw {
    /// The name in `diagnostics.parse_error`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Empty => "empty",
            Self::Json => "json",
            Self::InvalidPriority => "invalid_priority",
            Self::InvalidVersion => "invalid_version",
            Self::InvalidTimestamp => "invalid_timestamp",
            Self::InvalidHeader => "invalid_header",
            Self::InvalidStructuredData => "invalid_structured_data",
            Self::InvalidCef => "invalid_cef",
            Self::InvalidCee => "invalid_cee",
            Self::InvalidJson => "invalid_json",
            Self::DuplicateKey => "duplicate_key",
            Self::TooManyKeys => "too_many_keys",
            Self::InvalidUtf8 => "invalid_utf8",
            Self::UnknownFormat => "unknown_format",
        }
    }
}

/// Splits at the first blank, which belongs to neither part.
#[inline]
pub fn split_word(text: &[u8]) -> (&[u8], &[u8]) {
    match words::position(text, |word| words::equal(word, b' ')) {
        Some(at) => (&text[..at], &text[at + 1..]),
        None => (text, &[]),
    }
}

/// A text without the blanks that it begins with.
pub fn skip_blanks(mut text: &[u8]) -> &[u8] {
    while let [b' ', rest @ ..] = text {
        text = rest;
    }
    text
}
