//! What the enrichers add to every event of a run: members of `diagnostics`, and what a filter
//! marks. The redactors have seen it before it is added, once per run instead of once per event:
//! what they do depends on nothing but its own path and text.

use std::net::SocketAddr;
use std::ops::Range;

use super::redact::Redactor;
use super::tape::{Entry, Tape};
use crate::clock;
use crate::decode::{Decoder, Limits};
use crate::text::write_string;

/// Where the events of a run come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Origin<'a> {
    /// Nanoseconds since the epoch.
    pub received_ns: u64,
    /// Who sent them.
    pub peer: Option<SocketAddr>,
    /// What else tells who that is: members of a JSON object.
    pub identity: Option<&'a str>,
    /// Name of the listener.
    pub listener: &'a str,
    /// Its labels: the text of a JSON object.
    pub labels: Option<&'a str>,
    /// Number of the shard.
    pub shard: usize,
}

/// The key of [`Origin`] within `diagnostics`.
pub const ORIGIN_KEY: &str = "ingest";
/// The key of the labels of a listener within `diagnostics`.
pub const LABELS_KEY: &str = "labels";
/// The group that enrichers add to.
pub const GROUP: &str = "diagnostics";
const GROUP_MEMBER: &[u8] = b"\"diagnostics\":";
/// The same behind other members.
const NEXT_GROUP_MEMBER: &[u8] = b",\"diagnostics\":";
/// What `rate_limit` marks with.
pub const MARK_KEY: &str = "rate_limited";

impl Origin<'_> {
    fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"{\"received_at\":\"");
        clock::write_rfc3339(self.received_ns, out);
        out.push(b'"');
        if let Some(peer) = self.peer {
            out.extend_from_slice(format!(",\"peer\":\"{peer}\"").as_bytes());
        }
        out.extend_from_slice(b",\"listener\":");
        write_string(self.listener, out);
        out.extend_from_slice(format!(",\"shard\":{}", self.shard).as_bytes());
        if let Some(identity) = self.identity {
            out.push(b',');
            out.extend_from_slice(identity.as_bytes());
        }
        out.push(b'}');
    }
}

/// What a member is.
enum Content {
    /// The JSON of a value that is always the same.
    Constant(String),
    /// The origin, without the labels.
    Origin,
    /// The labels of the listener; a listener without has no such member.
    Labels,
}

/// One member that is added, or whose value is replaced where the event has it.
struct Addition {
    key: String,
    /// Its watch, by which an event's own member is found.
    watch: usize,
    /// What is added, redacted, in [`Additions::texts`]: with its key ...
    member: Range<usize>,
    /// ... and without.
    text: Range<usize>,
    /// Where the value lies in [`Additions::unredacted`].
    value: Range<usize>,
    content: Content,
}

impl Addition {
    fn new(key: &str, watch: usize, content: Content) -> Self {
        let (member, text, value) = (0..0, 0..0, 0..0);
        Self { key: key.to_owned(), watch, member, text, value, content }
    }
}

/// Of the small event that all that is added makes: it is no sender's, so none of its own apply.
/// The deepest is `diagnostics.ingest.tls.san`.
const LIMITS: Limits = Limits { depth: 5, keys: u32::MAX };

/// Everything that is added.
pub struct Additions {
    /// Members of `diagnostics`.
    members: Vec<Addition>,
    /// The labels, in a run whose listener has none.
    absent: Option<Addition>,
    /// The mark, a member of the event.
    mark: Option<Addition>,
    /// Watch of `diagnostics`.
    group: usize,
    /// The end of an event that has no `diagnostics`: a comma, those that are added, masked as a
    /// whole if a redactor does that, and the brace of the event.
    end: Vec<u8>,
    texts: Vec<u8>,
    unredacted: Vec<u8>,
    line: Vec<u8>,
    decoder: Decoder,
    /// Whether the texts depend on the origin.
    of_origin: bool,
    /// The labels for which they were made.
    labels: String,
    prepared: bool,
}

impl Additions {
    /// With nothing in it; `group` is the watch of `diagnostics`.
    pub fn new(group: usize) -> Self {
        Self {
            members: Vec::new(),
            absent: None,
            mark: None,
            group,
            end: Vec::new(),
            texts: Vec::new(),
            unredacted: Vec::new(),
            line: Vec::new(),
            decoder: Decoder::of_events(LIMITS),
            of_origin: false,
            labels: String::new(),
            prepared: false,
        }
    }

    /// Whether nothing is added: in this run, or, before the first, ever.
    pub fn is_empty(&self) -> bool {
        self.members.is_empty() && self.mark.is_none()
    }

    /// Adds a member to `diagnostics`: a text.
    pub fn add_constant(&mut self, key: &str, watch: usize, text: &str) {
        self.add(Addition::new(key, watch, Content::Constant(json_string(text))));
    }

    /// Adds the origin of each event to `diagnostics`.
    pub fn add_origin(&mut self, watch: usize) {
        self.of_origin = true;
        self.add(Addition::new(ORIGIN_KEY, watch, Content::Origin));
    }

    /// Adds the labels of each event's listener to `diagnostics`.
    pub fn add_labels(&mut self, watch: usize) {
        self.add(Addition::new(LABELS_KEY, watch, Content::Labels));
    }

    /// Of two with one key the later counts, as in a merge.
    fn add(&mut self, addition: Addition) {
        match self.members.iter_mut().find(|member| member.key == addition.key) {
            Some(member) => *member = addition,
            None => self.members.push(addition),
        }
    }

    /// Lets a filter mark events.
    pub fn allow_mark(&mut self, watch: usize) {
        self.mark = Some(Addition::new(MARK_KEY, watch, Content::Constant("true".into())));
    }

    /// Begins a run: makes the texts, and has them redacted as part of a small event.
    pub fn prepare(&mut self, origin: &Origin<'_>, tape: &mut Tape, redactors: &mut [Redactor]) {
        let labels = origin.labels.unwrap_or_default();
        if self.prepared && !self.of_origin && self.labels == labels {
            return;
        }
        self.prepared = true;
        self.labels.clear();
        self.labels.push_str(labels);
        self.place_labels();
        if self.is_empty() {
            return;
        }
        self.write_unredacted(origin);
        self.line.clear();
        if self.decoder.decode(&self.unredacted, true, tape, &mut self.line).is_err() {
            return; // unreachable: it is a valid event within these limits
        }
        for redactor in redactors.iter_mut() {
            let changed = redactor.changed;
            redactor.apply(tape, &self.line);
            redactor.changed = changed;
        }
        self.texts.clear();
        for addition in self.members.iter_mut().chain(&mut self.mark) {
            let key = self.texts.len();
            write_string(&addition.key, &mut self.texts);
            self.texts.push(b':');
            let start = self.texts.len();
            tape.render(&self.line, addition.value.clone(), &mut self.texts);
            addition.text = start..self.texts.len();
            addition.member = key..self.texts.len();
        }
        self.end.clear();
        self.end.extend_from_slice(NEXT_GROUP_MEMBER);
        let group = tape.watched(self.group).map(|index| tape.entries[index]);
        if let Some(masked) = group.filter(Entry::is_replaced) {
            self.end.extend_from_slice(tape.current(&masked, &self.line));
        } else {
            self.end.push(b'{');
            for (index, member) in self.members.iter().enumerate() {
                if index > 0 {
                    self.end.push(b',');
                }
                self.end.extend_from_slice(&self.texts[member.member.clone()]);
            }
            self.end.push(b'}');
        }
        self.end.push(b'}');
    }

    /// Puts the labels among the members, or takes them out where there are none.
    fn place_labels(&mut self) {
        let at = self.members.iter().position(|member| matches!(member.content, Content::Labels));
        if let Some(at) = at.filter(|_| self.labels.is_empty()) {
            self.absent = Some(self.members.remove(at));
        } else if !self.labels.is_empty()
            && let Some(labels) = self.absent.take()
        {
            self.members.push(labels);
        }
    }

    /// Writes `{"rate_limited":true,"diagnostics":{…}}`, and notes where the values lie.
    fn write_unredacted(&mut self, origin: &Origin<'_>) {
        let out = &mut self.unredacted;
        out.clear();
        out.push(b'{');
        if let Some(mark) = &mut self.mark {
            write_member(mark, origin, out);
            out.push(b',');
        }
        out.extend_from_slice(GROUP_MEMBER);
        out.push(b'{');
        for (index, member) in self.members.iter_mut().enumerate() {
            if index > 0 {
                out.push(b',');
            }
            write_member(member, origin, out);
        }
        out.extend_from_slice(b"}}");
    }

    /// Replaces the values of members that the event has already, and a group that is none.
    #[inline]
    pub fn replace(&self, tape: &mut Tape, text: &[u8], is_marked: bool) {
        if let Some(index) = tape.watched(self.group)
            && text[tape.entries[index].start as usize] != b'{'
            && !self.members.is_empty()
        {
            self.replace_group(tape, index);
        }
        let mark = self.mark.iter().filter(|_| is_marked);
        for addition in self.members.iter().chain(mark) {
            if let Some(index) = tape.watched(addition.watch) {
                tape.replace(index, &self.texts[addition.text.clone()]);
                tape.entries[index].is_final = true;
            }
        }
    }

    /// Only stages in Python leave a group that is no object. As in a merge, one takes its place.
    #[cold]
    fn replace_group(&self, tape: &mut Tape, index: usize) {
        tape.replace(index, &self.end[NEXT_GROUP_MEMBER.len()..self.end.len() - 1]);
        tape.entries[index].is_final = true;
    }

    /// Appends the event as it has become, with what it did not have.
    #[inline]
    pub fn render(&self, tape: &Tape, text: &[u8], is_marked: bool, out: &mut Vec<u8>) {
        let end = text.len() - 1;
        let mut copied = 0;
        let mut has_group = false;
        if let Some(index) = tape.watched(self.group) {
            has_group = true;
            let entry = tape.entries[index];
            if !entry.is_replaced() && !self.members.is_empty() {
                copied = entry.end as usize - 1;
                tape.render(text, 0..copied, out);
                self.write_members(tape, !is_empty_object(&text[..copied]), out);
            }
        }
        tape.render(text, copied..end, out);
        let mut comma = !is_empty_object(&text[..end]);
        if let Some(mark) = self.mark.as_ref().filter(|_| is_marked)
            && tape.watched(mark.watch).is_none()
        {
            self.write(mark, comma, out);
            comma = true;
        }
        if has_group || self.members.is_empty() {
            out.push(b'}');
        } else {
            out.extend_from_slice(&self.end[usize::from(!comma)..]);
        }
    }

    fn write_members(&self, tape: &Tape, mut comma: bool, out: &mut Vec<u8>) {
        for member in &self.members {
            if tape.watched(member.watch).is_none() {
                self.write(member, comma, out);
                comma = true;
            }
        }
    }

    fn write(&self, addition: &Addition, comma: bool, out: &mut Vec<u8>) {
        if comma {
            out.push(b',');
        }
        out.extend_from_slice(&self.texts[addition.member.clone()]);
    }
}

fn write_member(addition: &mut Addition, origin: &Origin<'_>, out: &mut Vec<u8>) {
    write_string(&addition.key, out);
    out.push(b':');
    let start = out.len();
    match &addition.content {
        Content::Constant(json) => out.extend_from_slice(json.as_bytes()),
        Content::Origin => origin.write(out),
        Content::Labels => out.extend_from_slice(origin.labels.unwrap_or_default().as_bytes()),
    }
    addition.value = start..out.len();
}

fn json_string(text: &str) -> String {
    let mut json = Vec::new();
    write_string(text, &mut json);
    String::from_utf8(json).unwrap_or_default()
}

/// Whether the object whose text is given up to its closing brace has no members.
fn is_empty_object(text: &[u8]) -> bool {
    text.iter().rfind(|byte| !byte.is_ascii_whitespace()) == Some(&b'{')
}
