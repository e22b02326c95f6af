//! The open connections of a worker, each at a place that its epoll token names.

use std::collections::VecDeque;
use std::os::fd::OwnedFd;

use super::Sender;
use super::arena::PLACES;
use super::load::SmoothedLoad;
use super::opening::Opening;
use super::tls_session::TlsSession;
use crate::counters;
use crate::frame::Framer;

/// What deadlines are measured from: nanoseconds of `CLOCK_MONOTONIC`.
#[derive(Debug, Clone, Copy, Default)]
#[allow(clippy::struct_field_names)] // it is their unit
pub struct Times {
    /// When something was read last; while it is opening, when it was accepted.
    pub active_ns: u64,
    /// When the frame began that is incomplete.
    pub frame_ns: Option<u64>,
    /// Until when it is not read, for its sender has sent too much; zero: it is.
    pub resume_ns: u64,
}

impl Times {
    /// Whether it is not read for now.
    pub fn is_paused(&self) -> bool {
        self.resume_ns > 0
    }

    /// Something was read, and behind it a frame is incomplete, perhaps the one from before.
    pub fn note_read(&mut self, now_ns: u64, is_within_frame: bool, is_same_frame: bool) {
        self.active_ns = now_ns;
        let began_ns = self.frame_ns.filter(|_| is_same_frame).unwrap_or(now_ns);
        self.frame_ns = is_within_frame.then_some(began_ns);
    }

    /// It is read again: nothing counts from before.
    pub fn restart(&mut self, now_ns: u64, is_within_frame: bool) {
        self.resume_ns = 0;
        self.note_read(now_ns, is_within_frame, false);
    }
}

/// All there is to know of a connection: small, so that it can be moved between two frames.
pub struct Connection {
    /// Its descriptor; nobody else holds a copy.
    pub socket: OwnedFd,
    /// Which of the worker's listeners accepted it.
    pub listener: usize,
    /// The other end.
    pub sender: Sender,
    /// Its framing state, with the partial line.
    pub framer: Framer,
    /// Its place among the connections of its address, once it has one.
    pub source: Option<counters::Place>,
    /// What its deadlines are measured from.
    pub times: Times,
    /// What it has to show before its first frame; none: no more.
    pub opening: Option<Box<Opening>>,
    /// What decrypts it, if it is encrypted.
    pub tls: Option<Box<TlsSession>>,
    /// How much of what it holds is counted as that of incomplete frames.
    pub counted_bytes: usize,
    /// When its newest events were received (ns since the epoch): none of the next is older.
    pub received_ns: u64,
    /// What it sends.
    pub load: SmoothedLoad,
    /// Whether the workers read it in turn, because it is too much for one of them.
    pub takes_turns: bool,
    /// Whether the kernel has told that it broke; what came before may still be there.
    pub is_broken: bool,
}

impl Connection {
    /// One from which nothing has been read yet.
    pub fn new(socket: OwnedFd, listener: usize, sender: Sender) -> Self {
        Self {
            socket,
            listener,
            sender,
            framer: Framer::default(),
            source: None,
            times: Times::default(),
            opening: None,
            tls: None,
            received_ns: 0,
            load: SmoothedLoad::new(),
            takes_turns: false,
            is_broken: false,
            counted_bytes: 0,
        }
    }

    /// What it holds of a frame, a record or a header whose end has not come.
    pub fn partial_bytes(&self) -> usize {
        let record = self.tls.as_ref().map_or(0, |tls| tls.held_bytes());
        let header = self.opening.as_ref().map_or(0, |opening| opening.held_bytes());
        self.framer.partial_bytes() + record + header
    }

    /// Whether it has begun to send something that has no end yet.
    pub fn is_within_frame(&self) -> bool {
        self.framer.is_within_frame() || self.tls.as_ref().is_some_and(|tls| tls.held_bytes() > 0)
    }

    /// Whether it is nothing but its descriptor and what `parcel` takes along.
    pub fn is_movable(&self) -> bool {
        !self.is_broken
            && self.tls.is_none()
            && self.opening.as_ref().is_none_or(|opening| opening.is_untouched())
    }

    /// The time for events that are received now, and whether it is ahead of the clock.
    pub fn receive_at(&mut self, now_ns: u64) -> (u64, bool) {
        let is_ahead = self.received_ns > now_ns;
        self.received_ns = self.received_ns.max(now_ns);
        (self.received_ns, is_ahead)
    }
}

/// A set of connections, at the places of the arena's table.
#[derive(Default)]
pub struct Connections {
    places: Vec<Option<Connection>>,
    open: usize,
    vacant: Vec<usize>,
    /// Places whose connections are gone, each with the position that has to be durable before.
    closing: VecDeque<(u64, usize)>,
    /// Places freed during the round of events in work. A token of the same round may still
    /// name them, so they are not given away before it ends.
    left: Vec<usize>,
}

impl Connections {
    /// Those of a worker that takes over a table with so many places; who is at them is told later.
    pub fn new(places: usize) -> Self {
        Self { places: (0..places).map(|_| None).collect(), ..Self::default() }
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.open
    }

    /// Whether there is a place for another.
    pub fn has_place(&self) -> bool {
        !self.vacant.is_empty() || self.places.len() < PLACES
    }

    /// Every place that is or was taken, open or not.
    pub fn places(&self) -> std::ops::Range<usize> {
        0..self.places.len()
    }

    /// Adds a connection and returns its place; closes it where there is none.
    pub fn add(&mut self, connection: Connection) -> Option<usize> {
        if !self.has_place() {
            return None;
        }
        let place = self.vacant.pop().unwrap_or_else(|| {
            self.places.push(None);
            self.places.len() - 1
        });
        self.put(place, connection);
        Some(place)
    }

    /// Puts a connection at the place that it has in the table.
    pub fn put(&mut self, place: usize, connection: Connection) {
        self.places[place] = Some(connection);
        self.open += 1;
    }

    /// The connection at a place, if it is open.
    pub fn at(&mut self, place: usize) -> Option<&mut Connection> {
        self.places.get_mut(place)?.as_mut()
    }

    /// See [`Self::at`].
    pub fn get(&self, place: usize) -> Option<&Connection> {
        self.places.get(place)?.as_ref()
    }

    /// The place of the connection that holds the most that is incomplete.
    pub fn largest_partial(&self) -> Option<usize> {
        let held = |place: usize| {
            let connection = self.places[place].as_ref()?;
            Some((connection.counted_bytes, place))
        };
        self.places().filter_map(held).max().map(|(_, place)| place)
    }

    /// Takes a connection out.
    pub fn take(&mut self, place: usize) -> Option<Connection> {
        let connection = self.places.get_mut(place)?.take()?;
        self.open -= 1;
        Some(connection)
    }

    /// A place is vacant when everything below a position is durable. Positions come in order.
    pub fn close(&mut self, place: usize, position: u64) {
        self.closing.push_back((position, place));
    }

    /// The next place that is vacant now that everything below a position is durable.
    pub fn next_closed(&mut self, durable: u64) -> Option<usize> {
        let (_, place) = *self.closing.front().filter(|(position, _)| *position <= durable)?;
        self.closing.pop_front();
        self.left.push(place);
        Some(place)
    }

    /// Ends a round of events: the places freed in it may be taken again.
    pub fn end_round(&mut self) {
        self.vacant.append(&mut self.left);
    }

    /// A place of the table at which nobody is.
    pub fn add_vacant(&mut self, place: usize) {
        self.vacant.push(place);
    }
}
