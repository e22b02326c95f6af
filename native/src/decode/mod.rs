//! Lines to canonical events: strict JSON (RFC 8259) in, the sender's own bytes out, edited only
//! where the event would not be canonical. There is no tree and no allocation per event.
//!
//! `line` and `stops` (an index of the line) are under `cursor`, which reads it; `strings`,
//! `numbers` and `keys` check tokens, `scanner` the grammar, `layout` spares it where a line is like
//! one before; `edits` makes the event canonical.

mod cursor;
mod edits;
mod keys;
mod layout;
mod line;
mod numbers;
mod observer;
mod scanner;
mod source;
mod stops;
mod strings;
#[cfg(test)]
mod tests;

pub use edits::Edits;
pub use keys::Print;
pub use line::Line;
pub use observer::{Blind, Observer};
pub use source::Source;

use line::PADDING;
use scanner::{Scan, Scanner};

use crate::reject::Reject;

/// What an event may cost.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Containers within each other, the event and a group in it being two; less is taken as two.
    pub depth: u32,
    /// Keys of all objects of an event together.
    pub keys: u32,
}

/// How much deeper an event may be than its sender's: `diagnostics.ingest`, and an envelope.
const ADDED_DEPTH: u32 = 2;

/// Decodes lines, one after the other, in memory that it uses again. The same observer has to look
/// on at all of them: what was learned of one line has its places.
pub struct Decoder {
    limits: Limits,
    scanner: Scanner,
    /// Lines are only checked, not made canonical.
    only_checks: bool,
}

impl Decoder {
    /// A decoder that enforces `limits`.
    pub fn new(limits: Limits) -> Self {
        let limits = Limits { depth: limits.depth.max(2), ..limits };
        Self { limits, scanner: Scanner::new(), only_checks: false }
    }

    /// A decoder of events that were canonical when the pipeline got them, one to a line without
    /// breaks. What stages have made of a group since, such as a mask, stays. Limits are
    /// for senders: what was added to an event does not break them, unless it is nested deeply.
    pub fn of_events(limits: Limits) -> Self {
        let depth = limits.depth.max(2) + ADDED_DEPTH;
        Self { only_checks: true, ..Self::new(Limits { depth, keys: u32::MAX }) }
    }

    /// The canonical event, where the line is it already and that shows at once, because it is like
    /// one before. The observer was told of it then. None: [`Self::decode`] tells.
    #[inline]
    pub fn recognise<'a>(
        &mut self,
        source: &Source<'a>,
        observer: &mut impl Observer,
    ) -> Option<&'a [u8]> {
        let text = trim_blanks_behind(source.line());
        let line = Line::in_place(source.bytes, text.len()).filter(|_| source.is_utf8)?;
        self.scanner.knows(line, observer).then_some(text)
    }

    /// Appends the canonical event, a single line without its newline, to `out`. What the
    /// observer is told last is told of that, with positions from its first byte on.
    ///
    /// `is_utf8` says that the caller has checked that already, for many lines at once.
    /// A rejected line leaves `out` as it was.
    pub fn decode<O: Observer>(
        &mut self,
        line: &[u8],
        is_utf8: bool,
        observer: &mut O,
        out: &mut Vec<u8>,
    ) -> Result<Edits, Reject> {
        if !is_utf8 && simdutf8::basic::from_utf8(line).is_err() {
            return Err(Reject::InvalidUtf8);
        }
        let line = trim_blanks(line);
        if line.first() != Some(&b'{') {
            return Err(Reject::NotAnObject);
        }
        // Positions of keys, which can lie one length past the line, have 32 bits.
        if line.len() > i32::MAX as usize {
            return Err(Reject::LineTooLong);
        }
        // Nearly every line is canonical: it is scanned in the place where it will stay,
        // where there is room for the padding that the scanner needs.
        let start = out.len();
        out.reserve(line.len() + PADDING.len());
        out.extend_from_slice(line);
        let decoded = self.decode_last(line, start, observer, out);
        if decoded.is_err() {
            out.truncate(start);
        }
        decoded
    }

    #[inline]
    fn decode_last<O: Observer>(
        &mut self,
        line: &[u8],
        start: usize,
        observer: &mut O,
        out: &mut Vec<u8>,
    ) -> Result<Edits, Reject> {
        let only_checks = self.only_checks;
        let scan = self.scan_last(start, observer, out)?;
        if only_checks || scan.is_canonical() {
            return Ok(Edits::default());
        }
        let edits = make_canonical(scan, line, start, out)?;
        if O::LOOKS {
            self.scan_last(start, observer, out)?;
        }
        Ok(edits)
    }

    /// Scans the line that `out` holds from `start` on.
    #[inline]
    fn scan_last(
        &mut self,
        start: usize,
        observer: &mut impl Observer,
        out: &mut Vec<u8>,
    ) -> Result<&Scan, Reject> {
        let end = out.len();
        out.extend_from_slice(&PADDING);
        let scanned = self.scanner.scan(Line::new(&out[start..]), self.limits, observer);
        out.truncate(end);
        scanned
    }
}

/// Makes the valid line, which `out` holds from `start` on, canonical.
#[cold]
fn make_canonical(
    scan: &Scan,
    line: &[u8],
    start: usize,
    out: &mut Vec<u8>,
) -> Result<Edits, Reject> {
    let mut edits = Edits::default();
    if !scan.notes.is_canonical() {
        out.truncate(start);
        edits = scan.notes.apply(line, out);
        if edits.groups_wrapped as usize > scan.keys.left() {
            return Err(Reject::TooManyKeys);
        }
    }
    if scan.has_breaks {
        remove_breaks(start, out);
    }
    Ok(edits)
}

/// A line without the blanks around it.
pub fn trim_blanks(mut line: &[u8]) -> &[u8] {
    while let [b' ' | b'\t' | b'\n' | b'\r', rest @ ..] = line {
        line = rest;
    }
    trim_blanks_behind(line)
}

#[inline]
fn trim_blanks_behind(mut line: &[u8]) -> &[u8] {
    while let [rest @ .., b' ' | b'\t' | b'\n' | b'\r'] = line {
        line = rest;
    }
    line
}

/// In valid JSON a bare line break stands between tokens, where nothing is needed in its place.
fn remove_breaks(start: usize, out: &mut Vec<u8>) {
    let mut kept = start;
    for at in start..out.len() {
        let byte = out[at];
        if !matches!(byte, b'\n' | b'\r') {
            out[kept] = byte;
            kept += 1;
        }
    }
    out.truncate(kept);
}
