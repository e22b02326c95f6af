//! Deletes the oldest segments once they are too many or too old; never the live one.
//! Who calls sees to it that a name is left which says how far the numbers were given out.

use std::collections::VecDeque;
use std::fs;
use std::io;
use std::path::Path;
use std::time::{Duration, SystemTime};

use super::care::Swap;
use super::directory::list_segments;
use super::segment::ClosedSegment;
use crate::error::{Error, Result};

/// The closed segments of a shard and the bounds they are kept in.
#[derive(Debug)]
pub(super) struct Retention {
    bytes_maximum: Option<u64>,
    age_maximum: Option<Duration>,
    closed: VecDeque<ClosedSegment>,
    closed_bytes: u64,
}

impl Retention {
    /// Take stock of `directory`, in which nothing is live yet.
    pub fn load(
        directory: &Path,
        bytes_maximum: Option<u64>,
        age_maximum: Option<Duration>,
    ) -> Result<Self> {
        let mut retention =
            Self { bytes_maximum, age_maximum, closed: VecDeque::new(), closed_bytes: 0 };
        for segment in list_segments(directory)? {
            let metadata = fs::metadata(&segment.path)
                .map_err(|error| Error::io(format!("stat {}", segment.path.display()), error))?;
            if metadata.len() > 0 {
                retention.add(ClosedSegment {
                    path: segment.path,
                    bytes: metadata.len(),
                    last_write: metadata.modified().unwrap_or_else(|_| SystemTime::now()),
                });
            }
        }
        Ok(retention)
    }

    /// A segment that was live is closed now.
    pub fn add(&mut self, segment: ClosedSegment) {
        self.closed_bytes += segment.bytes;
        self.closed.push_back(segment);
    }

    /// Put a draft in the place of a closed segment; false where that is deleted already.
    pub fn swap(&mut self, swap: &Swap) -> Result<bool> {
        let Some(segment) = self.closed.iter_mut().find(|segment| segment.path == swap.path) else {
            return Ok(false);
        };
        fs::rename(&swap.draft, &swap.path)
            .map_err(|error| Error::io(format!("replace {}", swap.path.display()), error))?;
        self.closed_bytes = self.closed_bytes - segment.bytes + swap.bytes;
        segment.bytes = swap.bytes;
        Ok(true)
    }

    /// How long until the oldest segment is too old.
    pub fn oldest_left(&self) -> Option<Duration> {
        self.left(self.closed.front()?.last_write)
    }

    /// How long until the newest segment is too old.
    pub fn newest_left(&self) -> Option<Duration> {
        self.left(self.closed.back()?.last_write)
    }

    /// How long until a segment with this last write is too old; `None` when none ever is.
    pub fn left(&self, last_write: SystemTime) -> Option<Duration> {
        // A clock set back makes the age an error: keep the segment.
        let age = last_write.elapsed().unwrap_or(Duration::ZERO);
        Some(self.age_maximum?.saturating_sub(age))
    }

    /// Delete what is beyond the bounds while the live segment has `live_bytes`, but leave
    /// the newest `kept` segments.
    pub fn enforce(&mut self, live_bytes: u64, kept: usize) -> Result<()> {
        while self.closed.len() > kept
            && self.closed.front().is_some_and(|oldest| self.is_beyond(oldest, live_bytes))
        {
            if let Some(oldest) = self.closed.pop_front() {
                self.closed_bytes -= oldest.bytes;
                match fs::remove_file(&oldest.path) {
                    Err(error) if error.kind() != io::ErrorKind::NotFound => {
                        let what = format!("delete {}", oldest.path.display());
                        self.closed_bytes += oldest.bytes;
                        self.closed.push_front(oldest);
                        return Err(Error::io(what, error));
                    }
                    _ => {}
                }
            }
        }
        Ok(())
    }

    fn is_beyond(&self, oldest: &ClosedSegment, live_bytes: u64) -> bool {
        let too_large =
            self.bytes_maximum.is_some_and(|maximum| self.closed_bytes + live_bytes > maximum);
        too_large || self.left(oldest.last_write) == Some(Duration::ZERO)
    }
}
