//! fapilog's field paths (`data.users[*].email`) as an automaton: which segments of which paths
//! may still match below a place. What is decided for a place holds for every event.

/// One segment of a path.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Segment {
    /// `*` or `[*]`: every value of an object, every element of an array.
    Every,
    /// `name[*]`: the elements of the array under a key.
    ElementsOf(Box<[u8]>),
    /// A number: an element of an array, nothing in an object.
    Index(Option<u32>),
    /// A key. Arrays on the way are transparent.
    Key(Box<[u8]>),
}

impl Segment {
    fn parse(text: &str) -> Self {
        match text {
            "*" | "[*]" => Self::Every,
            _ if text.bytes().all(|byte| byte.is_ascii_digit()) => Self::Index(text.parse().ok()),
            _ => match text.strip_suffix("[*]") {
                Some(key) => Self::ElementsOf(key.as_bytes().into()),
                None => Self::Key(text.as_bytes().into()),
            },
        }
    }
}

/// A path of which a beginning has matched on the way to a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct State {
    path: u32,
    /// The segment that is next; the number of segments when the elements are masked themselves.
    next: u32,
}

/// The paths of all `field_mask` stages, each with the bits of its stage.
#[derive(Debug, Default)]
pub struct FieldPaths {
    paths: Vec<(u32, Vec<Segment>)>,
}

impl FieldPaths {
    /// Adds a path of the stage with those bits.
    pub fn add(&mut self, bits: u32, path: &str) {
        let segments = path.split('.').filter(|segment| !segment.is_empty());
        let segments: Vec<Segment> = segments.map(Segment::parse).collect();
        if !segments.is_empty() {
            self.paths.push((bits, segments));
        }
    }

    /// The states at the event itself.
    pub fn begin(&self) -> impl Iterator<Item = State> {
        (0..self.paths.len()).map(|path| State { path: index(path), next: 0 })
    }

    /// Enters the value under a key of an object: which stages mask it; what may match below.
    pub fn member(&self, at: &[State], key: &[u8], below: &mut Vec<State>) -> u32 {
        let mut masks = 0;
        for state in at {
            let (bits, segments) = &self.paths[state.path as usize];
            let Some(segment) = segments.get(state.next as usize) else { continue };
            let is_last = state.next as usize + 1 == segments.len();
            let next = State { next: state.next + 1, ..*state };
            match segment {
                Segment::Every if is_last => masks |= bits,
                Segment::Key(name) if **name == *key && is_last => masks |= bits,
                Segment::Every => push(below, next),
                Segment::Key(name) if **name == *key => push(below, next),
                // Behind the last segment: there the elements are masked.
                Segment::ElementsOf(name) if **name == *key => push(below, next),
                Segment::ElementsOf(name) if key.strip_suffix(b"[*]") == Some(name) => {
                    // A key that is spelt like the wildcard.
                    if is_last { masks |= bits } else { push(below, next) }
                }
                Segment::Key(_) | Segment::ElementsOf(_) | Segment::Index(_) => {}
            }
        }
        masks
    }

    /// Enters an element of an array, likewise.
    pub fn element(&self, at: &[State], position: u32, below: &mut Vec<State>) -> u32 {
        let mut masks = 0;
        for state in at {
            let (bits, segments) = &self.paths[state.path as usize];
            let next = State { next: state.next + 1, ..*state };
            match segments.get(state.next as usize) {
                None => masks |= bits,
                // A wildcard or number that is the last segment masks no element.
                Some(Segment::Every) if next.next as usize == segments.len() => {}
                Some(Segment::Every) => push(below, next),
                Some(Segment::Index(wanted)) => {
                    if *wanted == Some(position) && (next.next as usize) < segments.len() {
                        push(below, next);
                    }
                }
                Some(Segment::Key(_) | Segment::ElementsOf(_)) => push(below, *state),
            }
        }
        masks
    }

    /// Whether a path names the element of an array by its position.
    pub fn names_element(&self, at: &[State], position: u32) -> bool {
        at.iter().any(|state| {
            let segments = &self.paths[state.path as usize].1;
            segments.get(state.next as usize) == Some(&Segment::Index(Some(position)))
        })
    }

    /// Whether a path names any, so that the elements of an array are told apart.
    pub fn is_indexed(&self, at: &[State]) -> bool {
        at.iter().any(|state| {
            let segments = &self.paths[state.path as usize].1;
            matches!(segments.get(state.next as usize), Some(Segment::Index(_)))
        })
    }
}

fn push(below: &mut Vec<State>, state: State) {
    if !below.contains(&state) {
        below.push(state);
    }
}

/// There are far fewer paths.
fn index(path: usize) -> u32 {
    u32::try_from(path).unwrap_or(u32::MAX)
}
