//! The Common Event Format: eight parts with bars between them, the last one of `key=value`.

use super::members::{Members, close, write_unescaped};
use super::message::{Flaw, skip_blanks};

/// The parts of the header, in their order.
const NAMES: [&str; 5] =
    ["version", "device_vendor", "device_product", "device_version", "signature_id"];

/// A header; the extension is kept apart.
#[derive(Debug, Clone, Copy)]
pub struct Cef<'a> {
    fields: [&'a [u8]; NAMES.len()],
    /// It is the message of the event, and stands nowhere else.
    pub name: &'a [u8],
    severity: &'a [u8],
}

/// Reads what stands behind `CEF:`, with which `text` ends; the extension goes to `extension`.
pub fn read<'a>(
    text: &'a [u8],
    mut rest: &'a [u8],
    keys: usize,
    extension: &mut Members,
) -> Result<Cef<'a>, Flaw> {
    let mut fields: [&[u8]; NAMES.len()] = [&[]; NAMES.len()];
    for field in &mut fields {
        (*field, rest) = split_bar(rest).ok_or(Flaw::InvalidCef)?;
    }
    let (name, rest) = split_bar(rest).ok_or(Flaw::InvalidCef)?;
    let (severity, rest) = split_bar(rest).unwrap_or((rest, &[]));
    read_extension(text, rest, keys, extension)?;
    Ok(Cef { fields, name, severity })
}

/// Splits at the first bar that has no backslash before it.
fn split_bar(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let mut at = 0;
    loop {
        match text.get(at)? {
            b'|' => return Some((&text[..at], &text[at + 1..])),
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
}

/// Values may hold blanks: one ends where a blank, a key and an equals sign follow.
fn read_extension(
    text: &[u8],
    rest: &[u8],
    keys: usize,
    extension: &mut Members,
) -> Result<(), Flaw> {
    let rest = skip_blanks(rest);
    extension.open(text, b"", rest);
    let mut add = |(start, equals): (usize, usize), end: usize| {
        let value = rest[equals + 1..end].trim_ascii_end();
        let behind = &rest[equals + 1 + value.len()..];
        extension.add(text, (&rest[start..equals], &rest[equals..]), (value, behind));
        if extension.count() > keys { Err(Flaw::TooManyKeys) } else { Ok(()) }
    };
    // Where the last key begins and ends, and where the next may begin.
    let mut key = None;
    let mut word = Some(0);
    let mut at = 0;
    while at < rest.len() {
        match rest[at] {
            b'\\' => at += 1,
            b' ' => word = Some(at + 1),
            // Another equals sign in the same word belongs to the value.
            b'=' => {
                if let Some(start) = word.take().filter(|start| is_key(&rest[*start..at])) {
                    match key {
                        Some(key) => add(key, start)?,
                        None if start > 0 => return Err(Flaw::InvalidCef),
                        None => {}
                    }
                    key = Some((start, at));
                }
            }
            _ => {}
        }
        at += 1;
    }
    match key {
        Some(key) => add(key, rest.len())?,
        None if rest.is_empty() => {}
        None => return Err(Flaw::InvalidCef),
    }
    extension.group(text);
    Ok(())
}

fn is_key(word: &[u8]) -> bool {
    let is_part = |byte: &u8| byte.is_ascii_alphanumeric() || b"_.-[]".contains(byte);
    !word.is_empty() && word.iter().all(is_part)
}

impl Cef<'_> {
    /// Appends the member `"cef":{…},`.
    pub fn write(&self, text: &[u8], extension: &Members, out: &mut Vec<u8>) {
        out.extend_from_slice(b"\"cef\":{");
        for (name, field) in NAMES.into_iter().zip(self.fields).chain([("severity", self.severity)])
        {
            out.push(b'"');
            out.extend_from_slice(name.as_bytes());
            out.extend_from_slice(b"\":\"");
            write_unescaped(field, unescape, out);
            out.extend_from_slice(b"\",");
        }
        if extension.count() > 1 {
            out.extend_from_slice(b"\"extension\":{");
            extension.write_values(text, unescape, out);
            close(out, b'{', b'}');
            out.push(b',');
        }
        close(out, b'{', b'}');
        out.push(b',');
    }
}

/// What a backslash and the byte behind it stand for.
pub fn unescape(byte: u8) -> Option<u8> {
    match byte {
        b'|' | b'\\' | b'=' => Some(byte),
        b'n' => Some(b'\n'),
        b'r' => Some(b'\r'),
        _ => None,
    }
}
