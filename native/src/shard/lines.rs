//! Takes frames off the receiver: each becomes an event in the journal or a dead letter,
//! and is counted before and after.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use super::BATCH_BYTES;
use super::recover::JOURNALS;
use crate::clock;
use crate::counters::{self, Region, add, cells};
use crate::dead_letter::DeadLetter;
use crate::decode::{Blind, Decoder, Edits};
use crate::frame::Frame;
use crate::journal::Journal;
use crate::receive::{Intake, Read};
use crate::reject::Reject;

/// Takes frames: decodes them and hands the results to the journals.
pub(super) struct Lines {
    pub(super) decoder: Decoder,
    pub(super) events: Journal,
    pub(super) dead: Journal,
    pub(super) line_limit: usize,
    pub(super) region: Arc<Region>,
    pub(super) worker: usize,
}

impl Lines {
    pub(super) fn publish(&mut self) {
        self.events.publish();
        self.dead.publish();
    }

    /// Has what was read made durable at once: without it there is no room to read more.
    pub(super) fn sync_now(&mut self) {
        self.events.sync_now();
        self.dead.sync_now();
    }

    pub(super) fn is_alive(&self) -> bool {
        self.events.is_alive() && self.dead.is_alive()
    }

    fn cell(&self, listener: usize, cell: counters::Cell) -> &AtomicU64 {
        self.region.listener(self.worker, listener, cell, 0)
    }

    fn count_rejects(&self, listener: usize, rejects: &RejectCounts) {
        for (index, count) in rejects.0.iter().enumerate().filter(|(_, count)| **count > 0) {
            let cell = self.region.listener(self.worker, listener, cells::REJECTED, index);
            add(cell, u64::from(*count));
        }
    }

    fn count_edits(&self, edits: &EditCounts) {
        for (index, count) in edits.0.iter().enumerate().filter(|(_, count)| **count > 0) {
            add(self.region.worker(self.worker, cells::EDITS, index), *count);
        }
    }

    /// Why the journals take nothing more, as the values of `ingest_intake_paused`.
    pub(super) fn pause_reason(&self) -> u64 {
        let stall = JOURNALS
            .map(|journal| self.region.worker(self.worker, cells::STALL, journal.index()))
            .into_iter()
            .map(|cell| cell.load(Ordering::Acquire))
            .max();
        1 + stall.unwrap_or(0)
    }

    /// Waits until the journals may have made progress, at most until the deadline.
    pub(super) fn wait(&mut self, deadline: Instant) -> bool {
        let left = deadline.saturating_duration_since(Instant::now());
        let mut polled = [self.events.wake_fd(), self.dead.wake_fd()]
            .map(|descriptor| libc::pollfd { fd: descriptor, events: libc::POLLIN, revents: 0 });
        let timeout = i32::try_from(left.as_millis()).unwrap_or(i32::MAX);
        // SAFETY: the array holds two entries.
        unsafe { libc::poll(polled.as_mut_ptr(), 2, timeout) };
        self.clear_wakes();
        Instant::now() < deadline
    }

    pub(super) fn clear_wakes(&self) {
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

/// Counts in the order of [`Reject::ALL`].
#[derive(Default)]
struct RejectCounts([u32; Reject::ALL.len()]);

impl RejectCounts {
    fn total(&self) -> u32 {
        self.0.iter().sum()
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
        let mut edits = EditCounts::default();
        let mut rejects = RejectCounts::default();
        let batch = self.events.batch();
        for (end, frame, is_utf8) in
            head.into_iter().chain(lines.map(|(end, frame)| (end, frame, is_utf8)))
        {
            let (reject, raw, length) = match frame {
                Frame::Overlong { head, length } => (Reject::LineTooLong, head, length),
                Frame::Line(line) => {
                    match self.decoder.decode(line, is_utf8, &mut Blind, &mut batch.lines) {
                        Ok(made) => {
                            batch.lines.push(b'\n');
                            edits.count(made);
                            continue;
                        }
                        Err(reject) => (reject, line, line.len() as u64),
                    }
                }
            };
            rejects.0[reject as usize] += 1;
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
        let rejected = rejects.total();
        #[allow(clippy::cast_possible_truncation)]
        let accepted = count as u32 - rejected;
        if accepted > 0 {
            batch.add(source, accepted, now_ns, read.mark);
        }
        if rejected > 0 {
            self.dead.batch().add(source, rejected, now_ns, read.mark);
            self.count_rejects(read.listener, &rejects);
        }
        self.count_edits(&edits);
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
