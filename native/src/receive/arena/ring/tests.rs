use std::os::fd::AsRawFd;

use super::*;
use crate::frame::{Framer, Frames};
use crate::receive::Sender;
use crate::receive::arena::{Description, State};
use crate::receive::socket::zeroed;

fn arena() -> Arc<Arena> {
    Arc::new(Arena::attach(Arena::create(0).unwrap().as_raw_fd()).unwrap())
}

/// Reads `bytes` of the connection at a place; the position behind the record.
fn read(ring: &mut Ring, place: usize, framer: &mut Framer, bytes: &[u8]) -> Option<u64> {
    ring.reserve(bytes.len())?.copy_from_slice(bytes);
    framer.feed(bytes, 1 << 24, &mut Frames::default());
    let mut record = Record::new(Kind::Stream, place, bytes.len(), 7);
    record.note(framer);
    let end = ring.commit(record);
    ring.consume(end);
    Some(end)
}

fn open(arena: &Arena, place: usize) {
    let sender = Sender::default();
    let state = State::Movable;
    let of = Description { descriptor: 9, listener: 0, sender: &sender, state };
    arena.table().open(place, &of, &Framer::default(), 0, 0);
}

/// The ring refuses to write over what is not durable, and goes on once it is; what was read is
/// there as it was, also behind the end of the ring.
#[test]
fn undurable_records_are_never_written_over() {
    let arena = arena();
    open(&arena, 0);
    let mut ring = Ring::new(Arc::clone(&arena), 0);
    let mut framer = Framer::default();
    let third = vec![b'x'; arena.capacity() / 3];
    let first = read(&mut ring, 0, &mut framer, &third).unwrap();
    read(&mut ring, 0, &mut framer, &third).unwrap();
    assert!(read(&mut ring, 0, &mut framer, &third).is_none());
    ring.release(first);
    // It does not fit behind the second: a record says so.
    let skip = ring.received();
    let end = read(&mut ring, 0, &mut framer, &third[1..]).unwrap();
    let (record, begin) = ring.record(skip);
    assert_eq!((record.kind(), begin % arena.capacity() as u64), (Some(Kind::Skip), 0));
    let (record, behind) = ring.record(begin);
    assert_eq!((ring.bytes(begin, &record), behind), (&third[1..], end));
    assert!(read(&mut ring, 0, &mut framer, &third).is_none());
}

/// A ring that was idle for a while takes no memory, but for what is not durable, and goes on.
#[test]
fn an_idle_ring_takes_no_memory() {
    let arena = arena();
    open(&arena, 0);
    let mut ring = Ring::new(Arc::clone(&arena), 0);
    let mut framer = Framer::default();
    // Of a line whose end has not come a copy would stay in the table.
    let mut bytes = vec![b'x'; arena.capacity() / 3];
    bytes.push(b'\n');
    let blocks = || {
        let mut status: libc::stat = zeroed();
        // SAFETY: the status is a valid place for the kernel to write to.
        assert_eq!(unsafe { libc::fstat(arena.fileno(), &raw mut status) }, 0);
        usize::try_from(status.st_blocks).unwrap() * 512
    };
    let end = read(&mut ring, 0, &mut framer, &bytes).unwrap();
    ring.tend(1);
    ring.tend(1 + IDLE_NS);
    assert!(blocks() > bytes.len());
    ring.release(end);
    ring.tend(IDLE_NS);
    assert!(blocks() > bytes.len());
    ring.tend(1 + IDLE_NS);
    assert!(blocks() < bytes.len() / 10);
    read(&mut ring, 0, &mut framer, &bytes[1..]).unwrap();
    let (record, _) = ring.record(end);
    assert_eq!(ring.bytes(end, &record), &bytes[1..]);
}

/// What was reserved and not used, as when a connection ends, leaves nothing behind.
#[test]
fn unused_reservations_take_no_room() {
    let arena = arena();
    let mut ring = Ring::new(Arc::clone(&arena), 0);
    for _ in 0..10 {
        assert!(ring.reserve(arena.capacity() / 2).is_some());
        assert_eq!(ring.pending(), 0);
    }
}

/// What was not handed on is not durable, whatever the journal says, and a successor finds it.
#[test]
fn what_was_not_handed_on_stays() {
    let arena = arena();
    open(&arena, 3);
    let mut ring = Ring::new(Arc::clone(&arena), 0);
    let begin = ring.received();
    ring.reserve(10).unwrap();
    let end = ring.commit(Record::new(Kind::Stream, 3, 10, 0));
    ring.release(u64::MAX);
    assert_eq!((ring.durable(), ring.pending()), (begin, end - begin));
    drop(ring);
    let successor = Ring::new(Arc::clone(&arena), u64::MAX);
    assert_eq!((successor.consumed(), successor.received()), (begin, end));
}

/// A new ring begins behind a mark, so that no mark of a journal means something in it.
#[test]
fn positions_go_on_behind_the_marks_of_the_journals() {
    let arena = arena();
    let capacity = arena.capacity() as u64;
    let ring = Ring::new(Arc::clone(&arena), 5 * capacity + 64);
    assert_eq!((ring.received(), arena.counted()), (7 * capacity, 7 * capacity));
}

/// Whatever part of a release a death has let happen, a successor ends it: the base is the framing
/// state behind the last durable record.
#[test]
fn a_release_that_was_torn_is_done_again() {
    for torn in 0..4 {
        let arena = arena();
        open(&arena, 0);
        let mut ring = Ring::new(Arc::clone(&arena), 0);
        let mut framer = Framer::default();
        let reads: [&[u8]; 4] = [b"{\n<1", b"3>", b"5\n12 <1", b"3>abc"];
        let ends = reads.map(|bytes| read(&mut ring, 0, &mut framer, bytes).unwrap());
        arena.header().releasing.store(ends[3], Ordering::Release);
        let mut at = ring.durable();
        for _ in 0..torn {
            let (record, end) = ring.record(at);
            arena.table().advance(0, end, &record, ring.bytes(at, &record));
            at = end;
        }
        let successor = Ring::new(Arc::clone(&arena), 0);
        assert_eq!(successor.durable(), ends[3]);
        let base = arena.table().content(0);
        assert_eq!((base.framer.state(), base.framer.bytes()), (framer.state(), framer.bytes()));
        assert_eq!(base.received_ns, 7);
    }
}

/// Of a long partial frame nothing stays in memory when it is over.
#[test]
fn long_partial_frames_give_their_memory_back() {
    let arena = arena();
    let blocks = || {
        // SAFETY: an all-zero stat is a valid value, and a valid place for the kernel to write to.
        unsafe {
            let mut status: libc::stat = std::mem::zeroed();
            assert_eq!(libc::fstat(arena.fileno(), &raw mut status), 0);
            status.st_blocks
        }
    };
    open(&arena, 0);
    let mut ring = Ring::new(Arc::clone(&arena), 0);
    let mut framer = Framer::default();
    let part = vec![b'x'; 200_000];
    // As much of the ring as will be used is in memory.
    while ring.received() < 3 * arena.capacity() as u64 {
        let end = read(&mut ring, 0, &mut framer, b"\n").unwrap();
        ring.release(end);
        if ring.received().is_multiple_of(4096) {
            ring.reserve(4096).unwrap().fill(0);
        }
    }
    let before = blocks();
    for bytes in [&part[..]; 20] {
        let end = read(&mut ring, 0, &mut framer, bytes).unwrap();
        ring.release(end);
    }
    assert_eq!(arena.table().content(0).framer.bytes().len(), 4_000_000);
    assert!(blocks() > before + 3_000_000 / 512);
    let end = read(&mut ring, 0, &mut framer, b"\n").unwrap();
    ring.release(end);
    assert!(blocks() < before + 1_000_000 / 512);
}
