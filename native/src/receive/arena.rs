//! The ring that sockets are read into. Bytes stay until what they became is durable, so
//! the ring is also the bound of what a worker can have read and not yet stored.
//!
//! ```text
//! page 0   received · consumed · durable: byte positions that only grow (3 × u64)
//! page 1…  the ring; position p lies at p % capacity, and no read crosses its end
//! ```
//! `durable ≤ consumed ≤ received ≤ durable + capacity`. Read but not consumed are bytes
//! that have not been framed and decoded; consumed but not durable are events on their way.

use std::ffi::c_void;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::error::{Error, Result};

const PAGE: usize = 4096;

#[repr(C)]
struct Positions {
    received: AtomicU64,
    consumed: AtomicU64,
    durable: AtomicU64,
}

/// A ring of receive memory with its positions.
pub struct Arena {
    base: NonNull<u8>,
    capacity: usize,
    /// Position of the last reservation.
    reserved: u64,
}

// SAFETY: the mapping belongs to this value alone, and writing to it takes `&mut self`.
unsafe impl Send for Arena {}

impl Arena {
    /// Maps a ring of at least `capacity` bytes.
    ///
    /// # Errors
    /// [`Error::Io`] when the memory cannot be had.
    pub fn new(capacity: usize) -> Result<Self> {
        let capacity = capacity.next_multiple_of(PAGE);
        let protection = libc::PROT_READ | libc::PROT_WRITE;
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
        // SAFETY: a fresh anonymous mapping at an address of the kernel's choice.
        let base =
            unsafe { libc::mmap(std::ptr::null_mut(), PAGE + capacity, protection, flags, -1, 0) };
        if base == libc::MAP_FAILED {
            return Err(Error::last_os(format!("map an arena of {capacity} bytes")));
        }
        NonNull::new(base.cast::<u8>())
            .map(|base| Self { base, capacity, reserved: 0 })
            .ok_or_else(|| Error::Layout("mapped at zero".into()))
    }

    fn positions(&self) -> &Positions {
        // SAFETY: page 0 of the mapping is page aligned, holds three u64 that start at zero,
        // and is only accessed as atomics.
        unsafe { self.base.cast::<Positions>().as_ref() }
    }

    /// Position behind the last byte read.
    pub fn received(&self) -> u64 {
        self.positions().received.load(Ordering::Relaxed)
    }

    /// Position behind the last byte handed on.
    pub fn consumed(&self) -> u64 {
        self.positions().consumed.load(Ordering::Relaxed)
    }

    /// Position below which everything is durable.
    pub fn durable(&self) -> u64 {
        self.positions().durable.load(Ordering::Relaxed)
    }

    /// Bytes that the ring holds at most.
    pub fn capacity(&self) -> usize {
        self.capacity
    }

    /// Bytes between the durable and the received position.
    pub fn pending(&self) -> u64 {
        self.received() - self.durable()
    }

    /// A contiguous place for up to `length` bytes behind what was received, or `None` when
    /// that much is not free.
    pub fn reserve(&mut self, length: usize) -> Option<&mut [u8]> {
        self.reserved = self.place(length)?;
        let offset = usize::try_from(self.reserved % self.capacity as u64).ok()?;
        // SAFETY: `place` keeps `offset + length` within the ring, whose bytes are initialised
        // (zero pages), and `&mut self` makes this the only reference.
        Some(unsafe {
            std::slice::from_raw_parts_mut(self.base.as_ptr().add(PAGE + offset), length)
        })
    }

    /// Position for the next `length` bytes. Where they would cross the end of the ring, the
    /// rest of it is passed over.
    fn place(&self, length: usize) -> Option<u64> {
        let capacity = self.capacity as u64;
        let received = self.received();
        let offset = received % capacity;
        let skipped = if offset + length as u64 > capacity { capacity - offset } else { 0 };
        let free = self.pending() + skipped + length as u64 <= capacity;
        free.then_some(received + skipped)
    }

    /// Whether [`Self::reserve`] would succeed.
    pub fn has_room(&self, length: usize) -> bool {
        self.place(length).is_some()
    }

    /// Makes the first `length` bytes of the last reservation part of what was received and
    /// returns their position in the ring.
    pub fn commit(&mut self, length: usize) -> u64 {
        self.positions().received.store(self.reserved + length as u64, Ordering::Release);
        self.reserved
    }

    /// The received bytes from `start` on.
    ///
    /// # Panics
    /// For bytes that were not received in one read: a mistake of the program.
    pub fn chunk(&self, start: u64, length: usize) -> &[u8] {
        assert!(start + length as u64 <= self.received(), "not received");
        let offset = usize::try_from(start % self.capacity as u64).unwrap_or(usize::MAX);
        assert!(offset + length <= self.capacity, "not contiguous");
        // SAFETY: within the ring by the assertions; written before `commit`, and not again
        // before `release` has passed it, which takes `&mut self`.
        unsafe { std::slice::from_raw_parts(self.base.as_ptr().add(PAGE + offset), length) }
    }

    /// Everything received has been handed on.
    pub fn consume(&mut self) {
        self.positions().consumed.store(self.received(), Ordering::Release);
    }

    /// Everything below `position` is durable, so its bytes may be written over.
    pub fn release(&mut self, position: u64) {
        let position = position.min(self.consumed());
        self.positions().durable.fetch_max(position, Ordering::AcqRel);
    }
}

impl Drop for Arena {
    fn drop(&mut self) {
        // SAFETY: the mapping was made by `new` with this length and ends with `self`.
        unsafe { libc::munmap(self.base.as_ptr().cast::<c_void>(), PAGE + self.capacity) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(arena: &mut Arena, reserve: usize, bytes: &[u8]) -> Option<u64> {
        arena.reserve(reserve)?[..bytes.len()].copy_from_slice(bytes);
        Some(arena.commit(bytes.len()))
    }

    /// The ring refuses to write over what is not durable, and goes on once it is.
    #[test]
    fn undurable_bytes_are_never_written_over() {
        let mut arena = Arena::new(4 * PAGE).unwrap();
        let page = [7u8; PAGE];
        let starts: Vec<u64> = std::iter::from_fn(|| write(&mut arena, PAGE, &page)).collect();
        assert_eq!(starts.len(), 4);
        arena.consume();
        assert!(write(&mut arena, PAGE, &page).is_none());
        arena.release(starts[1]);
        let start = write(&mut arena, PAGE, &[9u8; 3]).unwrap();
        assert_eq!(arena.chunk(start, 3), [9u8; 3]);
        assert_eq!(arena.chunk(starts[1], PAGE), page);
    }

    /// What was reserved and not used, as when a connection ends, leaves nothing behind.
    #[test]
    fn unused_reservations_take_no_room() {
        let mut arena = Arena::new(4 * PAGE).unwrap();
        write(&mut arena, 3 * PAGE, &[1; 3 * PAGE - 1]).unwrap();
        arena.consume();
        arena.release(u64::MAX);
        for _ in 0..10 {
            // It would cross the end of the ring, so it lies at the beginning.
            assert!(arena.reserve(2 * PAGE).is_some());
            assert_eq!(arena.pending(), 0);
        }
    }

    /// A reservation never crosses the end of the ring.
    #[test]
    fn reservations_are_contiguous() {
        let mut arena = Arena::new(4 * PAGE).unwrap();
        for round in 0..100u8 {
            let bytes = vec![round; 3000];
            let start = write(&mut arena, PAGE, &bytes).unwrap();
            assert_eq!(arena.chunk(start, 3000), bytes);
            arena.consume();
            arena.release(u64::MAX);
            assert_eq!(arena.pending(), 0);
        }
    }

    /// What has not been consumed is not durable, whatever the journal says.
    #[test]
    fn release_stops_at_the_consumed_position() {
        let mut arena = Arena::new(2 * PAGE).unwrap();
        write(&mut arena, 10, b"unread").unwrap();
        arena.release(u64::MAX);
        assert_eq!(arena.pending(), 6);
    }
}
