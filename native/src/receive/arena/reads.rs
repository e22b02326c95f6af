//! Reads whose receipt the kernel writes into the arena: the one owner of [`Reading`].

use std::io;
use std::os::fd::RawFd;
use std::ptr::{NonNull, null_mut};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use super::Arena;
use super::receipts::{DATAGRAMS, NOTHING, Reading};
use crate::receive::datagrams::DatagramReceipt;
use crate::receive::socket::{Received, zeroed};

/// A read that came to something and of which no record was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Intent {
    /// So many bytes of the connection at a place.
    Stream { place: usize, length: usize },
    /// Datagrams of the listener with that index in the region.
    Datagrams { listener: usize },
}

/// What reads are received with.
pub(crate) struct Reads {
    arena: Arc<Arena>,
}

impl Reads {
    pub fn new(arena: Arc<Arena>) -> Self {
        Self { arena }
    }

    fn reading(&self) -> NonNull<Reading> {
        // SAFETY: the receipts are within the mapping, which is not at zero.
        unsafe { NonNull::new_unchecked(&raw mut (*self.arena.receipts()).reading) }
    }

    /// The intent, which only this side writes, and a successor reads after our death: the position
    /// of the record, and of what it will be.
    fn shared(&self) -> (&std::sync::atomic::AtomicU64, &std::sync::atomic::AtomicU64) {
        let reading = self.reading().as_ptr();
        // SAFETY: both are atomics within the mapping.
        unsafe { (&(*reading).position, &(*reading).subject) }
    }

    fn length(&self) -> &AtomicU32 {
        // SAFETY: a plain number that this process and the kernel write to, one after the other.
        unsafe { AtomicU32::from_ptr(&raw mut (*self.reading().as_ptr()).header.msg_len) }
    }

    fn intend(&self, subject: u64, position: u64, forget: impl FnOnce()) {
        let (place, whose) = self.shared();
        place.store(0, Ordering::Release);
        whose.store(subject, Ordering::Release);
        forget();
        place.store(position, Ordering::Release);
    }

    /// Reads what is there of the connection at a place, at most the length of the buffer, which is
    /// that of a record at a position of the ring.
    pub fn stream(
        &mut self,
        socket: RawFd,
        place: usize,
        position: u64,
        buffer: &mut [u8],
    ) -> Received {
        let reading = self.reading().as_ptr();
        // SAFETY: nobody else in this process has a reference to these two.
        unsafe {
            (*reading).part =
                libc::iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: buffer.len() };
            (*reading).header.msg_hdr = zeroed();
            (*reading).header.msg_hdr.msg_iov = &raw mut (*reading).part;
            (*reading).header.msg_hdr.msg_iovlen = 1;
        }
        self.intend(place as u64, position, || self.length().store(NOTHING, Ordering::Release));
        loop {
            // SAFETY: the header has one part, which is the buffer, and wants nothing else.
            let count = unsafe {
                let header = &raw mut (*reading).header;
                libc::recvmmsg(socket, header, 1, libc::MSG_DONTWAIT, null_mut())
            };
            if count > 0 {
                return match self.length().load(Ordering::Acquire) as usize {
                    0 => Received::End,
                    length => Received::Bytes(length),
                };
            }
            match io::Error::last_os_error().kind() {
                io::ErrorKind::Interrupted => {}
                io::ErrorKind::WouldBlock => return Received::Empty,
                _ => return Received::Broken,
            }
        }
    }

    /// The receipt for datagrams of a listener, made ready for a read whose record will be at a
    /// position of the ring.
    pub fn datagrams(&mut self, listener: usize, position: u64) -> &mut DatagramReceipt {
        let reading = self.reading().as_ptr();
        self.intend(DATAGRAMS | listener as u64, position, || {
            // SAFETY: `&mut self` makes this the only reference.
            unsafe { (*reading).datagrams.forget() };
        });
        // SAFETY: as above.
        unsafe { &mut (*reading).datagrams }
    }

    /// What was received of datagrams last.
    pub fn received_datagrams(&self) -> &DatagramReceipt {
        // SAFETY: only `datagrams`, which takes `&mut self`, gives it to be changed.
        unsafe { &(*self.reading().as_ptr()).datagrams }
    }

    /// What a predecessor had taken from the kernel when it died, and the position of the record
    /// that it would have made; `received` is where the last one ends that it made.
    pub fn unfinished(&self, received: u64) -> Option<(u64, Intent)> {
        let (place, whose) = self.shared();
        let (position, subject) = (place.load(Ordering::Acquire), whose.load(Ordering::Acquire));
        if position < received {
            return None;
        }
        let number = usize::try_from(subject & !DATAGRAMS).ok()?;
        if subject & DATAGRAMS != 0 {
            let is_any = self.received_datagrams().count() > 0;
            return is_any.then_some((position, Intent::Datagrams { listener: number }));
        }
        let length = self.length().load(Ordering::Acquire);
        let is_any = length != NOTHING && length > 0;
        is_any.then_some((position, Intent::Stream { place: number, length: length as usize }))
    }
}
