//! The way in for sources that acknowledge: bodies of requests, and how far everything is durable.

use super::Shard;
use crate::error::Result;
use crate::receive::Submission;

impl Shard {
    /// Takes the body of a request as a whole. Returns the position that [`Self::durable_position`]
    /// has to reach before it may be acknowledged, or none where the journals or the arena have no
    /// room, Python has a batch in its hands, or what a predecessor left comes first: nothing of it
    /// was taken then.
    ///
    /// Afterwards, as after a drain, [`Self::take_handoff`].
    ///
    /// # Errors
    /// For a listener that is not served.
    pub fn submit(&mut self, submission: &Submission<'_>) -> Result<Option<u64>> {
        if self.lines.is_handed_over() {
            return Ok(None);
        }
        let position = self.receiver.submit(submission, &mut self.lines)?;
        if !self.lines.is_within_cycle() {
            self.lines.publish();
        }
        Ok(position)
    }

    /// The position below which everything that was taken is durable. It only grows, and is of this
    /// shard alone.
    pub fn durable_position(&mut self) -> u64 {
        self.receiver.durable_position(&self.lines)
    }

    /// Makes the descriptors of [`Self::progress_filenos`] unreadable until there is more progress.
    pub fn acknowledge_progress(&self) {
        self.lines.clear_wakes();
    }

    /// Has everything that was taken synced at once, for who cannot wait for the sync interval; not
    /// while Python has a part of it.
    pub fn sync_now(&mut self) {
        if !self.lines.is_within_cycle() {
            self.lines.sync_now();
        }
    }
}
