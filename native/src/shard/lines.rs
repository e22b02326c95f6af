//! Takes frames off the receiver: each becomes an event in the journal, a dead letter, or
//! nothing, and is counted before and after. Where the pipeline has Python in it, events are
//! handed over in batches in between.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use super::cycle::Cycle;
use super::dead_letters::DeadLetters;
use super::format::Reader;
use super::handoff::{Handoff, Returned, Run, Verdict};
use super::predecessor::Predecessor;
use super::recover::JOURNALS;
use super::tally::{Tally, count_stages, show_stages};
use crate::counters::{self, Load, Region, add, cells};
use crate::decode::Source;
use crate::error::Result;
use crate::frame::Frame;
use crate::journal::Journal;
use crate::pipeline::{Origin, Runner};
use crate::receive::{Arena, Intake, Read, Sender};
use crate::reject::Reject;

/// A batch for Python of this size is handed over before more is read.
const HANDOFF_BYTES: usize = 256 * 1024;

/// Takes frames: runs the pipeline and hands the results to the journals.
pub(super) struct Lines {
    /// By the listeners' indices in the region; none for those that are not configured.
    pub(super) readers: Vec<Option<Box<Reader>>>,
    /// The native segments: what reads lines, and what follows each Python segment.
    pub(super) runners: Vec<Runner>,
    /// For each listener, its labels: the text of a JSON object.
    pub(super) labels: Vec<Option<String>>,
    /// Events that wait for Python.
    pub(super) handoff: Handoff,
    /// For each listener, the events that wait for Python or are in its hands.
    pub(super) held: Vec<u64>,
    /// Those of them that a predecessor has counted.
    pub(super) held_again: Vec<u64>,
    pub(super) cycle: Cycle,
    pub(super) predecessor: Predecessor,
    pub(super) arena: Arc<Arena>,
    /// Events that are stored already.
    pub(super) discarded: Vec<u8>,
    pub(super) events: Journal,
    pub(super) dead: DeadLetters,
    pub(super) region: Arc<Region>,
    pub(super) worker: usize,
    /// When there is no time left for what a predecessor left: the events that are lost by that and
    /// that it had not counted.
    pub(super) forfeited: Option<u64>,
    /// Whether what is left of the disk is left to others; not when the shard ends.
    pub(super) spares_reserve: bool,
}

impl Lines {
    pub(super) fn publish(&mut self) {
        self.events.publish();
        self.dead.journal.publish();
    }

    /// Has what was read made durable at once: without it there is no room to read more.
    pub(super) fn sync_now(&mut self) {
        self.events.sync_now();
        self.dead.journal.sync_now();
    }

    pub(super) fn is_alive(&self) -> bool {
        self.events.is_alive() && self.dead.journal.is_alive()
    }

    /// Why the journals take nothing more, as the values of `ingest_intake_paused`.
    pub(super) fn pause_reason(&self) -> u64 {
        let stall = JOURNALS
            .map(|journal| self.region.worker(self.worker, cells::STALL, journal.index()))
            .into_iter()
            .map(|cell| cell.load(Ordering::Acquire))
            .max();
        match stall {
            None | Some(0) if self.is_disk_reserved() => cells::INTAKE_PAUSED_RESERVE,
            stall => 1 + stall.unwrap_or(0),
        }
    }

    /// Whether no more of the disk is free than what is left to others.
    fn is_disk_reserved(&self) -> bool {
        let pressure = self.region.server(cells::DISK_PRESSURE, 0).load(Ordering::Relaxed);
        self.spares_reserve && pressure >= cells::DISK_PRESSURE_RESERVE
    }

    /// Waits until the journals may have made progress, at most until the deadline.
    pub(super) fn wait(&mut self, deadline: Instant) -> bool {
        let left = deadline.saturating_duration_since(Instant::now());
        let mut polled = [self.events.wake_fd(), self.dead.journal.wake_fd()]
            .map(|descriptor| libc::pollfd { fd: descriptor, events: libc::POLLIN, revents: 0 });
        let timeout = i32::try_from(left.as_millis()).unwrap_or(i32::MAX);
        // SAFETY: the array holds two entries.
        unsafe { libc::poll(polled.as_mut_ptr(), 2, timeout) };
        self.clear_wakes();
        Instant::now() < deadline
    }

    pub(super) fn clear_wakes(&self) {
        self.events.acknowledge_wake();
        self.dead.journal.acknowledge_wake();
    }

    /// Shows how the stages stand.
    pub(super) fn show_stages(&self) {
        for runner in &self.runners {
            show_stages(runner, &self.region, self.worker);
        }
    }

    /// Whether events wait for Python.
    pub(super) fn has_handoff(&self) -> bool {
        !self.handoff.runs.is_empty()
    }

    /// Whether Python has a batch in its hands: then no other can begin.
    pub(super) fn is_handed_over(&self) -> bool {
        !self.has_handoff() && self.held.iter().any(|held| *held > 0)
    }

    /// Takes back what Python made of the batch that was handed over.
    ///
    /// # Errors
    /// When it is not one verdict for each event, or not a line for each that needs one.
    pub(super) fn accept(&mut self, handoff: Handoff, returned: &Returned<'_>) -> Result<()> {
        let count = handoff.runs.iter().map(|run| run.count as usize).sum();
        let mut judged = returned.events(count, self.region.stages().len())?;
        let segment = handoff.segment + 1;
        self.handoff.segment = segment;
        for run in &handoff.runs {
            let mut tally = Tally::default();
            self.begin_run(segment, run);
            for event in judged.by_ref().take(run.count as usize) {
                match event.verdict {
                    Verdict::Keep => self.pass(segment, event.line, run, &mut tally),
                    Verdict::Filtered => {
                        tally.filtered();
                        let cell = cells::STAGE_FILTERED;
                        add(self.region.stage(self.worker, event.stage, cell, 0), 1);
                    }
                    Verdict::DeadLetter => {
                        tally.rejected(Reject::StageFailed);
                        self.bury(event.line, run, Reject::StageFailed, Some(event.stage));
                    }
                    Verdict::Dropped(reason) => tally.dropped[reason] += 1,
                }
            }
            self.held[run.listener] -= u64::from(run.count);
            if self.predecessor.has_counted(run.mark) {
                self.held_again[run.listener] -= u64::from(run.count);
            }
            self.settle(&tally, segment, run, 0);
        }
        count_stages(&mut self.runners[segment], &self.region, self.worker);
        if !self.has_handoff() {
            // The memory is used again.
            self.handoff = handoff;
            self.handoff.clear();
            self.complete_cycle();
        }
        Ok(())
    }

    /// Writes a dead letter, unless a predecessor has stored it.
    fn bury(&mut self, line: &[u8], run: &Run, reject: Reject, stage: Option<usize>) {
        if !self.predecessor.has_stored(counters::Journal::Dead, run.mark) {
            self.dead.bury(line, run, reject, stage);
        }
    }

    fn begin_run(&mut self, segment: usize, run: &Run) {
        self.runners[segment].begin(&Origin {
            received_ns: run.received_ns,
            peer: run.sender.peer,
            identity: run.sender.identity.as_deref(),
            listener: &self.region.listeners()[run.listener],
            labels: self.labels[run.listener].as_deref(),
            shard: self.worker,
        });
    }

    /// Sends an event through a native segment that follows Python.
    fn pass(&mut self, segment: usize, line: &[u8], run: &Run, tally: &mut Tally) {
        let is_last = segment + 1 == self.runners.len();
        let is_stored = self.predecessor.has_stored(counters::Journal::Events, run.mark);
        let out = match (is_last, is_stored) {
            (false, _) => &mut self.handoff.lines,
            (true, false) => &mut self.events.batch().lines,
            (true, true) => &mut self.discarded,
        };
        match self.runners[segment].run(&Source::alone(line, false), out) {
            Ok(passage) => {
                if tally.passed(passage) {
                    out.push(b'\n');
                }
            }
            Err(reject) => {
                tally.rejected(reject);
                self.bury(line, run, reject, None);
            }
        }
    }

    /// Accounts for the events of a run that have left a native segment. So many others of the
    /// listener have been received and still wait for it.
    fn settle(&mut self, tally: &Tally, segment: usize, run: &Run, waiting: u64) {
        let is_last = segment + 1 == self.runners.len();
        let Run { listener, received_ns, mark, .. } = *run;
        // There are far fewer listeners.
        #[allow(clippy::cast_possible_truncation)]
        let source = listener as u16;
        let [events_stored, dead_stored] =
            JOURNALS.map(|journal| self.predecessor.has_stored(journal, mark));
        let is_counted = self.predecessor.has_counted(mark);
        let mut accepted = 0;
        if tally.kept > 0 && is_last && !events_stored {
            self.events.batch().add(source, tally.kept, received_ns, mark);
            accepted += u64::from(tally.kept);
        } else if tally.kept > 0 && !is_last {
            self.held[listener] += u64::from(tally.kept);
            self.held_again[listener] += if is_counted { u64::from(tally.kept) } else { 0 };
            self.handoff.runs.push(Run { count: tally.kept, ..run.clone() });
        }
        if tally.dead() > 0 && !dead_stored {
            self.dead.journal.batch().add(source, tally.dead(), received_ns, mark);
            accepted += u64::from(tally.dead());
        }
        if is_counted {
            let (region, worker) = (&self.region, self.worker);
            self.predecessor.account(region, worker, listener, accepted, tally.refused());
            self.discarded.clear();
        } else {
            tally.publish(&self.region, self.worker, listener, is_last);
        }
        self.show_decoding(listener, waiting);
    }
}

impl Intake for Lines {
    fn has_room(&self) -> bool {
        self.forfeited.is_none()
            && self.events.has_room()
            && self.dead.journal.has_room()
            && !self.is_disk_reserved()
            && self.handoff.lines.len() < HANDOFF_BYTES
            // What is read now has yet to go through the segments before.
            && self.handoff.segment == 0
    }

    fn durable_mark(&self, consumed: u64) -> u64 {
        let is_held = self.held.iter().any(|held| *held > 0);
        let held = if is_held { self.cycle.completed } else { consumed };
        [&self.events, &self.dead.journal]
            .into_iter()
            .filter(|journal| journal.durable_events() != journal.appended_events())
            .map(Journal::durable_mark)
            .fold(held, u64::min)
    }

    fn take(&mut self, read: &Read<'_>) -> Load {
        let mut rejected = Load::default();
        let count = read.frames.count();
        if count == 0 {
            return rejected;
        }
        let Read { listener, mark, .. } = *read;
        if self.predecessor.has_stored_all(mark) {
            return rejected;
        }
        if self.forfeited.is_some() {
            self.forfeit_events(listener, count as u64, mark);
            return rejected;
        }
        // It is put back below.
        let Some(mut reader) = self.readers[listener].take() else {
            self.lose(listener, count as u64, mark);
            return rejected;
        };
        let is_counted = self.predecessor.has_counted(mark);
        let mut waiting = 0;
        if !is_counted {
            waiting = count as u64;
            self.arena.keep_image(&self.region, self.worker, listener);
            // Counted as received before anything else can happen to them.
            add(self.region.listener(self.worker, listener, cells::RECEIVED, 0), waiting);
            self.show_decoding(listener, waiting);
        }
        let [events_stored, dead_stored] =
            JOURNALS.map(|journal| self.predecessor.has_stored(journal, mark));

        let received_ns = read.received_ns;
        reader.begin(received_ns);
        let whole = read.frames.whole_lines(read.chunk);
        let is_utf8 = simdutf8::basic::from_utf8(whole).is_ok();
        let head = read.frames.head(read.line_limit).map(|frame| (0, frame, None));
        let lines = read.frames.lines(read.chunk, read.line_limit);
        let lines = lines.map(|(end, frame, bytes)| (end, frame, Some(bytes)));
        let mut frames = head.into_iter().chain(lines).peekable();
        while let Some(&(end, ..)) = frames.peek() {
            let peer = read.origin.peer(end);
            let sender = Sender { peer, identity: read.origin.identity().cloned() };
            let run = Run { listener, sender, received_ns, count: 0, mark };
            self.begin_run(0, &run);
            let mut tally = Tally::default();
            let is_last = self.runners.len() == 1;
            let runner = &mut self.runners[0];
            let out = match (is_last, events_stored) {
                (false, _) => &mut self.handoff.lines,
                (true, false) => &mut self.events.batch().lines,
                (true, true) => &mut self.discarded,
            };
            while let Some((_, frame, bytes)) =
                frames.next_if(|(end, ..)| read.origin.is_from(peer, *end))
            {
                let (reject, raw, length) = match frame {
                    Frame::Overlong { head, length } => (Reject::LineTooLong, head, length),
                    Frame::Incomplete { head, length } => (Reject::IncompleteFrame, head, length),
                    Frame::Line(line) if read.is_harmful => {
                        (Reject::WorkerDied, line, line.len() as u64)
                    }
                    Frame::Line(line) => {
                        // A line that earlier reads began is not in the chunk.
                        let source = match bytes {
                            None => Source::alone(line, false),
                            Some(bytes) => Source::within(bytes, line.len(), is_utf8),
                        };
                        let passage =
                            reader.read(source).and_then(|source| runner.run(&source, out));
                        match passage {
                            Ok(passage) => {
                                if tally.passed(passage) {
                                    out.push(b'\n');
                                }
                                continue;
                            }
                            Err(reject) => (reject, line, line.len() as u64),
                        }
                    }
                };
                tally.rejected(reject);
                rejected.events += 1;
                rejected.bytes += raw.len() as u64;
                if !dead_stored {
                    self.dead.bury_part(raw, length, &run, reject, None);
                }
            }
            waiting = waiting.saturating_sub(tally.events());
            self.settle(&tally, 0, &run, waiting);
        }
        self.readers[listener] = Some(reader);
        count_stages(&mut self.runners[0], &self.region, self.worker);
        rejected
    }

    fn discard(&mut self, listener: usize, reason: usize, count: u64, mark: u64) {
        if self.predecessor.has_counted(mark) {
            return;
        }
        self.arena.keep_image(&self.region, self.worker, listener);
        let cell = |cell, index| self.region.listener(self.worker, listener, cell, index);
        add(cell(cells::RECEIVED, 0), count);
        add(cell(cells::DROPPED, reason), count);
    }

    fn forgo(&mut self, listener: usize, events: u64, mark: u64) {
        // Of a cycle that was not complete, nothing is counted any more.
        if self.predecessor.has_counted(mark) && !self.predecessor.has_stored_all(mark) {
            self.predecessor.forgone[listener] += events;
        }
    }

    fn complete(&mut self, mark: u64) {
        self.cycle.taken = mark;
        if !self.is_within_cycle() {
            self.complete_cycle();
        }
    }

    fn is_idle(&self) -> bool {
        !self.is_within_cycle()
    }

    fn end_replay(&mut self) {
        self.cycle.is_replay = false;
        if !self.is_within_cycle() {
            self.complete_cycle();
        }
    }

    fn forfeit(&mut self) {
        self.forfeited.get_or_insert_default();
    }
}
