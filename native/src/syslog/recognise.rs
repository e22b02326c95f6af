//! What a frame is, by how it begins, where a listener takes more than one format.

use super::BYTE_ORDER_MARK;
use super::payload::{self, Payload};
use super::priority::{Beginning, read_priority};
use super::rfc3164;

/// A format of frames.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    /// An object, or what was meant to be one.
    Json,
    /// Syslog.
    Syslog,
    /// Neither.
    Unknown,
}

/// What a frame is, by its first bytes, on a listener of format `auto`.
///
/// A piece of a JSON event that was torn must not be taken for syslog: as the text of a message
/// its secrets would have no path and escape redaction. So without a priority syslog needs a
/// time and a tag behind it, or a beginning that nothing else has, and no trace of JSON.
#[inline]
pub fn recognise(frame: &[u8]) -> Dialect {
    let mut text = frame.trim_ascii_start();
    if let [b'{', ..] = text {
        return Dialect::Json;
    }
    text = text.strip_prefix(BYTE_ORDER_MARK).unwrap_or(text);
    let is_syslog = match read_priority(text) {
        Beginning::Priority(..) => true,
        Beginning::NoPriority => false,
        Beginning::Other => match payload::recognise(text) {
            // What follows is checked to be one whole object.
            Payload::Cee(_) => true,
            Payload::Cef(_) => !has_json(text),
            Payload::Text | Payload::Json(_) => rfc3164::has_header(text) && !has_json(text),
        },
    };
    if is_syslog { Dialect::Syslog } else { Dialect::Unknown }
}

/// Whether a quote stands where one does between the members of an object.
fn has_json(text: &[u8]) -> bool {
    memchr::memchr_iter(b'"', text)
        .any(|at| matches!(text.get(at + 1), Some(b':' | b',' | b'}' | b']')))
}
