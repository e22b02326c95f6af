//! RFC 3164 and what is sent in its name: every part before the text may be missing, and devices
//! put parts of their own in between. What is not recognised stays in the text.

use super::message::{Message, skip_blanks};
use super::payload::is_payload;
use super::tag::{Tag, read_host, read_mnemonic, read_tag};
use super::timestamp::{Civil, Timestamp, Zone, is_end, read_bsd, read_epoch, read_iso};

/// Words with a colon that may stand before the time of a network device.
const PREFIXES: usize = 3;
const PREFIX_BYTES: usize = 64;

/// Reads what follows the priority, if there was one, into `message`.
pub fn read<'a>(text: &'a [u8], message: &mut Message<'a>) {
    let text = skip_blanks(text);
    let rest = read_head(text, message);
    let has_time = message.timestamp.is_some();
    let rest = match rest {
        // The time of a network device ends with a colon, and no host follows.
        [b':', rest @ ..] if has_time => skip_blanks(rest),
        _ if has_time && message.hostname.is_empty() => read_sender(skip_blanks(rest), message),
        _ => skip_blanks(rest),
    };
    read_body(rest, message);
    message.header = &text[..text.len() - message.text.len()];
}

/// Whether a text without a priority begins as only syslog does: with a time and a tag behind it.
pub fn has_header(text: &[u8]) -> bool {
    let mut message = Message::default();
    if read_mnemonic(text).is_some() {
        return true;
    }
    read(text, &mut message);
    message.timestamp.is_some() && !(message.logger.is_empty() && message.msgid.is_empty())
}

/// The time, and what may stand before it; returns what follows.
#[inline]
fn read_head<'a>(text: &'a [u8], message: &mut Message<'a>) -> &'a [u8] {
    if let Some(rest) = read_time(text, message) {
        return rest;
    }
    read_prefixed(text, message).unwrap_or(text)
}

#[inline]
fn read_time<'a>(text: &'a [u8], message: &mut Message<'a>) -> Option<&'a [u8]> {
    let (marked, clock) = match text {
        [b'*', rest @ ..] => (rest, "not_authoritative"),
        [b'.', rest @ ..] => (rest, "not_synchronized"),
        _ => (text, ""),
    };
    let found = read_bsd(marked).or_else(|| read_iso(marked));
    let (timestamp, rest) = found.filter(|(_, rest)| is_end(rest))?;
    message.timestamp = Some(timestamp);
    message.clock = clock;
    Some(rest)
}

/// `45: router7: *Mar  1 18:46:11.123: `, in which each word may be missing but not the time or
/// a mnemonic; or the version and epoch of Meraki.
#[inline(never)]
fn read_prefixed<'a>(text: &'a [u8], message: &mut Message<'a>) -> Option<&'a [u8]> {
    if let [b'1', b' ', rest @ ..] = text
        && let Some((seconds, fraction, rest)) = read_epoch(rest)
    {
        message.timestamp = Some(Timestamp::Civil(Civil::of_epoch(seconds, fraction)));
        return Some(rest);
    }
    // Some put a colon before the first word.
    let mut rest = skip_blanks(text.strip_prefix(b":").unwrap_or(text));
    let mut found = Message::default();
    if rest.len() < text.len()
        && let Some(behind) = read_time(rest, message)
    {
        return Some(behind);
    }
    for _ in 0..PREFIXES {
        let length =
            rest.iter().take(PREFIX_BYTES).position(|byte| matches!(byte, b':' | ..=b' '))?;
        let (word, behind) = rest.split_at(length);
        let behind = skip_blanks(behind.strip_prefix(b":")?);
        if word.is_empty() {
            return None;
        } else if word.iter().all(u8::is_ascii_digit) {
            let start = text.len() - rest.len();
            let from = if found.sequence.is_empty() { start } else { 0 };
            found.sequence = &text[from..start + length];
        } else if word.contains(&b'/') {
            found.node = word;
        } else if word.iter().all(|byte| byte.is_ascii_alphanumeric() || b".-_".contains(byte)) {
            found.hostname = word;
        } else {
            return None;
        }
        rest = behind;
        let behind_time = read_time(rest, &mut found);
        if behind_time.is_some() || read_mnemonic(rest).is_some() {
            message.timestamp = found.timestamp;
            (message.clock, message.sequence) = (found.clock, found.sequence);
            (message.node, message.hostname) = (found.node, found.hostname);
            return Some(behind_time.unwrap_or(rest));
        }
    }
    None
}

/// What AIX puts before the host.
const FORWARDED: &[u8] = b"Message forwarded from ";

/// The host behind a time, unless a tag or the text stands there; returns what follows.
#[inline]
fn read_sender<'a>(rest: &'a [u8], message: &mut Message<'a>) -> &'a [u8] {
    if is_payload(rest)
        || rest.starts_with(b"last message repeated ")
        || rest.starts_with(b"message repeated ")
        || read_mnemonic(rest).is_some()
    {
        return rest;
    }
    let forwarded = rest.strip_prefix(FORWARDED);
    let rest = forwarded.unwrap_or(rest);
    if let Some(tag) = read_tag(rest) {
        if forwarded.is_none() && !is_host_with_colon(&tag) {
            return rest;
        }
        message.hostname = tag.name;
        return tag.rest;
    }
    let Some((host, behind)) = read_host(rest) else { return rest };
    let (host, behind) = match behind {
        [b':', b' ', behind @ ..] => (host, skip_blanks(behind)),
        _ => (host.strip_suffix(b":").unwrap_or(host), behind),
    };
    message.hostname = host;
    behind
}

/// Of `host: tag[pid]: text` and `tag: text` the first: an address, or another tag follows that
/// can be nothing else.
fn is_host_with_colon(tag: &Tag<'_>) -> bool {
    tag.pid.is_empty()
        && (tag.name.iter().all(|byte| byte.is_ascii_digit() || *byte == b'.')
            || read_mnemonic(tag.rest).is_some()
            || read_tag(tag.rest).is_some_and(|next| !next.pid.is_empty()))
}

/// The tag and the text.
#[inline]
fn read_body<'a>(rest: &'a [u8], message: &mut Message<'a>) {
    message.text = rest;
    let is_bare = message.priority.is_none() && message.timestamp.is_none();
    if !is_payload(rest)
        && let Some(tag) = read_tag(rest)
        // With nothing else of syslog, a word with a colon is part of the text.
        && !(is_bare && tag.pid.is_empty())
    {
        (message.logger, message.procid, message.text) = (tag.name, tag.pid, tag.rest);
    }
    if let Some((mnemonic, text)) = read_mnemonic(message.text) {
        (message.msgid, message.text) = (mnemonic, text);
    }
}

impl Civil<'_> {
    /// Of seconds since 1970, in UTC.
    fn of_epoch(seconds: i64, fraction: &[u8]) -> Civil<'_> {
        let (year, month, day) = crate::clock::civil_date(seconds.unsigned_abs() / 86_400);
        #[allow(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "each is below 60"
        )]
        let part = |unit: i64, size: i64| (seconds / unit % size) as u8;
        let [month, day] = [month, day].map(|part| u8::try_from(part).unwrap_or(1));
        Civil {
            year: i64::try_from(year).ok(),
            month,
            day,
            hour: part(3600, 24),
            minute: part(60, 60),
            second: part(1, 60),
            fraction,
            zone: Zone::Offset(0),
        }
    }
}
