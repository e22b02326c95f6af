//! Bounds the size of what is stored. `warn` and `drop` are fapilog's; `truncate` is not, because
//! fapilog's leaves nothing of an envelope: here the result stays an event of its form, with
//! `_truncated` and `_original_size` beside what is left of it.
//!
//! The message is shortened first, even one that is preserved; then members of `data`, of
//! `diagnostics` and of `context` go, then others of the event, the largest first. Groups stay as
//! empty objects, and the message has the room that is left in the end.
//!
//! It works on the text of members, so that what stays is what it was, numbers included.
//! Events that fit cost one comparison; the others are rare, and may allocate.

mod draft;
mod members;
#[cfg(test)]
mod tests;

use std::io::Write;

use super::config::{self, Output, SizeAction};
use super::tokens::Tokens;
use draft::Draft;
use members::Reader;

/// What the guard did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SizeOutcome {
    /// The event fits.
    Fits,
    /// It does not, and stays.
    Warned,
    /// It is smaller now.
    Truncated,
    /// A marker took its place.
    Dropped,
}

/// The guard.
#[derive(Debug)]
pub struct SizeGuard {
    max_bytes: usize,
    action: SizeAction,
    preserve_fields: Vec<String>,
    tokens: Tokens,
}

impl SizeGuard {
    /// A guard as configured; as in fapilog, a limit of zero is none.
    pub fn new(config: &config::SizeGuard) -> Self {
        Self {
            max_bytes: if config.max_bytes == 0 { usize::MAX } else { config.max_bytes },
            action: config.action,
            preserve_fields: config.preserve_fields.clone(),
            tokens: Tokens::default(),
        }
    }

    /// Bounds the event that is the text of `line` from `start` on.
    #[inline]
    pub fn apply(&mut self, line: &mut Vec<u8>, start: usize, form: Output) -> SizeOutcome {
        if line.len() - start <= self.max_bytes {
            SizeOutcome::Fits
        } else {
            self.reduce(line, start, form)
        }
    }

    #[cold]
    fn reduce(&mut self, line: &mut Vec<u8>, start: usize, form: Output) -> SizeOutcome {
        let size = line.len() - start;
        let truncated = match self.action {
            SizeAction::Warn => return SizeOutcome::Warned,
            SizeAction::Drop => None,
            SizeAction::Truncate => self.truncate(&line[start..], form),
        };
        line.truncate(start);
        if let Some(event) = truncated {
            line.extend_from_slice(&event);
            return SizeOutcome::Truncated;
        }
        // Writing to a Vec cannot fail.
        let _ = write!(
            line,
            "{{\"_dropped\":true,\"_reason\":\"payload_size_exceeded\",\
             \"_original_size\":{size},\"_max_bytes\":{}}}",
            self.max_bytes
        );
        SizeOutcome::Dropped
    }

    /// The event made small enough; none if what has to stay is too large.
    fn truncate(&mut self, text: &[u8], form: Output) -> Option<Vec<u8>> {
        self.tokens.read(text);
        let event = match form {
            Output::Bare => 0,
            Output::Envelope => {
                let is_log = |key: &usize| self.tokens.get(*key).text(text) == b"\"log\"";
                self.tokens.keys(0).find(is_log)? + 1
            }
        };
        let span = self.tokens.get(event).span();
        let around = text.len() - span.len();
        let (tokens, preserve_fields) = (&self.tokens, &self.preserve_fields[..]);
        let mut draft = Draft::new(Reader { text, tokens, preserve_fields }.event(event));
        draft.fit(self.max_bytes.checked_sub(around)?, text.len());
        if !draft.fits() {
            return None;
        }
        if form == Output::Envelope {
            draft.sort();
        }
        let mut out = Vec::with_capacity(self.max_bytes);
        out.extend_from_slice(&text[..span.start]);
        draft.write(&mut out);
        out.extend_from_slice(&text[span.end..]);
        Some(out)
    }
}
