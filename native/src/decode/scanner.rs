//! The grammar of RFC 8259, in one pass and without recursion.
//! Whoever opens a container pushes the one around it; a value is skipped, never built.

use super::Limits;
use super::edits::{Member, Notes, Role};
use super::keys::{Keys, Scope};
use super::line::Line;
use super::numbers::skip_number;
use super::strings::{find_stop, skip_string};
use crate::reject::Reject;

/// An open container.
#[derive(Clone, Copy)]
struct Container {
    is_object: bool,
    role: Role,
    keys: Scope,
}

/// What is learned of a line, and the memory for it, used again for the next.
pub struct Scanner {
    around: Vec<Container>,
    pub keys: Keys,
    pub notes: Notes,
    /// Whether there are line breaks between tokens.
    pub has_breaks: bool,
}

impl Scanner {
    pub fn new() -> Self {
        Self { around: Vec::new(), keys: Keys::new(), notes: Notes::new(), has_breaks: false }
    }

    /// Checks a line that begins with `{` and has no blanks at its end.
    pub fn scan(&mut self, line: Line, limits: &Limits) -> Result<(), Reject> {
        self.around.clear();
        self.keys.reset(limits.keys);
        self.notes.reset();
        self.has_breaks = false;
        let mut depth_limit = limits.depth as usize;

        let mut container =
            Container { is_object: true, role: Role::Event, keys: self.keys.enter() };
        let mut at = self.skip_blanks(line, 1);
        let mut is_empty = line.byte(at) == b'}';
        loop {
            if !is_empty {
                // One member or element.
                let mut role = Role::Plain;
                if container.is_object {
                    (at, role) = self.member(line, at, &mut container)?;
                }
                match line.byte(at) {
                    b'"' => at = skip_string(line, at + 1)?,
                    b'-' | b'0'..=b'9' => at = skip_number(line, at)?,
                    b't' => at = skip_literal(line, at, *b"true")?,
                    b'n' => at = skip_literal(line, at, *b"null")?,
                    b'f' => at = skip_literal(line, at + 1, *b"alse")?,
                    open @ (b'{' | b'[') => {
                        self.around.push(container);
                        // In the canonical event a wrapped array stands one level deeper.
                        // (In the log of an envelope it does not: there the envelope is gone.)
                        if role == Role::Edited && self.around.len() == 1 {
                            depth_limit -= 1;
                        }
                        if self.around.len() >= depth_limit {
                            return Err(Reject::TooDeep);
                        }
                        let is_object = open == b'{';
                        container = Container { is_object, role, keys: self.keys.enter() };
                        at = self.skip_blanks(line, at + 1);
                        is_empty = line.byte(at) == closing(is_object);
                        continue;
                    }
                    _ => return Err(Reject::InvalidJson),
                }
                if role == Role::Edited {
                    self.notes.end_edit(at);
                }
                at = self.skip_blanks(line, at);
            }
            // Behind a member or element, or in an empty container.
            while line.byte(at) == closing(container.is_object) {
                at += 1;
                if container.role != Role::Plain {
                    self.end_special(container, at);
                    depth_limit = limits.depth as usize;
                }
                self.keys.leave(container.keys, line)?;
                let Some(around) = self.around.pop() else {
                    return if at == line.end() { Ok(()) } else { Err(Reject::InvalidJson) };
                };
                container = around;
                at = self.skip_blanks(line, at);
            }
            if line.byte(at) != b',' {
                return Err(Reject::InvalidJson);
            }
            at = self.skip_blanks(line, at + 1);
            is_empty = false;
        }
    }

    /// Reads a key and its colon; the position of its value, and what that is.
    #[inline]
    fn member(
        &mut self,
        line: Line,
        key_start: usize,
        object: &mut Container,
    ) -> Result<(usize, Role), Reject> {
        if line.byte(key_start) != b'"' {
            return Err(Reject::InvalidJson);
        }
        let stop = find_stop(line, key_start + 1);
        let mut at = stop + 1;
        if line.byte(stop) == b'"' {
            self.keys.add(&mut object.keys, line, key_start + 1, stop)?;
        } else {
            at = self.keys.add_escaped(&mut object.keys, line, key_start + 1)?;
        }
        at = self.skip_blanks(line, at);
        if line.byte(at) != b':' {
            return Err(Reject::InvalidJson);
        }
        at = self.skip_blanks(line, at + 1);
        let role = if object.role == Role::Plain {
            Role::Plain
        } else {
            self.special_member(line, key_start, at, object.role)
        };
        Ok((at, role))
    }

    fn special_member(
        &mut self,
        line: Line,
        key_start: usize,
        value_start: usize,
        object: Role,
    ) -> Role {
        let key = self.keys.last(line);
        let value_first_byte = line.byte(value_start);
        let member = Member { key, key_start, value_start, value_first_byte };
        let depth = self.around.len();
        match object {
            Role::Event => self.notes.event_member(depth, &member),
            Role::Data => self.notes.data_member(depth - 1, &member),
            Role::Plain | Role::Edited => Role::Plain,
        }
    }

    fn end_special(&mut self, container: Container, end: usize) {
        match container.role {
            Role::Event => {
                let keys = self.keys.count(container.keys);
                self.notes.end_event(self.around.len(), end, keys);
            }
            Role::Edited => self.notes.end_edit(end),
            Role::Plain | Role::Data => {}
        }
    }

    #[inline]
    fn skip_blanks(&mut self, line: Line, at: usize) -> usize {
        if line.byte(at) > b' ' { at } else { self.skip_some_blanks(line, at) }
    }

    fn skip_some_blanks(&mut self, line: Line, mut at: usize) -> usize {
        loop {
            match line.byte(at) {
                b' ' | b'\t' => {}
                b'\n' | b'\r' => self.has_breaks = true,
                _ => return at,
            }
            at += 1;
        }
    }
}

#[inline]
fn closing(is_object: bool) -> u8 {
    if is_object { b'}' } else { b']' }
}

#[inline]
fn skip_literal(line: Line, at: usize, literal: [u8; 4]) -> Result<usize, Reject> {
    match line.block(at).first_chunk::<4>() {
        Some(text) if *text == literal => Ok(at + 4),
        _ => Err(Reject::InvalidJson),
    }
}
