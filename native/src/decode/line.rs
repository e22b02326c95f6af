//! The bytes under the scanner: one line followed by zero bytes that may be read.
//! Zero is a control character, which no token of JSON holds bare, so every loop of the
//! scanner ends at the padding by itself and needs no check for the end of the line.

/// How many bytes [`Line::block`] shows at once.
pub const BLOCK: usize = 16;

/// Zero bytes behind the line: a block may begin at any position up to the line's end.
pub const PADDING: [u8; BLOCK] = [0; BLOCK];

/// A line with [`PADDING`] behind it.
#[derive(Clone, Copy)]
pub struct Line<'a> {
    padded: &'a [u8],
}

impl<'a> Line<'a> {
    /// `padded` is the line and its [`PADDING`].
    pub fn new(padded: &'a [u8]) -> Self {
        debug_assert!(padded.ends_with(&PADDING));
        Self { padded }
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

    /// The [`BLOCK`] bytes from a position no further than the line's end.
    #[inline]
    pub fn block(self, at: usize) -> &'a [u8; BLOCK] {
        self.padded[at..].first_chunk().unwrap_or(&PADDING)
    }

    /// The bytes between two positions.
    #[inline]
    pub fn text(self, from: usize, to: usize) -> &'a [u8] {
        &self.padded[from..to]
    }
}
