//! One segment file while it is written. Appends whole batches or nothing.

use std::fs::{File, OpenOptions};
use std::io::{self, IoSlice, Write};
use std::path::{Path, PathBuf};
use std::time::{Instant, SystemTime};

use super::directory::{segment_path, sync_directory};
use crate::error::{Error, Result};

/// 32 blocks of 128 KiB with their headers per system call.
const SLICES: usize = 64;

/// The segment being written.
#[derive(Debug)]
pub(super) struct Segment {
    file: File,
    path: PathBuf,
    opened: Instant,
    last_write: SystemTime,
    /// End of the last whole batch in the file.
    written: u64,
    /// End of what was synced and reported as durable.
    committed: u64,
    /// Part of a batch may stand behind `written`.
    torn: bool,
}

impl Segment {
    /// Begin the segment of `first_sequence`. An empty file of that name (left by a recovery
    /// or by an attempt that got no further) is used; one with content is never touched.
    pub fn create(directory: &Path, first_sequence: u64) -> Result<Self> {
        let path = segment_path(directory, first_sequence);
        let failed = |error| Error::io(format!("create {}", path.display()), error);
        let mut options = OpenOptions::new();
        // Appending: after a cut the next write goes to the new end without a seek.
        let file = options.create(true).append(true).open(&path).map_err(failed)?;
        if file.metadata().map_err(failed)?.len() != 0 {
            return Err(failed(io::ErrorKind::AlreadyExists.into()));
        }
        sync_directory(directory)?;
        Ok(Self {
            file,
            path,
            opened: Instant::now(),
            last_write: SystemTime::now(),
            written: 0,
            committed: 0,
            torn: false,
        })
    }

    pub fn bytes(&self) -> u64 {
        self.written
    }

    pub fn opened(&self) -> Instant {
        self.opened
    }

    pub fn last_write(&self) -> SystemTime {
        self.last_write
    }

    /// Append the parts of one batch and say how many bytes that were. After an error the
    /// file ends with the last whole batch again, at the latest before the next append.
    pub fn append<'a>(&mut self, parts: impl Iterator<Item = &'a [u8]>) -> Result<u64> {
        if self.torn {
            self.cut(self.written)?;
        }
        self.torn = true;
        match write_parts(&self.file, parts) {
            Ok(bytes) => {
                self.written += bytes;
                self.last_write = SystemTime::now();
                self.torn = false;
                Ok(bytes)
            }
            Err(error) => {
                // What fails here is tried again before the next append.
                let _ = self.cut(self.written);
                Err(Error::io(format!("write {}", self.path.display()), error))
            }
        }
    }

    /// Make everything appended durable.
    pub fn sync(&self) -> Result<()> {
        self.file
            .sync_data()
            .map_err(|error| Error::io(format!("sync {}", self.path.display()), error))
    }

    /// What was synced is there to stay.
    pub fn commit(&mut self) {
        self.committed = self.written;
    }

    /// Whether something is in the file that was never committed.
    pub fn has_uncommitted(&self) -> bool {
        self.torn || self.written > self.committed
    }

    /// Take away, durably, everything that was never committed.
    pub fn cut_to_committed(&mut self) -> Result<()> {
        self.cut(self.committed)?;
        self.file
            .sync_all()
            .map_err(|error| Error::io(format!("sync {}", self.path.display()), error))
    }

    fn cut(&mut self, end: u64) -> Result<()> {
        self.file
            .set_len(end)
            .map_err(|error| Error::io(format!("truncate {}", self.path.display()), error))?;
        self.written = end;
        self.torn = false;
        Ok(())
    }

    /// Done with it: what retention needs to know.
    pub fn into_closed(self) -> ClosedSegment {
        ClosedSegment { path: self.path, bytes: self.written, last_write: self.last_write }
    }
}

/// A segment that nothing is written to any more.
#[derive(Debug)]
pub(super) struct ClosedSegment {
    pub path: PathBuf,
    pub bytes: u64,
    pub last_write: SystemTime,
}

fn write_parts<'a>(mut file: &File, mut parts: impl Iterator<Item = &'a [u8]>) -> io::Result<u64> {
    let mut total = 0;
    loop {
        let mut slices = [IoSlice::new(&[]); SLICES];
        let mut filled = 0;
        for (slice, part) in slices.iter_mut().zip(&mut parts) {
            *slice = IoSlice::new(part);
            filled += 1;
        }
        if filled == 0 {
            return Ok(total);
        }
        let mut rest = &mut slices[..filled];
        while !rest.is_empty() {
            match file.write_vectored(rest) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(bytes) => {
                    total += bytes as u64;
                    IoSlice::advance_slices(&mut rest, bytes);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }
}
