//! What the kernel writes of a system call before it returns: a process that is killed then has
//! left behind what came of it. Each call has an intent beside its header, filled in before.
//!
//! A length is [`NOTHING`] before the call. The pointers within are those of the process that made
//! the call: whoever reads a receipt later knows by itself where everything lies.

use std::sync::atomic::{AtomicU32, AtomicU64};

use crate::receive::datagrams::DatagramReceipt;

/// A length that the kernel has not written.
pub const NOTHING: u32 = u32::MAX;

/// Descriptors of one message (`SCM_MAX_FD`).
pub const DESCRIPTORS: usize = 253;
/// Words of the control message that carries them.
pub const CONTROL_WORDS: usize = DESCRIPTORS.div_ceil(2) + 3;
/// Header and inline body of a message.
pub const MESSAGE_BYTES: usize = 16 + 16 * 1024;

/// All receipts of a slot.
#[repr(C, align(4096))]
pub struct Receipts {
    /// Of reads.
    pub(super) reading: Reading,
    /// Of connections that are sent to another worker.
    pub sending: Sending,
    /// Of the message that was taken from the own inbox last.
    pub receiving: Receiving,
    /// Of connections that are counted.
    pub counting: Counting,
}

/// A connection that is counted as opened or as closed. Filled in before the state of its entry
/// changes, which says that it is to be counted; the counter changes then.
#[repr(C)]
pub struct Counting {
    /// Its place in the table.
    pub place: AtomicU64,
    /// Index of its listener in the region.
    pub listener: AtomicU64,
    /// What the counter of opened connections says with it; 0: it is one that closes.
    pub opened: AtomicU64,
    /// What the counter of closed connections says with it; 0: it is one that opens.
    pub closed: AtomicU64,
}

/// The read in work, or the last one. It is done when a record lies at its position.
#[repr(C, align(4096))]
pub(super) struct Reading {
    /// Where in the ring its record will begin; 0: none. Stored last before the call.
    pub(super) position: AtomicU64,
    /// The place of the connection, or [`DATAGRAMS`] and the index of the listener in the region.
    pub(super) subject: AtomicU64,
    /// For `recvmmsg` of a connection.
    pub(super) header: libc::mmsghdr,
    pub(super) part: libc::iovec,
    /// For `recvmmsg` of datagrams.
    pub(super) datagrams: DatagramReceipt,
}

/// A bit that no place has.
pub(super) const DATAGRAMS: u64 = 1 << 63;

/// A message with connections of this worker.
#[repr(C, align(4096))]
pub struct Sending {
    /// 0: none is in work. Set last before the call, and to 0 when its connections are marked.
    pub in_work: AtomicU64,
    /// How many of `descriptors` are in it.
    pub count: AtomicU64,
    /// Its connections. One that was just accepted is in no entry of the table.
    pub descriptors: [AtomicU32; DESCRIPTORS],
    /// For `sendmmsg`: its `msg_len` says whether it was sent.
    pub header: libc::mmsghdr,
}

/// A message from the own inbox.
#[repr(C, align(4096))]
pub struct Receiving {
    /// 0: what was received is adopted. Set last before the call.
    pub in_work: AtomicU64,
    /// How many of its connections are adopted so far, or will never be.
    pub adopted: AtomicU64,
    /// For `recvmmsg`: its `msg_len` says whether something was received.
    pub header: libc::mmsghdr,
    /// The part that the header points to.
    pub part: libc::iovec,
    /// The descriptors, as the kernel made them in the table of this process.
    pub control: [u64; CONTROL_WORDS],
    /// Header and body of the message.
    pub bytes: [u8; MESSAGE_BYTES],
}
