//! Sockets to bytes: an epoll set of its own, drained once per wake-up of the loop that
//! polls it. Frames are handed on per read; this module knows nothing of what they mean.

mod accepting;
mod admission;
pub mod arena;
mod balance;
mod batch;
mod certificates;
pub mod config;
mod connections;
mod datagrams;
mod deadlines;
mod descriptors;
mod epoll;
mod finish;
pub mod holder;
mod inbox;
mod load;
mod moving;
mod networks;
mod notices;
mod opening;
mod pacing;
mod parcel;
mod proxy_protocol;
mod reading;
mod receiver;
mod relieving;
mod replaying;
mod rules;
mod socket;
mod submitting;
mod timer;
mod tls_failure;
mod tls_files;
mod tls_identity;
mod tls_session;

use std::net::SocketAddr;
use std::sync::Arc;

pub use arena::Arena;
pub use inbox::Inboxes;
pub use networks::Networks;
pub use notices::Notice;
pub use receiver::{Bounds, Listener, Receiver, Sockets};
pub use submitting::Submission;
pub use tls_files::check as check_tls;

use crate::counters::Load;
use crate::frame::Frames;

/// Who is at the other end, as far as it is known.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sender {
    /// Its address; none for one of the same machine.
    pub peer: Option<SocketAddr>,
    /// What else tells who it is: members of a JSON object, `"tls":{…},"proxy":"…"`.
    pub identity: Option<Arc<str>>,
}

/// Who sent the frames of a read.
#[derive(Debug, Clone, Copy)]
pub enum Origin<'a> {
    /// The other end of a connection.
    Connection(&'a Sender),
    /// The sender of each datagram, with the offset in the chunk where the datagram ends.
    Datagrams(&'a [(u32, Option<SocketAddr>)]),
}

impl Origin<'_> {
    /// The address of who sent the frame that ends at this offset of the chunk.
    pub fn peer(&self, frame_end: u32) -> Option<SocketAddr> {
        match self {
            Self::Connection(sender) => sender.peer,
            Self::Datagrams(datagrams) => {
                let at = datagrams.partition_point(|(end, _)| *end < frame_end);
                datagrams.get(at).and_then(|(_, peer)| *peer)
            }
        }
    }

    /// Whether that is who sent the frame that ends at this offset of the chunk.
    #[inline]
    pub fn is_from(&self, peer: Option<SocketAddr>, frame_end: u32) -> bool {
        match self {
            Self::Connection(_) => true,
            Self::Datagrams(_) => self.peer(frame_end) == peer,
        }
    }

    /// What else tells who sent the frames.
    pub fn identity(&self) -> Option<&Arc<str>> {
        match self {
            Self::Connection(sender) => sender.identity.as_ref(),
            Self::Datagrams(_) => None,
        }
    }
}

/// One read's worth of complete frames.
pub struct Read<'a> {
    /// Index of the listener in the region.
    pub listener: usize,
    /// The longest frame of the listener.
    pub line_limit: usize,
    /// The bytes, in the arena.
    pub chunk: &'a [u8],
    /// What of them is complete, and the line that earlier reads began.
    pub frames: &'a Frames,
    /// Who sent them.
    pub origin: Origin<'a>,
    /// When, in nanoseconds since the epoch.
    pub received_ns: u64,
    /// The position of the arena behind the record of the chunk.
    pub mark: u64,
    /// Workers have died of these frames: they are no events any more, whatever they are.
    pub is_harmful: bool,
}

/// What takes the frames.
pub trait Intake {
    /// Whether more can be taken now. When not, nothing more is read.
    fn has_room(&self) -> bool;
    /// Takes one read. The frames are gone from the sockets, so this cannot fail. Returns how many
    /// of them become dead letters, and the bytes that are kept of these.
    fn take(&mut self, read: &Read<'_>) -> Load;
    /// So many events of a listener (by its index in the region) were read and are not taken, for
    /// the reason with that index within `ingest_events_dropped_total`; the record ends at `mark`.
    fn discard(&mut self, listener: usize, reason: usize, events: u64, mark: u64);
    /// So many events of a listener were submitted to a predecessor and are not handed on again, for
    /// nobody was told that they are durable; the record ends at `mark`.
    fn forgo(&mut self, listener: usize, events: u64, mark: u64);
    /// All of the record that ends at a position was taken or discarded.
    fn complete(&mut self, mark: u64);
    /// Whether nothing that was taken is on its way.
    fn is_idle(&self) -> bool;
    /// What a predecessor left is handed on.
    fn end_replay(&mut self);
    /// There is no time left: what is taken from here on is lost.
    fn forfeit(&mut self);
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
