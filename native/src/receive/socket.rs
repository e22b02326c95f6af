//! The system calls on sockets, each with one meaning per outcome.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};

use crate::error::{Error, Result};

/// Connections that wait for `accept`; the kernel bounds it by `net.core.somaxconn`.
const BACKLOG: i32 = 4096;

/// What one attempt to read gave.
pub enum Received {
    /// This many bytes, at least one.
    Bytes(usize),
    /// Nothing now.
    Empty,
    /// The peer has finished.
    End,
    /// The connection broke: a reset, a host that is gone.
    Broken,
}

/// What one attempt to accept gave.
pub enum Accepted {
    /// A connection and its peer, if that has an address.
    Connection(OwnedFd, Option<SocketAddr>),
    /// Nobody waits.
    Empty,
    /// This one connection failed before it was accepted.
    Failed,
    /// The process or the machine has no descriptors or memory left for now.
    Exhausted,
}

/// Makes every call on the socket return at once, here and for all who share it.
pub fn set_nonblocking(socket: RawFd) -> Result<()> {
    // SAFETY: plain system call.
    let flags = unsafe { libc::fcntl(socket, libc::F_GETFL) };
    // SAFETY: plain system call.
    if flags < 0 || unsafe { libc::fcntl(socket, libc::F_SETFL, flags | libc::O_NONBLOCK) } != 0 {
        return Err(Error::last_os(format!("make descriptor {socket} non-blocking")));
    }
    Ok(())
}

/// Starts to accept connections.
pub fn listen(socket: RawFd) -> Result<()> {
    // SAFETY: plain system call.
    if unsafe { libc::listen(socket, BACKLOG) } != 0 {
        return Err(Error::last_os(format!("listen on descriptor {socket}")));
    }
    Ok(())
}

/// An all-zero value of a plain C struct.
pub(super) fn zeroed<T: Copy>() -> T {
    // SAFETY: only used for C structs of integers and pointers, for which zero is valid.
    unsafe { std::mem::zeroed() }
}

/// Accepts one connection, non-blocking.
pub fn accept(listener: RawFd) -> Accepted {
    let mut address: libc::sockaddr_storage = zeroed();
    #[allow(clippy::cast_possible_truncation)]
    let mut length = size_of::<libc::sockaddr_storage>() as libc::socklen_t;
    // SAFETY: address and length are valid places for the kernel to write to.
    let raw = unsafe {
        libc::accept4(
            listener,
            (&raw mut address).cast(),
            &raw mut length,
            libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC,
        )
    };
    if raw >= 0 {
        // SAFETY: `raw` was just returned by the kernel and has no other owner.
        let connection = unsafe { OwnedFd::from_raw_fd(raw) };
        return Accepted::Connection(connection, peer_address(&address));
    }
    match io::Error::last_os_error().raw_os_error() {
        Some(libc::EAGAIN) => Accepted::Empty,
        Some(libc::EMFILE | libc::ENFILE | libc::ENOBUFS | libc::ENOMEM) => Accepted::Exhausted,
        _ => Accepted::Failed,
    }
}

/// Reads what is there, at most the length of the buffer.
pub fn receive(connection: &OwnedFd, buffer: &mut [u8]) -> Received {
    loop {
        // SAFETY: the buffer is valid for its length.
        let count = unsafe {
            libc::recv(connection.as_raw_fd(), buffer.as_mut_ptr().cast(), buffer.len(), 0)
        };
        match usize::try_from(count) {
            Ok(0) => return Received::End,
            Ok(count) => return Received::Bytes(count),
            Err(_) => match io::Error::last_os_error().kind() {
                io::ErrorKind::Interrupted => {}
                io::ErrorKind::WouldBlock => return Received::Empty,
                _ => return Received::Broken,
            },
        }
    }
}

/// Sends what the kernel takes now; returns how many bytes. What a broken connection no longer
/// takes is found out by reading from it.
pub fn send(connection: &OwnedFd, bytes: &[u8]) -> usize {
    let flags = libc::MSG_NOSIGNAL | libc::MSG_DONTWAIT;
    // SAFETY: the buffer is valid for its length.
    let count =
        unsafe { libc::send(connection.as_raw_fd(), bytes.as_ptr().cast(), bytes.len(), flags) };
    usize::try_from(count).unwrap_or(0)
}

/// Reads and forgets what has come: closing a connection with unread bytes resets it, and what
/// was last sent to the peer would be lost with it.
pub fn discard(connection: &OwnedFd, buffer: &mut [u8]) {
    // Once: who sends without end is not waited for.
    receive(connection, buffer);
}

/// The user and the process that opened a Unix connection.
pub fn peer_credentials(connection: &OwnedFd) -> Option<(libc::uid_t, libc::pid_t)> {
    let mut credentials: libc::ucred = zeroed();
    #[allow(clippy::cast_possible_truncation)]
    let mut length = size_of::<libc::ucred>() as libc::socklen_t;
    // SAFETY: the struct is as long as `length` says.
    let status = unsafe {
        libc::getsockopt(
            connection.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_PEERCRED,
            (&raw mut credentials).cast(),
            &raw mut length,
        )
    };
    (status == 0).then_some((credentials.uid, credentials.pid))
}

/// Bytes that the kernel holds for a connection now.
pub fn readable_bytes(connection: &OwnedFd) -> usize {
    let mut count: libc::c_int = 0;
    // SAFETY: FIONREAD writes one int.
    let status = unsafe { libc::ioctl(connection.as_raw_fd(), libc::FIONREAD, &raw mut count) };
    if status == 0 { usize::try_from(count).unwrap_or(0) } else { 0 }
}

/// Indices into the array that `SO_MEMINFO` gives (`linux/sock_diag.h`), and its length.
const SK_MEMINFO_RMEM_ALLOC: usize = 0;
const SK_MEMINFO_RCVBUF: usize = 1;
const SK_MEMINFO_DROPS: usize = 8;
const SK_MEMINFO_VARS: usize = 9;

/// How a socket for datagrams stands.
pub struct Memory {
    /// Bytes that the waiting datagrams take, which are more than their own.
    pub held: u32,
    /// As many they may take.
    pub receive_buffer: u32,
    /// Datagrams dropped since the socket was made, in 32 bits.
    pub drops: u32,
}

/// Asks the kernel how a socket stands.
pub fn memory(socket: RawFd) -> Option<Memory> {
    let mut values = [0u32; SK_MEMINFO_VARS];
    #[allow(clippy::cast_possible_truncation)]
    let mut length = size_of_val(&values) as libc::socklen_t;
    // SAFETY: the array is as long as `length` says.
    let status = unsafe {
        libc::getsockopt(
            socket,
            libc::SOL_SOCKET,
            libc::SO_MEMINFO,
            values.as_mut_ptr().cast(),
            &raw mut length,
        )
    };
    (status == 0).then_some(Memory {
        held: values[SK_MEMINFO_RMEM_ALLOC],
        receive_buffer: values[SK_MEMINFO_RCVBUF],
        drops: values[SK_MEMINFO_DROPS],
    })
}

/// The address in a `sockaddr_storage` that the kernel filled in, if it is one of the Internet.
pub(super) fn peer_address(storage: &libc::sockaddr_storage) -> Option<SocketAddr> {
    let place = std::ptr::from_ref(storage);
    match i32::from(storage.ss_family) {
        libc::AF_INET => {
            // SAFETY: the family says that this is what the storage holds.
            let address = unsafe { place.cast::<libc::sockaddr_in>().read() };
            let ip = Ipv4Addr::from(u32::from_be(address.sin_addr.s_addr));
            Some(SocketAddr::new(IpAddr::V4(ip), u16::from_be(address.sin_port)))
        }
        libc::AF_INET6 => {
            // SAFETY: the family says that this is what the storage holds.
            let address = unsafe { place.cast::<libc::sockaddr_in6>().read() };
            let ip = Ipv6Addr::from(address.sin6_addr.s6_addr);
            Some(SocketAddr::new(ip.to_canonical(), u16::from_be(address.sin6_port)))
        }
        _ => None,
    }
}
