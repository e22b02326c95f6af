//! The keys of the objects that are open: how many, and whether one comes twice.
//!
//! A small object compares 64-bit fingerprints as keys arrive, and bytes when two are equal.
//! A large one is sorted once when it closes, so that no choice of keys makes it quadratic.

use xxhash_rust::xxh3::xxh3_64;

use super::line::{BLOCK, Line};
use super::strings::unescape;
use crate::reject::Reject;

/// Objects with more keys are sorted instead of searched.
const SEARCHED: usize = 32;

/// One key. Positions past the line's end point into [`Keys::unescaped`].
#[derive(Clone, Copy)]
struct Key {
    fingerprint: u64,
    start: u32,
    end: u32,
}

/// What an open object (or array, which stays empty) knows of its keys.
#[derive(Clone, Copy)]
pub struct Scope {
    first: usize,
    /// One bit for each fingerprint modulo 64: a clear bit proves that a key is new.
    filter: u64,
}

/// The keys of every open object, the outermost first.
pub struct Keys {
    open: Vec<Key>,
    unescaped: Vec<u8>,
    left: u32,
}

impl Keys {
    pub fn new() -> Self {
        Self { open: Vec::new(), unescaped: Vec::new(), left: 0 }
    }

    /// Begins a line that may have `limit` keys.
    pub fn reset(&mut self, limit: u32) {
        self.open.clear();
        self.unescaped.clear();
        self.left = limit;
    }

    /// How many more keys the line may have.
    pub fn left(&self) -> u32 {
        self.left
    }

    /// Begins an object or array.
    #[inline]
    pub fn enter(&self) -> Scope {
        Scope { first: self.open.len(), filter: 0 }
    }

    /// Ends an object or array.
    #[inline]
    pub fn leave(&mut self, scope: Scope, line: Line) -> Result<(), Reject> {
        if self.open.len() - scope.first > SEARCHED {
            self.check_sorted(scope, line)?;
        }
        self.open.truncate(scope.first);
        Ok(())
    }

    /// How many keys an open object has.
    pub fn count(&self, scope: Scope) -> usize {
        self.open.len() - scope.first
    }

    /// Adds the key whose text stands in the line between two positions.
    #[inline]
    pub fn add(
        &mut self,
        scope: &mut Scope,
        line: Line,
        start: usize,
        end: usize,
    ) -> Result<(), Reject> {
        let fingerprint = fingerprint(line.block(start), line.text(start, end));
        self.insert(scope, line, Key::new(fingerprint, start, end))
    }

    /// Adds a key that has escapes, beginning at `start`; the position behind its quote.
    #[cold]
    pub fn add_escaped(
        &mut self,
        scope: &mut Scope,
        line: Line,
        start: usize,
    ) -> Result<usize, Reject> {
        let from = self.unescaped.len();
        let behind = unescape(line, start, &mut self.unescaped)?;
        let text = &self.unescaped[from..];
        let mut block = [0; BLOCK];
        let shown = text.len().min(BLOCK);
        block[..shown].copy_from_slice(&text[..shown]);
        let fingerprint = fingerprint(&block, text);
        let (start, end) = (line.end() + from, line.end() + self.unescaped.len());
        self.insert(scope, line, Key::new(fingerprint, start, end))?;
        Ok(behind)
    }

    /// The text, without escapes, of the key added last.
    pub fn last<'a>(&'a self, line: Line<'a>) -> &'a [u8] {
        self.open.last().map_or(&[], |key| key.text(line, &self.unescaped))
    }

    #[inline]
    fn insert(&mut self, scope: &mut Scope, line: Line, key: Key) -> Result<(), Reject> {
        self.left = self.left.checked_sub(1).ok_or(Reject::TooManyKeys)?;
        let bit = 1 << (key.fingerprint % 64);
        if scope.filter & bit != 0 && self.holds(*scope, line, key) {
            return Err(Reject::DuplicateKey);
        }
        scope.filter |= bit;
        self.open.push(key);
        Ok(())
    }

    fn holds(&self, scope: Scope, line: Line, key: Key) -> bool {
        let open = &self.open[scope.first..];
        open.len() <= SEARCHED && open.iter().any(|other| key.same(*other, line, &self.unescaped))
    }

    #[cold]
    fn check_sorted(&mut self, scope: Scope, line: Line) -> Result<(), Reject> {
        let open = &mut self.open[scope.first..];
        let unescaped = &self.unescaped;
        open.sort_unstable_by(|a, b| {
            a.fingerprint
                .cmp(&b.fingerprint)
                .then_with(|| a.text(line, unescaped).cmp(b.text(line, unescaped)))
        });
        if open.windows(2).any(|pair| pair[0].same(pair[1], line, unescaped)) {
            return Err(Reject::DuplicateKey);
        }
        Ok(())
    }
}

impl Key {
    /// The decoder accepts no line so long that twice its length would not fit in 32 bits.
    #[inline]
    #[allow(clippy::cast_possible_truncation, reason = "see above")]
    fn new(fingerprint: u64, start: usize, end: usize) -> Self {
        Self { fingerprint, start: start as u32, end: end as u32 }
    }

    fn text<'a>(self, line: Line<'a>, unescaped: &'a [u8]) -> &'a [u8] {
        let (start, end) = (self.start as usize, self.end as usize);
        match start.checked_sub(line.end()) {
            None => line.text(start, end),
            Some(from) => &unescaped[from..end - line.end()],
        }
    }

    fn same(self, other: Self, line: Line, unescaped: &[u8]) -> bool {
        self.fingerprint == other.fingerprint
            && self.text(line, unescaped) == other.text(line, unescaped)
    }
}

/// `block` begins with the text. Equal texts have equal fingerprints; the reverse is not promised.
#[inline]
fn fingerprint(block: &[u8; BLOCK], text: &[u8]) -> u64 {
    /// From `BLOCK - length` on, this is a mask for `length` bytes.
    const MASKS: [u8; 2 * BLOCK] = {
        let mut masks = [0; 2 * BLOCK];
        let mut at = 0;
        while at < BLOCK {
            masks[at] = 0xff;
            at += 1;
        }
        masks
    };
    let Some(mask) = BLOCK.checked_sub(text.len()).and_then(|at| MASKS[at..].first_chunk()) else {
        return xxh3_64(text);
    };
    let masked = u128::from_le_bytes(*block) & u128::from_le_bytes(*mask);
    let (low, high) = halves(masked);
    // Two odd constants of xxHash; the fold brings every bit of the text to every bit of the sum.
    let product =
        u128::from(low ^ 0x9e37_79b1_85eb_ca87) * u128::from(high ^ 0xc2b2_ae3d_27d4_eb4f);
    let (low, high) = halves(product);
    low ^ high
}

#[inline]
#[allow(clippy::cast_possible_truncation, reason = "each half has 64 bits")]
fn halves(bits: u128) -> (u64, u64) {
    (bits as u64, (bits >> 64) as u64)
}
