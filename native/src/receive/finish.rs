//! The end of the intake: what the kernel already holds is read, then all is closed.

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
        self.connections.end_round();
        if self.listening {
            for index in 0..self.sources.len() {
                match self.sources[index].kind {
                    SourceKind::Tcp => while self.accept_batch(index) == ACCEPT_BATCH {},
                    SourceKind::Udp => {
                        self.read_rest(intake, deadline, &mut wait_for_room, |this, intake| {
                            this.read_datagrams(index, intake)
                        });
                    }
                }
            }
        }
        self.pause_accepting();
        self.unwatch_sources(SourceKind::Udp);
        self.listening = false;
        for place in self.connections.places() {
            let Some(connection) = self.connections.at(place) else { continue };
            // A sender that never stops must not keep the worker from stopping.
            let mut left = socket::readable_bytes(&connection.socket);
            self.read_rest(intake, deadline, &mut wait_for_room, |this, intake| {
                if left == 0 {
                    return Outcome::Empty;
                }
                let outcome = this.read_connection(place, intake);
                if let Outcome::Read(bytes) = outcome {
                    left = left.saturating_sub(bytes);
                }
                outcome
            });
            self.close(place, intake);
        }
    }

    fn read_rest<I: Intake>(
        &mut self,
        intake: &mut I,
        deadline: Instant,
        wait_for_room: &mut impl FnMut(&mut I) -> bool,
        mut read: impl FnMut(&mut Self, &mut I) -> Outcome,
    ) {
        while Instant::now() < deadline {
            match read(self, intake) {
                Outcome::Read(_) => {}
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
