//! Bytes to frames. A frame ends where its sender says: a newline, a zero byte, or the end of the
//! octets that were counted before it (RFC 6587). Which of the first two it is shows once on
//! a connection, the third for each frame. What is longer than the limit is skipped to its end, and
//! only its beginning is kept.

mod datagrams;
mod framer;
mod octet_count;
#[cfg(test)]
mod tests;

pub use framer::{FrameState, Framer, Growth};

/// One frame, without what ended it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Frame<'a> {
    /// A frame within the limit, not blank. Not all are lines: those that were counted and
    /// datagrams may hold line breaks.
    Line(&'a [u8]),
    /// A frame beyond the limit.
    Overlong {
        /// Its beginning, as long as the limit.
        head: &'a [u8],
        /// Its whole length in bytes.
        length: u64,
    },
    /// A frame whose octets were counted and whose connection ended within it, or any whose end was
    /// not waited for.
    Incomplete {
        /// What there is of it, at most as long as the limit.
        head: &'a [u8],
        /// The length that was announced, or was there when it was given up.
        length: u64,
    },
}

/// The frames that one read completed. Reused from read to read.
#[derive(Debug, Default)]
pub struct Frames {
    /// The frame that earlier reads began and this one completed.
    head: Vec<u8>,
    /// Whole length of the frame in `head`, which is more than it holds when overlong.
    head_length: u64,
    /// Whether the connection ended within the frame in `head`.
    head_is_incomplete: bool,
    /// Frames that lie in the chunk as a whole.
    spans: Vec<Span>,
}

#[derive(Debug, Clone, Copy)]
struct Span {
    start: u32,
    end: u32,
}

impl Frames {
    /// How many frames there are.
    pub fn count(&self) -> usize {
        self.spans.len() + usize::from(self.head_length > 0)
    }

    /// The part of the chunk that holds whole frames.
    pub fn whole_lines<'a>(&self, chunk: &'a [u8]) -> &'a [u8] {
        match (self.spans.first(), self.spans.last()) {
            (Some(first), Some(last)) => &chunk[first.start as usize..last.end as usize],
            _ => &[],
        }
    }

    /// The frame that began before the chunk.
    pub fn head(&self, limit: usize) -> Option<Frame<'_>> {
        let (head, length) = (&self.head, self.head_length);
        if self.head_is_incomplete {
            return Some(Frame::Incomplete { head, length });
        }
        (length > 0).then(|| frame(head, length, limit))
    }

    /// The frames within the chunk, each with the offset of its end, and the chunk from its beginning
    /// on.
    pub fn lines<'a>(
        &'a self,
        chunk: &'a [u8],
        limit: usize,
    ) -> impl Iterator<Item = (u32, Frame<'a>, &'a [u8])> {
        self.spans.iter().map(move |span| {
            let bytes = &chunk[span.start as usize..];
            let line = &bytes[..(span.end - span.start) as usize];
            (span.end, frame(line, line.len() as u64, limit), bytes)
        })
    }

    fn clear(&mut self) {
        self.head.clear();
        self.head_length = 0;
        self.head_is_incomplete = false;
        self.spans.clear();
    }

    /// Adds what lies between two positions of the chunk.
    #[inline]
    fn push(&mut self, start: usize, end: usize) {
        // A chunk is one read of at most a few MiB.
        #[allow(clippy::cast_possible_truncation)]
        self.spans.push(Span { start: start as u32, end: end as u32 });
    }
}

fn frame(line: &[u8], length: u64, limit: usize) -> Frame<'_> {
    // Of one that began under a lower limit not all may be there.
    if length > limit as u64 || length > line.len() as u64 {
        Frame::Overlong { head: &line[..line.len().min(limit)], length }
    } else {
        Frame::Line(line)
    }
}

/// Before a frame, such bytes belong to none.
#[inline]
fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\r' | b'\n' | 0)
}

/// The position of the first byte from `start` on that is not blank; the end if all are.
#[inline]
fn skip_blanks(chunk: &[u8], start: usize) -> usize {
    match chunk.get(start) {
        Some(byte) if is_blank(*byte) => {
            let rest = &chunk[start..];
            start + rest.iter().position(|byte| !is_blank(*byte)).unwrap_or(rest.len())
        }
        _ => start.min(chunk.len()),
    }
}
