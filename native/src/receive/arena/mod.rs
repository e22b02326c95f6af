//! The memory of a worker slot: what was read and is not stored yet, with all that a successor needs
//! to go on where a worker was killed. The supervisor makes it, the worker and its holder map it.
//!
//! ```text
//! 0           header: magic, layout version, capacity of the ring, positions
//! images      what the counters said before the cycle in work, by listener
//! receipts    what the kernel writes: of reads, of connections that are sent and received
//! ring        records: what was read, until what it became is durable
//! entries     the table of connections, 256 bytes each
//! identities  what is known of their senders, as text: 4 KiB each
//! partials    the beginnings of their frames: 16 MiB each
//! ```
//! All but the first three are sparse: only pages that were written to take memory.

mod counting;
mod entry;
mod image;
mod moves;
mod reads;
mod receipts;
mod record;
mod ring;
mod table;

use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::ptr::NonNull;
use std::sync::atomic::AtomicU64;

pub use counting::Counted;
pub use entry::{Entry, State};
use image::Image;
pub(super) use reads::{Intent, Reads};
pub use receipts::{CONTROL_WORDS, DESCRIPTORS, MESSAGE_BYTES, NOTHING, Receipts};
pub(super) use record::{ALIGNMENT, Kind, Record};
pub(super) use ring::Ring;
pub(super) use table::{Content, Description};
pub use table::{PLACES, Table};

use super::datagrams::DATAGRAMS_BYTES;
use crate::counters::MAXIMUM_LISTENERS;
use crate::error::{Error, Result};

const MAGIC: u64 = u64::from_le_bytes(*b"INGESTAR");
const LAYOUT_VERSION: u64 = 1;
const PAGE: usize = 4096;
const IDENTITY_BYTES: usize = 4096;
/// The longest frame that a listener can be told to take.
const PARTIAL_BYTES: usize = 16 << 20;
/// The smallest ring in which every kind of read finds room.
const MINIMUM_CAPACITY: usize = 3 * (DATAGRAMS_BYTES + ALIGNMENT);
/// Bounds what a damaged header can make us map.
const MAXIMUM_CAPACITY: usize = 1 << 40;

/// The first page.
#[repr(C)]
struct Header {
    magic: AtomicU64,
    layout_version: AtomicU64,
    capacity: AtomicU64,
    /// Positions of the ring; 0 until it is taken over the first time.
    received: AtomicU64,
    consumed: AtomicU64,
    durable: AtomicU64,
    /// Where `durable` goes while the bases are advanced.
    releasing: AtomicU64,
    /// The cycle in work: the position where the last one ended, and a number in the last six bits.
    cycle: AtomicU64,
    /// The record with which a replay was last at the beginning of a cycle, and how often it was.
    attempted: AtomicU64,
    attempts: AtomicU64,
    /// Places of the table behind the last that was ever taken.
    places: AtomicU64,
}

/// Where everything lies, by the capacity of the ring.
#[derive(Debug, Clone, Copy)]
struct Layout {
    capacity: usize,
}

impl Layout {
    const IMAGES: usize = PAGE;
    const RECEIPTS: usize = Self::IMAGES + MAXIMUM_LISTENERS * size_of::<Image>();
    const RING: usize = Self::RECEIPTS + size_of::<Receipts>().next_multiple_of(PAGE);

    fn entries(self) -> usize {
        Self::RING + self.capacity
    }

    fn identities(self) -> usize {
        self.entries() + PLACES * size_of::<Entry>()
    }

    fn partials(self) -> usize {
        self.identities() + PLACES * IDENTITY_BYTES
    }

    fn length(self) -> usize {
        self.partials() + PLACES * PARTIAL_BYTES
    }
}

/// The mapped memory of a slot.
pub struct Arena {
    base: NonNull<u8>,
    layout: Layout,
    descriptor: OwnedFd,
}

// SAFETY: what several processes or threads touch is accessed as atomics; the rest has one owner,
// the receiver of the slot's worker.
unsafe impl Send for Arena {}
// SAFETY: as above.
unsafe impl Sync for Arena {}

impl Arena {
    /// Makes the memory for a ring of at least `capacity` bytes, and maps nothing: who supervises
    /// many workers has no use for it.
    ///
    /// # Errors
    /// [`Error::Invalid`] for an impossible size, [`Error::Io`] when the memory cannot be had.
    pub fn create(capacity: usize) -> Result<OwnedFd> {
        if capacity > MAXIMUM_CAPACITY {
            return Err(Error::Invalid(format!("an arena of {capacity} bytes")));
        }
        let capacity = capacity.max(MINIMUM_CAPACITY);
        let layout = Layout { capacity: capacity.next_multiple_of(PAGE) };
        // SAFETY: the name is a C string and the flags are constants.
        let raw = unsafe { libc::memfd_create(c"ingest-arena".as_ptr(), libc::MFD_CLOEXEC) };
        if raw < 0 {
            return Err(Error::last_os("create an arena"));
        }
        // SAFETY: `raw` was just returned by the kernel and has no other owner.
        let descriptor = unsafe { OwnedFd::from_raw_fd(raw) };
        let length = libc::off_t::try_from(layout.length())
            .map_err(|_| Error::Invalid(format!("an arena of {capacity} bytes")))?;
        // SAFETY: plain system call on an owned descriptor.
        if unsafe { libc::ftruncate(raw, length) } != 0 {
            return Err(Error::last_os(format!("create an arena of {capacity} bytes")));
        }
        let words = [MAGIC, LAYOUT_VERSION, layout.capacity as u64].map(u64::to_ne_bytes);
        let header = words.as_flattened();
        // SAFETY: the buffer is valid for its length.
        let written = unsafe { libc::pwrite(raw, header.as_ptr().cast(), header.len(), 0) };
        if usize::try_from(written) != Ok(header.len()) {
            return Err(Error::last_os("write to an arena"));
        }
        Ok(descriptor)
    }

    /// Maps memory that was made by [`Self::create`]. The descriptor is duplicated.
    ///
    /// # Errors
    /// [`Error::Layout`] when it was made by another layout of this program.
    pub fn attach(descriptor: RawFd) -> Result<Self> {
        // SAFETY: duplicating any integer is harmless; a bad one is an error of the kernel.
        let raw = unsafe { libc::fcntl(descriptor, libc::F_DUPFD_CLOEXEC, 3) };
        if raw < 0 {
            return Err(Error::last_os(format!("attach the arena at {descriptor}")));
        }
        // SAFETY: `raw` was just returned by the kernel and has no other owner.
        let descriptor = unsafe { OwnedFd::from_raw_fd(raw) };
        let mut header = [[0; 8]; 3];
        let place = header.as_flattened_mut();
        // SAFETY: the buffer is valid for its length.
        let count = unsafe { libc::pread(raw, place.as_mut_ptr().cast(), place.len(), 0) };
        let is_whole = usize::try_from(count) == Ok(place.len());
        let [magic, version, capacity] = header.map(u64::from_ne_bytes);
        let capacity = usize::try_from(capacity).unwrap_or(0);
        let is_ours = is_whole
            && (magic, version) == (MAGIC, LAYOUT_VERSION)
            && (1..=MAXIMUM_CAPACITY).contains(&capacity)
            && capacity.is_multiple_of(PAGE);
        if !is_ours {
            return Err(Error::Layout("made by another version of this program".into()));
        }
        Self::map(descriptor, Layout { capacity })
    }

    fn map(descriptor: OwnedFd, layout: Layout) -> Result<Self> {
        // SAFETY: an all-zero stat is a valid value of the plain C struct.
        let mut status: libc::stat = unsafe { std::mem::zeroed() };
        // SAFETY: `status` is a valid place for the kernel to write to.
        if unsafe { libc::fstat(descriptor.as_raw_fd(), &raw mut status) } != 0 {
            return Err(Error::last_os("size of the arena"));
        }
        if usize::try_from(status.st_size) != Ok(layout.length()) {
            return Err(Error::Layout("header and size disagree".into()));
        }
        let protection = libc::PROT_READ | libc::PROT_WRITE;
        let flags = libc::MAP_SHARED | libc::MAP_NORESERVE;
        // SAFETY: a fresh shared mapping at an address of the kernel's choice.
        let base = unsafe {
            let raw = descriptor.as_raw_fd();
            libc::mmap(std::ptr::null_mut(), layout.length(), protection, flags, raw, 0)
        };
        if base == libc::MAP_FAILED {
            return Err(Error::last_os("map an arena"));
        }
        NonNull::new(base.cast::<u8>())
            .map(|base| Self { base, layout, descriptor })
            .ok_or_else(|| Error::Layout("mapped at zero".into()))
    }

    /// The descriptor to hand to another process.
    pub fn fileno(&self) -> RawFd {
        self.descriptor.as_raw_fd()
    }

    /// Bytes of the ring.
    pub fn capacity(&self) -> usize {
        self.layout.capacity
    }

    fn header(&self) -> &Header {
        // SAFETY: page 0 of the mapping is page aligned and only accessed as atomics.
        unsafe { &*self.at(0) }
    }

    /// The table of connections.
    pub fn table(&self) -> Table<'_> {
        Table::new(self)
    }

    /// What the kernel writes to. Each part has one owner, who reaches it by this pointer only.
    pub fn receipts(&self) -> *mut Receipts {
        self.at(Layout::RECEIPTS)
    }

    /// Gives the memory of some pages back, which read as zeros then. Where it fails, they stay.
    fn give_back(&self, offset: usize, length: usize) {
        debug_assert!(offset.is_multiple_of(PAGE) && offset + length <= self.layout.length());
        // SAFETY: within the mapping; whoever calls it needs nothing of what is there.
        unsafe { libc::madvise(self.at::<u8>(offset).cast(), length, libc::MADV_REMOVE) };
    }

    /// A place of the mapping.
    fn at<T>(&self, offset: usize) -> *mut T {
        debug_assert!(offset + size_of::<T>() <= self.layout.length());
        // SAFETY: every offset of the layout lies within the mapping.
        unsafe { self.base.as_ptr().add(offset).cast() }
    }
}

impl Drop for Arena {
    fn drop(&mut self) {
        // SAFETY: the mapping was made by `map` with this length and ends with `self`.
        unsafe { libc::munmap(self.base.as_ptr().cast(), self.layout.length()) };
    }
}
