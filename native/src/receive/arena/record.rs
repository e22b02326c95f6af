//! The header of a record in the ring, 64 bytes: whose bytes follow, when they came, and what they
//! did to the beginning of a frame, so that a base is advanced without framing them again.
//!
//! ```text
//! header · bytes · table of datagrams, if it is a batch of them · up to a multiple of 64
//! ```

use crate::frame::{FrameState, Framer, Growth};

/// Where a record begins and ends: at multiples of this.
pub const ALIGNMENT: usize = 64;
/// No number before a frame is longer (see `octet_count`).
const PREFIX: usize = 12;
const NO_PREFIX: u8 = u8::MAX;

/// What a record holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    /// What is left to the end of the ring.
    Skip = 1,
    /// A read of a connection.
    Stream = 2,
    /// A batch of datagrams.
    Datagrams = 3,
    /// Nothing: the connection has ended, and what is left of a frame is one.
    End = 4,
    /// Nothing: the connection was given up, and what is left of a frame is incomplete.
    Cut = 5,
    /// Nothing: what a source submitted, of which nobody was told that it is durable.
    Submitted = 6,
}

/// A record without its bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(C, align(64))]
pub struct Record {
    kind: u8,
    terminator: u8,
    partial: u8,
    prefix_length: u8,
    /// The place of the connection; of what is of none, the index of the listener in the region.
    pub subject: u32,
    /// How many bytes follow.
    pub length: u32,
    /// How many bytes the table behind them takes.
    pub table: u32,
    /// When they were received, nanoseconds since the epoch.
    pub received_ns: u64,
    frame_length: u64,
    frame_left: u64,
    at: u32,
    from: u32,
    count: u32,
    prefix: [u8; PREFIX],
}

impl Record {
    /// A record that says nothing of frames yet.
    ///
    /// Places, listeners and the lengths of reads are far below what 32 bits hold.
    #[allow(clippy::cast_possible_truncation)]
    pub fn new(kind: Kind, subject: usize, length: usize, received_ns: u64) -> Self {
        Self {
            kind: kind as u8,
            terminator: 0,
            partial: 0,
            prefix_length: NO_PREFIX,
            subject: subject as u32,
            length: length as u32,
            table: 0,
            received_ns,
            frame_length: 0,
            frame_left: 0,
            at: 0,
            from: 0,
            count: 0,
            prefix: [0; PREFIX],
        }
    }

    /// What it holds; none for a damaged one.
    pub fn kind(&self) -> Option<Kind> {
        match self.kind {
            1 => Some(Kind::Skip),
            2 => Some(Kind::Stream),
            3 => Some(Kind::Datagrams),
            4 => Some(Kind::End),
            5 => Some(Kind::Cut),
            6 => Some(Kind::Submitted),
            _ => None,
        }
    }

    /// Bytes from its beginning to that of the next record.
    pub fn size(&self) -> u64 {
        (ALIGNMENT as u64 + u64::from(self.length) + u64::from(self.table))
            .next_multiple_of(ALIGNMENT as u64)
    }

    /// Notes what its bytes have done to a framer that was fed with them just now.
    #[allow(clippy::cast_possible_truncation)]
    pub fn note(&mut self, framer: &Framer) {
        let FrameState { terminator, partial, length, left } = framer.state();
        let Growth { at, is_rewritten, from, count } = framer.growth();
        (self.terminator, self.partial) = (terminator, partial);
        (self.frame_length, self.frame_left) = (length, left);
        (self.at, self.from, self.count) = (at as u32, from as u32, count as u32);
        self.prefix_length = NO_PREFIX;
        if is_rewritten && at <= PREFIX {
            self.prefix[..at].copy_from_slice(&framer.bytes()[..at]);
            self.prefix_length = at as u8;
        }
    }

    /// Notes how many events were submitted with it.
    pub fn note_events(&mut self, events: usize) {
        self.frame_length = events as u64;
    }

    /// How many events were submitted with it.
    pub fn events(&self) -> u64 {
        self.frame_length
    }

    /// The framing state behind it.
    pub fn state(&self) -> FrameState {
        FrameState {
            terminator: self.terminator,
            partial: self.partial,
            length: self.frame_length,
            left: self.frame_left,
        }
    }

    /// The bytes of the partial frame behind it that are not the same as before, each with the
    /// offset from where they stand; and the length of all of them.
    pub fn redo<'a>(&'a self, chunk: &'a [u8]) -> ([(usize, &'a [u8]); 2], usize) {
        let prefix = match self.prefix_length {
            NO_PREFIX => &[],
            length => &self.prefix[..usize::from(length).min(PREFIX)],
        };
        let at = self.at as usize;
        let begin = (self.from as usize).min(chunk.len());
        let added = &chunk[begin..(begin + self.count as usize).min(chunk.len())];
        ([(0, prefix), (at, added)], at + added.len())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::frame::Frames;

    const LIMIT: usize = 16;

    proptest! {
        /// Wherever a stream is cut, a base that only the records advance is the framer's state.
        #[test]
        fn records_advance_a_base_like_a_framer(
            stream in prop::collection::vec(prop::sample::select(b"a1{< \r\n\0".to_vec()), 0..200),
            cuts in prop::collection::vec(0usize..200, 0..20),
            twice in any::<bool>(),
        ) {
            let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(stream.len())).collect();
            cuts.extend([0, stream.len()]);
            cuts.sort_unstable();
            let (mut framer, mut frames) = (Framer::default(), Frames::default());
            let mut base = vec![b'?'; 400];
            for cut in cuts.windows(2) {
                let chunk = &stream[cut[0]..cut[1]];
                framer.feed(chunk, LIMIT, &mut frames);
                let mut record = Record::new(Kind::Stream, 0, chunk.len(), 0);
                record.note(&framer);
                let mut kept = 0;
                for _ in 0..=usize::from(twice) {
                    let (changes, length) = record.redo(chunk);
                    for (at, bytes) in changes {
                        base[at..at + bytes.len()].copy_from_slice(bytes);
                    }
                    kept = length;
                }
                prop_assert_eq!(&base[..kept], framer.bytes());
                let restored = Framer::from_state(record.state(), base[..kept].to_vec()).unwrap();
                prop_assert_eq!(restored.state(), framer.state());
            }
        }
    }
}
