//! fapilog's envelope of an event, byte for byte that of `serialize_envelope` for every event
//! that it accepts: six core keys, `logger` and `tags`, all keys sorted.
//!
//! Where fapilog gives up and stores the bare event, so that a reader has to expect two shapes,
//! this still writes an envelope: the time of receipt stands in for a timestamp that is missing
//! or unusable (which stays as `log._original_timestamp`), `INFO` for a missing level, nothing
//! for a missing message. A level or message that is a container becomes its JSON as text.

mod canonical;
mod iso8601;
#[cfg(test)]
mod tests;
mod timestamp;

use canonical::Canonical;
use timestamp::Timestamps;

use crate::clock::write_rfc3339;
use crate::pipeline::python_str::python_text;
use crate::text::{inside, unescape, write_string};

/// Writes envelopes in memory that it uses again.
#[derive(Debug, Default)]
pub struct Envelope {
    canonical: Canonical,
    timestamps: Timestamps,
    timestamp: Vec<u8>,
    scratch: Vec<u8>,
}

/// The tokens of the values that an envelope takes over.
#[derive(Default)]
struct Members {
    context: Option<usize>,
    data: Option<usize>,
    diagnostics: Option<usize>,
    level: Option<usize>,
    logger: Option<usize>,
    message: Option<usize>,
    tags: Option<usize>,
    timestamp: Option<usize>,
}

impl Members {
    fn place(&mut self, key: &[u8]) -> Option<&mut Option<usize>> {
        Some(match key {
            b"context" => &mut self.context,
            b"data" => &mut self.data,
            b"diagnostics" => &mut self.diagnostics,
            b"level" => &mut self.level,
            b"logger" => &mut self.logger,
            b"message" => &mut self.message,
            b"tags" => &mut self.tags,
            b"timestamp" => &mut self.timestamp,
            _ => return None,
        })
    }
}

impl Envelope {
    /// Appends the envelope of a canonical bare event, without a newline, to `out`.
    pub fn write(&mut self, event: &[u8], received_ns: u64, out: &mut Vec<u8>) {
        self.canonical.read(event);
        let members = self.members(event);
        out.extend_from_slice(b"{\"log\":{");
        if let Some(unusable) = self.normalise(event, members.timestamp, received_ns) {
            out.extend_from_slice(b"\"_original_timestamp\":");
            self.canonical.write(event, unusable, out);
            out.push(b',');
        }
        self.write_group("\"context\":", event, members.context, out);
        self.write_group(",\"data\":", event, members.data, out);
        self.write_group(",\"diagnostics\":", event, members.diagnostics, out);
        self.write_text(",\"level\":", event, members.level, "INFO", out);
        self.write_any(",\"logger\":", event, members.logger, out);
        self.write_text(",\"message\":", event, members.message, "", out);
        self.write_any(",\"tags\":", event, members.tags, out);
        out.extend_from_slice(b",\"timestamp\":");
        out.extend_from_slice(&self.timestamp);
        out.extend_from_slice(b"},\"schema_version\":\"1.1\"}");
    }

    fn members(&mut self, event: &[u8]) -> Members {
        let mut members = Members::default();
        for key in self.canonical.tokens().keys(0) {
            let token = self.canonical.tokens().get(key);
            let text = if token.has_escapes {
                self.scratch.clear();
                unescape(token.text(event), &mut self.scratch);
                &self.scratch
            } else {
                inside(token.text(event))
            };
            if let Some(place) = members.place(text) {
                *place = Some(key + 1);
            }
        }
        members
    }

    /// Makes [`Self::timestamp`] a JSON string; the token that is unusable, unless it is null.
    fn normalise(&mut self, event: &[u8], token: Option<usize>, received_ns: u64) -> Option<usize> {
        self.timestamp.clear();
        let text =
            token.map_or(&b"null"[..], |token| self.canonical.tokens().get(token).text(event));
        if self.timestamps.write(text, &mut self.timestamp) {
            return None;
        }
        self.timestamp.push(b'"');
        write_rfc3339(received_ns, &mut self.timestamp);
        self.timestamp.push(b'"');
        token.filter(|_| text != b"null")
    }

    fn write_group(&mut self, key: &str, event: &[u8], token: Option<usize>, out: &mut Vec<u8>) {
        out.extend_from_slice(key.as_bytes());
        match token {
            Some(token) if self.canonical.tokens().get(token).text(event).starts_with(b"{") => {
                self.canonical.write(event, token, out);
            }
            _ => out.extend_from_slice(b"{}"),
        }
    }

    fn write_text(
        &mut self,
        key: &str,
        event: &[u8],
        token: Option<usize>,
        missing: &str,
        out: &mut Vec<u8>,
    ) {
        out.extend_from_slice(key.as_bytes());
        let Some(token) = token else {
            return write_string(missing.as_bytes(), out);
        };
        let text = self.canonical.tokens().get(token).text(event);
        if text.starts_with(b"\"") {
            self.canonical.write(event, token, out);
        } else {
            write_string(python_text(text, &mut self.scratch), out);
        }
    }

    fn write_any(&mut self, key: &str, event: &[u8], token: Option<usize>, out: &mut Vec<u8>) {
        if let Some(token) = token {
            out.extend_from_slice(key.as_bytes());
            self.canonical.write(event, token, out);
        }
    }
}
