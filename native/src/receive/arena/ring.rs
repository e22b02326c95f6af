//! The ring of records that sockets are read into. They stay until what they became is durable, so
//! the ring is also the bound of what a worker can have read and not yet stored.
//!
//! A position only grows, over the whole life of a shard; it lies at `position % capacity`, and no
//! record crosses the end of the ring. `durable ≤ consumed ≤ received ≤ durable + capacity`. Read
//! but not consumed are bytes that have not been framed and decoded by this worker; consumed but
//! not durable are events on their way.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::record::{ALIGNMENT, Kind, Record};
use super::{Arena, Layout};

/// The memory of a ring into which nothing was read for so long is given back.
const IDLE_NS: u64 = 10_000_000_000;

/// The one side that writes to the ring of an arena.
pub struct Ring {
    arena: Arc<Arena>,
    /// Position of the last reservation.
    reserved: u64,
    /// What was received when [`Self::tend`] last found something new, and when that was.
    newest_received: u64,
    newest_at_ns: u64,
    /// Whether its memory may be resident.
    is_touched: bool,
}

impl Ring {
    /// Takes the ring over as it was left: nothing of what was received is consumed.
    ///
    /// `mark`: in a ring that is new, positions go on behind it.
    pub fn new(arena: Arc<Arena>, mark: u64) -> Self {
        let (header, capacity) = (arena.header(), arena.capacity() as u64);
        if header.received.load(Ordering::Acquire) == 0 {
            let begin = mark.next_multiple_of(capacity) + capacity;
            header.durable.store(begin, Ordering::Release);
            header.cycle.store(begin, Ordering::Release);
            header.received.store(begin, Ordering::Release);
        }
        let mut ring =
            Self { arena, reserved: 0, newest_received: 0, newest_at_ns: 0, is_touched: true };
        // A predecessor died while it advanced the bases: it had consumed what it passed.
        let releasing = ring.arena.header().releasing.load(Ordering::Acquire);
        let consumed = ring.durable().max(releasing.min(ring.received()));
        ring.arena.header().consumed.store(consumed, Ordering::Release);
        ring.release(consumed);
        ring.reserved = ring.received();
        ring
    }

    /// Position behind the last record.
    pub fn received(&self) -> u64 {
        self.arena.header().received.load(Ordering::Relaxed)
    }

    /// Position behind the last record that was handed on.
    pub fn consumed(&self) -> u64 {
        self.arena.header().consumed.load(Ordering::Relaxed)
    }

    /// Position behind the last record that nobody needs any more.
    pub fn durable(&self) -> u64 {
        self.arena.header().durable.load(Ordering::Relaxed)
    }

    /// Bytes between the durable and the received position.
    pub fn pending(&self) -> u64 {
        self.received() - self.durable()
    }

    /// A contiguous place for a record with up to `length` bytes behind what was received, or
    /// `None` when that much is not free.
    pub fn reserve(&mut self, length: usize) -> Option<&mut [u8]> {
        self.reserved = self.place(length)?;
        let body = self.at(self.reserved + ALIGNMENT as u64);
        // SAFETY: `place` keeps the record within the ring, whose bytes are initialised (a file
        // reads as zeros), and `&mut self` makes this the only reference.
        Some(unsafe { std::slice::from_raw_parts_mut(body, length) })
    }

    /// Position of the next record of that length. Where it would cross the end of the ring, the
    /// rest of that is passed over.
    fn place(&self, length: usize) -> Option<u64> {
        let capacity = self.arena.capacity() as u64;
        let size = (ALIGNMENT + length).next_multiple_of(ALIGNMENT) as u64;
        let received = self.received();
        let offset = received % capacity;
        let skipped = if offset + size > capacity { capacity - offset } else { 0 };
        let free = self.pending() + skipped + size <= capacity;
        free.then_some(received + skipped)
    }

    /// Whether [`Self::reserve`] would succeed.
    pub fn has_room(&self, length: usize) -> bool {
        self.place(length).is_some()
    }

    /// Where the record of the last reservation begins.
    pub fn reserved(&self) -> u64 {
        self.reserved
    }

    /// The first bytes of the last reservation.
    pub fn reservation(&self, length: usize) -> &[u8] {
        debug_assert!(self.reserved >= self.received());
        // SAFETY: as of `reserve`, with a length that is no more.
        unsafe { std::slice::from_raw_parts(self.at(self.reserved + ALIGNMENT as u64), length) }
    }

    /// The first bytes of the last reservation, to be written.
    pub fn reservation_mut(&mut self, length: usize) -> &mut [u8] {
        debug_assert!(self.reserved >= self.received());
        let body = self.at(self.reserved + ALIGNMENT as u64);
        // SAFETY: as of `reserve`, with a length that is no more.
        unsafe { std::slice::from_raw_parts_mut(body, length) }
    }

    /// Makes the last reservation part of what was received; returns the position behind it.
    pub fn commit(&mut self, record: Record) -> u64 {
        let received = self.received();
        if self.reserved > received {
            #[allow(clippy::cast_possible_truncation)] // less than the ring
            let rest = (self.reserved - received) as usize - ALIGNMENT;
            self.write(received, Record::new(Kind::Skip, 0, rest, 0));
        }
        self.write(self.reserved, record);
        let end = self.reserved + record.size();
        self.arena.header().received.store(end, Ordering::Release);
        end
    }

    /// Goes back to a reservation that a predecessor had made and not committed.
    pub fn resume(&mut self, position: u64) -> bool {
        let received = self.received();
        let wrapped = received.next_multiple_of(self.arena.capacity() as u64);
        let is_one = position == received || position == wrapped;
        self.reserved = if is_one { position } else { self.received() };
        is_one
    }

    /// The record at a position below what was received, and the position behind it.
    pub fn record(&self, position: u64) -> (Record, u64) {
        debug_assert!(position < self.received());
        // SAFETY: a record was written there; every value is one of its plain integers.
        let record = unsafe { self.at::<Record>(position).read() };
        (record, position + record.size())
    }

    /// Writes the header of a record that was received anew.
    pub fn write(&mut self, position: u64, record: Record) {
        // SAFETY: positions of records are aligned like records and lie within the ring.
        unsafe { self.at::<Record>(position).write(record) };
    }

    /// The bytes of a record.
    pub fn bytes(&self, position: u64, record: &Record) -> &[u8] {
        self.part(position, 0, record.length as usize)
    }

    /// The table behind the bytes of a record.
    pub fn table(&self, position: u64, record: &Record) -> &[u8] {
        self.part(position, record.length as usize, record.table as usize)
    }

    fn part(&self, position: u64, from: usize, length: usize) -> &[u8] {
        let capacity = self.arena.capacity();
        #[allow(clippy::cast_possible_truncation)] // less than the capacity
        let offset = (position % capacity as u64) as usize + ALIGNMENT + from;
        assert!(offset + length <= capacity, "not a record");
        // SAFETY: within the ring by the assertion; written before `commit`, and not again
        // before `release` has passed it, which takes `&mut self`.
        unsafe { std::slice::from_raw_parts(self.arena.at::<u8>(Layout::RING + offset), length) }
    }

    /// The records below a position have been handed on.
    pub fn consume(&mut self, position: u64) {
        self.arena.header().consumed.store(position, Ordering::Release);
    }

    /// Everything below `position` is durable: the bases advance, and then the bytes may be written
    /// over. A death in between is made good by doing it again.
    pub fn release(&mut self, position: u64) {
        let position = position.min(self.consumed());
        let mut at = self.durable();
        if position <= at {
            return;
        }
        self.arena.header().releasing.store(position, Ordering::Release);
        while at < position {
            let (record, end) = self.record(at);
            if end > position {
                break;
            }
            if matches!(record.kind(), Some(Kind::Stream | Kind::End | Kind::Cut)) {
                let chunk = self.bytes(at, &record);
                self.arena.table().advance(record.subject as usize, end, &record, chunk);
            }
            at = end;
        }
        self.arena.header().durable.store(at, Ordering::Release);
    }

    /// Looks from time to time, by a monotonic clock, whether the ring is idle, and gives its memory
    /// back then.
    pub fn tend(&mut self, now_ns: u64) {
        let received = self.received();
        if received != self.newest_received {
            (self.newest_received, self.newest_at_ns) = (received, now_ns);
            self.is_touched = true;
        }
        let is_idle = self.pending() == 0 && now_ns.saturating_sub(self.newest_at_ns) >= IDLE_NS;
        if is_idle && self.is_touched {
            self.arena.give_back(Layout::RING, self.arena.capacity());
            self.is_touched = false;
        }
    }

    /// Nothing of what was received is needed any more.
    pub fn clear(&mut self) {
        let received = self.received();
        self.consume(received);
        self.arena.header().releasing.store(received, Ordering::Release);
        self.arena.header().durable.store(received, Ordering::Release);
        self.arena.complete_cycle(received);
    }

    fn at<T>(&self, position: u64) -> *mut T {
        #[allow(clippy::cast_possible_truncation)] // less than the capacity
        let offset = (position % self.arena.capacity() as u64) as usize;
        self.arena.at(Layout::RING + offset)
    }
}

#[cfg(test)]
mod tests;
