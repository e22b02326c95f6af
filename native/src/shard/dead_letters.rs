//! The way of a line that is no event: scrubbed, with its circumstances, into the dead letters.

use std::sync::Arc;

use super::handoff::Run;
use crate::counters::Region;
use crate::dead_letter::DeadLetter;
use crate::journal::Journal;
use crate::pipeline::Scrubber;
use crate::reject::Reject;

/// The journal of dead letters, and what is taken out of them.
pub(super) struct DeadLetters {
    pub(super) journal: Journal,
    pub(super) scrubber: Scrubber,
    pub(super) region: Arc<Region>,
}

impl DeadLetters {
    /// Writes a dead letter of a line; `stage` is that of the plugin that failed.
    pub(super) fn bury(&mut self, line: &[u8], run: &Run, reject: Reject, stage: Option<usize>) {
        self.bury_part(line, line.len() as u64, run, reject, stage);
    }

    /// The same where `line` may be only the beginning of one that is `length` bytes long.
    #[cold]
    pub(super) fn bury_part(
        &mut self,
        line: &[u8],
        length: u64,
        run: &Run,
        reject: Reject,
        stage: Option<usize>,
    ) {
        let raw = self.scrubber.scrub(line);
        let letter = DeadLetter {
            received_ns: run.received_ns,
            listener: &self.region.listeners()[run.listener],
            peer: run.sender.peer,
            reject,
            stage: stage.map(|stage| self.region.stages()[stage].as_str()),
            line,
            raw,
            length,
        };
        letter.write(&mut self.journal.batch().lines);
    }
}
