//! Connections that the worker had accepted when it was killed, and not come to enter in its table.

use std::collections::HashSet;
use std::fs;
use std::os::fd::RawFd;

use super::passing::Item;
use crate::receive::parcel;
use crate::receive::socket::{peer_address, zeroed};

/// Gives the address of one end of a socket.
type Name = unsafe extern "C" fn(i32, *mut libc::sockaddr, *mut libc::socklen_t) -> i32;

/// The connections in the table of descriptors that belong to one of the listeners, given with their
/// indices in the region, and are not among those that are known.
pub(super) fn accepted(listeners: &[(usize, RawFd)], known: &HashSet<RawFd>) -> Vec<Item> {
    let mut bound: Vec<(usize, Address)> =
        listeners.iter().filter_map(|(at, socket)| Some((*at, own_address(*socket)?))).collect();
    // Where two share a port, the one that is bound to the very address accepts.
    bound.sort_by_key(|(_, address)| address.is_any());
    let Ok(entries) = fs::read_dir("/proc/self/fd") else { return Vec::new() };
    let numbers = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let unknown = numbers.filter(|descriptor| !known.contains(descriptor));
    let found = unknown.filter_map(|descriptor| {
        let peer = peer(descriptor)?;
        let local = own_address(descriptor)?;
        let (listener, _) = bound.iter().find(|(_, address)| address.accepts(&local))?;
        let mut parcel = Vec::new();
        parcel::write_unread(*listener, peer_address(&peer), false, &mut parcel);
        Some(Item { descriptor, parcel })
    });
    found.collect()
}

/// Whether a descriptor is a stream with another end.
pub(super) fn is_connection(descriptor: RawFd) -> bool {
    peer(descriptor).is_some()
}

fn peer(descriptor: RawFd) -> Option<libc::sockaddr_storage> {
    let is_stream = option(descriptor, libc::SO_TYPE) == Some(libc::SOCK_STREAM);
    is_stream.then(|| address(descriptor, libc::getpeername)).flatten().map(|(peer, _)| peer)
}

/// Where a socket is bound.
#[derive(Debug, PartialEq, Eq)]
enum Address {
    Internet(std::net::SocketAddr),
    Unix(Vec<u8>),
}

impl Address {
    fn is_any(&self) -> bool {
        matches!(self, Self::Internet(address) if address.ip().is_unspecified())
    }

    /// Whether a listener with this address accepts connections that have the other.
    fn accepts(&self, local: &Self) -> bool {
        match (self, local) {
            (Self::Internet(own), Self::Internet(local)) => {
                own.port() == local.port() && (own.ip() == local.ip() || self.is_any())
            }
            _ => self == local,
        }
    }
}

fn own_address(descriptor: RawFd) -> Option<Address> {
    let (storage, length) = address(descriptor, libc::getsockname)?;
    if i32::from(storage.ss_family) != libc::AF_UNIX {
        return peer_address(&storage).map(Address::Internet);
    }
    // SAFETY: the storage is at least as long, and every byte of it is initialised.
    let bytes = unsafe {
        std::slice::from_raw_parts((&raw const storage).cast::<u8>(), size_of_val(&storage))
    };
    let path = bytes.get(size_of::<libc::sa_family_t>()..length)?;
    (!path.is_empty()).then(|| Address::Unix(path.to_vec()))
}

fn address(descriptor: RawFd, name: Name) -> Option<(libc::sockaddr_storage, usize)> {
    let mut storage: libc::sockaddr_storage = zeroed();
    #[allow(clippy::cast_possible_truncation)]
    let mut length = size_of_val(&storage) as libc::socklen_t;
    // SAFETY: address and length are valid places for the kernel to write to.
    let status = unsafe { name(descriptor, (&raw mut storage).cast(), &raw mut length) };
    (status == 0).then_some((storage, length as usize))
}

fn option(descriptor: RawFd, name: libc::c_int) -> Option<libc::c_int> {
    let mut value: libc::c_int = 0;
    #[allow(clippy::cast_possible_truncation)]
    let mut length = size_of_val(&value) as libc::socklen_t;
    let place = (&raw mut value).cast();
    // SAFETY: the value is as long as `length` says.
    let status =
        unsafe { libc::getsockopt(descriptor, libc::SOL_SOCKET, name, place, &raw mut length) };
    (status == 0).then_some(value)
}
