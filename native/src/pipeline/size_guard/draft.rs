//! An event while it is made smaller: its members and those of its groups, with their sizes.

use std::borrow::Cow;
use std::cmp::Reverse;

/// Behind a message that was shortened; as in fapilog.
const ELLIPSIS: &[u8] = b"...[truncated]";

/// Characters that a message keeps while anything else can go; as in fapilog.
const MESSAGE_CHARACTERS: usize = 32;

const TRUNCATED: &[u8] = b"\"_truncated\"";
const ORIGINAL_SIZE: &[u8] = b"\"_original_size\"";
const HEAVILY_TRUNCATED: &[u8] = b"\"_heavily_truncated\"";

/// What a member of the event is to its truncation.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Written by a truncation.
    Mark,
    Data,
    Diagnostics,
    Context,
    Message,
    Other,
}

/// The value of a [`Member`].
pub enum Value<'a> {
    /// As JSON.
    Text(Cow<'a, [u8]>),
    /// A group, whose members can go one by one.
    Group(Vec<Member<'a>>),
}

/// A member of the event, or of a group.
pub struct Member<'a> {
    pub role: Role,
    /// Whether it never goes.
    pub is_preserved: bool,
    /// As JSON.
    pub key: &'a [u8],
    pub value: Value<'a>,
}

impl Member<'_> {
    fn size(&self) -> usize {
        let value = match &self.value {
            Value::Text(text) => text.len(),
            Value::Group(members) => object_size(members),
        };
        self.key.len() + 1 + value
    }

    fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.key);
        out.push(b':');
        match &self.value {
            Value::Text(text) => out.extend_from_slice(text),
            Value::Group(members) => write_object(members, out),
        }
    }
}

fn object_size(members: &[Member]) -> usize {
    let commas = members.len().saturating_sub(1);
    2 + commas + members.iter().map(Member::size).sum::<usize>()
}

fn write_object(members: &[Member], out: &mut Vec<u8>) {
    out.push(b'{');
    for (at, member) in members.iter().enumerate() {
        if at > 0 {
            out.push(b',');
        }
        member.write(out);
    }
    out.push(b'}');
}

/// The event.
pub struct Draft<'a> {
    members: Vec<Member<'a>>,
    size: usize,
    max_size: usize,
}

impl<'a> Draft<'a> {
    /// The event that has these members.
    pub fn new(members: Vec<Member<'a>>) -> Self {
        Self { members, size: 0, max_size: 0 }
    }

    /// Marks the event and makes it as small as it has to be and can be.
    pub fn fit(&mut self, max_size: usize, original_size: usize) {
        self.max_size = max_size;
        self.mark(TRUNCATED, b"true".into());
        self.mark(ORIGINAL_SIZE, original_size.to_string().into_bytes().into());
        let message = self.message().map(|message| message.clone());
        self.shorten_message(MESSAGE_CHARACTERS);
        if !self.fits() {
            self.mark(HEAVILY_TRUNCATED, b"true".into());
            self.size = object_size(&self.members);
            for role in [Role::Data, Role::Diagnostics, Role::Context] {
                self.shrink_group(role);
            }
            self.shrink(|member| member.role == Role::Other);
            if !self.fits() {
                self.shorten_message(0);
            }
            self.shrink(|member| member.role == Role::Message);
            self.shrink(|_| true);
        }
        // The message has the room that is left.
        if let Some(message) = message
            && self.fits()
        {
            self.lengthen_message(message);
        }
    }

    /// Whether the event has at most the size that it may have.
    pub fn fits(&self) -> bool {
        self.size <= self.max_size
    }

    /// Brings the members into the order of an envelope.
    pub fn sort(&mut self) {
        self.members.sort_by_key(|member| member.key);
    }

    /// Appends the event to `out`.
    pub fn write(&self, out: &mut Vec<u8>) {
        write_object(&self.members, out);
    }

    fn mark(&mut self, key: &'static [u8], value: Cow<'a, [u8]>) {
        let value = Value::Text(value);
        self.members.push(Member { role: Role::Mark, is_preserved: true, key, value });
    }

    fn message(&mut self) -> Option<&mut Cow<'a, [u8]>> {
        self.members.iter_mut().find_map(|member| match &mut member.value {
            Value::Text(text) if member.role == Role::Message => Some(text),
            _ => None,
        })
    }

    fn shorten_message(&mut self, characters: usize) {
        if let Some(message) = self.message()
            && let Some(shortened) = shorten(message, |at, _| at < characters)
        {
            *message = shortened.into();
        }
        self.size = object_size(&self.members);
    }

    /// Makes the message as long as it can be, now that all else has the size that it will have.
    fn lengthen_message(&mut self, full: Cow<'a, [u8]>) {
        let left = self.max_size - self.size;
        let Some(message) = self.message() else {
            return;
        };
        let room = message.len() + left;
        if full.len() <= room {
            *message = full;
        } else if let Some(longer) = shorten(&full, |_, length| length <= room) {
            *message = longer.into();
        }
    }

    fn shrink_group(&mut self, role: Role) {
        let Self { members, size, max_size } = self;
        for member in members.iter_mut().filter(|member| member.role == role) {
            if let Value::Group(group) = &mut member.value
                && !member.is_preserved
            {
                shrink(group, size, *max_size, |_| true);
            }
        }
    }

    fn shrink(&mut self, may_go: impl Fn(&Member) -> bool) {
        let holds_preserved = |member: &Member| match &member.value {
            Value::Group(group) => group.iter().any(|member| member.is_preserved),
            Value::Text(_) => false,
        };
        shrink(&mut self.members, &mut self.size, self.max_size, |member| {
            may_go(member) && !holds_preserved(member)
        });
    }
}

/// Removes members that are not preserved and may go, the largest first, until `size`, of which
/// they are a part, is small enough.
fn shrink(
    members: &mut Vec<Member>,
    size: &mut usize,
    max_size: usize,
    may_go: impl Fn(&Member) -> bool,
) {
    let is_candidate = |member: &Member| !member.is_preserved && may_go(member);
    let mut candidates: Vec<usize> =
        (0..members.len()).filter(|at| is_candidate(&members[*at])).collect();
    candidates.sort_by_cached_key(|at| Reverse(members[*at].size()));
    let mut stays = vec![true; members.len()];
    let mut left = members.len();
    for at in candidates {
        if *size <= max_size {
            break;
        }
        let comma = usize::from(left > 1);
        *size -= members[at].size() + comma;
        stays[at] = false;
        left -= 1;
    }
    let mut stays = stays.into_iter();
    members.retain(|_| stays.next().unwrap_or(true));
}

/// The beginning of a JSON string, as JSON, that ends in [`ELLIPSIS`] and holds the characters
/// for which `is_kept` (number of the character, length of the string if it is the last one).
/// None if there is nothing to gain, or the value is no string.
fn shorten(string: &[u8], is_kept: impl Fn(usize, usize) -> bool) -> Option<Vec<u8>> {
    let text = string.strip_prefix(b"\"")?.strip_suffix(b"\"")?;
    let mut end = 0;
    for number in 0.. {
        let next = end + character_length(&text[end..]);
        if end >= text.len() || !is_kept(number, next + ELLIPSIS.len() + 2) {
            break;
        }
        end = next;
    }
    let shortened = [b"\"", &text[..end], ELLIPSIS, b"\""].concat();
    (shortened.len() < string.len()).then_some(shortened)
}

/// The length of the character with which a text with JSON escapes begins.
fn character_length(text: &[u8]) -> usize {
    match text {
        // A high surrogate, which the low one follows.
        [b'\\', b'u', b'd' | b'D', b'8' | b'9' | b'a' | b'b' | b'A' | b'B', ..] => 12,
        [b'\\', b'u', ..] => 6,
        [b'\\', ..] => 2,
        [..0x80, ..] => 1,
        [..0xe0, ..] => 2,
        [..0xf0, ..] => 3,
        _ => 4,
    }
}
