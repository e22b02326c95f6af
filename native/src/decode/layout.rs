//! What lines look like between their values. Senders repeat themselves: where a line is, but for
//! its strings, numbers and literals, byte for byte one that was checked before, only these are
//! left to check. Everything else that could be wrong with it was right with the other.

use super::cursor::Cursor;
use super::keys::Print;
use super::line::Line;
use super::observer::Observer;

/// Lines are compared with the layout that was learned last of those with as many stops, and
/// as many as these are kept apart.
const SLOTS: usize = 64;
/// A layout with more pieces is not kept.
const PIECES_MAXIMUM: usize = 256;
/// What is in vain again and again is tried again after so many lines at most.
const WAIT_MAXIMUM: u32 = 255;
const PIECE_BYTES: usize = 32;
/// A layout that fits is replaced after so many lines that it does not fit: two kinds of lines
/// with as many stops do not drive each other out.
const KEPT_LINES: u32 = 16;

/// What comes behind a piece.
#[derive(Clone, Copy)]
enum Then {
    /// The next piece.
    Piece,
    /// A string, number or literal at that place.
    Value(u32),
    /// An object or array that the observer wants to know of ...
    Open(u32),
    /// ... and its end, which is that of the piece.
    Close(u32),
}

/// Text that is the same in every line of a layout.
#[derive(Clone, Copy)]
struct Piece {
    /// Zeros behind its end.
    text: [u8; PIECE_BYTES],
    length: u8,
    stops: u8,
    then: Then,
}

impl Piece {
    /// Whether the line has the piece at that position.
    #[inline]
    fn is_at(&self, line: Line, at: usize) -> bool {
        /// From one position on, as many bytes are set as the piece has, the others are not.
        const MASKS: [u8; 2 * PIECE_BYTES] = {
            let mut masks = [0; 2 * PIECE_BYTES];
            let mut at = 0;
            while at < PIECE_BYTES {
                masks[at] = u8::MAX;
                at += 1;
            }
            masks
        };
        let bytes = line.bytes::<PIECE_BYTES>(at);
        let from = PIECE_BYTES - usize::from(self.length).min(PIECE_BYTES);
        let mask = MASKS[from..].first_chunk().unwrap_or(&[0; PIECE_BYTES]);
        // Without a branch per byte this is a comparison of vectors.
        let differs = |at: usize| (bytes[at] & mask[at]) ^ self.text[at];
        (0..PIECE_BYTES).fold(0, |found, at| found | differs(at)) == 0
    }
}

/// Whether to try what costs more than it brings when it is in vain.
#[derive(Clone, Copy)]
pub struct Backoff {
    /// So many times it is not tried ...
    wait: u32,
    /// ... and so many after the next attempt.
    next: u32,
}

impl Backoff {
    /// Tries the first time.
    pub const NEW: Self = Self { wait: 0, next: 0 };

    /// Whether to try now. That it succeeds has to be said.
    #[inline]
    pub fn tries(&mut self) -> bool {
        let tries = self.wait == 0;
        if tries {
            self.wait = self.next;
            self.next = (2 * self.next + 1).min(WAIT_MAXIMUM);
        } else {
            self.wait -= 1;
        }
        tries
    }

    /// It was not in vain; so many times it need not be tried now.
    #[inline]
    pub fn succeed(&mut self, wait: u32) {
        *self = Self { wait, next: 0 };
    }
}

/// One layout: pieces, with values between them.
struct Layout {
    pieces: Vec<Piece>,
    /// Of the observer, when its places were learned.
    epoch: u64,
    /// Whether to learn another one from a line that does not fit.
    learning: Backoff,
}

impl Layout {
    const EMPTY: Self = Self { pieces: Vec::new(), epoch: 0, learning: Backoff::NEW };

    /// Whether the line has this layout and its values are valid. The observer was told of the
    /// line then; otherwise what it was told does not count.
    #[inline]
    fn fits(&self, line: Line, stops: &[u32], observer: &mut impl Observer) -> bool {
        observer.begin(line);
        if self.pieces.is_empty() || self.epoch != observer.epoch() {
            return false;
        }
        let mut cursor = Cursor::new(line, stops);
        for piece in &self.pieces {
            if !piece.is_at(line, cursor.at) {
                return false;
            }
            cursor.skip_known(piece.length, piece.stops);
            match piece.then {
                Then::Piece => {}
                Then::Value(place) => {
                    let start = cursor.at;
                    if cursor.skip_scalar().is_err() {
                        return false;
                    }
                    observer.scalar(place, line, start, cursor.at);
                }
                Then::Open(place) => observer.open(place, cursor.at),
                Then::Close(place) => observer.close(place, cursor.at),
            }
            debug_assert!(cursor.at <= line.end());
        }
        cursor.at == line.end()
    }

    /// Takes the layout of a line that was scanned.
    fn learn(&mut self, line: Line, steps: &[Step], epoch: u64) {
        self.pieces.clear();
        self.epoch = epoch;
        if steps.len() > PIECES_MAXIMUM {
            return;
        }
        let mut from = 0;
        for step in steps {
            self.add(line.text(from, step.to), step.then);
            from = step.resume;
        }
        self.add(line.text(from, line.end()), Then::Piece);
        if self.pieces.len() > PIECES_MAXIMUM {
            self.pieces.clear();
        }
    }

    fn add(&mut self, text: &[u8], then: Then) {
        // A value or the brace of a container is behind something.
        debug_assert!(!text.is_empty() || matches!(then, Then::Piece));
        let mut chunks = text.chunks(PIECE_BYTES).peekable();
        while let Some(chunk) = chunks.next() {
            if self.pieces.len() > PIECES_MAXIMUM {
                return;
            }
            let then = if chunks.peek().is_some() { Then::Piece } else { then };
            let mut piece = Piece { text: [0; PIECE_BYTES], length: 0, stops: 0, then };
            piece.text[..chunk.len()].copy_from_slice(chunk);
            for byte in chunk {
                piece.length += 1;
                piece.stops += u8::from(matches!(byte, b'"' | b'\\' | ..0x20));
            }
            self.pieces.push(piece);
        }
    }
}

/// Where a piece ends, and the next one begins.
#[derive(Clone, Copy)]
struct Step {
    to: usize,
    resume: usize,
    then: Then,
}

/// The layouts of the lines that came last.
pub struct Layouts {
    slots: Vec<Layout>,
    steps: Vec<Step>,
}

impl Layouts {
    pub fn new() -> Self {
        Self { slots: (0..SLOTS).map(|_| Layout::EMPTY).collect(), steps: Vec::new() }
    }

    /// Whether the line has a layout that is known, and is valid for that; see [`Layout::fits`].
    #[inline]
    pub fn fit(&mut self, line: Line, stops: &[u32], observer: &mut impl Observer) -> bool {
        let layout = &mut self.slots[stops.len() % SLOTS];
        let fits = layout.fits(line, stops, observer);
        if fits {
            layout.learning.succeed(KEPT_LINES);
        }
        fits
    }

    /// Whether a line that does not fit should be learned.
    #[inline]
    pub fn want(&mut self, stops: &[u32]) -> bool {
        self.slots[stops.len() % SLOTS].learning.tries()
    }

    /// An observer that looks on with another, so that [`Self::learn`] can follow.
    pub fn learner<'a, O: Observer>(&'a mut self, observer: &'a mut O) -> Learner<'a, O> {
        self.steps.clear();
        Learner { observer, steps: &mut self.steps }
    }

    /// Keeps the layout of a line that is canonical and has no line breaks.
    pub fn learn(&mut self, line: Line, stops: &[u32], epoch: u64) {
        self.slots[stops.len() % SLOTS].learn(line, &self.steps, epoch);
    }
}

/// Notes where the values of a line are.
pub struct Learner<'a, O> {
    observer: &'a mut O,
    steps: &'a mut Vec<Step>,
}

impl<O> Learner<'_, O> {
    /// Of a line with too many, no more than shows that.
    fn note(&mut self, to: usize, resume: usize, then: Then) {
        if self.steps.len() <= PIECES_MAXIMUM {
            self.steps.push(Step { to, resume, then });
        }
    }
}

impl<O: Observer> Observer for Learner<'_, O> {
    const LOOKS: bool = O::LOOKS;

    fn epoch(&self) -> u64 {
        self.observer.epoch()
    }

    fn wants(&self, place: u32) -> bool {
        self.observer.wants(place)
    }

    fn begin(&mut self, line: Line) -> u32 {
        self.observer.begin(line)
    }

    fn member(&mut self, object: u32, key: &[u8], print: Print) -> u32 {
        self.observer.member(object, key, print)
    }

    fn element(&mut self, array: u32, index: u32) -> u32 {
        self.observer.element(array, index)
    }

    fn scalar(&mut self, place: u32, line: Line, start: usize, end: usize) {
        self.note(start, end, Then::Value(place));
        self.observer.scalar(place, line, start, end);
    }

    fn open(&mut self, place: u32, start: usize) {
        if self.wants(place) {
            self.note(start, start, Then::Open(place));
        }
        self.observer.open(place, start);
    }

    fn close(&mut self, place: u32, end: usize) {
        if self.wants(place) {
            self.note(end, end, Then::Close(place));
        }
        self.observer.close(place, end);
    }
}
