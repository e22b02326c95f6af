//! Connections whose address has sent more than its rates allow: what was read is taken, and
//! then they are not read until the debt is paid. Their senders wait, and nothing is lost.

use std::os::fd::AsRawFd;

use super::receiver::Receiver;
use crate::counters::{Load, add, cells};

const NOTHING: Load = Load { events: 0, bytes: 0 };

impl Receiver {
    /// Charges what a connection has sent; where it is too much, the connection pauses.
    pub(super) fn pace(&mut self, place: usize, load: Load) {
        let Some(connection) = self.connections.at(place) else { return };
        let rates = &self.rules[connection.listener].rates;
        let Some(source) = connection.source.filter(|_| rates.is_limited()) else { return };
        let [events_ns, bytes_ns] = self.sources.charge(source, rates, load, self.now_ns);
        let resume_ns = events_ns.max(bytes_ns);
        if resume_ns <= self.now_ns {
            return;
        }
        if !connection.times.is_paused() {
            if self.epoll.remove(connection.socket.as_raw_fd()).is_err() {
                return;
            }
            let index = self.listeners[connection.listener].config.index;
            let limit = usize::from(bytes_ns > events_ns);
            add(self.region.listener(self.worker, index, cells::SOURCE_PAUSES, limit), 1);
        }
        connection.times.resume_ns = resume_ns;
    }

    /// Reads a paused connection again, unless others of its address have made new debts.
    pub(super) fn end_pause(&mut self, place: usize) {
        self.pace(place, NOTHING);
        let now_ns = self.now_ns;
        let Some(connection) = self.connections.at(place) else { return };
        let is_due = connection.times.is_paused() && connection.times.resume_ns <= now_ns;
        // Where it cannot be watched, for want of memory, the next time may do better.
        if is_due && self.epoll.add(connection.socket.as_raw_fd(), place as u64).is_ok() {
            let is_within_frame = connection.is_within_frame();
            connection.times.restart(now_ns, is_within_frame);
            if let Some(tls) = &mut connection.tls {
                tls.is_watched_for_writing = false;
            }
            self.watch_for_writing(place);
        }
    }
}
