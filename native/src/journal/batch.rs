//! Lines on their way to the journal, and what they are accounted to.

use std::time::Instant;

/// How far beyond its target size a drain may fill a batch without making its buffer grow.
pub(super) const SLACK: usize = 512 << 10;

/// Events that become durable together: complete lines, each ended by `\n`.
///
/// Append to `lines`, then say with [`Batch::add`] how many events that were.
#[derive(Debug)]
pub struct Batch {
    /// The lines. Only ever append.
    pub lines: Vec<u8>,
    pub(super) first_sequence: u64,
    pub(super) count: u64,
    pub(super) events_by_source: Vec<u64>,
    pub(super) first_received_ns: u64,
    pub(super) last_received_ns: u64,
    pub(super) mark: u64,
    /// When the batch was first published: the wait for its sync counts from here.
    pub(super) published: Option<Instant>,
}

impl Batch {
    pub(super) fn new(sources: usize, bytes: usize) -> Self {
        Self {
            lines: Vec::with_capacity(bytes + SLACK),
            first_sequence: 0,
            count: 0,
            events_by_source: vec![0; sources],
            first_received_ns: 0,
            last_received_ns: 0,
            mark: 0,
            published: None,
        }
    }

    /// Make an old batch a new one that begins at `first_sequence`; its memory stays.
    pub(super) fn reset(&mut self, first_sequence: u64) {
        self.lines.clear();
        self.first_sequence = first_sequence;
        self.count = 0;
        self.events_by_source.fill(0);
        self.published = None;
    }

    /// Account for `count` events whose lines were just appended.
    ///
    /// `mark` is opaque to the journal; the latest one is stored and reported when it is durable.
    ///
    /// # Panics
    /// When `source` is not an index into [`super::Options::sources`].
    pub fn add(&mut self, source: u16, count: u32, now_ns: u64, mark: u64) {
        if self.count == 0 {
            self.first_received_ns = now_ns;
            self.last_received_ns = now_ns;
        }
        self.last_received_ns = self.last_received_ns.max(now_ns);
        self.events_by_source[usize::from(source)] += u64::from(count);
        self.count += u64::from(count);
        self.mark = mark;
    }

    /// The latest mark is this one, whatever the events brought, if there are any.
    pub fn set_mark(&mut self, mark: u64) {
        if self.count > 0 {
            self.mark = mark;
        }
    }

    /// The sequence number behind the batch's last event.
    pub(super) fn next_sequence(&self) -> u64 {
        self.first_sequence + self.count
    }
}
