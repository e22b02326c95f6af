//! UDP in batches: one `recvmmsg` takes up to [`BATCH`] datagrams.

use std::net::SocketAddr;
use std::os::fd::RawFd;

use super::socket::{peer_address, zeroed};

/// Datagrams taken by one system call. More would save little, and each may be 64 KiB that
/// become many times as much when every byte is a bad line.
pub const BATCH: usize = 16;
/// No datagram is longer.
pub const DATAGRAM_BYTES: usize = 65_536;

/// The buffers of one `recvmmsg`. Only the pages that datagrams really fill become resident.
pub struct DatagramBuffers {
    bytes: Vec<u8>,
    addresses: Vec<libc::sockaddr_storage>,
    vectors: Vec<libc::iovec>,
    headers: Vec<libc::mmsghdr>,
}

// SAFETY: the raw pointers within point into the vectors of the same value, whose heap
// memory does not move when the value does.
unsafe impl Send for DatagramBuffers {}

impl DatagramBuffers {
    /// Makes the buffers.
    pub fn new() -> Self {
        let mut buffers = Self {
            bytes: vec![0; BATCH * DATAGRAM_BYTES],
            addresses: vec![zeroed(); BATCH],
            vectors: Vec::with_capacity(BATCH),
            headers: Vec::with_capacity(BATCH),
        };
        for chunk in buffers.bytes.chunks_exact_mut(DATAGRAM_BYTES) {
            buffers
                .vectors
                .push(libc::iovec { iov_base: chunk.as_mut_ptr().cast(), iov_len: chunk.len() });
        }
        for (address, vector) in buffers.addresses.iter_mut().zip(&mut buffers.vectors) {
            let mut header: libc::mmsghdr = zeroed();
            header.msg_hdr.msg_name = std::ptr::from_mut(address).cast();
            header.msg_hdr.msg_iov = vector;
            header.msg_hdr.msg_iovlen = 1;
            buffers.headers.push(header);
        }
        buffers
    }

    /// Takes what is there; returns how many datagrams.
    pub fn receive(&mut self, socket: RawFd) -> usize {
        for header in &mut self.headers {
            #[allow(clippy::cast_possible_truncation)]
            let length = size_of::<libc::sockaddr_storage>() as libc::socklen_t;
            header.msg_hdr.msg_namelen = length;
        }
        #[allow(clippy::cast_possible_truncation)]
        let count = self.headers.len() as u32;
        // SAFETY: every header points to an address and a vector of this value, set in `new`.
        let count = unsafe {
            libc::recvmmsg(
                socket,
                self.headers.as_mut_ptr(),
                count,
                libc::MSG_DONTWAIT,
                std::ptr::null_mut(),
            )
        };
        // Errors (nothing there, or an ICMP answer to somebody else) mean: nothing this time.
        usize::try_from(count).unwrap_or(0)
    }

    /// The datagram at `index` of the last batch, and its sender.
    pub fn datagram(&self, index: usize) -> (&[u8], Option<SocketAddr>) {
        let start = index * DATAGRAM_BYTES;
        let length = (self.headers[index].msg_len as usize).min(DATAGRAM_BYTES);
        (&self.bytes[start..start + length], peer_address(&self.addresses[index]))
    }

    /// Bytes that the first `count` datagrams need when each is ended by a newline.
    pub fn joined_length(&self, count: usize) -> usize {
        self.headers[..count].iter().map(|header| header.msg_len as usize + 1).sum()
    }
}
