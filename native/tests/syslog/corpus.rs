//! Reads the files of cases: each a message as it was sent, and the event that it is.

use std::path::Path;

/// A message and what must become of it.
#[derive(Debug, Default, Clone)]
pub struct Case {
    /// File and line.
    pub place: String,
    pub zone: String,
    pub received: String,
    pub keep: bool,
    pub message: Vec<u8>,
    /// The event, or `reject` and the reason.
    pub expected: String,
}

/// A line is a word and its argument. `zone`, `received` and `unparsed` hold for the cases that
/// follow in the file; `text` is a message as it stands, `bytes` one with escapes; `event` or
/// `reject` ends the case.
pub fn read(file: &Path) -> Vec<Case> {
    let text = std::fs::read_to_string(file).unwrap();
    let name = file.file_name().unwrap().to_string_lossy();
    let mut cases = vec![];
    let mut case = Case {
        zone: "UTC".to_owned(),
        received: "2026-11-22T12:00:00Z".to_owned(),
        ..Case::default()
    };
    for (number, line) in text.lines().enumerate() {
        let (word, argument) = line.split_once(' ').unwrap_or((line, ""));
        let place = format!("{name}:{}", number + 1);
        match word {
            "" | "#" => {}
            "zone" => argument.clone_into(&mut case.zone),
            "received" => argument.clone_into(&mut case.received),
            "unparsed" => case.keep = argument == "keep",
            "text" => (case.place, case.message) = (place, argument.as_bytes().to_vec()),
            "bytes" => (case.place, case.message) = (place, unescape(argument)),
            "event" | "reject" => {
                line.strip_prefix("event ").unwrap_or(line).clone_into(&mut case.expected);
                cases.push(case.clone());
                case.message.clear();
            }
            _ => panic!("{place}: what is {word:?}?"),
        }
    }
    cases
}

/// `\n`, `\r`, `\t`, `\0`, `\\` and `\xff`.
fn unescape(text: &str) -> Vec<u8> {
    let mut bytes = vec![];
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'\\' {
            bytes.push(byte);
            continue;
        }
        bytes.push(match rest.next().unwrap() {
            b'n' => b'\n',
            b'r' => b'\r',
            b't' => b'\t',
            b'0' => 0,
            b'x' => {
                let digits = [rest.next().unwrap(), rest.next().unwrap()];
                u8::from_str_radix(std::str::from_utf8(&digits).unwrap(), 16).unwrap()
            }
            same => same,
        });
    }
    bytes
}
