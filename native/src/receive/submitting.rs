//! Bodies of requests: frames that a source has received by itself, and that it acknowledges once
//! they are durable. They go the way of what is read from a connection, one body after the other.

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

impl Receiver {
    /// Takes a body as a whole, or nothing of it where there is no room now: then none. The
    /// position is the one that has to be durable before the request may be acknowledged.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a listener that is not served, and for a body for which there will
    /// never be room: more than half of the arena.
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
        // What lies at the end of the ring may have to be passed over once, and the last frame may
        // need a place of its own.
        let needed = body.len() + READ_BYTES;
        if needed > self.arena.capacity() / 2 {
            return Err(Error::Invalid(format!("a body of {} bytes", body.len())));
        }
        if !self.make_room(needed, intake) {
            return Ok(None);
        }
        let received_ns = clock::now_ns();
        let mut framer = Framer::default();
        for piece in body.chunks(READ_BYTES) {
            framer.feed(piece, line_limit, &mut self.frames);
            self.take_piece(listener, line_limit, sender, piece, received_ns, intake);
        }
        framer.finish(&mut self.frames);
        if self.frames.count() > 0 {
            // It is behind everything before it, so that it has a position of its own.
            self.take_piece(listener, line_limit, sender, b"\n", received_ns, intake);
        }
        self.count_read(listener, body.len());
        Ok(Some(self.arena.received()))
    }

    /// The position below which everything is durable; it only grows.
    pub fn durable_position(&mut self, intake: &impl Intake) -> u64 {
        self.release(intake);
        self.arena.durable()
    }

    /// Hands on the frames that a piece of a body completes.
    fn take_piece(
        &mut self,
        listener: usize,
        line_limit: usize,
        sender: &Sender,
        piece: &[u8],
        received_ns: u64,
        intake: &mut impl Intake,
    ) {
        let Some(buffer) = self.arena.reserve(piece.len()) else { return };
        buffer.copy_from_slice(piece);
        let start = self.arena.commit(piece.len());
        intake.take(&Read {
            listener,
            line_limit,
            chunk: self.arena.chunk(start, piece.len()),
            frames: &self.frames,
            origin: Origin::Connection(sender),
            received_ns,
            mark: start + piece.len() as u64,
        });
        self.arena.consume();
    }
}
