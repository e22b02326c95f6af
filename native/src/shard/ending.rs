//! The end of a shard: everything is made durable in time, or is left to a successor, or is lost.

use std::time::{Duration, Instant};

use super::Shard;
use super::handoff::{Handoff, Returned};
use super::lines::Lines;
use crate::counters::{add, cells};
use crate::error::Result;

/// What becomes of the connections of a shard that ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ending {
    Drain,
    HandOver,
}

impl Shard {
    pub(super) fn end(
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
        let is_current = match ending {
            Ending::Drain => {
                self.receiver.finish(&mut self.lines, deadline, make_room);
                true
            }
            Ending::HandOver => self.receiver.hand_over(&mut self.lines, deadline, make_room),
        };
        let is_through =
            process_all(&mut self.lines) && is_current && !self.lines.is_within_cycle();
        let has_successor = ending == Ending::HandOver;
        let mut lost = 0;
        if is_through || !has_successor {
            lost = self.lines.give_up();
        } else {
            self.lines.forget_cycle();
        }
        let Lines { mut events, dead, region, worker, .. } = self.lines;
        let mut dead = dead.journal;
        events.begin_close(deadline);
        dead.begin_close(deadline);
        let closed = [events, dead].map(|journal| journal.close(deadline));
        let is_stored = closed.iter().all(|closed| closed.lost.iter().all(|count| *count == 0));
        if has_successor && !(is_through && is_stored) {
            // The successor replays it: the marks of what is stored say what is not.
            self.receiver.leave();
            return 0;
        }
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
