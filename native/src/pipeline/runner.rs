//! One native segment of the pipeline at work: decode, filter, enrich, redact, render.

use std::sync::Arc;

use super::additions::{Additions, GROUP, LABELS_KEY, MARK_KEY, ORIGIN_KEY, Origin};
use super::config::{self, Kernel, Output};
use super::envelope::Envelope;
use super::filters::{Filter, Verdict};
use super::paths::Paths;
use super::patterns::PythonPatterns;
use super::redact::Redactor;
use super::rules::Rules;
use super::size_guard::{SizeGuard, SizeOutcome};
use super::tape::{StringInterest, Tape};
use crate::clock;
use crate::decode::{Blind, Decoder, Edits, Limits, Source};
use crate::error::{Error, Result};
use crate::reject::Reject;

/// Each place has one bit for each watch.
const WATCHES_MAXIMUM: usize = 64;
const NANOSECONDS: f64 = 1e9;

/// What became of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Passage {
    /// It goes on; what decoding changed.
    Kept(Edits),
    /// A filter dropped it; what decoding changed.
    Filtered(Edits),
}

/// What the stages did since somebody counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StageCount {
    /// The stage's index in the region.
    pub stage: usize,
    /// Events it dropped.
    pub filtered: u64,
    /// Values or events it changed.
    pub changed: u64,
}

struct FilterStage {
    filter: Filter,
    /// The first of its watches, and their number.
    watches: std::ops::Range<usize>,
    count: StageCount,
}

/// A segment with the memory it works in.
pub struct Runner {
    decoder: Decoder,
    /// No stage and no other form: events are only decoded.
    is_idle: bool,
    tape: Tape,
    filters: Vec<FilterStage>,
    additions: Additions,
    redactors: Vec<Redactor>,
    envelope: Option<Envelope>,
    size_guards: Vec<(SizeGuard, StageCount)>,
    form: Output,
    is_formed: bool,
    received_ns: u64,
    /// Of the monotonic clock, when the run began.
    now_seconds: f64,
    /// The canonical event of a line that was not one.
    text: Vec<u8>,
    /// The event that goes into an envelope.
    bare: Vec<u8>,
}

impl Runner {
    /// Compiles a segment.
    ///
    /// # Errors
    /// [`Error::Invalid`] for what a kernel cannot do.
    pub fn new(
        segment: &config::Segment,
        limits: Limits,
        python: Option<Arc<dyn PythonPatterns>>,
    ) -> Result<Self> {
        let mut rules = Rules { python, ..Rules::default() };
        let mut filters = Vec::new();
        let mut redactors = Vec::new();
        let mut size_guards = Vec::new();
        let mut strings = StringInterest::default();
        let group = rules.watch(&[GROUP]);
        let mut additions = Additions::new(group);
        if segment.has_labels {
            additions.add_labels(rules.watch(&[GROUP, LABELS_KEY]));
        }
        for stage in &segment.stages {
            let count = StageCount { stage: stage.index, filtered: 0, changed: 0 };
            if let Some(filter) = Filter::new(&stage.kernel, now_seconds()) {
                let filter = filter?;
                let start = rules.watches.len();
                for path in filter.wanted() {
                    let path: Vec<&str> = path.iter().map(String::as_str).collect();
                    rules.watch(&path);
                }
                filters.push(FilterStage { filter, watches: start..rules.watches.len(), count });
            }
            // Each place has one bit for each redactor.
            let bit = 1_u32.checked_shl(redactors.len() as u32);
            if let Some(redactor) =
                Redactor::new(stage.index, bit.unwrap_or_default(), &stage.kernel)
            {
                let bit = bit.ok_or_else(|| Error::Invalid("too many redactors".into()))?;
                strings = strings.and(redactor.strings());
                redactors.push(redactor);
                rules.add(stage.index, bit, &stage.kernel)?;
            }
            match &stage.kernel {
                Kernel::Origin(_) => additions.add_origin(rules.watch(&[GROUP, ORIGIN_KEY])),
                Kernel::Constants(config) => {
                    for (key, text) in &config.diagnostics {
                        let watch = rules.watch(&[GROUP, key]);
                        additions.add_constant(key, watch, text);
                    }
                }
                Kernel::RateLimit(config) if config.mark => {
                    let watch = rules.watch(&[MARK_KEY]);
                    additions.allow_mark(watch);
                }
                Kernel::SizeGuard(config) => size_guards.push((SizeGuard::new(config), count)),
                _ => {}
            }
        }
        if rules.watches.len() > WATCHES_MAXIMUM {
            return Err(Error::Invalid(format!("more than {WATCHES_MAXIMUM} keys to look at")));
        }
        if additions.is_empty() && filters.is_empty() {
            rules.watches.clear();
        }
        let watches = rules.watches.len();
        let is_idle = filters.is_empty()
            && additions.is_empty()
            && redactors.is_empty()
            && size_guards.is_empty()
            && segment.output == Output::Bare
            && !segment.is_formed;
        Ok(Self {
            decoder: if segment.is_later {
                Decoder::of_events(limits)
            } else {
                Decoder::new(limits)
            },
            is_idle,
            tape: Tape::new(Paths::new(rules), watches, strings),
            filters,
            additions,
            redactors,
            envelope: (segment.output == Output::Envelope).then(Envelope::default),
            size_guards,
            form: segment.output,
            is_formed: segment.is_formed,
            received_ns: 0,
            now_seconds: now_seconds(),
            text: Vec::new(),
            bare: Vec::new(),
        })
    }

    /// Begins events that came together.
    pub fn begin(&mut self, origin: &Origin<'_>) {
        if self.is_idle {
            return;
        }
        self.received_ns = origin.received_ns;
        self.now_seconds = now_seconds();
        self.additions.prepare(origin, &mut self.tape, &mut self.redactors);
    }

    /// Appends what becomes of a line, without a newline, to `out`; nothing where it is dropped
    /// or rejected. See [`Decoder::decode`].
    #[inline]
    pub fn run(
        &mut self,
        source: &Source<'_>,
        out: &mut Vec<u8>,
    ) -> std::result::Result<Passage, Reject> {
        let (line, is_utf8) = (source.line(), source.is_utf8);
        if self.is_idle {
            if let Some(text) = self.decoder.recognise(source, &mut Blind) {
                out.extend_from_slice(text);
                return Ok(Passage::Kept(Edits::default()));
            }
            return self.decoder.decode(line, is_utf8, &mut Blind, out).map(Passage::Kept);
        }
        if self.is_formed {
            let start = out.len();
            let edits = self.decoder.decode(line, is_utf8, &mut Blind, out)?;
            out.truncate(start);
            out.extend_from_slice(line);
            self.guard_size(start, out);
            return Ok(Passage::Kept(edits));
        }
        if let Some(text) = self.decoder.recognise(source, &mut self.tape) {
            return Ok(self.pass(text, Edits::default(), out));
        }
        let mut text = std::mem::take(&mut self.text);
        text.clear();
        let edits = self.decoder.decode(line, is_utf8, &mut self.tape, &mut text);
        let passage = edits.map(|edits| self.pass(&text, edits, out));
        self.text = text;
        passage
    }

    /// Appends what becomes of an event, of which the tape has the notes.
    #[inline]
    fn pass(&mut self, text: &[u8], edits: Edits, out: &mut Vec<u8>) -> Passage {
        let mut is_marked = false;
        if !self.filters.is_empty() {
            match self.filter(text) {
                Verdict::Drop => return Passage::Filtered(edits),
                verdict => is_marked = verdict == Verdict::Mark,
            }
        }
        let start = out.len();
        self.change(text, is_marked, out);
        if let Some(envelope) = &mut self.envelope {
            self.bare.clear();
            self.bare.extend_from_slice(&out[start..]);
            out.truncate(start);
            envelope.write(&self.bare, self.received_ns, out);
        }
        self.guard_size(start, out);
        Passage::Kept(edits)
    }

    #[inline]
    fn guard_size(&mut self, start: usize, out: &mut Vec<u8>) {
        for (guard, count) in &mut self.size_guards {
            if guard.apply(out, start, self.form) != SizeOutcome::Fits {
                count.changed += 1;
            }
        }
    }

    /// Hands on, and forgets, what the stages did.
    pub fn take_counts(&mut self, mut each: impl FnMut(StageCount)) {
        let mut take = |count: &mut StageCount| {
            if count.filtered + count.changed > 0 {
                each(*count);
                (count.filtered, count.changed) = (0, 0);
            }
        };
        self.filters.iter_mut().for_each(|stage| take(&mut stage.count));
        self.size_guards.iter_mut().for_each(|(_, count)| take(count));
        for redactor in self.redactors.iter_mut().filter(|redactor| redactor.changed > 0) {
            let changed = std::mem::take(&mut redactor.changed);
            take(&mut StageCount { stage: redactor.stage, filtered: 0, changed });
        }
    }

    /// Hands on how the filters stand: the stage, the share of events that it lets through if it
    /// samples, and how many keys it remembers if it does.
    pub fn gauges(&self, mut each: impl FnMut(usize, Option<f64>, Option<usize>)) {
        for FilterStage { filter, count, .. } in &self.filters {
            each(count.stage, filter.current_sample_rate(), filter.tracked_key_count());
        }
    }

    /// Asks the filters in their order.
    #[inline]
    fn filter(&mut self, text: &[u8]) -> Verdict {
        let mut is_marked = false;
        for stage in &mut self.filters {
            let value = |watch| {
                let entry = self.tape.watched(watch).map(|index| self.tape.entries[index]);
                entry.map(|entry| self.tape.current(&entry, text))
            };
            let verdict = match stage.watches.clone() {
                // Nearly always.
                watches if watches.len() == 1 => {
                    stage.filter.decide(&[value(watches.start)], self.now_seconds)
                }
                watches => {
                    let mut values = [None; WATCHES_MAXIMUM];
                    let count = watches.len();
                    for (place, watch) in values.iter_mut().zip(watches) {
                        *place = value(watch);
                    }
                    stage.filter.decide(&values[..count], self.now_seconds)
                }
            };
            match verdict {
                Verdict::Pass => {}
                Verdict::Mark => {
                    is_marked = true;
                    stage.count.changed += 1;
                }
                Verdict::Drop => {
                    stage.count.filtered += 1;
                    return Verdict::Drop;
                }
            }
        }
        if is_marked { Verdict::Mark } else { Verdict::Pass }
    }

    /// Appends the event, enriched and redacted.
    #[inline]
    fn change(&mut self, text: &[u8], is_marked: bool, out: &mut Vec<u8>) {
        let adds = !self.additions.is_empty();
        if adds {
            self.additions.replace(&mut self.tape, text, is_marked);
        }
        for redactor in &mut self.redactors {
            redactor.apply(&mut self.tape, text);
        }
        if adds {
            self.additions.render(&self.tape, text, is_marked, out);
        } else {
            self.tape.render(text, 0..text.len(), out);
        }
    }
}

#[allow(clippy::cast_precision_loss, reason = "a clock in seconds has 53 bits")]
fn now_seconds() -> f64 {
    clock::monotonic_ns() as f64 / NANOSECONDS
}
