//! The epoll set, level triggered: what is not read to its end is reported again.

use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};

use crate::error::{Error, Result};

/// Events taken from the kernel at once.
const EVENTS: usize = 256;

/// A set of descriptors to read from, itself a descriptor that can be polled.
pub struct Epoll {
    descriptor: OwnedFd,
    events: Vec<libc::epoll_event>,
}

impl Epoll {
    /// Makes an empty set.
    pub fn new() -> Result<Self> {
        // SAFETY: plain system call.
        let raw = unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) };
        if raw < 0 {
            return Err(Error::last_os("create an epoll set"));
        }
        // SAFETY: `raw` was just returned by the kernel and has no other owner.
        let descriptor = unsafe { OwnedFd::from_raw_fd(raw) };
        Ok(Self { descriptor, events: vec![libc::epoll_event { events: 0, u64: 0 }; EVENTS] })
    }

    /// The descriptor to poll.
    pub fn fileno(&self) -> RawFd {
        self.descriptor.as_raw_fd()
    }

    /// Reports `token` whenever `target` can be read.
    pub fn add(&self, target: RawFd, token: u64) -> Result<()> {
        #[allow(clippy::cast_sign_loss)]
        let events = libc::EPOLLIN as u32;
        let mut event = libc::epoll_event { events, u64: token };
        self.control(libc::EPOLL_CTL_ADD, target, &raw mut event, "watch")
    }

    /// Reports `token` whenever `target`, which is in the set, can be read, or, if asked, written.
    pub fn watch_for_writing(&self, target: RawFd, token: u64, writing: bool) -> Result<()> {
        let events = libc::EPOLLIN | if writing { libc::EPOLLOUT } else { 0 };
        #[allow(clippy::cast_sign_loss)]
        let mut event = libc::epoll_event { events: events as u32, u64: token };
        self.control(libc::EPOLL_CTL_MOD, target, &raw mut event, "watch")
    }

    /// Stops reporting `target`. Closing is not enough while another process holds it too.
    pub fn remove(&self, target: RawFd) -> Result<()> {
        self.control(libc::EPOLL_CTL_DEL, target, std::ptr::null_mut(), "stop watching")
    }

    fn control(
        &self,
        operation: i32,
        target: RawFd,
        event: *mut libc::epoll_event,
        what: &str,
    ) -> Result<()> {
        // SAFETY: `event` is null or points to a live event for the duration of the call.
        if unsafe { libc::epoll_ctl(self.fileno(), operation, target, event) } != 0 {
            return Err(Error::last_os(format!("{what} descriptor {target}")));
        }
        Ok(())
    }

    /// Takes what is ready now, without waiting; returns how many.
    pub fn poll(&mut self) -> usize {
        #[allow(clippy::cast_possible_truncation, clippy::cast_possible_wrap)]
        let capacity = self.events.len() as i32;
        // SAFETY: the buffer holds `capacity` events.
        let count =
            unsafe { libc::epoll_wait(self.fileno(), self.events.as_mut_ptr(), capacity, 0) };
        // The only error on a valid set is EINTR: nothing is ready this time.
        usize::try_from(count).unwrap_or(0)
    }

    /// The token of the event at `index` of the last [`Self::poll`].
    pub fn token(&self, index: usize) -> u64 {
        self.events[index].u64
    }
}
