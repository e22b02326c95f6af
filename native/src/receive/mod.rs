//! Sockets to bytes: an epoll set of its own, drained once per wake-up of the loop that
//! polls it. Frames are handed on per read; this module knows nothing of what they mean.

mod arena;
mod connections;
mod datagrams;
mod epoll;
mod finish;
mod receiver;
mod socket;

use std::net::SocketAddr;

pub use arena::Arena;
pub use receiver::{Receiver, Source, SourceKind};

use crate::frame::Frames;

/// Who sent the frames of a read.
#[derive(Debug, Clone, Copy)]
pub enum Origin<'a> {
    /// The peer of a connection.
    Connection(SocketAddr),
    /// The sender of each datagram, with the offset in the chunk where the datagram ends.
    Datagrams(&'a [(u32, SocketAddr)]),
}

impl Origin<'_> {
    /// Who sent the frame that ends at this offset of the chunk.
    pub fn peer(&self, frame_end: u32) -> Option<SocketAddr> {
        match self {
            Self::Connection(peer) => Some(*peer),
            Self::Datagrams(datagrams) => {
                let at = datagrams.partition_point(|(end, _)| *end < frame_end);
                datagrams.get(at).map(|(_, peer)| *peer)
            }
        }
    }
}

/// One read's worth of complete frames.
pub struct Read<'a> {
    /// Index of the listener.
    pub listener: usize,
    /// The bytes, in the arena.
    pub chunk: &'a [u8],
    /// What of them is complete, and the line that earlier reads began.
    pub frames: &'a Frames,
    /// Who sent them.
    pub origin: Origin<'a>,
    /// The position of the arena behind the chunk.
    pub mark: u64,
}

/// What takes the frames.
pub trait Intake {
    /// Whether more can be taken now. When not, nothing more is read.
    fn has_room(&self) -> bool;
    /// Takes one read. The frames are gone from the sockets, so this cannot fail.
    fn take(&mut self, read: &Read<'_>);
    /// Position of the arena below which everything taken is durable; `consumed` when all is.
    fn durable_mark(&self, consumed: u64) -> u64;
}

/// Why a drain came back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// No socket has more to read.
    Idle,
    /// There is more to read, but others want the loop.
    More,
    /// Nothing can be taken until the journal has made progress.
    Stalled,
}
