//! The table of connections: what of each has to outlive its worker. A place in it is the place of
//! the connection in the worker. Its base is the framing state as of the durable position.
//!
//! An entry is written by the worker, or by what comes after its death; its state is stored last when
//! it is opened and first when it ends, so that what is open is whole.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::os::fd::RawFd;
use std::sync::atomic::{AtomicU64, Ordering};

use super::{Arena, IDENTITY_BYTES, PARTIAL_BYTES};

/// Connections that one worker can have.
pub const PLACES: usize = 65_536;

/// What an entry stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Nothing.
    Free = 0,
    /// Open, and bound to its process: TLS, or a header that has begun.
    Pinned = 1,
    /// Open, and nothing was read of it yet: what has to come first may still be waited for.
    Untouched = 2,
    /// Open, and nothing but its descriptor and this entry.
    Movable = 3,
    /// In a message to another worker; whether that was sent, its receipt says.
    Departing = 4,
    /// Gone to another worker. What was read of it here may not be durable yet.
    Departed = 5,
    /// Closed, or about to be. What was read of it may not be durable yet.
    Ended = 6,
}

impl State {
    fn of(word: u64) -> Self {
        match word {
            1 => Self::Pinned,
            2 => Self::Untouched,
            3 => Self::Movable,
            4 => Self::Departing,
            5 => Self::Departed,
            6 => Self::Ended,
            _ => Self::Free,
        }
    }

    /// Whether the connection is this worker's.
    pub fn is_open(self) -> bool {
        matches!(self, Self::Pinned | Self::Untouched | Self::Movable | Self::Departing)
    }
}

/// One connection. Words, so that each store is whole.
#[repr(C, align(256))]
#[derive(Debug)]
pub struct Entry {
    state: AtomicU64,
    descriptor: AtomicU64,
    /// Index of the listener in the region.
    listener: AtomicU64,
    /// 0: no address; else 1 + the port.
    port: AtomicU64,
    address: [AtomicU64; 2],
    identity_length: AtomicU64,
    received_ns: AtomicU64,
    takes_turns: AtomicU64,
    /// The position behind the last that was read of it, once it is gone.
    closed_at: AtomicU64,
}

impl Entry {
    /// What it stands for.
    pub fn state(&self) -> State {
        State::of(self.state.load(Ordering::Acquire))
    }

    /// Makes it stand for something else.
    pub fn set_state(&self, state: State) {
        self.state.store(state as u64, Ordering::Release);
    }

    /// The descriptor, valid in the table of the worker and its holder while it is open.
    pub fn descriptor(&self) -> RawFd {
        RawFd::try_from(self.descriptor.load(Ordering::Acquire)).unwrap_or(-1)
    }

    /// Index of its listener in the region.
    pub fn listener(&self) -> usize {
        usize::try_from(self.listener.load(Ordering::Acquire)).unwrap_or(usize::MAX)
    }

    /// The other end.
    pub fn peer(&self) -> Option<SocketAddr> {
        let port = self.port.load(Ordering::Acquire).checked_sub(1)?;
        let [high, low] = [0, 1].map(|word| u128::from(self.address[word].load(Ordering::Acquire)));
        let address = IpAddr::V6(Ipv6Addr::from_bits(high << 64 | low)).to_canonical();
        Some(SocketAddr::new(address, u16::try_from(port).ok()?))
    }
}

/// The table in the arena.
#[derive(Clone, Copy)]
pub struct Table<'a> {
    arena: &'a Arena,
}

impl<'a> Table<'a> {
    pub(super) fn new(arena: &'a Arena) -> Self {
        Self { arena }
    }

    /// The entry at a place.
    ///
    /// # Panics
    /// Behind the end: a mistake of the program.
    pub fn entry(self, place: usize) -> &'a Entry {
        assert!(place < PLACES, "no such place");
        let offset = self.arena.layout.entries() + place * size_of::<Entry>();
        // SAFETY: within the mapping, aligned to 256 bytes in a page-aligned table, and all its
        // fields are atomics, for which every value is valid.
        unsafe { &*self.arena.at::<Entry>(offset) }
    }

    /// The place of an open connection with this descriptor.
    pub fn find(self, descriptor: RawFd) -> Option<usize> {
        self.open_places().find(|place| self.entry(*place).descriptor() == descriptor)
    }

    /// The places of what is open.
    pub fn open_places(self) -> impl Iterator<Item = usize> + use<'a> {
        (0..PLACES).filter(move |place| self.entry(*place).state().is_open())
    }

    #[allow(dead_code)]
    fn identity(self, place: usize) -> *mut u8 {
        self.arena.at(self.arena.layout.identities() + place * IDENTITY_BYTES)
    }

    #[allow(dead_code)]
    fn partial(self, place: usize) -> *mut u8 {
        self.arena.at(self.arena.layout.partials() + place * PARTIAL_BYTES)
    }
}
