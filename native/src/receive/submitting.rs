//! Bodies of requests: frames that a source has received by itself, and that it acknowledges once
//! they are durable. They go the way of what is read from a connection, one body after the other.
//!
//! In the ring they leave their positions only, not their bytes. A successor does not hand them on
//! again: the request has ended with the worker, and who never got an answer sends it once more.

use super::arena::{ALIGNMENT, Kind, Record};
use super::reading::READ_BYTES;
use super::receiver::Receiver;
use super::{Intake, Origin, Read, Sender};
use crate::clock;
use crate::error::{Error, Result};
use crate::frame::Framer;

/// What a source has received with one request.
#[derive(Debug, Clone)]
pub struct Submission<'a> {
    /// Index of the listener in the region.
    pub listener: usize,
    /// Who sent it.
    pub sender: Sender,
    /// Whole frames. What follows the last terminator is one too.
    pub body: &'a [u8],
}

/// What all pieces of a body have in common.
struct Common<'a> {
    listener: usize,
    line_limit: usize,
    sender: &'a Sender,
    received_ns: u64,
}

impl Receiver {
    /// Takes a body as a whole, or nothing of it where there is no room now: then none. The
    /// position is the one that has to be durable before the request may be acknowledged.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a listener that is not served.
    pub fn submit(
        &mut self,
        submission: &Submission<'_>,
        intake: &mut impl Intake,
    ) -> Result<Option<u64>> {
        let Submission { listener, ref sender, body } = *submission;
        let configured = self.listeners.iter().find(|own| own.config.index == listener);
        let Some(configured) = configured else {
            return Err(Error::Invalid(format!("listener {listener} is not served")));
        };
        let line_limit = configured.config.limits.line_bytes;
        let pieces = body.chunks(READ_BYTES);
        // The last frame, and the end of the ring, may need a record more each.
        if !self.is_current() || !self.make_room((pieces.len() + 2) * ALIGNMENT, intake) {
            return Ok(None);
        }
        let received_ns = clock::now_ns();
        let common = Common { listener, line_limit, sender, received_ns };
        let mut framer = Framer::default();
        for piece in pieces {
            framer.feed(piece, line_limit, &mut self.frames);
            self.take_piece(&common, piece, intake);
        }
        framer.finish(&mut self.frames);
        if self.frames.count() > 0 {
            self.take_piece(&common, &[], intake);
        }
        self.count_read(listener, body.len());
        Ok(Some(self.ring.received()))
    }

    /// The position below which everything is durable; it only grows.
    pub fn durable_position(&mut self, intake: &impl Intake) -> u64 {
        self.release(intake);
        self.durable()
    }

    /// Hands on the frames that a piece of a body completes.
    fn take_piece(&mut self, common: &Common<'_>, piece: &[u8], intake: &mut impl Intake) {
        let Common { listener, line_limit, sender, received_ns } = *common;
        if self.ring.reserve(0).is_none() {
            return;
        }
        let mut record = Record::new(Kind::Submitted, listener, 0, received_ns);
        record.note_events(self.frames.count());
        let mark = self.ring.commit(record);
        let (frames, origin) = (&self.frames, Origin::Connection(sender));
        intake.take(&Read {
            listener,
            line_limit,
            chunk: piece,
            frames,
            origin,
            received_ns,
            mark,
            is_harmful: false,
        });
        intake.complete(mark);
        self.ring.consume(mark);
    }
}
