//! The command line.

use std::net::SocketAddr;
use std::path::PathBuf;

use lexopt::prelude::{Long, Short, Value, ValueExt};

/// What `--help` prints.
pub const USAGE: &str = "\
loadgen send --address HOST:PORT [--connections N] [--events N] [--rate EVENTS_PER_SECOND]
             [--udp] [--timeline FILE]
    Sends N events in all and prints one JSON object about it. Without --rate as fast as the
    receiver takes them. FILE gets one line per sample: monotonic nanoseconds, events so far.

loadgen check [--connections N] [--events N] < NDJSON
    Reads stored events of such a run, each connection's in the order stored, prints one JSON
    object and fails if any event is lost, duplicated or out of order.
";

/// What the program is asked to do.
pub enum Command {
    /// Print [`USAGE`].
    Help,
    /// Send events.
    Send(Send),
    /// Check stored events.
    Check(Check),
}

/// How events travel.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    /// Lines over streams.
    Tcp,
    /// One event per datagram.
    Udp,
}

/// The options of `loadgen send`.
pub struct Send {
    /// Where the server listens.
    pub address: SocketAddr,
    /// How the events travel.
    pub transport: Transport,
    /// Number of streams, or of sending sockets.
    pub connections: usize,
    /// Events over all connections.
    pub events: u64,
    /// Events per second over all connections; none means unlimited.
    pub rate: Option<f64>,
    /// Where to write the samples of the [`crate::timeline::Timeline`].
    pub timeline: Option<PathBuf>,
}

/// The options of `loadgen check`.
pub struct Check {
    /// As sent.
    pub connections: usize,
    /// As sent.
    pub events: u64,
}

/// Events of connection `index` when `events` are split as evenly as they can be.
pub fn share(events: u64, connections: usize, index: usize) -> u64 {
    let (connections, index) = (connections as u64, index as u64);
    events / connections + u64::from(index < events % connections)
}

/// Reads the command line.
pub fn parse(mut parser: lexopt::Parser) -> Result<Command, lexopt::Error> {
    let mut command = None;
    let mut address = None;
    let mut transport = Transport::Tcp;
    let mut connections = 1;
    let mut events = 1_000_000;
    let mut rate = None;
    let mut timeline = None;
    while let Some(argument) = parser.next()? {
        match argument {
            Short('h') | Long("help") => return Ok(Command::Help),
            Value(name) if command.is_none() => command = Some(name.string()?),
            Long("address") => address = Some(parser.value()?.parse()?),
            Long("udp") => transport = Transport::Udp,
            Long("connections") => connections = parser.value()?.parse()?,
            Long("events") => events = parser.value()?.parse()?,
            Long("rate") => rate = Some(parser.value()?.parse()?),
            Long("timeline") => timeline = Some(parser.value()?.into()),
            other => return Err(other.unexpected()),
        }
    }
    if connections == 0 || rate.is_some_and(|rate: f64| rate <= 0.0) {
        return Err("--connections and --rate must be above zero".into());
    }
    match command.as_deref() {
        Some("send") => {
            let address = address.ok_or("send needs --address HOST:PORT")?;
            Ok(Command::Send(Send { address, transport, connections, events, rate, timeline }))
        }
        Some("check") => Ok(Command::Check(Check { connections, events })),
        _ => Err("say send or check; see --help".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::share;

    #[test]
    fn shares_add_up_to_the_whole() {
        assert_eq!((0..3).map(|index| share(10, 3, index)).collect::<Vec<_>>(), [4, 3, 3]);
    }
}
