//! One read of one socket: its bytes into the arena, its frames to the intake.

use std::os::fd::AsRawFd;

use super::datagrams::{BATCH, DATAGRAM_BYTES};
use super::receiver::{Listener, Outcome, Receiver};
use super::socket::{self, Received};
use super::{Intake, Origin, Read};
use crate::clock;
use crate::counters::{add, cells};

/// The most that one read takes from one connection.
const READ_BYTES: usize = 256 * 1024;
/// The most that one batch of datagrams takes, each ended by a newline.
pub(super) const DATAGRAMS_BYTES: usize = BATCH * (DATAGRAM_BYTES + 1);

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
        connection.load.add(length, self.frames.count());
        let (received_ns, is_ahead) = connection.receive_at(clock::now_ns());
        let sender = connection.sender.clone();
        // Not ahead of the clock: there it would be more so, with every turn.
        if connection.takes_turns && !is_ahead {
            self.rotate(place);
        }
        intake.take(&Read {
            listener,
            line_limit,
            chunk: self.arena.chunk(start, length),
            frames: &self.frames,
            origin: Origin::Connection(&sender),
            received_ns,
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
        let count = datagrams.receive(socket.as_raw_fd());
        if count == 0 {
            return Outcome::Empty;
        }
        let length = datagrams.joined_length(count);
        let Some(buffer) = self.arena.reserve(length) else { return Outcome::Stalled };
        self.senders.clear();
        let mut end = 0;
        for datagram in 0..count {
            let (bytes, sender) = datagrams.datagram(datagram);
            buffer[end..end + bytes.len()].copy_from_slice(bytes);
            end += bytes.len();
            buffer[end] = b'\n';
            // A batch is a few MiB at most.
            #[allow(clippy::cast_possible_truncation)]
            self.senders.push((end as u32, sender));
            end += 1;
        }
        let start = self.arena.commit(length);
        let chunk = self.arena.chunk(start, length);
        let (listener, line_limit) = (config.index, config.limits.line_bytes);
        self.frames.of_datagrams(chunk, line_limit);
        self.moving.datagrams.add(length, self.frames.count());
        intake.take(&Read {
            listener,
            line_limit,
            chunk,
            frames: &self.frames,
            origin: Origin::Datagrams(&self.senders),
            received_ns: clock::now_ns(),
            mark: start + length as u64,
        });
        self.arena.consume();
        add(self.region.listener(self.worker, listener, cells::DATAGRAMS, 0), count as u64);
        self.count_read(listener, length - count);
        Outcome::Read(length)
    }

    fn count_read(&self, listener: usize, bytes: usize) {
        add(self.region.listener(self.worker, listener, cells::RECEIVED_BYTES, 0), bytes as u64);
        add(self.region.listener(self.worker, listener, cells::READS, 0), 1);
    }
}
