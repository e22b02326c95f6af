//! A message whose text is a JSON object: the object is the event, as if it had come without
//! syslog around it, and what the header says is added where the event says nothing itself.

use super::members::close;
use super::message::Flaw;
use super::object::each_member;
use crate::text::inside;

/// Both sides may have members of these.
const GROUPS: [&[u8]; 2] = [b"\"diagnostics\"", b"\"data\""];
const MESSAGE: &[u8] = b"\"message\"";
/// What loggers of other languages call the message.
const OTHER_MESSAGE: &[u8] = b"\"msg\"";

/// Appends the canonical event together with that of the header. `is_taken` tells of a key of
/// `data` whether structured data has it: on both sides, it makes the message invalid.
pub fn merge(
    header: &[u8],
    event: &[u8],
    is_taken: impl Fn(&[u8]) -> bool,
    out: &mut Vec<u8>,
) -> Result<(), Flaw> {
    let has_message = find(event, MESSAGE).is_some();
    out.push(b'{');
    each_member(header, |key, value| {
        if !GROUPS.contains(&key) && find(event, key).is_none() {
            write(key, value, out);
        }
    });
    each_member(event, |key, value| {
        let is_message = !has_message && key == OTHER_MESSAGE && value.first() == Some(&b'"');
        if !GROUPS.contains(&key) {
            write(if is_message { MESSAGE } else { key }, value, out);
        }
    });
    let [diagnostics, data] = GROUPS;
    let said = find(event, diagnostics);
    let is_said = |key: &[u8]| said.is_some_and(|group| find(group, key).is_some());
    write_group(diagnostics, find(header, diagnostics), said, is_said, out);
    let sent = find(event, data);
    let mut is_repeated = false;
    each_member(sent.unwrap_or_default(), |key, _| is_repeated |= is_taken(inside(key)));
    if is_repeated {
        return Err(Flaw::DuplicateKey);
    }
    // Of these there may be many: each is looked up once, above.
    write_group(data, find(header, data), sent, |_| false, out);
    close(out, b'{', b'}');
    Ok(())
}

/// Writes the members of both sides, of the header those that are not left out.
fn write_group(
    name: &[u8],
    header: Option<&[u8]>,
    event: Option<&[u8]>,
    is_left_out: impl Fn(&[u8]) -> bool,
    out: &mut Vec<u8>,
) {
    let (Some(header), Some(event)) = (header, event) else {
        if let Some(group) = header.or(event) {
            write(name, group, out);
        }
        return;
    };
    out.extend_from_slice(name);
    out.extend_from_slice(b":{");
    each_member(header, |key, value| {
        if !is_left_out(key) {
            write(key, value, out);
        }
    });
    each_member(event, |key, value| write(key, value, out));
    close(out, b'{', b'}');
    out.push(b',');
}

fn write(key: &[u8], value: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(key);
    out.push(b':');
    out.extend_from_slice(value);
    out.push(b',');
}

fn find<'a>(object: &'a [u8], wanted: &[u8]) -> Option<&'a [u8]> {
    let mut found = None;
    each_member(object, |key, value| {
        if key == wanted {
            found = Some(value);
        }
    });
    found
}
