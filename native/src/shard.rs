//! One worker's composition: sockets → frames → decode → journal or dead letters, with
//! every step counted. It decides nothing about time or signals; its caller does.

use std::os::fd::RawFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use crate::clock;
use crate::counters::{self, Region, add, cells};
use crate::dead_letter::DeadLetter;
use crate::decode::{self, Decoder, Edits};
use crate::error::{Error, Result};
use crate::frame::Frame;
use crate::journal::{self, Commit, Compression, Journal, Observer, Recovery, Stall};
use crate::receive::{Intake, Progress, Read, Receiver, Source};
use crate::reject::Reject;

/// Lines are sealed into batches of about this size.
const BATCH_BYTES: usize = 1024 * 1024;

/// How both journals of a shard are kept.
#[derive(Debug, Clone)]
pub struct Keeping {
    /// How lines are stored.
    pub compression: Compression,
    /// The longest an event waits for its sync to begin.
    pub sync_interval: Duration,
    /// A segment of this size is followed by a new one.
    pub segment_bytes: u64,
    /// A segment of this age is followed by a new one.
    pub segment_age: Duration,
    /// Whole segments are deleted, oldest first, while there is more than this.
    pub retention_bytes: Option<u64>,
    /// Whole segments are deleted when they are older than this.
    pub retention_age: Option<Duration>,
    /// Bound of what waits in memory to become durable, for each journal.
    pub queue_bytes: usize,
}

/// What one line, one connection and one worker may take.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Bytes of a line.
    pub line_bytes: usize,
    /// Nesting and keys of an event.
    pub event: decode::Limits,
    /// Connections open at once.
    pub connections: usize,
    /// Size of the receive ring.
    pub arena_bytes: usize,
}

/// What was found in the journals of a shard when they were opened.
#[derive(Debug)]
pub struct Found {
    /// The journal of events.
    pub events: Recovery,
    /// The dead letters.
    pub dead: Recovery,
    /// Events that a predecessor had received and that never became durable.
    pub lost: u64,
}

const JOURNALS: [counters::Journal; 2] = [counters::Journal::Events, counters::Journal::Dead];

/// Where a shard of a data directory keeps a journal.
fn directory(data_dir: &Path, journal: counters::Journal, shard: usize) -> PathBuf {
    let kind = match journal {
        counters::Journal::Events => "journal",
        counters::Journal::Dead => "dead",
    };
    data_dir.join(kind).join(format!("shard-{shard:04}"))
}

/// Recovers the journals of a worker that is gone and brings its counters to rest: what is
/// stored counts as journaled, and what was received and is not stored counts as lost.
///
/// # Errors
/// When a journal cannot be read or its torn tail cannot be cut.
pub fn recover(region: &Region, worker: usize, data_dir: &Path) -> Result<Found> {
    let mut recoveries = Vec::with_capacity(2);
    let mut stored = Vec::with_capacity(2);
    for journal in JOURNALS {
        let directory = directory(data_dir, journal, worker);
        let recovery = journal::recover(&directory)?;
        let mut counts = vec![0; region.listeners().len()];
        let mut next_sequence = recovery.next_sequence;
        if let Some(sequence) = counters::counted_sequence(region, worker, journal) {
            let (next, sources) = journal::events_since(&directory, sequence)?;
            next_sequence = next;
            for (source, count) in sources {
                let listener = region.listeners().iter().position(|name| *name == source);
                let listener = listener.ok_or_else(|| {
                    Error::Layout(format!("{}: no listener {source:?}", directory.display()))
                })?;
                counts[listener] += count;
            }
        }
        recoveries.push(recovery);
        stored.push((journal, next_sequence, counts));
    }
    let lost = match &stored[..] {
        [(events, next_event, event_counts), (dead, next_dead, dead_counts)] => counters::settle(
            region,
            worker,
            [(*events, *next_event, event_counts), (*dead, *next_dead, dead_counts)],
        ),
        _ => 0,
    };
    match <[Recovery; 2]>::try_from(recoveries) {
        Ok([events, dead]) => Ok(Found { events, dead, lost }),
        Err(_) => Err(Error::Invalid("two journals".into())),
    }
}

/// Counts what a journal's writer thread reports.
struct Account {
    region: Arc<Region>,
    worker: usize,
    journal: counters::Journal,
}

impl Account {
    fn cell(&self, cell: counters::Cell) -> &std::sync::atomic::AtomicU64 {
        self.region.worker(self.worker, cell, self.journal.index())
    }
}

impl Observer for Account {
    fn committed(&mut self, commit: &Commit<'_>) {
        counters::commit(
            &self.region,
            self.worker,
            self.journal,
            commit.next_sequence,
            commit.events_by_source,
        );
        add(self.cell(cells::WRITTEN_BYTES), commit.bytes);
        add(self.cell(cells::BATCHES), commit.batches);
        add(self.cell(cells::SEGMENTS), commit.segments);
        if self.journal == counters::Journal::Events {
            counters::observe(&self.region, self.worker, cells::SYNC_SECONDS, commit.sync_duration);
        }
    }

    fn stalled(&mut self, stall: Option<Stall>) {
        let code = match stall {
            None => 0,
            Some(Stall::NoSpace) => 1,
            Some(Stall::DiskError) => 2,
        };
        self.cell(cells::STALL).store(code, Ordering::Release);
        if stall.is_some() {
            add(self.cell(cells::STALLS), 1);
        }
    }
}

/// Takes frames: decodes them and hands the results to the journals.
struct Lines {
    decoder: Decoder,
    events: Journal,
    dead: Journal,
    line_limit: usize,
    region: Arc<Region>,
    worker: usize,
}

impl Lines {
    fn publish(&mut self) {
        self.events.publish();
        self.dead.publish();
    }

    fn cell(&self, listener: usize, cell: counters::Cell) -> &std::sync::atomic::AtomicU64 {
        self.region.listener(self.worker, listener, cell, 0)
    }

    fn count_edits(&self, edits: &EditCounts) {
        for (index, count) in edits.0.iter().enumerate().filter(|(_, count)| **count > 0) {
            add(self.region.worker(self.worker, cells::EDITS, index), *count);
        }
    }

    /// Why the journals take nothing more, as the values of `ingest_intake_paused`.
    fn pause_reason(&self) -> u64 {
        let stall = JOURNALS
            .map(|journal| self.region.worker(self.worker, cells::STALL, journal.index()))
            .into_iter()
            .map(|cell| cell.load(Ordering::Acquire))
            .max();
        1 + stall.unwrap_or(0)
    }

    /// Waits until the journals may have made progress, at most until the deadline.
    fn wait(&mut self, deadline: Instant) -> bool {
        let left = deadline.saturating_duration_since(Instant::now());
        let mut polled = [self.events.wake_fd(), self.dead.wake_fd()]
            .map(|descriptor| libc::pollfd { fd: descriptor, events: libc::POLLIN, revents: 0 });
        let timeout = i32::try_from(left.as_millis()).unwrap_or(i32::MAX);
        // SAFETY: the array holds two entries.
        unsafe { libc::poll(polled.as_mut_ptr(), 2, timeout) };
        self.clear_wakes();
        Instant::now() < deadline
    }

    fn clear_wakes(&self) {
        self.events.acknowledge_wake();
        self.dead.acknowledge_wake();
    }
}

/// Counts in the order of the label values of `ingest_edits_total`.
#[derive(Default)]
struct EditCounts([u64; 3]);

impl EditCounts {
    fn count(&mut self, edits: Edits) {
        self.0[0] += u64::from(edits.control_fields);
        self.0[1] += u64::from(edits.groups_wrapped);
        self.0[2] += u64::from(edits.unwrapped);
    }
}

impl Intake for Lines {
    fn has_room(&self) -> bool {
        self.events.has_room() && self.dead.has_room()
    }

    fn durable_mark(&self, consumed: u64) -> u64 {
        [&self.events, &self.dead]
            .into_iter()
            .filter(|journal| journal.durable_events() != journal.appended_events())
            .map(Journal::durable_mark)
            .fold(consumed, u64::min)
    }

    fn take(&mut self, read: &Read<'_>) {
        let count = read.frames.count();
        if count == 0 {
            return;
        }
        // Counted as received before anything else can happen to them.
        add(self.cell(read.listener, cells::RECEIVED), count as u64);
        self.cell(read.listener, cells::DECODING).store(count as u64, Ordering::Release);

        let now_ns = clock::now_ns();
        let whole = read.frames.whole_lines(read.chunk);
        let is_utf8 = simdutf8::basic::from_utf8(whole).is_ok();
        let head = read.frames.head(self.line_limit).map(|frame| (0, frame, false));
        let lines = read.frames.lines(read.chunk, self.line_limit);
        // Listener indices and frames of one read are far below these types' ends.
        #[allow(clippy::cast_possible_truncation)]
        let source = read.listener as u16;
        let mut edit_counts = EditCounts::default();
        let mut rejected = 0_u32;
        let events = self.events.batch();
        for (end, frame, is_utf8) in
            head.into_iter().chain(lines.map(|(end, frame)| (end, frame, is_utf8)))
        {
            let (reject, raw, length) = match frame {
                Frame::Overlong { head, length } => (Reject::LineTooLong, head, length),
                Frame::Line(line) => match self.decoder.decode(line, is_utf8, &mut events.lines) {
                    Ok(edits) => {
                        events.lines.push(b'\n');
                        edit_counts.count(edits);
                        continue;
                    }
                    Err(reject) => (reject, line, line.len() as u64),
                },
            };
            rejected += 1;
            add(
                self.region.listener(self.worker, read.listener, cells::REJECTED, reject as usize),
                1,
            );
            let letter = DeadLetter {
                received_ns: now_ns,
                listener: &self.region.listeners()[read.listener],
                peer: read.origin.peer(end),
                reject,
                raw,
                length,
            };
            letter.write(&mut self.dead.batch().lines);
        }
        #[allow(clippy::cast_possible_truncation)]
        let accepted = count as u32 - rejected;
        if accepted > 0 {
            events.add(source, accepted, now_ns, read.mark);
        }
        if rejected > 0 {
            self.dead.batch().add(source, rejected, now_ns, read.mark);
        }
        self.count_edits(&edit_counts);
        add(self.cell(read.listener, cells::ACCEPTED), count as u64);
        self.cell(read.listener, cells::DECODING).store(0, Ordering::Release);
        // Full batches go to the writer while the next are read.
        if self.events.batch().lines.len() >= BATCH_BYTES
            || self.dead.batch().lines.len() >= BATCH_BYTES
        {
            self.publish();
        }
    }
}

/// The sockets and journals of one worker.
pub struct Shard {
    receiver: Receiver,
    lines: Lines,
    paused: bool,
}

impl Shard {
    /// Recovers the shard's journals, settles what a predecessor left, and takes over the
    /// sockets. Nothing is read before [`Self::listen`].
    ///
    /// # Errors
    /// When a journal cannot be opened or memory cannot be had.
    pub fn open(
        region: Arc<Region>,
        worker: usize,
        data_dir: &Path,
        sources: Vec<Source>,
        keeping: &Keeping,
        limits: Limits,
    ) -> Result<(Self, Found)> {
        if worker >= region.workers() || sources.len() != region.listeners().len() {
            return Err(Error::Invalid(format!("worker {worker}, {} sockets", sources.len())));
        }
        for journal in JOURNALS {
            let path = directory(data_dir, journal, worker);
            std::fs::create_dir_all(&path)
                .map_err(|source| Error::io(format!("create {}", path.display()), source))?;
        }
        let found = recover(&region, worker, data_dir)?;
        let open = |journal| {
            let options = journal::Options {
                directory: directory(data_dir, journal, worker),
                // Bounded by the number of workers a region can have.
                #[allow(clippy::cast_possible_truncation)]
                shard: worker as u32,
                sources: region.listeners().to_vec(),
                compression: keeping.compression,
                sync_interval: keeping.sync_interval,
                segment_bytes: keeping.segment_bytes,
                segment_age: keeping.segment_age,
                retention_bytes: keeping.retention_bytes,
                retention_age: keeping.retention_age,
                batch_bytes: BATCH_BYTES,
                queue_bytes: keeping.queue_bytes,
            };
            let account = Account { region: Arc::clone(&region), worker, journal };
            Journal::open(&options, Box::new(account)).map(|(journal, _)| journal)
        };
        let lines = Lines {
            decoder: Decoder::new(limits.event),
            events: open(counters::Journal::Events)?,
            dead: open(counters::Journal::Dead)?,
            line_limit: limits.line_bytes,
            region: Arc::clone(&region),
            worker,
        };
        let receiver = Receiver::new(
            region,
            worker,
            sources,
            limits.arena_bytes,
            limits.line_bytes,
            limits.connections,
        )?;
        Ok((Self { receiver, lines, paused: false }, found))
    }

    /// The descriptor to poll: readable while there is something to [`Self::drain`].
    pub fn fileno(&self) -> RawFd {
        self.receiver.fileno()
    }

    /// Descriptors that become readable when the journals have made progress.
    pub fn progress_filenos(&self) -> [RawFd; 2] {
        [self.lines.events.wake_fd(), self.lines.dead.wake_fd()]
    }

    /// Begins to accept connections and to read datagrams.
    ///
    /// # Errors
    /// When a socket cannot listen.
    pub fn listen(&mut self) -> Result<()> {
        self.receiver.listen()
    }

    /// Reads what is ready. Returns false when the journals have no room: then there is
    /// nothing to drain until [`Self::resume`] says so.
    pub fn drain(&mut self) -> bool {
        let progress = self.receiver.drain(&mut self.lines);
        self.lines.publish();
        if progress == Progress::Stalled && !self.paused {
            self.paused = true;
            add(self.lines.region.worker(self.lines.worker, cells::INTAKE_PAUSES, 0), 1);
            self.show_pause();
        }
        progress != Progress::Stalled
    }

    /// After a stall, when a journal has made progress: whether to drain again.
    pub fn resume(&mut self) -> bool {
        self.lines.clear_wakes();
        let room = self.receiver.has_room(&self.lines);
        self.paused = !room;
        self.show_pause();
        room
    }

    fn show_pause(&self) {
        let reason = if self.paused { self.lines.pause_reason() } else { 0 };
        self.lines
            .region
            .worker(self.lines.worker, cells::INTAKE_PAUSED, 0)
            .store(reason, Ordering::Release);
    }

    /// The loop timer's work: the heartbeat, gauges, kernel counters.
    ///
    /// # Errors
    /// When the listeners cannot be watched again after a shortage.
    pub fn tick(&mut self) -> Result<()> {
        self.lines
            .region
            .worker(self.lines.worker, cells::HEARTBEAT, 0)
            .store(clock::monotonic_ns(), Ordering::Release);
        self.show_pause();
        self.receiver.tick(&self.lines)
    }

    /// The text of the disk error that holds a journal back, if one does.
    pub fn stall_text(&self) -> Option<String> {
        let stall = self.lines.events.stall().or_else(|| self.lines.dead.stall());
        stall.map(|(_, text)| text)
    }

    /// Reads what the kernel already holds, makes everything durable and closes.
    ///
    /// Returns how many events could not be made durable in time; they are counted as lost.
    pub fn finish(mut self, patience: Duration) -> u64 {
        let deadline = Instant::now() + patience;
        self.receiver.finish(&mut self.lines, deadline, |lines: &mut Lines| {
            lines.publish();
            lines.wait(deadline)
        });
        self.lines.publish();
        let Lines { events, dead, region, worker, .. } = self.lines;
        let mut lost = 0;
        for journal in [events, dead] {
            let closed = journal.close(deadline.saturating_duration_since(Instant::now()));
            for (listener, count) in closed.lost.iter().enumerate() {
                let cell =
                    region.listener(worker, listener, cells::LOST, cells::LOST_DRAIN_DEADLINE);
                add(cell, *count);
                lost += count;
            }
        }
        lost
    }
}
