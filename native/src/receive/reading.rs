//! One read of a connection: its bytes into the ring, its frames to the intake.

use std::os::fd::AsRawFd;

use super::arena::{Kind, Record, State};
use super::opening::HANDSHAKE_BYTES;
use super::receiver::{Outcome, Receiver};
use super::socket::Received;
use super::tls_session::TlsRead;
use super::{Intake, Origin, Read};
use crate::clock;
use crate::counters::{Load, add, cells};

/// The most that one read takes from one connection.
pub(super) const READ_BYTES: usize = 256 * 1024;

impl Receiver {
    pub(super) fn read_connection(&mut self, place: usize, intake: &mut impl Intake) -> Outcome {
        let outcome = self.read_once(place, intake);
        self.count_partial(place);
        self.bound_partials(intake);
        outcome
    }

    fn count_partial(&mut self, place: usize) {
        let Some(connection) = self.connections.at(place) else { return };
        self.partial_bytes -= connection.counted_bytes;
        connection.counted_bytes = connection.partial_bytes();
        self.partial_bytes += connection.counted_bytes;
    }

    fn read_once(&mut self, place: usize, intake: &mut impl Intake) -> Outcome {
        if !self.make_room(READ_BYTES, intake) {
            return Outcome::Stalled;
        }
        let Some(connection) = self.connections.at(place) else { return Outcome::Empty };
        if connection.opening.is_some() || connection.tls.is_some() {
            // What is read of it from here on is in the memory of this process.
            self.arena.table().entry(place).set_state(State::Pinned);
        }
        if connection.opening.as_ref().is_some_and(|opening| !opening.is_handshake()) {
            match self.read_header(place) {
                Err(outcome) => return outcome,
                // Of frames, or of a handshake, more may have come already.
                Ok(held) if held.is_empty() => self.unpin(place),
                Ok(held) => {
                    self.identify(place);
                    let outcome = self.take_held(place, &held, intake);
                    self.unpin(place);
                    return outcome;
                }
            }
        }
        let Some(connection) = self.connections.at(place) else { return Outcome::Empty };
        if connection.opening.is_some() && connection.tls.is_none() {
            // A handshake that could not begin: what follows is no plain text.
            self.abandon(place);
            return Outcome::Empty;
        }
        let Some(buffer) = self.ring.reserve(READ_BYTES) else { return Outcome::Stalled };
        if let Some(tls) = &mut connection.tls {
            let read = tls.read(&connection.socket, &mut self.ciphertext, buffer);
            return self.take_decrypted(place, read, intake);
        }
        let length = match self.receive(place) {
            Received::Bytes(length) => length,
            Received::Empty => return Outcome::Empty,
            Received::End => return Outcome::End,
            Received::Broken => return Outcome::Broken,
        };
        self.take_bytes(place, length, length, intake);
        Outcome::Read(length)
    }

    /// Receives into the last reservation. Of a connection that broke, the kernel tells that first
    /// and once; what came before is still there.
    fn receive(&mut self, place: usize) -> Received {
        let position = self.ring.reserved();
        let buffer = self.ring.reservation_mut(READ_BYTES);
        let Some(connection) = self.connections.at(place) else { return Received::Empty };
        let socket = connection.socket.as_raw_fd();
        match self.reads.stream(socket, place, position, buffer) {
            Received::Broken if !connection.is_broken => {
                self.arena.table().entry(place).note_broken();
                connection.is_broken = true;
                match self.reads.stream(socket, place, position, buffer) {
                    Received::Bytes(length) => Received::Bytes(length),
                    _ => Received::Broken,
                }
            }
            Received::Empty | Received::End if connection.is_broken => Received::Broken,
            received => received,
        }
    }

    /// Takes what was read while a PROXY header was looked for, and is none.
    pub(super) fn take_held(
        &mut self,
        place: usize,
        held: &[u8],
        intake: &mut impl Intake,
    ) -> Outcome {
        let Some(buffer) = self.ring.reserve(READ_BYTES) else { return Outcome::Stalled };
        buffer[..held.len()].copy_from_slice(held);
        self.take_bytes(place, held.len(), held.len(), intake);
        Outcome::Read(held.len())
    }

    /// Takes what a TLS connection gave into the last reservation.
    fn take_decrypted(&mut self, place: usize, read: TlsRead, intake: &mut impl Intake) -> Outcome {
        let TlsRead { received, decrypted, end, is_reset } = read;
        self.watch_for_writing(place);
        let Some(connection) = self.connections.at(place) else { return Outcome::Empty };
        let was_opening = connection.opening.is_some();
        if was_opening && !self.advance_handshake(place, received, end.as_ref()) {
            return Outcome::Read(HANDSHAKE_BYTES);
        }
        if was_opening {
            self.identify(place);
        }
        if received + decrypted > 0 {
            self.take_bytes(place, decrypted, received, intake);
        }
        match end {
            Some(Ok(())) if is_reset => Outcome::Broken,
            Some(Ok(())) => Outcome::End,
            Some(Err(error)) => {
                self.note_tls_error(place, &error);
                Outcome::Broken
            }
            None if was_opening => Outcome::Read(HANDSHAKE_BYTES),
            None if received == 0 => Outcome::Empty,
            None => Outcome::Read(received),
        }
    }

    /// Takes the bytes at the beginning of the last reservation, for which so many were received.
    fn take_bytes(
        &mut self,
        place: usize,
        length: usize,
        received: usize,
        intake: &mut impl Intake,
    ) {
        let Some(connection) = self.connections.at(place) else { return };
        let config = &self.listeners[connection.listener].config;
        let (listener, line_limit) = (config.index, config.limits.line_bytes);
        let (position, chunk) = (self.ring.reserved(), self.ring.reservation(length));
        let before = connection.framer.pending();
        connection.framer.feed(chunk, line_limit, &mut self.frames);
        // Whoever adds to a frame bit by bit, or to a TLS record, does not make it younger.
        let has_grown = connection.framer.pending() == before + length as u64;
        let is_same_frame = has_grown && (before > 0 || length == 0);
        let is_within_frame = connection.is_within_frame();
        connection.times.note_read(self.now_ns, is_within_frame, is_same_frame);
        let events = self.frames.count();
        connection.load.add(length, events);
        let (received_ns, is_ahead) = connection.receive_at(clock::now_ns());
        let sender = connection.sender.clone();
        let takes_turns = connection.takes_turns;
        let mut record = Record::new(Kind::Stream, place, length, received_ns);
        record.note(&connection.framer);
        // Of a TLS connection there may be nothing to take.
        let mark = if length > 0 { self.ring.commit(record) } else { self.ring.received() };
        self.pace(place, Load { events: events as u64, bytes: received as u64 });
        // Not ahead of the clock: there it would be more so, with every turn.
        if takes_turns && !is_ahead {
            self.rotate(place);
        }
        self.count_read(listener, received);
        if length == 0 {
            return;
        }
        let rejected = intake.take(&Read {
            listener,
            line_limit,
            chunk: self.ring.bytes(position, &record),
            frames: &self.frames,
            origin: Origin::Connection(&sender),
            received_ns,
            mark,
            is_harmful: false,
        });
        intake.complete(mark);
        self.ring.consume(mark);
        self.bound_rejects(place, events as u64, rejected);
    }

    pub(super) fn count_read(&self, listener: usize, bytes: usize) {
        add(self.region.listener(self.worker, listener, cells::RECEIVED_BYTES, 0), bytes as u64);
        add(self.region.listener(self.worker, listener, cells::READS, 0), 1);
    }
}
