//! The keys of the objects that are open: how many, and whether one comes twice.
//!
//! A small object compares 64-bit fingerprints as keys arrive, and bytes when two are equal.
//! A large one is sorted once when it closes, so that no choice of keys makes it quadratic.

use super::line::{Line, PADDING};
use super::strings::unescape;
use crate::reject::Reject;

/// Objects with more keys are sorted instead of searched.
const SEARCHED: usize = 32;

/// One key. Positions past the line's end point into [`Keys::unescaped`].
#[derive(Clone, Copy)]
struct Key {
    fingerprint: u64,
    /// Its start in the lower half, its end in the upper: two words are pushed, not a struct.
    place: u64,
}

/// What tells a key from others at a glance. For keys of up to [`Print::EXACT`] bytes, equal
/// prints and lengths mean equal keys; of longer ones the middle is not in it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Print {
    /// Spread over 64 bits.
    pub fingerprint: u64,
    /// The first bytes. The fingerprint holds the last ones: for one head it is different for
    /// every tail.
    pub head: u64,
}

impl Print {
    /// Head and tail overlap or meet, the closing quote included.
    pub const EXACT: usize = 15;

    /// Of a key that stands on its own.
    pub fn of(key: &[u8]) -> Self {
        print(Line::new(&[key, b"\"", &PADDING].concat()), 0, key.len())
    }
}

/// What an open object (or array, which stays empty) knows of its keys.
#[derive(Clone, Copy, Default)]
pub struct Scope {
    first: usize,
    /// One bit for the highest six of each fingerprint: a clear bit proves that a key is new.
    filter: u64,
}

/// The keys of every open object, the outermost first.
pub struct Keys {
    open: Vec<Key>,
    /// Of the object that was opened last.
    scope: Scope,
    unescaped: Vec<u8>,
    left: usize,
}

impl Keys {
    pub fn new() -> Self {
        Self { open: Vec::new(), scope: Scope::default(), unescaped: Vec::new(), left: 0 }
    }

    /// Begins a line that may have `limit` keys.
    pub fn reset(&mut self, limit: u32) {
        self.open.clear();
        self.scope = Scope::default();
        self.unescaped.clear();
        self.left = limit as usize;
    }

    /// How many more keys the line may have.
    pub fn left(&self) -> usize {
        self.left
    }

    /// Begins an object or array; the scope to leave it for.
    #[inline]
    pub fn enter(&mut self) -> Scope {
        std::mem::replace(&mut self.scope, Scope { first: self.open.len(), filter: 0 })
    }

    /// How many keys the object that was opened last has.
    #[inline]
    pub fn count(&self) -> usize {
        self.open.len() - self.scope.first
    }

    /// Ends an object or array.
    #[inline]
    pub fn leave(&mut self, line: Line, around: Scope) -> Result<(), Reject> {
        let count = self.count();
        self.left = self.left.checked_sub(count).ok_or(Reject::TooManyKeys)?;
        if count > SEARCHED {
            self.check_sorted(line)?;
        }
        self.open.truncate(self.scope.first);
        self.scope = around;
        Ok(())
    }

    /// Adds the key between two positions of the line.
    #[inline(always)]
    #[allow(clippy::inline_always, reason = "the print stays in registers")]
    pub fn add(&mut self, line: Line, start: usize, end: usize) -> Result<Print, Reject> {
        let print = print(line, start, end);
        self.insert(line, Key::new(print.fingerprint, start, end))?;
        Ok(print)
    }

    /// Adds the key from `start` on, which has its first escape at `escape`; the position of
    /// the quote that ends it. [`Self::last`] has what it says.
    #[cold]
    #[inline(never)]
    pub fn add_escaped(
        &mut self,
        line: Line,
        start: usize,
        escape: usize,
    ) -> Result<(usize, Print), Reject> {
        let text = &mut self.unescaped;
        let from = text.len();
        let closing = unescape(line, start, escape, text)?;
        let to = text.len();
        text.push(b'"');
        text.extend_from_slice(&PADDING);
        let print = print(Line::new(&text[from..]), 0, to - from);
        text.truncate(to);
        self.insert(line, Key::new(print.fingerprint, line.end() + from, line.end() + to))?;
        Ok((closing, print))
    }

    #[inline]
    fn insert(&mut self, line: Line, key: Key) -> Result<(), Reject> {
        let bit = 1 << (key.fingerprint >> 58);
        if self.scope.filter & bit != 0 && self.holds(line, key) {
            return Err(Reject::DuplicateKey);
        }
        self.scope.filter |= bit;
        self.open.push(key);
        Ok(())
    }

    #[inline(never)]
    fn holds(&self, line: Line, key: Key) -> bool {
        let open = &self.open[self.scope.first..];
        open.len() <= SEARCHED && open.iter().any(|other| self.same(line, key, *other))
    }

    #[cold]
    fn check_sorted(&mut self, line: Line) -> Result<(), Reject> {
        let mut open = std::mem::take(&mut self.open);
        let large = &mut open[self.scope.first..];
        large.sort_unstable_by(|a, b| {
            let by_fingerprint = a.fingerprint.cmp(&b.fingerprint);
            by_fingerprint.then_with(|| self.text(line, *a).cmp(self.text(line, *b)))
        });
        let has_duplicate = large.windows(2).any(|pair| self.same(line, pair[0], pair[1]));
        self.open = open;
        if has_duplicate { Err(Reject::DuplicateKey) } else { Ok(()) }
    }

    fn same(&self, line: Line, a: Key, b: Key) -> bool {
        a.fingerprint == b.fingerprint && self.text(line, a) == self.text(line, b)
    }

    fn text<'a>(&'a self, line: Line<'a>, key: Key) -> &'a [u8] {
        let (start, end) = key.range();
        match start.checked_sub(line.end()) {
            None => line.text(start, end),
            Some(from) => &self.unescaped[from..end - line.end()],
        }
    }

    /// What the key that was added last says.
    pub fn last<'a>(&'a self, line: Line<'a>) -> &'a [u8] {
        self.open.last().map_or(&[], |key| self.text(line, *key))
    }
}

impl Key {
    /// The decoder accepts no line in which a position would not fit.
    #[inline]
    fn new(fingerprint: u64, start: usize, end: usize) -> Self {
        Self { fingerprint, place: start as u64 | (end as u64) << 32 }
    }

    #[allow(clippy::cast_possible_truncation, reason = "each half has 32 bits")]
    fn range(self) -> (usize, usize) {
        (self.place as u32 as usize, (self.place >> 32) as usize)
    }
}

/// Of the text between two positions, with the quote behind it: so there is a byte to look at
/// even when it is empty. Equal texts have equal fingerprints; the reverse is not promised, and
/// not true of texts that differ only in the middle.
#[inline]
fn print(line: Line, start: usize, end: usize) -> Print {
    // Two odd constants of xxHash.
    const FIRST: u64 = 0x9e37_79b1_85eb_ca87;
    const SECOND: u64 = 0xc2b2_ae3d_27d4_eb4f;
    let shown = (end + 1 - start).min(8);
    let hidden_bits = (8 - shown) * 8;
    let head = u64::from_le_bytes(*line.bytes(start)) << hidden_bits;
    let tail = u64::from_le_bytes(*line.bytes(end + 1 - shown)) << hidden_bits;
    let fingerprint = (head.wrapping_mul(FIRST) ^ tail).rotate_left(29).wrapping_mul(SECOND);
    Print { fingerprint, head }
}
