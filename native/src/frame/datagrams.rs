//! The frames of datagrams: lines of JSON, or one message as a whole.

use super::octet_count::{self, Beginning};
use super::{Frames, skip_blanks};

impl Frames {
    /// The frames of datagrams that were put one behind the other, each with a byte behind it
    /// that is none of its own. `ends` are the positions of these bytes.
    ///
    /// A datagram that begins with `{` is one or more lines, any other a frame as a whole.
    pub fn of_datagrams(&mut self, chunk: &[u8], ends: impl Iterator<Item = u32>) {
        self.clear();
        let mut start = 0;
        for end in ends.map(|end| end as usize) {
            let first = skip_blanks(&chunk[..end], start);
            let first = first + count_of_all(&chunk[first..end]);
            if chunk[first..end].first() == Some(&b'{') {
                self.push_lines(chunk, first, end);
            } else {
                self.push_trimmed(chunk, first, end);
            }
            start = end + 1;
        }
    }

    /// The one frame of a datagram that was too long to be taken whole, and is beyond any limit.
    pub fn of_cut_datagram(&mut self, head: &[u8], length: u64) {
        self.clear();
        self.head.extend_from_slice(head);
        self.head_length = length;
    }

    fn push_lines(&mut self, chunk: &[u8], from: usize, end: usize) {
        let mut start = from;
        for newline in memchr::memchr_iter(b'\n', &chunk[from..end]).map(|at| at + from) {
            self.push_trimmed(chunk, start, newline);
            start = newline + 1;
        }
        self.push_trimmed(chunk, start, end);
    }

    /// Adds what is left between two positions without blanks before it and breaks behind it.
    fn push_trimmed(&mut self, chunk: &[u8], start: usize, mut end: usize) {
        let start = skip_blanks(&chunk[..end], start);
        while end > start && matches!(chunk[end - 1], b'\n' | b'\r' | 0) {
            end -= 1;
        }
        if start < end {
            self.push(start, end);
        }
    }
}

/// The length of a count of octets before a datagram, where it counts all the rest: that is how
/// `logger --octet-count` sends datagrams.
fn count_of_all(datagram: &[u8]) -> usize {
    match octet_count::read(datagram) {
        Beginning::Count { digits, length } if length == (datagram.len() - digits) as u64 => digits,
        _ => 0,
    }
}
