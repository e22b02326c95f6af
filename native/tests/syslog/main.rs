//! Syslog as it is sent becomes the events that are written down beside it.

#![allow(clippy::unwrap_used, clippy::panic)] // in a test they are how it fails

mod arbitrary;
mod corpus;

use std::path::Path;

use _native::decode::{Blind, Decoder, Limits};
use _native::reject::Reject;
use _native::syslog::{Dialect, Options, Syslog, Unparsed, recognise};
use corpus::Case;

const LIMITS: Limits = Limits { depth: 16, keys: 256 };

fn cases() -> Vec<Case> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/syslog");
    let mut files: Vec<_> = std::fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "txt"))
        .collect();
    files.sort();
    files.iter().flat_map(|file| corpus::read(file)).collect()
}

fn decode(case: &Case) -> String {
    let unparsed = if case.keep { Unparsed::Keep } else { Unparsed::DeadLetter };
    let options = Options { time_zone: &case.zone, unparsed, limits: LIMITS };
    let mut syslog = Syslog::new(&options).unwrap();
    let received: jiff::Timestamp = case.received.parse().unwrap();
    syslog.begin(u64::try_from(received.as_nanosecond()).unwrap());
    let mut out = vec![];
    match syslog.decode(&case.message, &mut out) {
        Ok(()) => String::from_utf8(out).unwrap(),
        Err(reject) => format!("reject {}", reject.name()),
    }
}

/// Every message of the corpus is the event beside it, to the byte.
#[test]
fn the_corpus_is_read_as_it_is_written_down() {
    let wrong: Vec<String> = cases()
        .iter()
        .map(|case| (case, decode(case)))
        .filter(|(case, found)| *found != case.expected)
        .map(|(case, found)| {
            format!("{}\n  is     {found}\n  not    {}", case.place, case.expected)
        })
        .collect();
    assert!(wrong.is_empty(), "{} of the corpus:\n{}", wrong.len(), wrong.join("\n"));
}

/// The decoder, through which every event goes, finds nothing to reject or to change.
#[test]
fn the_events_of_the_corpus_are_canonical() {
    let mut decoder = Decoder::new(LIMITS);
    for case in cases().iter().filter(|case| !case.expected.starts_with("reject ")) {
        let mut out = vec![];
        let edits = decoder.decode(case.expected.as_bytes(), false, &mut Blind, &mut out);
        assert!(edits.is_ok(), "{}: {edits:?}", case.place);
        assert_eq!(String::from_utf8(out).unwrap(), case.expected, "{}", case.place);
    }
}

/// There are enough of them to say something about the world.
#[test]
fn the_corpus_has_two_hundred_messages_of_real_life() {
    let real = cases().iter().filter(|case| !case.place.starts_with("rfc")).count();
    assert!(real >= 200, "{real}");
}

/// On a listener of several formats each message with a priority is taken for syslog, and
/// nothing else that does not say so.
#[test]
fn what_has_a_priority_is_recognised() {
    for case in cases().iter().filter(|case| case.message.starts_with(b"<")) {
        let has_priority =
            !case.expected.contains("invalid_priority") && case.expected.contains("\"facility\":");
        if has_priority {
            assert_eq!(recognise(&case.message), Dialect::Syslog, "{}", case.place);
        }
    }
}

/// Without a priority, syslog is recognised by what nothing else begins with. The pieces that a
/// JSON event falls into when it is torn are not: their secrets would escape redaction.
#[test]
fn without_a_priority_only_a_whole_header_is_recognised() {
    for syslog in [
        "Oct 11 22:14:15 web01 sshd[12]: Accepted publickey for ada",
        "Oct 11 22:14:15 sshd[12]: Accepted publickey for ada",
        "2026-11-22T00:04:06.035Z web01 app: started",
        "2026-11-22 00:04:06 web01 app[7]: started",
        "000045: *Mar  1 18:46:11.123 UTC: %SYS-5-CONFIG_I: Configured from console",
        "%ASA-6-302013: Built outbound TCP connection",
        "CEF:0|Example|Gateway|1.0|100|Blocked|5|src=192.0.2.1",
        "@cee: {\"msg\":\"hello\"}",
        "\u{feff}<13>hello",
        "  <13>hello",
    ] {
        assert_eq!(recognise(syslog.as_bytes()), Dialect::Syslog, "{syslog}");
    }
    for json in ["{}", " \t{\"a\":1}", "{broken", "\r\n{\"a\":1}"] {
        assert_eq!(recognise(json.as_bytes()), Dialect::Json, "{json}");
    }
    let event = concat!(
        "{\"timestamp\":\"2026-11-22T00:04:06.035Z\",\"message\":\"Oct 11 22:14:15 web01 app[1]: all is well\",",
        "\"data\":{\"password\":\"a: b[1]: c <13> d\",\"at\":\"CEF:0|a|b|c|d|e|5|f=g\",\"x\":[-1,true]}}",
    );
    for start in 1..event.len() {
        let piece = &event[start..];
        let expected = if piece.starts_with("<13>") || piece.starts_with(" <13>") {
            // A priority is all that most syslog has.
            Dialect::Syslog
        } else if piece.starts_with('{') {
            Dialect::Json
        } else {
            Dialect::Unknown
        };
        assert_eq!(recognise(piece.as_bytes()), expected, "{piece}");
    }
    for other in [
        "",
        " ",
        "hello",
        "<999>hello",
        "<13",
        "GET / HTTP/1.1",
        "[1,2]",
        "note: read this",
        "1 2 3",
    ] {
        assert_eq!(recognise(other.as_bytes()), Dialect::Unknown, "{other}");
    }
}

/// What is neither JSON nor syslog is a dead letter or kept with a mark, as configured.
#[test]
fn unknown_frames_are_rejected_or_kept() {
    let decode = |unparsed, frame: &[u8]| {
        let options = Options { time_zone: "UTC", unparsed, limits: LIMITS };
        let mut out = vec![];
        let decoded = Syslog::new(&options).unwrap().decode_unknown(frame, &mut out);
        decoded.map(|()| String::from_utf8(out).unwrap()).map_err(Reject::name)
    };
    let expected = r#"{"message":"say \"x\"","diagnostics":{"parse_error":"unknown_format"}}"#;
    assert_eq!(decode(Unparsed::Keep, b"say \"x\"").unwrap(), expected);
    let expected =
        "{\"message\":\"\u{fffd}\",\"diagnostics\":{\"parse_error\":\"unknown_format\"}}";
    assert_eq!(decode(Unparsed::Keep, b"\xff").unwrap(), expected);
    assert_eq!(decode(Unparsed::DeadLetter, b"x"), Err("unknown_format"));
}

/// A time zone that does not exist is a mistake of the configuration.
#[test]
fn time_zones_are_checked() {
    let is_zone = |time_zone| {
        let options = Options { time_zone, unparsed: Unparsed::Keep, limits: LIMITS };
        Syslog::new(&options).is_ok()
    };
    for zone in ["UTC", "Europe/Berlin", "+02:00", "-09:30", "Asia/Kolkata"] {
        assert!(is_zone(zone), "{zone}");
    }
    for zone in ["", "Mars/Olympus", "+2", "02:00", "+24:00", "+02:60", "+ab:cd"] {
        assert!(!is_zone(zone), "{zone}");
    }
}
