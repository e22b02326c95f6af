//! Named values from structured data or CEF, before they are written as members of objects:
//! what has the same name becomes one member.

use crate::text::{is_plain, write_escaped};

/// Up to so many, each is compared with those before it; more are sorted.
const COMPARED: usize = 24;

/// A part of the text.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Span {
    start: u32,
    end: u32,
}

impl Span {
    /// `part` ends so many bytes before the end of the text.
    #[allow(clippy::cast_possible_truncation, reason = "no text is that long")]
    fn new(text: &[u8], part: &[u8], behind: usize) -> Self {
        let end = text.len() - behind;
        Self { start: (end - part.len()) as u32, end: end as u32 }
    }

    #[inline]
    fn of(self, text: &[u8]) -> &[u8] {
        &text[self.start as usize..self.end as usize]
    }
}

/// A value, or the object that values which follow belong to.
#[derive(Debug, Clone, Copy)]
struct Member {
    object: Span,
    /// Empty: the object itself.
    name: Span,
    value: Span,
    /// The number of the first member of an object of that name.
    group: u32,
    /// The number of the first member of that name in it.
    first: u32,
}

/// The members of objects, in memory that is used again.
#[derive(Debug, Default)]
pub struct Members {
    members: Vec<Member>,
    object: Span,
}

impl Members {
    pub fn clear(&mut self) {
        self.members.clear();
    }

    pub fn count(&self) -> usize {
        self.members.len()
    }

    /// Begins an object; `rest` is what follows its name in the text.
    #[inline]
    pub fn open(&mut self, text: &[u8], name: &[u8], rest: &[u8]) {
        self.object = Span::new(text, name, rest.len());
        self.push(Span::default(), Span::default());
    }

    /// Adds a value to the object; `rest` and `behind` are what follows its name, and itself.
    #[inline]
    pub fn add(&mut self, text: &[u8], name: (&[u8], &[u8]), value: (&[u8], &[u8])) {
        let name = Span::new(text, name.0, name.1.len());
        self.push(name, Span::new(text, value.0, value.1.len()));
    }

    #[inline]
    fn push(&mut self, name: Span, value: Span) {
        self.members.push(Member { object: self.object, name, value, group: 0, first: 0 });
    }

    /// Whether there is an object of that name.
    pub fn has_object(&self, text: &[u8], name: &[u8]) -> bool {
        self.members.iter().any(|member| member.object.of(text) == name)
    }

    /// All have been added: brings together what has the same name.
    #[inline]
    pub fn group(&mut self, text: &[u8]) {
        let has_repeated = if self.members.len() <= COMPARED {
            self.compare(text)
        } else {
            self.sort(text);
            true
        };
        if has_repeated {
            self.members.sort_unstable_by_key(|member| {
                (member.group, member.first, member.value.start, member.name.start)
            });
        }
    }

    /// Whether a name is repeated.
    #[allow(clippy::cast_possible_truncation, reason = "there are few")]
    fn compare(&mut self, text: &[u8]) -> bool {
        let mut has_repeated = false;
        for at in 0..self.members.len() {
            let (before, rest) = self.members.split_at_mut(at);
            let member = &mut rest[0];
            (member.group, member.first) = (at as u32, at as u32);
            for other in before {
                let same_object = other.object == member.object
                    || other.object.of(text) == member.object.of(text);
                if same_object {
                    has_repeated |= other.object != member.object;
                    member.group = member.group.min(other.group);
                    if other.name.of(text) == member.name.of(text) {
                        member.first = other.first;
                        has_repeated = true;
                        break;
                    }
                }
            }
        }
        has_repeated
    }

    #[cold]
    #[allow(clippy::cast_possible_truncation, reason = "positions in the text have 32 bits")]
    fn sort(&mut self, text: &[u8]) {
        for (at, member) in self.members.iter_mut().enumerate() {
            (member.group, member.first) = (at as u32, at as u32);
        }
        self.members.sort_unstable_by(|one, other| {
            let objects = one.object.of(text).cmp(other.object.of(text));
            objects.then_with(|| one.first.cmp(&other.first))
        });
        for at in 1..self.members.len() {
            let (before, member) = (self.members[at - 1], &mut self.members[at]);
            if before.object.of(text) == member.object.of(text) {
                member.group = before.group;
            }
        }
        self.members.sort_unstable_by(|one, other| {
            let names = one.name.of(text).cmp(other.name.of(text));
            one.group.cmp(&other.group).then(names).then(one.first.cmp(&other.first))
        });
        for at in 1..self.members.len() {
            let (before, member) = (self.members[at - 1], &mut self.members[at]);
            if before.group == member.group && before.name.of(text) == member.name.of(text) {
                member.first = before.first;
            }
        }
    }

    /// Appends the objects, each as `"name":{…},`. `unescape` tells what a backslash and a byte
    /// stand for.
    pub fn write_objects(&self, text: &[u8], unescape: Unescape, out: &mut Vec<u8>) {
        for object in self.members.chunk_by(|one, next| one.group == next.group) {
            out.push(b'"');
            write_escaped(object[0].object.of(text), out);
            out.extend_from_slice(b"\":{");
            write_values(object, text, unescape, out);
            close(out, b'{', b'}');
            out.push(b',');
        }
    }

    /// Appends the values of the only object, each as `"name":"value",`.
    pub fn write_values(&self, text: &[u8], unescape: Unescape, out: &mut Vec<u8>) {
        write_values(&self.members, text, unescape, out);
    }
}

fn write_values(members: &[Member], text: &[u8], unescape: Unescape, out: &mut Vec<u8>) {
    for same in members.chunk_by(|one, next| one.first == next.first) {
        if same[0].name == Span::default() {
            continue;
        }
        out.push(b'"');
        write_escaped(same[0].name.of(text), out);
        if let [member] = same {
            out.extend_from_slice(b"\":\"");
            write_unescaped(member.value.of(text), unescape, out);
            out.extend_from_slice(b"\",");
        } else {
            out.extend_from_slice(b"\":[");
            for member in same {
                out.push(b'"');
                write_unescaped(member.value.of(text), unescape, out);
                out.extend_from_slice(b"\",");
            }
            close(out, b'[', b']');
            out.push(b',');
        }
    }
}

/// What a backslash and the byte behind it stand for; none when they stand for themselves.
pub type Unescape = fn(u8) -> Option<u8>;

/// Appends a text as the inside of a JSON string.
#[inline]
pub fn write_unescaped(text: &[u8], unescape: Unescape, out: &mut Vec<u8>) {
    if is_plain(text) {
        out.extend_from_slice(text);
    } else {
        write_meanings(text, unescape, out);
    }
}

#[inline(never)]
fn write_meanings(mut text: &[u8], unescape: Unescape, out: &mut Vec<u8>) {
    while let Some(at) = memchr::memchr(b'\\', text) {
        let meaning = text.get(at + 1).and_then(|byte| unescape(*byte));
        let copied = if meaning.is_some() { at } else { at + 1 };
        write_escaped(&text[..copied], out);
        write_escaped(meaning.as_slice(), out);
        text = &text[at + 1 + usize::from(meaning.is_some())..];
    }
    write_escaped(text, out);
}

/// Ends an object or array whose members each have a comma behind them.
#[inline]
pub fn close(out: &mut Vec<u8>, opening: u8, closing: u8) {
    if out.last() != Some(&opening) {
        out.pop();
    }
    out.push(closing);
}
