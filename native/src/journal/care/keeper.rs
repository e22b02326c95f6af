//! The keeper's thread, and what the writer's tells it. It seals; a recompression has a thread
//! of still lower priority.

use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::super::directory::{list_segments, segment_path, sync_directory};
use super::super::observer::{Observer, Upkeep};
use super::super::options::{Options, Recompress};
use super::super::queue::Queue;
use super::chain::Chain;
use super::digest::{Contents, SegmentDigest};
use super::idle;
use super::recompress::{Progress, Recompression, has_room, remove_drafts};
use super::seal::{Cause, Seal};
use super::swap::{Exchange, Swap};
use crate::clock;
use crate::error::{Error, Result};

/// How often it looks whether there is something to do.
const PERIOD: Duration = Duration::from_secs(1);
/// How long after an error it tries again.
const RETRY: Duration = Duration::from_secs(10);
/// How long a recompression waits for the machine to be idle before it looks again.
const PAUSE: Duration = Duration::from_millis(200);
/// How long it may go on after the journal is closed; the next start does what is left.
const GRACE: Duration = Duration::from_millis(250);

/// What the writer tells the keeper, without ever waiting for it.
#[derive(Debug)]
pub(in super::super) struct Care {
    /// Every segment that begins below is closed.
    closed_below: AtomicU64,
    /// When the keeper has to be at its end.
    end: OnceLock<Instant>,
    exchange: Exchange,
    /// What did not work the last time, until somebody has asked.
    error: Mutex<Option<String>>,
    thread: OnceLock<thread::Thread>,
}

impl Care {
    pub fn new(next_sequence: u64) -> Self {
        Self {
            closed_below: AtomicU64::new(next_sequence),
            end: OnceLock::new(),
            exchange: Exchange::default(),
            error: Mutex::new(None),
            thread: OnceLock::new(),
        }
    }

    /// Nothing is written any more to segments that begin below `sequence`.
    pub fn close_below(&self, sequence: u64) {
        self.closed_below.store(sequence, Ordering::Release);
        self.wake();
    }

    /// Seal what can be sealed in a moment, then end.
    pub fn end(&self) {
        self.end.get_or_init(|| Instant::now() + GRACE);
        self.wake();
    }

    /// Have `put` do the swap that the keeper wants, if it wants one.
    pub fn swap(&self, put: impl FnOnce(&Swap) -> Result<bool>) {
        self.exchange.accept(put);
    }

    /// What did not work since the last call, if anything. Does not wait.
    pub fn take_error(&self) -> Option<String> {
        self.error.try_lock().ok()?.take()
    }

    fn wake(&self) {
        if let Some(thread) = self.thread.get() {
            thread.unpark();
        }
    }

    fn is_ending(&self) -> bool {
        self.end.get().is_some()
    }

    fn is_over(&self) -> bool {
        self.end.get().is_some_and(|end| *end <= Instant::now())
    }
}

/// The keeper's thread, seen from outside.
#[derive(Debug)]
pub(in super::super) struct Keeper(Option<JoinHandle<()>>);

impl Keeper {
    /// Start it, on a journal that is open.
    pub fn start(
        options: &Options,
        care: &Arc<Care>,
        queue: &Arc<Queue>,
        observer: Arc<dyn Observer>,
    ) -> Result<Self> {
        let work = Work {
            directory: options.directory.clone(),
            shard: options.shard,
            recompress: options.recompress,
            care: Arc::clone(care),
            queue: Arc::clone(queue),
            observer,
            following: None,
            packing: None,
            declined: HashSet::new(),
            chain: None,
            retry_after: None,
        };
        let handle = thread::Builder::new()
            .name(format!("keeper-{:04}", options.shard))
            .spawn(move || work.run())
            .map_err(|error| Error::io("start the journal's keeper thread", error))?;
        let _ = care.thread.set(handle.thread().clone());
        Ok(Self(Some(handle)))
    }

    /// Wait for its end, which [`Care::end`] asks for, but no longer than it is worth.
    pub fn wait(&mut self) {
        let Some(handle) = self.0.take() else { return };
        let until = Instant::now() + GRACE;
        while !handle.is_finished() && Instant::now() < until {
            thread::sleep(Duration::from_millis(1));
        }
        if handle.is_finished() {
            // What it did not do, however it ended, the next start does.
            let _ = handle.join();
        }
    }
}

struct Work {
    directory: PathBuf,
    shard: u32,
    recompress: Option<Recompress>,
    care: Arc<Care>,
    queue: Arc<Queue>,
    observer: Arc<dyn Observer>,
    /// The segment that is sealed next.
    following: Option<SegmentDigest>,
    /// The recompression in work, on a thread that has to work last.
    packing: Option<JoinHandle<Packed>>,
    /// Segments that are not looked at again for recompression.
    declined: HashSet<u64>,
    /// Dropped last, and with it the right to the files.
    chain: Option<Chain>,
    retry_after: Option<Instant>,
}

impl Work {
    fn run(mut self) {
        idle::work_later();
        while !self.care.is_over() {
            let is_due = self.retry_after.is_none_or(|after| after <= Instant::now());
            let is_busy = is_due && self.step().unwrap_or_else(|error| self.note(&error));
            if !is_busy {
                if self.care.is_ending() {
                    break;
                }
                thread::park_timeout(PERIOD);
            }
        }
        // A draft is this journal's as long as the chain is.
        if let Some(packing) = self.packing.take() {
            let _ = packing.join();
        }
    }

    fn note(&mut self, error: &Error) -> bool {
        self.observer.cared(&Upkeep::Failed(error));
        *self.care.error.lock().unwrap_or_else(PoisonError::into_inner) = Some(error.to_string());
        self.retry_after = Some(Instant::now() + RETRY);
        // From the beginning of the segment: what is in memory may be the reason.
        self.following = None;
        false
    }

    /// Do a little; false when there is nothing to do for now.
    fn step(&mut self) -> Result<bool> {
        self.retry_after = None;
        if self.chain.is_none() {
            // A predecessor may still have it, for a moment.
            let Some(chain) = Chain::open(&self.directory)? else { return Ok(false) };
            remove_drafts(&self.directory)?;
            self.chain = Some(chain);
        }
        if self.seal_next()? {
            return Ok(true);
        }
        if self.care.is_ending() {
            return Ok(false);
        }
        self.recompress_next()
    }

    /// Take a batch of the oldest segment that is not sealed into its digests, or seal it.
    fn seal_next(&mut self) -> Result<bool> {
        // Before looking at the file: what is closed then has all its batches.
        let closed_below = self.care.closed_below.load(Ordering::Acquire);
        let durable_sequence = self.queue.durable_sequence();
        if self.following.is_none() {
            self.following = self.open_unsealed()?;
        }
        let Some(following) = &mut self.following else { return Ok(false) };
        if following.first_sequence() >= closed_below {
            return following.follow(durable_sequence);
        }
        if following.advance()? {
            return Ok(true);
        }
        let Some(contents) = self.following.take().map(SegmentDigest::finish) else {
            return Ok(false);
        };
        if !segment_path(&self.directory, contents.first_sequence).exists() {
            return Ok(true); // retention was faster
        }
        self.append(Cause::Closed, &contents)?;
        self.observer.cared(&Upkeep::Sealed);
        if let Some(oldest) = list_segments(&self.directory)?.first()
            && let Some(chain) = &mut self.chain
        {
            chain.trim(oldest.first_sequence)?;
        }
        Ok(true)
    }

    fn open_unsealed(&self) -> Result<Option<SegmentDigest>> {
        let Some(chain) = &self.chain else { return Ok(None) };
        for segment in list_segments(&self.directory)? {
            if chain.is_beyond(segment.first_sequence) {
                continue;
            }
            match std::fs::metadata(&segment.path) {
                Ok(metadata) if metadata.len() > 0 => {
                    let open = if self.recompress.is_some() {
                        SegmentDigest::of_content
                    } else {
                        SegmentDigest::of_bytes
                    };
                    return open(&segment.path, segment.first_sequence).map(Some);
                }
                // Empty: its name is all it says. Or deleted since it was listed.
                _ => {}
            }
        }
        Ok(None)
    }

    fn append(&mut self, cause: Cause, contents: &Contents) -> Result<()> {
        let seal = Seal::new(self.shard, cause, clock::now_ns(), contents);
        self.chain.as_mut().map_or(Ok(()), |chain| chain.append(seal))
    }

    /// Look what has become of the recompression in work, or begin one.
    fn recompress_next(&mut self) -> Result<bool> {
        let Some(recompress) = self.recompress else { return Ok(false) };
        if let Some(packing) = self.packing.take_if(|packing| packing.is_finished()) {
            let Ok((recompression, result)) = packing.join() else { return Ok(true) };
            let first_sequence = recompression.seal().first_sequence;
            match result {
                Ok(Progress::Ready(contents)) => self.replace(&recompression, &contents)?,
                Ok(Progress::Working | Progress::Postponed) => {}
                Ok(Progress::Declined) => self.decline(first_sequence),
                Err(error) => {
                    self.decline(first_sequence);
                    return Err(error);
                }
            }
            return Ok(true);
        }
        if self.packing.is_none() && idle::is_machine_idle(recompress.pressure_maximum_percent) {
            self.begin_recompression(recompress)?;
        }
        Ok(false)
    }

    fn decline(&mut self, first_sequence: u64) {
        self.declined.insert(first_sequence);
    }

    fn begin_recompression(&mut self, recompress: Recompress) -> Result<()> {
        let Some(chain) = &self.chain else { return Ok(()) };
        let segments = list_segments(&self.directory)?;
        self.declined
            .retain(|sequence| segments.iter().any(|segment| segment.first_sequence == *sequence));
        let wanted = segments.into_iter().find_map(|segment| {
            let seal = chain.seals().get(&segment.first_sequence)?;
            // A kill between the seal and the swap leaves the segment as it was.
            let bytes = std::fs::metadata(&segment.path).map_or(0, |metadata| metadata.len());
            let is_new = seal.cause == Cause::Closed
                || seal.cause == Cause::Recompressed && seal.bytes != bytes;
            let is_new = is_new
                && seal.content_digest.is_some()
                && !self.declined.contains(&segment.first_sequence)
                && has_room(&segment.path, seal);
            is_new.then(|| (segment.path, seal.clone()))
        });
        let Some((path, seal)) = wanted else { return Ok(()) };
        let first_sequence = seal.first_sequence;
        let care = Arc::clone(&self.care);
        let packing = Recompression::begin(&path, &seal, recompress.level).and_then(|begun| {
            thread::Builder::new()
                .name(format!("packer-{:04}", self.shard))
                .spawn(move || pack(begun, recompress, &care))
                .map_err(|error| Error::io("start the journal's packer thread", error))
        });
        match packing {
            Ok(packing) => self.packing = Some(packing),
            Err(error) => {
                self.decline(first_sequence);
                return Err(error);
            }
        }
        Ok(())
    }

    /// First the seal, then the file: a reader of the chain knows both contents to be the same.
    fn replace(&mut self, recompression: &Recompression, contents: &Contents) -> Result<()> {
        self.append(Cause::Recompressed, contents)?;
        let bytes_before = recompression.seal().bytes;
        self.care.exchange.offer(Swap {
            draft: recompression.draft_path().to_owned(),
            path: recompression.path().to_owned(),
            bytes: contents.bytes,
        });
        loop {
            // In this order: after its end the writer answers no more.
            let is_ending = self.care.is_ending();
            if let Some(answer) = self.care.exchange.answer() {
                let is_replaced = answer.inspect_err(|_| {
                    // It would be recompressed for the same answer again.
                    self.declined.insert(recompression.seal().first_sequence);
                })?;
                if is_replaced {
                    sync_directory(&self.directory)?;
                    let bytes_after = contents.bytes;
                    self.observer.cared(&Upkeep::Recompressed { bytes_before, bytes_after });
                }
                return Ok(());
            }
            if is_ending {
                return Ok(()); // the segment stays as it is, until the next start
            }
            thread::park_timeout(PERIOD);
        }
    }
}

/// A recompression and how it ended.
type Packed = (Recompression, Result<Progress>);

/// Recompress a segment, but only while the machine is idle and the journal open.
fn pack(mut recompression: Recompression, recompress: Recompress, care: &Care) -> Packed {
    idle::work_last();
    while !care.is_ending() {
        if !idle::is_machine_idle(recompress.pressure_maximum_percent) {
            thread::sleep(PAUSE);
            continue;
        }
        match recompression.step() {
            Ok(Progress::Working) => {}
            result => return (recompression, result),
        }
    }
    (recompression, Ok(Progress::Postponed))
}
