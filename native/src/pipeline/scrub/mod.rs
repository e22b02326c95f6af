//! What may be kept of a line that is no event. The redactors' rules are about paths, and a
//! broken line has none; so it is read by tokens as far as its structure is clear, and from where
//! it is not, every value is masked. Where no rule is about paths, only URLs need a look.
//!
//! Rules are about canonical events. So a value is also looked up where it would stand in one:
//! out of its envelope, or within the group that would be made of it.

mod lengths;
mod prose;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use lengths::{is_closed, length_of_container, length_of_string};

use super::config::{Kernel, Segment};
use super::paths::{BARREN, Paths, WANTED};
use super::patterns::PythonPatterns;
use super::redact::strip_url;
use super::rules::Rules;
use crate::decode::Print;
use crate::error::{Error, Result};
use crate::text::{unescape, write_string};

/// What stands for a value of which nobody knows where it belongs.
const MASK: &str = "***";
/// Deeper down, no structure is clear.
const DEPTH_MAXIMUM: usize = 1024;
/// Behind so many keys no value has a place that is known: what is rejected was held to no limit,
/// and each new path has to be matched with every pattern.
const KEYS_MAXIMUM: usize = 4096;

/// The key that a group gets when it is no object (`decode::edits`).
const WRAPPED: &[u8] = b"value";

/// What may come next in an object; an array is always at a value or behind one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Next {
    Key,
    Colon,
    Value,
    Comma,
}

/// Where a value stands in the line, and where in the canonical event if that differs.
#[derive(Debug, Clone, Copy)]
struct Place {
    raw: u32,
    canonical: u32,
}

const NOWHERE: Place = Place { raw: BARREN, canonical: BARREN };

/// What the next value is to the event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    Plain,
    /// Maybe the event that an envelope holds.
    Log,
    /// An object, or else it becomes one.
    Group,
}

struct Container {
    is_object: bool,
    /// It is the event, or may be.
    is_event: bool,
    place: Place,
    /// Of the value that comes next or has come last.
    child: Place,
    role: Role,
    elements: u32,
    next: Next,
}

/// What is known of the rules about paths.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Known {
    /// There are none.
    None,
    /// All of them.
    All,
    /// Python has some that are not known here.
    Some,
}

/// Takes the secrets out of broken lines.
pub struct Scrubber {
    paths: Paths,
    masks: Vec<String>,
    rules: Known,
    by_url: bool,
    /// The place of an event.
    root: u32,
    open: Vec<Container>,
    /// From here on no value has a place that is known.
    is_lost: bool,
    /// What came first was within another object, whose rest has come now.
    is_piece: bool,
    /// How many keys have come.
    keys: usize,
    key: Vec<u8>,
    out: Vec<u8>,
}

impl Scrubber {
    /// With the rules of all redactors of the pipeline. `is_opaque`: there are others, whose
    /// rules are not known here, so that every value is masked.
    ///
    /// # Errors
    /// As [`super::Runner::new`].
    pub fn new(
        segment: &Segment,
        is_opaque: bool,
        python: Option<Arc<dyn PythonPatterns>>,
    ) -> Result<Self> {
        let mut rules = Rules { python, ..Rules::default() };
        let mut masks = Vec::new();
        let mut by_url = false;
        for stage in &segment.stages {
            let mask = match &stage.kernel {
                Kernel::FieldMask(config) => &config.mask_string,
                Kernel::RegexMask(config) => &config.mask_string,
                Kernel::FieldBlocker(config) => &config.replacement,
                kernel => {
                    by_url |= matches!(kernel, Kernel::UrlCredentials(_));
                    continue;
                }
            };
            let bit = 1_u32.checked_shl(masks.len() as u32);
            let bit = bit.ok_or_else(|| Error::Invalid("too many redactors".into()))?;
            masks.push(mask.clone());
            rules.add(stage.index, bit, &stage.kernel)?;
        }
        let known = match (is_opaque, masks.is_empty()) {
            (true, _) => Known::Some,
            (false, true) => Known::None,
            (false, false) => Known::All,
        };
        Ok(Self {
            paths: Paths::new(rules),
            masks,
            rules: known,
            by_url,
            root: BARREN,
            open: Vec::new(),
            is_lost: false,
            is_piece: false,
            keys: 0,
            key: Vec::new(),
            out: Vec::new(),
        })
    }

    /// The line as it may be kept.
    pub fn scrub<'a>(&'a mut self, raw: &'a [u8]) -> &'a [u8] {
        if self.rules == Known::None && !self.by_url {
            return raw;
        }
        self.out.clear();
        self.open.clear();
        self.is_lost = self.rules == Known::Some;
        // Before a brace it is text, not JSON.
        let begin = memchr::memchr2(b'{', b'"', raw).unwrap_or(raw.len());
        let (text, json) = raw.split_at(begin);
        let is_kept = match self.rules {
            Known::None => true,
            Known::All => prose::is_of_no_event(text, json),
            Known::Some => prose::is_empty(text),
        };
        self.out.extend_from_slice(if is_kept { text } else { MASK.as_bytes() });
        self.is_lost |= !is_kept;
        self.is_piece = false;
        self.keys = 0;
        let head = self.out.len();
        self.json(json);
        // What turns out to be no whole event, or has its end behind it, may be a piece of one.
        if self.is_lost && is_kept && (self.is_piece || !prose::is_empty(text)) {
            self.out.truncate(head);
            self.open.clear();
            self.json(json);
        }
        if self.by_url {
            prose::strip_credentials(&mut self.out);
        }
        &self.out
    }

    fn json(&mut self, json: &[u8]) {
        let mut at = 0;
        while at < json.len() {
            at += self.token(&json[at..]);
        }
    }

    /// Handles the token at the beginning of the rest; its length.
    fn token(&mut self, rest: &[u8]) -> usize {
        match rest[0] {
            b' ' | b'\t' | b'\r' | b'\n' => self.keep(&rest[..1]),
            b'{' | b'[' => self.begin(rest),
            b'}' | b']' => self.end(rest),
            b':' => {
                self.advance(Next::Colon, Next::Value);
                self.keep(&rest[..1])
            }
            b',' => {
                self.comma();
                self.keep(&rest[..1])
            }
            b'"' => self.string(rest),
            _ => {
                let is_end = |byte: &u8| b"{}[],:\" \t\r\n".contains(byte);
                let length = rest.iter().position(is_end).unwrap_or(rest.len());
                self.scalar(&rest[..length], false);
                length
            }
        }
    }

    fn keep(&mut self, bytes: &[u8]) -> usize {
        self.out.extend_from_slice(bytes);
        bytes.len()
    }

    /// Whether a value may come here; then its place. Otherwise the structure is lost.
    fn place(&mut self, is_object: bool) -> Option<Place> {
        let place = match self.open.last_mut() {
            Some(object) if object.is_object && object.next == Next::Value => {
                object.next = Next::Comma;
                let mut place = object.child;
                if object.role == Role::Group && !is_object {
                    let group =
                        if place.canonical & BARREN == 0 { place.canonical } else { place.raw };
                    place.canonical = self.paths.member(group, WRAPPED, Print::of(WRAPPED));
                }
                Some(place)
            }
            Some(array) if !array.is_object && array.next == Next::Value => {
                array.next = Next::Comma;
                array.elements = array.elements.saturating_add(1);
                let position = array.elements - 1;
                Some(Place {
                    raw: self.paths.element(array.place.raw, position),
                    canonical: self.paths.element(array.place.canonical, position),
                })
            }
            _ => None,
        };
        self.is_lost |= place.is_none();
        place.filter(|_| !self.is_lost)
    }

    fn advance(&mut self, from: Next, to: Next) {
        match self.open.last_mut() {
            Some(object) if object.is_object && object.next == from => object.next = to,
            _ => self.is_lost = true,
        }
    }

    fn comma(&mut self) {
        match self.open.last_mut() {
            Some(container) if container.next == Next::Comma => {
                container.next = if container.is_object { Next::Key } else { Next::Value };
            }
            // Between events that stand in an array.
            None => {}
            _ => self.is_lost = true,
        }
    }

    /// The text that masks what stands at a place.
    fn mask(&self, place: Option<Place>) -> Option<String> {
        let Some(Place { raw, canonical }) = place else {
            return (self.rules != Known::None).then(|| MASK.to_owned());
        };
        let wanted = [raw, canonical].into_iter().filter(|place| place & WANTED != 0);
        let masks = wanted.fold(0, |masks, place| masks | self.paths.masks(place));
        self.masks.get(masks.trailing_zeros() as usize).cloned()
    }

    fn begin(&mut self, rest: &[u8]) -> usize {
        let is_object = rest[0] == b'{';
        let is_first = self.open.is_empty() && is_object && !self.is_lost;
        let is_log = self.open.last().is_some_and(|above| above.role == Role::Log) && is_object;
        let mut place = if is_first {
            self.root = self.paths.begin();
            Place { raw: self.root, canonical: BARREN }
        } else {
            let place = self.place(is_object);
            if let Some(mask) = self.mask(place).filter(|_| place.is_some()) {
                write_string(&mask, &mut self.out);
                return length_of_container(rest);
            }
            place.unwrap_or(NOWHERE)
        };
        if is_log {
            // An envelope in an envelope: of two places too many.
            self.is_lost |= self.open.len() > 1;
            place.canonical = self.root;
        }
        if self.open.len() == DEPTH_MAXIMUM {
            self.is_lost = true;
        }
        if !self.is_lost {
            self.open.push(Container {
                is_object,
                is_event: is_first || is_log,
                place,
                child: NOWHERE,
                role: Role::Plain,
                elements: 0,
                next: if is_object { Next::Key } else { Next::Value },
            });
        }
        self.keep(&rest[..1])
    }

    fn end(&mut self, rest: &[u8]) -> usize {
        let is_object = rest[0] == b'}';
        let is_outside = self.open.is_empty() && !is_object;
        self.is_piece |= self.open.is_empty() && is_object;
        match self.open.pop() {
            Some(container) if container.is_object == is_object => {}
            _ => self.is_lost |= !is_outside,
        }
        self.keep(&rest[..1])
    }

    fn string(&mut self, rest: &[u8]) -> usize {
        let length = length_of_string(rest);
        let string = &rest[..length];
        let behind = rest[length..].iter().find(|byte| !byte.is_ascii_whitespace());
        if behind == Some(&b':') {
            self.keys += 1;
            self.is_lost |= self.keys > KEYS_MAXIMUM;
            match self.open.last_mut() {
                Some(object) if object.is_object && object.next == Next::Key && !self.is_lost => {
                    self.key.clear();
                    unescape(string, &mut self.key);
                    let mut member = |place| match place & BARREN {
                        0 => self.paths.member(place, &self.key, Print::of(&self.key)),
                        _ => BARREN,
                    };
                    let Place { raw, canonical } = object.place;
                    object.child = Place { raw: member(raw), canonical: member(canonical) };
                    object.role = match self.key.as_slice() {
                        b"log" if object.is_event => Role::Log,
                        b"context" | b"data" | b"diagnostics" if object.is_event => Role::Group,
                        _ => Role::Plain,
                    };
                    object.next = Next::Colon;
                }
                above => {
                    self.is_piece |= above.is_none();
                    self.is_lost = true;
                }
            }
            return self.keep(string);
        }
        self.scalar(string, !matches!(behind, Some(b',' | b'}' | b']')));
        length
    }

    /// `is_torn`: its end, if it has one, may be the beginning of another string.
    fn scalar(&mut self, token: &[u8], is_torn: bool) {
        let place = self.place(false);
        let mut made = Vec::new();
        match self.mask(place) {
            Some(mask) => write_string(&mask, &mut made),
            None if self.by_url && token[0] == b'"' => {
                // Without its end, a string is what there is of it ...
                let end: &[u8] = if is_closed(token) { b"" } else { b"\"" };
                strip_url(&[token, end].concat(), &mut made);
                // ... which may be a password up to the middle, so that nothing shows that it is.
                if is_torn && made.is_empty() && prose::may_be_url(token) {
                    write_string(MASK, &mut made);
                }
            }
            None => {}
        }
        self.out.extend_from_slice(if made.is_empty() { token } else { &made });
    }
}
