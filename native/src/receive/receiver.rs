//! The sockets of one worker. One `drain` call per wake-up reads every ready connection
//! once per round, at most [`READ_BYTES`] each, so that no sender starves another.

use std::net::SocketAddr;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::connections::{Connection, Connections};
use super::datagrams::{BATCH, DATAGRAM_BYTES, DatagramBuffers};
use super::epoll::Epoll;
use super::socket::{self, Accepted, Received};
use super::{Arena, Intake, Origin, Progress, Read};
use crate::counters::{Region, add, cells};
use crate::error::Result;
use crate::frame::{Framer, Frames};

/// The most that one read takes from one connection.
const READ_BYTES: usize = 256 * 1024;
/// The most that one batch of datagrams takes, each ended by a newline.
const DATAGRAMS_BYTES: usize = BATCH * (DATAGRAM_BYTES + 1);
/// About what one drain reads before it gives the loop to others.
const DRAIN_BYTES: usize = 4 * 1024 * 1024;
/// What serving a socket counts for at least, so that many tiny reads end a drain as well.
const SERVICE_BYTES: usize = 16 * 1024;
/// Connections accepted per wake-up of their listener.
pub(super) const ACCEPT_BATCH: usize = 64;
/// The smallest ring in which every kind of read finds room.
pub const MINIMUM_ARENA_BYTES: usize = 3 * DATAGRAMS_BYTES;

const LISTENER_TOKEN: u64 = 1 << 63;

/// What a source speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SourceKind {
    /// Connections with newline-terminated frames.
    Tcp,
    /// Datagrams with one or more lines.
    Udp,
}

/// One inherited socket of the worker; the supervisor keeps another copy of it open.
pub struct Source {
    /// What it speaks.
    pub kind: SourceKind,
    /// The bound socket.
    pub socket: OwnedFd,
}

/// What reading from one socket came to.
pub(super) enum Outcome {
    Read(usize),
    Empty,
    End,
    Stalled,
}

/// The sockets of one worker, with the memory they are read into.
pub struct Receiver {
    epoll: Epoll,
    /// The events of the last poll that are still to be served.
    pub(super) round: std::ops::Range<usize>,
    pub(super) sources: Vec<Source>,
    pub(super) connections: Connections,
    accepting: bool,
    pub(super) listening: bool,
    line_limit: usize,
    arena: Arena,
    frames: Frames,
    datagrams: Option<DatagramBuffers>,
    senders: Vec<(u32, SocketAddr)>,
    region: Arc<Region>,
    worker: usize,
}

impl Receiver {
    /// Takes over the sockets. Nothing is read before [`Self::listen`].
    ///
    /// # Errors
    /// When the epoll set or the arena cannot be had.
    pub fn new(
        region: Arc<Region>,
        worker: usize,
        sources: Vec<Source>,
        arena_bytes: usize,
        line_limit: usize,
        connection_limit: usize,
    ) -> Result<Self> {
        for source in &sources {
            socket::set_nonblocking(source.socket.as_raw_fd())?;
        }
        let datagrams = sources.iter().any(|source| source.kind == SourceKind::Udp);
        Ok(Self {
            epoll: Epoll::new()?,
            round: 0..0,
            sources,
            connections: Connections::new(connection_limit),
            accepting: false,
            listening: false,
            line_limit,
            arena: Arena::new(arena_bytes.max(MINIMUM_ARENA_BYTES))?,
            frames: Frames::default(),
            datagrams: datagrams.then(DatagramBuffers::new),
            senders: Vec::with_capacity(BATCH),
            region,
            worker,
        })
    }

    /// The descriptor to poll: readable while any socket has something.
    pub fn fileno(&self) -> RawFd {
        self.epoll.fileno()
    }

    /// Begins to accept connections and to read datagrams.
    ///
    /// # Errors
    /// When a socket cannot listen.
    pub fn listen(&mut self) -> Result<()> {
        for source in &self.sources {
            if source.kind == SourceKind::Tcp {
                socket::listen(source.socket.as_raw_fd())?;
            }
        }
        self.listening = true;
        self.watch_sources(SourceKind::Udp)?;
        self.resume_accepting()
    }

    fn watch_sources(&self, kind: SourceKind) -> Result<()> {
        for (index, source) in self.sources.iter().enumerate().filter(|(_, s)| s.kind == kind) {
            self.epoll.add(source.socket.as_raw_fd(), LISTENER_TOKEN | index as u64)?;
        }
        Ok(())
    }

    pub(super) fn unwatch_sources(&self, kind: SourceKind) {
        for source in self.sources.iter().filter(|source| source.kind == kind) {
            // Not being watched any more is what is wanted.
            let _ = self.epoll.remove(source.socket.as_raw_fd());
        }
    }

    fn resume_accepting(&mut self) -> Result<()> {
        if self.listening && !self.accepting && !self.connections.is_full() {
            self.watch_sources(SourceKind::Tcp)?;
            self.accepting = true;
        }
        Ok(())
    }

    /// Leaves those who want to connect in the kernel's queue.
    pub(super) fn pause_accepting(&mut self) {
        if self.accepting {
            self.unwatch_sources(SourceKind::Tcp);
            self.accepting = false;
        }
    }

    /// Reads what is ready, in rounds of one read per socket, until nothing is ready, the
    /// intake has no room, or enough was read for one wake-up. The next drain goes on where
    /// this one stopped, so that the last of a round is served as often as the first.
    pub fn drain(&mut self, intake: &mut impl Intake) -> Progress {
        self.release(intake);
        let mut left = DRAIN_BYTES;
        loop {
            while let Some(event) = self.round.clone().next() {
                if left == 0 {
                    return Progress::More;
                }
                let bytes = match self.serve(self.epoll.token(event), intake) {
                    Outcome::Stalled => return Progress::Stalled,
                    Outcome::Read(bytes) => bytes,
                    Outcome::Empty | Outcome::End => 0,
                };
                self.round.start += 1;
                left = left.saturating_sub(bytes.max(SERVICE_BYTES));
            }
            self.begin_round();
            if self.round.is_empty() {
                return Progress::Idle;
            }
        }
    }

    fn begin_round(&mut self) {
        self.connections.end_round();
        self.round = 0..self.epoll.poll();
    }

    /// Whether a drain would find room for every kind of read.
    pub fn has_room(&mut self, intake: &impl Intake) -> bool {
        self.release(intake);
        intake.has_room() && self.arena.has_room(DATAGRAMS_BYTES)
    }

    /// Whether `length` bytes can be read now. What made no event, such as the middle of a
    /// long line, is given back first: no commit of a journal will ever do it.
    fn make_room(&mut self, length: usize, intake: &impl Intake) -> bool {
        if !self.arena.has_room(length) {
            self.release(intake);
        }
        intake.has_room() && self.arena.has_room(length)
    }

    /// Housekeeping of the loop timer: kernel drop counters, accepting after a shortage.
    ///
    /// # Errors
    /// When the listeners cannot be watched again.
    pub fn tick(&mut self, intake: &impl Intake) -> Result<()> {
        self.count_kernel_drops();
        self.release(intake);
        let pending = self.arena.pending();
        self.region.worker(self.worker, cells::ARENA, 0).store(pending, Ordering::Relaxed);
        self.resume_accepting()
    }

    pub(super) fn release(&mut self, intake: &impl Intake) {
        let durable = intake.durable_mark(self.arena.consumed());
        self.arena.release(durable);
    }

    fn serve(&mut self, token: u64, intake: &mut impl Intake) -> Outcome {
        if token & LISTENER_TOKEN == 0 {
            let Ok(place) = usize::try_from(token) else { return Outcome::Empty };
            let outcome = self.read_connection(place, intake);
            if matches!(outcome, Outcome::End) {
                self.close(place, intake);
            }
            return outcome;
        }
        let Ok(index) = usize::try_from(token & !LISTENER_TOKEN) else { return Outcome::Empty };
        match self.sources[index].kind {
            SourceKind::Udp => self.read_datagrams(index, intake),
            SourceKind::Tcp => {
                self.accept_batch(index);
                Outcome::Empty
            }
        }
    }

    pub(super) fn accept_batch(&mut self, index: usize) -> usize {
        for accepted in 0..ACCEPT_BATCH {
            if self.connections.is_full() {
                self.pause_accepting();
                return accepted;
            }
            match socket::accept(self.sources[index].socket.as_raw_fd()) {
                Accepted::Connection(socket, peer) => self.open(socket, index, peer),
                Accepted::Empty => return accepted,
                Accepted::Failed => {
                    self.count_accept_error();
                    return accepted;
                }
                Accepted::Exhausted => {
                    // The next tick tries again; until then the kernel keeps the queue.
                    self.count_accept_error();
                    self.pause_accepting();
                    return accepted;
                }
            }
        }
        ACCEPT_BATCH
    }

    pub(super) fn count_kernel_drops(&self) {
        for (index, source) in self.sources.iter().enumerate() {
            if source.kind == SourceKind::Udp
                && let Some(drops) = socket::kernel_drops(source.socket.as_raw_fd())
            {
                // The kernel counts in 32 bits, over the life of the socket, which outlives
                // the worker just as the cell does.
                let cell = self.region.listener(self.worker, index, cells::KERNEL_DROPPED, 0);
                #[allow(clippy::cast_possible_truncation)]
                let counted = cell.load(Ordering::Relaxed) as u32;
                add(cell, u64::from(drops.wrapping_sub(counted)));
            }
        }
    }

    fn count_accept_error(&self) {
        add(self.region.worker(self.worker, cells::ACCEPT_ERRORS, 0), 1);
    }

    fn open(&mut self, socket: OwnedFd, listener: usize, peer: SocketAddr) {
        let descriptor = socket.as_raw_fd();
        let framer = Framer::default();
        let place = self.connections.add(Connection { socket, listener, peer, framer });
        if self.epoll.add(descriptor, place as u64).is_err() {
            self.connections.take(place);
            self.count_accept_error();
            return;
        }
        add(self.region.listener(self.worker, listener, cells::CONNECTIONS_OPENED, 0), 1);
        self.publish_connections();
    }

    fn publish_connections(&self) {
        self.region
            .worker(self.worker, cells::CONNECTIONS, 0)
            .store(self.connections.count() as u64, Ordering::Relaxed);
    }

    /// Closes a connection; what is left of its last line is a line.
    pub(super) fn close(&mut self, place: usize, intake: &mut impl Intake) {
        let Some(mut connection) = self.connections.take(place) else { return };
        connection.framer.finish(&mut self.frames);
        let listener = connection.listener;
        if self.frames.count() > 0 {
            intake.take(&Read {
                listener,
                chunk: &[],
                frames: &self.frames,
                origin: Origin::Connection(connection.peer),
                mark: self.arena.received(),
            });
        }
        // Dropping the socket closes it, which also takes it out of the epoll set: nobody
        // else holds a copy of an accepted connection.
        drop(connection);
        add(self.region.listener(self.worker, listener, cells::CONNECTIONS_CLOSED, 0), 1);
        self.publish_connections();
        // A failure here is met again, and reported, by the next tick.
        let _ = self.resume_accepting();
    }

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
        connection.framer.feed(chunk, self.line_limit, &mut self.frames);
        let listener = connection.listener;
        intake.take(&Read {
            listener,
            chunk,
            frames: &self.frames,
            origin: Origin::Connection(connection.peer),
            mark: start + length as u64,
        });
        self.arena.consume();
        self.count_read(listener, length);
        Outcome::Read(length)
    }

    pub(super) fn read_datagrams(&mut self, index: usize, intake: &mut impl Intake) -> Outcome {
        if !self.make_room(DATAGRAMS_BYTES, intake) {
            return Outcome::Stalled;
        }
        let Some(datagrams) = &mut self.datagrams else { return Outcome::Empty };
        let count = datagrams.receive(self.sources[index].socket.as_raw_fd());
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
        self.frames.of_datagrams(chunk, self.senders.iter().map(|(end, _)| *end));
        intake.take(&Read {
            listener: index,
            chunk,
            frames: &self.frames,
            origin: Origin::Datagrams(&self.senders),
            mark: start + length as u64,
        });
        self.arena.consume();
        add(self.region.listener(self.worker, index, cells::DATAGRAMS, 0), count as u64);
        self.count_read(index, length - count);
        Outcome::Read(length)
    }

    fn count_read(&self, listener: usize, bytes: usize) {
        add(self.region.listener(self.worker, listener, cells::RECEIVED_BYTES, 0), bytes as u64);
        add(self.region.listener(self.worker, listener, cells::READS, 0), 1);
    }
}
