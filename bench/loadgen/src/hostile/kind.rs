//! The ways to behave badly, as what a client of each sends.

use std::str::FromStr;
use std::time::Duration;

use crate::block::{Block, EVENTS, Framing};
use crate::messages::Format;

/// A way to behave badly.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// Sends a byte a second and never the end of the line.
    Slowloris,
    /// Sends bytes that are no event, at full speed.
    Garbage,
    /// Sends lines that never seem to end, at full speed.
    Overlong,
    /// Connects, sends half a line and resets, again and again.
    Storm,
    /// Connects and says nothing.
    Silent,
    /// Begins a TLS handshake and stops in the middle of it.
    StalledHandshake,
    /// Sends syslog without TLS where TLS is spoken, at full speed.
    PlainText,
}

/// What a client sends.
pub struct Script {
    /// Once, at first.
    pub opening: Vec<u8>,
    /// Then again and again; nothing, if empty.
    pub body: Vec<u8>,
    /// The pause after each byte of the body; none sends it at full speed.
    pub pause: Option<Duration>,
    /// Does it reset the connection after the opening?
    pub hangs_up: bool,
}

const NAMES: [(&str, Kind); 7] = [
    ("slowloris", Kind::Slowloris),
    ("garbage", Kind::Garbage),
    ("overlong", Kind::Overlong),
    ("storm", Kind::Storm),
    ("silent", Kind::Silent),
    ("stalled-handshake", Kind::StalledHandshake),
    ("plain-text", Kind::PlainText),
];

const GARBAGE_BYTES: usize = 64 * 1024;
const OVERLONG_BYTES: usize = 8 * 1024 * 1024;
/// A TLS record that promises 512 bytes of a `ClientHello`, and the first of them.
const HALF_A_HELLO: [u8; 11] = [22, 3, 1, 2, 0, 1, 0, 1, 252, 3, 3];
const HALF_A_LINE: &[u8] = b"{\"message\":\"";

impl FromStr for Kind {
    type Err = &'static str;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        let found = NAMES.iter().find(|(each, _)| *each == name);
        found.map(|(_, kind)| *kind).ok_or("no such kind of hostile client; see --help")
    }
}

impl Kind {
    /// As on the command line.
    pub fn name(self) -> &'static str {
        NAMES.iter().find(|(_, kind)| *kind == self).map_or("", |(name, _)| name)
    }

    /// How many of these clients there are unless it is said.
    pub fn connections(self) -> usize {
        match self {
            Self::Slowloris | Self::StalledHandshake => 1000,
            Self::Silent => 5000,
            Self::Storm => 64,
            Self::Garbage | Self::Overlong | Self::PlainText => 4,
        }
    }

    /// What each of them sends.
    pub fn script(self) -> Script {
        let nothing = || Script { opening: vec![], body: vec![], pause: None, hangs_up: false };
        let text = HALF_A_LINE.to_vec();
        match self {
            Self::Slowloris => {
                let pause = Some(Duration::from_secs(1));
                Script { opening: text, body: vec![b'x'], pause, ..nothing() }
            }
            Self::Garbage => Script { body: garbage(), ..nothing() },
            Self::Overlong => {
                let mut body = vec![b'x'; OVERLONG_BYTES];
                body.push(b'\n');
                Script { opening: text, body, ..nothing() }
            }
            Self::Storm => Script { opening: text, hangs_up: true, ..nothing() },
            Self::Silent => nothing(),
            Self::StalledHandshake => Script { opening: HALF_A_HELLO.to_vec(), ..nothing() },
            Self::PlainText => {
                let mut block = Block::new(Format::Rfc5424, Framing::Newline, 0);
                Script { body: block.numbered(0, 0, 0..EVENTS).to_vec(), ..nothing() }
            }
        }
    }
}

/// Lines of about 200 bytes that are not UTF-8 and of which none begins like an event, so that
/// every one of them is refused.
fn garbage() -> Vec<u8> {
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    let mut bytes = Vec::with_capacity(GARBAGE_BYTES + 1);
    while bytes.len() < GARBAGE_BYTES {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        let byte = state.to_le_bytes()[3];
        bytes.push(if state.is_multiple_of(200) { b'\n' } else { byte | 0x80 });
    }
    bytes.push(b'\n');
    bytes
}

#[cfg(test)]
mod tests {
    use super::{Kind, NAMES, garbage};

    #[test]
    fn every_kind_has_its_name() {
        for (name, kind) in NAMES {
            assert_eq!(name.parse(), Ok(kind));
            assert_eq!(kind.name(), name);
        }
    }

    #[test]
    fn no_line_of_garbage_begins_like_an_event() {
        let garbage = garbage();
        let lines: Vec<&[u8]> = garbage.split(|&byte| byte == b'\n').collect();
        assert!(lines.len() > 100);
        assert!(lines.iter().filter_map(|line| line.first()).all(|&first| first >= 0x80));
    }

    #[test]
    fn slow_and_silent_clients_never_end_a_line() {
        for kind in [Kind::Slowloris, Kind::Storm, Kind::Silent, Kind::StalledHandshake] {
            let script = kind.script();
            assert!(!script.opening.contains(&b'\n') && !script.body.contains(&b'\n'), "{kind:?}");
        }
    }
}
