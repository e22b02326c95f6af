//! What a journal needs to be told, and which of it is refused.

use std::path::PathBuf;
use std::time::Duration;

use super::format;
use crate::error::{Error, Result};

/// How the data frames of a segment are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    /// Raw blocks: the lines as they are, inside a valid Zstandard frame.
    None,
    /// Zstandard at this level.
    Zstd(i32),
    /// As they are while the disk keeps up, and else at the fast level that makes most of it.
    Auto,
}

impl Compression {
    /// The Zstandard level of the first batch.
    pub(super) fn level(self) -> Option<i32> {
        match self {
            Self::Zstd(level) => Some(level),
            Self::None | Self::Auto => None,
        }
    }
}

/// How closed segments are recompressed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Recompress {
    /// To this Zstandard level.
    pub level: i32,
    /// Only while processes of the machine had to wait for a processor or a disk for less than
    /// so many percent of the last ten seconds.
    pub pressure_maximum_percent: f32,
}

/// Everything a [`super::Journal`] is opened with.
#[derive(Debug, Clone)]
pub struct Options {
    /// The directory of this shard; created when it is missing.
    pub directory: PathBuf,
    /// The shard's number, stored with every batch.
    pub shard: u32,
    /// Names of the sources that batches account for; [`super::Batch::add`] takes an index.
    pub sources: Vec<String>,
    /// Everything below this sequence number is known to have been synced, so recovery need
    /// not read it again; `None`: nothing is known.
    pub durable_sequence: Option<u64>,
    /// How data is stored.
    pub compression: Compression,
    /// The longest an event waits for its `fdatasync` to begin.
    pub sync_interval: Duration,
    /// A segment of at least this size is followed by a new one.
    pub segment_bytes: u64,
    /// A segment of at least this age is followed by a new one at the next write.
    pub segment_age: Duration,
    /// Delete the oldest segments while all of them together are larger than this.
    pub retention_bytes: Option<u64>,
    /// Delete segments whose last write is longer ago than this.
    pub retention_age: Option<Duration>,
    /// Recompress closed segments while the machine is idle.
    pub recompress: Option<Recompress>,
    /// A batch of at least this size is sealed; about 1 MiB serves well.
    pub batch_bytes: usize,
    /// Bound of all lines that are sealed or written but not yet synced.
    pub queue_bytes: usize,
}

impl Options {
    /// Refuse what cannot work, in words for the one who configures it.
    pub(super) fn validate(&self) -> Result<()> {
        let names: usize = self.sources.iter().map(String::len).sum();
        if self.sources.is_empty()
            || self.sources.iter().any(|name| u16::try_from(name.len()).is_err())
            || format::metadata_length(self.sources.len(), names) > format::METADATA_MAXIMUM
            || u16::try_from(self.sources.len()).is_err()
        {
            return Err(Error::Invalid("sources: none, too many or too long names".into()));
        }
        if self.batch_bytes == 0 || self.queue_bytes < self.batch_bytes {
            return Err(Error::Invalid("queue_bytes must hold at least one batch".into()));
        }
        let level = self.compression.level();
        let levels = zstd_safe::min_c_level()..=zstd_safe::max_c_level();
        for level in level.into_iter().chain(self.recompress.map(|recompress| recompress.level)) {
            if !levels.contains(&level) {
                return Err(Error::Invalid(format!("no such zstd level: {level}")));
            }
        }
        Ok(())
    }
}
