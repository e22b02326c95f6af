//! What the worker tells its holder, in memory that both have mapped since before they parted.

use std::os::fd::RawFd;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicUsize, Ordering};

use super::Errand;
use crate::counters::MAXIMUM_LISTENERS;
use crate::error::{Error, Result};

#[repr(C)]
struct Cells {
    is_written: AtomicBool,
    lifeline: AtomicI32,
    outbox: AtomicI32,
    arena: AtomicI32,
    listeners: AtomicUsize,
    listener: [(AtomicUsize, AtomicI32); MAXIMUM_LISTENERS],
}

/// A place for one errand.
pub(super) struct SharedErrand(NonNull<Cells>);

// SAFETY: the mapping is only accessed through atomics.
unsafe impl Send for SharedErrand {}
// SAFETY: as above.
unsafe impl Sync for SharedErrand {}

impl SharedErrand {
    pub(super) fn new() -> Result<Self> {
        let protection = libc::PROT_READ | libc::PROT_WRITE;
        let flags = libc::MAP_SHARED | libc::MAP_ANONYMOUS;
        // SAFETY: a fresh anonymous mapping at an address of the kernel's choice.
        let base = unsafe {
            libc::mmap(std::ptr::null_mut(), size_of::<Cells>(), protection, flags, -1, 0)
        };
        if base == libc::MAP_FAILED {
            return Err(Error::last_os("map memory for an errand"));
        }
        NonNull::new(base.cast()).map(Self).ok_or_else(|| Error::Layout("mapped at zero".into()))
    }

    fn cells(&self) -> &Cells {
        // SAFETY: the mapping is page aligned and as long as the cells, for which zero is valid; it
        // stays until the process ends.
        unsafe { self.0.as_ref() }
    }

    /// Leaves an errand to whoever reads it.
    pub(super) fn write(&self, errand: &Errand) -> Result<()> {
        let cells = self.cells();
        let Errand { lifeline, outbox, arena, listeners } = errand;
        if listeners.len() > MAXIMUM_LISTENERS || cells.is_written.load(Ordering::Acquire) {
            return Err(Error::Invalid("a second errand, or too many listeners".into()));
        }
        cells.lifeline.store(*lifeline, Ordering::Relaxed);
        cells.outbox.store(*outbox, Ordering::Relaxed);
        cells.arena.store(*arena, Ordering::Relaxed);
        cells.listeners.store(listeners.len(), Ordering::Relaxed);
        for ((index, descriptor), cell) in listeners.iter().zip(&cells.listener) {
            cell.0.store(*index, Ordering::Relaxed);
            cell.1.store(*descriptor, Ordering::Relaxed);
        }
        cells.is_written.store(true, Ordering::Release);
        Ok(())
    }

    /// The errand, if one was written as a whole.
    pub(super) fn read(&self) -> Option<Errand> {
        let cells = self.cells();
        if !cells.is_written.load(Ordering::Acquire) {
            return None;
        }
        let number = |cell: &AtomicUsize| cell.load(Ordering::Relaxed);
        let descriptor = |cell: &AtomicI32| -> RawFd { cell.load(Ordering::Relaxed) };
        let listeners = &cells.listener[..number(&cells.listeners).min(MAXIMUM_LISTENERS)];
        Some(Errand {
            lifeline: descriptor(&cells.lifeline),
            outbox: descriptor(&cells.outbox),
            arena: descriptor(&cells.arena),
            listeners: listeners
                .iter()
                .map(|cell| (number(&cell.0), descriptor(&cell.1)))
                .collect(),
        })
    }
}
