//! Messages from worker to worker, each with the descriptors of some connections.
//!
//! ```text
//! 0    version u8 · where the body is u8 (0 behind the header, 1 in the memory that the first
//!      descriptor names) · 0 · 0 · connections u32 · length of the body u64
//! 16   the body: for each connection, in the order of the descriptors, what `parcel` says
//! ```
//! Numbers are little-endian. The supervisor holds both ends: what is on its way outlives a worker.
//! What was sent or received when a worker died, the receipts in the memory of its slot tell.

use std::fs::File;
use std::io::{self, Write};
use std::mem::ManuallyDrop;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::arena::{Arena, CONTROL_WORDS, DESCRIPTORS, MESSAGE_BYTES, NOTHING};
use super::socket::zeroed;

const VERSION: u8 = 1;
const HEADER_BYTES: usize = 16;
/// A longer body goes in memory of its own.
const INLINE_BYTES: usize = MESSAGE_BYTES - HEADER_BYTES;
/// Connections in one message, with memory for the body beside them.
pub const CONNECTIONS: usize = DESCRIPTORS - 1;
/// Far above what senders put into one message; bounds what a damaged header can make us allocate.
const BODY_BYTES: u64 = 1 << 30;

/// The ends of the workers' inboxes that a worker holds.
#[derive(Debug)]
pub struct Inboxes {
    /// Where it reads its own.
    pub own: OwnedFd,
    /// Where it writes to that of each worker, by its index.
    pub all: Vec<OwnedFd>,
}

/// What came with one message.
#[derive(Debug)]
pub struct Message {
    /// How many connections count as on their way with it.
    pub connections: u64,
    /// Their descriptors; fewer where the process had no room for all of them.
    pub descriptors: Vec<OwnedFd>,
    /// Their state; empty when this program does not understand it.
    pub body: Vec<u8>,
    /// Where the body came from; to be kept until the message is done with.
    pub memory: Option<OwnedFd>,
}

/// Sends a message without waiting; an error means that nothing was sent. So many of its connections
/// count as on their way. The kernel writes to the receipt what came of it.
pub fn send(
    outbox: RawFd,
    counted: usize,
    body: &[u8],
    connections: &[RawFd],
    receipt: *mut libc::mmsghdr,
) -> io::Result<()> {
    let memory =
        if body.len() > INLINE_BYTES { Some(OwnedFd::from(write_memory(body)?)) } else { None };
    let mut header = [0; HEADER_BYTES];
    header[0] = VERSION;
    header[1] = u8::from(memory.is_some());
    let count = u32::try_from(counted).unwrap_or(u32::MAX);
    header[4..8].copy_from_slice(&count.to_le_bytes());
    header[8..].copy_from_slice(&(body.len() as u64).to_le_bytes());
    let inline = if memory.is_some() { &[] } else { body };
    let descriptors: Vec<RawFd> =
        memory.iter().map(AsRawFd::as_raw_fd).chain(connections.iter().copied()).collect();
    send_parts(outbox, &header, inline, &descriptors, receipt)
}

fn write_memory(body: &[u8]) -> io::Result<File> {
    // SAFETY: the name is a string with its end.
    let raw = unsafe { libc::memfd_create(c"ingest-moving".as_ptr(), libc::MFD_CLOEXEC) };
    if raw < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: `raw` was just returned by the kernel and has no other owner.
    let mut memory = File::from(unsafe { OwnedFd::from_raw_fd(raw) });
    memory.write_all(body)?;
    Ok(memory)
}

fn part(bytes: &[u8]) -> libc::iovec {
    libc::iovec { iov_base: bytes.as_ptr().cast_mut().cast(), iov_len: bytes.len() }
}

fn send_parts(
    socket: RawFd,
    header: &[u8],
    inline: &[u8],
    descriptors: &[RawFd],
    receipt: *mut libc::mmsghdr,
) -> io::Result<()> {
    if descriptors.len() > DESCRIPTORS {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    let mut parts = [part(header), part(inline)];
    let mut control = [0u64; CONTROL_WORDS];
    let mut message: libc::msghdr = zeroed();
    message.msg_iov = parts.as_mut_ptr();
    message.msg_iovlen = parts.len();
    message.msg_control = control.as_mut_ptr().cast();
    // A few KiB at most.
    #[allow(clippy::cast_possible_truncation)]
    let length = size_of_val(descriptors) as u32;
    // SAFETY: `control` is aligned and has room for the header and DESCRIPTORS descriptors; the
    // receipt is a valid place to write to, and what it points to is valid for the call.
    let sent = unsafe {
        message.msg_controllen = libc::CMSG_SPACE(length) as usize;
        let rights = libc::CMSG_FIRSTHDR(&raw const message);
        (*rights).cmsg_level = libc::SOL_SOCKET;
        (*rights).cmsg_type = libc::SCM_RIGHTS;
        (*rights).cmsg_len = libc::CMSG_LEN(length) as usize;
        let place = libc::CMSG_DATA(rights);
        std::ptr::copy_nonoverlapping(descriptors.as_ptr().cast(), place, length as usize);
        receipt.write_volatile(libc::mmsghdr { msg_hdr: message, msg_len: NOTHING });
        libc::sendmmsg(socket, receipt, 1, libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL)
    };
    if sent < 1 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// The reading end of a worker's inbox.
pub struct Inbox {
    socket: OwnedFd,
    arena: Arc<Arena>,
}

impl Inbox {
    /// Takes over the descriptor. Messages are received into the memory of the slot.
    pub fn new(socket: OwnedFd, arena: Arc<Arena>) -> Self {
        Self { socket, arena }
    }

    /// The descriptor to poll.
    pub fn fileno(&self) -> RawFd {
        self.socket.as_raw_fd()
    }

    /// Waits until there is a message, for some milliseconds at most; whether there is one.
    pub fn wait(&self, milliseconds: i32) -> bool {
        let mut polled = libc::pollfd { fd: self.fileno(), events: libc::POLLIN, revents: 0 };
        // SAFETY: one entry, valid for the call.
        unsafe { libc::poll(&raw mut polled, 1, milliseconds) > 0 }
    }

    /// Takes the next message, if there is one. It is in work until [`Self::done`].
    pub fn receive(&mut self) -> Option<Message> {
        let receipt = self.arena.receipts();
        // SAFETY: the receipt lies in the mapping and belongs to this inbox; the kernel writes to
        // the places that the header names, which are as long as it says.
        let count = unsafe {
            let receiving = &raw mut (*receipt).receiving;
            let part = &raw mut (*receiving).part;
            part.write_volatile(libc::iovec {
                iov_base: (&raw mut (*receiving).bytes).cast(),
                iov_len: MESSAGE_BYTES,
            });
            let mut message: libc::msghdr = zeroed();
            message.msg_iov = part;
            message.msg_iovlen = 1;
            message.msg_control = (&raw mut (*receiving).control).cast();
            message.msg_controllen = CONTROL_WORDS * 8;
            let header = &raw mut (*receiving).header;
            header.write_volatile(libc::mmsghdr { msg_hdr: message, msg_len: NOTHING });
            (*receiving).adopted.store(0, Ordering::Release);
            (*receiving).in_work.store(1, Ordering::Release);
            let flags = libc::MSG_DONTWAIT | libc::MSG_CMSG_CLOEXEC;
            libc::recvmmsg(self.fileno(), header, 1, flags, std::ptr::null_mut())
        };
        // Nothing there, or an interruption: there will be another occasion.
        let received = if count == 1 { received(&self.arena) } else { None };
        let Some(Received { connections, descriptors, memory, body }) = received else {
            self.done();
            return None;
        };
        // SAFETY: the kernel has just made these for this process; nobody else has them.
        let own = |raw| unsafe { OwnedFd::from_raw_fd(raw) };
        let descriptors = descriptors.into_iter().map(own).collect();
        Some(Message { connections, descriptors, body, memory: memory.map(own) })
    }

    /// So many connections of the message in work are adopted, or will never be.
    pub fn adopted(&self, connections: usize) {
        // SAFETY: the receipt lies in the mapping, and the field is atomic.
        let cell = unsafe { &(*self.arena.receipts()).receiving.adopted };
        cell.store(connections as u64, Ordering::Release);
    }

    /// Nothing of the message in work is left to be done.
    pub fn done(&self) {
        self.arena.end_message();
    }
}

/// What an arena knows of a message. Its descriptors are those of the process that received it.
pub struct Received {
    /// How many connections count as on their way with it.
    pub connections: u64,
    /// Those of its connections.
    pub descriptors: Vec<RawFd>,
    /// Their state; empty when this program does not understand it.
    pub body: Vec<u8>,
    memory: Option<RawFd>,
}

/// What a worker that died had received and not done with, and how many of its connections it had
/// adopted by then. For a process that shares its descriptors.
pub fn unfinished(arena: &Arena) -> Option<(Received, usize)> {
    // SAFETY: the receipt lies in the mapping, and the fields are atomic.
    let (in_work, adopted) = unsafe {
        let receiving = &(*arena.receipts()).receiving;
        (receiving.in_work.load(Ordering::Acquire), receiving.adopted.load(Ordering::Acquire))
    };
    if in_work == 0 {
        return None;
    }
    Some((received(arena)?, usize::try_from(adopted).unwrap_or(usize::MAX)))
}

/// The message that the receipt of an arena tells of, if one was received.
fn received(arena: &Arena) -> Option<Received> {
    // SAFETY: the kernel has written to these places by what it says in the header, of which nothing
    // is believed that would lead out of them.
    let (received, descriptors) = unsafe {
        let receiving = &raw mut (*arena.receipts()).receiving;
        let header = (&raw const (*receiving).header).read_volatile();
        let length = usize::try_from(header.msg_len).ok()?;
        if !(1..=MESSAGE_BYTES).contains(&length) {
            return None;
        }
        let mut message: libc::msghdr = zeroed();
        message.msg_control = (&raw mut (*receiving).control).cast();
        message.msg_controllen = header.msg_hdr.msg_controllen.min(CONTROL_WORDS * 8);
        let bytes = (&raw const (*receiving).bytes).cast::<u8>();
        (std::slice::from_raw_parts(bytes, length), received_descriptors(&message))
    };
    let Some((header, inline)) = received.split_first_chunk::<HEADER_BYTES>() else {
        return Some(Received { connections: 0, descriptors, body: Vec::new(), memory: None });
    };
    let [version, place, _, _, count @ ..] = header;
    let (count, body_length) = count.split_at(4);
    let connections = count.iter().rev().fold(0, |sum, byte| sum << 8 | u64::from(*byte));
    let body_length = body_length.iter().rev().fold(0, |sum, byte| sum << 8 | u64::from(*byte));
    let mut descriptors = descriptors.into_iter();
    let memory = if *place == 0 { None } else { descriptors.next() };
    let body = match memory {
        None => inline.to_vec(),
        Some(memory) => read_memory(memory, body_length).unwrap_or_default(),
    };
    let is_whole = *version == VERSION && body.len() as u64 == body_length;
    let body = if is_whole { body } else { Vec::new() };
    Some(Received { connections, descriptors: descriptors.collect(), body, memory })
}

fn received_descriptors(message: &libc::msghdr) -> Vec<RawFd> {
    let mut descriptors = Vec::new();
    // SAFETY: the kernel has filled in the control messages that these walk over.
    unsafe {
        let mut control = libc::CMSG_FIRSTHDR(message);
        while let Some(header) = control.as_ref() {
            if header.cmsg_level == libc::SOL_SOCKET && header.cmsg_type == libc::SCM_RIGHTS {
                let bytes = header.cmsg_len.saturating_sub(libc::CMSG_LEN(0) as usize);
                let data = std::slice::from_raw_parts(libc::CMSG_DATA(control), bytes);
                let (raw, _) = data.as_chunks();
                descriptors.extend(raw.iter().map(|raw| RawFd::from_ne_bytes(*raw)));
            }
            control = libc::CMSG_NXTHDR(message, control);
        }
    }
    descriptors
}

fn read_memory(memory: RawFd, length: u64) -> Option<Vec<u8>> {
    let length = usize::try_from(length).ok().filter(|length| *length as u64 <= BODY_BYTES)?;
    // SAFETY: it is borrowed for the time of the call, and whoever received it has it open.
    let memory = ManuallyDrop::new(unsafe { File::from_raw_fd(memory) });
    let mut body = vec![0; length];
    memory.read_exact_at(&mut body, 0).ok()?;
    Some(body)
}
