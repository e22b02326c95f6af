//! One read of one socket: its bytes into the arena, its frames to the intake.

use std::os::fd::AsRawFd;

use super::config::Kind;
use super::datagrams::{DATAGRAMS_BYTES, UNIX_BYTES};
use super::receiver::{Listener, Outcome, Receiver};
use super::socket::{self, Received};
use super::{Intake, Origin, Read, Sender};
use crate::counters::{add, cells};

/// The most that one read takes from one connection.
const READ_BYTES: usize = 256 * 1024;

impl Receiver {
    pub(super) fn read_connection(&mut self, place: usize, intake: &mut impl Intake) -> Outcome {
        if !self.make_room(READ_BYTES, intake) {
            return Outcome::Stalled;
        }
        let Some(connection) = self.connections.at(place) else { return Outcome::Empty };
        let Some(buffer) = self.arena.reserve(READ_BYTES) else { return Outcome::Stalled };
        let length = match socket::receive(&connection.socket, buffer) {
            Received::Bytes(length) => length,
            Received::Empty => return Outcome::Empty,
            Received::End => return Outcome::End,
        };
        let start = self.arena.commit(length);
        let chunk = self.arena.chunk(start, length);
        let config = &self.listeners[connection.listener].config;
        let (listener, line_limit) = (config.index, config.limits.line_bytes);
        connection.framer.feed(chunk, line_limit, &mut self.frames);
        intake.take(&Read {
            listener,
            line_limit,
            chunk,
            frames: &self.frames,
            origin: Origin::Connection(&connection.sender),
            mark: start + length as u64,
        });
        self.arena.consume();
        self.count_read(listener, length);
        Outcome::Read(length)
    }

    pub(super) fn read_datagrams(&mut self, listener: usize, intake: &mut impl Intake) -> Outcome {
        if !self.make_room(DATAGRAMS_BYTES, intake) {
            return Outcome::Stalled;
        }
        let Some(datagrams) = &mut self.datagrams else { return Outcome::Empty };
        let Listener { config, socket } = &self.listeners[listener];
        let Some(socket) = socket else { return Outcome::Empty };
        if !datagrams.receive(socket.as_raw_fd(), config.kind) {
            return Outcome::Empty;
        }
        let length = datagrams.joined_length();
        let Some(buffer) = self.arena.reserve(length) else { return Outcome::Stalled };
        datagrams.join(buffer, &mut self.senders);
        let mut count = self.senders.len();
        let mut bytes = length - count;
        let start = self.arena.commit(length);
        let chunk = self.arena.chunk(start, length);
        let (listener, mut line_limit) = (config.index, config.limits.line_bytes);
        if config.kind == Kind::UnixDatagram {
            // So that what was cut is always beyond the limit.
            line_limit = line_limit.min(UNIX_BYTES);
        }
        let mark = start + length as u64;
        self.frames.of_datagrams(chunk, self.senders.iter().map(|(end, _)| *end));
        let (frames, origin) = (&self.frames, Origin::Datagrams(&self.senders));
        intake.take(&Read { listener, line_limit, chunk, frames, origin, mark });
        for (head, whole) in datagrams.cut() {
            self.frames.of_cut_datagram(head, whole);
            let (frames, origin) = (&self.frames, Origin::Connection(&Sender::default()));
            intake.take(&Read { listener, line_limit, chunk: &[], frames, origin, mark });
            count += 1;
            bytes += head.len();
        }
        self.arena.consume();
        add(self.region.listener(self.worker, listener, cells::DATAGRAMS, 0), count as u64);
        self.count_read(listener, bytes);
        Outcome::Read(bytes + count)
    }

    fn count_read(&self, listener: usize, bytes: usize) {
        add(self.region.listener(self.worker, listener, cells::RECEIVED_BYTES, 0), bytes as u64);
        add(self.region.listener(self.worker, listener, cells::READS, 0), 1);
    }
}
