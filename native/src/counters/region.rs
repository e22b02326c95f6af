//! The shared region: made by the supervisor, attached by everyone else.
//!
//! ```text
//! 0        magic · layout version · schema hash · workers · room for listeners · room for
//!          stages · stride · offset of the slots · bytes of an area · boot time (ns since the
//!          epoch) · version of the directory                                       11 × u64
//! 4096     the two areas of the directory (see there), page-aligned
//! server   the cells of the whole server, page-aligned
//! slots    one page-aligned slot per worker index:
//!            worker cells (u64 each), one block of cells per listener, one block per stage
//! ```
//! Cells are u64 with one writer each, but for `INBOX_CONNECTIONS`; readers take no lock. A slot
//! belongs to a worker *index*, so its counters survive the process and never go back. There is
//! room for more listeners and stages than the server starts with: a reload may add some.

use std::os::fd::RawFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::directory::{Areas, Directory};
use super::mapping::Mapping;
use super::schema::{self, Cell, LISTENER_CELLS, SERVER_CELLS, STAGE_CELLS, Scope, WORKER_CELLS};
use super::table::METRICS;
use crate::clock;
use crate::error::{Error, Result};

const MAGIC: u64 = u64::from_le_bytes(*b"INGESTRG");
const LAYOUT_VERSION: u64 = 3;
const PAGE: usize = 4096;
const HEADER_WORDS: usize = 11;
const VERSION_WORD: usize = 10;
/// Far above any machine; bounds what a damaged header can make us map.
const MAXIMUM_WORKERS: usize = 4096;
/// Listeners that a server can have in its life; memory is taken for those that there are.
pub const MAXIMUM_LISTENERS: usize = 4096;
/// A Python pipeline names the stage that decided about an event in one byte.
const MAXIMUM_STAGES: usize = 256;
/// How many more of them there may be before the server has to be restarted.
const SPARE_LISTENERS: usize = 16;
const SPARE_STAGES: usize = 32;
const SPARE_DIRECTORY_BYTES: usize = 64 * 1024;

/// The shared region, with its directory as of one version.
pub struct Region {
    mapping: Arc<Mapping>,
    sizes: Sizes,
    directory: Directory,
    boot_time_ns: u64,
}

/// What decides where everything lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Sizes {
    workers: usize,
    /// Room for so many.
    listeners: usize,
    stages: usize,
    area_bytes: usize,
}

impl Sizes {
    fn areas(&self) -> Areas {
        Areas { version: VERSION_WORD, first: PAGE / 8, words: self.area_bytes / 8 }
    }

    /// Offset of the cells of the whole server.
    fn server(&self) -> usize {
        PAGE + 2 * self.area_bytes
    }

    fn slots(&self) -> usize {
        self.server() + (SERVER_CELLS * 8).next_multiple_of(PAGE)
    }

    /// Bytes of a slot.
    fn stride(&self) -> usize {
        let cells = WORKER_CELLS + self.listeners * LISTENER_CELLS + self.stages * STAGE_CELLS;
        (cells * 8).next_multiple_of(PAGE)
    }

    fn length(&self) -> usize {
        self.slots() + self.workers * self.stride()
    }

    /// The newest directory, where it fits.
    fn read_directory(&self, mapping: &Mapping) -> Result<Directory> {
        let directory = Directory::read(mapping, self.areas())?;
        if directory.listeners.len() > self.listeners || directory.stages.len() > self.stages {
            return Err(Error::Layout("more names than room".into()));
        }
        Ok(directory)
    }
}

/// Increases a cell. Each has one writer, so load and store need not be one step.
pub fn add(cell: &AtomicU64, count: u64) {
    cell.store(cell.load(Ordering::Relaxed) + count, Ordering::Release);
}

/// Counts a duration in a histogram that is kept per worker.
pub fn observe(region: &Region, worker: usize, cell: Cell, duration: Duration) {
    let Some(row) = METRICS.iter().find(|row| schema::place(row) == cell) else { return };
    let seconds = duration.as_secs_f64();
    let sum = row.cells() - 1;
    let bounds = row.values[..sum].iter();
    let bucket = bounds
        .map(|bound| bound.parse().unwrap_or(f64::INFINITY))
        .position(|bound: f64| seconds <= bound)
        .unwrap_or(sum - 1);
    add(region.worker(worker, cell, bucket), 1);
    let nanoseconds = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
    add(region.worker(worker, cell, sum), nanoseconds);
}

impl Region {
    /// Makes a region with every cell at zero.
    ///
    /// `descriptor` is free text for readers (of the server), kept unchanged.
    ///
    /// # Errors
    /// [`Error::Invalid`] for impossible sizes, [`Error::Io`] when memory cannot be had.
    pub fn create(
        workers: usize,
        listeners: &[String],
        stages: &[String],
        descriptor: &[u8],
    ) -> Result<Self> {
        let make = |length| Mapping::create(c"ingest-region", length);
        Self::lay_out(make, workers, listeners, stages, descriptor)
    }

    /// [`Self::create`] in an empty file, whose descriptor is duplicated.
    ///
    /// # Errors
    /// As there.
    pub fn create_in(
        file: RawFd,
        workers: usize,
        listeners: &[String],
        stages: &[String],
        descriptor: &[u8],
    ) -> Result<Self> {
        let make = |length| Mapping::create_in(file, length);
        Self::lay_out(make, workers, listeners, stages, descriptor)
    }

    fn lay_out(
        make: impl FnOnce(usize) -> Result<Mapping>,
        workers: usize,
        listeners: &[String],
        stages: &[String],
        descriptor: &[u8],
    ) -> Result<Self> {
        if workers == 0
            || workers > MAXIMUM_WORKERS
            || listeners.len() > MAXIMUM_LISTENERS
            || stages.len() > MAXIMUM_STAGES
        {
            let (listeners, stages) = (listeners.len(), stages.len());
            let sizes = format!("{workers} workers, {listeners} listeners, {stages} stages");
            return Err(Error::Invalid(sizes));
        }
        let directory = Directory {
            version: 0,
            listeners: listeners.to_vec(),
            stages: stages.to_vec(),
            description: descriptor.to_vec(),
        };
        directory.check()?;
        let area_bytes = directory.words() * 8 + SPARE_DIRECTORY_BYTES;
        let sizes = Sizes {
            workers,
            listeners: (listeners.len() + SPARE_LISTENERS).min(MAXIMUM_LISTENERS),
            stages: (stages.len() + SPARE_STAGES).min(MAXIMUM_STAGES),
            area_bytes: area_bytes.next_multiple_of(PAGE),
        };
        let mapping = make(sizes.length())?;
        let boot_time_ns = clock::now_ns();
        let header: [u64; HEADER_WORDS] = [
            MAGIC,
            LAYOUT_VERSION,
            schema::hash(),
            workers as u64,
            sizes.listeners as u64,
            sizes.stages as u64,
            sizes.stride() as u64,
            sizes.slots() as u64,
            sizes.area_bytes as u64,
            boot_time_ns,
            0,
        ];
        for (index, word) in header.into_iter().enumerate() {
            mapping.word(index).store(word, Ordering::Release);
        }
        directory.write(&mapping, sizes.areas());
        Ok(Self { mapping: Arc::new(mapping), sizes, directory, boot_time_ns })
    }

    /// Maps a region that another process made. The descriptor is duplicated.
    ///
    /// # Errors
    /// [`Error::Layout`] when it was made by another layout of this program.
    pub fn attach(descriptor: RawFd) -> Result<Self> {
        let mapping = Mapping::attach(descriptor)?;
        let length = mapping.length();
        if length < PAGE {
            return Err(Error::Layout(format!("{length} bytes are too few")));
        }
        let header: [u64; HEADER_WORDS] =
            std::array::from_fn(|index| mapping.word(index).load(Ordering::Acquire));
        if header[..3] != [MAGIC, LAYOUT_VERSION, schema::hash()] {
            return Err(Error::Layout("made by another version of this program".into()));
        }
        let size = |word: usize, limit: usize| {
            usize::try_from(header[word])
                .ok()
                .filter(|size| *size <= limit)
                .ok_or_else(|| Error::Layout(format!("header word {word} is {}", header[word])))
        };
        let sizes = Sizes {
            workers: size(3, MAXIMUM_WORKERS)?,
            listeners: size(4, MAXIMUM_LISTENERS)?,
            stages: size(5, MAXIMUM_STAGES)?,
            area_bytes: size(8, length)?,
        };
        if size(6, length)? != sizes.stride()
            || size(7, length)? != sizes.slots()
            || sizes.area_bytes < PAGE
            || sizes.length() > length
        {
            return Err(Error::Layout("header and size disagree".into()));
        }
        let directory = sizes.read_directory(&mapping)?;
        Ok(Self { mapping: Arc::new(mapping), sizes, directory, boot_time_ns: header[9] })
    }

    /// Makes names and the descriptor what readers find from now on; returns that view.
    ///
    /// For the one process that made the region. Names may be added behind those there are.
    ///
    /// # Errors
    /// [`Error::Invalid`] when others are missing or there is no room; nothing has changed then.
    pub fn publish(
        &self,
        listeners: &[String],
        stages: &[String],
        descriptor: &[u8],
    ) -> Result<Self> {
        let old = &self.directory;
        if !listeners.starts_with(&old.listeners) || !stages.starts_with(&old.stages) {
            return Err(Error::Invalid("a name of the region cannot change".into()));
        }
        let directory = Directory {
            version: old.version + 1,
            listeners: listeners.to_vec(),
            stages: stages.to_vec(),
            description: descriptor.to_vec(),
        };
        directory.check()?;
        for (what, wanted, room) in [
            ("listeners", listeners.len(), self.sizes.listeners),
            ("stages", stages.len(), self.sizes.stages),
            ("words of names and description", directory.words(), self.sizes.area_bytes / 8),
        ] {
            if wanted > room {
                return Err(Error::Invalid(format!(
                    "no room for {wanted} {what} in all since the start, only for {room}"
                )));
            }
        }
        directory.write(&self.mapping, self.sizes.areas());
        Ok(self.seen_as(directory))
    }

    /// The region with its newest directory, where that is newer than this view of it.
    ///
    /// # Errors
    /// [`Error::Layout`] when it is damaged.
    pub fn refreshed(&self) -> Result<Option<Self>> {
        if Directory::newest(&self.mapping, self.sizes.areas()) == self.directory.version {
            return Ok(None);
        }
        Ok(Some(self.seen_as(self.sizes.read_directory(&self.mapping)?)))
    }

    fn seen_as(&self, directory: Directory) -> Self {
        let mapping = Arc::clone(&self.mapping);
        Self { mapping, directory, sizes: self.sizes, boot_time_ns: self.boot_time_ns }
    }

    /// The descriptor to hand to a child process.
    pub fn fileno(&self) -> RawFd {
        self.mapping.fileno()
    }

    /// How many worker slots there are.
    pub fn workers(&self) -> usize {
        self.sizes.workers
    }

    /// Names of the listeners, by index, also of those that are no more.
    pub fn listeners(&self) -> &[String] {
        &self.directory.listeners
    }

    /// Names of the stages, by index, also of those that are no more in the pipeline.
    pub fn stages(&self) -> &[String] {
        &self.directory.stages
    }

    /// The text given to [`Self::create`] or [`Self::publish`].
    pub fn descriptor(&self) -> &[u8] {
        &self.directory.description
    }

    /// When the region was made, nanoseconds since the epoch.
    pub fn boot_time_ns(&self) -> u64 {
        self.boot_time_ns
    }

    fn at(&self, worker: usize, block: usize, offset: usize) -> &AtomicU64 {
        let stride = self.sizes.stride();
        assert!(worker < self.sizes.workers && block + offset < stride / 8, "cell out of range");
        self.mapping.word((self.sizes.slots() + worker * stride) / 8 + block + offset)
    }

    /// The cell `index` of a row that is kept per worker.
    ///
    /// # Panics
    /// When worker or index do not exist: a mistake of the program, not of its input.
    pub fn worker(&self, worker: usize, cell: Cell, index: usize) -> &AtomicU64 {
        debug_assert!(cell.scope == Scope::Worker);
        self.at(worker, 0, cell.offset + index)
    }

    /// The cell `index` of a row that is kept per worker and listener.
    ///
    /// # Panics
    /// When worker, listener or index do not exist.
    pub fn listener(&self, worker: usize, listener: usize, cell: Cell, index: usize) -> &AtomicU64 {
        debug_assert!(cell.scope == Scope::Listener && listener < self.listeners().len());
        let block = WORKER_CELLS + listener * LISTENER_CELLS;
        self.at(worker, block, cell.offset + index)
    }

    /// The cell `index` of a row that is kept per worker and stage.
    ///
    /// # Panics
    /// When worker, stage or index do not exist.
    pub fn stage(&self, worker: usize, stage: usize, cell: Cell, index: usize) -> &AtomicU64 {
        debug_assert!(cell.scope == Scope::Stage && stage < self.stages().len());
        let block = WORKER_CELLS + self.sizes.listeners * LISTENER_CELLS + stage * STAGE_CELLS;
        self.at(worker, block, cell.offset + index)
    }

    /// The cell `index` of a row of the whole server.
    ///
    /// # Panics
    /// When the index does not exist.
    pub fn server(&self, cell: Cell, index: usize) -> &AtomicU64 {
        debug_assert!(cell.scope == Scope::Server);
        assert!(cell.offset + index < SERVER_CELLS, "cell out of range");
        self.mapping.word(self.sizes.server() / 8 + cell.offset + index)
    }
}

#[cfg(test)]
mod tests;
