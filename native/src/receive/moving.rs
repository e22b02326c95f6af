//! Connections that go from one worker to another, at any point of their stream: what was read is
//! with the intake, what was not is with the kernel, and the beginning of a frame travels.
//!
//! The cell `INBOX_CONNECTIONS` counts what is on its way. A sender adds to it before it looks
//! whether the receiver is ready; a receiver that ends says so before it looks at the cell. So
//! one of the two sees the other, and nothing is left behind.
//!
//! A worker may be killed at any point of a move. Before it sends, it notes in the memory of its slot
//! what goes, and the kernel writes there whether it went; what it receives stays noted there until
//! it is adopted (see `arena::receipts`).

use std::net::SocketAddr;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering, fence};
use std::time::Instant;

use super::Sender;
use super::accepting::Source;
use super::arena::{Arena, State};
use super::balance::{Patience, Work};
use super::connections::Connection;
use super::inbox::{self, Inbox, Inboxes, Message};
use super::load::SmoothedLoad;
use super::parcel::{self, Cargo, Established, Parcel};
use super::receiver::{Listener, Receiver};
use crate::clock;
use crate::counters::{Load, add, cells};

/// Messages taken per wake-up.
const MESSAGES: usize = 64;
/// A message with so many bytes of state takes no further connection.
const STATE_BYTES: usize = 8 * 1024 * 1024;
/// A worker that has shown no life for so long is given nothing.
const LIFELESS_NS: u64 = 2_000_000_000;
/// A sender needs no longer from adding to the cell to sending, unless it has died.
const SENDING_MILLISECONDS: i32 = 100;
const MILLISECOND_NS: u64 = 1_000_000;

/// Why a connection goes, as the index of the label value in `MOVE_CAUSES`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cause {
    Accept = 0,
    Balance = 1,
    Rotation = 2,
    Replacement = 3,
}

/// What a worker needs to pass connections on and to take them over.
pub(super) struct Moving {
    pub(super) inbox: Inbox,
    arena: Arc<Arena>,
    outboxes: Vec<OwnedFd>,
    /// The state of those that leave together.
    body: Vec<u8>,
    descriptors: Vec<RawFd>,
    /// What was on its way, and not to be found, when this was last looked at.
    missing: u64,
    /// When the work was last measured, and the processor time by then.
    pub(super) measured_ns: u64,
    pub(super) process_ns: u64,
    /// Of all datagrams.
    pub(super) datagrams: SmoothedLoad,
    pub(super) patience: Patience,
    /// Connections that may go, with what they load.
    pub(super) candidates: Vec<(u64, usize)>,
}

impl Moving {
    pub(super) fn new(inboxes: Inboxes, arena: &Arc<Arena>) -> Self {
        Self {
            inbox: Inbox::new(inboxes.own, Arc::clone(arena)),
            arena: Arc::clone(arena),
            outboxes: inboxes.all,
            body: Vec::new(),
            descriptors: Vec::new(),
            missing: 0,
            measured_ns: clock::monotonic_ns(),
            process_ns: clock::process_ns(),
            datagrams: SmoothedLoad::new(),
            patience: Patience::default(),
            candidates: Vec::new(),
        }
    }

    fn has_state_for_one_message(&self) -> bool {
        self.descriptors.len() >= inbox::CONNECTIONS || self.body.len() >= STATE_BYTES
    }
}

/// What a cell that many add to and take from says: a death between two steps can leave it below
/// zero.
fn on_their_way(cell: &AtomicU64) -> u64 {
    u64::try_from(cell.load(Ordering::SeqCst).cast_signed()).unwrap_or(0)
}

impl Receiver {
    /// What a worker has to do, as the region shows it.
    pub(super) fn work_of(&self, worker: usize) -> Work {
        let cell = |cell| self.region.worker(worker, cell, 0);
        Work {
            worker,
            connections: cell(cells::CONNECTIONS).load(Ordering::Relaxed)
                + on_their_way(cell(cells::INBOX_CONNECTIONS)),
            load: cell(cells::LOAD).load(Ordering::Relaxed),
            busy: cell(cells::BUSY_RATIO).load(Ordering::Relaxed),
        }
    }

    fn is_ready(&self, worker: usize) -> bool {
        let state = self.region.worker(worker, cells::STATE, 0);
        state.load(Ordering::SeqCst) == cells::STATE_READY
    }

    /// The workers that may be given something. There are none while this one is itself not in
    /// service.
    pub(super) fn takers(&self) -> impl Iterator<Item = Work> {
        self.ready_workers().filter(|_| self.is_ready(self.worker))
    }

    /// The other workers in service, beginning with the one behind this in a circle.
    pub(super) fn ready_workers(&self) -> impl Iterator<Item = Work> {
        let count = self.moving.outboxes.len();
        let (now_ns, most) = (clock::monotonic_ns(), self.most_connections as u64);
        (1..count)
            .map(move |step| (self.worker + step) % count)
            .filter(move |worker| self.is_ready(*worker) && self.is_lively(*worker, now_ns))
            .map(|worker| self.work_of(worker))
            .filter(move |work| work.connections + inbox::CONNECTIONS as u64 <= most)
    }

    fn is_lively(&self, worker: usize, now_ns: u64) -> bool {
        let cell = |cell| self.region.worker(worker, cell, 0).load(Ordering::Acquire);
        let silent_ns = now_ns.saturating_sub(cell(cells::HEARTBEAT));
        silent_ns < LIFELESS_NS && cell(cells::INTAKE_PAUSED) == 0
    }

    /// Whether a worker can go on with connections of one of our listeners. While a reload goes from
    /// worker to worker, not all serve the same.
    pub(super) fn serves(&self, worker: usize, listener: usize) -> bool {
        let index = self.listeners[listener].config.index;
        let served = self.region.listener(worker, index, cells::LISTENER_SERVED, 0);
        served.load(Ordering::SeqCst) != 0
    }

    /// Passes a connection that was just accepted to a worker with clearly less to do. Gives it
    /// back where there is none.
    pub(super) fn pass_on_accepted(
        &mut self,
        socket: OwnedFd,
        listener: usize,
        peer: Option<SocketAddr>,
    ) -> Option<OwnedFd> {
        let mut own = self.work_of(self.worker);
        own.connections = own.connections.saturating_sub(1); // which is this one
        let takers = self.takers().filter(|work| self.serves(work.worker, listener));
        let lightest = takers.min_by_key(|work| work.connections);
        let Some(taker) = lightest.filter(|work| work.should_accept_for(&own)) else {
            return Some(socket);
        };
        self.moving.body.clear();
        let index = self.listeners[listener].config.index;
        parcel::write_unread(index, peer, false, &mut self.moving.body);
        self.moving.descriptors.clear();
        self.moving.descriptors.push(socket.as_raw_fd());
        if !self.send(taker.worker, Cause::Accept) {
            return Some(socket);
        }
        drop(socket);
        self.arena.end_move();
        None
    }

    /// Passes on the first of these connections, as many as one message takes. Returns how many;
    /// none where the worker has no room for a message.
    pub(super) fn pass_on(&mut self, places: &[usize], worker: usize, cause: Cause) -> usize {
        self.moving.body.clear();
        self.moving.descriptors.clear();
        let mut packed = 0;
        for place in places {
            if self.moving.has_state_for_one_message() {
                break;
            }
            packed += 1;
            let Some(connection) = self.connections.get(*place) else { continue };
            let index = self.listeners[connection.listener].config.index;
            if connection.opening.is_some() {
                parcel::write_unread(index, connection.sender.peer, true, &mut self.moving.body);
            } else {
                parcel::write_established(index, connection, &mut self.moving.body);
            }
            self.moving.descriptors.push(connection.socket.as_raw_fd());
        }
        if !self.send(worker, cause) {
            return 0;
        }
        for place in &places[..packed] {
            let Some(connection) = self.take_out(*place, State::Departed) else { continue };
            // Closing ours is not enough: another process holds the connection now.
            let _ = self.epoll.remove(connection.socket.as_raw_fd());
            drop(connection);
            self.arena.table().entry(*place).set_descriptor(-1);
        }
        self.arena.end_move();
        // A failure here is met again, and reported, by the next tick.
        let _ = self.resume_accepting();
        packed
    }

    /// Sends what is packed. Nobody but a successor is sent anything while it is not ready. What was
    /// sent is in work until [`Arena::end_move`] says that it is not ours any more.
    fn send(&mut self, worker: usize, cause: Cause) -> bool {
        let Moving { arena, outboxes, body, descriptors, .. } = &self.moving;
        let count = descriptors.len() as u64;
        let waiting = self.region.worker(worker, cells::INBOX_CONNECTIONS, 0);
        waiting.fetch_add(count, Ordering::SeqCst);
        fence(Ordering::SeqCst);
        let may_send = worker == self.worker || self.is_ready(worker);
        let send = || {
            let receipt = arena.begin_move(descriptors);
            inbox::send(outboxes[worker].as_raw_fd(), descriptors.len(), body, descriptors, receipt)
        };
        if !may_send || send().is_err() {
            arena.end_move();
            waiting.fetch_sub(count, Ordering::SeqCst);
            return false;
        }
        let moved = self.region.worker(self.worker, cells::CONNECTIONS_MOVED, cause as usize);
        add(moved, count);
        true
    }

    /// Takes over what others have sent; whether there may be more.
    pub(super) fn adopt_waiting(&mut self) -> bool {
        for _ in 0..MESSAGES {
            let Some(message) = self.moving.inbox.receive() else { return false };
            self.adopt(message);
        }
        true
    }

    fn adopt(&mut self, message: Message) {
        let Message { connections, descriptors, body, memory } = message;
        let mut records = &body[..];
        let (mut adopted, sent) = (0, (descriptors.len() as u64).max(connections));
        for (number, socket) in descriptors.into_iter().enumerate() {
            let Some(parcel) = parcel::read(&mut records) else { break };
            adopted += u64::from(self.take_over(socket, parcel));
            self.moving.inbox.adopted(number + 1);
        }
        let cell = |cell| self.region.worker(self.worker, cell, 0);
        add(cell(cells::CONNECTIONS_ADOPTED), adopted);
        add(cell(cells::ADOPTION_ERRORS), sent - adopted);
        // Counted as open before they are no longer on their way: nobody sees fewer.
        cell(cells::INBOX_CONNECTIONS).fetch_sub(connections, Ordering::SeqCst);
        self.moving.inbox.done();
        drop(memory);
    }

    pub(super) fn listener_of(&self, index: usize) -> Option<usize> {
        let is_it = |listener: &Listener| listener.config.index == index && listener.takes_over();
        self.listeners.iter().position(is_it)
    }

    fn take_over(&mut self, socket: OwnedFd, parcel: Parcel) -> bool {
        let Parcel { listener, peer, cargo } = parcel;
        match (cargo, self.listener_of(listener)) {
            (Cargo::Kept(place), _) => return self.restore(place, socket),
            (Cargo::Accepted, Some(at)) => self.begin(socket, at, peer, Source::Listener),
            (Cargo::Open, Some(at)) => self.begin(socket, at, peer, Source::Worker),
            (Cargo::Established(state), Some(at)) => {
                return self.take_established(socket, at, peer, *state);
            }
            (Cargo::Accepted, None) => return false,
            (_, None) => {
                self.count_lost(listener);
                return false;
            }
        }
        true
    }

    /// Takes over a connection that goes on where it was.
    fn take_established(
        &mut self,
        socket: OwnedFd,
        listener: usize,
        peer: Option<SocketAddr>,
        state: Established,
    ) -> bool {
        let Established { identity, framer, received_ns, takes_turns, load, times } = state;
        let sender = Sender { peer, identity: identity.map(Arc::from) };
        let mut connection = Connection::new(socket, listener, sender);
        connection.framer = framer;
        connection.takes_turns = takes_turns;
        connection.load = load;
        // Events of a connection that lie in two shards can be told apart by their times, which
        // are written in milliseconds.
        connection.received_ns = (received_ns / MILLISECOND_NS + 1) * MILLISECOND_NS;
        let Some(place) = self.take_in(connection, Source::Worker) else { return false };
        if let Some(connection) = self.connections.at(place) {
            connection.times = times;
        }
        // It was let in once and stays, and so do its debts.
        self.enter_source(place, None);
        self.pace(place, Load { events: 0, bytes: 0 });
        true
    }

    /// Takes over what others have sent by now.
    pub(super) fn adopt_all_waiting(&mut self) {
        while self.adopt_waiting() {}
    }

    /// Takes over all that is on its way, at the end of a worker that nobody succeeds.
    pub(super) fn empty_inbox(&mut self, deadline: Instant) {
        fence(Ordering::SeqCst);
        loop {
            self.adopt_all_waiting();
            let cell = self.region.worker(self.worker, cells::INBOX_CONNECTIONS, 0);
            let is_empty = on_their_way(cell) == 0;
            if is_empty
                || Instant::now() >= deadline
                || !self.moving.inbox.wait(SENDING_MILLISECONDS)
            {
                return;
            }
        }
    }

    /// Forgets what a worker that died meant to send: it is neither here nor will it come.
    pub(super) fn forget_missing(&mut self) {
        let cell = self.region.worker(self.worker, cells::INBOX_CONNECTIONS, 0);
        let waiting = cell.load(Ordering::SeqCst);
        let is_missing = waiting != 0 && !self.moving.inbox.wait(0);
        if is_missing && waiting == self.moving.missing {
            let _ = cell.compare_exchange(waiting, 0, Ordering::SeqCst, Ordering::SeqCst);
        }
        self.moving.missing = if is_missing { waiting } else { 0 };
    }
}
