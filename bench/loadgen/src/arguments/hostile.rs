//! The options of `loadgen hostile`.

use std::net::SocketAddr;
use std::time::Duration;

use lexopt::prelude::{Long, Value, ValueExt};

use super::Mistake;
use crate::hostile::Kind;

/// The options of `loadgen hostile`.
pub struct Hostile {
    /// What to do.
    pub kind: Kind,
    /// To whom.
    pub address: SocketAddr,
    /// Connections at a time.
    pub connections: usize,
    /// For how long, at most.
    pub duration: Duration,
    /// Does the end of standard input end it earlier?
    pub until_end_of_input: bool,
}

pub(super) fn parse(parser: &mut lexopt::Parser) -> Result<Hostile, Mistake> {
    let (mut kind, mut address, mut connections) = (None, None, None);
    let mut duration = Duration::from_secs(10);
    let mut until_end_of_input = false;
    while let Some(argument) = parser.next()? {
        match argument {
            Value(name) if kind.is_none() => kind = Some(name.parse::<Kind>()?),
            Long("tcp") => address = Some(parser.value()?.parse()?),
            Long("connections") => connections = Some(parser.value()?.parse()?),
            Long("seconds") => {
                duration = Duration::try_from_secs_f64(parser.value()?.parse()?)?;
            }
            Long("until-end-of-input") => until_end_of_input = true,
            other => return Err(other.unexpected().into()),
        }
    }
    let kind = kind.ok_or("hostile needs a kind; see --help")?;
    let address = address.ok_or("hostile needs --tcp HOST:PORT")?;
    let connections = connections.unwrap_or(kind.connections());
    Ok(Hostile { kind, address, connections, duration, until_end_of_input })
}
