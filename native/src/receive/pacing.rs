//! Connections that are not read for a while: their address has sent more than its rates allow,
//! or they send little but what becomes dead letters. What was read is taken; then their senders
//! wait until the debt is paid, and nothing is lost.

use std::os::fd::AsRawFd;

use super::receiver::Receiver;
use crate::counters::{Load, add, cells};

/// What a dead letter takes of the worker's time, with room to spare: many times what an event does.
const REJECT_NS: u64 = 10_000;
/// The same for each of its bytes, which everybody's disk has to take.
const REJECTED_BYTE_NS: u64 = 10;
/// So much of it is served before those who cause it wait.
const REJECTS_BURST_NS: u64 = 250_000_000;
/// Of those who send less than this share of dead letters, nobody waits.
const REJECTED_SHARE: u64 = 4;

/// What a pause is counted as, in the order of `SOURCE_LIMITS`.
#[derive(Clone, Copy)]
enum Excess {
    Events = 0,
    Bytes = 1,
    DeadLetters = 2,
}

impl Receiver {
    /// Charges what a connection has sent; where it is too much, the connection pauses.
    pub(super) fn pace(&mut self, place: usize, load: Load) {
        let Some(connection) = self.connections.at(place) else { return };
        let rates = &self.rules[connection.listener].rates;
        let Some(source) = connection.source.filter(|_| rates.is_limited()) else { return };
        let [events_ns, bytes_ns] = self.sources.charge(source, rates, load, self.now_ns);
        let excess = if bytes_ns > events_ns { Excess::Bytes } else { Excess::Events };
        self.pause(place, events_ns.max(bytes_ns), excess);
    }

    /// Charges the worker's account of dead letters. While that is overdrawn, those who send many
    /// of them wait, so that the others do not.
    pub(super) fn bound_rejects(&mut self, place: usize, events: u64, rejected: Load) {
        if rejected.events == 0 {
            return;
        }
        let cost_ns = rejected.events * REJECT_NS + rejected.bytes * REJECTED_BYTE_NS;
        self.rejects_ns = self.rejects_ns.max(self.now_ns) + cost_ns;
        let is_overdrawn = self.rejects_ns > self.now_ns + REJECTS_BURST_NS;
        if is_overdrawn && rejected.events * REJECTED_SHARE >= events {
            self.pause(place, self.rejects_ns, Excess::DeadLetters);
        }
    }

    /// Does not read a connection until that time, if it is in the future.
    fn pause(&mut self, place: usize, resume_ns: u64, excess: Excess) {
        let Some(connection) = self.connections.at(place) else { return };
        if resume_ns <= self.now_ns {
            return;
        }
        if !connection.times.is_paused() {
            if self.epoll.remove(connection.socket.as_raw_fd()).is_err() {
                return;
            }
            let index = self.listeners[connection.listener].config.index;
            let cell = cells::SOURCE_PAUSES;
            add(self.region.listener(self.worker, index, cell, excess as usize), 1);
        }
        connection.times.resume_ns = connection.times.resume_ns.max(resume_ns);
    }

    /// Reads a paused connection again, unless others of its address have made new debts.
    pub(super) fn end_pause(&mut self, place: usize) {
        self.pace(place, Load::default());
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
