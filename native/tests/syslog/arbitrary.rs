//! Whatever is sent, there is an event that the decoder takes, or a reason. What was made from
//! known parts comes back as these parts.

use std::sync::LazyLock;

use _native::decode::{Blind, Decoder};
use _native::reject::Reject;
use _native::syslog::{Options, Syslog, Unparsed, recognise};
use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::{LIMITS, cases};

static MESSAGES: LazyLock<Vec<Vec<u8>>> =
    LazyLock::new(|| cases().into_iter().map(|case| case.message).collect());

/// Decodes a message both ways and says what must be true of every outcome.
fn check(message: &[u8]) {
    recognise(message);
    let may_be_json = message.contains(&b'{') || message.windows(5).any(|word| word == b"@cee:");
    for unparsed in [Unparsed::DeadLetter, Unparsed::Keep] {
        let options = Options { time_zone: "Europe/Berlin", unparsed, limits: LIMITS };
        let mut syslog = Syslog::new(&options).unwrap();
        syslog.begin(1_795_348_800_000_000_000);
        let mut out = b"before".to_vec();
        let decoded = syslog.decode(message, &mut out);
        let event = out.strip_prefix(b"before").unwrap();
        if let Err(reject) = decoded {
            assert_eq!(event, b"");
            assert!(unparsed == Unparsed::DeadLetter || may_be_json, "{reject:?}");
            continue;
        }
        assert!(event.len() <= 6 * message.len() + 600, "{} of {}", event.len(), message.len());
        assert!(!event.contains(&b'\n'));
        let mut canonical = vec![];
        match Decoder::new(LIMITS).decode(event, false, &mut Blind, &mut canonical) {
            Ok(_) => {}
            // What a sender's object can do to the event as a whole.
            Err(Reject::TooManyKeys | Reject::TooDeep | Reject::DuplicateKey) => {
                assert!(may_be_json);
            }
            Err(reject) => panic!("{reject:?}: {}", String::from_utf8_lossy(event)),
        }
    }
}

/// Pieces that messages are made of, whole and broken.
fn pieces() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop::sample::select(
        [
            "<13>",
            "<999>",
            "1 ",
            "2 ",
            "- ",
            "-",
            " ",
            ":",
            ": ",
            "[",
            "]",
            "=",
            "\"",
            "\\",
            "\\\"",
            "\\]",
            "|",
            "CEF:0|",
            "a|",
            "a=b ",
            "@cee: ",
            "{\"msg\":\"x\"",
            "{",
            "}",
            ",",
            "\"a\":1",
            "2026-11-22T00:04:06.5Z ",
            "Nov 22 00:04:06 ",
            "2026 ",
            "CET ",
            "host ",
            "tag[1]: ",
            "%SYS-5-CONFIG: ",
            "*",
            "12: ",
            "[x@1 a=\"b\"",
            "a=\"c\"",
            "\n",
            "\0",
            "\t",
            "é",
            "\u{feff}",
            "\u{1}",
        ]
        .map(|piece| piece.as_bytes().to_vec())
        .into_iter()
        .chain([vec![0xff], vec![0xe2, 0x82]])
        .collect::<Vec<_>>(),
    );
    prop::collection::vec(piece, 0..40).prop_map(|pieces| pieces.concat())
}

/// Without quotes, brackets and blanks, a name of structured data.
fn name() -> impl Strategy<Value = String> {
    "[a-c@é]{1,2}"
}

fn elements() -> impl Strategy<Value = Vec<(String, Vec<(String, String)>)>> {
    let parameter = (name(), any::<String>());
    prop::collection::vec((name(), prop::collection::vec(parameter, 0..12)), 1..6)
}

/// Adds a value to what has the same name.
fn add(object: &mut Map<String, Value>, name: &str, value: &str) {
    match object.get_mut(name) {
        None => {
            object.insert(name.to_owned(), json!(value));
        }
        Some(Value::Array(values)) => values.push(json!(value)),
        Some(first) => *first = json!([first.clone(), value]),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    /// Of any bytes.
    #[test]
    fn arbitrary_bytes_become_an_event_or_are_rejected(
        message in prop::collection::vec(any::<u8>(), 0..200),
    ) {
        check(&message);
    }

    /// Of anything made of what means something.
    #[test]
    fn arbitrary_pieces_become_an_event_or_are_rejected(message in pieces()) {
        check(&message);
    }

    /// Of messages of the corpus with a few bytes changed, cut off or doubled.
    #[test]
    fn damaged_messages_become_an_event_or_are_rejected(
        choice in any::<prop::sample::Index>(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0..4), 1..4),
    ) {
        let mut message = MESSAGES[choice.index(MESSAGES.len())].clone();
        for (place, byte, change) in changes {
            if message.is_empty() {
                break;
            }
            let at = place.index(message.len());
            match change {
                0 => message[at] = byte,
                1 => message.truncate(at),
                2 => message.insert(at, byte),
                _ => message.extend_from_within(at..),
            }
        }
        check(&message);
    }
}

proptest! {
    /// Structured data comes back under its names, whatever its values hold.
    #[test]
    fn structured_data_comes_back(elements in elements(), text in any::<String>()) {
        let mut message = String::from("<14>1 - h a - - ");
        let mut expected = Map::new();
        for (id, parameters) in &elements {
            message.extend(["[", id]);
            let object = expected.entry(id.clone()).or_insert_with(|| json!({}));
            for (name, value) in parameters {
                let escaped = value.replace('\\', "\\\\").replace('"', "\\\"").replace(']', "\\]");
                message.extend([" ", name, "=\"", &escaped, "\""]);
                add(object.as_object_mut().unwrap(), name, value);
            }
            message += "]";
        }
        message.extend([" .", &text, "."]);
        let options =
            Options { time_zone: "UTC", unparsed: Unparsed::DeadLetter, limits: LIMITS };
        let mut out = vec![];
        Syslog::new(&options).unwrap().decode(message.as_bytes(), &mut out).unwrap();
        let event: Value = serde_json::from_slice(&out).unwrap();
        prop_assert_eq!(&event["data"], &Value::Object(expected));
        prop_assert_eq!(&event["message"], &json!(format!(".{text}.")));
    }
}
