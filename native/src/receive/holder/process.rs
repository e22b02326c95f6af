//! The process: how it comes to be, what it waits for, how it ends.

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::panic::AssertUnwindSafe;

use super::errand::SharedErrand;
use super::passing::{is_closed, pass_on};
use crate::error::{Error, Result};

/// What `ps` and `top` show, 15 bytes at most.
const NAME: &std::ffi::CStr = c"ingest-holder";

/// Starts the process and returns its id.
pub(super) fn start(errand: &SharedErrand) -> Result<libc::pid_t> {
    // In the common table, so the holder finds it there.
    let worker = own_pidfd()?;
    let signals = BlockedSignals::all();
    // Memory and signal handlers are not shared: it is a fork in all but the descriptors.
    let flags = libc::CLONE_FILES | libc::CLONE_PARENT | libc::SIGCHLD;
    // SAFETY: without CLONE_VM the child has memory and a stack of its own, and there is no other
    // thread that could hold a lock at this moment.
    let pid = unsafe { libc::syscall(libc::SYS_clone, flags, 0, 0, 0, 0) };
    match libc::pid_t::try_from(pid) {
        Ok(0) => live(worker.as_raw_fd(), errand),
        Ok(pid @ 1..) => {
            drop(signals);
            // It is the holder's now: closing it here would close it there.
            std::mem::forget(worker);
            Ok(pid)
        }
        _ => Err(Error::last_os("start a holder for the connections")),
    }
}

/// What the new process does, from its beginning to its end.
fn live(worker: RawFd, errand: &SharedErrand) -> ! {
    // SAFETY: plain system calls. Where one fails, the process is named after the worker, or ends
    // with the process group of the worker where somebody kills that.
    unsafe {
        libc::prctl(libc::PR_SET_NAME, NAME.as_ptr());
        libc::setsid();
    }
    wait_for_end(worker);
    // What goes wrong must not lead back into the program of the worker.
    let _ = std::panic::catch_unwind(AssertUnwindSafe(|| {
        if let Some(errand) = errand.read().filter(|errand| !is_closed(errand.lifeline)) {
            pass_on(&errand);
        }
    }));
    // SAFETY: ends the process without anything that the worker meant to be done at its own end.
    unsafe { libc::_exit(0) }
}

/// A descriptor that is readable once this process has ended.
fn own_pidfd() -> Result<OwnedFd> {
    // SAFETY: plain system calls.
    let raw = unsafe { libc::syscall(libc::SYS_pidfd_open, libc::getpid(), 0) };
    match RawFd::try_from(raw) {
        // SAFETY: `raw` was just returned by the kernel and has no other owner.
        Ok(raw @ 0..) => Ok(unsafe { OwnedFd::from_raw_fd(raw) }),
        _ => Err(Error::last_os("open a descriptor of this process")),
    }
}

/// Waits, with no time limit, until the process of a descriptor has ended.
fn wait_for_end(process: RawFd) {
    let mut polled = libc::pollfd { fd: process, events: libc::POLLIN, revents: 0 };
    // SAFETY: one entry, valid for the call.
    while unsafe { libc::poll(&raw mut polled, 1, -1) } < 0
        && io::Error::last_os_error().kind() == io::ErrorKind::Interrupted
    {}
}

/// No signal is taken by this thread while it lives.
struct BlockedSignals(libc::sigset_t);

impl BlockedSignals {
    fn all() -> Self {
        let mut all = MaybeUninit::uninit();
        let mut before = MaybeUninit::uninit();
        // SAFETY: both sets are valid places to write to, and filled in before they are read.
        unsafe {
            libc::sigfillset(all.as_mut_ptr());
            libc::pthread_sigmask(libc::SIG_SETMASK, all.as_ptr(), before.as_mut_ptr());
            Self(before.assume_init())
        }
    }
}

impl Drop for BlockedSignals {
    fn drop(&mut self) {
        // SAFETY: the set is what this thread had before.
        unsafe {
            libc::pthread_sigmask(libc::SIG_SETMASK, &raw const self.0, std::ptr::null_mut())
        };
    }
}
