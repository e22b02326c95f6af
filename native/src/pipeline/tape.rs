//! What the stages want to know of one event: the values that a stage is interested in, in the
//! order of the text, and what stands in their place by now. Nothing else of it is kept.

use std::ops::Range;

use super::paths::{BARREN, Paths, WANTED};
use super::url;
use crate::decode::{Line, Observer, Print};

/// One value of the event.
#[derive(Debug, Clone, Copy)]
pub struct Entry {
    /// Where the value begins in the text.
    pub start: u32,
    /// Where it ends.
    pub end: u32,
    /// The stages that mask it.
    pub masks: u32,
    /// What stands there instead, in [`Tape::side`]; equal bounds: nothing.
    replacement: (u32, u32),
    /// What stands there is final.
    pub is_final: bool,
}

impl Entry {
    /// Whether something else stands there by now.
    pub fn is_replaced(&self) -> bool {
        self.replacement.0 != self.replacement.1
    }
}

/// Which strings are noted for what they hold.
#[derive(Debug, Clone, Copy, Default)]
pub struct StringInterest {
    /// Those that may be URLs with credentials.
    pub urls: bool,
    /// Those of more bytes.
    pub longer_than: Option<usize>,
}

impl StringInterest {
    /// Both.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        let longer_than = match (self.longer_than, other.longer_than) {
            (Some(one), Some(another)) => Some(one.min(another)),
            (one, another) => one.or(another),
        };
        Self { urls: self.urls || other.urls, longer_than }
    }
}

/// The notes on one event. Made while it is scanned.
pub struct Tape {
    paths: Paths,
    strings: StringInterest,
    /// Whether strings of this event are looked at, and for what.
    look: StringInterest,
    looks: bool,
    /// In the order of their starts.
    pub entries: Vec<Entry>,
    /// The stages that mask anything.
    pub masks: u32,
    /// Entries whose end has not come.
    open: Vec<u32>,
    /// For each watch the entry of its value, plus one.
    seen: Vec<u32>,
    /// Text that is not the sender's.
    pub side: Vec<u8>,
}

impl Tape {
    /// With `watches` as many as the paths' rules have.
    pub fn new(paths: Paths, watches: usize, strings: StringInterest) -> Self {
        Self {
            paths,
            strings,
            look: StringInterest::default(),
            looks: false,
            entries: Vec::new(),
            masks: 0,
            open: Vec::new(),
            seen: vec![0; watches],
            side: Vec::new(),
        }
    }

    /// The entry of a watched value, if the event has it.
    #[inline]
    pub fn watched(&self, watch: usize) -> Option<usize> {
        (self.seen[watch] as usize).checked_sub(1)
    }

    /// What stands at an entry by now.
    #[inline]
    pub fn current<'a>(&'a self, entry: &Entry, text: &'a [u8]) -> &'a [u8] {
        if entry.is_replaced() {
            &self.side[entry.replacement.0 as usize..entry.replacement.1 as usize]
        } else {
            &text[entry.start as usize..entry.end as usize]
        }
    }

    /// Puts the text, which is not empty, in the place of an entry's value.
    #[inline]
    pub fn replace(&mut self, index: usize, text: &[u8]) {
        let start = self.side.len() as u32;
        self.side.extend_from_slice(text);
        self.replaced_from(index, start as usize);
    }

    /// The same with what was written to the side from `start` on.
    pub fn replaced_from(&mut self, index: usize, start: usize) {
        self.entries[index].replacement = (start as u32, self.side.len() as u32);
    }

    /// Appends a part of the text, as it has become. Entries that begin before it do not count.
    pub fn render(&self, text: &[u8], part: Range<usize>, out: &mut Vec<u8>) {
        let mut copied = part.start;
        for entry in &self.entries {
            let (start, end) = (entry.start as usize, entry.end as usize);
            // In a value that was replaced as a whole, what became of its parts is nothing.
            if entry.is_replaced() && start >= copied && end <= part.end {
                out.extend_from_slice(&text[copied..start]);
                out.extend_from_slice(self.current(entry, text));
                copied = end;
            }
        }
        if copied < part.end {
            out.extend_from_slice(&text[copied..part.end]);
        }
    }

    fn push(&mut self, place: u32, start: usize, end: usize) {
        let mut masks = 0;
        if place & WANTED != 0 {
            masks = self.paths.masks(place);
            let mut watched = self.paths.watched(place);
            while watched != 0 {
                self.seen[watched.trailing_zeros() as usize] = self.entries.len() as u32 + 1;
                watched &= watched - 1;
            }
        }
        self.masks |= masks;
        let (start, end) = (start as u32, end as u32);
        self.entries.push(Entry { start, end, masks, replacement: (0, 0), is_final: false });
    }

    #[inline(never)]
    fn look_at_string(&mut self, line: Line, start: usize, end: usize) {
        let inside = line.text(start + 1, end - 1);
        if self.look.urls && url::may_hold_credentials(inside)
            || self.look.longer_than.is_some_and(|most| inside.len() > most)
        {
            self.push(0, start, end);
        }
    }
}

impl Observer for Tape {
    const LOOKS: bool = true;

    #[inline]
    fn epoch(&self) -> u64 {
        self.paths.epoch()
    }

    #[inline]
    fn wants(&self, place: u32) -> bool {
        place & WANTED != 0
    }

    #[inline]
    fn begin(&mut self, line: Line) -> u32 {
        self.entries.clear();
        self.open.clear();
        self.side.clear();
        self.seen.fill(0);
        self.masks = 0;
        let text = line.text(0, line.end());
        // Without an @, or an escape that may stand for one, there are no credentials.
        self.look.urls = self.strings.urls && memchr::memchr2(b'@', b'\\', text).is_some();
        self.look.longer_than = self.strings.longer_than.filter(|most| text.len() > *most);
        self.looks = self.look.urls || self.look.longer_than.is_some();
        self.paths.begin()
    }

    #[inline]
    fn member(&mut self, object: u32, key: &[u8], print: Print) -> u32 {
        if object & BARREN != 0 { BARREN } else { self.paths.member(object, key, print) }
    }

    #[inline]
    fn element(&mut self, array: u32, index: u32) -> u32 {
        self.paths.element(array, index)
    }

    #[inline]
    fn scalar(&mut self, place: u32, line: Line, start: usize, end: usize) {
        if place & WANTED != 0 {
            self.push(place, start, end);
        } else if self.looks && line.byte(start) == b'"' {
            self.look_at_string(line, start, end);
        }
    }

    #[inline]
    fn open(&mut self, place: u32, start: usize) {
        if place & WANTED != 0 {
            self.open.push(self.entries.len() as u32);
            self.push(place, start, start);
        }
    }

    #[inline]
    fn close(&mut self, place: u32, end: usize) {
        if place & WANTED != 0
            && let Some(index) = self.open.pop()
        {
            self.entries[index as usize].end = end as u32;
        }
    }
}
