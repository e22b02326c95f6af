//! The grammar of RFC 8259, in one pass and without recursion.
//! Whoever opens a container pushes the one around it; a value is skipped, never built.

use super::Limits;
use super::cursor::Cursor;
use super::edits::{Member, Notes, Role};
use super::keys::{Keys, Scope};
use super::layout::{Backoff, Layouts};
use super::line::Line;
use super::observer::Observer;
use super::stops::Stops;
use crate::reject::Reject;

/// An open container, and the scope of the keys around it.
#[derive(Clone, Copy)]
struct Container {
    is_object: bool,
    role: Role,
    around: Scope,
    /// The observer's.
    place: u32,
    /// Elements of an array so far.
    index: u32,
}

/// The memory that scanning a line takes, used again for the next.
pub struct Scanner {
    stops: Stops,
    layouts: Layouts,
    /// Whether to look for the layout of a line before anything else is done with it.
    early: Backoff,
    scan: Scan,
}

/// What is known of the line up to the cursor.
pub struct Scan {
    around: Vec<Container>,
    pub keys: Keys,
    pub notes: Notes,
    /// Whether there are line breaks between tokens.
    pub has_breaks: bool,
}

impl Scanner {
    pub fn new() -> Self {
        let scan =
            Scan { around: Vec::new(), keys: Keys::new(), notes: Notes::new(), has_breaks: false };
        Self { stops: Stops::new(), layouts: Layouts::new(), early: Backoff::NEW, scan }
    }

    /// Whether a line, of which [`Line::in_place`] is enough, is canonical and valid because it is
    /// like one before. If not, nothing is said of it.
    #[inline]
    pub fn knows(&mut self, line: Line, observer: &mut impl Observer) -> bool {
        let knows = self.early.tries() && self.layouts.fit(line, self.stops.find(line), observer);
        if knows {
            self.early.succeed(0);
        }
        knows
    }

    /// Checks a line that begins with `{` and has no blanks at its end. The limits are the same
    /// for all lines.
    pub fn scan(
        &mut self,
        line: Line,
        limits: Limits,
        observer: &mut impl Observer,
    ) -> Result<&Scan, Reject> {
        let stops = self.stops.find(line);
        self.scan.reset(limits);
        if self.layouts.fit(line, stops, observer) {
            return Ok(&self.scan);
        }
        let depth = limits.depth as usize;
        if self.layouts.want(stops) {
            let mut learner = self.layouts.learner(observer);
            self.scan.event(line, stops, depth, &mut learner)?;
            if self.scan.is_canonical() {
                self.layouts.learn(line, stops, observer.epoch());
            }
        } else {
            self.scan.event(line, stops, depth, observer)?;
        }
        Ok(&self.scan)
    }
}

impl Scan {
    #[inline]
    fn reset(&mut self, limits: Limits) {
        self.around.clear();
        self.keys.reset(limits.keys);
        self.notes.reset();
        self.has_breaks = false;
    }

    /// Whether the line is its canonical event already.
    #[inline]
    pub fn is_canonical(&self) -> bool {
        self.notes.is_canonical() && !self.has_breaks
    }

    /// Checks that the line is one object.
    #[inline(never)]
    fn event(
        &mut self,
        line: Line,
        stops: &[u32],
        deepest: usize,
        observer: &mut impl Observer,
    ) -> Result<(), Reject> {
        let mut cursor = Cursor::new(line, stops);
        let mut depth_limit = deepest;
        let (around, place) = (self.keys.enter(), observer.begin(line));
        let mut container =
            Container { is_object: true, role: Role::Event, around, place, index: 0 };
        observer.open(place, 0);
        cursor.skip_byte();
        let mut is_empty = cursor.byte() == b'}';
        'container: loop {
            // At a member or element.
            while !is_empty {
                let (role, place) = if container.is_object {
                    self.key(&mut cursor, container.role, container.place, observer)?
                } else {
                    container.index += 1;
                    (Role::Plain, observer.element(container.place, container.index - 1))
                };
                let first = cursor.byte();
                if first == b'{' || first == b'[' {
                    self.around.push(container);
                    // In the canonical event a wrapped array stands one level deeper.
                    // (In the log of an envelope it does not: there the envelope is gone.)
                    if role == Role::Edited && self.around.len() == 1 {
                        depth_limit -= 1;
                    }
                    if self.around.len() >= depth_limit {
                        return Err(Reject::TooDeep);
                    }
                    let is_object = first == b'{';
                    let around = self.keys.enter();
                    container = Container { is_object, role, around, place, index: 0 };
                    observer.open(place, cursor.at);
                    cursor.skip_byte();
                    is_empty = cursor.byte() == closing(is_object);
                    continue 'container;
                }
                let start = cursor.at;
                cursor.skip_scalar()?;
                let end = cursor.at;
                cursor.skip_blanks();
                observer.scalar(place, line, start, end);
                if role == Role::Edited {
                    self.notes.end_edit(end);
                }
                if cursor.byte() != b',' {
                    break;
                }
                cursor.skip_byte();
            }
            // Behind the last member or element.
            loop {
                if cursor.byte() != closing(container.is_object) {
                    return Err(Reject::InvalidJson);
                }
                if container.role != Role::Plain {
                    self.end_special(container.role, cursor.at + 1);
                    depth_limit = deepest;
                }
                observer.close(container.place, cursor.at + 1);
                self.keys.leave(cursor.line, container.around)?;
                let Some(around) = self.around.pop() else {
                    self.has_breaks = cursor.saw_breaks;
                    let is_end = cursor.at + 1 == cursor.line.end();
                    return if is_end { Ok(()) } else { Err(Reject::InvalidJson) };
                };
                container = around;
                cursor.skip_byte();
                if cursor.byte() == b',' {
                    cursor.skip_byte();
                    is_empty = false;
                    break;
                }
            }
        }
    }

    /// Moves the cursor over a key and its colon, to the value; the role and place of that.
    #[inline(always)]
    #[allow(clippy::inline_always, reason = "see Cursor")]
    fn key(
        &mut self,
        cursor: &mut Cursor,
        object: Role,
        place: u32,
        observer: &mut impl Observer,
    ) -> Result<(Role, u32), Reject> {
        if cursor.byte() != b'"' {
            return Err(Reject::InvalidJson);
        }
        let opening = cursor.at;
        let stop = cursor.stop_of_string();
        let mut key_length = stop - opening - 1;
        let place = if cursor.line.byte(stop) == b'"' {
            let print = self.keys.add(cursor.line, opening + 1, stop)?;
            let place = observer.member(place, cursor.line.text(opening + 1, stop), print);
            cursor.skip_plain_string(stop);
            place
        } else {
            let (closing, print) = self.keys.add_escaped(cursor.line, opening + 1, stop)?;
            let key = self.keys.last(cursor.line);
            key_length = key.len();
            let place = observer.member(place, key, print);
            cursor.jump(closing);
            cursor.skip_stop();
            place
        };
        if cursor.byte() != b':' {
            return Err(Reject::InvalidJson);
        }
        cursor.skip_byte();
        if !object.may_name(key_length) {
            return Ok((Role::Plain, place));
        }
        Ok((self.special_member(cursor.line, object, opening, cursor.at), place))
    }

    #[inline(never)]
    fn special_member(&mut self, line: Line, object: Role, key_start: usize, value: usize) -> Role {
        let key = self.keys.last(line);
        let member =
            Member { key, key_start, value_start: value, value_first_byte: line.byte(value) };
        let depth = self.around.len();
        match object {
            Role::Event => self.notes.event_member(depth, &member),
            Role::Data => self.notes.data_member(depth - 1, &member),
            Role::Plain | Role::Edited => Role::Plain,
        }
    }

    #[inline(never)]
    fn end_special(&mut self, role: Role, end: usize) {
        match role {
            Role::Event => self.notes.end_event(self.around.len(), end, self.keys.count()),
            Role::Edited => self.notes.end_edit(end),
            Role::Plain | Role::Data => {}
        }
    }
}

#[inline]
fn closing(is_object: bool) -> u8 {
    if is_object { b'}' } else { b']' }
}
