//! The end of the intake: what the kernel already holds is read and all is closed, or what can go
//! on with a successor is passed on to it.

use std::os::fd::RawFd;
use std::time::Instant;

use super::accepting::ACCEPT_BATCH;
use super::config::Kind;
use super::connections::Connection;
use super::datagrams::UNIX_QUEUE_BYTES;
use super::moving::Cause;
use super::receiver::{Outcome, Receiver};
use super::{Intake, socket};
use crate::clock;
use crate::counters::{add, cells};

impl Receiver {
    /// Ends the intake: accepts who already waits, reads what the kernel already holds of
    /// each connection, closes it, and takes the rest of its last line as a line.
    ///
    /// `wait_for_room` blocks until the intake may have room again, and says whether to go on.
    pub fn finish<I: Intake>(
        &mut self,
        intake: &mut I,
        deadline: Instant,
        mut wait_for_room: impl FnMut(&mut I) -> bool,
    ) {
        self.leave_round();
        if !self.finish_replay(intake, &mut wait_for_room) {
            self.give_replay_up(intake);
        }
        if self.listening {
            self.accept_waiting(deadline);
        }
        self.empty_inbox(deadline);
        for place in self.connections.places() {
            self.read_what_is_there(place, intake, deadline, &mut wait_for_room);
            self.close(place, intake);
        }
        // After the connections, whose bytes are known: datagrams only by the memory they take,
        // which those of a Unix socket take from their senders.
        for (index, socket) in self.listener_sockets(false) {
            let held = match self.listeners[index].config.kind {
                Kind::UnixDatagram => UNIX_QUEUE_BYTES,
                _ => socket::memory(socket).map_or(0, |memory| memory.held as usize),
            };
            self.read_rest(held, intake, deadline, &mut wait_for_room, |this, intake| {
                this.read_datagrams(index, intake)
            });
        }
        self.unwatch_sockets(false);
        self.publish_datagram_sockets();
    }

    /// Ends the intake of a worker that has a successor: reads and accepts nothing more, and passes
    /// the connections on. Those that cannot go are read to what the kernel holds, and closed.
    /// False: what a predecessor left is not handed on, and is left to the successor.
    pub fn hand_over<I: Intake>(
        &mut self,
        intake: &mut I,
        deadline: Instant,
        mut wait_for_room: impl FnMut(&mut I) -> bool,
    ) -> bool {
        self.leave_round();
        if !self.finish_replay(intake, &mut wait_for_room) {
            return false;
        }
        self.stop_accepting();
        self.listening = false;
        self.unwatch_sockets(false);
        self.publish_datagram_sockets();
        let is_movable =
            |place: &usize| self.connections.get(*place).is_some_and(Connection::is_movable);
        let movable: Vec<usize> = self.connections.places().filter(is_movable).collect();
        let mut left = &movable[..];
        while !left.is_empty() {
            let passed = self.pass_to_anyone(left);
            // Where nobody has room for a batch, this one will be closed with the others.
            left = &left[passed.max(1)..];
        }
        for place in self.connections.places() {
            if self.connections.get(place).is_some() {
                add(self.region.worker(self.worker, cells::CONNECTIONS_CUT, 0), 1);
            }
            self.read_what_is_there(place, intake, deadline, &mut wait_for_room);
            // Its sender meant to go on.
            self.give_up(place, intake);
        }
        true
    }

    /// Passes a batch to the successor, or where its inbox is full to another worker.
    fn pass_to_anyone(&mut self, places: &[usize]) -> usize {
        let successor = self.worker;
        let serves_all = |worker: usize| {
            let connections = places.iter().filter_map(|place| self.connections.get(*place));
            connections.map(|one| one.listener).all(|listener| self.serves(worker, listener))
        };
        let others = self.ready_workers().map(|work| work.worker);
        let others: Vec<usize> = others.filter(|worker| serves_all(*worker)).collect();
        [successor]
            .into_iter()
            .chain(others)
            .find_map(|worker| {
                let passed = self.pass_on(places, worker, Cause::Replacement);
                (passed > 0).then_some(passed)
            })
            .unwrap_or(0)
    }

    /// What a predecessor left comes before anything else; whether it is handed on.
    fn finish_replay<I: Intake>(
        &mut self,
        intake: &mut I,
        wait_for_room: &mut impl FnMut(&mut I) -> bool,
    ) -> bool {
        while !self.is_current() {
            if matches!(self.replay(intake), Outcome::Stalled) && !wait_for_room(intake) {
                return false;
            }
            self.release(intake);
        }
        true
    }

    /// What the last poll has left to be served is served otherwise.
    fn leave_round(&mut self) {
        self.round = 0..0;
        self.now_ns = clock::monotonic_ns();
        self.connections.end_round();
    }

    /// Reads what the kernel holds of a connection now.
    fn read_what_is_there<I: Intake>(
        &mut self,
        place: usize,
        intake: &mut I,
        deadline: Instant,
        wait_for_room: &mut impl FnMut(&mut I) -> bool,
    ) {
        let Some(connection) = self.connections.at(place) else { return };
        let held = socket::readable_bytes(&connection.socket);
        self.read_rest(held, intake, deadline, wait_for_room, |this, intake| {
            this.read_connection(place, intake)
        });
    }

    fn accept_waiting(&mut self, deadline: Instant) {
        for (index, _) in self.listener_sockets(true) {
            while Instant::now() < deadline && self.accept_batch(index) == ACCEPT_BATCH {}
        }
        self.stop_accepting();
        self.listening = false;
    }

    fn listener_sockets(&self, has_connections: bool) -> Vec<(usize, RawFd)> {
        self.sockets(has_connections).map(|(at, _, socket)| (at, socket)).collect()
    }

    /// Reads what a socket held when the end began. A sender that never stops must not keep
    /// the worker from stopping, so what comes after that is not waited for.
    fn read_rest<I: Intake>(
        &mut self,
        held: usize,
        intake: &mut I,
        deadline: Instant,
        wait_for_room: &mut impl FnMut(&mut I) -> bool,
        mut read: impl FnMut(&mut Self, &mut I) -> Outcome,
    ) {
        let mut left = held;
        while left > 0 && Instant::now() < deadline {
            match read(self, intake) {
                Outcome::Read(bytes) => left = left.saturating_sub(bytes),
                Outcome::Empty | Outcome::End | Outcome::Broken => return,
                Outcome::Stalled => {
                    if !wait_for_room(intake) {
                        return;
                    }
                    self.release(intake);
                }
            }
        }
    }
}
