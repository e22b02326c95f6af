//! The directory of the region: the names of its listeners and stages, and the server's
//! description. It grows while the server runs, and an index always means the same name.
//!
//! ```text
//! area   listeners · stages · length of the names · length of the description    4 × u64
//!        names of the listeners, then of the stages, each ended by \n; the description
//! ```
//! Two areas take turns. The lowest bit of a version word says which one counts, so the
//! other one can be written while everybody reads.

use std::sync::atomic::{AtomicU64, Ordering, fence};

use super::mapping::Mapping;
use crate::error::{Error, Result};

const HEADER_WORDS: usize = 4;
/// A reader that falls between two publications looks again; they are rare.
const READ_ATTEMPTS: usize = 1000;

/// What the rows of the region are called, as of one version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Directory {
    pub(super) version: u64,
    pub(super) listeners: Vec<String>,
    pub(super) stages: Vec<String>,
    /// Free text for readers: the server's description.
    pub(super) description: Vec<u8>,
}

/// Where the two areas lie.
#[derive(Debug, Clone, Copy)]
pub(super) struct Areas {
    /// The word that holds the version.
    pub(super) version: usize,
    /// The first word of the first area.
    pub(super) first: usize,
    /// Of each.
    pub(super) words: usize,
}

impl Areas {
    fn of(&self, version: u64) -> usize {
        self.first + usize::from(version & 1 == 1) * self.words
    }

    fn version<'a>(&self, mapping: &'a Mapping) -> &'a AtomicU64 {
        mapping.word(self.version)
    }
}

impl Directory {
    /// The words it takes in an area.
    pub(super) fn words(&self) -> usize {
        HEADER_WORDS + (self.names().len() + self.description.len()).div_ceil(8)
    }

    fn names(&self) -> String {
        let names = self.listeners.iter().chain(&self.stages);
        names.flat_map(|name| [name.as_str(), "\n"]).collect()
    }

    /// Whether a name cannot be written.
    pub(super) fn check(&self) -> Result<()> {
        let mut names = self.listeners.iter().chain(&self.stages);
        match names.find(|name| name.contains('\n')) {
            Some(name) => Err(Error::Invalid(format!("name {name:?}"))),
            None => Ok(()),
        }
    }

    /// Makes this what readers find. Only one process ever writes; the area is large enough.
    pub(super) fn write(&self, mapping: &Mapping, areas: Areas) {
        let area = areas.of(self.version);
        let mut bytes = self.names().into_bytes();
        let header = [self.listeners.len(), self.stages.len(), bytes.len(), self.description.len()];
        bytes.extend(&self.description);
        // Whoever sees a word of this area sees that the other one counts by now.
        fence(Ordering::Release);
        for (at, word) in header.into_iter().enumerate() {
            mapping.word(area + at).store(word as u64, Ordering::Relaxed);
        }
        mapping.store_bytes(area + HEADER_WORDS, &bytes);
        areas.version(mapping).store(self.version, Ordering::Release);
    }

    /// Reads the newest version.
    pub(super) fn read(mapping: &Mapping, areas: Areas) -> Result<Self> {
        for _ in 0..READ_ATTEMPTS {
            let version = Self::newest(mapping, areas);
            let read = Self::read_area(mapping, areas, version);
            fence(Ordering::Acquire);
            if areas.version(mapping).load(Ordering::Relaxed) == version {
                return read;
            }
        }
        Err(Error::Layout("the directory changes all the time".into()))
    }

    /// The version that a reader would find.
    pub(super) fn newest(mapping: &Mapping, areas: Areas) -> u64 {
        areas.version(mapping).load(Ordering::Acquire)
    }

    fn read_area(mapping: &Mapping, areas: Areas, version: u64) -> Result<Self> {
        let area = areas.of(version);
        let limit = (areas.words - HEADER_WORDS) * 8;
        let size = |at: usize| {
            usize::try_from(mapping.word(area + at).load(Ordering::Relaxed))
                .ok()
                .filter(|size| *size <= limit)
                .ok_or_else(|| Error::Layout("the directory is damaged".into()))
        };
        let (listeners, stages, names, text) = (size(0)?, size(1)?, size(2)?, size(3)?);
        if names + text > limit {
            return Err(Error::Layout("the directory is damaged".into()));
        }
        let mut bytes = mapping.load_bytes(area + HEADER_WORDS, names + text);
        let description = bytes.split_off(names);
        let names = String::from_utf8_lossy(&bytes);
        let mut names: Vec<String> = names.lines().map(str::to_owned).collect();
        if names.len() != listeners + stages {
            return Err(Error::Layout("the names are incomplete".into()));
        }
        let stages = names.split_off(listeners);
        Ok(Self { version, listeners: names, stages, description })
    }
}
