//! The table of connections: what of each has to outlive its worker. A place in it is the place of
//! the connection in the worker. Its base is the framing state as of the durable position.
//!
//! An entry is written by the worker, or by what comes after its death; its state is stored last when
//! it is opened and first when it ends, so that what is open is whole.

use std::os::fd::RawFd;
use std::sync::Arc;

use super::entry::{BROKEN, Entry, State, TAKES_TURNS, get, set, size};
use super::{Arena, IDENTITY_BYTES, PAGE, PARTIAL_BYTES, Record};
use crate::frame::{FrameState, Framer};
use crate::receive::Sender;

/// Connections that one worker can have.
pub const PLACES: usize = 65_536;
/// The memory behind a partial frame is given back where it is more than this: less would cost more
/// system calls than it is worth.
const SPARE_PARTIAL: usize = 16 * 1024;

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
        let most = kept.next_multiple_of(PAGE) + SPARE_PARTIAL;
        if get(&base.touched) > most as u64 {
            self.give_back(place, most);
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

    /// Gives the memory of a partial frame back, but for its beginning of some pages.
    fn give_back(self, place: usize, kept: usize) {
        let touched = &self.entry(place).base.touched;
        let length = size(touched, PARTIAL_BYTES).next_multiple_of(PAGE);
        if length > kept {
            let partial = self.arena.layout.partials() + place * PARTIAL_BYTES;
            self.arena.give_back(partial + kept, length - kept);
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

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;
    use std::os::fd::AsRawFd;

    use super::super::Kind;
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

    /// A base takes the memory of the partial frame that is there now, whatever was there before.
    #[test]
    fn a_frame_that_ended_gives_its_memory_back() {
        let arena = Arena::create(0).map(|made| Arena::attach(made.as_raw_fd()).unwrap()).unwrap();
        let blocks = || {
            // SAFETY: an all-zero stat is a valid place for the kernel to write to.
            let mut status: libc::stat = unsafe { std::mem::zeroed() };
            // SAFETY: as above.
            assert_eq!(unsafe { libc::fstat(arena.fileno(), &raw mut status) }, 0);
            usize::try_from(status.st_blocks).unwrap() * 512
        };
        let (mut framer, mut whole) = (Framer::default(), Frames::default());
        let of = Description {
            descriptor: 12,
            listener: 0,
            sender: &Sender::default(),
            state: State::Movable,
        };
        arena.table().open(0, &of, &framer, 0, 0);
        let before = blocks();
        let long = vec![b'x'; 200_000];
        for (position, chunk, most) in
            [(64, &long[..], 200_000 + PAGE), (128, b"\nshort", 2 * PAGE + SPARE_PARTIAL)]
        {
            framer.feed(chunk, PARTIAL_BYTES, &mut whole);
            let mut record = Record::new(Kind::Stream, 0, chunk.len(), 0);
            record.note(&framer);
            arena.table().advance(0, position, &record, chunk);
            assert!(blocks() - before <= most, "{} bytes", blocks() - before);
            assert_eq!(arena.table().content(0).framer.bytes(), framer.bytes());
        }
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
