//! A timer in the epoll set: it wakes the drain a few times a second while somebody waits for it.

use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};

use crate::error::{Error, Result};

/// Deadlines are seen at most so late.
const PERIOD_NS: i64 = 250_000_000;

/// A periodic timer that can be switched off.
pub struct Timer {
    descriptor: OwnedFd,
    is_on: bool,
}

impl Timer {
    /// Makes one that is off.
    pub fn new() -> Result<Self> {
        let flags = libc::TFD_NONBLOCK | libc::TFD_CLOEXEC;
        // SAFETY: plain system call.
        let raw = unsafe { libc::timerfd_create(libc::CLOCK_MONOTONIC, flags) };
        if raw < 0 {
            return Err(Error::last_os("create a timer"));
        }
        // SAFETY: `raw` was just returned by the kernel and has no other owner.
        Ok(Self { descriptor: unsafe { OwnedFd::from_raw_fd(raw) }, is_on: false })
    }

    /// The descriptor, readable when a period has passed.
    pub fn fileno(&self) -> RawFd {
        self.descriptor.as_raw_fd()
    }

    /// Switches it on or off.
    pub fn switch(&mut self, is_on: bool) {
        if is_on == self.is_on {
            return;
        }
        let period = libc::timespec { tv_sec: 0, tv_nsec: if is_on { PERIOD_NS } else { 0 } };
        let setting = libc::itimerspec { it_interval: period, it_value: period };
        // SAFETY: the setting is valid, and the old one is not asked for.
        let status = unsafe {
            libc::timerfd_settime(self.fileno(), 0, &raw const setting, std::ptr::null_mut())
        };
        if status == 0 {
            self.is_on = is_on;
        }
    }

    /// Takes note of the periods that have passed, so that it is no longer readable.
    pub fn acknowledge(&self) {
        let mut passed = 0u64;
        // SAFETY: the place is as long as the length says. It fails where none has passed.
        unsafe { libc::read(self.fileno(), (&raw mut passed).cast(), size_of::<u64>()) };
    }
}
