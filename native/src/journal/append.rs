//! The journal as its one writer sees it: fill a batch, publish it, look what is durable.

use std::os::fd::RawFd;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::batch::Batch;
use super::care::{Care, Keeper};
use super::directory::{DirectoryLock, create_directory};
use super::observer::{Observer, Stall};
use super::options::Options;
use super::queue::Queue;
use super::recovery::{Recovery, recover_locked};
use super::writer::Writer;
use crate::error::{Error, Result};

/// How much longer than its deadline [`Journal::close`] waits for a disk that does not answer.
const GRACE: Duration = Duration::from_secs(1);
/// The deadline of a journal that is dropped without being closed.
const DROP_DEADLINE: Duration = Duration::from_secs(1);

/// An open journal. Belongs to one thread, that of the loop; another one writes and syncs, and
/// a third one cares for what is closed.
#[derive(Debug)]
pub struct Journal {
    queue: Arc<Queue>,
    open: Option<Batch>,
    first_sequence: u64,
    /// The sequence number behind everything published.
    published_sequence: u64,
    queue_bytes: usize,
    thread: Option<JoinHandle<()>>,
    care: Arc<Care>,
    keeper: Keeper,
}

/// What is left when a journal is closed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Closed {
    /// Events that could not be made durable, by source.
    pub lost: Vec<u64>,
    /// Whether the lost events are out of the files. False when the disk did not let them be
    /// cut out or did not answer in time: then some may be found by the next recovery, so they
    /// are to be counted, as stored or as lost, after that and not now.
    pub cut: bool,
    /// Everything below this sequence number is durable.
    pub durable_sequence: u64,
}

impl Journal {
    /// Recover the directory, then start the writer thread. Fails when another journal is
    /// open there and stays so.
    pub fn open(options: &Options, observer: Arc<dyn Observer>) -> Result<(Self, Recovery)> {
        options.validate()?;
        let directory = &options.directory;
        create_directory(directory)?;
        let lock = DirectoryLock::inherit(directory)?;
        let recovery = recover_locked(directory, options.durable_sequence)?;
        let first_sequence = recovery.next_sequence;
        let queue = Arc::new(Queue::new(options, first_sequence)?);
        let care = Arc::new(Care::new(first_sequence));
        let (writer_queue, writer_care) = (Arc::clone(&queue), Arc::clone(&care));
        let writer = Writer::new(options, writer_queue, Arc::clone(&observer), writer_care, lock)?;
        let keeper = Keeper::start(options, &care, &queue, observer)?;
        let thread = thread::Builder::new()
            .name(format!("journal-{:04}", options.shard))
            .spawn(move || writer.run())
            .map_err(|error| Error::io("start the journal's writer thread", error))?;
        let journal = Self {
            queue,
            open: None,
            first_sequence,
            published_sequence: first_sequence,
            queue_bytes: options.queue_bytes,
            thread: Some(thread),
            care,
            keeper,
        };
        Ok((journal, recovery))
    }

    /// The batch to fill. The writer does not see it before [`Self::publish`].
    pub fn batch(&mut self) -> &mut Batch {
        let (queue, next_sequence) = (&self.queue, self.published_sequence);
        self.open.get_or_insert_with(|| queue.open_batch(next_sequence))
    }

    /// Bytes of lines that were added and not published, with those that were taken back for more.
    pub fn open_bytes(&self) -> usize {
        self.open.as_ref().map_or(0, |batch| batch.lines.len())
    }

    /// Everything up to a mark is in what was added so far, if anything is.
    pub fn set_mark(&mut self, mark: u64) {
        if let Some(batch) = &mut self.open {
            batch.set_mark(mark);
        }
    }

    /// Let the writer have what was added since the last time. Call it at the end of a drain:
    /// it makes the events durable within about the sync interval.
    pub fn publish(&mut self) {
        if let Some(batch) = self.open.take_if(|batch| batch.count > 0) {
            self.published_sequence = batch.next_sequence();
            self.queue.publish(batch);
        }
    }

    /// Forget what was added and not published.
    pub fn forget(&mut self) {
        self.open = None;
    }

    /// Have everything added so far synced at once and not after the sync interval: for an
    /// owner that cannot go on before something is durable.
    pub fn sync_now(&mut self) {
        self.publish();
        self.queue.sync_now();
    }

    /// False while as much as the queue may hold waits for the disk: stop reading then, until
    /// [`Self::wake_fd`] becomes readable.
    pub fn has_room(&self) -> bool {
        self.queue.outstanding_bytes() < self.queue_bytes
    }

    /// The sequence number of the next event.
    pub fn next_sequence(&self) -> u64 {
        self.open.as_ref().map_or(self.published_sequence, Batch::next_sequence)
    }

    /// Events added since the journal was opened.
    pub fn appended_events(&self) -> u64 {
        self.next_sequence() - self.first_sequence
    }

    /// Events made durable since the journal was opened.
    pub fn durable_events(&self) -> u64 {
        self.durable_sequence() - self.first_sequence
    }

    /// Everything below this sequence number is durable.
    pub fn durable_sequence(&self) -> u64 {
        self.queue.durable_sequence()
    }

    /// The mark of the last durable batch, 0 before the first.
    pub fn durable_mark(&self) -> u64 {
        self.queue.durable_mark()
    }

    /// Why nothing becomes durable at the moment, with the operating system's words.
    pub fn stall(&self) -> Option<(Stall, String)> {
        self.queue.stall()
    }

    /// Why a closed segment could not be sealed or recompressed, if that happened since the
    /// last call.
    pub fn take_upkeep_error(&self) -> Option<String> {
        self.care.take_error()
    }

    /// False when the writer thread ended although the journal is open: nothing becomes durable
    /// any more, and only a new process helps. [`Self::wake_fd`] becomes readable then.
    pub fn is_alive(&self) -> bool {
        !self.queue.is_finished()
    }

    /// A nonblocking eventfd, readable after a commit, when a stall begins or ends, and when
    /// the writer thread does.
    pub fn wake_fd(&self) -> RawFd {
        self.queue.wake().descriptor()
    }

    /// Make the wake descriptor unreadable until something happens again.
    pub fn acknowledge_wake(&self) {
        self.queue.wake().acknowledge();
    }

    /// Begin what [`Self::close`] waits for, so that several journals close at the same time.
    /// Nothing may be added afterwards.
    pub fn begin_close(&mut self, deadline: Instant) {
        self.publish();
        self.queue.close(deadline);
    }

    /// Make everything durable and stop. What is not by the deadline is lost, counted, and cut
    /// out of the files. With a disk that does not even answer, the writer thread is left
    /// behind after a second more.
    pub fn close(mut self, deadline: Instant) -> Closed {
        self.shut_down(deadline)
    }

    fn shut_down(&mut self, deadline: Instant) -> Closed {
        self.begin_close(deadline);
        let finished = self.queue.wait_finished(deadline + GRACE);
        if let Some(thread) = self.thread.take().filter(|_| finished) {
            // A writer that panicked has left its batches undurable, which says it all.
            let _ = thread.join();
            self.keeper.wait();
        }
        let (lost, clean) = self.queue.abandon();
        let cut = clean || lost.iter().all(|&events| events == 0);
        Closed { lost, cut, durable_sequence: self.durable_sequence() }
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        if self.thread.is_some() {
            self.shut_down(Instant::now() + DROP_DEADLINE);
        }
    }
}
