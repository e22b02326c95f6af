//! The bytes under the scanner: one line followed by zero bytes that may be read.
//! Zero is a control character, which no token of JSON holds bare, so every loop of the
//! scanner ends at the padding by itself and needs no check for the end of the line.
//! A line break ends them too, where no blanks are skipped and none is compared with.

/// How many bytes are indexed at once.
pub const BLOCK: usize = 64;

/// Zero bytes behind the line: a block may begin at any position up to the line's end.
pub const PADDING: [u8; BLOCK] = [0; BLOCK];

/// A line with [`PADDING`] behind it, or with what ends a line and any other bytes in its place.
#[derive(Clone, Copy)]
pub struct Line<'a> {
    padded: &'a [u8],
}

impl<'a> Line<'a> {
    /// `padded` is the line and its [`PADDING`].
    #[inline]
    pub fn new(padded: &'a [u8]) -> Self {
        debug_assert!(padded.ends_with(&PADDING));
        Self { padded }
    }

    /// The line of that length in the place where it lies, if what is behind it is in no canonical
    /// line, so that nothing that is compared with one goes on behind its end. Not for a scanner
    /// that skips blanks.
    #[inline]
    pub fn in_place(bytes: &'a [u8], length: usize) -> Option<Self> {
        let padded = bytes.get(..length + BLOCK)?;
        matches!(padded[length], b'\n' | b'\r' | 0).then_some(Self { padded })
    }

    /// The position of the first byte of padding.
    #[inline]
    pub fn end(self) -> usize {
        self.padded.len() - PADDING.len()
    }

    /// The byte at a position no further than the padding.
    #[inline]
    pub fn byte(self, at: usize) -> u8 {
        self.padded[at]
    }

    /// The `SIZE` bytes, at most [`BLOCK`], from a position no further than the line's end.
    #[inline]
    pub fn bytes<const SIZE: usize>(self, at: usize) -> &'a [u8; SIZE] {
        self.padded[at..].first_chunk().unwrap_or(&[0; SIZE])
    }

    /// The blocks of the line; the last one ends in padding.
    #[inline]
    pub fn blocks(self) -> &'a [[u8; BLOCK]] {
        self.padded.as_chunks().0
    }

    /// The bytes between two positions.
    #[inline]
    pub fn text(self, from: usize, to: usize) -> &'a [u8] {
        &self.padded[from..to]
    }
}
