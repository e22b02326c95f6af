//! Shared memory behind a descriptor: made once, mapped by every role.

use std::ffi::c_void;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::error::{Error, Result};

/// A mapping of shared memory, whose words are only accessed as atomics.
pub struct Mapping {
    base: NonNull<u64>,
    length: usize,
    descriptor: OwnedFd,
}

// SAFETY: the mapping is only accessed through atomics.
unsafe impl Send for Mapping {}
// SAFETY: as above.
unsafe impl Sync for Mapping {}

impl Mapping {
    /// Makes anonymous shared memory of `length` bytes, all zero.
    pub fn create(name: &std::ffi::CStr, length: usize) -> Result<Self> {
        // SAFETY: the name is a C string and the flags are constants.
        let raw = unsafe { libc::memfd_create(name.as_ptr(), libc::MFD_CLOEXEC) };
        if raw < 0 {
            return Err(Error::last_os("create shared memory"));
        }
        // SAFETY: `raw` was just returned by the kernel and has no other owner.
        Self::allocate(unsafe { OwnedFd::from_raw_fd(raw) }, length)
    }

    /// Makes shared memory of `length` bytes in an empty file, whose descriptor is duplicated.
    pub fn create_in(file: RawFd, length: usize) -> Result<Self> {
        Self::allocate(duplicate(file)?, length)
    }

    /// Maps the whole of what is behind a descriptor, which is duplicated.
    pub fn attach(descriptor: RawFd) -> Result<Self> {
        let file = duplicate(descriptor)?;
        // SAFETY: an all-zero stat is a valid value of the plain C struct.
        let mut status: libc::stat = unsafe { std::mem::zeroed() };
        // SAFETY: `status` is a valid place for the kernel to write to.
        if unsafe { libc::fstat(file.as_raw_fd(), &raw mut status) } != 0 {
            return Err(Error::last_os("size of the shared memory"));
        }
        Self::map(file, usize::try_from(status.st_size).unwrap_or(0))
    }

    fn allocate(file: OwnedFd, length: usize) -> Result<Self> {
        let size = libc::off_t::try_from(length)
            .map_err(|_| Error::Invalid(format!("{length} bytes of shared memory")))?;
        // At once: a machine without memory is a start error, not a SIGBUS later.
        // SAFETY: plain system call on an owned descriptor.
        let status = unsafe { libc::posix_fallocate(file.as_raw_fd(), 0, size) };
        if status != 0 {
            let source = std::io::Error::from_raw_os_error(status);
            return Err(Error::io(format!("allocate {length} bytes of shared memory"), source));
        }
        Self::map(file, length)
    }

    fn map(descriptor: OwnedFd, length: usize) -> Result<Self> {
        let protection = libc::PROT_READ | libc::PROT_WRITE;
        // SAFETY: a fresh shared mapping at an address of the kernel's choice.
        let base = unsafe {
            let raw = descriptor.as_raw_fd();
            libc::mmap(std::ptr::null_mut(), length, protection, libc::MAP_SHARED, raw, 0)
        };
        if base == libc::MAP_FAILED {
            return Err(Error::last_os("map shared memory"));
        }
        NonNull::new(base.cast::<u64>())
            .map(|base| Self { base, length, descriptor })
            .ok_or_else(|| Error::Layout("mapped at zero".into()))
    }

    /// The descriptor to hand to another process.
    pub fn fileno(&self) -> RawFd {
        self.descriptor.as_raw_fd()
    }

    /// Bytes of the mapping.
    pub fn length(&self) -> usize {
        self.length
    }

    /// The word at an index.
    ///
    /// # Panics
    /// Behind the end: a mistake of the program.
    pub fn word(&self, index: usize) -> &AtomicU64 {
        assert!(index < self.length / 8, "word out of range");
        // SAFETY: within the mapping by the assertion; page-aligned memory of u64.
        unsafe { self.base.add(index).cast::<AtomicU64>().as_ref() }
    }

    /// Writes bytes from a word on, the last word filled up with zeros.
    ///
    /// # Panics
    /// Behind the end: a mistake of the program.
    pub fn store_bytes(&self, index: usize, bytes: &[u8]) {
        for (at, part) in bytes.chunks(8).enumerate() {
            let mut word = [0; 8];
            word[..part.len()].copy_from_slice(part);
            self.word(index + at).store(u64::from_ne_bytes(word), Ordering::Relaxed);
        }
    }

    /// Reads bytes that begin at a word.
    ///
    /// # Panics
    /// Behind the end: a mistake of the program.
    pub fn load_bytes(&self, index: usize, length: usize) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(length.next_multiple_of(8));
        for at in 0..length.div_ceil(8) {
            bytes.extend(self.word(index + at).load(Ordering::Relaxed).to_ne_bytes());
        }
        bytes.truncate(length);
        bytes
    }
}

fn duplicate(descriptor: RawFd) -> Result<OwnedFd> {
    // SAFETY: duplicating any integer is harmless; a bad one is an error of the kernel.
    let raw = unsafe { libc::fcntl(descriptor, libc::F_DUPFD_CLOEXEC, 3) };
    if raw < 0 {
        return Err(Error::last_os(format!("attach shared memory at {descriptor}")));
    }
    // SAFETY: `raw` was just returned by the kernel and has no other owner.
    Ok(unsafe { OwnedFd::from_raw_fd(raw) })
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: the mapping was made by `map` with this length and ends with `self`.
        unsafe { libc::munmap(self.base.as_ptr().cast::<c_void>(), self.length) };
    }
}
