//! What is stored of a line that is no event: where it came from, why it was rejected, and
//! its raw bytes, without what redactors would have masked. One JSON object per line, in a journal of the same format as the events.

use std::io::Write;
use std::net::SocketAddr;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::clock;
use crate::reject::Reject;
use crate::text::write_string;

/// A rejected line with its circumstances.
pub struct DeadLetter<'a> {
    /// Nanoseconds since the epoch.
    pub received_ns: u64,
    /// Name of the listener.
    pub listener: &'a str,
    /// Who sent it.
    pub peer: Option<SocketAddr>,
    /// Why it is here.
    pub reject: Reject,
    /// The stage of the pipeline that failed, if one did.
    pub stage: Option<&'a str>,
    /// The line as it was sent, or its beginning.
    pub line: &'a [u8],
    /// What may be kept of that.
    pub raw: &'a [u8],
    /// Length of the whole line in bytes.
    pub length: u64,
}

impl DeadLetter<'_> {
    /// Appends the dead letter as one line of JSON, with its newline.
    ///
    /// Bytes that are text stand under `raw`, others as Base64 under `raw_base64`; `truncated`
    /// and `redacted` are there when they apply.
    pub fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"{\"received_at\":\"");
        clock::write_rfc3339(self.received_ns, out);
        out.extend_from_slice(b"\",\"listener\":");
        write_string(self.listener, out);
        if let Some(peer) = self.peer {
            // Writing to a Vec cannot fail.
            let _ = write!(out, ",\"peer\":\"{peer}\"");
        }
        let _ = write!(out, ",\"reason\":\"{}\"", self.reject.name());
        if let Some(stage) = self.stage {
            out.extend_from_slice(b",\"stage\":");
            write_string(stage, out);
        }
        let _ = write!(out, ",\"length\":{}", self.length);
        if self.length > self.line.len() as u64 {
            out.extend_from_slice(b",\"truncated\":true");
        }
        if self.raw != self.line {
            out.extend_from_slice(b",\"redacted\":true");
        }
        match std::str::from_utf8(self.raw) {
            Ok(text) => {
                out.extend_from_slice(b",\"raw\":");
                write_string(text, out);
            }
            Err(_) => {
                let _ = write!(out, ",\"raw_base64\":\"{}\"", STANDARD.encode(self.raw));
            }
        }
        out.extend_from_slice(b"}\n");
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn stored(raw: &[u8], length: u64) -> serde_json::Value {
        let letter = DeadLetter {
            received_ns: 0,
            listener: "tcp-5140",
            peer: Some(SocketAddr::from(([127, 0, 0, 1], 9))),
            reject: Reject::InvalidJson,
            stage: None,
            line: raw,
            raw,
            length,
        };
        let mut out = Vec::new();
        letter.write(&mut out);
        assert_eq!(out.pop(), Some(b'\n'));
        assert!(!out.contains(&b'\n'));
        serde_json::from_slice(&out).unwrap()
    }

    /// The beginning of an overlong line says that it is one.
    #[test]
    fn truncation_is_marked() {
        let letter = stored(b"{\"a", 1000);
        assert_eq!((&letter["truncated"], &letter["length"]), (&true.into(), &1000.into()));
        assert_eq!(stored(b"{\"a", 3).get("truncated"), None);
    }

    proptest! {
        /// Whatever the bytes were, they are found again.
        #[test]
        fn raw_bytes_survive(raw in prop::collection::vec(any::<u8>(), 0..100)) {
            let letter = stored(&raw, raw.len() as u64);
            let found = match letter.get("raw_base64") {
                Some(encoded) => STANDARD.decode(encoded.as_str().unwrap()).unwrap(),
                None => letter["raw"].as_str().unwrap().as_bytes().to_vec(),
            };
            prop_assert_eq!(found, raw);
        }
    }
}
