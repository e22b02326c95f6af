//! One worker's composition: sockets → frames → pipeline → journal or dead letters, with
//! every step counted. It decides nothing about time or signals; its caller does.

mod account;
mod cycle;
mod dead_letters;
mod format;
mod handoff;
mod lines;
mod predecessor;
mod recover;
mod submitting;
mod tally;

use std::os::fd::RawFd;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use account::Account;
use cycle::Cycle;
use dead_letters::DeadLetters;
use format::Reader;
pub use handoff::{Handoff, Returned, Run};
use lines::Lines;
use predecessor::Predecessor;
use recover::directory;
pub use recover::{Found, recover};

use crate::clock;
use crate::counters::{self, Region, Sources, add, cells};
use crate::decode;
use crate::error::{Error, Result};
use crate::journal::{self, Compression, Journal, Recompress};
use crate::pipeline::{PythonPatterns, Runner, Scrubber, config};
use crate::receive::config::ListenerConfig;
use crate::receive::{Bounds, Listener, Notice, Progress, Receiver, Sockets};

/// Lines are sealed into batches of about this size.
const BATCH_BYTES: usize = 1024 * 1024;
/// The machine is idle while its processes wait for processors and disks for less than this.
const IDLE_PRESSURE_PERCENT: f32 = 10.0;

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
    /// The Zstandard level to which closed segments are recompressed while the machine is idle.
    pub recompress_level: Option<i32>,
    /// Bound of what waits in memory to become durable, for each journal.
    pub queue_bytes: usize,
}

/// What one event and all senders together may take.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Nesting and keys of an event.
    pub event: decode::Limits,
    /// Connections and memory.
    pub receive: Bounds,
}

/// What all workers share.
#[derive(Clone)]
pub struct SharedMemory {
    /// What the server tells about itself.
    pub region: Arc<Region>,
    /// Who sends.
    pub sources: Arc<Sources>,
}

/// What happens to events between decode and journal.
#[derive(Default)]
pub struct Pipeline {
    /// The native segments. Between each two of them is one in Python.
    pub segments: Vec<config::Segment>,
    /// Every native redactor, wherever it stands: for the dead letters.
    pub redactors: config::Segment,
    /// Whether there are redactors in Python too.
    pub has_foreign_redactors: bool,
    /// Python's engine for patterns.
    pub python: Option<Arc<dyn PythonPatterns>>,
}

impl Pipeline {
    /// With labels, the first segment adds them.
    fn compile(&self, limits: decode::Limits, has_labels: bool) -> Result<(Vec<Runner>, Scrubber)> {
        let python = || self.python.clone();
        let mut segments = self.segments.clone();
        if segments.is_empty() {
            segments.push(config::Segment::default());
        }
        segments[0].has_labels = has_labels;
        let segments = segments.iter();
        let runners = segments
            .map(|segment| Runner::new(segment, limits, python()))
            .collect::<Result<_>>()?;
        let scrubber = Scrubber::new(&self.redactors, self.has_foreign_redactors, python())?;
        Ok((runners, scrubber))
    }
}

/// What becomes of the connections of a shard that ends.
#[derive(Debug, Clone, Copy)]
enum Ending {
    Drain,
    HandOver,
}

/// For each listener of a region, its labels as the text of a JSON object.
fn labels(listeners: &[Listener], count: usize) -> Vec<Option<String>> {
    let mut labels = vec![None; count];
    for Listener { config, .. } in listeners.iter().filter(|of| !of.config.labels.is_empty()) {
        if let Some(labels) = labels.get_mut(config.index) {
            *labels = serde_json::to_string(&config.labels).ok();
        }
    }
    labels
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
        memory: &SharedMemory,
        worker: usize,
        data_dir: &Path,
        sockets: Sockets,
        keeping: &Keeping,
        limits: Limits,
        pipeline: &Pipeline,
    ) -> Result<(Self, Found)> {
        let SharedMemory { region, sources } = memory.clone();
        let labels = labels(&sockets.listeners, region.listeners().len());
        let has_labels = labels.iter().any(Option::is_some);
        let (runners, scrubber) = pipeline.compile(limits.event, has_labels)?;
        if worker >= region.workers() || worker >= sources.workers() {
            return Err(Error::Invalid(format!("worker {worker}")));
        }
        let names = region.listeners();
        let is_known =
            |listener: &Listener| names.get(listener.config.index) == Some(&listener.config.name);
        if let Some(stranger) = sockets.listeners.iter().find(|listener| !is_known(listener)) {
            let ListenerConfig { index, name, .. } = &stranger.config;
            return Err(Error::Invalid(format!("listener {index}, {name:?}")));
        }
        let open = |journal: counters::Journal| {
            // A predecessor may have died while its disk was full.
            region.worker(worker, cells::STALL, journal.index()).store(0, Ordering::Release);
            let options = journal::Options {
                directory: directory(data_dir, journal, worker),
                // Bounded by the number of workers a region can have.
                #[allow(clippy::cast_possible_truncation)]
                shard: worker as u32,
                sources: region.listeners().to_vec(),
                durable_sequence: counters::counted_sequence(&region, worker, journal),
                compression: keeping.compression,
                sync_interval: keeping.sync_interval,
                segment_bytes: keeping.segment_bytes,
                segment_age: keeping.segment_age,
                retention_bytes: keeping.retention_bytes,
                retention_age: keeping.retention_age,
                recompress: keeping.recompress_level.map(|level| Recompress {
                    level,
                    pressure_maximum_percent: IDLE_PRESSURE_PERCENT,
                }),
                batch_bytes: BATCH_BYTES,
                queue_bytes: keeping.queue_bytes,
            };
            let account = Account { region: Arc::clone(&region), worker, journal };
            Journal::open(&options, Arc::new(account))
        };
        let (events, found_events) = open(counters::Journal::Events)?;
        let (dead, found_dead) = open(counters::Journal::Dead)?;
        let mut readers: Vec<Option<Box<Reader>>> = names.iter().map(|_| None).collect();
        for Listener { config, .. } in &sockets.listeners {
            readers[config.index] = Some(Box::new(Reader::new(config, limits.event)?));
        }
        let stored = [found_events.mark, found_dead.mark];
        let arena = Arc::clone(&sockets.arena);
        let mark = stored.into_iter().max().unwrap_or(0);
        let receiver =
            Receiver::new(Arc::clone(&region), sources, worker, sockets, limits.receive, mark)?;
        let replayed = receiver.has_replay().then_some(&*arena);
        let (found, open) =
            recover::settle(&region, worker, data_dir, [found_events, found_dead], replayed)?;
        let (counted, durable) = (arena.counted(), receiver.durable());
        let count = region.listeners().len();
        let lines = Lines {
            readers,
            runners,
            labels,
            handoff: Handoff::default(),
            held: vec![0; count],
            held_again: vec![0; count],
            cycle: Cycle { taken: durable, completed: durable, is_replay: true },
            predecessor: Predecessor {
                stored,
                counted,
                open,
                refused: vec![0; count],
                forgone: vec![0; count],
            },
            arena,
            discarded: Vec::new(),
            events,
            dead: DeadLetters { journal: dead, scrubber, region: Arc::clone(&region) },
            region,
            worker,
            spares_reserve: true,
        };
        Ok((Self { receiver, lines, paused: false }, found))
    }

    /// The descriptor to poll: readable while there is something to [`Self::drain`].
    pub fn fileno(&self) -> RawFd {
        self.receiver.fileno()
    }

    /// Descriptors that become readable when the journals have made progress.
    pub fn progress_filenos(&self) -> [RawFd; 2] {
        [self.lines.events.wake_fd(), self.lines.dead.journal.wake_fd()]
    }

    /// Begins to accept connections and to read datagrams.
    ///
    /// # Errors
    /// When a socket cannot listen.
    pub fn listen(&mut self) -> Result<()> {
        self.receiver.listen()
    }

    /// Reads what is ready. Returns false when the journals have no room: then there is
    /// nothing to drain until [`Self::resume`] says so. Afterwards, [`Self::take_handoff`].
    pub fn drain(&mut self) -> bool {
        let progress = self.receiver.drain(&mut self.lines);
        if self.lines.has_handoff() {
            return true;
        }
        self.lines.publish();
        if progress == Progress::Stalled && !self.paused {
            self.paused = true;
            self.lines.sync_now();
            add(self.lines.region.worker(self.lines.worker, cells::INTAKE_PAUSES, 0), 1);
            self.show_pause();
        }
        progress != Progress::Stalled
    }

    /// The events that wait for Python, if there are any. Nothing is drained before they have
    /// come back with [`Self::accept`].
    pub fn take_handoff(&mut self) -> Option<Handoff> {
        self.lines.has_handoff().then(|| std::mem::take(&mut self.lines.handoff))
    }

    /// Takes back what Python made of a batch. There may be another then, for the next segment.
    ///
    /// # Errors
    /// When it does not fit the batch: a mistake of the program.
    pub fn accept(&mut self, handoff: Handoff, returned: &Returned<'_>) -> Result<()> {
        self.lines.accept(handoff, returned)?;
        if !self.lines.is_within_cycle() {
            self.lines.publish();
        }
        Ok(())
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
    /// When a journal's writer thread has ended, or the listeners cannot be watched again
    /// after a shortage: the worker is of no more use.
    pub fn tick(&mut self) -> Result<()> {
        if !self.lines.is_alive() {
            let source = std::io::Error::other("its writer thread has ended");
            return Err(Error::io("keep the journal", source));
        }
        self.lines
            .region
            .worker(self.lines.worker, cells::HEARTBEAT, 0)
            .store(clock::monotonic_ns(), Ordering::Release);
        self.show_pause();
        self.lines.show_stages();
        self.receiver.tick(&self.lines)
    }

    /// What people should know of and was not told before.
    pub fn take_notices(&mut self) -> Vec<Notice> {
        self.receiver.take_notices()
    }

    /// The text of the disk error that holds a journal back, if one does.
    pub fn stall_text(&self) -> Option<String> {
        let stall = self.lines.events.stall().or_else(|| self.lines.dead.journal.stall());
        stall.map(|(_, text)| text)
    }

    /// Why a closed segment could not be sealed or recompressed, if that happened since the
    /// last call.
    pub fn take_upkeep_error(&self) -> Option<String> {
        let of_events = self.lines.events.take_upkeep_error();
        of_events.or_else(|| self.lines.dead.journal.take_upkeep_error())
    }

    /// Reads what the kernel already holds, makes everything durable and closes. `process` has
    /// Python work on a batch and gives it to [`Self::accept`]'s counterpart; false: it cannot.
    ///
    /// Returns how many events could not be made durable in time; they are counted as lost.
    pub fn finish(
        self,
        patience: Duration,
        process: impl FnMut(Handoff, &mut Reply<'_>) -> bool,
    ) -> u64 {
        self.end(Ending::Drain, patience, process)
    }

    /// Passes the connections on to the shard's successor, makes what was read durable and closes.
    /// What the kernel holds stays there. Otherwise like [`Self::finish`].
    pub fn hand_over(
        self,
        patience: Duration,
        process: impl FnMut(Handoff, &mut Reply<'_>) -> bool,
    ) -> u64 {
        self.end(Ending::HandOver, patience, process)
    }

    fn end(
        mut self,
        ending: Ending,
        patience: Duration,
        mut process: impl FnMut(Handoff, &mut Reply<'_>) -> bool,
    ) -> u64 {
        let deadline = Instant::now() + patience;
        // What has arrived is bounded, and stored before it is lost with its connection.
        self.lines.spares_reserve = false;
        let mut process_all = |lines: &mut Lines| {
            while lines.has_handoff() {
                let handoff = std::mem::take(&mut lines.handoff);
                if Instant::now() >= deadline || !process(handoff, &mut Reply(lines)) {
                    return false;
                }
            }
            true
        };
        let make_room = |lines: &mut Lines| {
            if lines.has_handoff() {
                return process_all(lines);
            }
            lines.sync_now();
            lines.wait(deadline)
        };
        match ending {
            Ending::Drain => self.receiver.finish(&mut self.lines, deadline, make_room),
            Ending::HandOver => self.receiver.hand_over(&mut self.lines, deadline, make_room),
        }
        process_all(&mut self.lines);
        let mut lost = self.lines.give_up();
        let Lines { mut events, dead, region, worker, .. } = self.lines;
        let mut dead = dead.journal;
        events.begin_close(deadline);
        dead.begin_close(deadline);
        let closed = [events, dead].map(|journal| journal.close(deadline));
        // Before anything is counted as lost, for that nobody may replay any more.
        self.receiver.leave_nothing();
        for closed in closed {
            for (listener, count) in closed.lost.iter().enumerate() {
                lost += count;
                // What may still be in the files is for whoever settles after us to count.
                if closed.cut {
                    let place = cells::LOST_DRAIN_DEADLINE;
                    add(region.listener(worker, listener, cells::LOST, place), *count);
                }
            }
        }
        lost
    }
}

/// Where [`Shard::finish`] takes back what Python made of a batch.
pub struct Reply<'a>(&'a mut Lines);

impl Reply<'_> {
    /// See [`Shard::accept`].
    ///
    /// # Errors
    /// When it does not fit the batch.
    pub fn accept(&mut self, handoff: Handoff, returned: &Returned<'_>) -> Result<()> {
        self.0.accept(handoff, returned)
    }
}
