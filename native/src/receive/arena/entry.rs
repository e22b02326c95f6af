//! One entry of the table of connections, in words of shared memory.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::os::fd::RawFd;
use std::sync::atomic::{AtomicU64, Ordering};

/// What an entry stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Nothing.
    Free = 0,
    /// Open, and bound to its process: TLS, or a header that has begun.
    Pinned = 1,
    /// Open, and nothing was read of it yet: what has to come first is still waited for.
    Untouched = 2,
    /// Open, and nothing but its descriptor and this entry.
    Movable = 3,
    /// Gone to another worker. What was read of it here may not be durable yet.
    Departed = 4,
    /// Closed, or about to be. What was read of it may not be durable yet.
    Ended = 5,
}

impl State {
    fn of(word: u64) -> Self {
        match word {
            1 => Self::Pinned,
            2 => Self::Untouched,
            3 => Self::Movable,
            4 => Self::Departed,
            5 => Self::Ended,
            _ => Self::Free,
        }
    }

    /// Whether the connection is this worker's.
    pub fn is_open(self) -> bool {
        matches!(self, Self::Pinned | Self::Untouched | Self::Movable)
    }
}

/// One connection. Words, so that each store is whole.
#[repr(C, align(256))]
#[derive(Debug)]
pub struct Entry {
    pub(super) state: AtomicU64,
    pub(super) descriptor: AtomicU64,
    /// Index of the listener in the region.
    pub(super) listener: AtomicU64,
    /// 0: no address; else 1 + the port.
    pub(super) port: AtomicU64,
    pub(super) address: [AtomicU64; 2],
    pub(super) identity_length: AtomicU64,
    pub(super) received_ns: AtomicU64,
    /// Whether the workers read it in turn; whether it broke.
    pub(super) flags: AtomicU64,
    /// The position behind the last that was read of it, once it is gone.
    pub(super) closed_at: AtomicU64,
    pub(super) base: Base,
}

/// The framing state as of a position.
#[repr(C)]
#[derive(Debug)]
pub(super) struct Base {
    pub(super) position: AtomicU64,
    /// Terminator, and what the partial frame is, a byte each.
    pub(super) kind: AtomicU64,
    pub(super) length: AtomicU64,
    pub(super) left: AtomicU64,
    /// How much of the partial frame is kept.
    pub(super) kept: AtomicU64,
    /// How much of the memory for it was ever written since it was given back.
    pub(super) touched: AtomicU64,
}

pub(super) const TAKES_TURNS: u64 = 1;
pub(super) const BROKEN: u64 = 2;

pub(super) fn get(cell: &AtomicU64) -> u64 {
    cell.load(Ordering::Acquire)
}

pub(super) fn set(cell: &AtomicU64, value: u64) {
    cell.store(value, Ordering::Release);
}

pub(super) fn size(cell: &AtomicU64, most: usize) -> usize {
    usize::try_from(get(cell)).unwrap_or(most).min(most)
}

impl Entry {
    /// What it stands for.
    pub fn state(&self) -> State {
        State::of(get(&self.state))
    }

    /// Makes it stand for something else.
    pub fn set_state(&self, state: State) {
        set(&self.state, state as u64);
    }

    /// The descriptor, valid in the table of the worker and its holder while it is open.
    pub fn descriptor(&self) -> RawFd {
        RawFd::try_from(get(&self.descriptor)).unwrap_or(-1)
    }

    /// Index of its listener in the region.
    pub fn listener(&self) -> usize {
        usize::try_from(get(&self.listener)).unwrap_or(usize::MAX)
    }

    /// The other end.
    pub fn peer(&self) -> Option<SocketAddr> {
        let port = get(&self.port).checked_sub(1)?;
        let [high, low] = [0, 1].map(|word| u128::from(get(&self.address[word])));
        let address = IpAddr::V6(Ipv6Addr::from_bits(high << 64 | low)).to_canonical();
        Some(SocketAddr::new(address, u16::try_from(port).ok()?))
    }

    /// The position behind the last that was read of it, once it is gone.
    pub(crate) fn closed_at(&self) -> u64 {
        get(&self.closed_at)
    }

    pub(crate) fn set_descriptor(&self, descriptor: RawFd) {
        set(&self.descriptor, u64::try_from(descriptor).unwrap_or(u64::MAX));
    }

    pub(crate) fn note_turns(&self, takes_turns: bool) {
        let flags = get(&self.flags);
        set(&self.flags, if takes_turns { flags | TAKES_TURNS } else { flags & !TAKES_TURNS });
    }

    pub(crate) fn note_broken(&self) {
        set(&self.flags, get(&self.flags) | BROKEN);
    }

    pub(super) fn set_peer(&self, peer: Option<SocketAddr>) {
        let address = match peer.map(|peer| peer.ip()) {
            Some(IpAddr::V4(address)) => address.to_ipv6_mapped().to_bits(),
            Some(IpAddr::V6(address)) => address.to_bits(),
            None => 0,
        };
        #[allow(clippy::cast_possible_truncation)] // its two halves
        for (word, half) in self.address.iter().zip([(address >> 64) as u64, address as u64]) {
            set(word, half);
        }
        set(&self.port, peer.map_or(0, |peer| 1 + u64::from(peer.port())));
    }
}

impl Base {
    pub(super) fn store(
        &self,
        terminator: u8,
        partial: u8,
        [length, left, kept]: [u64; 3],
        position: u64,
    ) {
        set(&self.kind, u64::from_le_bytes([terminator, partial, 0, 0, 0, 0, 0, 0]));
        set(&self.length, length);
        set(&self.left, left);
        set(&self.kept, kept);
        set(&self.position, position);
    }
}
