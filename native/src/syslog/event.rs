//! A message that was taken apart, written as the event: one line of JSON.

use super::cee::Cee;
use super::cef::{self, Cef};
use super::members::{Members, close, write_unescaped};
use super::message::Message;
use super::structured_data;
use super::zone::Clock;
use crate::text::{is_plain, write_escaped, write_string};

/// Where the message and members of `data` come from, besides structured data.
pub enum Content<'a> {
    Text(&'a [u8]),
    Cef(Cef<'a>),
    Cee(Cee<'a>),
    /// They are not written here.
    Json,
}

/// Appends the event.
#[inline]
pub fn write(
    text: &[u8],
    message: &Message<'_>,
    content: &Content<'_>,
    clock: &mut Clock,
    (elements, extension): (&Members, &Members),
    out: &mut Vec<u8>,
) {
    // Looked at once, not field by field.
    let is_plain = is_plain(message.header);
    let member = |beginning: &[u8], value: &[u8], out: &mut Vec<u8>| {
        write_member(beginning, value, is_plain, out);
    };
    out.push(b'{');
    let mut unknown_zone = None;
    if let Some(timestamp) = message.timestamp {
        out.extend_from_slice(b"\"timestamp\":\"");
        unknown_zone = clock.write(timestamp, out);
        out.extend_from_slice(b"\",");
    }
    if let Some(priority) = message.priority {
        write_name(b"\"level\":\"", priority.level(), out);
    }
    write_message(content, out);
    member(b"\"logger\":\"", message.logger, out);

    let before = out.len();
    out.extend_from_slice(b"\"diagnostics\":{");
    if let Some(priority) = message.priority {
        write_name(b"\"facility\":\"", priority.facility(), out);
        write_name(b"\"severity\":\"", priority.severity(), out);
    }
    member(b"\"hostname\":\"", message.hostname, out);
    member(b"\"procid\":\"", message.procid, out);
    member(b"\"msgid\":\"", message.msgid, out);
    member(b"\"sequence\":\"", message.sequence, out);
    member(b"\"node\":\"", message.node, out);
    member(b"\"clock\":\"", message.clock.as_bytes(), out);
    member(b"\"time_zone\":\"", unknown_zone.unwrap_or_default(), out);
    if let Some(flaw) = message.flaw {
        write_name(b"\"parse_error\":\"", flaw.name(), out);
    }
    close_group(before, out);

    let before = out.len();
    out.extend_from_slice(b"\"data\":{");
    elements.write_objects(text, structured_data::unescape, out);
    match content {
        Content::Text(_) | Content::Json => {}
        Content::Cef(cef) => cef.write(text, extension, out),
        Content::Cee(cee) => cee.write(out),
    }
    close_group(before, out);
    close(out, b'{', b'}');
}

#[inline]
fn write_message(content: &Content<'_>, out: &mut Vec<u8>) {
    if let Content::Json = content {
        return;
    }
    out.extend_from_slice(b"\"message\":");
    match content {
        Content::Text(text) => write_string(text, out),
        Content::Cef(cef) => {
            out.push(b'"');
            write_unescaped(cef.name, cef::unescape, out);
            out.push(b'"');
        }
        Content::Cee(cee) => out.extend_from_slice(cee.message),
        Content::Json => {}
    }
    out.push(b',');
}

/// Ends the group that begins at a position; one without members is left out.
#[inline]
fn close_group(before: usize, out: &mut Vec<u8>) {
    if out.last() == Some(&b'{') {
        out.truncate(before);
    } else {
        close(out, b'{', b'}');
        out.push(b',');
    }
}

/// `beginning` is the key and what stands before the value.
#[inline]
fn write_member(beginning: &[u8], value: &[u8], is_plain: bool, out: &mut Vec<u8>) {
    if !value.is_empty() {
        out.extend_from_slice(beginning);
        if is_plain {
            out.extend_from_slice(value);
        } else {
            write_escaped(value, out);
        }
        out.extend_from_slice(b"\",");
    }
}

/// Names of this crate need no escapes.
#[inline]
fn write_name(beginning: &[u8], name: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(beginning);
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b"\",");
}
