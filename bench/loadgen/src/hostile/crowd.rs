//! All hostile clients of a run: whoever loses its connection opens another.

use std::fmt;
use std::io;
use std::time::{Duration, Instant};

use mio::{Events, Poll, Token};

use super::client::Client;
use super::kind::Kind;
use crate::arguments::Hostile;
use crate::clock;
use crate::input::EndOfInput;

const TURN: Duration = Duration::from_millis(5);

/// What the clients did, and what became of them.
#[derive(Default)]
pub struct Deeds {
    /// Connections that were tried.
    pub attempts: u64,
    /// Connections that came about.
    pub opened: u64,
    /// Connections that did not, by the server or for want of ports.
    pub refused: u64,
    /// Connections that the server closed.
    pub closed_by_peer: u64,
    /// Connections that the server reset, or that failed in another way.
    pub resets: u64,
    /// Connections that the client itself ended before its time.
    pub hung_up: u64,
    /// Connections that were open to the end.
    pub open: u64,
    /// Bytes handed to the kernel.
    pub bytes: u64,
}

/// What was done in how long.
pub struct Report {
    kind: Kind,
    seconds: f64,
    cpu_seconds: f64,
    deeds: Deeds,
}

/// Behaves badly for the time given.
pub fn run(options: &Hostile) -> io::Result<Report> {
    let script = options.kind.script();
    let mut poll = Poll::new()?;
    let mut readiness = Events::with_capacity(1024);
    let mut clients: Vec<Client> = (0..options.connections).map(|_| Client::new()).collect();
    let mut deeds = Deeds::default();
    let (started, cpu_before) = (Instant::now(), clock::cpu_seconds());
    let end = options.until_end_of_input.then(EndOfInput::watch).unwrap_or_default();
    let mut goes_on = false;
    while started.elapsed() < options.duration && !end.is_reached() {
        for (index, client) in clients.iter_mut().enumerate() {
            if !client.is_connected() {
                client.connect(options.address, poll.registry(), Token(index), &mut deeds)?;
            }
        }
        let timeout = if goes_on { Duration::ZERO } else { TURN };
        match poll.poll(&mut readiness, Some(timeout)) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            polled => polled?,
        }
        for event in &readiness {
            let client = &mut clients[event.token().0];
            client.note(event.is_readable(), event.is_writable(), &mut deeds);
        }
        let now = Instant::now();
        goes_on = false;
        for client in &mut clients {
            goes_on |= client.act(&script, now, &mut deeds);
        }
    }
    deeds.open = clients.iter().filter(|client| client.is_connected()).count() as u64;
    Ok(Report {
        kind: options.kind,
        seconds: started.elapsed().as_secs_f64(),
        cpu_seconds: clock::cpu_seconds() - cpu_before,
        deeds,
    })
}

impl fmt::Display for Report {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kind, seconds, cpu_seconds, deeds } = self;
        write!(
            out,
            concat!(
                r#"{{"kind":"{}","seconds":{},"cpu_seconds":{},"attempts":{},"opened":{},"#,
                r#""refused":{},"closed_by_peer":{},"resets":{},"hung_up":{},"open":{},"#,
                r#""bytes":{}}}"#,
            ),
            kind.name(),
            seconds,
            cpu_seconds,
            deeds.attempts,
            deeds.opened,
            deeds.refused,
            deeds.closed_by_peer,
            deeds.resets,
            deeds.hung_up,
            deeds.open,
            deeds.bytes,
        )
    }
}
