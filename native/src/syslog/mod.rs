//! Syslog messages to the text of canonical events: RFC 5424, RFC 3164 and what devices make of
//! it, CEF and `@cee:` within. docs/syslog.md says what becomes of which part.
//!
//! `recognise` tells syslog from JSON; `rfc5424` and `rfc3164` take a message apart, `cef` and
//! `cee` its text; `zone` settles what its time leaves open; `event` writes what was found.

mod calendar;
mod cee;
mod cef;
mod event;
mod json;
mod members;
mod message;
mod object;
mod payload;
mod priority;
mod recognise;
mod rfc3164;
mod rfc5424;
mod structured_data;
mod tag;
mod timestamp;
mod zone;

pub use recognise::{Dialect, recognise};

use serde::Deserialize;

use event::Content;
use members::Members;
use message::{Flaw, Message};
use payload::Payload;
use priority::{Beginning, read_priority};
use zone::Clock;

use crate::decode::{Blind, Decoder, Limits};
use crate::error;
use crate::reject::Reject;

const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// What becomes of a message that cannot be parsed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Unparsed {
    /// A dead letter.
    DeadLetter,
    /// An event with the whole of it as the message, and `diagnostics.parse_error`.
    Keep,
}

/// How messages are read.
#[derive(Debug, Clone, Copy)]
pub struct Options<'a> {
    /// Of times that say nothing of theirs: an IANA name, or an offset such as `+02:00`.
    pub time_zone: &'a str,
    /// What becomes of what cannot be parsed.
    pub unparsed: Unparsed,
    /// What an event may cost.
    pub limits: Limits,
}

/// Reads the messages of one listener, one after the other, in memory that it uses again.
pub struct Syslog {
    unparsed: Unparsed,
    keys: usize,
    clock: Clock,
    /// Checks objects within messages.
    decoder: Decoder,
    /// Makes them events.
    events: Decoder,
    scratch: Vec<u8>,
    header: Vec<u8>,
    elements: Members,
    extension: Members,
}

impl Syslog {
    /// Reads messages in that way.
    ///
    /// # Errors
    /// [`error::Error::Invalid`] for a time zone that does not exist.
    pub fn new(options: &Options<'_>) -> error::Result<Self> {
        Ok(Self {
            unparsed: options.unparsed,
            keys: options.limits.keys as usize,
            clock: Clock::new(options.time_zone)?,
            decoder: Decoder::of_events(options.limits),
            events: Decoder::new(options.limits),
            scratch: Vec::new(),
            header: Vec::new(),
            elements: Members::default(),
            extension: Members::default(),
        })
    }

    /// Tells when the messages that follow were received.
    pub fn begin(&mut self, received_ns: u64) {
        self.clock.begin(received_ns);
    }

    /// Appends the event of a message, a line of valid JSON without its newline. It has still to
    /// be decoded, which removes control fields and enforces the limits. A message that is rejected
    /// leaves `out` as it was.
    pub fn decode(&mut self, message: &[u8], out: &mut Vec<u8>) -> Result<(), Reject> {
        let message = trim(message);
        // Positions of parts have 32 bits.
        if message.len() > i32::MAX as usize {
            return Err(Reject::LineTooLong);
        }
        let start = out.len();
        if simdutf8::basic::from_utf8(message).is_err() {
            return self.decode_damaged(message, out);
        }
        self.read(message, None, out).or_else(|flaw| {
            out.truncate(start);
            self.refuse(message, flaw, out)
        })
    }

    /// What is neither JSON nor syslog: it is rejected, or becomes the message of an event.
    pub fn decode_unknown(&mut self, frame: &[u8], out: &mut Vec<u8>) -> Result<(), Reject> {
        if simdutf8::basic::from_utf8(frame).is_ok() {
            return self.refuse(frame, Flaw::UnknownFormat, out);
        }
        let text = repair(frame);
        self.refuse(&text, Flaw::UnknownFormat, out)
    }

    /// A message that is not UTF-8. Where it is kept, each run of bytes that is no text becomes
    /// U+FFFD, and what can be parsed is.
    #[cold]
    fn decode_damaged(&mut self, message: &[u8], out: &mut Vec<u8>) -> Result<(), Reject> {
        if self.unparsed == Unparsed::DeadLetter {
            return Err(Reject::InvalidUtf8);
        }
        let start = out.len();
        let text = repair(message);
        self.read(&text, Some(Flaw::InvalidUtf8), out).or_else(|flaw| {
            out.truncate(start);
            self.refuse(&text, flaw, out)
        })
    }

    /// Appends the event; when it cannot, it may leave a part of it.
    #[inline]
    fn read(&mut self, text: &[u8], flaw: Option<Flaw>, out: &mut Vec<u8>) -> Parsed<()> {
        let mut message = Message { flaw, ..Message::default() };
        self.elements.clear();
        let rest = match read_priority(text) {
            Beginning::Priority(priority, rest) => {
                message.priority = Some(priority);
                rest
            }
            Beginning::NoPriority => return Err(Flaw::InvalidPriority),
            Beginning::Other => match text {
                [] => return Err(Flaw::Empty),
                [b'{', ..] => return Err(Flaw::Json),
                _ => text,
            },
        };
        match rfc5424::split_version(rest).filter(|_| message.priority.is_some()) {
            Some((b"1", rest)) => {
                rfc5424::read(text, rest, self.keys, &mut message, &mut self.elements)?;
                self.elements.group(text);
            }
            Some(_) => return Err(Flaw::InvalidVersion),
            None => rfc3164::read(rest, &mut message),
        }
        message.text = message.text.strip_prefix(BYTE_ORDER_MARK).unwrap_or(message.text);
        let content = self.read_content(text, &message)?;
        out.reserve(text.len() + ROOM);
        let members = (&self.elements, &self.extension);
        if let Content::Json = content {
            self.header.clear();
            event::write(text, &message, &content, &mut self.clock, members, &mut self.header);
            let is_taken = |key: &[u8]| self.elements.has_object(text, key);
            return json::merge(&self.header, &self.scratch, is_taken, out);
        }
        event::write(text, &message, &content, &mut self.clock, members, out);
        Ok(())
    }

    #[inline]
    fn read_content<'a>(&mut self, text: &'a [u8], message: &Message<'a>) -> Parsed<Content<'a>> {
        match payload::recognise(message.text) {
            Payload::Text => Ok(Content::Text(message.text)),
            Payload::Cef(rest) => {
                if self.elements.has_object(text, b"cef") {
                    return Err(Flaw::DuplicateKey);
                }
                self.extension.clear();
                cef::read(text, rest, self.keys, &mut self.extension).map(Content::Cef)
            }
            Payload::Cee(rest) => {
                let decoder = &mut self.decoder;
                let cee = cee::read(text, rest, &self.elements, decoder, &mut self.scratch);
                cee.map(Content::Cee)
            }
            Payload::Json(object) => {
                self.scratch.clear();
                let decoded = self.events.decode(object, true, &mut Blind, &mut self.scratch);
                decoded.map(|_| Content::Json).map_err(|_| Flaw::InvalidJson)
            }
        }
    }

    /// Rejects a message, or appends an event with the whole of it, which is UTF-8.
    #[cold]
    fn refuse(&mut self, text: &[u8], flaw: Flaw, out: &mut Vec<u8>) -> Result<(), Reject> {
        match (self.unparsed, flaw) {
            (Unparsed::DeadLetter, Flaw::UnknownFormat) => Err(Reject::UnknownFormat),
            (Unparsed::DeadLetter, Flaw::TooManyKeys) => Err(Reject::TooManyKeys),
            // As a text it would hold secrets that redactors look for in fields.
            (_, Flaw::InvalidJson) => Err(Reject::InvalidJson),
            (_, Flaw::InvalidCee | Flaw::Json) | (Unparsed::DeadLetter, _) => {
                Err(Reject::InvalidSyslog)
            }
            (Unparsed::Keep, _) => {
                self.elements.clear();
                let message = Message { flaw: Some(flaw), ..Message::default() };
                let members = (&self.elements, &self.extension);
                event::write(text, &message, &Content::Text(text), &mut self.clock, members, out);
                Ok(())
            }
        }
    }
}

/// An event is longer than its message by names, about so many bytes.
const ROOM: usize = 512;

type Parsed<T> = Result<T, Flaw>;

/// A text in which each run of bytes that is not UTF-8 is U+FFFD.
fn repair(text: &[u8]) -> Vec<u8> {
    String::from_utf8_lossy(text).into_owned().into_bytes()
}

/// A message without what frames it: line breaks and zero bytes at its end, a byte order mark
/// and blanks at its beginning.
#[inline]
fn trim(mut message: &[u8]) -> &[u8] {
    while let [rest @ .., b'\n' | b'\r' | 0] = message {
        message = rest;
    }
    message = message.strip_prefix(BYTE_ORDER_MARK).unwrap_or(message);
    while let [b' ' | b'\t' | b'\n' | b'\r' | 0, rest @ ..] = message {
        message = rest;
    }
    message
}
