//! What the owner of a journal is told while others work for it.

use std::time::Duration;

use crate::error::Error;

/// Told by the threads of a journal, on them, what they did. Must not block.
pub trait Observer: Send + Sync + 'static {
    /// A group of batches is durable. From the writer thread.
    fn committed(&self, commit: &Commit<'_>);
    /// Writing fails and is tried again until it works; `None`: it works again. From the
    /// writer thread.
    fn stalled(&self, stall: Option<Stall>);
    /// Something was done, or failed, for a closed segment. From the keeper thread.
    fn cared(&self, upkeep: &Upkeep<'_>);
}

/// What becomes of closed segments.
#[derive(Debug)]
pub enum Upkeep<'a> {
    /// One was sealed.
    Sealed,
    /// One takes fewer bytes now.
    Recompressed {
        /// As it was closed.
        bytes_before: u64,
        /// From now on.
        bytes_after: u64,
    },
    /// Something did not work. Sealing is tried again, recompression is not.
    Failed(&'a Error),
}

/// One group commit.
#[derive(Debug)]
pub struct Commit<'a> {
    /// Everything below this sequence number is durable.
    pub next_sequence: u64,
    /// Events in this commit, by source.
    pub events_by_source: &'a [u64],
    /// Bytes as stored, with metadata.
    pub bytes: u64,
    /// Batches in this commit.
    pub batches: u64,
    /// Those of them that are stored compressed.
    pub compressed_batches: u64,
    /// Segments opened since the last commit.
    pub segments: u64,
    /// How long the `fdatasync` took.
    pub sync_duration: Duration,
}

/// Why nothing becomes durable at the moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stall {
    /// The file system or a quota is full.
    NoSpace,
    /// Any other error.
    DiskError,
}

impl Stall {
    pub(super) fn from_error(error: &Error) -> Self {
        match error {
            Error::Io { source, .. }
                if matches!(source.raw_os_error(), Some(libc::ENOSPC | libc::EDQUOT)) =>
            {
                Self::NoSpace
            }
            _ => Self::DiskError,
        }
    }
}
