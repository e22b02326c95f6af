//! The command line: the command comes first, then its options.

mod check;
mod hostile;
mod send;

use lexopt::prelude::{Long, Short, Value, ValueExt};

pub use check::Check;
pub use hostile::Hostile;
pub use send::{Send, Target, share};

/// What `--help` prints.
pub const USAGE: &str = "\
loadgen send (--tcp HOST:PORT | --tls HOST:PORT | --udp HOST:PORT | --unix PATH
              | --unix-datagram PATH) [--format json|rfc5424|rfc3164] [--octet-count]
             [--event-bytes N] [--connections N] [--events N] [--rate EVENTS_PER_SECOND]
             [--burst N] [--run NUMBER]
             [--ca FILE] [--certificate FILE --key FILE] [--await-close SECONDS]
             [--timeline FILE] [--record FILE] [--until-end-of-input]
    Sends N events in all and prints one JSON object about it; fails if a connection broke.
    JSON events are of about 320 bytes, or with --event-bytes of exactly N, 100 to 60000.
    Without --rate as fast as the receiver takes them, else each connection in turn sends a burst.
    Without --ca every TLS server is trusted. With --await-close the server has so long to close
    its side once all is sent, and only then can it be seen that no connection was reset.
    FILE of --timeline gets one line per sample: monotonic nanoseconds, events so far.
    FILE of --record gets a hash of each event, for `audit`. With --until-end-of-input it sends on
    until standard input ends, and over a new connection with the next number where one broke.

loadgen check --sent FILE SHARD...
    Reads the stored events of a run, a file for each shard, and what `send` printed about it.
    Prints one JSON object and fails if any event is lost, duplicated or out of order.

loadgen audit --sent FILE --record FILE DIRECTORY...
    Reads the segments of a journal, a directory for each shard, and holds every event against the
    record of what was sent. Prints one JSON object, whatever it finds.

loadgen hostile slowloris|garbage|overlong|storm|silent|stalled-handshake|plain-text
             --tcp HOST:PORT [--connections N] [--seconds S] [--until-end-of-input]
    Behaves badly for a time, or until standard input ends, and prints one JSON object about it.
";

/// What the program is asked to do.
pub enum Command {
    /// Print [`USAGE`].
    Help,
    /// Send events.
    Send(Send),
    /// Check stored events.
    Check(Check),
    /// Hold a journal against a record.
    Audit(Check),
    /// Behave badly.
    Hostile(Hostile),
}

/// What is wrong with the command line or with a file that it names.
pub type Mistake = Box<dyn std::error::Error>;

/// Reads the command line.
pub fn parse(mut parser: lexopt::Parser) -> Result<Command, Mistake> {
    let name = match parser.next()? {
        Some(Short('h') | Long("help")) => return Ok(Command::Help),
        Some(Value(name)) => name.string()?,
        _ => return Err("say send, check, audit or hostile; see --help".into()),
    };
    match name.as_str() {
        "send" => Ok(Command::Send(send::parse(&mut parser)?)),
        "check" => Ok(Command::Check(check::parse(&mut parser)?)),
        "audit" => Ok(Command::Audit(check::parse(&mut parser)?)),
        "hostile" => Ok(Command::Hostile(hostile::parse(&mut parser)?)),
        _ => Err(format!("{name} is no command; see --help").into()),
    }
}
