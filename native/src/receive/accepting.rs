//! Connections: how they come in, and how they end.

use std::net::SocketAddr;
use std::os::fd::{AsRawFd, OwnedFd};

use super::admission::{Refusal, shift};
use super::arena::{Counted, Kind as Last, Record, State};
use super::config::Kind;
use super::connections::Connection;
use super::opening::unix_identity;
use super::receiver::Receiver;
use super::socket::{self, Accepted};
use super::{Intake, Origin, Read, Sender};
use crate::clock;
use crate::counters::{ACCEPT_PAUSES, add, cells};
use crate::error::Result;

/// Connections accepted per wake-up of their listener.
pub(super) const ACCEPT_BATCH: usize = 64;

/// Why nobody is accepted for a while, in the order of [`ACCEPT_PAUSES`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Pause {
    Connections = 0,
    Descriptors = 1,
}

/// Where a connection comes from that is taken in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Source {
    /// It was accepted, and counts as opened now.
    Listener,
    /// Another worker has counted it.
    Worker,
}

impl Receiver {
    /// Accepts again after a pause, if there is room. Otherwise the timer asks again.
    pub(super) fn resume_accepting(&mut self) -> Result<()> {
        let has_room = self.of_all() < self.bounds.connections && self.has_descriptors();
        if self.listening && !self.accepting && has_room {
            self.watch_sockets(true)?;
            self.accepting = true;
        }
        self.tend_timer();
        Ok(())
    }

    /// Leaves those who want to connect in the kernel's queue.
    pub(super) fn stop_accepting(&mut self) {
        if self.accepting {
            self.unwatch_sockets(true);
            self.accepting = false;
        }
    }

    fn pause_accepting(&mut self, listener: usize, pause: Pause) {
        self.stop_accepting();
        self.tend_timer();
        // It is tried again all the time; as long as that fails it is the same shortage.
        let is_known = pause == Pause::Descriptors && self.is_short_of_descriptors;
        self.is_short_of_descriptors |= pause == Pause::Descriptors;
        if is_known {
            return;
        }
        let reason = pause as usize;
        add(self.region.worker(self.worker, cells::ACCEPT_PAUSES, reason), 1);
        let (index, limit) = (self.listeners[listener].config.index, self.bounds.connections);
        self.notices.add(index, ACCEPT_PAUSES[reason], None, || match pause {
            Pause::Connections => format!("{limit} connections are open; others wait"),
            Pause::Descriptors => "no file descriptors are left; who connects waits".into(),
        });
    }

    /// The timer runs while there are connections to look after, or somebody to accept later.
    pub(super) fn tend_timer(&mut self) {
        let is_waiting = self.listening && !self.accepting;
        self.timer.switch(is_waiting || self.connections.count() > 0);
    }

    pub(super) fn accept_batch(&mut self, listener: usize) -> usize {
        let Some(socket) = self.listeners[listener].socket.as_ref().map(AsRawFd::as_raw_fd) else {
            return 0;
        };
        for accepted in 0..ACCEPT_BATCH {
            if !self.has_descriptors() {
                self.pause_accepting(listener, Pause::Descriptors);
                return accepted;
            }
            // Taken before it is needed: of two workers that want the last place, not both get it.
            shift(self.region.worker(self.worker, cells::CONNECTIONS, 0), true);
            let is_within = self.of_all() <= self.bounds.connections;
            let outcome = is_within.then(|| socket::accept(socket));
            if let Some(Accepted::Connection(socket, peer)) = outcome {
                self.is_short_of_descriptors = false;
                self.accepted(socket, listener, peer);
                shift(self.region.worker(self.worker, cells::CONNECTIONS, 0), false);
                continue;
            }
            shift(self.region.worker(self.worker, cells::CONNECTIONS, 0), false);
            match outcome {
                None => self.pause_accepting(listener, Pause::Connections),
                Some(Accepted::Exhausted) => {
                    self.count_accept_error();
                    self.pause_accepting(listener, Pause::Descriptors);
                }
                Some(Accepted::Failed) => self.count_accept_error(),
                Some(_) => {}
            }
            return accepted;
        }
        ACCEPT_BATCH
    }

    fn count_accept_error(&self) {
        add(self.region.worker(self.worker, cells::ACCEPT_ERRORS, 0), 1);
    }

    fn accepted(&mut self, socket: OwnedFd, listener: usize, peer: Option<SocketAddr>) {
        if !self.rules[listener].admits(peer) {
            self.refuse(listener, Refusal::Denied, peer);
        } else if let Some(socket) = self.pass_on_accepted(socket, listener, peer) {
            self.open(socket, listener, peer);
        }
    }

    /// Takes in a connection that was just accepted, here or by another worker.
    pub(super) fn open(&mut self, socket: OwnedFd, listener: usize, peer: Option<SocketAddr>) {
        self.begin(socket, listener, peer, Source::Listener);
    }

    /// Takes in a connection from which nothing has been read.
    pub(super) fn begin(
        &mut self,
        socket: OwnedFd,
        listener: usize,
        peer: Option<SocketAddr>,
        from: Source,
    ) {
        let is_unix = self.listeners[listener].config.kind == Kind::UnixStream;
        let identity = if is_unix { unix_identity(&socket) } else { None };
        let mut connection = Connection::new(socket, listener, Sender { peer, identity });
        self.begin_opening(&mut connection);
        let is_known = connection.opening.as_ref().is_none_or(|opening| !opening.awaits_header());
        if let Some(place) = self.take_in(connection, from)
            && is_known
        {
            self.admit(place);
        }
    }

    /// Counts and watches a connection, and says where it is; `None`: it had to be closed.
    pub(super) fn take_in(&mut self, mut connection: Connection, from: Source) -> Option<usize> {
        let (descriptor, listener) = (connection.socket.as_raw_fd(), connection.listener);
        connection.times.active_ns = self.now_ns;
        connection.counted_bytes = connection.partial_bytes();
        let counted_bytes = connection.counted_bytes;
        let Some(place) = self.connections.add(connection) else {
            self.count_accept_error();
            if from == Source::Worker {
                self.count_lost(self.listeners[listener].config.index);
            }
            return None;
        };
        self.partial_bytes += counted_bytes;
        self.count_connection(listener, true);
        match from {
            Source::Listener => self.enter_counted(place),
            Source::Worker => self.enter(place),
        }
        self.tend_timer();
        if self.epoll.add(descriptor, place as u64).is_err() {
            self.count_accept_error();
            self.forget(place);
            return None;
        }
        Some(place)
    }

    /// Makes the entry of a connection that counts as opened with it.
    fn enter_counted(&self, place: usize) {
        let Some(connection) = self.connections.get(place) else { return };
        let index = self.listeners[connection.listener].config.index;
        let opened = self.region.listener(self.worker, index, cells::CONNECTIONS_OPENED, 0);
        self.arena.count(Counted::Opened, opened, place, index);
        self.enter(place);
        add(opened, 1);
    }

    /// Counts a connection as closed that was opened elsewhere and has no place here; `index` is that
    /// of its listener in the region.
    pub(super) fn count_lost(&self, index: usize) {
        if index < self.region.listeners().len() {
            add(self.region.listener(self.worker, index, cells::CONNECTIONS_CLOSED, 0), 1);
        }
    }

    fn count_connection(&self, listener: usize, is_up: bool) {
        let index = self.listeners[listener].config.index;
        shift(self.region.worker(self.worker, cells::CONNECTIONS, 0), is_up);
        shift(self.region.listener(self.worker, index, cells::LISTENER_CONNECTIONS, 0), is_up);
    }

    /// Takes a connection out of all that it is counted in, without closing it: it has ended, or
    /// departed.
    pub(super) fn take_out(&mut self, place: usize, state: State) -> Option<Connection> {
        let mut connection = self.connections.take(place)?;
        self.retire(place, state);
        self.partial_bytes -= connection.counted_bytes;
        if let Some(source) = connection.source.take() {
            self.sources.leave(self.worker, source);
        }
        self.count_connection(connection.listener, false);
        Some(connection)
    }

    /// Closes a connection of which nothing is wanted, also not what was read.
    pub(super) fn abandon(&mut self, place: usize) {
        let Some(connection) = self.connections.at(place) else { return };
        if connection.tls.is_some() {
            socket::discard(&connection.socket, &mut self.ciphertext);
        }
        self.forget(place);
    }

    /// Closes a connection that leaves nothing.
    fn forget(&mut self, place: usize) {
        let Some(mut connection) = self.take_out(place, State::Ended) else { return };
        if let Some(tls) = &mut connection.tls {
            tls.close(&connection.socket);
        }
        // Closing is not enough where the worker that passed it on has not yet closed its copy.
        let _ = self.epoll.remove(connection.socket.as_raw_fd());
        drop(connection);
        self.arena.table().entry(place).set_descriptor(-1);
        // A failure here is met again, and reported, by the next tick.
        let _ = self.resume_accepting();
    }

    /// Closes a connection; what is left of its last line is a line.
    pub(super) fn close(&mut self, place: usize, intake: &mut impl Intake) {
        self.end(place, intake, Last::End);
    }

    /// Closes a connection whose last line is no longer waited for: it is an incomplete one.
    pub(super) fn give_up(&mut self, place: usize, intake: &mut impl Intake) {
        self.end(place, intake, Last::Cut);
    }

    fn end(&mut self, place: usize, intake: &mut impl Intake, how: Last) {
        let Some(connection) = self.connections.at(place) else { return };
        let held = connection.opening.take().map(|opening| opening.into_frames());
        if let Some(held) = held.filter(|held| !held.is_empty()) {
            // Before its end, if there is room.
            self.take_held(place, &held, intake);
        }
        let Some(connection) = self.connections.at(place) else { return };
        match how {
            Last::Cut => connection.framer.cut(&mut self.frames),
            _ => connection.framer.finish(&mut self.frames),
        }
        let (received_ns, _) = connection.receive_at(clock::now_ns());
        let config = &self.listeners[connection.listener].config;
        let (listener, line_limit) = (config.index, config.limits.line_bytes);
        if self.frames.count() > 0 {
            let sender = connection.sender.clone();
            let mark = self.commit_end(Record::new(how, place, 0, received_ns));
            intake.take(&Read {
                listener,
                line_limit,
                chunk: &[],
                frames: &self.frames,
                origin: Origin::Connection(&sender),
                received_ns,
                mark,
                is_harmful: false,
            });
            intake.complete(mark);
            self.ring.consume(mark);
        }
        self.forget(place);
    }
}
