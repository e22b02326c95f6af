//! The sockets of one worker. One `drain` call per wake-up reads every ready connection
//! once per round, a bounded number of bytes each, so that no sender starves another.

use std::collections::HashMap;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use super::arena::{Content, Reads, Ring};
use super::certificates::certificates;
use super::config::{Kind, ListenerConfig};
use super::connections::Connections;
use super::datagrams::{DATAGRAMS_BYTES, Sent};
use super::epoll::Epoll;
use super::moving::Moving;
use super::notices::{Notice, Notices};
use super::reading::READ_BYTES;
use super::replaying::{self, Replay};
use super::rules::Rules;
use super::timer::Timer;
use super::tls_files::TlsFiles;
use super::{Arena, Inboxes, Intake, Progress, descriptors, socket};
use crate::clock;
use crate::counters::{Region, Sources, add, cells};
use crate::error::Result;
use crate::frame::Frames;

/// About what one drain reads before it gives the loop to others.
pub(super) const DRAIN_BYTES: usize = 4 * 1024 * 1024;
/// What serving a socket counts for at least, so that many tiny reads end a drain as well.
const SERVICE_BYTES: usize = 16 * 1024;

const LISTENER_TOKEN: u64 = 1 << 63;
const INBOX_TOKEN: u64 = 1 << 62;
const TIMER_TOKEN: u64 = 1 << 61;
const REPLAY_TOKEN: u64 = 1 << 60;

/// What all senders together are held to.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// Connections open at once, over all workers; who comes then waits.
    pub connections: u64,
    /// Bytes of all incomplete frames of this worker.
    pub partial_bytes: usize,
}

/// One listener of the worker.
pub struct Listener {
    /// What it is told.
    pub config: ListenerConfig,
    /// The inherited socket, of which the supervisor keeps another copy open; none when it is no
    /// longer bound.
    pub socket: Option<OwnedFd>,
}

impl Listener {
    /// Takes over the descriptor that the configuration names.
    ///
    /// # Safety
    /// The descriptor is open and belongs to nobody else in this process.
    pub unsafe fn adopt(config: ListenerConfig) -> Self {
        // SAFETY: promised by the caller.
        let socket = config.descriptor.map(|raw| unsafe { OwnedFd::from_raw_fd(raw) });
        Self { config, socket }
    }

    /// Whether connections of it that others accepted can go on here. Without its socket it has no
    /// certificates any more, and what is encrypted does not move anyway.
    pub(super) fn takes_over(&self) -> bool {
        self.socket.is_some() || self.config.tls.is_none()
    }
}

/// What a worker inherits.
pub struct Sockets {
    /// By their place, which is not their index in the region.
    pub listeners: Vec<Listener>,
    /// For connections that move.
    pub inboxes: Inboxes,
    /// The memory of the slot.
    pub arena: Arc<Arena>,
}

/// What reading from one socket came to.
pub(super) enum Outcome {
    Read(usize),
    Empty,
    End,
    Broken,
    Stalled,
}

/// The sockets of one worker, with the memory they are read into.
pub struct Receiver {
    pub(super) epoll: Epoll,
    /// The events of the last poll that are still to be served.
    pub(super) round: std::ops::Range<usize>,
    pub(super) listeners: Vec<Listener>,
    /// What each of them holds its senders to.
    pub(super) rules: Vec<Rules>,
    /// Those of the listeners that speak TLS.
    pub(super) certificates: Vec<Option<TlsFiles>>,
    /// When their certificates are looked at again.
    pub(super) next_look: Instant,
    /// What is read of TLS connections, before it is decrypted into the arena.
    pub(super) ciphertext: Vec<u8>,
    pub(super) connections: Connections,
    /// How many of them the descriptors of this process suffice for.
    pub(super) most_connections: usize,
    pub(super) is_short_of_descriptors: bool,
    pub(super) bounds: Bounds,
    /// When the time for dead letters that were read will have passed (see `pacing`).
    pub(super) rejects_ns: u64,
    /// What the incomplete frames of all connections hold.
    pub(super) partial_bytes: usize,
    pub(super) timer: Timer,
    /// The time, `CLOCK_MONOTONIC`: read once a round, which is often enough for deadlines.
    pub(super) now_ns: u64,
    pub(super) accepting: bool,
    pub(super) listening: bool,
    pub(super) arena: Arc<Arena>,
    pub(super) ring: Ring,
    pub(super) reads: Reads,
    /// What a predecessor left, until that is handed on.
    pub(super) replay: Option<Replay>,
    /// Of its connections those that nobody has asked for yet.
    pub(super) found: HashMap<usize, Content>,
    pub(super) frames: Frames,
    /// Where each datagram of a batch ends, and who sent it.
    pub(super) senders: Vec<Sent>,
    pub(super) moving: Moving,
    pub(super) notices: Notices,
    pub(super) region: Arc<Region>,
    pub(super) sources: Arc<Sources>,
    pub(super) worker: usize,
}

impl Receiver {
    /// Takes over the sockets and the arena, which goes on behind `mark` if it is new. Nothing is
    /// read before [`Self::listen`].
    ///
    /// # Errors
    /// When the rules or certificates of a listener cannot be used, or the epoll set, the timer
    /// or the arena cannot be had.
    pub fn new(
        region: Arc<Region>,
        sources: Arc<Sources>,
        worker: usize,
        sockets: Sockets,
        bounds: Bounds,
        mark: u64,
    ) -> Result<Self> {
        let Sockets { listeners, inboxes, arena } = sockets;
        for socket in listeners.iter().filter_map(|listener| listener.socket.as_ref()) {
            socket::set_nonblocking(socket.as_raw_fd())?;
        }
        let rules = listeners.iter().map(|listener| Rules::new(&listener.config));
        let rules = rules.collect::<Result<_>>()?;
        let is_encrypted = listeners.iter().any(|listener| listener.config.tls.is_some());
        let certificates = listeners.iter().map(certificates).collect::<Result<_>>()?;
        let (epoll, timer) = (Epoll::new()?, Timer::new()?);
        epoll.add(timer.fileno(), TIMER_TOKEN)?;
        let replay = Replay::new()?;
        epoll.add(replay.fileno(), REPLAY_TOKEN)?;
        arena.inherit(&region, worker);
        let moving = Moving::new(inboxes, &arena);
        let (mut ring, reads) =
            (Ring::new(Arc::clone(&arena), mark), Reads::new(Arc::clone(&arena)));
        let unfinished = replaying::finish_read(&mut ring, &reads);
        let mut receiver = Self {
            epoll,
            round: 0..0,
            listeners,
            rules,
            certificates,
            next_look: Instant::now(),
            ciphertext: vec![0; if is_encrypted { READ_BYTES } else { 0 }],
            connections: replaying::connections(&arena, ring.durable()),
            most_connections: descriptors::spare(),
            is_short_of_descriptors: false,
            bounds,
            rejects_ns: 0,
            partial_bytes: 0,
            timer,
            now_ns: clock::monotonic_ns(),
            accepting: false,
            listening: false,
            arena,
            ring,
            reads,
            replay: Some(replay),
            found: HashMap::new(),
            frames: Frames::default(),
            senders: Vec::new(),
            moving,
            notices: Notices::default(),
            region,
            sources,
            worker,
        };
        if let Some(listener) = unfinished {
            receiver.commit_datagrams(listener);
        }
        receiver.succeed_predecessor();
        Ok(receiver)
    }

    /// The connections of a worker that was killed may go on, but none is here yet; and after a
    /// reload other listeners are served than before.
    fn succeed_predecessor(&self) {
        self.sources.clear(self.worker);
        for listener in 0..self.region.listeners().len() {
            let takes_over = |own: &Listener| own.config.index == listener && own.takes_over();
            let is_served = self.listeners.iter().any(takes_over);
            let served = self.region.listener(self.worker, listener, cells::LISTENER_SERVED, 0);
            served.store(u64::from(is_served), Ordering::SeqCst);
        }
    }

    /// Whether a connection more leaves enough descriptors for the rest of the process.
    pub(super) fn has_descriptors(&self) -> bool {
        self.connections.count() < self.most_connections && self.connections.has_place()
    }

    /// The descriptor to poll: readable while any socket has something.
    pub fn fileno(&self) -> RawFd {
        self.epoll.fileno()
    }

    /// What people should know of and was not told before.
    pub fn take_notices(&mut self) -> Vec<Notice> {
        self.notices.take()
    }

    /// The bound sockets of the listeners that have connections, or of the others.
    pub(super) fn sockets(
        &self,
        has_connections: bool,
    ) -> impl Iterator<Item = (usize, &Listener, RawFd)> {
        let listeners = self.listeners.iter().enumerate();
        listeners
            .filter(move |(_, listener)| listener.config.kind.has_connections() == has_connections)
            .filter_map(|(at, listener)| {
                Some((at, listener, listener.socket.as_ref()?.as_raw_fd()))
            })
    }

    /// Begins to accept connections and to read datagrams.
    ///
    /// # Errors
    /// When a socket cannot listen.
    pub fn listen(&mut self) -> Result<()> {
        for (_, _, socket) in self.sockets(true) {
            socket::listen(socket)?;
        }
        self.listening = true;
        self.epoll.add(self.moving.inbox.fileno(), INBOX_TOKEN)?;
        self.watch_sockets(false)?;
        self.resume_accepting()
    }

    pub(super) fn watch_sockets(&self, has_connections: bool) -> Result<()> {
        for (at, _, socket) in self.sockets(has_connections) {
            self.epoll.add(socket, LISTENER_TOKEN | at as u64)?;
        }
        Ok(())
    }

    pub(super) fn unwatch_sockets(&self, has_connections: bool) {
        for (_, _, socket) in self.sockets(has_connections) {
            // Not being watched any more is what is wanted.
            let _ = self.epoll.remove(socket);
        }
    }

    /// Reads what is ready, in rounds of one read per socket, until nothing is ready, the
    /// intake has no room, or enough was read for one wake-up. The next drain goes on where
    /// this one stopped, so that the last of a round is served as often as the first.
    pub fn drain(&mut self, intake: &mut impl Intake) -> Progress {
        self.release(intake);
        self.now_ns = clock::monotonic_ns();
        match self.replay(intake) {
            Outcome::Stalled => return Progress::Stalled,
            _ if !self.is_current() => return Progress::More,
            _ => {}
        }
        let mut left = DRAIN_BYTES;
        loop {
            while let Some(event) = self.round.clone().next() {
                if left == 0 {
                    return Progress::More;
                }
                let bytes = match self.serve(self.epoll.token(event), intake) {
                    Outcome::Stalled => return Progress::Stalled,
                    Outcome::Read(bytes) => bytes,
                    Outcome::Empty | Outcome::End | Outcome::Broken => 0,
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
        self.now_ns = clock::monotonic_ns();
        self.round = 0..self.epoll.poll();
    }

    /// Whether a drain would find room for every kind of read.
    pub fn has_room(&mut self, intake: &impl Intake) -> bool {
        self.release(intake);
        intake.has_room() && (!self.is_current() || self.ring.has_room(DATAGRAMS_BYTES))
    }

    /// Whether `length` bytes can be read now. What made no event, such as the middle of a
    /// long line, is given back first: no commit of a journal will ever do it.
    pub(super) fn make_room(&mut self, length: usize, intake: &impl Intake) -> bool {
        if !self.ring.has_room(length) {
            self.release(intake);
        }
        intake.has_room() && self.ring.has_room(length)
    }

    /// Housekeeping of the loop timer: certificates that changed, kernel drop counters, the balance
    /// between the workers, accepting after a shortage.
    ///
    /// # Errors
    /// When the listeners cannot be watched again.
    pub fn tick(&mut self, intake: &impl Intake) -> Result<()> {
        self.refresh_certificates(Instant::now());
        self.publish_datagram_sockets();
        self.balance();
        self.release(intake);
        self.ring.tend(clock::monotonic_ns());
        let pending = self.ring.pending();
        self.region.worker(self.worker, cells::ARENA, 0).store(pending, Ordering::Relaxed);
        let partial = self.partial_bytes as u64;
        self.region.worker(self.worker, cells::PARTIAL, 0).store(partial, Ordering::Relaxed);
        self.resume_accepting()
    }

    pub(super) fn release(&mut self, intake: &impl Intake) {
        let durable = intake.durable_mark(self.ring.consumed());
        self.ring.release(durable);
        self.free_places();
    }

    fn serve(&mut self, token: u64, intake: &mut impl Intake) -> Outcome {
        if token == TIMER_TOKEN {
            self.keep_deadlines(intake);
            return Outcome::Empty;
        }
        if token == REPLAY_TOKEN {
            return Outcome::Empty;
        }
        if token == INBOX_TOKEN {
            self.adopt_waiting();
            return Outcome::Empty;
        }
        if token & LISTENER_TOKEN == 0 {
            let Ok(place) = usize::try_from(token) else { return Outcome::Empty };
            let outcome = self.read_connection(place, intake);
            match outcome {
                Outcome::End => self.close(place, intake),
                // Of a frame that has begun, nobody said that it is whole.
                Outcome::Broken => self.give_up(place, intake),
                Outcome::Read(_) | Outcome::Empty | Outcome::Stalled => {}
            }
            return outcome;
        }
        let Ok(index) = usize::try_from(token & !LISTENER_TOKEN) else { return Outcome::Empty };
        if self.listeners[index].config.kind.has_connections() {
            self.accept_batch(index);
            return Outcome::Empty;
        }
        self.read_datagrams(index, intake)
    }

    /// Shows how much the kernel holds for each socket, and counts what it had to drop.
    pub(super) fn publish_datagram_sockets(&self) {
        for (_, listener, socket) in self.sockets(false) {
            let Some(memory) = socket::memory(socket) else { continue };
            let cell = |cell| self.region.listener(self.worker, listener.config.index, cell, 0);
            let (dropped, base) = (cell(cells::KERNEL_DROPPED), cell(cells::KERNEL_DROPS_BASE));
            // The kernel counts in 32 bits, over the life of the socket, which outlives the
            // worker just as the cells do. The base is what sockets before it dropped.
            let counted =
                dropped.load(Ordering::Relaxed).wrapping_sub(base.load(Ordering::Acquire));
            #[allow(clippy::cast_possible_truncation)]
            add(dropped, u64::from(memory.drops.wrapping_sub(counted as u32)));
            if listener.config.kind == Kind::Udp {
                // The kernel doubles what it grants, to have room for its own bookkeeping.
                let granted = u64::from(memory.receive_buffer / 2);
                cell(cells::UDP_RECEIVE_BUFFER).store(granted, Ordering::Relaxed);
            }
        }
    }
}
