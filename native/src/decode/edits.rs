//! What makes a valid line canonical: notes taken while it is scanned, applied at its end.
//!
//! Groups that are no objects are wrapped, control fields are removed, envelopes are unwrapped.
//! Whether an object is an envelope shows only when it closes; therefore notes are taken for each
//! level of `log` objects, and those of the level that turns out to be the event are applied.

/// Set by fapilog for its own pipeline; a sender has no business setting them.
const CONTROL_FIELDS: [&[u8]; 2] = [b"_fapilog_unsafe", b"_fapilog_internal"];

/// What was changed in an event.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Edits {
    /// Control fields removed from `data`.
    pub control_fields: u32,
    /// Groups that were no objects and became one.
    pub groups_wrapped: u32,
    /// Whether the event was taken out of an envelope.
    pub unwrapped: bool,
}

/// What a value is to the canonical event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Nothing special.
    Plain,
    /// The event, or the `log` of an envelope that may hold it.
    Event,
    /// The `data` of an event.
    Data,
    /// A value that the edit noted last wraps or removes.
    Edited,
}

impl Role {
    /// Whether a key of that length may mean something in an object of this role. Most do not,
    /// which spares them being looked at.
    #[inline]
    pub fn may_name(self, length: usize) -> bool {
        const EVENT: u32 =
            lengths(&[b"data", b"context", b"diagnostics", b"log", b"schema_version"]);
        const DATA: u32 = lengths(&CONTROL_FIELDS);
        let lengths = match self {
            Self::Plain | Self::Edited => 0,
            Self::Event => EVENT,
            Self::Data => DATA,
        };
        lengths >> (length % 32) & 1 != 0
    }
}

/// One bit for each length.
const fn lengths(keys: &[&[u8]]) -> u32 {
    let mut lengths = 0;
    let mut at = 0;
    while at < keys.len() {
        lengths |= 1 << (keys[at].len() % 32);
        at += 1;
    }
    lengths
}

#[derive(Clone, Copy)]
enum Change {
    Wrap,
    Remove,
}

/// A change to the value that ends at `end`; a removal starts at its key.
struct Edit {
    level: usize,
    change: Change,
    start: usize,
    end: usize,
}

/// An object that is the event, unless it is an envelope of the one in the next level.
struct Event {
    start: usize,
    end: usize,
    has_version: bool,
    has_log: bool,
    keys: usize,
}

/// The notes on one line.
pub struct Notes {
    events: Vec<Event>,
    edits: Vec<Edit>,
}

/// A member of an event or of its data, before its value is scanned.
pub struct Member<'a> {
    pub key: &'a [u8],
    pub key_start: usize,
    pub value_start: usize,
    pub value_first_byte: u8,
}

impl Notes {
    pub fn new() -> Self {
        Self { events: Vec::new(), edits: Vec::new() }
    }

    /// Begins a line, whose event begins at its first byte.
    pub fn reset(&mut self) {
        self.events.clear();
        self.edits.clear();
        self.enter_event(0);
    }

    fn enter_event(&mut self, start: usize) {
        self.events.push(Event { start, end: start, has_version: false, has_log: false, keys: 0 });
    }

    /// The role of a member's value in the event of that level.
    pub fn event_member(&mut self, level: usize, member: &Member) -> Role {
        let is_object = member.value_first_byte == b'{';
        match member.key {
            b"data" if is_object => Role::Data,
            b"context" | b"diagnostics" | b"data" if !is_object => {
                self.note(level, Change::Wrap, member.value_start)
            }
            b"log" if is_object => {
                self.events[level].has_log = true;
                self.enter_event(member.value_start);
                Role::Event
            }
            b"schema_version" => {
                self.events[level].has_version = member.value_first_byte == b'"';
                Role::Plain
            }
            _ => Role::Plain,
        }
    }

    /// The role of a member's value in the `data` of the event of that level.
    pub fn data_member(&mut self, level: usize, member: &Member) -> Role {
        if CONTROL_FIELDS.contains(&member.key) {
            self.note(level, Change::Remove, member.key_start)
        } else {
            Role::Plain
        }
    }

    fn note(&mut self, level: usize, change: Change, start: usize) -> Role {
        self.edits.push(Edit { level, change, start, end: start });
        Role::Edited
    }

    /// The value of the edit noted last ends before `end`.
    pub fn end_edit(&mut self, end: usize) {
        if let Some(edit) = self.edits.last_mut() {
            edit.end = end;
        }
    }

    /// The event of that level ends before `end`.
    pub fn end_event(&mut self, level: usize, end: usize, keys: usize) {
        let event = &mut self.events[level];
        event.end = end;
        event.keys = keys;
    }

    /// Whether the line is its canonical event already.
    #[inline]
    pub fn is_canonical(&self) -> bool {
        self.edits.is_empty() && self.events.len() == 1
    }

    /// Appends the canonical event to `out`.
    pub fn apply(&self, line: &[u8], out: &mut Vec<u8>) -> Edits {
        let level = self.events.iter().take_while(|event| event.is_envelope()).count();
        let event = &self.events[level];
        let mut edits = Edits { unwrapped: level > 0, ..Edits::default() };
        let mut copied = event.start;
        for edit in self.edits.iter().filter(|edit| edit.level == level) {
            match edit.change {
                Change::Wrap => {
                    out.extend_from_slice(&line[copied..edit.start]);
                    out.extend_from_slice(b"{\"value\":");
                    out.extend_from_slice(&line[edit.start..edit.end]);
                    out.push(b'}');
                    copied = edit.end;
                    edits.groups_wrapped += 1;
                }
                Change::Remove => {
                    let (start, end) = with_one_comma(line, copied, edit);
                    out.extend_from_slice(&line[copied..start]);
                    copied = end;
                    edits.control_fields += 1;
                }
            }
        }
        out.extend_from_slice(&line[copied..event.end]);
        edits
    }
}

impl Event {
    fn is_envelope(&self) -> bool {
        self.has_version && self.has_log && self.keys == 2
    }
}

/// A removed member takes a comma with it: the one before it, unless an earlier removal took
/// that (everything before `copied` is dealt with) or there is none; else the one behind it.
fn with_one_comma(line: &[u8], copied: usize, edit: &Edit) -> (usize, usize) {
    let is_blank = |byte: &u8| matches!(byte, b' ' | b'\t' | b'\n' | b'\r');
    let before = &line[copied..edit.start];
    if let Some(comma) = before.iter().rposition(|byte| !is_blank(byte))
        && before[comma] == b','
    {
        return (copied + comma, edit.end);
    }
    let behind = &line[edit.end..];
    match behind.iter().position(|byte| !is_blank(byte)) {
        Some(comma) if behind[comma] == b',' => (edit.start, edit.end + comma + 1),
        _ => (edit.start, edit.end),
    }
}
