//! The table of connections: what of each has to outlive its worker. A place in it is the place of
//! the connection in the worker. Its base is the framing state as of the durable position.
//!
//! An entry is written by the worker, or by what comes after its death; its state is stored last when
//! it is opened and first when it ends, so that what is open is whole.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::os::fd::RawFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::{Arena, IDENTITY_BYTES, PAGE, PARTIAL_BYTES, Record};
use crate::frame::{FrameState, Framer};
use crate::receive::Sender;

/// Connections that one worker can have.
pub const PLACES: usize = 65_536;
/// A long partial frame gives its memory back, but for this.
const KEPT_PARTIAL: usize = 256 * 1024;

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
    state: AtomicU64,
    descriptor: AtomicU64,
    /// Index of the listener in the region.
    listener: AtomicU64,
    /// 0: no address; else 1 + the port.
    port: AtomicU64,
    address: [AtomicU64; 2],
    identity_length: AtomicU64,
    received_ns: AtomicU64,
    /// Whether the workers read it in turn; whether it broke.
    flags: AtomicU64,
    /// The position behind the last that was read of it, once it is gone.
    closed_at: AtomicU64,
    base: Base,
}

/// The framing state as of a position.
#[repr(C)]
#[derive(Debug)]
struct Base {
    position: AtomicU64,
    /// Terminator, and what the partial frame is, a byte each.
    kind: AtomicU64,
    length: AtomicU64,
    left: AtomicU64,
    /// How much of the partial frame is kept.
    kept: AtomicU64,
    /// How much of the memory for it was ever written since it was given back.
    touched: AtomicU64,
}

const TAKES_TURNS: u64 = 1;
const BROKEN: u64 = 2;

/// What does not change with each read of a connection.
pub(crate) struct Description<'a> {
    pub descriptor: RawFd,
    /// Index of its listener in the region.
    pub listener: usize,
    pub sender: &'a Sender,
    pub state: State,
}

/// What an entry says of a connection.
pub(crate) struct Content {
    /// Index of its listener in the region.
    pub listener: usize,
    pub sender: Sender,
    pub framer: Framer,
    pub received_ns: u64,
    pub takes_turns: bool,
    pub is_broken: bool,
}

fn get(cell: &AtomicU64) -> u64 {
    cell.load(Ordering::Acquire)
}

fn set(cell: &AtomicU64, value: u64) {
    cell.store(value, Ordering::Release);
}

fn size(cell: &AtomicU64, most: usize) -> usize {
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

    fn set_peer(&self, peer: Option<SocketAddr>) {
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

    /// Every place that is or was taken.
    pub fn places(self) -> std::ops::Range<usize> {
        0..size(&self.arena.header().places, PLACES)
    }

    /// The places of what is open.
    pub fn open_places(self) -> impl Iterator<Item = usize> + use<'a> {
        self.places().filter(move |place| self.entry(*place).state().is_open())
    }

    /// The descriptors of what is open, or was and may not be closed yet.
    pub fn descriptors(self) -> impl Iterator<Item = RawFd> + use<'a> {
        let taken = self.places().filter(move |place| self.entry(*place).state() != State::Free);
        taken.map(move |place| self.entry(place).descriptor()).filter(|descriptor| *descriptor >= 0)
    }

    /// Makes an entry for a connection whose framing state is that of a position.
    pub(crate) fn open(
        self,
        place: usize,
        of: &Description<'_>,
        framer: &Framer,
        received_ns: u64,
        position: u64,
    ) {
        let entry = self.entry(place);
        set(&entry.received_ns, received_ns);
        set(&entry.flags, 0);
        let (FrameState { terminator, partial, length, left }, bytes) =
            (framer.state(), framer.bytes());
        self.write_partial(place, 0, bytes);
        entry.base.store(terminator, partial, [length, left, bytes.len() as u64], position);
        let places = &self.arena.header().places;
        if get(places) <= place as u64 {
            set(places, place as u64 + 1);
        }
        self.describe(place, of);
    }

    /// Notes what is known of a connection now.
    pub(crate) fn describe(self, place: usize, of: &Description<'_>) {
        let entry = self.entry(place);
        entry.set_descriptor(of.descriptor);
        set(&entry.listener, of.listener as u64);
        entry.set_peer(of.sender.peer);
        let identity = of.sender.identity.as_deref().unwrap_or_default();
        // What would not fit is not known of after a death, which is better than half of it.
        let identity = if identity.len() > IDENTITY_BYTES { "" } else { identity };
        // SAFETY: the area of a place has IDENTITY_BYTES, and nobody else writes to it.
        unsafe {
            let to = self.identity(place);
            to.copy_from_nonoverlapping(identity.as_ptr(), identity.len());
        }
        set(&entry.identity_length, identity.len() as u64);
        entry.set_state(of.state);
    }

    /// A connection is gone, what was read of it ends at a position.
    pub(crate) fn close(self, place: usize, state: State, position: u64) {
        let entry = self.entry(place);
        set(&entry.closed_at, position);
        entry.set_state(state);
    }

    /// The place may be taken again.
    pub(crate) fn free(self, place: usize) {
        self.entry(place).set_state(State::Free);
        self.give_back(place, PAGE);
    }

    /// What an entry says, its framing state as of the durable position.
    pub(crate) fn content(self, place: usize) -> Content {
        let entry = self.entry(place);
        let identity = size(&entry.identity_length, IDENTITY_BYTES);
        // SAFETY: the area of a place has IDENTITY_BYTES, and nobody writes to it meanwhile.
        let identity = unsafe { std::slice::from_raw_parts(self.identity(place), identity) };
        let identity = std::str::from_utf8(identity).unwrap_or_default();
        let base = &entry.base;
        let kept = size(&base.kept, PARTIAL_BYTES);
        // SAFETY: likewise, of PARTIAL_BYTES.
        let bytes = unsafe { std::slice::from_raw_parts(self.partial(place), kept) };
        let [terminator, partial, ..] = get(&base.kind).to_le_bytes();
        let (length, left) = (get(&base.length), get(&base.left));
        let state = FrameState { terminator, partial, length, left };
        let flags = get(&entry.flags);
        Content {
            listener: entry.listener(),
            sender: Sender {
                peer: entry.peer(),
                identity: (!identity.is_empty()).then(|| Arc::from(identity)),
            },
            framer: Framer::from_state(state, bytes.to_vec()).unwrap_or_default(),
            received_ns: get(&entry.received_ns),
            takes_turns: flags & TAKES_TURNS != 0,
            is_broken: flags & BROKEN != 0,
        }
    }

    /// Advances the base of a connection over a record that ends at a position. The position is
    /// stored last; until then doing it again does the same.
    pub(super) fn advance(self, place: usize, position: u64, record: &Record, chunk: &[u8]) {
        let entry = self.entry(place);
        let base = &entry.base;
        if get(&base.position) >= position {
            return;
        }
        let (changes, kept) = record.redo(chunk);
        for (at, bytes) in changes {
            self.write_partial(place, at, bytes);
        }
        let FrameState { terminator, partial, length, left } = record.state();
        set(&entry.received_ns, record.received_ns);
        base.store(terminator, partial, [length, left, kept as u64], position);
        if kept == 0 && get(&base.touched) > KEPT_PARTIAL as u64 {
            self.give_back(place, KEPT_PARTIAL);
        }
    }

    fn write_partial(self, place: usize, at: usize, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        // No listener keeps more of a frame.
        let end = (at + bytes.len()).min(PARTIAL_BYTES);
        let bytes = &bytes[..end.saturating_sub(at)];
        let touched = &self.entry(place).base.touched;
        if get(touched) < end as u64 {
            set(touched, end as u64);
        }
        // SAFETY: the area of a place has PARTIAL_BYTES, and nobody else writes to it.
        unsafe {
            self.partial(place).add(at).copy_from_nonoverlapping(bytes.as_ptr(), bytes.len());
        };
    }

    /// Gives the memory of a partial frame back, but for its beginning.
    fn give_back(self, place: usize, kept: usize) {
        let touched = &self.entry(place).base.touched;
        let length = size(touched, PARTIAL_BYTES).next_multiple_of(PAGE);
        if length > kept {
            // SAFETY: within the area of the place; what is taken away reads as zeros. Where it
            // fails, the memory stays for the next who has the place.
            unsafe {
                let from = self.partial(place).add(kept).cast();
                libc::madvise(from, length - kept, libc::MADV_REMOVE);
            }
            set(touched, kept as u64);
        }
    }

    fn identity(self, place: usize) -> *mut u8 {
        self.arena.at(self.arena.layout.identities() + place * IDENTITY_BYTES)
    }

    fn partial(self, place: usize) -> *mut u8 {
        self.arena.at(self.arena.layout.partials() + place * PARTIAL_BYTES)
    }
}

impl Base {
    fn store(&self, terminator: u8, partial: u8, [length, left, kept]: [u64; 3], position: u64) {
        set(&self.kind, u64::from_le_bytes([terminator, partial, 0, 0, 0, 0, 0, 0]));
        set(&self.length, length);
        set(&self.left, left);
        set(&self.kept, kept);
        set(&self.position, position);
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsRawFd;

    use super::*;
    use crate::frame::Frames;

    /// What is said of a connection is found by whoever maps the memory anew, until it is freed.
    #[test]
    fn an_entry_says_what_a_connection_is() {
        let made = Arena::create(0).unwrap();
        let [first, second] = [0; 2].map(|_| Arena::attach(made.as_raw_fd()).unwrap());
        let peer: SocketAddr = "192.0.2.1:514".parse().unwrap();
        let sender = Sender { peer: Some(peer), identity: Some(Arc::from("\"uid\":0")) };
        let mut framer = Framer::default();
        framer.feed(b"whole\n7 <1", 100, &mut Frames::default());
        let state = State::Untouched;
        let of = Description { descriptor: 12, listener: 3, sender: &sender, state };
        first.table().open(70, &of, &framer, 5, 640);
        first.table().entry(70).note_turns(true);
        first.table().entry(70).note_broken();

        let table = second.table();
        assert_eq!(table.open_places().collect::<Vec<_>>(), [70]);
        assert_eq!(table.entry(70).descriptor(), 12);
        let found = table.content(70);
        assert_eq!((found.listener, &found.sender, found.received_ns), (3, &sender, 5));
        assert_eq!((found.framer.state(), found.framer.bytes()), (framer.state(), framer.bytes()));
        assert!(found.takes_turns && found.is_broken);
        table.close(70, State::Ended, 704);
        assert_eq!((first.table().entry(70).closed_at(), table.open_places().count()), (704, 0));
        table.free(70);
        assert_eq!(first.table().entry(70).state(), State::Free);
    }

    /// What is no arena, or of another layout, is refused.
    #[test]
    fn only_an_arena_is_attached() {
        let made = Arena::create(0).unwrap();
        for (offset, word) in [(8, 99_u64), (16, 4095), (0, 0)] {
            // SAFETY: the buffer is valid for its length.
            let written = unsafe {
                libc::pwrite(made.as_raw_fd(), word.to_ne_bytes().as_ptr().cast(), 8, offset)
            };
            assert_eq!(written, 8);
            assert!(Arena::attach(made.as_raw_fd()).is_err());
        }
        assert!(Arena::attach(-1).is_err());
    }
}
