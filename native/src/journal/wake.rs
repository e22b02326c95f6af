//! An eventfd by which the writer thread wakes the loop.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};

use crate::error::{Error, Result};

/// A nonblocking eventfd: readable once [`Wake::signal`] was called, until it is acknowledged.
#[derive(Debug)]
pub(super) struct Wake {
    file: File,
}

impl Wake {
    pub fn new() -> Result<Self> {
        // SAFETY: eventfd takes no pointers.
        let descriptor = unsafe { libc::eventfd(0, libc::EFD_NONBLOCK | libc::EFD_CLOEXEC) };
        if descriptor < 0 {
            return Err(Error::last_os("create an eventfd"));
        }
        // SAFETY: the descriptor is open, valid and owned by nobody else.
        let owned = unsafe { OwnedFd::from_raw_fd(descriptor) };
        Ok(Self { file: owned.into() })
    }

    pub fn descriptor(&self) -> RawFd {
        self.file.as_raw_fd()
    }

    /// Make the descriptor readable. It can only fail when it is readable already.
    pub fn signal(&self) {
        let _ = (&self.file).write(&1u64.to_ne_bytes());
    }

    /// Make the descriptor unreadable until the next signal. Fails only when it is already.
    pub fn acknowledge(&self) {
        let _ = (&self.file).read(&mut [0; 8]);
    }
}
