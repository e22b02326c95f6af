//! The directory of a shard: names of segments, who may write, what is synced.

use std::fs::{self, File};
use std::io;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use crate::error::{Error, Result};

const SUFFIX: &str = ".ndjson.zst";
const DIGITS: usize = 20;
/// A writer that was killed leaves its lock to the process that shares its descriptors, which ends
/// within half of this.
const LOCK_PATIENCE: Duration = Duration::from_secs(10);
const LOCK_POLL: Duration = Duration::from_millis(1);

/// A segment as the directory lists it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct SegmentName {
    pub first_sequence: u64,
    pub path: PathBuf,
}

/// The path of the segment that begins at `first_sequence`.
pub(super) fn segment_path(directory: &Path, first_sequence: u64) -> PathBuf {
    directory.join(format!("{first_sequence:0DIGITS$}{SUFFIX}"))
}

fn parse_name(name: &str) -> Option<u64> {
    let digits = name.strip_suffix(SUFFIX)?;
    let plain = digits.len() == DIGITS && digits.bytes().all(|byte| byte.is_ascii_digit());
    plain.then(|| digits.parse().ok())?
}

/// The segments of `directory`, oldest first. A directory that does not exist has none;
/// files with other names are not ours and stay out of it.
pub(super) fn list_segments(directory: &Path) -> Result<Vec<SegmentName>> {
    let failed = |error| Error::io(format!("list {}", directory.display()), error);
    let entries = match fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(failed(error)),
    };
    let mut segments = Vec::new();
    for entry in entries {
        let entry = entry.map_err(failed)?;
        if let Some(first_sequence) = entry.file_name().to_str().and_then(parse_name) {
            segments.push(SegmentName { first_sequence, path: entry.path() });
        }
    }
    segments.sort_unstable_by_key(|segment| segment.first_sequence);
    Ok(segments)
}

/// Make the names in `directory` durable.
pub(super) fn sync_directory(directory: &Path) -> Result<()> {
    File::open(directory)
        .and_then(|file| file.sync_all())
        .map_err(|error| Error::io(format!("sync directory {}", directory.display()), error))
}

/// Create `directory` with all that is missing above it, durably.
pub(super) fn create_directory(directory: &Path) -> Result<()> {
    let missing = directory.ancestors().take_while(|ancestor| !ancestor.exists()).count();
    fs::create_dir_all(directory)
        .map_err(|error| Error::io(format!("create {}", directory.display()), error))?;
    for parent in directory.ancestors().skip(1).take(missing) {
        // The parent of a relative path's first part is the empty path.
        let is_here = parent.as_os_str().is_empty();
        sync_directory(if is_here { Path::new(".") } else { parent })?;
    }
    Ok(())
}

/// The right to write to a shard directory; the kernel takes it back when the holder dies.
#[derive(Debug)]
pub(super) struct DirectoryLock {
    _file: File,
}

impl DirectoryLock {
    /// Take the lock at once or fail: two writers would cut each other's batches back.
    pub fn acquire(directory: &Path) -> Result<Self> {
        Self::acquire_within(directory, Duration::ZERO)
    }

    /// Take the lock that a writer may leave that has just died.
    pub fn inherit(directory: &Path) -> Result<Self> {
        Self::acquire_within(directory, LOCK_PATIENCE)
    }

    fn acquire_within(directory: &Path, patience: Duration) -> Result<Self> {
        let what = || format!("lock {}", directory.display());
        let file = File::open(directory).map_err(|error| Error::io(what(), error))?;
        let deadline = Instant::now() + patience;
        loop {
            // SAFETY: flock takes no pointers, and `file` keeps the descriptor open.
            if unsafe { libc::flock(file.as_raw_fd(), libc::LOCK_EX | libc::LOCK_NB) } == 0 {
                return Ok(Self { _file: file });
            }
            let error = io::Error::last_os_error();
            if error.kind() != io::ErrorKind::WouldBlock || Instant::now() >= deadline {
                return Err(Error::io(what(), error));
            }
            thread::sleep(LOCK_POLL);
        }
    }
}
