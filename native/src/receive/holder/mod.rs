//! The holder of a worker's connections: a process that shares the worker's descriptor table and
//! does nothing while the worker lives. The kernel closes no socket of a killed worker, for its
//! table lives on here, with every connection that it had accepted at that moment.
//!
//! It is a child of the worker's parent, takes no signal but SIGKILL and SIGSTOP, and ends soon
//! after the worker, whatever happens.

mod errand;
mod orphans;
mod passing;
mod process;

use std::os::fd::RawFd;

use errand::SharedErrand;

use crate::error::Result;

/// What a holder needs to know to pass connections on. The descriptors stay the worker's, which
/// keeps them open for as long as it has connections.
#[derive(Debug, Clone)]
pub struct Errand {
    /// End of file on it means that the supervisor is gone.
    pub lifeline: RawFd,
    /// Where connections are sent to the next worker of the slot.
    pub outbox: RawFd,
    /// The memory of the slot.
    pub arena: RawFd,
    /// The sockets of listeners that have connections, with their index in the region.
    pub listeners: Vec<(usize, RawFd)>,
}

/// The holder of this process.
pub struct Holder {
    pid: libc::pid_t,
    errand: SharedErrand,
}

impl Holder {
    /// Starts the holder of this process. To be called while there is no other thread, and as
    /// early as possible: the holder keeps a copy of what the memory is now.
    ///
    /// # Errors
    /// Where the machine does not permit it, such as under a filter of system calls.
    pub fn start() -> Result<Self> {
        let errand = SharedErrand::new()?;
        let pid = process::start(&errand)?;
        Ok(Self { pid, errand })
    }

    /// The id of the process.
    pub fn pid(&self) -> libc::pid_t {
        self.pid
    }

    /// Tells the holder what to do when this process is gone; until then it would do nothing.
    ///
    /// # Errors
    /// For a second errand, and for one with more listeners than a region can have.
    pub fn send(&self, errand: &Errand) -> Result<()> {
        self.errand.write(errand)
    }
}
