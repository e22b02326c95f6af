//! The shared region: made by the supervisor, attached by everyone else.
//!
//! ```text
//! 0      magic · layout version · schema hash · workers · listeners · stride · slots offset
//!        · names length · descriptor length · boot time (ns since the epoch) · stages   11 × u64
//! 4096   names of the listeners, then of the stages, each ended by \n, then the descriptor
//!        (JSON of the server)
//! slots  one page-aligned slot per worker index:
//!          worker cells (u64 each), one block of cells per listener, one block per stage
//! ```
//! Cells are u64 with one writer each; readers take no lock. A slot belongs to a worker
//! *index*, so its counters survive the process and never go back.

use std::os::fd::RawFd;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::mapping::Mapping;
use super::schema::{self, Cell, LISTENER_CELLS, STAGE_CELLS, Scope, WORKER_CELLS};
use super::table::METRICS;
use crate::clock;
use crate::error::{Error, Result};

const MAGIC: u64 = u64::from_le_bytes(*b"INGESTRG");
const LAYOUT_VERSION: u64 = 2;
const PAGE: usize = 4096;
const HEADER_WORDS: usize = 11;
/// Far above any machine; bounds what a damaged header can make us map.
const MAXIMUM_WORKERS: usize = 4096;
const MAXIMUM_LISTENERS: usize = 4096;
const MAXIMUM_STAGES: usize = 4096;

/// The shared region.
pub struct Region {
    mapping: Mapping,
    workers: usize,
    listeners: Vec<String>,
    stages: Vec<String>,
    descriptor: Vec<u8>,
    stride: usize,
    slots: usize,
    boot_time_ns: u64,
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

/// Bytes of a slot.
fn stride(listeners: usize, stages: usize) -> usize {
    let cells = WORKER_CELLS + listeners * LISTENER_CELLS + stages * STAGE_CELLS;
    (cells * 8).next_multiple_of(PAGE)
}

impl Region {
    /// Makes a region with every cell at zero.
    ///
    /// `descriptor` is free text for readers (the server's description), kept unchanged.
    ///
    /// # Errors
    /// [`Error::Invalid`] for impossible sizes, [`Error::Io`] when memory cannot be had.
    pub fn create(
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
        let names = || listeners.iter().chain(stages);
        if let Some(name) = names().find(|name| name.contains('\n')) {
            return Err(Error::Invalid(format!("name {name:?}")));
        }
        let names: String = names().flat_map(|name| [name.as_str(), "\n"]).collect();
        let stride = stride(listeners.len(), stages.len());
        let slots = PAGE + (names.len() + descriptor.len()).next_multiple_of(PAGE);
        let mut mapping = Mapping::create(c"ingest-region", slots + workers * stride)?;
        let boot_time_ns = clock::now_ns();
        let header: [u64; HEADER_WORDS] = [
            MAGIC,
            LAYOUT_VERSION,
            schema::hash(),
            workers as u64,
            listeners.len() as u64,
            stride as u64,
            slots as u64,
            names.len() as u64,
            descriptor.len() as u64,
            boot_time_ns,
            stages.len() as u64,
        ];
        for (index, word) in header.into_iter().enumerate() {
            mapping.word(index).store(word, Ordering::Release);
        }
        mapping.write_once(PAGE, names.as_bytes());
        mapping.write_once(PAGE + names.len(), descriptor);
        Ok(Self {
            mapping,
            workers,
            listeners: listeners.to_vec(),
            stages: stages.to_vec(),
            descriptor: descriptor.to_vec(),
            stride,
            slots,
            boot_time_ns,
        })
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
        let workers = size(3, MAXIMUM_WORKERS)?;
        let listeners = size(4, MAXIMUM_LISTENERS)?;
        let (stored_stride, slots) = (size(5, length)?, size(6, length)?);
        let (names, text) = (size(7, length)?, size(8, length)?);
        let stages = size(10, MAXIMUM_STAGES)?;
        if stored_stride != stride(listeners, stages)
            || PAGE + names + text > slots
            || slots + workers * stored_stride > length
        {
            return Err(Error::Layout("header and size disagree".into()));
        }
        let listed = String::from_utf8_lossy(mapping.bytes(PAGE, names));
        let mut listed: Vec<String> = listed.lines().map(str::to_owned).collect();
        if listed.len() != listeners + stages {
            return Err(Error::Layout("the names are incomplete".into()));
        }
        let stages = listed.split_off(listeners);
        Ok(Self {
            workers,
            listeners: listed,
            stages,
            descriptor: mapping.bytes(PAGE + names, text).to_vec(),
            stride: stored_stride,
            slots,
            boot_time_ns: header[9],
            mapping,
        })
    }

    /// The descriptor to hand to a child process.
    pub fn fileno(&self) -> RawFd {
        self.mapping.fileno()
    }

    /// How many worker slots there are.
    pub fn workers(&self) -> usize {
        self.workers
    }

    /// Names of the listeners, by index.
    pub fn listeners(&self) -> &[String] {
        &self.listeners
    }

    /// Names of the stages of the pipeline, by index.
    pub fn stages(&self) -> &[String] {
        &self.stages
    }

    /// The text given to [`Self::create`].
    pub fn descriptor(&self) -> &[u8] {
        &self.descriptor
    }

    /// When the region was made, nanoseconds since the epoch.
    pub fn boot_time_ns(&self) -> u64 {
        self.boot_time_ns
    }

    fn at(&self, worker: usize, block: usize, offset: usize) -> &AtomicU64 {
        assert!(worker < self.workers && block + offset < self.stride / 8, "cell out of range");
        self.mapping.word((self.slots + worker * self.stride) / 8 + block + offset)
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
        debug_assert!(cell.scope == Scope::Listener && listener < self.listeners.len());
        let block = WORKER_CELLS + listener * LISTENER_CELLS;
        self.at(worker, block, cell.offset + index)
    }

    /// The cell `index` of a row that is kept per worker and stage.
    ///
    /// # Panics
    /// When worker, stage or index do not exist.
    pub fn stage(&self, worker: usize, stage: usize, cell: Cell, index: usize) -> &AtomicU64 {
        debug_assert!(cell.scope == Scope::Stage && stage < self.stages.len());
        let block = WORKER_CELLS + self.listeners.len() * LISTENER_CELLS + stage * STAGE_CELLS;
        self.at(worker, block, cell.offset + index)
    }
}

#[cfg(test)]
mod tests {
    use super::super::schema::cells;
    use super::*;

    fn names(count: usize) -> Vec<String> {
        (0..count).map(|index| format!("tcp-{index}")).collect()
    }

    /// What one mapping writes, another mapping of the same descriptor reads.
    #[test]
    fn attached_region_sees_every_cell() {
        let region = Region::create(3, &names(2), &[], b"{}").unwrap();
        region.listener(2, 1, cells::RECEIVED, 0).store(7, Ordering::Relaxed);
        let other = Region::attach(region.fileno()).unwrap();
        assert_eq!(other.workers(), 3);
        assert_eq!(other.listeners(), names(2));
        assert_eq!(other.descriptor(), b"{}");
        assert_eq!(other.boot_time_ns(), region.boot_time_ns());
        let cell = other.by_name(2, "ingest_events_received_total", Some(1), None).unwrap();
        assert_eq!(cell.load(Ordering::Relaxed), 7);
    }

    /// A region of another layout is refused, not misread.
    #[test]
    fn foreign_layout_is_refused() {
        let region = Region::create(1, &names(1), &[], b"").unwrap();
        region.mapping.word(2).store(1, Ordering::Relaxed);
        assert!(matches!(Region::attach(region.fileno()), Err(Error::Layout(_))));
    }

    /// Every duration lands in the first bucket whose bound it does not exceed.
    #[test]
    fn durations_land_in_their_bucket() {
        let region = Region::create(1, &names(1), &[], b"").unwrap();
        let bucket = |label| {
            let cell = region.by_name(0, "ingest_journal_sync_seconds", None, Some(label));
            cell.unwrap().load(Ordering::Relaxed)
        };
        for milliseconds in [1, 4, 5, 20_000] {
            let duration = Duration::from_millis(milliseconds);
            observe(&region, 0, cells::SYNC_SECONDS, duration);
        }
        assert_eq!((bucket("0.001"), bucket("0.005"), bucket("+Inf")), (1, 2, 1));
        assert_eq!(bucket("sum"), 20_010_000_000);
    }
}
