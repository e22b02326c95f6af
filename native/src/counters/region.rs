//! The mapping itself: made by the supervisor as a memfd, attached by everyone else.
//!
//! ```text
//! 0      magic · layout version · schema hash · workers · listeners · stride · slots offset
//!        · names length · descriptor length · boot time (ns since the epoch)      10 × u64
//! 4096   listener names, each ended by \n, then the descriptor (JSON of the server)
//! slots  one page-aligned slot per worker index:
//!          worker cells (u64 each), then one block of cells per listener
//! ```
//! Cells are u64 with one writer each; readers take no lock. A slot belongs to a worker
//! *index*, so its counters survive the process and never go back.

use std::ffi::c_void;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::schema::{self, Cell, METRICS, Metric, Scope};
use crate::clock;
use crate::error::{Error, Result};

const MAGIC: u64 = u64::from_le_bytes(*b"INGESTRG");
const LAYOUT_VERSION: u64 = 1;
const PAGE: usize = 4096;
const HEADER_WORDS: usize = 10;
/// Far above any machine; bounds what a damaged header can make us map.
const MAXIMUM_WORKERS: usize = 4096;
const MAXIMUM_LISTENERS: usize = 4096;

/// One value of one row, as read at one moment.
#[derive(Debug, Clone, Copy)]
pub struct Sample {
    /// Index into [`METRICS`].
    pub metric: usize,
    /// Worker index.
    pub worker: usize,
    /// Listener index, for rows kept per listener.
    pub listener: Option<usize>,
    /// Index into the row's label values, for rows with a label.
    pub value_index: Option<usize>,
    /// The cell.
    pub value: u64,
}

/// The shared region.
pub struct Region {
    base: NonNull<u64>,
    length: usize,
    descriptor: OwnedFd,
    workers: usize,
    listeners: Vec<String>,
    text: Vec<u8>,
    stride: usize,
    slots: usize,
    boot_time_ns: u64,
}

// SAFETY: the mapping is only accessed through atomics after construction.
unsafe impl Send for Region {}
// SAFETY: as above; every access through a shared reference is atomic.
unsafe impl Sync for Region {}

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

fn round_up(length: usize) -> usize {
    length.div_ceil(PAGE) * PAGE
}

impl Region {
    /// Makes a region with every cell at zero.
    ///
    /// `descriptor` is free text for readers (the server's description), kept unchanged.
    ///
    /// # Errors
    /// [`Error::Invalid`] for impossible sizes, [`Error::Io`] when memory cannot be had.
    pub fn create(workers: usize, listeners: &[String], descriptor: &[u8]) -> Result<Self> {
        if workers == 0 || workers > MAXIMUM_WORKERS || listeners.len() > MAXIMUM_LISTENERS {
            return Err(Error::Invalid(format!(
                "{workers} workers, {} listeners",
                listeners.len()
            )));
        }
        if let Some(name) = listeners.iter().find(|name| name.contains('\n')) {
            return Err(Error::Invalid(format!("listener name {name:?}")));
        }
        let names: String = listeners.iter().flat_map(|name| [name.as_str(), "\n"]).collect();
        let cells = schema::width(Scope::Worker) + listeners.len() * schema::width(Scope::Listener);
        let stride = round_up(cells * 8);
        let slots = PAGE + round_up(names.len() + descriptor.len());
        let length = slots + workers * stride;

        // SAFETY: the name is a valid C string and the flags are constants.
        let raw = unsafe { libc::memfd_create(c"ingest-region".as_ptr(), libc::MFD_CLOEXEC) };
        if raw < 0 {
            return Err(Error::last_os("create the shared region"));
        }
        // SAFETY: `raw` was just returned by the kernel and has no other owner.
        let file = unsafe { OwnedFd::from_raw_fd(raw) };
        // Allocated at once: a machine without memory is a start error, not a SIGBUS later.
        // SAFETY: plain system call on an owned descriptor.
        let status = unsafe { libc::posix_fallocate(raw, 0, libc_offset(length)?) };
        if status != 0 {
            let source = std::io::Error::from_raw_os_error(status);
            return Err(Error::io(format!("allocate {length} bytes of shared memory"), source));
        }
        let base = map(raw, length)?;
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
        ];
        // SAFETY: the mapping is `length` bytes, page aligned, not shared with anyone yet,
        // and the header and both texts end before `slots`.
        unsafe {
            base.as_ptr().cast::<[u64; HEADER_WORDS]>().write(header);
            let text = base.as_ptr().cast::<u8>().add(PAGE);
            text.copy_from_nonoverlapping(names.as_ptr(), names.len());
            text.add(names.len()).copy_from_nonoverlapping(descriptor.as_ptr(), descriptor.len());
        }
        Ok(Self {
            base,
            length,
            descriptor: file,
            workers,
            listeners: listeners.to_vec(),
            text: descriptor.to_vec(),
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
        // SAFETY: duplicating any integer is harmless; a bad one is an error of the kernel.
        let raw = unsafe { libc::fcntl(descriptor, libc::F_DUPFD_CLOEXEC, 3) };
        if raw < 0 {
            return Err(Error::last_os(format!("attach the shared region at {descriptor}")));
        }
        // SAFETY: `raw` was just returned by the kernel and has no other owner.
        let file = unsafe { OwnedFd::from_raw_fd(raw) };
        // SAFETY: an all-zero stat is a valid value of the plain C struct.
        let mut status: libc::stat = unsafe { std::mem::zeroed() };
        // SAFETY: `status` is a valid place for the kernel to write to.
        if unsafe { libc::fstat(raw, &raw mut status) } != 0 {
            return Err(Error::last_os("size of the shared region"));
        }
        let length = usize::try_from(status.st_size).unwrap_or(0);
        if length < PAGE {
            return Err(Error::Layout(format!("{length} bytes are too few")));
        }
        let base = map(raw, length)?;
        // SAFETY: the mapping has at least one page; the header is written before the
        // descriptor is handed to anyone.
        let header = unsafe { base.as_ptr().cast::<[u64; HEADER_WORDS]>().read() };
        let mut region = Self {
            base,
            length,
            descriptor: file,
            workers: 0,
            listeners: Vec::new(),
            text: Vec::new(),
            stride: 0,
            slots: 0,
            boot_time_ns: header[9],
        };
        region.read_header(&header)?;
        Ok(region)
    }

    fn read_header(&mut self, header: &[u64; HEADER_WORDS]) -> Result<()> {
        if header[0] != MAGIC || header[1] != LAYOUT_VERSION || header[2] != schema::hash() {
            return Err(Error::Layout("made by another version of this program".into()));
        }
        let size = |word: usize, limit: usize| {
            usize::try_from(header[word])
                .ok()
                .filter(|size| *size <= limit)
                .ok_or_else(|| Error::Layout(format!("header word {word} is {}", header[word])))
        };
        self.workers = size(3, MAXIMUM_WORKERS)?;
        let listeners = size(4, MAXIMUM_LISTENERS)?;
        self.stride = size(5, self.length)?;
        self.slots = size(6, self.length)?;
        let names = size(7, self.length)?;
        let text = size(8, self.length)?;
        let cells = schema::width(Scope::Worker) + listeners * schema::width(Scope::Listener);
        if PAGE + names + text > self.slots
            || cells * 8 > self.stride
            || self.slots + self.workers * self.stride > self.length
        {
            return Err(Error::Layout("header and size disagree".into()));
        }
        // SAFETY: checked above to lie before `slots`, which lies within the mapping; the
        // texts are never written again.
        let bytes = unsafe {
            std::slice::from_raw_parts(self.base.as_ptr().cast::<u8>().add(PAGE), names + text)
        };
        self.listeners =
            String::from_utf8_lossy(&bytes[..names]).lines().map(str::to_owned).collect();
        if self.listeners.len() != listeners {
            return Err(Error::Layout("listener names are incomplete".into()));
        }
        self.text = bytes[names..].to_vec();
        Ok(())
    }

    /// The descriptor to hand to a child process.
    pub fn fileno(&self) -> RawFd {
        self.descriptor.as_raw_fd()
    }

    /// How many worker slots there are.
    pub fn workers(&self) -> usize {
        self.workers
    }

    /// Names of the listeners, by index.
    pub fn listeners(&self) -> &[String] {
        &self.listeners
    }

    /// The text given to [`Self::create`].
    pub fn descriptor(&self) -> &[u8] {
        &self.text
    }

    /// When the region was made, nanoseconds since the epoch.
    pub fn boot_time_ns(&self) -> u64 {
        self.boot_time_ns
    }

    fn at(&self, worker: usize, block: usize, offset: usize) -> &AtomicU64 {
        assert!(worker < self.workers && block + offset < self.stride / 8, "cell out of range");
        // SAFETY: the assertion keeps the address within slot `worker`, `read_header` and
        // `create` keep all slots within the mapping, and 8-byte alignment follows from the
        // page-aligned slots.
        unsafe {
            let slot = (self.slots + worker * self.stride) / 8;
            self.base.add(slot + block + offset).cast::<AtomicU64>().as_ref()
        }
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
        let block = schema::width(Scope::Worker) + listener * schema::width(Scope::Listener);
        self.at(worker, block, cell.offset + index)
    }

    /// Finds a cell by the names that people use.
    ///
    /// # Errors
    /// [`Error::Invalid`] names what does not exist.
    pub fn by_name(
        &self,
        worker: usize,
        metric: &str,
        listener: Option<usize>,
        label: Option<&str>,
    ) -> Result<&AtomicU64> {
        let unknown = |what: String| Error::Invalid(format!("{metric}: {what}"));
        let (cell, row) = schema::find(metric).ok_or_else(|| unknown("no such metric".into()))?;
        if worker >= self.workers {
            return Err(unknown(format!("no worker {worker}")));
        }
        let index = match label {
            None if row.values.is_empty() => 0,
            None => return Err(unknown(format!("needs a value of its label {}", row.label))),
            Some(label) => row
                .values
                .iter()
                .position(|value| *value == label)
                .ok_or_else(|| unknown(format!("no label value {label:?}")))?,
        };
        match (row.scope, listener) {
            (Scope::Worker, None) => Ok(self.worker(worker, cell, index)),
            (Scope::Listener, Some(listener)) if listener < self.listeners.len() => {
                Ok(self.listener(worker, listener, cell, index))
            }
            _ => Err(unknown(format!("kept per {:?}, listener {listener:?} given", row.scope))),
        }
    }

    /// Reads every cell of every public row.
    pub fn samples(&self) -> Vec<Sample> {
        let mut samples = Vec::new();
        for (metric, row) in METRICS.iter().enumerate().filter(|(_, row)| row.public) {
            for worker in 0..self.workers {
                match row.scope {
                    Scope::Worker => self.sample_row(&mut samples, metric, row, worker, None),
                    Scope::Listener => (0..self.listeners.len()).for_each(|listener| {
                        self.sample_row(&mut samples, metric, row, worker, Some(listener));
                    }),
                }
            }
        }
        samples
    }

    fn sample_row(
        &self,
        samples: &mut Vec<Sample>,
        metric: usize,
        row: &Metric,
        worker: usize,
        listener: Option<usize>,
    ) {
        let cell = schema::place(row);
        for index in 0..row.cells() {
            let place = match listener {
                None => self.worker(worker, cell, index),
                Some(listener) => self.listener(worker, listener, cell, index),
            };
            samples.push(Sample {
                metric,
                worker,
                listener,
                value_index: (!row.values.is_empty()).then_some(index),
                value: place.load(Ordering::Relaxed),
            });
        }
    }
}

impl Drop for Region {
    fn drop(&mut self) {
        // SAFETY: the mapping was made by `map` with this length and ends with `self`.
        unsafe { libc::munmap(self.base.as_ptr().cast::<c_void>(), self.length) };
    }
}

fn libc_offset(length: usize) -> Result<libc::off_t> {
    libc::off_t::try_from(length).map_err(|_| Error::Invalid(format!("{length} bytes")))
}

fn map(descriptor: RawFd, length: usize) -> Result<NonNull<u64>> {
    let protection = libc::PROT_READ | libc::PROT_WRITE;
    // SAFETY: a fresh shared mapping at an address of the kernel's choice.
    let base = unsafe {
        libc::mmap(std::ptr::null_mut(), length, protection, libc::MAP_SHARED, descriptor, 0)
    };
    if base == libc::MAP_FAILED {
        return Err(Error::last_os("map the shared region"));
    }
    NonNull::new(base.cast::<u64>()).ok_or_else(|| Error::Layout("mapped at zero".into()))
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
        let region = Region::create(3, &names(2), b"{}").unwrap();
        region.listener(2, 1, cells::RECEIVED, 0).store(7, Ordering::Relaxed);
        let other = Region::attach(region.fileno()).unwrap();
        assert_eq!(other.workers(), 3);
        assert_eq!(other.listeners(), names(2));
        assert_eq!(other.descriptor(), b"{}");
        assert_eq!(other.boot_time_ns(), region.boot_time_ns());
        let cell = other.by_name(2, "ingest_events_received_total", Some(1), None).unwrap();
        assert_eq!(cell.load(Ordering::Relaxed), 7);
    }

    /// No two (worker, listener, row, label value) share a cell.
    #[test]
    fn cells_do_not_overlap() {
        let region = Region::create(2, &names(3), b"").unwrap();
        for (value, sample) in region.samples().iter().enumerate() {
            let row = &METRICS[sample.metric];
            let label = sample.value_index.map(|index| row.values[index]);
            region
                .by_name(sample.worker, row.name, sample.listener, label)
                .unwrap()
                .store(value as u64, Ordering::Relaxed);
        }
        for (value, sample) in region.samples().iter().enumerate() {
            assert_eq!(sample.value, value as u64);
        }
    }

    /// A region of another layout is refused, not misread.
    #[test]
    fn foreign_layout_is_refused() {
        let region = Region::create(1, &names(1), b"").unwrap();
        // SAFETY: the test owns the only mapping.
        unsafe { region.base.as_ptr().cast::<u64>().add(2).write(1) };
        assert!(matches!(Region::attach(region.fileno()), Err(Error::Layout(_))));
    }

    /// Every duration lands in the first bucket whose bound it does not exceed.
    #[test]
    fn durations_land_in_their_bucket() {
        let region = Region::create(1, &names(1), b"").unwrap();
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

    /// Names that do not exist are errors that say so.
    #[test]
    fn unknown_names_are_errors() {
        let region = Region::create(1, &names(1), b"").unwrap();
        for (worker, metric, listener, label) in [
            (0, "ingest_nothing", None, None),
            (1, "ingest_worker_pid", None, None),
            (0, "ingest_worker_pid", Some(0), None),
            (0, "ingest_events_received_total", None, None),
            (0, "ingest_events_received_total", Some(1), None),
            (0, "ingest_events_lost_total", Some(0), None),
            (0, "ingest_events_lost_total", Some(0), Some("moon")),
        ] {
            assert!(region.by_name(worker, metric, listener, label).is_err(), "{metric}");
        }
    }
}
