//! The fixed-width text `RR-CCCCC-NNNNNNNNNN` that every message carries: run, connection, and
//! sequence number in it.
//!
//! It stands behind the word `request_id`, whatever the format: a member of `context` in JSON, a
//! parameter of the structured data in RFC 5424, part of the message text in RFC 3164. So it is
//! found in a stored event without knowing how that was sent.

use std::fmt;

use memchr::memmem::Finder;

/// What stands before an identity, up to `=`, `="` or `":"`.
pub const KEY: &str = "request_id";
/// Digits of the run.
pub const RUN_DIGITS: usize = 2;
/// Digits of the connection.
pub const CONNECTION_DIGITS: usize = 5;
/// Digits of the sequence number.
pub const SEQUENCE_DIGITS: usize = 10;
/// Where in the text the connection begins; all before it is the same for a whole run.
pub const CONNECTION_AT: usize = RUN_DIGITS + 1;
/// Bytes of the text.
pub const BYTES: usize = CONNECTION_AT + CONNECTION_DIGITS + 1 + SEQUENCE_DIGITS;

const LONGEST_SEPARATOR: usize = 3;

/// Which message of which run.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Identity {
    /// The run, as given on the command line.
    pub run: usize,
    /// The stream, or the sending socket.
    pub connection: usize,
    /// Counted from zero on every connection.
    pub sequence: usize,
}

impl fmt::Display for Identity {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { run, connection, sequence } = self;
        write!(
            out,
            "{run:0RUN_DIGITS$}-{connection:0CONNECTION_DIGITS$}-{sequence:0SEQUENCE_DIGITS$}"
        )
    }
}

/// Finds identities in stored events.
pub struct Search {
    finder: Finder<'static>,
}

impl Search {
    /// A search that can be used again and again.
    pub fn new() -> Self {
        Self { finder: Finder::new(KEY) }
    }

    /// The identity in an event, if it has one.
    pub fn identity(&self, event: &[u8]) -> Option<Identity> {
        let rest = event.get(self.finder.find(event)? + KEY.len()..)?;
        let separator = rest.iter().position(u8::is_ascii_digit)?;
        let text = rest.get(separator..separator + BYTES)?;
        let (run, text) = text.split_at(CONNECTION_AT);
        let (connection, sequence) = text.split_at(CONNECTION_DIGITS + 1);
        (separator <= LONGEST_SEPARATOR).then_some(())?;
        Some(Identity {
            run: number(&run[..RUN_DIGITS])?,
            connection: number(&connection[..CONNECTION_DIGITS])?,
            sequence: number(sequence)?,
        })
    }
}

fn number(digits: &[u8]) -> Option<usize> {
    digits.iter().try_fold(0, |number, byte| {
        byte.is_ascii_digit().then(|| number * 10 + usize::from(byte - b'0'))
    })
}

#[cfg(test)]
mod tests {
    use super::{BYTES, Identity, Search};

    const ONE: Identity = Identity { run: 3, connection: 42, sequence: 7999 };

    #[test]
    fn an_identity_is_found_as_it_is_stored_of_every_format() {
        let text = ONE.to_string();
        assert_eq!(text.len(), BYTES);
        for stored in [
            format!(r#"{{"context":{{"request_id":"{text}"}}}}"#),
            format!(r#"{{"data":{{"request@32473":{{"request_id":"{text}","path":"/"}}}}}}"#),
            format!(r#"{{"message":"request_id={text} path=/"}}"#),
        ] {
            assert_eq!(Search::new().identity(stored.as_bytes()), Some(ONE), "{stored}");
        }
    }

    #[test]
    fn other_events_have_none() {
        for stored in [
            r#"{"message":"hello"}"#,
            r#"{"request_id":"03-00042"}"#,
            r#"{"request_id":"03-00042-000000000x"}"#,
            r#"{"request_id":null,"other":"03-00042-0000007999"}"#,
        ] {
            assert_eq!(Search::new().identity(stored.as_bytes()), None, "{stored}");
        }
    }
}
