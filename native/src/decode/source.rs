//! A line where it lies, with what its caller knows of it.

/// A line at the beginning of some bytes. With enough of them behind it, it can be looked at without
/// being copied.
#[derive(Debug, Clone, Copy)]
pub struct Source<'a> {
    pub(super) bytes: &'a [u8],
    length: usize,
    /// Whether it is known to be UTF-8, say because many lines were checked at once.
    pub is_utf8: bool,
}

impl<'a> Source<'a> {
    /// The first `length` of the bytes.
    #[inline]
    pub fn within(bytes: &'a [u8], length: usize, is_utf8: bool) -> Self {
        Self { bytes, length: length.min(bytes.len()), is_utf8 }
    }

    /// A line with nothing behind it.
    #[inline]
    pub fn alone(line: &'a [u8], is_utf8: bool) -> Self {
        Self { bytes: line, length: line.len(), is_utf8 }
    }

    /// The line.
    #[inline]
    pub fn line(&self) -> &'a [u8] {
        &self.bytes[..self.length]
    }
}
