//! Events on their way through Python: what is handed over, and what comes back.

use crate::counters::PLUGIN_DROP_REASONS;
use crate::error::{Error, Result};
use crate::receive::Sender;

/// Consecutive events of one sender that were received together.
#[derive(Debug, Clone)]
pub struct Run {
    /// Index of the listener.
    pub listener: usize,
    /// Who sent them.
    pub sender: Sender,
    /// Nanoseconds since the epoch.
    pub received_ns: u64,
    /// How many there are.
    pub count: u32,
    /// The position of the arena behind them.
    pub mark: u64,
}

/// A batch of events for one Python segment.
#[derive(Debug, Default)]
pub struct Handoff {
    /// The segment's number among the Python segments.
    pub segment: usize,
    /// One line for each event.
    pub lines: Vec<u8>,
    /// Where they come from, in the same order.
    pub runs: Vec<Run>,
}

impl Handoff {
    pub(super) fn clear(&mut self) {
        self.segment = 0;
        self.lines.clear();
        self.runs.clear();
    }
}

/// What Python made of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It goes on.
    Keep,
    /// A filter dropped it.
    Filtered,
    /// It goes to the dead letters.
    DeadLetter,
    /// It is discarded, for the reason with that index in `DROP_REASONS`.
    Dropped(usize),
}

impl Verdict {
    fn read(byte: u8) -> Option<Self> {
        match byte {
            0 => Some(Self::Keep),
            1 => Some(Self::Filtered),
            2 => Some(Self::DeadLetter),
            reason => {
                let reason = usize::from(reason) - 3;
                (reason < PLUGIN_DROP_REASONS).then_some(Self::Dropped(reason))
            }
        }
    }

    fn has_line(self) -> bool {
        matches!(self, Self::Keep | Self::DeadLetter)
    }
}

/// What comes back for a batch.
#[derive(Debug, Clone, Copy)]
pub struct Returned<'a> {
    /// A line for each event that is kept or becomes a dead letter.
    pub lines: &'a [u8],
    /// A byte for each event, see [`Verdict`].
    pub verdicts: &'a [u8],
    /// For each event the stage that decided so, a byte; of a kept event it means nothing.
    pub stages: &'a [u8],
}

/// One event of what came back.
pub(super) struct Judged<'a> {
    pub(super) verdict: Verdict,
    pub(super) stage: usize,
    pub(super) line: &'a [u8],
}

impl<'a> Returned<'a> {
    /// The events, after it was checked that there are as many as were handed over, and that each
    /// was decided by one of the pipeline's stages.
    pub(super) fn events(
        &self,
        count: usize,
        stages: usize,
    ) -> Result<impl Iterator<Item = Judged<'a>>> {
        let verdicts: Option<Vec<Verdict>> =
            self.verdicts.iter().map(|byte| Verdict::read(*byte)).collect();
        let verdicts = verdicts.unwrap_or_default();
        let expected = verdicts.iter().filter(|verdict| verdict.has_line()).count();
        let lines = memchr::memchr_iter(b'\n', self.lines).count();
        let is_whole = self.lines.is_empty() || self.lines.ends_with(b"\n");
        if verdicts.len() != count || self.stages.len() != count || lines != expected || !is_whole {
            let verdicts = verdicts.len();
            return Err(Error::Invalid(format!(
                "{count} events came back as {verdicts} verdicts, {expected} with one of {lines} lines"
            )));
        }
        if let Some(stage) = self.stages.iter().find(|stage| usize::from(**stage) >= stages) {
            return Err(Error::Invalid(format!("{stage} of {stages} stages decided")));
        }
        let mut rest = self.lines;
        let stages = self.stages.iter().map(|stage| usize::from(*stage));
        Ok(verdicts.into_iter().zip(stages).map(move |(verdict, stage)| {
            let end = memchr::memchr(b'\n', rest).filter(|_| verdict.has_line());
            let (line, behind) = match end {
                Some(end) => (&rest[..end], &rest[end + 1..]),
                None => (&rest[..0], rest),
            };
            rest = behind;
            Judged { verdict, stage, line }
        }))
    }
}
