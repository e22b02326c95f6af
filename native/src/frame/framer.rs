//! The framing state of one connection, which is all that a move to another worker takes along.

use super::octet_count::{self, Beginning};
use super::{Frames, skip_blanks};

/// A partial frame of more than this is not kept allocated for the next one.
const KEPT_CAPACITY: usize = 4096;

/// What ends the frames of a connection that are not counted.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Terminator {
    /// The first of the two that ends a frame.
    #[default]
    Unknown,
    Newline,
    Zero,
}

/// What the partial frame is.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Partial {
    /// There is none.
    #[default]
    Nothing,
    /// Digits that may count the octets of a frame.
    Number,
    /// The beginning of a frame that a terminator ends.
    Terminated,
    /// The beginning of a frame of which so many bytes are missing.
    Counted { left: u64 },
}

/// The framing state of one connection.
#[derive(Debug, Default)]
pub struct Framer {
    terminator: Terminator,
    partial: Partial,
    /// The beginning of a frame whose end has not been read, at most the limit.
    bytes: Vec<u8>,
    /// The whole length of that frame so far.
    length: u64,
    /// What the last read did to `bytes`.
    growth: Growth,
}

/// A framing state in numbers, without the bytes of the partial frame.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct FrameState {
    /// 0: not known yet, 1: newline, 2: zero byte.
    pub terminator: u8,
    /// 0: there is no partial frame, 1: digits that may count octets, 2: one that a terminator ends,
    /// 3: one whose octets are counted.
    pub partial: u8,
    /// Its length so far, also of what is not kept of it.
    pub length: u64,
    /// What is missing of one that is counted.
    pub left: u64,
}

/// How a read changed the bytes of the partial frame: they are its first `at` bytes from before,
/// then `count` bytes of the chunk that begin at `from`.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Growth {
    /// So many bytes were there before ...
    pub at: usize,
    /// ... but may have changed: they are few then, and were taken for a number.
    pub is_rewritten: bool,
    /// Where in the chunk the others begin.
    pub from: usize,
    /// How many these are.
    pub count: usize,
}

impl Framer {
    /// Takes one read and leaves the frames that it completes in `frames`.
    pub fn feed(&mut self, chunk: &[u8], limit: usize, frames: &mut Frames) {
        frames.clear();
        let is_rewritten = self.partial == Partial::Number;
        self.growth = Growth { at: self.bytes.len(), ..Growth::default() };
        if let Some(start) = self.feed_partial(chunk, limit, frames) {
            let tail = self.split(chunk, start, frames);
            self.begin(chunk, tail, limit);
        }
        self.growth.is_rewritten = is_rewritten;
    }

    /// What the last read did to [`Self::bytes`].
    pub fn growth(&self) -> Growth {
        self.growth
    }

    /// The connection has ended: what is left is a frame.
    pub fn finish(&mut self, frames: &mut Frames) {
        frames.clear();
        if let Partial::Counted { left } = self.partial {
            let announced = self.length + left;
            self.complete(frames);
            frames.head_length = announced;
            frames.head_is_incomplete = true;
        } else if self.is_within_frame() {
            self.complete(frames);
        }
    }

    /// The connection is given up: what is left of a frame is an incomplete one.
    pub fn cut(&mut self, frames: &mut Frames) {
        let length = self.length;
        self.finish(frames);
        frames.head_length = length;
        frames.head_is_incomplete = length > 0;
    }

    /// How much has been read of a frame whose end has not.
    pub fn pending(&self) -> u64 {
        self.length
    }

    /// Bytes of a frame that is not complete.
    pub fn partial_bytes(&self) -> usize {
        self.bytes.len()
    }

    /// Whether a frame has begun and not ended.
    pub fn is_within_frame(&self) -> bool {
        self.partial != Partial::Nothing
    }

    /// Goes on with the frame that earlier reads began. The position behind it, if it ends here.
    #[inline]
    fn feed_partial(&mut self, chunk: &[u8], limit: usize, frames: &mut Frames) -> Option<usize> {
        match self.partial {
            Partial::Nothing => Some(0),
            Partial::Counted { left } => self.feed_counted(chunk, 0, left, limit, frames),
            Partial::Terminated => self.feed_terminated(chunk, limit, frames),
            Partial::Number => self.feed_number(chunk, limit, frames),
        }
    }

    fn feed_terminated(
        &mut self,
        chunk: &[u8],
        limit: usize,
        frames: &mut Frames,
    ) -> Option<usize> {
        let Some(end) = self.find_end(self.bytes.first().copied(), chunk) else {
            self.keep(chunk, 0, limit);
            return None;
        };
        self.keep(&chunk[..end], 0, limit);
        self.complete(frames);
        Some(end + 1)
    }

    fn feed_counted(
        &mut self,
        chunk: &[u8],
        start: usize,
        left: u64,
        limit: usize,
        frames: &mut Frames,
    ) -> Option<usize> {
        let here = usize::try_from(left).unwrap_or(usize::MAX).min(chunk.len() - start);
        self.keep(&chunk[..start + here], start, limit);
        let left = left - here as u64;
        if left > 0 {
            self.partial = Partial::Counted { left };
            return None;
        }
        self.complete(frames);
        Some(start + here)
    }

    #[cold]
    fn feed_number(&mut self, chunk: &[u8], limit: usize, frames: &mut Frames) -> Option<usize> {
        let mut bytes = self.bytes.clone();
        bytes.extend(chunk.iter().take(octet_count::LONGEST));
        match octet_count::read(&bytes) {
            Beginning::Undecided => {
                self.keep(chunk, 0, usize::MAX);
                None
            }
            Beginning::Frame => {
                self.partial = Partial::Terminated;
                self.bytes.truncate(limit);
                self.feed_terminated(chunk, limit, frames)
            }
            Beginning::Count { digits, length } => {
                let start = digits.saturating_sub(self.bytes.len());
                // What has come of the frame itself, if anything: its first byte.
                self.bytes.drain(..digits.min(self.bytes.len()));
                self.length = self.bytes.len() as u64;
                let left = length.saturating_sub(self.length);
                self.feed_counted(chunk, start, left, limit, frames)
            }
        }
    }

    /// Adds the frames of `chunk` from `start` on that end in it; returns where the rest begins.
    #[inline]
    fn split(&mut self, chunk: &[u8], start: usize, frames: &mut Frames) -> usize {
        let mut start = skip_blanks(chunk, start);
        loop {
            match octet_count::read(&chunk[start..]) {
                Beginning::Frame if self.terminator == Terminator::Newline => {
                    let begun = start;
                    start = split_lines(chunk, start, frames);
                    if start == begun {
                        return start;
                    }
                }
                Beginning::Frame => {
                    let Some(end) = self.find_end(chunk.get(start).copied(), &chunk[start..])
                    else {
                        return start;
                    };
                    frames.push(start, start + end);
                    start = skip_blanks(chunk, start + end + 1);
                }
                Beginning::Count { digits, length } => {
                    let left = (chunk.len() - start - digits) as u64;
                    if length > left {
                        return start;
                    }
                    start += digits;
                    // It is no more than what is left.
                    #[allow(clippy::cast_possible_truncation)]
                    let end = start + length as usize;
                    frames.push(start, end);
                    start = skip_blanks(chunk, end);
                }
                Beginning::Undecided => return start,
            }
        }
    }

    /// Where the frame that the bytes go on with ends, by the first byte of the frame. The first
    /// terminator of a connection says which it is; a zero byte only behind syslog or JSON, for
    /// what is neither may be full of them.
    fn find_end(&mut self, first: Option<u8>, bytes: &[u8]) -> Option<usize> {
        match self.terminator {
            Terminator::Newline => memchr::memchr(b'\n', bytes),
            Terminator::Zero => memchr::memchr(0, bytes),
            Terminator::Unknown => {
                let end = if matches!(first, Some(b'<' | b'{')) {
                    memchr::memchr2(b'\n', 0, bytes)?
                } else {
                    memchr::memchr(b'\n', bytes)?
                };
                let is_zero = bytes[end] == 0;
                self.terminator = if is_zero { Terminator::Zero } else { Terminator::Newline };
                Some(end)
            }
        }
    }

    /// Keeps the beginning of a frame whose end is not in the chunk.
    #[inline]
    fn begin(&mut self, chunk: &[u8], tail: usize, limit: usize) {
        let rest = &chunk[tail..];
        if rest.is_empty() {
            return;
        }
        match octet_count::read(rest) {
            Beginning::Frame => {
                self.partial = Partial::Terminated;
                self.keep(chunk, tail, limit);
            }
            Beginning::Undecided => {
                self.partial = Partial::Number;
                self.keep(chunk, tail, usize::MAX);
            }
            Beginning::Count { digits, length } => {
                self.partial = Partial::Counted { left: length - (rest.len() - digits) as u64 };
                self.keep(chunk, tail + digits, limit);
            }
        }
    }

    /// Adds the bytes of a chunk that lie behind a position to the partial frame.
    fn keep(&mut self, chunk: &[u8], from: usize, limit: usize) {
        let bytes = &chunk[from..];
        // Behind what was left out nothing is kept, though a reload may have raised the limit.
        let is_whole = self.bytes.len() as u64 == self.length;
        let room = if is_whole { limit.saturating_sub(self.bytes.len()) } else { 0 };
        let count = bytes.len().min(room);
        self.growth = Growth { at: self.bytes.len(), from, count, ..Growth::default() };
        self.bytes.extend_from_slice(&bytes[..count]);
        self.length += bytes.len() as u64;
    }

    /// What has been kept is a frame.
    fn complete(&mut self, frames: &mut Frames) {
        std::mem::swap(&mut self.bytes, &mut frames.head);
        self.bytes.clear();
        if self.bytes.capacity() > KEPT_CAPACITY {
            self.bytes = Vec::new();
        }
        frames.head_length = std::mem::take(&mut self.length);
        self.partial = Partial::Nothing;
        self.growth = Growth::default();
    }

    /// The beginning of the frame that is not complete.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The state without these bytes.
    pub fn state(&self) -> FrameState {
        let (partial, left) = match self.partial {
            Partial::Nothing => (0, 0),
            Partial::Number => (1, 0),
            Partial::Terminated => (2, 0),
            Partial::Counted { left } => (3, left),
        };
        FrameState { terminator: self.terminator as u8, partial, length: self.length, left }
    }

    /// A framer in that state; none if these are not the bytes of such a one.
    pub fn from_state(state: FrameState, bytes: Vec<u8>) -> Option<Self> {
        let FrameState { terminator, partial, length, left } = state;
        let terminator = match terminator {
            0 => Terminator::Unknown,
            1 => Terminator::Newline,
            2 => Terminator::Zero,
            _ => return None,
        };
        let partial = match (partial, left) {
            (0, 0) if length == 0 => Partial::Nothing,
            (1, 0) if octet_count::read(&bytes) == Beginning::Undecided => Partial::Number,
            (2, 0) if length > 0 => Partial::Terminated,
            (3, 1..) if length > 0 => Partial::Counted { left },
            _ => return None,
        };
        let is_whole = bytes.len() as u64 <= length && length.checked_add(left).is_some();
        let growth = Growth::default();
        is_whole.then_some(Self { terminator, partial, bytes, length, growth })
    }

    /// Appends the state, which [`Self::restore`] reads: what the terminator and the partial frame
    /// are, one byte each; the length of the frame so far and what is left of it, eight bytes
    /// each in little-endian order; the bytes of the partial frame.
    pub fn save(&self, out: &mut Vec<u8>) {
        let FrameState { terminator, partial, length, left } = self.state();
        out.extend_from_slice(&[terminator, partial]);
        out.extend_from_slice(&length.to_le_bytes());
        out.extend_from_slice(&left.to_le_bytes());
        out.extend_from_slice(&self.bytes);
    }

    /// The state that was saved; none if these bytes are not one.
    pub fn restore(saved: &[u8]) -> Option<Self> {
        let (&[terminator, partial], saved) = saved.split_first_chunk()?;
        let (length, saved) = saved.split_first_chunk()?;
        let (left, bytes) = saved.split_first_chunk()?;
        let [length, left] = [length, left].map(|number| u64::from_le_bytes(*number));
        Self::from_state(FrameState { terminator, partial, length, left }, bytes.to_vec())
    }
}

/// Adds lines up to one that may be counted; returns where that, or what has no end, begins.
#[inline]
fn split_lines(chunk: &[u8], from: usize, frames: &mut Frames) -> usize {
    let mut start = from;
    for end in memchr::memchr_iter(b'\n', &chunk[from..]).map(|at| at + from) {
        // A line in which blanks were skipped up to the next one.
        if end < start {
            continue;
        }
        if octet_count::read(&chunk[start..]) != Beginning::Frame {
            return start;
        }
        frames.push(start, end);
        start = skip_blanks(chunk, end + 1);
    }
    start
}
