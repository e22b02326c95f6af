//! The end of the intake: what the kernel already holds is read, then all is closed.

use std::os::fd::AsRawFd;
use std::time::Instant;

use super::receiver::{ACCEPT_BATCH, Outcome, Receiver};
use super::{Intake, SourceKind, socket};

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
        // After the connections, whose bytes are known: datagrams only by the memory they take.
        for index in self.sources_of(SourceKind::Udp) {
            let held = socket::held_memory(self.sources[index].socket.as_raw_fd());
            self.read_rest(held, intake, deadline, &mut wait_for_room, |this, intake| {
                this.read_datagrams(index, intake)
            });
        }
        self.unwatch_sources(SourceKind::Udp);
        self.count_kernel_drops();
    }

    fn accept_waiting(&mut self, deadline: Instant) {
        for index in self.sources_of(SourceKind::Tcp) {
            while Instant::now() < deadline && self.accept_batch(index) == ACCEPT_BATCH {}
        }
        self.pause_accepting();
        self.listening = false;
    }

    fn sources_of(&self, kind: SourceKind) -> Vec<usize> {
        let sources = self.sources.iter().enumerate();
        sources.filter(|(_, source)| source.kind == kind).map(|(index, _)| index).collect()
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
