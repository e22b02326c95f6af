//! The receipts of connections that are on their way, and what a successor makes of them.

use std::os::fd::RawFd;
use std::sync::atomic::Ordering;

use super::receipts::{NOTHING, Sending};
use super::{Arena, State};
use crate::counters::Region;

impl Arena {
    /// The message from the inbox is done with.
    pub fn end_message(&self) {
        // SAFETY: an atomic in the mapping.
        unsafe { (*self.receipts()).receiving.in_work.store(0, Ordering::Release) };
    }

    fn sending(&self) -> *mut Sending {
        // SAFETY: the receipts lie in the mapping.
        unsafe { &raw mut (*self.receipts()).sending }
    }

    /// Notes which connections are about to be sent; returns where the kernel is to write whether
    /// they were. To be called by the worker alone.
    pub fn begin_move(&self, descriptors: &[RawFd]) -> *mut libc::mmsghdr {
        let sending = self.sending();
        // SAFETY: the fields are atomics in the mapping, except for the length, which nobody else
        // writes to while nothing is in work.
        unsafe {
            for (cell, descriptor) in (*sending).descriptors.iter().zip(descriptors) {
                cell.store(descriptor.cast_unsigned(), Ordering::Relaxed);
            }
            (*sending).count.store(descriptors.len() as u64, Ordering::Relaxed);
            (&raw mut (*sending).header.msg_len).write_volatile(NOTHING);
            (*sending).in_work.store(1, Ordering::Release);
            &raw mut (*sending).header
        }
    }

    /// What was noted is not ours any more, or was not sent.
    pub fn end_move(&self) {
        // SAFETY: an atomic in the mapping.
        unsafe { (*self.sending()).in_work.store(0, Ordering::Release) };
    }

    /// After a death: marks the connections as gone that were sent and not marked; returns the
    /// descriptors of all that were sent.
    pub fn finish_move(&self) -> Vec<RawFd> {
        let sending = self.sending();
        // SAFETY: the fields are atomics in the mapping, and the worker that wrote the length is gone.
        let (in_work, was_sent, count) = unsafe {
            let length = (&raw const (*sending).header.msg_len).read_volatile();
            let count = (*sending).count.load(Ordering::Acquire);
            ((*sending).in_work.load(Ordering::Acquire), length != NOTHING, count)
        };
        if in_work == 0 || !was_sent {
            return Vec::new();
        }
        let count = usize::try_from(count).unwrap_or(usize::MAX);
        // SAFETY: as above.
        let cells = unsafe { &(*sending).descriptors };
        let sent = cells.iter().take(count).map(|cell| cell.load(Ordering::Acquire).cast_signed());
        let sent: Vec<RawFd> = sent.collect();
        let (table, position) = (self.table(), self.header().received.load(Ordering::Acquire));
        for place in table.open_places() {
            if sent.contains(&table.entry(place).descriptor()) {
                table.close(place, State::Departed, position);
            }
        }
        self.end_move();
        sent
    }

    /// For a successor, before anything is its own: brings to its end what the worker before it had
    /// begun, as far as the holder has not done so, and forgets the descriptors of that.
    pub fn inherit(&self, region: &Region, worker: usize) {
        self.finish_counting(region, worker);
        self.finish_move();
        // What nobody was left to send once more is gone.
        self.end_message();
        let table = self.table();
        for place in table.places() {
            table.entry(place).set_descriptor(-1);
        }
    }
}
