//! What a predecessor that was killed left in the arena: what it had taken from the kernel becomes a
//! record, records that are not durable are handed on once more, connections go on where they were.
//!
//! Nothing else is served before that is over, so that every sender's events stay in their order.

use std::collections::HashMap;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::sync::atomic::Ordering;

use super::arena::{
    Arena, Content, Counted, Description, Intent, Kind, Reads, Record, Ring, State,
};
use super::connections::{Connection, Connections};
use super::receiver::{Outcome, Receiver};
use super::{Intake, Origin, Read};
use crate::clock;
use crate::counters::{Load, add, cells};
use crate::error::{Error, Result};

/// What has to be done before a successor serves anybody.
pub(super) struct Replay {
    /// What was found of connections, by place, and how far the records have brought them.
    found: HashMap<usize, Content>,
    /// Whether each record is a cycle of its own.
    is_careful: bool,
    /// Readable as long as the replay is not over, for whoever polls.
    wake: OwnedFd,
}

impl Replay {
    pub(super) fn new() -> Result<Self> {
        // SAFETY: plain system call.
        let raw = unsafe { libc::eventfd(1, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK) };
        if raw < 0 {
            return Err(Error::last_os("create an eventfd"));
        }
        // SAFETY: `raw` was just returned by the kernel and has no other owner.
        let wake = unsafe { OwnedFd::from_raw_fd(raw) };
        Ok(Self { found: HashMap::new(), is_careful: false, wake })
    }

    pub(super) fn fileno(&self) -> RawFd {
        self.wake.as_raw_fd()
    }
}

/// A cycle that was begun so often and never ended is gone through record by record: its events may
/// have killed the workers, and others shall not suffer for them.
const CAREFUL_ATTEMPTS: u64 = 3;
/// A record that is tried so often is not let into the pipeline any more.
const LAST_ATTEMPT: u64 = 5;

/// The longest frame of a listener that is not served any more.
const UNSERVED_LINE_BYTES: usize = 1 << 20;

/// The connections of a table as it was left: places of which nothing is pending are vacant.
pub(super) fn connections(arena: &Arena, durable: u64) -> Connections {
    let table = arena.table();
    let mut connections = Connections::new(table.places().len());
    let mut closing: Vec<(u64, usize)> = Vec::new();
    for place in table.places() {
        match table.entry(place).state() {
            State::Free => connections.add_vacant(place),
            State::Departed | State::Ended => {
                closing.push((table.entry(place).closed_at().max(durable), place));
            }
            _ => {}
        }
    }
    closing.sort_unstable();
    for (position, place) in closing {
        connections.close(place, position);
    }
    connections
}

/// Makes what a predecessor had read of a connection a record, as it would have done itself; its
/// frames are found by the replay. Of datagrams the listener is given.
pub(super) fn finish_read(ring: &mut Ring, reads: &Reads) -> Option<usize> {
    let (position, intent) = reads.unfinished(ring.received())?;
    if !ring.resume(position) {
        return None;
    }
    match intent {
        Intent::Stream { place, length } => {
            ring.commit(Record::new(Kind::Stream, place, length, clock::now_ns()));
            None
        }
        Intent::Datagrams { listener } => Some(listener),
    }
}

impl Receiver {
    /// Whether a predecessor left something that has to be handed on first.
    pub fn has_replay(&self) -> bool {
        self.ring.consumed() < self.ring.received()
    }

    /// The position of the arena below which everything is stored.
    pub fn durable(&self) -> u64 {
        self.ring.durable()
    }

    /// Whether everything that a predecessor left is handed on, and its connections go on or are
    /// closed.
    pub fn is_current(&self) -> bool {
        self.replay.is_none()
    }

    /// Hands on what a predecessor left, as far as there is room.
    pub(super) fn replay(&mut self, intake: &mut impl Intake) -> Outcome {
        let Some(mut replay) = self.replay.take() else { return Outcome::Empty };
        let mut bytes = 0;
        while self.has_replay() {
            if !intake.has_room() || (replay.is_careful && !intake.is_idle()) {
                self.replay = Some(replay);
                return Outcome::Stalled;
            }
            let position = self.ring.consumed();
            let mut is_harmful = false;
            if intake.is_idle() {
                let attempts = self.arena.attempt(position);
                replay.is_careful |= attempts.is_none_or(|times| times >= CAREFUL_ATTEMPTS);
                is_harmful = attempts.is_some_and(|times| times >= LAST_ATTEMPT);
            }
            let (record, mark) = self.ring.record(position);
            bytes += record.length as usize;
            match record.kind() {
                Some(Kind::Datagrams) => self.take_batch(position, is_harmful, intake),
                Some(Kind::Stream | Kind::End | Kind::Cut) => {
                    self.replay_stream(&mut replay, (position, record), is_harmful, intake);
                }
                Some(Kind::Submitted) => {
                    intake.forgo(record.subject as usize, record.events(), mark);
                    intake.complete(mark);
                    self.ring.consume(mark);
                }
                Some(Kind::Skip) => self.ring.consume(mark),
                // Nothing behind a damaged record can be read.
                None => self.ring.consume(self.ring.received()),
            }
        }
        intake.end_replay();
        self.go_on(replay, intake);
        Outcome::Read(bytes)
    }

    fn replay_stream(
        &mut self,
        replay: &mut Replay,
        (position, mut record): (u64, Record),
        is_harmful: bool,
        intake: &mut impl Intake,
    ) {
        let (place, mark) = (record.subject as usize, position + record.size());
        let table = self.arena.table();
        let found = replay.found.entry(place).or_insert_with(|| table.content(place));
        let served = self.listeners.iter().find(|of| of.config.index == found.listener);
        let line_limit = served.map_or(UNSERVED_LINE_BYTES, |of| of.config.limits.line_bytes);
        let chunk = self.ring.bytes(position, &record);
        match record.kind() {
            Some(Kind::End) => found.framer.finish(&mut self.frames),
            Some(Kind::Cut) => found.framer.cut(&mut self.frames),
            _ => {
                found.framer.feed(chunk, line_limit, &mut self.frames);
                // The one that was finished by us says nothing of its frames, nor is its time in
                // order; and another limit may be in force now.
                record.received_ns = record.received_ns.max(found.received_ns);
                record.note(&found.framer);
            }
        }
        found.received_ns = record.received_ns;
        self.ring.write(position, record);
        intake.take(&Read {
            listener: found.listener,
            line_limit,
            chunk: self.ring.bytes(position, &record),
            frames: &self.frames,
            origin: Origin::Connection(&found.sender),
            received_ns: record.received_ns,
            mark,
            is_harmful,
        });
        intake.complete(mark);
        self.ring.consume(mark);
        if record.kind() != Some(Kind::Stream) && table.entry(place).state().is_open() {
            self.retire(place, State::Ended);
        }
    }

    /// Everything is handed on: takes the connections over that were kept, and ends the others.
    fn go_on(&mut self, mut replay: Replay, intake: &mut impl Intake) {
        // Who kept them has sent what there is: the lock of the journals was theirs until then.
        self.found = std::mem::take(&mut replay.found);
        // Not being watched any more is what is wanted.
        let _ = self.epoll.remove(replay.fileno());
        self.adopt_all_waiting();
        let open: Vec<usize> = self.arena.table().open_places().collect();
        for place in open {
            if self.connections.get(place).is_none() {
                self.end_lost(place, intake);
            }
        }
        self.found = HashMap::new();
        self.count_connections();
    }

    /// Goes on with a connection of the predecessor; its descriptor was kept by somebody. False
    /// where it cannot: then it is closed.
    pub(super) fn restore(&mut self, place: usize, socket: OwnedFd) -> bool {
        let table = self.arena.table();
        let is_there = table.places().contains(&place) && self.connections.get(place).is_none();
        let state = table.entry(place).state();
        if !is_there || !state.is_open() || state == State::Pinned {
            return false;
        }
        let content = self.found.remove(&place);
        let is_untouched = state == State::Untouched && content.is_none();
        let content = content.unwrap_or_else(|| table.content(place));
        let Some(listener) = self.listener_of(content.listener) else { return false };
        let descriptor = socket.as_raw_fd();
        let mut connection = Connection::new(socket, listener, content.sender);
        if is_untouched {
            self.begin_opening(&mut connection);
        }
        connection.framer = content.framer;
        connection.received_ns = content.received_ns;
        connection.takes_turns = content.takes_turns;
        connection.is_broken = content.is_broken;
        connection.times.note_read(self.now_ns, connection.is_within_frame(), false);
        connection.counted_bytes = connection.partial_bytes();
        if self.epoll.add(descriptor, place as u64).is_err() {
            return false;
        }
        self.partial_bytes += connection.counted_bytes;
        let awaits_header = connection.opening.as_ref().is_some_and(|of| of.awaits_header());
        table.entry(place).set_descriptor(descriptor);
        table.entry(place).set_state(if is_untouched { state } else { State::Movable });
        self.connections.put(place, connection);
        if !awaits_header {
            // It was let in once and stays, and so do its debts.
            self.enter_source(place, None);
            self.pace(place, Load::default());
        }
        true
    }

    /// A connection that was not kept has ended within whatever it had begun to send.
    fn end_lost(&mut self, place: usize, intake: &mut impl Intake) {
        let table = self.arena.table();
        let mut content = self.found.remove(&place).unwrap_or_else(|| table.content(place));
        content.framer.cut(&mut self.frames);
        if self.frames.count() > 0 {
            let received_ns = clock::now_ns().max(content.received_ns);
            let served = self.listeners.iter().find(|of| of.config.index == content.listener);
            let line_limit = served.map_or(UNSERVED_LINE_BYTES, |of| of.config.limits.line_bytes);
            let record = Record::new(Kind::Cut, place, 0, received_ns);
            let mark = self.commit_end(record);
            intake.take(&Read {
                listener: content.listener,
                line_limit,
                chunk: &[],
                frames: &self.frames,
                origin: Origin::Connection(&content.sender),
                received_ns,
                mark,
                is_harmful: false,
            });
            intake.complete(mark);
            self.ring.consume(mark);
        }
        self.retire(place, State::Ended);
        add(self.region.worker(self.worker, cells::CONNECTIONS_CUT, 0), 1);
    }

    /// The gauges say what is open.
    fn count_connections(&mut self) {
        let mut open = vec![0; self.region.listeners().len()];
        for place in self.connections.places() {
            let Some(connection) = self.connections.get(place) else { continue };
            open[self.listeners[connection.listener].config.index] += 1;
        }
        for (listener, open) in open.iter().enumerate() {
            let cell = self.region.listener(self.worker, listener, cells::LISTENER_CONNECTIONS, 0);
            cell.store(*open, Ordering::SeqCst);
        }
        let all = self.region.worker(self.worker, cells::CONNECTIONS, 0);
        all.store(open.iter().sum(), Ordering::SeqCst);
        self.tend_timer();
    }

    /// What is known of a connection is said anew, and that nothing of it is bound to this process
    /// but a TLS session.
    pub(super) fn describe(&self, place: usize) {
        let Some(connection) = self.connections.get(place) else { return };
        let is_plain = connection.tls.is_none() && connection.opening.is_none();
        self.arena.table().describe(
            place,
            &Description {
                descriptor: connection.socket.as_raw_fd(),
                listener: self.listeners[connection.listener].config.index,
                sender: &connection.sender,
                state: if is_plain { State::Movable } else { State::Pinned },
            },
        );
    }

    /// Makes the entry of a connection that was just taken in.
    pub(super) fn enter(&self, place: usize) {
        let Some(connection) = self.connections.get(place) else { return };
        let is_opening = connection.opening.is_some();
        let of = Description {
            descriptor: connection.socket.as_raw_fd(),
            listener: self.listeners[connection.listener].config.index,
            sender: &connection.sender,
            state: if is_opening { State::Untouched } else { State::Movable },
        };
        let table = self.arena.table();
        table.open(place, &of, &connection.framer, connection.received_ns, self.ring.received());
        table.entry(place).note_turns(connection.takes_turns);
    }

    /// A connection is gone from its place, which is vacant once all that was read of it is durable.
    pub(super) fn retire(&mut self, place: usize, state: State) {
        let received = self.ring.received();
        let table = self.arena.table();
        if state == State::Ended {
            let index = table.entry(place).listener();
            let closed = self.region.listener(self.worker, index, cells::CONNECTIONS_CLOSED, 0);
            self.arena.count(Counted::Closed, closed, place, index);
            table.close(place, state, received);
            add(closed, 1);
        } else {
            table.close(place, state, received);
        }
        self.connections.close(place, received);
    }

    /// Gives places free of which everything is durable.
    pub(super) fn free_places(&mut self) {
        let durable = self.ring.durable();
        while let Some(place) = self.connections.next_closed(durable) {
            self.arena.table().free(place);
        }
    }

    /// Commits a record without bytes, where there is room: without, what it ends is safe only once
    /// it is durable. Returns the position behind it.
    pub(super) fn commit_end(&mut self, record: Record) -> u64 {
        if self.ring.reserve(0).is_some() { self.ring.commit(record) } else { self.ring.received() }
    }

    /// At the end, with everything durable: a successor finds nothing to go on with.
    pub fn leave_nothing(&mut self) {
        self.ring.clear();
        self.free_places();
        let table = self.arena.table();
        for place in table.places() {
            table.free(place);
        }
    }
}
