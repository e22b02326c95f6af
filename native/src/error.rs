//! The one error type of the crate. What a sender does wrong is not an error but a
//! [`crate::reject::Reject`]; "need more bytes" is a value.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

/// Why an operation of this crate failed.
#[derive(Debug)]
pub enum Error {
    /// The operating system refused; `what` says what was attempted and on what.
    Io {
        /// The attempt, e.g. `open /data/journal/shard-0000`.
        what: String,
        /// The operating system's answer.
        source: io::Error,
    },
    /// An argument is outside of what the operation accepts.
    Invalid(String),
    /// A shared region was made by another layout of this program.
    Layout(String),
    /// Stored data does not hold what its metadata promises.
    Damaged {
        /// The damaged file.
        path: PathBuf,
        /// Byte offset of the damaged part.
        offset: u64,
        /// What is wrong there.
        what: String,
    },
}

/// A result with the crate's [`Error`].
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// An operating system error, with what was attempted.
    pub fn io(what: impl Into<String>, source: io::Error) -> Self {
        Self::Io { what: what.into(), source }
    }

    /// The last operating system error (`errno`), with what was attempted.
    pub fn last_os(what: impl Into<String>) -> Self {
        Self::io(what, io::Error::last_os_error())
    }

    /// Damage in a stored file.
    pub fn damaged(path: &Path, offset: u64, what: impl Into<String>) -> Self {
        Self::Damaged { path: path.to_owned(), offset, what: what.into() }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io { what, source } => write!(out, "{what}: {source}"),
            Self::Invalid(what) => write!(out, "invalid argument: {what}"),
            Self::Layout(what) => write!(out, "incompatible shared region: {what}"),
            Self::Damaged { path, offset, what } => {
                write!(out, "{}: damaged at byte {offset}: {what}", path.display())
            }
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Io { source, .. } => Some(source),
            _ => None,
        }
    }
}
