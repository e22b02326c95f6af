//! Who is let in: by address, by how many connections there are, by what an address has sent.

use std::net::SocketAddr;
use std::sync::atomic::Ordering;

use super::receiver::Receiver;
use super::rules::Rules;
use crate::counters::{Load, REFUSALS, Sources, add, cells};
use crate::frame::Frames;

/// Why a connection is closed before anything is read from it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refusal {
    Denied,
    /// What is wrong with it.
    ProxyHeader(&'static str),
    OpeningTimeout,
    SourceConnections,
    ListenerConnections,
}

impl Refusal {
    /// Its place in [`REFUSALS`].
    fn index(self) -> usize {
        match self {
            Self::Denied => 0,
            Self::ProxyHeader(_) => 1,
            Self::OpeningTimeout => 2,
            Self::SourceConnections => 3,
            Self::ListenerConnections => 4,
        }
    }
}

impl Receiver {
    /// Counts and notes that somebody was refused.
    pub(super) fn refuse(&mut self, listener: usize, refusal: Refusal, peer: Option<SocketAddr>) {
        let config = &self.listeners[listener].config;
        let reason = refusal.index();
        add(self.region.listener(self.worker, config.index, cells::CONNECTIONS_REFUSED, reason), 1);
        let rules = &self.rules[listener];
        self.notices.add(config.index, REFUSALS[reason], peer, || match refusal {
            Refusal::Denied => "its address may not send here".into(),
            Refusal::ProxyHeader(words) => words.into(),
            Refusal::OpeningTimeout => {
                format!("no whole PROXY header after {} s", config.limits.opening_seconds)
            }
            Refusal::SourceConnections => {
                format!("its address has {} connections", rules.source_connections.unwrap_or(0))
            }
            Refusal::ListenerConnections => {
                format!("the listener has {} connections", rules.connections.unwrap_or(0))
            }
        });
    }

    /// Refuses a connection that is open, which ends it.
    pub(super) fn turn_away(&mut self, place: usize, refusal: Refusal) {
        let Some(connection) = self.connections.at(place) else { return };
        let (listener, peer) = (connection.listener, connection.sender.peer);
        self.refuse(listener, refusal, peer);
        self.abandon(place);
    }

    /// All that had to come before the first frame has come, and who sends is known: it may send
    /// from here on, or is closed. Says whether it may.
    pub(super) fn established(&mut self, place: usize) -> bool {
        let Some(connection) = self.connections.at(place) else { return false };
        connection.opening = None;
        connection.times.active_ns = self.now_ns;
        connection.source.is_some() || self.admit(place)
    }

    /// Lets a sender in that is known, or closes its connection; says which. Who comes by no proxy
    /// is known at once, before a handshake with it has cost anything.
    pub(super) fn admit(&mut self, place: usize) -> bool {
        let Some(connection) = self.connections.at(place) else { return false };
        let (listener, peer) = (connection.listener, connection.sender.peer);
        let refusal = self.refusal(place, listener, peer);
        if let Some(refusal) = refusal {
            self.turn_away(place, refusal);
        }
        refusal.is_none()
    }

    fn refusal(
        &mut self,
        place: usize,
        listener: usize,
        peer: Option<SocketAddr>,
    ) -> Option<Refusal> {
        let rules = &self.rules[listener];
        if !rules.admits(peer) {
            return Some(Refusal::Denied);
        }
        let index = self.listeners[listener].config.index;
        // It is among them already.
        if rules.connections.is_some_and(|limit| self.of_listener(index) > u64::from(limit)) {
            return Some(Refusal::ListenerConnections);
        }
        let limit = rules.source_connections;
        (!self.enter_source(place, limit)).then_some(Refusal::SourceConnections)
    }

    /// Counts a connection to its address; false when that has `limit` of them already.
    pub(super) fn enter_source(&mut self, place: usize, limit: Option<u32>) -> bool {
        let Some(connection) = self.connections.at(place) else { return false };
        let Some(peer) = connection.sender.peer else { return true };
        connection.source = self.sources.enter(self.worker, peer.ip(), limit, self.now_ns);
        if connection.source.is_some_and(crate::counters::Place::is_shared) {
            add(self.region.worker(self.worker, cells::SOURCE_OVERFLOWS, 0), 1);
        }
        connection.source.is_some()
    }

    /// Connections that are open or on their way, over all workers.
    pub(super) fn of_all(&self) -> u64 {
        let workers = 0..self.region.workers();
        workers.map(|worker| self.work_of(worker).connections).sum()
    }

    fn of_listener(&self, index: usize) -> u64 {
        let workers = 0..self.region.workers();
        let open = |worker| self.region.listener(worker, index, cells::LISTENER_CONNECTIONS, 0);
        workers.map(|worker| open(worker).load(Ordering::SeqCst)).sum()
    }
}

/// What decides about datagrams of one listener.
pub(super) struct DatagramGuard<'a> {
    pub(super) rules: &'a Rules,
    pub(super) sources: &'a Sources,
    pub(super) worker: usize,
    pub(super) now_ns: u64,
    /// Events dropped, with the cell that counts them and one of those who sent them.
    pub(super) dropped: [Dropped; 2],
    /// How often an address found no room in the table.
    pub(super) overflows: u64,
}

/// Events of datagrams that were dropped for one reason.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Dropped {
    pub(super) events: u64,
    pub(super) peer: Option<SocketAddr>,
}

impl DatagramGuard<'_> {
    /// The index of the reason in `dropped`, with its index within `ingest_events_dropped_total`.
    pub(super) const REASONS: [usize; 2] = [cells::DROPPED_DENIED, cells::DROPPED_RATE_LIMITED];

    /// Whether a datagram, ended by a newline, is taken. Where it is not, its events are counted.
    pub(super) fn takes(
        &mut self,
        peer: Option<SocketAddr>,
        datagram: &[u8],
        frames: &mut Frames,
    ) -> bool {
        let Some(sender) = peer else { return true };
        let is_admitted = self.rules.admits(peer);
        if is_admitted && !self.rules.rates.is_limited() {
            return true;
        }
        let bytes = datagram.len() - 1;
        // No datagram is so long that its end would not fit.
        #[allow(clippy::cast_possible_truncation)]
        frames.of_datagrams(datagram, std::iter::once(bytes as u32));
        let events = frames.count() as u64;
        if is_admitted {
            let load = Load { events, bytes: bytes as u64 };
            let (rates, now_ns) = (&self.rules.rates, self.now_ns);
            let (is_taken, place) =
                self.sources.admit(self.worker, sender.ip(), rates, load, now_ns);
            self.overflows += u64::from(place.is_shared());
            if is_taken {
                return true;
            }
        }
        let dropped = &mut self.dropped[usize::from(is_admitted)];
        dropped.events += events;
        dropped.peer = peer;
        false
    }
}

/// Raises or lowers a gauge that other workers sum up: what was done before is seen before.
pub(super) fn shift(cell: &std::sync::atomic::AtomicU64, is_up: bool) {
    if is_up {
        cell.fetch_add(1, Ordering::SeqCst);
    } else {
        cell.fetch_sub(1, Ordering::SeqCst);
    }
}
