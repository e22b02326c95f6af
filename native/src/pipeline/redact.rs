//! The redactors, one after the other over the notes on an event. Each sees what the one before
//! it made of a value: once something is masked it is a string like any other.

use super::config::Kernel;
use super::tape::{StringInterest, Tape};
use super::url;
use crate::text::{inside, offset_of_character, unescape, write_string};

/// What stands at the end of a string that was cut.
const CUT: &[u8] = b"[truncated]";

enum Action {
    /// What has the stage's bit becomes this JSON string.
    Mask(Vec<u8>),
    /// URLs lose their credentials.
    StripUrls,
    /// Longer strings are cut to this many characters.
    Cut(usize),
}

/// One redactor of the pipeline.
pub struct Redactor {
    /// The stage's position in the pipeline.
    pub stage: usize,
    /// Values it changed, until somebody counts them.
    pub changed: u64,
    bit: u32,
    action: Action,
}

impl Redactor {
    /// The redactor of a kernel that is one; `bit` is its own among the masks of a place.
    pub fn new(stage: usize, bit: u32, kernel: &Kernel) -> Option<Self> {
        let mask = |mask: &str| {
            let mut json = Vec::new();
            write_string(mask, &mut json);
            Action::Mask(json)
        };
        let action = match kernel {
            Kernel::FieldMask(config) => mask(&config.mask_string),
            Kernel::RegexMask(config) => mask(&config.mask_string),
            Kernel::FieldBlocker(config) => mask(&config.replacement),
            Kernel::UrlCredentials(_) => Action::StripUrls,
            Kernel::StringTruncate(config) => Action::Cut(config.max_string_length?),
            _ => return None,
        };
        Some(Self { stage, changed: 0, bit, action })
    }

    /// Which strings it wants to see, whatever their place.
    pub fn strings(&self) -> StringInterest {
        match self.action {
            Action::Mask(_) => StringInterest::default(),
            Action::StripUrls => StringInterest { urls: true, longer_than: None },
            Action::Cut(most) => StringInterest { urls: false, longer_than: Some(most) },
        }
    }

    /// Changes the event.
    #[inline]
    pub fn apply(&mut self, tape: &mut Tape, text: &[u8]) {
        match &self.action {
            Action::Mask(mask) => {
                if tape.masks & self.bit != 0 {
                    self.changed += mask_all(tape, text, self.bit, mask);
                }
            }
            Action::StripUrls => self.changed += each_string(tape, text, strip_url),
            Action::Cut(most) => {
                self.changed += each_string(tape, text, |string, out| cut(string, *most, out));
            }
        }
    }
}

fn mask_all(tape: &mut Tape, text: &[u8], bit: u32, mask: &[u8]) -> u64 {
    each_value(tape, |tape, index| {
        let entry = &tape.entries[index];
        let is_changed = entry.masks & bit != 0 && tape.current(entry, text) != mask;
        if is_changed {
            tape.replace(index, mask);
        }
        is_changed
    })
}

/// Hands on every string that is noted, with its quotes, and a place for the JSON text that it
/// becomes. Where that stays empty the string stays as it is.
fn each_string(tape: &mut Tape, text: &[u8], mut change: impl FnMut(&[u8], &mut Vec<u8>)) -> u64 {
    each_value(tape, |tape, index| {
        let mut made = Vec::new();
        let current = tape.current(&tape.entries[index], text);
        if current.first() == Some(&b'"') {
            change(current, &mut made);
        }
        if !made.is_empty() {
            tape.replace(index, &made);
        }
        !made.is_empty()
    })
}

/// Hands on every noted value that is still there and may be changed; how many were. In a value
/// that was replaced as a whole there are none.
#[inline]
fn each_value(tape: &mut Tape, mut change: impl FnMut(&mut Tape, usize) -> bool) -> u64 {
    let (mut changed, mut covered) = (0, 0);
    for index in 0..tape.entries.len() {
        let entry = tape.entries[index];
        if entry.start < covered {
            continue;
        }
        changed += u64::from(!entry.is_final && change(tape, index));
        if tape.entries[index].is_replaced() {
            covered = entry.end;
        }
    }
    changed
}

/// Writes a URL without its credentials, if it has any.
pub(super) fn strip_url(string: &[u8], out: &mut Vec<u8>) {
    if !url::may_hold_credentials(inside(string)) {
        return;
    }
    let mut decoded = Vec::new();
    unescape(string, &mut decoded);
    let mut stripped = String::new();
    if url::strip_credentials(&String::from_utf8_lossy(&decoded), &mut stripped) {
        write_string(&stripped, out);
    }
}

/// Writes the first characters of a string and the mark, if it has more.
fn cut(string: &[u8], most: usize, out: &mut Vec<u8>) {
    let inside = inside(string);
    // No character is shorter than a byte.
    if inside.len() <= most {
        return;
    }
    let at = offset_of_character(inside, most);
    if at < inside.len() {
        out.push(b'"');
        out.extend_from_slice(&inside[..at]);
        out.extend_from_slice(CUT);
        out.push(b'"');
    }
}
