//! The writer thread: batches into the segment as they come, one `fdatasync` for many of them.
//!
//! A batch stays in memory until it is synced: after a failed `fdatasync` the kernel may have
//! dropped the pages and reports the next one as a success, so the data is written anew,
//! to another segment. No error drops a batch; only [`super::Journal::close`] gives up.

use std::collections::VecDeque;
use std::mem;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use super::adaptive::Adaptive;
use super::batch::Batch;
use super::care::Care;
use super::directory::DirectoryLock;
use super::encode::Encoder;
use super::observer::{Commit, Observer, Stall};
use super::options::{Compression, Options};
use super::queue::{Queue, Work};
use super::retention::Retention;
use super::segment::Segment;
use crate::error::{Error, Result};

const RETRY_MINIMUM: Duration = Duration::from_millis(100);
const RETRY_MAXIMUM: Duration = Duration::from_secs(1);
/// How often it looks for a segment to replace while nothing is received.
const SWAP_PERIOD: Duration = Duration::from_secs(1);

pub(super) struct Writer {
    queue: Arc<Queue>,
    observer: Arc<dyn Observer>,
    care: Arc<Care>,
    /// Whether the keeper may want segments to be replaced.
    recompresses: bool,
    directory: PathBuf,
    sync_interval: Duration,
    segment_bytes: u64,
    segment_age: Duration,
    encoder: Encoder,
    /// Decides whether batches are compressed, where that is not said once and for all.
    adaptive: Option<Adaptive>,
    compression: Compression,
    retention: Retention,
    segment: Option<Segment>,
    /// A segment whose sync failed: to be cut back to what it had synced before.
    failed: Option<Segment>,
    /// Batches to write before any other.
    pending: VecDeque<Batch>,
    /// Batches in `segment` that are not synced.
    unsynced: Vec<Batch>,
    /// What they take in the segment.
    unsynced_bytes: u64,
    /// Those of them that are compressed.
    unsynced_compressed: u64,
    /// What they take in memory, and how much of that makes a sync due at once: half of the
    /// queue, so that the other half fills while the disk is busy.
    unsynced_lines: usize,
    unsynced_lines_maximum: usize,
    sync_due: Option<Instant>,
    /// When to look at retention again after an error.
    tidy_after: Option<Instant>,
    /// Why it could not delete what it should have, the last time.
    retention_error: Option<Error>,
    /// The sequence number behind everything written.
    next_sequence: u64,
    segments_opened: u64,
    events_by_source: Vec<u64>,
    stall: Option<Stall>,
    /// Held by whoever may still touch the files, so by the thread and not by the loop.
    _lock: DirectoryLock,
}

impl Writer {
    pub fn new(
        options: &Options,
        queue: Arc<Queue>,
        observer: Arc<dyn Observer>,
        care: Arc<Care>,
        lock: DirectoryLock,
    ) -> Result<Self> {
        let mut encoder = Encoder::new(options.shard, options.sources.clone());
        encoder.set_level(options.compression.level()).map_err(Error::Invalid)?;
        let retention =
            Retention::load(&options.directory, options.retention_bytes, options.retention_age)?;
        Ok(Self {
            next_sequence: queue.durable_sequence(),
            queue,
            observer,
            care,
            recompresses: options.recompress.is_some(),
            directory: options.directory.clone(),
            sync_interval: options.sync_interval,
            segment_bytes: options.segment_bytes,
            segment_age: options.segment_age,
            encoder,
            adaptive: None,
            compression: options.compression,
            retention,
            segment: None,
            failed: None,
            pending: VecDeque::new(),
            unsynced: Vec::new(),
            unsynced_bytes: 0,
            unsynced_compressed: 0,
            unsynced_lines: 0,
            unsynced_lines_maximum: options.queue_bytes / 2,
            sync_due: None,
            tidy_after: None,
            retention_error: None,
            segments_opened: 0,
            events_by_source: vec![0; options.sources.len()],
            stall: None,
            _lock: lock,
        })
    }

    /// Work until the journal is closed and everything is durable, or the deadline is over.
    pub fn run(mut self) {
        let mut pause = RETRY_MINIMUM;
        if self.compression == Compression::Auto {
            self.adaptive = Adaptive::start();
        }
        while !self.queue.is_expired() {
            match self.step() {
                Ok(true) => pause = RETRY_MINIMUM,
                Ok(false) => break,
                Err(error) => {
                    self.report(&error);
                    self.queue.pause(pause);
                    if let Some(adaptive) = &mut self.adaptive {
                        adaptive.restart();
                    }
                    pause = (pause * 2).min(RETRY_MAXIMUM);
                    // A full disk must not keep what retention would have deleted from it.
                    self.enforce_retention();
                }
            }
        }
    }

    /// One step towards an empty queue; false when the work is done.
    fn step(&mut self) -> Result<bool> {
        if let Some(failed) = &mut self.failed {
            // Before its batches are written again: no sequence number may exist twice.
            failed.cut_to_committed()?;
            if let Some(failed) = self.failed.take().filter(|failed| failed.bytes() > 0) {
                self.retention.add(failed.into_closed());
            }
        }
        if !self.pending.is_empty() {
            if self.stall.is_some() {
                // What the disk took before it was full need not wait for room.
                self.sync()?;
            }
            self.write_pending()?;
            if self.pending.is_empty() {
                // The retry worked; its commit ends the stall.
                self.sync()?;
            }
            return Ok(true);
        }
        let is_full = self.unsynced_lines >= self.unsynced_lines_maximum;
        let waiting_since = Instant::now();
        let work = self.queue.next(self.sync_due, is_full, self.tidy_due());
        if let Some(adaptive) = &mut self.adaptive {
            adaptive.waited(waiting_since);
        }
        match work {
            Work::Write(batch) => {
                self.pending.push_back(batch);
                self.write_pending()?;
            }
            Work::Sync(batch) => {
                if let Some(batch) = batch {
                    self.pending.push_back(batch);
                    self.write_pending()?;
                }
                self.sync()?;
            }
            Work::Tidy => self.tidy(),
            Work::Finish => return Ok(false),
        }
        Ok(true)
    }

    /// Append the first pending batch to a segment.
    fn write_pending(&mut self) -> Result<()> {
        let Some(first_sequence) = self.pending.front().map(|batch| batch.first_sequence) else {
            return Ok(());
        };
        if self.segment.as_ref().is_some_and(|segment| self.is_full(segment)) {
            self.sync()?;
            if let Some(segment) = self.segment.take() {
                self.retention.add(segment.into_closed());
            }
        }
        let segment = match &mut self.segment {
            Some(segment) => segment,
            none => {
                let segment = Segment::create(&self.directory, first_sequence)?;
                self.segments_opened += 1;
                self.care.close_below(first_sequence);
                none.insert(segment)
            }
        };
        let mut waiting_since = Instant::now();
        if let Some(batch) = self.pending.front() {
            waiting_since = batch.published.unwrap_or(waiting_since);
            let parts = self.encoder.encode(batch).map_err(Error::Invalid)?;
            self.unsynced_bytes += segment.append(parts)?;
            self.unsynced_compressed += u64::from(self.encoder.compresses());
            self.unsynced_lines += batch.lines.len();
            self.next_sequence = batch.next_sequence();
        }
        self.unsynced.extend(self.pending.pop_front());
        if self.unsynced_lines >= self.unsynced_lines_maximum {
            self.sync_due = Some(Instant::now());
        }
        // Also where it has waited for a sync before this one.
        self.sync_due.get_or_insert(waiting_since + self.sync_interval);
        Ok(())
    }

    fn is_full(&self, segment: &Segment) -> bool {
        segment.bytes() > 0
            && (segment.bytes() >= self.segment_bytes
                || segment.opened().elapsed() >= self.segment_age)
    }

    /// The group commit.
    fn sync(&mut self) -> Result<()> {
        self.sync_due = None;
        let Some(segment) = &mut self.segment else { return Ok(()) };
        if self.unsynced.is_empty() {
            return Ok(());
        }
        let started = Instant::now();
        let lines = mem::take(&mut self.unsynced_lines);
        if let Err(error) = segment.sync() {
            self.failed = self.segment.take();
            (self.unsynced_bytes, self.unsynced_compressed) = (0, 0);
            for batch in self.unsynced.drain(..).rev() {
                self.pending.push_front(batch);
            }
            return Err(error);
        }
        let sync_duration = started.elapsed();
        let (stored, waiting) = (self.unsynced_bytes, self.queue.outstanding_bytes());
        self.commit(sync_duration);
        if let Some(adaptive) = &mut self.adaptive {
            let is_full = waiting >= self.unsynced_lines_maximum;
            if adaptive.synced(lines, stored, is_full)
                && self.encoder.set_level(adaptive.level()).is_err()
            {
                // No memory for it: everything is durable, and can be without.
                self.adaptive = None;
                self.encoder.set_level(None).map_err(Error::Invalid)?;
            }
        }
        Ok(())
    }

    fn commit(&mut self, sync_duration: Duration) {
        let Some(last) = self.unsynced.last() else { return };
        let next_sequence = last.next_sequence();
        let batches = self.unsynced.len() as u64;
        self.events_by_source.fill(0);
        for batch in &self.unsynced {
            for (total, events) in self.events_by_source.iter_mut().zip(&batch.events_by_source) {
                *total += events;
            }
        }
        if !self.queue.settle(&mut self.unsynced) {
            return;
        }
        if let Some(segment) = &mut self.segment {
            segment.commit();
        }
        self.observer.committed(&Commit {
            next_sequence,
            events_by_source: &self.events_by_source,
            bytes: self.unsynced_bytes,
            batches,
            compressed_batches: self.unsynced_compressed,
            segments: self.segments_opened,
            sync_duration,
        });
        (self.unsynced_bytes, self.unsynced_compressed) = (0, 0);
        self.segments_opened = 0;
        if self.pending.is_empty() && self.stall.take().is_some() {
            self.queue.set_stall(None);
            self.observer.stalled(None);
        }
        self.enforce_retention();
        self.swap_segment();
        self.queue.wake().signal();
    }

    /// When something is too old that no commit will delete, because none comes.
    fn tidy_due(&self) -> Option<Instant> {
        let live = self.idle_segment().and_then(|segment| {
            let left = self.retention.left(segment.last_write())?;
            Some(left.max(self.segment_age.saturating_sub(segment.opened().elapsed())))
        });
        let left = self.retention.oldest_left().into_iter().chain(live).min();
        let due = left.and_then(|left| Instant::now().checked_add(left).max(self.tidy_after));
        let swap = self.recompresses.then(|| Instant::now() + SWAP_PERIOD);
        due.into_iter().chain(swap).min()
    }

    /// Delete what became too old while nothing was written, the last segment included.
    fn tidy(&mut self) {
        self.swap_segment();
        let is_old = |segment: &Segment| {
            self.is_full(segment)
                && self.retention.left(segment.last_write()) == Some(Duration::ZERO)
        };
        if self.idle_segment().is_some_and(is_old)
            && let Some(segment) = self.segment.take()
        {
            self.retention.add(segment.into_closed());
            self.care.close_below(self.next_sequence);
        }
        if self.segment.is_none() && self.retention.newest_left() == Some(Duration::ZERO) {
            // An empty segment keeps the numbers; the next batch goes into it.
            match Segment::create(&self.directory, self.next_sequence) {
                Ok(_) => self.note_retention(|retention| retention.enforce(0, 0)),
                Err(error) => self.note_retention(|_| Err(error)),
            }
        } else {
            self.enforce_retention();
        }
    }

    /// The live segment, if everything in it is durable.
    fn idle_segment(&self) -> Option<&Segment> {
        self.segment.as_ref().filter(|segment| segment.bytes() > 0 && self.unsynced.is_empty())
    }

    fn enforce_retention(&mut self) {
        let live_bytes = self.segment.as_ref().map_or(0, Segment::bytes);
        // Without a live segment only the newest of the others says where the numbers go on.
        let kept = usize::from(self.segment.is_none());
        self.note_retention(|retention| retention.enforce(live_bytes, kept));
    }

    fn swap_segment(&mut self) {
        self.care.swap(|swap| self.retention.swap(swap));
    }

    fn note_retention(&mut self, attempt: impl FnOnce(&mut Retention) -> Result<()>) {
        // Not worth a stall, but part of the text of one: the segment is only deleted later.
        self.retention_error = attempt(&mut self.retention).err();
        let failed = self.retention_error.is_some();
        self.tidy_after = failed.then(|| Instant::now() + RETRY_MAXIMUM);
    }

    fn report(&mut self, error: &Error) {
        let stall = Stall::from_error(error);
        let mut text = error.to_string();
        if let Some(retention) = &self.retention_error {
            text = format!("{text}; {retention}");
        }
        self.queue.set_stall(Some((stall, text)));
        if self.stall.replace(stall) != Some(stall) {
            self.observer.stalled(Some(stall));
            self.queue.wake().signal();
        }
    }

    /// Leave nothing in the files that is reported as lost, but a name that says how far the
    /// numbers were given out: a reader may have seen them, so no other event may get them.
    fn give_up(&mut self) -> Result<()> {
        let next_sequence = self.queue.next_sequence();
        if next_sequence == self.queue.durable_sequence() {
            return Ok(());
        }
        let reserve = |directory| Segment::create(directory, next_sequence);
        // Before the cut, so that not even a kill between the two gives them out again.
        let reserved = reserve(&self.directory);
        let mut result = Ok(());
        for mut segment in self.failed.take().into_iter().chain(self.segment.take()) {
            if segment.has_uncommitted() {
                result = result.and(segment.cut_to_committed());
            }
        }
        if reserved.is_err() {
            // Now there may be room for it.
            result = result.and(reserve(&self.directory).map(|_| ()));
        }
        result
    }
}

/// However the thread ends, the loop must not wait for it in vain.
impl Drop for Writer {
    fn drop(&mut self) {
        let stall = if thread::panicking() {
            // What is written stays: recovery knows better than a thread with a bug.
            Some((Stall::DiskError, "the journal's writer thread panicked".to_owned()))
        } else {
            self.give_up().err().map(|error| (Stall::from_error(&error), error.to_string()))
        };
        let clean = stall.is_none();
        if clean {
            // Also the live one: nobody writes any more.
            self.care.close_below(u64::MAX);
        }
        self.care.end();
        if !clean {
            self.queue.set_stall(stall);
        }
        self.queue.finish(clean);
    }
}
