//! Messages from worker to worker, each with the descriptors of some connections.
//!
//! ```text
//! 0    version u8 · where the body is u8 (0 behind the header, 1 in the memory that the first
//!      descriptor names) · 0 · 0 · connections u32 · length of the body u64
//! 16   the body: for each connection, in the order of the descriptors, what `parcel` says
//! ```
//! Numbers are little-endian. The supervisor holds both ends: what is on its way outlives a worker.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::fs::FileExt;

use super::socket::zeroed;

const VERSION: u8 = 1;
const HEADER_BYTES: usize = 16;
/// A longer body goes in memory of its own.
const INLINE_BYTES: usize = 16 * 1024;
/// What the kernel takes with one message (`SCM_MAX_FD`).
const DESCRIPTORS: usize = 253;
/// Connections in one message, with memory for the body beside them.
pub const CONNECTIONS: usize = DESCRIPTORS - 1;
/// Far above what senders put into one message; bounds what a damaged header can make us allocate.
const BODY_BYTES: u64 = 1 << 30;
/// Room for the control message of so many descriptors, in words to be aligned.
const CONTROL_WORDS: usize =
    (DESCRIPTORS * size_of::<RawFd>() + size_of::<libc::cmsghdr>()) / 8 + 2;

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
    /// How many connections were sent.
    pub connections: u64,
    /// Their descriptors; fewer where the process had no room for all of them.
    pub descriptors: Vec<OwnedFd>,
    /// Their state; empty when this program does not understand it.
    pub body: Vec<u8>,
}

/// Sends a message without waiting; an error means that nothing was sent.
pub fn send(outbox: &OwnedFd, body: &[u8], connections: &[RawFd]) -> io::Result<()> {
    let memory =
        if body.len() > INLINE_BYTES { Some(OwnedFd::from(write_memory(body)?)) } else { None };
    let mut header = [0; HEADER_BYTES];
    header[0] = VERSION;
    header[1] = u8::from(memory.is_some());
    let count = u32::try_from(connections.len()).unwrap_or(u32::MAX);
    header[4..8].copy_from_slice(&count.to_le_bytes());
    header[8..].copy_from_slice(&(body.len() as u64).to_le_bytes());
    let inline = if memory.is_some() { &[] } else { body };
    let descriptors: Vec<RawFd> =
        memory.iter().map(AsRawFd::as_raw_fd).chain(connections.iter().copied()).collect();
    send_parts(outbox.as_raw_fd(), &header, inline, &descriptors)
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
    // SAFETY: `control` is aligned and has room for the header and DESCRIPTORS descriptors.
    let sent = unsafe {
        message.msg_controllen = libc::CMSG_SPACE(length) as usize;
        let rights = libc::CMSG_FIRSTHDR(&raw const message);
        (*rights).cmsg_level = libc::SOL_SOCKET;
        (*rights).cmsg_type = libc::SCM_RIGHTS;
        (*rights).cmsg_len = libc::CMSG_LEN(length) as usize;
        let place = libc::CMSG_DATA(rights);
        std::ptr::copy_nonoverlapping(descriptors.as_ptr().cast(), place, length as usize);
        libc::sendmsg(socket, &raw const message, libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL)
    };
    if sent < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// The reading end of a worker's inbox.
pub struct Inbox {
    socket: OwnedFd,
    buffer: Vec<u8>,
}

impl Inbox {
    /// Takes over the descriptor.
    pub fn new(socket: OwnedFd) -> Self {
        Self { socket, buffer: vec![0; HEADER_BYTES + INLINE_BYTES] }
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

    /// Takes the next message, if there is one.
    pub fn receive(&mut self) -> Option<Message> {
        let (length, descriptors) = self.receive_parts()?;
        let mut descriptors = descriptors.into_iter();
        let received = &self.buffer[..length];
        let Some((header, inline)) = received.split_first_chunk::<HEADER_BYTES>() else {
            return Some(Message { connections: 0, descriptors: Vec::new(), body: Vec::new() });
        };
        let [version, place, _, _, count @ ..] = header;
        let (count, body_length) = count.split_at(4);
        let connections = count.iter().rev().fold(0, |sum, byte| sum << 8 | u64::from(*byte));
        let body_length = body_length.iter().rev().fold(0, |sum, byte| sum << 8 | u64::from(*byte));
        let body = match place {
            0 => inline.to_vec(),
            _ => descriptors
                .next()
                .and_then(|from| read_memory(from, body_length))
                .unwrap_or_default(),
        };
        let is_whole = *version == VERSION && body.len() as u64 == body_length;
        let body = if is_whole { body } else { Vec::new() };
        Some(Message { connections, descriptors: descriptors.collect(), body })
    }

    fn receive_parts(&mut self) -> Option<(usize, Vec<OwnedFd>)> {
        let mut control = [0u64; CONTROL_WORDS];
        let mut parts = part(&self.buffer);
        let mut message: libc::msghdr = zeroed();
        message.msg_iov = &raw mut parts;
        message.msg_iovlen = 1;
        message.msg_control = control.as_mut_ptr().cast();
        message.msg_controllen = size_of_val(&control);
        let flags = libc::MSG_DONTWAIT | libc::MSG_CMSG_CLOEXEC;
        // SAFETY: buffer and control are valid for the lengths that the message says.
        let length = unsafe { libc::recvmsg(self.fileno(), &raw mut message, flags) };
        // Nothing there, or an interruption: there will be another occasion.
        let length = usize::try_from(length).ok().filter(|length| *length > 0)?;
        Some((length, received_descriptors(&message)))
    }
}

fn received_descriptors(message: &libc::msghdr) -> Vec<OwnedFd> {
    let mut descriptors = Vec::new();
    // SAFETY: the kernel has filled in the control messages that these walk over; each descriptor
    // in them is new and belongs to nobody else.
    unsafe {
        let mut control = libc::CMSG_FIRSTHDR(message);
        while let Some(header) = control.as_ref() {
            if header.cmsg_level == libc::SOL_SOCKET && header.cmsg_type == libc::SCM_RIGHTS {
                let bytes = header.cmsg_len - libc::CMSG_LEN(0) as usize;
                let data = std::slice::from_raw_parts(libc::CMSG_DATA(control), bytes);
                let (raw, _) = data.as_chunks();
                let raw = raw.iter().map(|raw| RawFd::from_ne_bytes(*raw));
                descriptors.extend(raw.map(|raw| OwnedFd::from_raw_fd(raw)));
            }
            control = libc::CMSG_NXTHDR(message, control);
        }
    }
    descriptors
}

fn read_memory(memory: OwnedFd, length: u64) -> Option<Vec<u8>> {
    let length = usize::try_from(length).ok().filter(|length| *length as u64 <= BODY_BYTES)?;
    let mut body = vec![0; length];
    File::from(memory).read_exact_at(&mut body, 0).ok()?;
    Some(body)
}
