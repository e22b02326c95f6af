//! What stands before the text of a message in RFC 3164 and its variants: `tag[pid]:`, the
//! `%SYS-5-CONFIG_I:` of Cisco's devices, and the host.

use super::message::skip_blanks;
use super::payload::is_payload;

/// No name of a program is longer.
const TAG_BYTES: usize = 128;
const PID_BYTES: usize = 48;

/// A tag and what follows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tag<'a> {
    pub name: &'a [u8],
    /// Empty without brackets.
    pub pid: &'a [u8],
    pub rest: &'a [u8],
}

/// Bytes that stand in names of programs, paths among them.
const IS_TAG: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = b'!';
    while byte <= b'~' {
        table[byte as usize] = !matches!(
            byte,
            b':' | b'['
                | b']'
                | b'{'
                | b'}'
                | b'<'
                | b'>'
                | b'"'
                | b'\''
                | b'='
                | b'|'
                | b';'
                | b'%'
        );
        byte += 1;
    }
    table
};

/// The tag that a text begins with: `name:` before a blank or a payload, `name[pid]`, or a name
/// before a tab.
#[inline]
pub fn read_tag(text: &[u8]) -> Option<Tag<'_>> {
    let end = text.iter().take(TAG_BYTES + 1).position(|byte| !IS_TAG[usize::from(*byte)])?;
    let (name, rest) = text.split_at(end);
    // A number with a colon is a time or a counter.
    if name.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let (pid, rest) = match rest {
        [b':'] | [b':', b' ' | b'\t', ..] => (&rest[..0], &rest[1..]),
        // As a text, the secrets of a payload would have no path and escape redaction.
        [b':', behind @ ..] if is_payload(behind) => (&rest[..0], behind),
        [b'\t', ..] => (&rest[..0], rest),
        [b'[', inside @ ..] => {
            let is_end = |byte: &u8| matches!(byte, b']' | b'[' | ..=b' ');
            let end = inside.iter().take(PID_BYTES + 1).position(is_end)?;
            match &inside[end..] {
                [b']', b':', rest @ ..] => (&inside[..end], rest),
                [b']', rest @ ..] if matches!(rest, [] | [b' ', ..]) => (&inside[..end], rest),
                _ => return None,
            }
        }
        _ => return None,
    };
    Some(Tag {
        name,
        pid,
        rest: rest.strip_prefix(b" ").or(rest.strip_prefix(b"\t")).unwrap_or(rest),
    })
}

/// `%FACILITY-SUBFACILITY-SEVERITY-MNEMONIC:`; what stands between the percent sign and the
/// colon, and what follows.
#[inline]
pub fn read_mnemonic(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let [b'%', text @ ..] = text else { return None };
    let is_part = |byte: &u8| matches!(byte, b'A'..=b'Z' | b'0'..=b'9' | b'_' | b'-' | b'a'..=b'z');
    let end = text.iter().take(TAG_BYTES).position(|byte| !is_part(byte))?;
    let (name, rest) = text.split_at(end);
    let rest = rest.strip_prefix(b" ").unwrap_or(rest).strip_prefix(b":")?;
    let mut parts = name.rsplit(|byte| *byte == b'-');
    let mnemonic = parts.next()?;
    let severity = parts.next()?;
    let is_mnemonic = !mnemonic.is_empty()
        && matches!(severity, [b'0'..=b'7'])
        && parts.clone().next().is_some()
        && parts.all(|part| !part.is_empty())
        && name[0].is_ascii_uppercase();
    is_mnemonic.then(|| (name, skip_blanks(rest)))
}

/// The host that a text begins with, and what follows its blank.
#[inline]
pub fn read_host(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = text.iter().position(|byte| *byte <= b' ')?;
    let (host, rest) = text.split_at(end);
    let is_host = match host {
        [b'[', address @ .., b']'] => {
            address.iter().all(|byte| byte.is_ascii_hexdigit() || *byte == b':')
        }
        [first, ..] => {
            IS_HOST[usize::from(*first)]
                && !b".-%/".contains(first)
                && host.iter().all(|byte| IS_HOST[usize::from(*byte)])
        }
        [] => false,
    };
    (is_host && rest[0] == b' ').then(|| (host, skip_blanks(rest)))
}

/// Bytes that stand in names and addresses of hosts, with their zones and networks.
const IS_HOST: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < table.len() {
        // There are 256.
        #[allow(clippy::cast_possible_truncation)]
        let value = byte as u8;
        table[byte] = value.is_ascii_alphanumeric()
            || value >= 0x80
            || matches!(value, b'.' | b'-' | b'_' | b':' | b'%' | b'/');
        byte += 1;
    }
    table
};
