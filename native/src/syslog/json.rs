//! A message whose text is a JSON object: the object is the event, as if it had come without
//! syslog around it, and what the header says is added where the event says nothing itself.

use super::members::close;
use super::message::Flaw;
use super::object::each_member;

/// Both sides may have members of these.
const GROUPS: [&[u8]; 2] = [b"\"diagnostics\"", b"\"data\""];
const MESSAGE: &[u8] = b"\"message\"";
/// What loggers of other languages call the message.
const OTHER_MESSAGE: &[u8] = b"\"msg\"";

/// Appends the canonical event together with that of the header. Structured data that the event
/// has as well makes the message invalid.
pub fn merge(header: &[u8], event: &[u8], out: &mut Vec<u8>) -> Result<(), Flaw> {
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
    for group in GROUPS {
        merge_group(group, find(header, group), find(event, group), out)?;
    }
    close(out, b'{', b'}');
    Ok(())
}

fn merge_group(
    name: &[u8],
    header: Option<&[u8]>,
    event: Option<&[u8]>,
    out: &mut Vec<u8>,
) -> Result<(), Flaw> {
    let (Some(header), Some(event)) = (header, event) else {
        if let Some(group) = header.or(event) {
            write(name, group, out);
        }
        return Ok(());
    };
    let mut is_taken = false;
    out.extend_from_slice(name);
    out.extend_from_slice(b":{");
    each_member(header, |key, value| {
        if find(event, key).is_some() {
            is_taken = true;
        } else {
            write(key, value, out);
        }
    });
    each_member(event, |key, value| write(key, value, out));
    close(out, b'{', b'}');
    out.push(b',');
    let is_of_sender = name == GROUPS[1];
    if is_taken && is_of_sender { Err(Flaw::DuplicateKey) } else { Ok(()) }
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
