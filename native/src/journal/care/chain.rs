//! The seals of a shard in one file, oldest first. Only ever grows at its end, but for the
//! seals of segments that are long deleted.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::super::directory::sync_directory;
use super::seal::Seal;
use crate::error::{Error, Result};

const NAME: &str = "seals.ndjson";
const DRAFT: &str = "seals.ndjson.draft";
/// A file of this size is rewritten when most of it is about deleted segments.
const TRIM_BYTES: u64 = 1 << 20;

/// What one line of the file holds.
pub(super) type Line = std::result::Result<Seal, &'static str>;

/// The lines of a chain, and how many bytes of half a line follow them.
#[derive(Debug, Default)]
pub(super) struct Stored {
    pub lines: Vec<Line>,
    pub torn_bytes: u64,
}

/// The file of the chain of the shard in `directory`.
pub(super) fn path(directory: &Path) -> PathBuf {
    directory.join(NAME)
}

/// Read the seals of the shard in `directory`; none where there is no file.
pub(super) fn read(directory: &Path) -> Result<Stored> {
    let path = directory.join(NAME);
    let bytes = match fs::read(&path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Stored::default()),
        Err(error) => return Err(Error::io(format!("read {}", path.display()), error)),
    };
    let whole = memchr::memrchr(b'\n', &bytes).map_or(0, |at| at + 1);
    let lines = bytes[..whole].split_inclusive(|&byte| byte == b'\n').map(|line| {
        let text = std::str::from_utf8(line).map_err(|_| "no text")?;
        Seal::parse(text)
    });
    Ok(Stored { lines: lines.collect(), torn_bytes: (bytes.len() - whole) as u64 })
}

/// The chain of a shard, to be added to. Nobody else adds to it meanwhile.
#[derive(Debug)]
pub(super) struct Chain {
    directory: PathBuf,
    file: File,
    end: u64,
    /// Something that is no part of the chain may stand behind its end.
    is_torn: bool,
    head: Option<String>,
    /// The newest seal of every segment that has one, by the segment's first sequence number.
    seals: BTreeMap<u64, Seal>,
    /// Lines in the file.
    lines: usize,
}

impl Chain {
    /// Open the chain and take half a line off its end. `None` while somebody else has it.
    pub fn open(directory: &Path) -> Result<Option<Self>> {
        let Some(file) = open_locked(&directory.join(NAME))? else { return Ok(None) };
        let failed = |error| failed(directory, "open", error);
        let stored = read(directory)?;
        let end = file.metadata().map_err(failed)?.len() - stored.torn_bytes;
        if stored.torn_bytes > 0 {
            file.set_len(end).map_err(failed)?;
        }
        sync_directory(directory)?;
        let lines = stored.lines.len();
        let seals: Vec<_> = stored.lines.into_iter().flatten().collect();
        Ok(Some(Self {
            directory: directory.to_owned(),
            file,
            end,
            is_torn: false,
            head: seals.last().map(|seal| seal.digest.clone()),
            seals: seals.into_iter().map(|seal| (seal.first_sequence, seal)).collect(),
            lines,
        }))
    }

    /// The newest seal of each segment.
    pub fn seals(&self) -> &BTreeMap<u64, Seal> {
        &self.seals
    }

    /// Whether the segment of `first_sequence`, or a newer one, is sealed.
    pub fn is_beyond(&self, first_sequence: u64) -> bool {
        self.seals.last_key_value().is_some_and(|(&newest, _)| newest >= first_sequence)
    }

    /// Add a seal, durably; after an error the chain is as it was before.
    pub fn append(&mut self, mut seal: Seal) -> Result<()> {
        let line = seal
            .link(self.head.clone())
            .map_err(|error| Error::Invalid(format!("a seal: {error}")))?;
        if self.is_torn {
            self.file
                .set_len(self.end)
                .map_err(|error| failed(&self.directory, "truncate", error))?;
        }
        self.is_torn = true;
        (&self.file)
            .write_all(line.as_bytes())
            .and_then(|()| self.file.sync_all())
            .map_err(|error| failed(&self.directory, "append to", error))?;
        self.is_torn = false;
        self.end += line.len() as u64;
        self.lines += 1;
        self.head = Some(seal.digest.clone());
        self.seals.insert(seal.first_sequence, seal);
        Ok(())
    }

    /// Forget the seals of segments before `oldest_sequence`, which are deleted, once they are
    /// most of a large file. The first seal that stays still names the last one that goes.
    pub fn trim(&mut self, oldest_sequence: u64) -> Result<()> {
        let mut kept = self.seals.split_off(&oldest_sequence);
        std::mem::swap(&mut self.seals, &mut kept);
        if self.end < TRIM_BYTES || self.seals.len() * 2 > self.lines {
            return Ok(());
        }
        let path = self.directory.join(NAME);
        let text = fs::read(&path).map_err(|error| failed(&self.directory, "read", error))?;
        let mut lines: Vec<_> = text.split_inclusive(|&byte| byte == b'\n').collect();
        // Whatever stands between what is kept belongs to the chain.
        let first = lines.iter().position(|line| {
            let seal = std::str::from_utf8(line).ok().and_then(|line| Seal::parse(line).ok());
            seal.is_some_and(|seal| seal.first_sequence >= oldest_sequence)
        });
        lines.drain(..first.unwrap_or(lines.len().saturating_sub(1)));
        let draft = self.directory.join(DRAFT);
        let rewrite = || {
            let file = OpenOptions::new().create(true).append(true).open(&draft)?;
            file.set_len(0)?;
            (&file).write_all(&lines.concat())?;
            file.sync_all()?;
            lock(&file)?;
            fs::rename(&draft, &path)?;
            Ok(file)
        };
        self.file = rewrite().map_err(|error| failed(&self.directory, "trim", error))?;
        self.end = lines.iter().map(|line| line.len() as u64).sum();
        self.lines = lines.len();
        sync_directory(&self.directory)
    }
}

/// The file at `path`, made if need be, with its lock; `None` while somebody else has that.
fn open_locked(path: &Path) -> Result<Option<File>> {
    let failed = |error| Error::io(format!("open {}", path.display()), error);
    loop {
        let file = OpenOptions::new().create(true).append(true).open(path).map_err(failed)?;
        match lock(&file) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
            Err(error) => return Err(failed(error)),
        }
        // Who trims it has another file take its name.
        let named = fs::metadata(path).map_err(failed)?.ino();
        if file.metadata().map_err(failed)?.ino() == named {
            return Ok(Some(file));
        }
    }
}

fn lock(file: &File) -> io::Result<()> {
    // SAFETY: flock takes no pointers, and `file` keeps the descriptor open.
    if unsafe { libc::flock(file.as_raw_fd(), libc::LOCK_EX | libc::LOCK_NB) } == 0 {
        return Ok(());
    }
    Err(io::Error::last_os_error())
}

fn failed(directory: &Path, what: &str, error: io::Error) -> Error {
    Error::io(format!("{what} {}", directory.join(NAME).display()), error)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use blake3::Hash;

    use super::super::digest::Contents;
    use super::super::seal::Cause;
    use super::*;

    fn seal(first_sequence: u64) -> Seal {
        let contents = Contents {
            first_sequence,
            next_sequence: first_sequence + 1,
            events: 1,
            bytes: 1,
            bytes_digest: Hash::from_bytes([1; 32]),
            content_digest: Some(Hash::from_bytes([2; 32])),
            is_damaged: false,
        };
        Seal::new(0, Cause::Closed, 0, &contents)
    }

    /// Whether each line names the one before, and the first seal's first sequence number.
    fn is_linked(lines: &[Line]) -> (bool, u64) {
        let seals: Vec<_> = lines.iter().map(|line| line.clone().unwrap()).collect();
        let linked =
            seals.windows(2).all(|pair| pair[1].previous.as_ref() == Some(&pair[0].digest));
        (linked, seals[0].first_sequence)
    }

    #[test]
    fn the_seals_of_deleted_segments_are_dropped_once_they_are_most_of_a_large_file() {
        let directory = std::env::temp_dir().join(format!("chain-test-{}", std::process::id()));
        fs::create_dir_all(&directory).unwrap();
        let (mut text, mut head, mut first) = (String::new(), None, 0);
        while text.len() as u64 <= TRIM_BYTES {
            let mut seal = seal(first);
            text.push_str(&seal.link(head).unwrap());
            (head, first) = (Some(seal.digest), first + 1);
        }
        fs::write(path(&directory), &text).unwrap();
        let mut chain = Chain::open(&directory).unwrap().unwrap();
        assert!(Chain::open(&directory).unwrap().is_none());
        chain.trim(first / 3).unwrap();
        assert_eq!(fs::metadata(path(&directory)).unwrap().len(), text.len() as u64);
        chain.trim(first - 2).unwrap();
        chain.append(seal(first)).unwrap();
        // It is another file now, and still nobody else's.
        assert!(Chain::open(&directory).unwrap().is_none());
        let stored = read(&directory).unwrap();
        assert_eq!((stored.lines.len(), stored.torn_bytes), (3, 0));
        assert_eq!(is_linked(&stored.lines), (true, first - 2));
        drop(chain);
        assert!(Chain::open(&directory).unwrap().unwrap().is_beyond(first));
        fs::remove_dir_all(&directory).unwrap();
    }
}
