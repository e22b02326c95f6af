//! One read of one socket: its bytes into the arena, its frames to the intake.

use std::os::fd::AsRawFd;

use super::admission::{DatagramGuard, Dropped};
use super::config::Kind;
use super::datagrams::{DATAGRAMS_BYTES, UNIX_BYTES};
use super::opening::HANDSHAKE_BYTES;
use super::receiver::{Listener, Outcome, Receiver};
use super::socket::{self, Received};
use super::tls_session::TlsRead;
use super::{Intake, Origin, Read, Sender};
use crate::clock;
use crate::counters::{DROP_REASONS, Load, add, cells};

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
        if connection.opening.as_ref().is_some_and(|opening| !opening.is_handshake()) {
            match self.read_header(place) {
                Err(outcome) => return outcome,
                // Of frames, or of a handshake, more may have come already.
                Ok(held) if held.is_empty() => {}
                Ok(held) => return self.take_held(place, &held, intake),
            }
        }
        let Some(connection) = self.connections.at(place) else { return Outcome::Empty };
        if connection.opening.is_some() && connection.tls.is_none() {
            // A handshake that could not begin: what follows is no plain text.
            self.abandon(place);
            return Outcome::Empty;
        }
        let Some(buffer) = self.arena.reserve(READ_BYTES) else { return Outcome::Stalled };
        if let Some(tls) = &mut connection.tls {
            let read = tls.read(&connection.socket, &mut self.ciphertext, buffer);
            return self.take_decrypted(place, read, intake);
        }
        let length = match socket::receive(&connection.socket, buffer) {
            Received::Bytes(length) => length,
            Received::Empty => return Outcome::Empty,
            Received::End => return Outcome::End,
            Received::Broken => return Outcome::Broken,
        };
        self.take_bytes(place, length, length, intake);
        Outcome::Read(length)
    }

    /// Takes what was read while a PROXY header was looked for, and is none.
    fn take_held(&mut self, place: usize, held: &[u8], intake: &mut impl Intake) -> Outcome {
        let Some(buffer) = self.arena.reserve(READ_BYTES) else { return Outcome::Stalled };
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
        let start = self.arena.commit(length);
        let chunk = self.arena.chunk(start, length);
        let Some(connection) = self.connections.at(place) else { return };
        let config = &self.listeners[connection.listener].config;
        let (listener, line_limit) = (config.index, config.limits.line_bytes);
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
        self.pace(place, Load { events: events as u64, bytes: received as u64 });
        // Not ahead of the clock: there it would be more so, with every turn.
        if takes_turns && !is_ahead {
            self.rotate(place);
        }
        let rejected = intake.take(&Read {
            listener,
            line_limit,
            chunk: self.arena.chunk(start, length),
            frames: &self.frames,
            origin: Origin::Connection(&sender),
            received_ns,
            mark: start + length as u64,
        });
        self.arena.consume();
        self.count_read(listener, received);
        self.bound_rejects(place, events as u64, rejected);
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
        let rules = &self.rules[listener];
        let mut guard = DatagramGuard {
            rules,
            sources: &self.sources,
            worker: self.worker,
            now_ns: self.now_ns,
            dropped: Default::default(),
            overflows: 0,
        };
        let is_guarded = rules.guard_datagrams();
        let mut count = 0;
        let end = datagrams.join(buffer, &mut self.senders, |sender, datagram| {
            count += 1;
            !is_guarded || guard.takes(sender, datagram, &mut self.frames)
        });
        let (dropped, overflows) = (guard.dropped, guard.overflows);
        let start = self.arena.commit(end);
        let chunk = self.arena.chunk(start, end);
        let (index, mut line_limit) = (config.index, config.limits.line_bytes);
        if config.kind == Kind::UnixDatagram {
            // So that what was cut is always beyond the limit.
            line_limit = line_limit.min(UNIX_BYTES);
        }
        let mut bytes = length - count;
        let (mark, received_ns) = (start + end as u64, clock::now_ns());
        self.frames.of_datagrams(chunk, self.senders.iter().map(|(end, _)| *end));
        self.moving.datagrams.add(end, self.frames.count());
        let (frames, origin) = (&self.frames, Origin::Datagrams(&self.senders));
        let listener = index;
        intake.take(&Read { listener, line_limit, chunk, frames, origin, received_ns, mark });
        for (head, whole) in datagrams.cut() {
            self.frames.of_cut_datagram(head, whole);
            let (frames, origin) = (&self.frames, Origin::Connection(&Sender::default()));
            let chunk = &[];
            intake.take(&Read { listener, line_limit, chunk, frames, origin, received_ns, mark });
            count += 1;
            bytes += head.len();
        }
        self.arena.consume();
        add(self.region.listener(self.worker, index, cells::DATAGRAMS, 0), count as u64);
        self.count_read(index, bytes);
        if is_guarded {
            self.count_dropped(index, &dropped, overflows, intake);
        }
        Outcome::Read(bytes + count)
    }

    fn count_dropped(
        &mut self,
        index: usize,
        dropped: &[Dropped; 2],
        overflows: u64,
        intake: &mut impl Intake,
    ) {
        for (dropped, reason) in dropped.iter().zip(DatagramGuard::REASONS) {
            if dropped.events > 0 {
                intake.discard(index, reason, dropped.events);
                self.notices.add(index, DROP_REASONS[reason], dropped.peer, || {
                    format!("{} events of its datagrams were dropped", dropped.events)
                });
            }
        }
        if overflows > 0 {
            add(self.region.worker(self.worker, cells::SOURCE_OVERFLOWS, 0), overflows);
        }
    }

    pub(super) fn count_read(&self, listener: usize, bytes: usize) {
        add(self.region.listener(self.worker, listener, cells::RECEIVED_BYTES, 0), bytes as u64);
        add(self.region.listener(self.worker, listener, cells::READS, 0), 1);
    }
}
