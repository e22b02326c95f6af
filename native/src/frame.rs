//! Bytes to lines. A frame ends with a newline or with its connection; what is longer than
//! the limit is skipped to its end, and only its beginning is kept.

/// One complete frame, without its newline.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Frame<'a> {
    /// A line within the limit, not blank.
    Line(&'a [u8]),
    /// A line beyond the limit.
    Overlong {
        /// Its beginning, as long as the limit.
        head: &'a [u8],
        /// Its whole length in bytes.
        length: u64,
    },
}

/// The frames that one read completed. Reused from read to read.
#[derive(Debug, Default)]
pub struct Frames {
    /// The line that earlier reads began and this one completed.
    head: Vec<u8>,
    /// Whole length of the line in `head`, which is more than it holds when overlong.
    head_length: u64,
    /// Lines that lie in the chunk as a whole.
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

    /// The part of the chunk that holds whole lines.
    pub fn whole_lines<'a>(&self, chunk: &'a [u8]) -> &'a [u8] {
        match (self.spans.first(), self.spans.last()) {
            (Some(first), Some(last)) => &chunk[first.start as usize..last.end as usize],
            _ => &[],
        }
    }

    /// The frame that began before the chunk.
    pub fn head(&self, limit: usize) -> Option<Frame<'_>> {
        (self.head_length > 0).then(|| frame(&self.head, self.head_length, limit))
    }

    /// The frames within the chunk, each with the offset of its end.
    pub fn lines<'a>(
        &'a self,
        chunk: &'a [u8],
        limit: usize,
    ) -> impl Iterator<Item = (u32, Frame<'a>)> {
        self.spans.iter().map(move |span| {
            let line = &chunk[span.start as usize..span.end as usize];
            (span.end, frame(line, line.len() as u64, limit))
        })
    }

    fn clear(&mut self) {
        self.head.clear();
        self.head_length = 0;
        self.spans.clear();
    }

    /// Keeps the lines of `chunk` from `from` on; returns where the last of them ends.
    fn split(&mut self, chunk: &[u8], from: usize, limit: usize) -> usize {
        let mut start = from;
        for end in memchr::memchr_iter(b'\n', &chunk[from..]).map(|at| at + from) {
            if end - start > limit || !is_blank(&chunk[start..end]) {
                // A chunk is one read of at most a few MiB.
                #[allow(clippy::cast_possible_truncation)]
                self.spans.push(Span { start: start as u32, end: end as u32 });
            }
            start = end + 1;
        }
        start
    }

    /// The frames of datagrams that were put one behind the other, each ended by a newline.
    pub fn of_datagrams(&mut self, chunk: &[u8], limit: usize) {
        self.clear();
        self.split(chunk, 0, limit);
    }
}

fn frame(line: &[u8], length: u64, limit: usize) -> Frame<'_> {
    if length > limit as u64 {
        Frame::Overlong { head: &line[..line.len().min(limit)], length }
    } else {
        Frame::Line(line)
    }
}

/// A line of nothing but blanks, within the limit, carries no event and is no frame.
fn is_blank(line: &[u8]) -> bool {
    line.first().is_none_or(|first| *first <= b' ')
        && line.iter().all(|byte| matches!(byte, b' ' | b'\t' | b'\r'))
}

/// A partial line of more than this is not kept allocated for the next one.
const KEPT_CAPACITY: usize = 4096;

/// The framing state of one connection: nothing but its partial line.
#[derive(Debug, Default)]
pub struct Framer {
    /// The beginning of a line whose end has not been read, at most the limit.
    partial: Vec<u8>,
    /// The whole length of that line so far.
    length: u64,
}

impl Framer {
    /// Takes one read and leaves the frames that it completes in `frames`.
    pub fn feed(&mut self, chunk: &[u8], limit: usize, frames: &mut Frames) {
        frames.clear();
        let mut start = 0;
        if self.length > 0 {
            let Some(end) = memchr::memchr(b'\n', chunk) else {
                self.keep(chunk, limit);
                return;
            };
            self.keep(&chunk[..end], limit);
            self.complete(frames);
            start = end + 1;
        }
        let tail = frames.split(chunk, start, limit);
        self.keep(&chunk[tail..], limit);
    }

    /// The connection has ended: what is left is a line.
    pub fn finish(&mut self, frames: &mut Frames) {
        frames.clear();
        if self.length > 0 {
            self.complete(frames);
        }
    }

    /// Appends the state to `out`, from which [`Self::restore`] makes it again elsewhere.
    pub fn save(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.length.to_le_bytes());
        out.extend_from_slice(&self.partial);
    }

    /// The state that was saved in these bytes; none when they cannot be such a state.
    pub fn restore(bytes: &[u8]) -> Option<Self> {
        let (length, partial) = bytes.split_first_chunk()?;
        let length = u64::from_le_bytes(*length);
        (partial.len() as u64 <= length).then(|| Self { partial: partial.to_vec(), length })
    }

    fn keep(&mut self, bytes: &[u8], limit: usize) {
        let room = limit.saturating_sub(self.partial.len());
        self.partial.extend_from_slice(&bytes[..bytes.len().min(room)]);
        self.length += bytes.len() as u64;
    }

    fn complete(&mut self, frames: &mut Frames) {
        std::mem::swap(&mut self.partial, &mut frames.head);
        self.partial.clear();
        if self.partial.capacity() > KEPT_CAPACITY {
            self.partial = Vec::new();
        }
        let blank = self.length == frames.head.len() as u64 && is_blank(&frames.head);
        frames.head_length = if blank { 0 } else { self.length };
        self.length = 0;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LIMIT: usize = 16;

    fn owned(frame: Frame<'_>) -> (Vec<u8>, u64) {
        match frame {
            Frame::Line(line) => (line.to_vec(), line.len() as u64),
            Frame::Overlong { head, length } => (head.to_vec(), length),
        }
    }

    fn collect(frames: &Frames, chunk: &[u8], into: &mut Vec<(Vec<u8>, u64)>) {
        let before = into.len();
        into.extend(frames.head(LIMIT).map(owned));
        into.extend(frames.lines(chunk, LIMIT).map(|(_, frame)| owned(frame)));
        assert_eq!(into.len() - before, frames.count());
    }

    fn run<'a>(chunks: impl IntoIterator<Item = &'a [u8]>) -> Vec<(Vec<u8>, u64)> {
        let (mut connection, mut frames, mut found) =
            (Framer::default(), Frames::default(), vec![]);
        for chunk in chunks {
            connection.feed(chunk, LIMIT, &mut frames);
            collect(&frames, chunk, &mut found);
        }
        connection.finish(&mut frames);
        collect(&frames, b"", &mut found);
        found
    }

    /// What the frames of a whole stream are, said in the simplest words.
    fn oracle(stream: &[u8]) -> Vec<(Vec<u8>, u64)> {
        stream
            .split(|byte| *byte == b'\n')
            .filter(|line| {
                let blank = line.iter().all(|byte| matches!(byte, b' ' | b'\t' | b'\r'));
                !blank || line.len() > LIMIT
            })
            .map(|line| (line[..line.len().min(LIMIT)].to_vec(), line.len() as u64))
            .collect()
    }

    /// A last line without a newline is a line; blank lines are none.
    #[test]
    fn lines_and_blank_lines() {
        let found = run([&b"{\"a\":1}\n\n \r\n{\"b\":2}"[..]]);
        assert_eq!(found, oracle(b"{\"a\":1}\n{\"b\":2}"));
        assert_eq!(found.len(), 2);
    }

    /// An overlong line is one frame with its length, and the connection lives on.
    #[test]
    fn overlong_lines_are_skipped_to_their_end() {
        let long = vec![b'x'; 1000];
        let found = run([&long[..], &long, b"y\nnext\n"]);
        assert_eq!(found, vec![(vec![b'x'; LIMIT], 2001), (b"next".to_vec(), 4)]);
    }

    proptest! {
        /// However the stream is cut into reads, the frames are the same.
        #[test]
        fn cuts_do_not_matter(
            stream in prop::collection::vec(prop::sample::select(b"a{      \r\n".to_vec()), 0..200),
            cuts in prop::collection::vec(0usize..200, 0..20),
        ) {
            let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(stream.len())).collect();
            cuts.extend([0, stream.len()]);
            cuts.sort_unstable();
            let chunks = cuts.windows(2).map(|pair| &stream[pair[0]..pair[1]]);
            prop_assert_eq!(run(chunks), oracle(&stream));
        }
    }
}
