//! The options of `loadgen send`.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use lexopt::prelude::{Long, ValueExt};
use rustls::ClientConfig;

use super::Mistake;
use crate::block::{Block, Framing};
use crate::identity::{CONNECTION_DIGITS, RUN_DIGITS};
use crate::messages::{EVENT_BYTES, Format, Writer};
use crate::tls;

/// Where the server listens, and how events travel there.
pub enum Target {
    /// Streams over TCP.
    Tcp(SocketAddr),
    /// Encrypted streams.
    Tls(SocketAddr, Arc<ClientConfig>),
    /// One event per datagram.
    Udp(SocketAddr),
    /// Streams over a Unix socket.
    Unix(PathBuf),
    /// One event per datagram over a Unix socket.
    UnixDatagram(PathBuf),
}

/// The options of `loadgen send`.
pub struct Send {
    /// Where to, and how.
    pub target: Target,
    /// What events are written as.
    pub format: Format,
    /// How long each is, of JSON; none means about 320 bytes.
    pub event_bytes: Option<usize>,
    /// How they are told apart.
    pub framing: Framing,
    /// Names this run in the events, so that others can be stored beside it.
    pub run: usize,
    /// Number of streams, or of sending sockets.
    pub connections: usize,
    /// Events over all connections.
    pub events: u64,
    /// Events per second over all connections; none means unlimited.
    pub rate: Option<f64>,
    /// The most events of a connection before the next one's turn.
    pub burst: Option<u64>,
    /// How long to wait for the server to close its side of all streams.
    pub await_close: Option<Duration>,
    /// Where to write the samples of the [`crate::timeline::Timeline`].
    pub timeline: Option<PathBuf>,
    /// Send on until standard input ends, over a new connection where one broke.
    pub until_end_of_input: bool,
    /// Where to write the [`crate::record`] of what was sent.
    pub record: Option<PathBuf>,
}

impl Send {
    /// The messages to send, over and over.
    pub fn block(&self) -> Block {
        let writer = Writer::new(self.format).with_event_bytes(self.event_bytes);
        Block::of(&writer, self.framing, self.run)
    }
}

impl Target {
    /// Is an event a datagram there?
    pub fn takes_datagrams(&self) -> bool {
        matches!(self, Self::Udp(_) | Self::UnixDatagram(_))
    }
}

/// Events of connection `index` when `events` are split as evenly as they can be.
pub fn share(events: u64, connections: usize, index: usize) -> u64 {
    let (connections, index) = (connections as u64, index as u64);
    events / connections + u64::from(index < events % connections)
}

pub(super) fn parse(parser: &mut lexopt::Parser) -> Result<Send, Mistake> {
    let (mut target, mut tls_address, mut authority) = (None, None, None);
    let (mut certificate, mut key) = (None, None);
    let (mut format, mut framing, mut run) = (Format::Json, Framing::Newline, 0);
    let (mut connections, mut events) = (1, 1_000_000);
    let (mut rate, mut burst, mut await_close, mut timeline) = (None, None, None, None);
    let (mut until_end_of_input, mut record, mut event_bytes) = (false, None, None);
    while let Some(argument) = parser.next()? {
        match argument {
            Long("tcp") => target = Some(Target::Tcp(parser.value()?.parse()?)),
            Long("tls") => tls_address = Some(parser.value()?.parse()?),
            Long("udp") => target = Some(Target::Udp(parser.value()?.parse()?)),
            Long("unix") => target = Some(Target::Unix(parser.value()?.into())),
            Long("unix-datagram") => target = Some(Target::UnixDatagram(parser.value()?.into())),
            Long("format") => format = parser.value()?.parse()?,
            Long("event-bytes") => event_bytes = Some(parser.value()?.parse()?),
            Long("octet-count") => framing = Framing::OctetCount,
            Long("run") => run = parser.value()?.parse()?,
            Long("connections") => connections = parser.value()?.parse()?,
            Long("events") => events = parser.value()?.parse()?,
            Long("rate") => rate = Some(parser.value()?.parse()?),
            Long("burst") => burst = Some(parser.value()?.parse()?),
            Long("ca") => authority = Some(parser.value()?.into()),
            Long("certificate") => certificate = Some(parser.value()?.into()),
            Long("key") => key = Some(parser.value()?.into()),
            Long("await-close") => {
                await_close = Some(Duration::try_from_secs_f64(parser.value()?.parse()?)?);
            }
            Long("until-end-of-input") => until_end_of_input = true,
            Long("record") => record = Some(parser.value()?.into()),
            Long("timeline") => timeline = Some(parser.value()?.into()),
            other => return Err(other.unexpected().into()),
        }
    }
    let identity = match (certificate, key) {
        (Some(certificate), Some(key)) => Some((certificate, key)),
        (None, None) => None,
        _ => return Err("--certificate and --key belong together".into()),
    };
    if let Some(address) = tls_address {
        target = Some(Target::Tls(address, tls::configure(&tls::Files { authority, identity })?));
    }
    let target = target.ok_or("send needs an address; see --help")?;
    if target.takes_datagrams() {
        framing = Framing::Datagram;
    }
    let (runs, most) = (limit(RUN_DIGITS), limit(CONNECTION_DIGITS));
    if run >= runs || connections == 0 || connections > most {
        return Err(format!("--run must be below {runs}, --connections 1 to {most}").into());
    }
    if event_bytes.is_some_and(|bytes| format != Format::Json || !EVENT_BYTES.contains(&bytes)) {
        let (least, most) = EVENT_BYTES.into_inner();
        return Err(format!("--event-bytes is for JSON, {least} to {most}").into());
    }
    if rate.is_some_and(|rate: f64| rate <= 0.0) || burst == Some(0) {
        return Err("--rate and --burst must be above zero".into());
    }
    if record.is_some() && framing == Framing::OctetCount {
        return Err("--record is of what is stored, and counts of octets are not".into());
    }
    Ok(Send {
        target,
        format,
        event_bytes,
        framing,
        run,
        connections,
        events,
        rate,
        burst,
        await_close,
        timeline,
        until_end_of_input,
        record,
    })
}

/// How many numbers have at most so many digits.
fn limit(digits: usize) -> usize {
    std::iter::repeat_n(10, digits).product()
}

#[cfg(test)]
mod tests {
    use super::{Framing, Send, limit, parse, share};

    fn parsed(arguments: &[&str]) -> Result<Send, String> {
        parse(&mut lexopt::Parser::from_args(arguments)).map_err(|error| error.to_string())
    }

    #[test]
    fn shares_add_up_to_the_whole() {
        assert_eq!((0..3).map(|index| share(10, 3, index)).collect::<Vec<_>>(), [4, 3, 3]);
    }

    #[test]
    fn datagrams_are_never_counted() {
        let udp = parsed(&["--octet-count", "--udp", "127.0.0.1:1"]).unwrap();
        assert_eq!(udp.framing, Framing::Datagram);
        let tcp = parsed(&["--octet-count", "--tcp", "127.0.0.1:1"]).unwrap();
        assert_eq!(tcp.framing, Framing::OctetCount);
    }

    #[test]
    fn only_json_has_a_length_to_choose_and_not_any() {
        let parse = |more: &[&str]| parsed(&[&["--tcp", "127.0.0.1:1"], more].concat());
        assert_eq!(parse(&["--event-bytes", "100"]).unwrap().event_bytes, Some(100));
        assert!(parse(&["--event-bytes", "99"]).err().unwrap().contains("100 to 60000"));
        assert!(parse(&["--event-bytes", "200", "--format", "rfc3164"]).is_err());
    }

    #[test]
    fn what_does_not_fit_into_an_identity_is_refused() {
        let connections = limit(super::CONNECTION_DIGITS) + 1;
        let connections = connections.to_string();
        let error = parsed(&["--tcp", "127.0.0.1:1", "--connections", &connections]).err();
        assert!(error.unwrap().contains("--connections"));
        assert!(parsed(&["--tcp", "127.0.0.1:1", "--run", "100"]).is_err());
        assert!(parsed(&["--tls", "127.0.0.1:1", "--key", "key.pem"]).is_err());
    }
}
