//! The end of the intake: what the kernel already holds is read, then all is closed.

use std::os::fd::RawFd;
use std::time::Instant;

use super::accepting::ACCEPT_BATCH;
use super::config::Kind;
use super::datagrams::UNIX_QUEUE_BYTES;
use super::receiver::{Outcome, Receiver};
use super::{Intake, socket};
use crate::clock;

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
        self.round = 0..0;
        self.now_ns = clock::monotonic_ns();
        self.connections.end_round();
        if self.listening {
            self.accept_waiting(deadline);
        }
        for place in self.connections.places() {
            let Some(connection) = self.connections.at(place) else { continue };
            let held = socket::readable_bytes(&connection.socket);
            self.read_rest(held, intake, deadline, &mut wait_for_room, |this, intake| {
                this.read_connection(place, intake)
            });
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
                Outcome::Empty | Outcome::End => return,
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
