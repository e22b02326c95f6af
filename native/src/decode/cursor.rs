//! A position in a line, together with the stops that lie ahead of it.
//! Everything that is not inlined gets positions, never the cursor: so it stays in registers.

#![allow(clippy::inline_always, reason = "passed by address, it would live in memory, far slower")]

use super::line::Line;
use super::numbers::skip_number;
use super::strings::skip_escapes;
use crate::reject::Reject;

/// Reads a line from its beginning to its end.
pub struct Cursor<'a> {
    pub line: Line<'a>,
    /// The position of the next byte.
    pub at: usize,
    stops: &'a [u32],
    /// Of the stops, the first that is not before `at`.
    next: usize,
    /// Whether there were line breaks between tokens.
    pub saw_breaks: bool,
}

impl<'a> Cursor<'a> {
    #[inline(always)]
    pub fn new(line: Line<'a>, stops: &'a [u32]) -> Self {
        Self { line, at: 0, stops, next: 0, saw_breaks: false }
    }

    /// The byte here; zero at the end of the line.
    #[inline(always)]
    pub fn byte(&self) -> u8 {
        self.line.byte(self.at)
    }

    /// Moves behind a byte that is no stop, and the blanks behind that.
    #[inline(always)]
    pub fn skip_byte(&mut self) {
        self.at += 1;
        self.skip_blanks();
    }

    #[inline(always)]
    pub fn skip_blanks(&mut self) {
        if self.byte() <= b' ' {
            let (at, saw_breaks) = skip_blanks(self.line, self.at);
            self.saw_breaks |= saw_breaks;
            self.jump(at);
        }
    }

    /// Moves to a position ahead, past any number of stops.
    #[inline(always)]
    pub fn jump(&mut self, at: usize) {
        self.at = at;
        while (self.stops[self.next] as usize) < at {
            self.next += 1;
        }
    }

    /// From an opening quote, the position of the stop behind it: the quote that ends the
    /// string, or an escape in it, or what should not be there.
    #[inline(always)]
    pub fn stop_of_string(&self) -> usize {
        self.stops[self.next + 1] as usize
    }

    /// Moves behind the stop that is here, and its blanks.
    #[inline(always)]
    pub fn skip_stop(&mut self) {
        self.next += 1;
        self.skip_byte();
    }

    /// From the opening quote of a string without escapes, moves behind it and its blanks.
    #[inline(always)]
    pub fn skip_plain_string(&mut self, closing: usize) {
        self.next += 2;
        self.at = closing;
        self.skip_byte();
    }

    /// Moves behind text that is known to be here, and to have so many stops.
    #[inline(always)]
    pub fn skip_known(&mut self, length: u8, stops: u8) {
        self.at += usize::from(length);
        self.next += usize::from(stops);
    }

    /// Moves behind the string, number or literal that begins here, not behind its blanks.
    #[inline(always)]
    pub fn skip_scalar(&mut self) -> Result<(), Reject> {
        let first = self.byte();
        // Most values are strings: asked first, they do not wait for the jump table.
        if first == b'"' {
            let stop = self.stop_of_string();
            if self.line.byte(stop) == b'"' {
                self.next += 2;
                self.at = stop + 1;
                return Ok(());
            }
            let closing = skip_escapes(self.line, stop)?;
            self.jump(closing + 1);
        } else {
            self.at = match first {
                b'-' | b'0'..=b'9' => skip_number(self.line, self.at)?,
                b't' => self.skip_literal(b"true")?,
                b'n' => self.skip_literal(b"null")?,
                b'f' => self.skip_literal(b"false")?,
                _ => return Err(Reject::InvalidJson),
            };
        }
        Ok(())
    }

    #[inline(always)]
    fn skip_literal<const SIZE: usize>(&self, literal: &[u8; SIZE]) -> Result<usize, Reject> {
        if self.line.bytes(self.at) == literal {
            Ok(self.at + SIZE)
        } else {
            Err(Reject::InvalidJson)
        }
    }
}

/// The position of the next byte that is no blank, and whether there was a line break.
fn skip_blanks(line: Line, mut at: usize) -> (usize, bool) {
    let mut saw_breaks = false;
    while let blank @ (b' ' | b'\t' | b'\n' | b'\r') = line.byte(at) {
        saw_breaks |= blank == b'\n' || blank == b'\r';
        at += 1;
    }
    (at, saw_breaks)
}
