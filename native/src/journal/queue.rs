//! What the loop and the writer thread share: batches going one way, buffers and facts the other.
//! One lock, taken a few times per drain and per batch, never per event and never across I/O.

use std::collections::VecDeque;
use std::mem;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::batch::{Batch, SLACK};
use super::observer::Stall;
use super::options::Options;
use super::wake::Wake;
use crate::error::Result;

/// What the writer thread is to do next.
#[derive(Debug)]
pub(super) enum Work {
    Write(Batch),
    /// Write the batch, if there is one, then sync.
    Sync(Option<Batch>),
    /// Nothing came until the time for it: see what retention wants.
    Tidy,
    Finish,
}

/// What the writer thread waits for: says whether a publish has to wake it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Waiting {
    /// It does not wait, or only for time to pass.
    No,
    /// A sealed batch, or the time of the next sync.
    ForSealed,
    /// Anything at all.
    ForAny,
}

/// Whether the writer thread has ended, and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    NotYet,
    /// What is in the files is durable.
    Clean,
    /// What is not durable may still be in the files.
    Uncut,
}

#[derive(Debug)]
struct State {
    sealed: VecDeque<Batch>,
    /// A batch below its target size: the loop takes it back to fill it further, the writer
    /// takes it when its sync is due.
    parked: Option<Batch>,
    /// Buffers for the next batches, and what they take in memory.
    spare: Vec<Batch>,
    spare_bytes: usize,
    waiting: Waiting,
    /// The loop does not want to wait for the sync interval.
    hurry: bool,
    /// Set when the journal closes: when to give up.
    deadline: Option<Instant>,
    end: End,
    /// The sequence number behind everything published.
    next_sequence: u64,
    /// The loop has counted what is not durable as lost; nothing may become durable any more.
    abandoned: bool,
    /// Events sealed or written but not durable, by source.
    undurable: Vec<u64>,
    stall: Option<(Stall, String)>,
}

#[derive(Debug)]
pub(super) struct Queue {
    state: Mutex<State>,
    work: Condvar,
    finished: Condvar,
    sync_interval: Duration,
    batch_bytes: usize,
    spare_maximum: usize,
    sources: usize,
    /// Bytes of lines sealed or written but not durable.
    outstanding: AtomicUsize,
    durable_sequence: AtomicU64,
    durable_mark: AtomicU64,
    wake: Wake,
}

/// The side of the loop.
impl Queue {
    pub fn new(options: &Options, next_sequence: u64) -> Result<Self> {
        let sources = options.sources.len();
        let state = State {
            sealed: VecDeque::new(),
            parked: None,
            spare: Vec::new(),
            spare_bytes: 0,
            waiting: Waiting::No,
            hurry: false,
            deadline: None,
            end: End::NotYet,
            next_sequence,
            abandoned: false,
            undurable: vec![0; sources],
            stall: None,
        };
        Ok(Self {
            state: Mutex::new(state),
            work: Condvar::new(),
            finished: Condvar::new(),
            sync_interval: options.sync_interval,
            batch_bytes: options.batch_bytes,
            spare_maximum: options.queue_bytes,
            sources,
            outstanding: AtomicUsize::new(0),
            durable_sequence: AtomicU64::new(next_sequence),
            durable_mark: AtomicU64::new(0),
            wake: Wake::new()?,
        })
    }

    /// The parked batch, or an empty one that begins at `next_sequence`.
    pub fn open_batch(&self, next_sequence: u64) -> Batch {
        let mut state = self.lock();
        if let Some(parked) = state.parked.take() {
            return parked;
        }
        let spare = state.spare.pop();
        state.spare_bytes -= spare.as_ref().map_or(0, |spare| spare.lines.capacity());
        drop(state);
        let mut batch = spare.unwrap_or_else(|| Batch::new(self.sources, self.batch_bytes));
        batch.reset(next_sequence);
        batch
    }

    /// Hand over what the batch holds now, for good when it has its target size.
    pub fn publish(&self, mut batch: Batch) {
        batch.published.get_or_insert_with(Instant::now);
        let full = batch.lines.len() >= self.batch_bytes;
        let mut state = self.lock();
        state.next_sequence = batch.next_sequence();
        let wake = if full {
            self.account(&mut state, &batch);
            state.sealed.push_back(batch);
            state.waiting != Waiting::No
        } else {
            state.parked = Some(batch);
            state.waiting == Waiting::ForAny
        };
        if wake {
            state.waiting = Waiting::No;
            drop(state);
            self.work.notify_one();
        }
    }

    /// Have the writer thread write what is published and sync it without further delay.
    pub fn sync_now(&self) {
        let mut state = self.lock();
        state.hurry = true;
        state.waiting = Waiting::No;
        drop(state);
        self.work.notify_one();
    }

    /// Have the writer thread make everything durable and end, or give up at `deadline`.
    pub fn close(&self, deadline: Instant) {
        let mut state = self.lock();
        if let Some(parked) = state.parked.take() {
            self.account(&mut state, &parked);
            state.sealed.push_back(parked);
        }
        state.deadline = Some(deadline);
        drop(state);
        self.work.notify_one();
    }

    /// Wait for the writer thread to end, at most until `deadline`; whether it did.
    pub fn wait_finished(&self, deadline: Instant) -> bool {
        let mut state = self.lock();
        while state.end == End::NotYet {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            let waited = self.finished.wait_timeout(state, left);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        true
    }

    /// Events that are not durable, by source, and whether they are out of the files. From here
    /// on none of them becomes durable.
    pub fn abandon(&self) -> (Vec<u64>, bool) {
        let mut state = self.lock();
        state.abandoned = true;
        (mem::take(&mut state.undurable), state.end == End::Clean)
    }

    pub fn outstanding_bytes(&self) -> usize {
        self.outstanding.load(Ordering::Relaxed)
    }

    pub fn durable_sequence(&self) -> u64 {
        self.durable_sequence.load(Ordering::Acquire)
    }

    pub fn durable_mark(&self) -> u64 {
        self.durable_mark.load(Ordering::Acquire)
    }

    pub fn stall(&self) -> Option<(Stall, String)> {
        self.lock().stall.clone()
    }

    pub fn is_finished(&self) -> bool {
        self.lock().end != End::NotYet
    }

    pub fn wake(&self) -> &Wake {
        &self.wake
    }
}

/// The side of the writer thread.
impl Queue {
    /// Wait for the next thing to do. `sync_due`: when what is written has to be synced, with what
    /// else is there then, unless `is_full` says that this has to wait; `tidy_due`: when retention
    /// has to be looked at, whatever comes until then.
    pub fn next(
        &self,
        sync_due: Option<Instant>,
        is_full: bool,
        tidy_due: Option<Instant>,
    ) -> Work {
        let mut state = self.lock();
        loop {
            state.waiting = Waiting::No;
            let now = Instant::now();
            let sync_now = sync_due.is_some_and(|due| due <= now);
            if (!(sync_now && is_full) || state.deadline.is_some())
                && let Some(batch) = state.sealed.pop_front()
            {
                return Work::Write(batch);
            }
            if state.deadline.is_some() {
                return if sync_due.is_some() { Work::Sync(None) } else { Work::Finish };
            }
            let published = state.parked.as_ref().and_then(|batch| batch.published);
            let parked_due = published.map(|published| published + self.sync_interval);
            if sync_now || state.hurry || parked_due.is_some_and(|due| due <= now) {
                // Sealed batches come before the parked one; only when there are none it joins.
                let joins = state.sealed.is_empty();
                let batch = if joins { state.parked.take() } else { None };
                state.hurry &= !joins;
                if let Some(batch) = &batch {
                    self.account(&mut state, batch);
                }
                return Work::Sync(batch);
            }
            if tidy_due.is_some_and(|due| due <= now) {
                return Work::Tidy;
            }
            let due = [sync_due, parked_due].into_iter().flatten().min();
            state.waiting = if due.is_some() { Waiting::ForSealed } else { Waiting::ForAny };
            state = match due.into_iter().chain(tidy_due).min() {
                Some(due) => self.wait_until(state, due),
                None => self.work.wait(state).unwrap_or_else(PoisonError::into_inner),
            };
        }
    }

    /// Let `pause` pass before another attempt, or less when the journal is closed meanwhile.
    pub fn pause(&self, pause: Duration) {
        let mut state = self.lock();
        let mut until = Instant::now() + pause;
        while Instant::now() < until {
            if let Some(deadline) = state.deadline {
                until = until.min(deadline);
            }
            state = self.wait_until(state, until);
        }
    }

    /// Whether it is time to give up.
    pub fn is_expired(&self) -> bool {
        self.lock().deadline.is_some_and(|deadline| deadline <= Instant::now())
    }

    /// Take note that `batches` are durable, and keep of their buffers for reuse as many as
    /// the queue may hold. False when they were counted as lost before.
    pub fn settle(&self, batches: &mut Vec<Batch>) -> bool {
        let Some(last) = batches.last() else { return true };
        let (sequence, mark) = (last.next_sequence(), last.mark);
        let bytes = batches.iter().map(|batch| batch.lines.len()).sum();
        let mut state = self.lock();
        if state.abandoned {
            return false;
        }
        self.durable_sequence.store(sequence, Ordering::Release);
        self.durable_mark.store(mark, Ordering::Release);
        self.outstanding.fetch_sub(bytes, Ordering::Relaxed);
        for batch in batches.drain(..) {
            for (undurable, events) in state.undurable.iter_mut().zip(&batch.events_by_source) {
                *undurable -= events;
            }
            // Nor is a buffer that one huge read has grown kept for ever.
            let bytes = batch.lines.capacity();
            if state.spare_bytes + bytes <= self.spare_maximum
                && bytes <= 2 * (self.batch_bytes + SLACK)
            {
                state.spare_bytes += bytes;
                state.spare.push(batch);
            }
        }
        true
    }

    pub fn set_stall(&self, stall: Option<(Stall, String)>) {
        self.lock().stall = stall;
    }

    /// The sequence number behind everything published.
    pub fn next_sequence(&self) -> u64 {
        self.lock().next_sequence
    }

    /// The writer thread is at its end; `clean`: what is not durable is not in the files.
    pub fn finish(&self, clean: bool) {
        self.lock().end = if clean { End::Clean } else { End::Uncut };
        self.finished.notify_all();
        self.wake.signal();
    }

    fn account(&self, state: &mut State, batch: &Batch) {
        self.outstanding.fetch_add(batch.lines.len(), Ordering::Relaxed);
        for (undurable, events) in state.undurable.iter_mut().zip(&batch.events_by_source) {
            *undurable += events;
        }
    }

    fn wait_until<'a>(&self, state: MutexGuard<'a, State>, due: Instant) -> MutexGuard<'a, State> {
        let left = due.saturating_duration_since(Instant::now());
        self.work.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0
    }

    /// No code panics while it holds the lock, so a poisoned state is still a whole one.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::Compression;
    use super::*;

    fn queue(batch_bytes: usize, queue_bytes: usize) -> Queue {
        let options = Options {
            directory: "unused".into(),
            shard: 0,
            sources: vec!["tcp".into()],
            durable_sequence: None,
            compression: Compression::None,
            sync_interval: Duration::ZERO,
            segment_bytes: 0,
            segment_age: Duration::ZERO,
            retention_bytes: None,
            retention_age: None,
            recompress: None,
            batch_bytes,
            queue_bytes,
        };
        Queue::new(&options, 0).unwrap()
    }

    /// Let `batches` of `bytes` bytes go through the queue; the capacities of the spare ones.
    fn spare_after(queue: &Queue, batches: u64, bytes: usize) -> Vec<usize> {
        let mut settled = Vec::new();
        for sequence in 0..batches {
            let mut batch = queue.open_batch(sequence);
            batch.lines.resize(bytes, b'x');
            batch.add(0, 1, 0, 0);
            queue.publish(batch);
            if let Work::Write(batch) = queue.next(None, false, None) {
                settled.push(batch);
            }
        }
        assert!(queue.settle(&mut settled));
        queue.lock().spare.iter().map(|batch| batch.lines.capacity()).collect()
    }

    /// Publish a batch that is sealed, for it has its target size.
    fn publish_sealed(queue: &Queue, sequence: u64) {
        let mut batch = queue.open_batch(sequence);
        batch.lines.resize(queue.batch_bytes, b'x');
        batch.add(0, 1, 0, 0);
        queue.publish(batch);
    }

    #[test]
    fn a_sync_that_is_due_takes_along_what_is_there_unless_it_is_full() {
        let queue = queue(1 << 10, 1 << 20);
        let due = Some(Instant::now());
        publish_sealed(&queue, 0);
        publish_sealed(&queue, 1);
        assert!(matches!(queue.next(due, true, None), Work::Sync(None)));
        assert!(matches!(queue.next(due, false, None), Work::Write(_)));
        assert!(matches!(queue.next(due, false, None), Work::Write(_)));
        let mut parked = queue.open_batch(2);
        parked.add(0, 1, 0, 0);
        queue.publish(parked);
        assert!(matches!(queue.next(due, false, None), Work::Sync(Some(_))));
    }

    #[test]
    fn spare_buffers_take_no_more_than_the_queue_may_hold() {
        let (batch_bytes, queue_bytes) = (1 << 20, 8 << 20);
        let queue = queue(batch_bytes, queue_bytes);
        for _ in 0..2 {
            let spare = spare_after(&queue, 20, batch_bytes + SLACK);
            // As many as fit, and none of them had to grow.
            assert_eq!(spare, [batch_bytes + SLACK; 5]);
            assert_eq!(queue.lock().spare_bytes, 5 * (batch_bytes + SLACK));
        }
    }

    #[test]
    fn a_buffer_that_grew_far_beyond_a_batch_is_not_kept() {
        let queue = queue(1 << 20, 64 << 20);
        assert!(spare_after(&queue, 1, 8 << 20).is_empty());
    }
}
