//! The open connections of a worker, each at a place that its epoll token names.

use std::os::fd::OwnedFd;

use super::Sender;
use super::load::Load;
use crate::frame::Framer;

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
    /// When its newest events were received (ns since the epoch): none of the next is older.
    pub received_ns: u64,
    /// What it sends.
    pub load: Load,
    /// Whether the workers read it in turn, because it is too much for one of them.
    pub takes_turns: bool,
}

impl Connection {
    /// One from which nothing has been read yet.
    pub fn new(socket: OwnedFd, listener: usize, sender: Sender) -> Self {
        Self {
            socket,
            listener,
            sender,
            framer: Framer::default(),
            received_ns: 0,
            load: Load::new(),
            takes_turns: false,
        }
    }

    /// The time for events that are received now, and whether it is ahead of the clock.
    pub fn receive_at(&mut self, now_ns: u64) -> (u64, bool) {
        let is_ahead = self.received_ns > now_ns;
        self.received_ns = self.received_ns.max(now_ns);
        (self.received_ns, is_ahead)
    }
}

/// A bounded set of connections.
pub struct Connections {
    places: Vec<Option<Connection>>,
    vacant: Vec<usize>,
    /// Places left during the round of events in work. A token of the same round may still
    /// name them, so they are not given away before it ends.
    left: Vec<usize>,
    limit: usize,
}

impl Connections {
    /// An empty set that takes at most `limit`.
    pub fn new(limit: usize) -> Self {
        Self { places: Vec::new(), vacant: Vec::new(), left: Vec::new(), limit }
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.places.len() - self.vacant.len() - self.left.len()
    }

    /// Whether no more may be added.
    pub fn is_full(&self) -> bool {
        self.count() >= self.limit
    }

    /// Every place that is or was taken, open or not.
    pub fn places(&self) -> std::ops::Range<usize> {
        0..self.places.len()
    }

    /// Adds a connection and returns its place.
    pub fn add(&mut self, connection: Connection) -> usize {
        let place = self.vacant.pop().unwrap_or_else(|| {
            self.places.push(None);
            self.places.len() - 1
        });
        self.places[place] = Some(connection);
        place
    }

    /// The connection at a place, if it is open.
    pub fn at(&mut self, place: usize) -> Option<&mut Connection> {
        self.places.get_mut(place)?.as_mut()
    }

    /// See [`Self::at`].
    pub fn get(&self, place: usize) -> Option<&Connection> {
        self.places.get(place)?.as_ref()
    }

    /// Takes a connection out.
    pub fn take(&mut self, place: usize) -> Option<Connection> {
        let connection = self.places.get_mut(place)?.take();
        if connection.is_some() {
            self.left.push(place);
        }
        connection
    }

    /// Ends a round of events: the places left in it are free again.
    pub fn end_round(&mut self) {
        self.vacant.append(&mut self.left);
    }
}
