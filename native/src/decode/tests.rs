//! The promises of the decoder: tables of single cases, and comparison with a slow oracle.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};

use super::{Blind, Decoder, Edits, Limits, Source};
use crate::reject::Reject;

mod oracle;

const LIMITS: Limits = Limits { depth: 64, keys: 1024 };

/// Whether it is the first line or the next one like it.
fn decode_within(limits: Limits, line: &[u8]) -> Result<(String, Edits), Reject> {
    let mut decoder = Decoder::new(limits);
    let first = decode_with(&mut decoder, line);
    assert_eq!(decode_with(&mut decoder, line), first, "{}", String::from_utf8_lossy(line));
    let rest = &line[line.len() / 2..];
    for behind in [b"\n", b"\0", b"\t", b"}", b"\"", b",", b"7".as_slice(), rest] {
        if let Some(event) = recognise_before(&mut decoder, line, behind) {
            assert_eq!(first, Ok((event, Edits::default())));
        }
    }
    first
}

/// What a decoder sees at once of a line that lies between others.
fn recognise(decoder: &mut Decoder, line: &[u8]) -> Option<String> {
    recognise_before(decoder, line, b"\n")
}

/// The same with such bytes behind the line.
fn recognise_before(decoder: &mut Decoder, line: &[u8], behind: &[u8]) -> Option<String> {
    let bytes = [line, behind, line, b"\"}],\"", &[b'7'; 64]].concat();
    let is_utf8 = str::from_utf8(line).is_ok();
    let event = decoder.recognise(&Source::within(&bytes, line.len(), is_utf8), &mut Blind)?;
    Some(String::from_utf8(event.to_vec()).expect("UTF-8"))
}

fn decode_with(decoder: &mut Decoder, line: &[u8]) -> Result<(String, Edits), Reject> {
    let mut out = b"before".to_vec();
    let edits = decoder.decode(line, false, &mut Blind, &mut out);
    let event = out.strip_prefix(b"before").expect("what was there stays").to_vec();
    if edits.is_err() {
        assert!(event.is_empty(), "a rejected line leaves nothing");
    }
    Ok((String::from_utf8(event).expect("UTF-8"), edits?))
}

fn decode(line: impl AsRef<[u8]>) -> Result<String, Reject> {
    decode_within(LIMITS, line.as_ref()).map(|(event, _)| event)
}

#[test]
fn valid_values_are_kept_to_the_byte() {
    for value in [
        "null",
        "true",
        "false",
        "0",
        "-0",
        "-1",
        "10",
        "1.0",
        "-0.0",
        "1e2",
        "1E+2",
        "0e-0",
        "1.5e-7",
        "1e-400",
        "0e999999999",
        "1.7976931348623157e308",
        "18446744073709551615",
        "-9223372036854775808",
        "0.1234567890123456789012345678901234567890",
        "\"\"",
        "\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"",
        "\"\\u0000\\u001f\\uD83D\\uDE00\\ufFfF\"",
        "\"\u{7f}é😀\"",
        "[]",
        "{}",
        "[[]]",
        "[{}]",
        "[1,[2,[3]]]",
        "{\"\":{\"\":{}}}",
        "[ ]",
        "{ }",
        "[ 1 , 2 ]",
        "{ \"a\" : 1 , \"b\" : [ ] }",
        "{\"a\":{\"a\":1},\"b\":{\"a\":1}}",
        "[true,false,null]",
    ] {
        let line = format!("{{\"x\":{value}}}");
        assert_eq!(decode(&line), Ok(line.clone()), "{line}");
        let line = format!("{{\"x\":[{value},{value}],\"y\":{value}}}");
        assert_eq!(decode(&line), Ok(line.clone()), "{line}");
    }
    let long = format!("{{\"x\":0.{}}}", "7".repeat(5_000));
    assert_eq!(decode(&long), Ok(long.clone()));
    let long = format!("{{\"x\":1{}.5e-5000}}", "0".repeat(5_000));
    assert_eq!(decode(&long), Ok(long.clone()));
}

#[test]
fn invalid_values_are_rejected() {
    use Reject::{DuplicateKey, InvalidJson, LoneSurrogate, NumberOutOfRange};
    for (value, reason) in [
        ("", InvalidJson),
        ("nul", InvalidJson),
        ("nulll", InvalidJson),
        ("True", InvalidJson),
        ("fals", InvalidJson),
        ("NaN", InvalidJson),
        ("Infinity", InvalidJson),
        ("'a'", InvalidJson),
        ("01", InvalidJson),
        ("-01", InvalidJson),
        ("-", InvalidJson),
        ("+1", InvalidJson),
        (".5", InvalidJson),
        ("1.", InvalidJson),
        ("1.e1", InvalidJson),
        ("1e", InvalidJson),
        ("1e+", InvalidJson),
        ("0x10", InvalidJson),
        ("1 2", InvalidJson),
        ("1\u{c}", InvalidJson),
        ("[1,]", InvalidJson),
        ("[,1]", InvalidJson),
        ("[1 2]", InvalidJson),
        ("[1}", InvalidJson),
        ("[1", InvalidJson),
        ("]", InvalidJson),
        ("{\"a\":1,}", InvalidJson),
        ("{,}", InvalidJson),
        ("{\"a\"}", InvalidJson),
        ("{\"a\" 1}", InvalidJson),
        ("{\"a\":}", InvalidJson),
        ("{\"a\":1]", InvalidJson),
        ("{1:1}", InvalidJson),
        ("{a:1}", InvalidJson),
        ("{\"a\":1 \"b\":2}", InvalidJson),
        ("{\"a\"::1}", InvalidJson),
        ("\"a", InvalidJson),
        ("\"a\\", InvalidJson),
        ("\"a\\\"", InvalidJson),
        ("\"\\x\"", InvalidJson),
        ("\"\\u12\"", InvalidJson),
        ("\"\\u12g4\"", InvalidJson),
        ("\"\\ud800\\u12\"", InvalidJson),
        ("\"\t\"", InvalidJson),
        ("\"\n\"", InvalidJson),
        ("\"\0\"", InvalidJson),
        ("\0", InvalidJson),
        ("1 /* no */", InvalidJson),
        ("\"\\ud800\"", LoneSurrogate),
        ("\"\\udc00\"", LoneSurrogate),
        ("\"\\udc00\\ud800\"", LoneSurrogate),
        ("\"\\ud800\\ud800\"", LoneSurrogate),
        ("\"\\ud800\\n\"", LoneSurrogate),
        ("{\"\\ud800\":1}", LoneSurrogate),
        ("18446744073709551616", NumberOutOfRange),
        ("-9223372036854775809", NumberOutOfRange),
        ("100000000000000000000000", NumberOutOfRange),
        ("1e309", NumberOutOfRange),
        ("-1e999999", NumberOutOfRange),
        ("1.8e308", NumberOutOfRange),
        ("{\"a\":1,\"a\":2}", DuplicateKey),
        ("{\"\":1,\"\":2}", DuplicateKey),
        ("{\"password\":1,\"pass\\u0077ord\":2}", DuplicateKey),
        ("{\"pass\\u0077ord\":1,\"password\":2}", DuplicateKey),
        ("{\"\\u0061\":1,\"\\u0061\":2}", DuplicateKey),
        ("{\"b\":1,\"a\":{\"b\":1},\"b\":2}", DuplicateKey),
        ("{\"a long key, so long\":1,\"c\":2,\"a long key, so \\u006cong\":2}", DuplicateKey),
    ] {
        let line = format!("{{\"x\":{value}}}");
        assert_eq!(decode(&line), Err(reason), "{line}");
    }
    let digits = format!("{{\"x\":{}.5}}", "9".repeat(400));
    assert_eq!(decode(digits), Err(NumberOutOfRange));
}

#[test]
fn lines_that_are_no_object() {
    for line in ["", " ", "1", "[]", "\"{}\"", "hello", "\u{feff}{}", "\0{}", "\u{c}{}", "}"] {
        assert_eq!(decode(line), Err(Reject::NotAnObject), "{line:?}");
    }
    for line in ["{", "{}}", "{}{}", "{},", "{\"a\":1}x", "{}\0", "{}\u{c}", "{\"a\":1", "{\"a\""] {
        assert_eq!(decode(line), Err(Reject::InvalidJson), "{line:?}");
    }
}

#[test]
fn every_truncation_is_rejected() {
    let line = br#"{"message":"a\u00e9\"b","data":{"x":[1,2.5e3,true,null,{}]},"context":"c"}"#;
    for length in 1..line.len() {
        let cut = &line[..length];
        assert_eq!(decode(cut), Err(Reject::InvalidJson), "{}", String::from_utf8_lossy(cut));
    }
}

#[test]
fn text_that_is_not_utf8_has_precedence() {
    for line in [&b"{\"a\":\"\xff\"}"[..], b"\xff", b"{]\xc3", b"{\"a\":\"\xed\xa0\x80\"}"] {
        assert_eq!(decode(line), Err(Reject::InvalidUtf8));
    }
}

#[test]
fn blanks_around_are_not_kept_and_line_breaks_never() {
    for (line, event) in [
        (" \t\r\n{}\r", "{}"),
        ("{\"a\":1} \r\n", "{\"a\":1}"),
        ("{\r\n  \"a\": [\n1,\n\t2\n]\r\n}", "{  \"a\": [1,\t2]}"),
        ("{\n\"data\"\n:\nnull\n}", "{\"data\":{\"value\":null}}"),
    ] {
        assert_eq!(decode(line).as_deref(), Ok(event), "{line:?}");
    }
}

#[test]
fn canonical_events() {
    for (line, event, control_fields, groups_wrapped, unwrapped) in [
        (r#"{"data":"x"}"#, r#"{"data":{"value":"x"}}"#, 0, 1, false),
        (r#"{"data":null,"b":1}"#, r#"{"data":{"value":null},"b":1}"#, 0, 1, false),
        (r#"{"context":[{}, 2] }"#, r#"{"context":{"value":[{}, 2]} }"#, 0, 1, false),
        (r#"{"context":[ ]}"#, r#"{"context":{"value":[ ]}}"#, 0, 1, false),
        (r#"{"diagnostics" : -1.5 }"#, r#"{"diagnostics" : {"value":-1.5} }"#, 0, 1, false),
        (r#"{"d\u0061ta":1}"#, r#"{"d\u0061ta":{"value":1}}"#, 0, 1, false),
        (r#"{"a":{"data":1},"data":{}}"#, r#"{"a":{"data":1},"data":{}}"#, 0, 0, false),
        (r#"{"data":{"_fapilog_unsafe":{"a":[1]}}}"#, r#"{"data":{}}"#, 1, 0, false),
        (r#"{"data":{"_fapilog_unsafe":1,"a":2}}"#, r#"{"data":{"a":2}}"#, 1, 0, false),
        (r#"{"data":{"a":2 , "_fapilog_unsafe":1}}"#, r#"{"data":{"a":2 }}"#, 1, 0, false),
        (
            r#"{"data":{"_fapilog_unsafe":1,"_fapilog_internal":[ ],"a":3}}"#,
            r#"{"data":{"a":3}}"#,
            2,
            0,
            false,
        ),
        (
            r#"{"data":{"_fapilog_internal":1,"a":3,"_fapilog_unsafe":{}}}"#,
            r#"{"data":{"a":3}}"#,
            2,
            0,
            false,
        ),
        (r#"{"data":{"_fapilog_unsaf\u0065":1}}"#, r#"{"data":{}}"#, 1, 0, false),
        (
            r#"{"d\u0061ta":{"x":1,"\u005ffapilog_unsafe":true,"y":2}}"#,
            r#"{"d\u0061ta":{"x":1,"y":2}}"#,
            1,
            0,
            false,
        ),
        (
            r#"{"data":{"a":{"_fapilog_unsafe":1}},"_fapilog_unsafe":1}"#,
            r#"{"data":{"a":{"_fapilog_unsafe":1}},"_fapilog_unsafe":1}"#,
            0,
            0,
            false,
        ),
        (r#"{"schema_version":"1.1","log":{"a":1}}"#, r#"{"a":1}"#, 0, 0, true),
        (r#"{ "log" : { "a":1 } , "schema_version":"1.1" }"#, r#"{ "a":1 }"#, 0, 0, true),
        (r#"{"schema_version":"","log":{}}"#, "{}", 0, 0, true),
        (
            r#"{"schema_version":"1","log":{"data":{"b":1,"_fapilog_unsafe":0},"context":2}}"#,
            r#"{"data":{"b":1},"context":{"value":2}}"#,
            1,
            1,
            true,
        ),
        (
            r#"{"schema_version":"1","log":{"schema_version":"2","log":{"data":0}}}"#,
            r#"{"data":{"value":0}}"#,
            0,
            1,
            true,
        ),
    ] {
        let edits = Edits { control_fields, groups_wrapped, unwrapped };
        assert_eq!(decode_within(LIMITS, line.as_bytes()), Ok((event.into(), edits)), "{line}");
    }
    for same in [
        r#"{"schema_version":1,"log":{"data":1}}"#,
        r#"{"schema_version":"1","log":[1]}"#,
        r#"{"schema_version":"1","log":{"data":1},"a":1}"#,
        r#"{"log":{"data":{"_fapilog_unsafe":1}}}"#,
        r#"{"schema_version":"1"}"#,
    ] {
        assert_eq!(decode(same).as_deref(), Ok(same));
    }
}

/// A mask that a stage put in the place of a group is no group of a sender.
#[test]
fn events_stay_what_stages_made_of_them() {
    let mut decoder = Decoder::of_events(LIMITS);
    for line in [r#"{"data":"***"}"#, r#"{"schema_version":"1.1","log":{"context":null}}"#] {
        let mut out = Vec::new();
        let edits = decoder.decode(line.as_bytes(), false, &mut Blind, &mut out);
        assert_eq!((edits, out.as_slice()), (Ok(Edits::default()), line.as_bytes()));
    }
    let broken = decoder.decode(b"{\"data\":}", false, &mut Blind, &mut Vec::new());
    assert_eq!(broken, Err(Reject::InvalidJson));
}

#[test]
fn depth_is_limited_in_the_event_that_comes_out() {
    let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    let depth = |depth| Limits { depth, ..LIMITS };
    let fits = |limit, line: String| decode_within(depth(limit), line.as_bytes()).map(|_| ());
    assert_eq!(fits(5, format!("{{\"a\":{}}}", nested(4))), Ok(()));
    assert_eq!(fits(5, format!("{{\"a\":{}}}", nested(5))), Err(Reject::TooDeep));
    assert_eq!(fits(5, format!("{{\"data\":{},\"a\":{}}}", nested(3), nested(4))), Ok(()));
    assert_eq!(fits(5, format!("{{\"data\":{}}}", nested(4))), Err(Reject::TooDeep));
    assert_eq!(fits(0, "{\"data\":1}".into()), Ok(()));
}

#[test]
fn nesting_costs_no_stack() {
    for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
        let line = format!("{{\"x\":{}1{}}}", open.repeat(100_000), close.repeat(100_000));
        assert_eq!(decode(&line), Err(Reject::TooDeep));
        let limits = Limits { depth: u32::MAX, keys: u32::MAX };
        let decoded = decode_within(limits, line.as_bytes());
        assert_eq!(decoded.map(|(event, _)| event), Ok(line));
    }
}

#[test]
fn keys_are_limited() {
    let line = |keys: usize| {
        let members: Vec<String> = (0..keys).map(|key| format!("\"{key}\":{{}}")).collect();
        format!("{{{}}}", members.join(","))
    };
    let limits = Limits { keys: 40, ..LIMITS };
    let decode = |line: &str| decode_within(limits, line.as_bytes()).map(|_| ());
    assert_eq!(decode(&line(40)), Ok(()));
    assert_eq!(decode(&line(41)), Err(Reject::TooManyKeys));
    assert_eq!(decode(&format!("{{\"a\":{},\"b\":{}}}", line(19), line(19))), Ok(()));
    assert_eq!(
        decode(&format!("{{\"a\":{},\"b\":{}}}", line(19), line(20))),
        Err(Reject::TooManyKeys)
    );
    // The key of a wrapped group counts: what comes out fits as well.
    assert_eq!(decode(&format!("{{\"data\":1,\"b\":{}}}", line(37))), Ok(()));
    assert_eq!(decode(&format!("{{\"data\":1,\"b\":{}}}", line(38))), Err(Reject::TooManyKeys));
}

#[test]
fn large_objects_find_duplicates_too() {
    let limits = Limits { keys: 1 << 20, ..LIMITS };
    // The first keys differ only in their middle, where fingerprints do not look.
    for (prefix, count) in [("", 200_000), ("a prefix ", 2_000), ("\\u0061 prefix ", 2_000)] {
        for suffix in ["", " and a suffix"] {
            let key = |key: usize| format!("\"{prefix}{key:06}{suffix}\":0");
            let mut members: Vec<String> = (0..count).map(key).collect();
            let line = format!("{{{}}}", members.join(","));
            assert!(decode_within(limits, line.as_bytes()).is_ok());
            for twin in [0, 31, 32, 33, count - 1] {
                members.insert(count / 2, key(twin));
                let line = format!("{{{}}}", members.join(","));
                let decoded = decode_within(limits, line.as_bytes());
                assert_eq!(decoded, Err(Reject::DuplicateKey), "{twin}");
                members.remove(count / 2);
            }
        }
    }
}

#[test]
fn a_decoder_remembers_nothing() {
    let mut decoder = Decoder::new(LIMITS);
    let mut out = Vec::new();
    for line in ["{\"a\":[[[", "{\"data\":1}", "{\"\\u0061\":", "{\"a\":1}", "{\"log\":{}}", "{}"] {
        let _ = decoder.decode(line.as_bytes(), true, &mut Blind, &mut out);
    }
    assert_eq!(out, br#"{"data":{"value":1}}{"a":1}{"log":{}}{}"#);
}

fn blank() -> impl Strategy<Value = String> {
    prop_oneof![6 => Just(String::new()), 1 => "[ \t\r\n]{0,3}"]
}

fn number() -> impl Strategy<Value = String> {
    prop_oneof![
        "-?(0|[1-9][0-9]{0,4})(\\.[0-9]{1,4})?([eE][+-]?[0-9]{1,3})?",
        "-?[1-9][0-9]{17,20}",
    ]
}

fn string() -> impl Strategy<Value = String> {
    prop_oneof![
        "\"[ -!#-\\[\\]-~]{0,80}\"",
        r#""([a-zé😀 ]|\\["\\/bfnrt]|\\u00[0-7][0-9a-fA-F]|\\ud83d\\uDE00){0,20}""#,
    ]
}

fn key() -> impl Strategy<Value = String> {
    prop_oneof![
        3 => select(vec![
            "context", "diagnostics", "data", "d\\u0061ta", "log", "schema_version", "message",
            "_fapilog_unsafe", "_fapilog_internal", "_fapilog\\u005funsafe", "value", "",
        ]).prop_map(|key| format!("\"{key}\"")),
        1 => string(),
    ]
}

fn object(value: impl Strategy<Value = String>) -> impl Strategy<Value = String> {
    vec((blank(), key(), blank(), blank(), value, blank()), 0..6).prop_map(|members| {
        let members: Vec<String> = members
            .into_iter()
            .map(|(a, key, b, c, value, d)| format!("{a}{key}{b}:{c}{value}{d}"))
            .collect();
        format!("{{{}}}", members.join(","))
    })
}

fn value() -> impl Strategy<Value = String> {
    let scalar = prop_oneof![
        select(vec!["null", "true", "false"]).prop_map(str::to_owned),
        number(),
        string()
    ];
    scalar.prop_recursive(4, 40, 6, |value| {
        let array = (vec(value.clone(), 0..5), blank()).prop_map(|(elements, blank)| {
            format!("[{}{blank}]", elements.join(&format!("{blank},")))
        });
        prop_oneof![array, object(value)]
    })
}

fn line() -> impl Strategy<Value = String> {
    let envelope = |event: String| format!(r#"{{"schema_version":"1.1", "log" : {event} }}"#);
    let event = object(prop_oneof![value(), object(value())]);
    prop_oneof![
        3 => event.boxed(),
        1 => object(value()).prop_map(envelope).boxed(),
        1 => object(value()).prop_map(envelope).prop_map(envelope).boxed(),
    ]
}

/// Our verdict equals the oracle's, and so does the event. The documented difference: the oracle
/// reads an integer of more than 64 bits as a double.
fn check_against_oracle(line: &[u8]) -> Result<(), TestCaseError> {
    let ours = decode(line);
    if ours == Err(Reject::NotAnObject) {
        let first = line.iter().find(|byte| !b" \t\r\n".contains(byte));
        prop_assert_ne!(first, Some(&b'{'));
        return Ok(());
    }
    if ours == Err(Reject::NumberOutOfRange)
        && line.split(|byte| !byte.is_ascii_digit()).any(|digits| digits.len() >= 19)
    {
        return Ok(());
    }
    let theirs = oracle::parse(line);
    let text = String::from_utf8_lossy(line);
    prop_assert_eq!(ours.is_ok(), theirs.is_some(), "{:?}: {}", ours, text);
    let (Ok(event), Some(value)) = (ours, theirs) else { return Ok(()) };
    prop_assert!(!event.contains(['\n', '\r']));
    prop_assert_eq!(oracle::parse(event.as_bytes()), Some(oracle::canonical(value)), "{}", text);
    prop_assert_eq!(decode(&event), Ok(event.clone()), "{}", text);
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn generated_lines_decode_like_the_oracle(line in line()) {
        check_against_oracle(line.as_bytes())?;
    }

    #[test]
    fn mutated_lines_decode_like_the_oracle(
        line in line(),
        mutations in vec((any::<Index>(), prop_oneof![
            4 => select(b"{}[]:,\"\\ \n\t0159-+.eEutfnda\0\x1f".to_vec()),
            1 => any::<u8>(),
        ], 0..3_u8), 1..4),
    ) {
        let mut line = line.into_bytes();
        let mut decoder = Decoder::new(LIMITS);
        let _ = decode_with(&mut decoder, &line);
        let known = line.clone();
        for (at, byte, how) in mutations {
            let at = at.index(line.len());
            match how {
                0 => line[at] = byte,
                1 => line.insert(at, byte),
                _ if line.len() > 1 => { line.remove(at); }
                _ => {}
            }
        }
        check_against_oracle(&line)?;
        // The line before it says nothing about this one.
        let expected = decode_within(LIMITS, &line);
        if let Some(event) = recognise(&mut decoder, &line) {
            prop_assert_eq!(&expected, &Ok((event, Edits::default())));
        }
        let _ = decode_with(&mut decoder, &known);
        prop_assert_eq!(decode_with(&mut decoder, &line), expected);
    }

    #[test]
    fn any_bytes_decode_like_the_oracle(line in vec(select(b"{}[]:,\"\\ 01-.eu\n".to_vec()), 0..24)) {
        check_against_oracle(&[b"{\"a\":", &line[..], b"}"].concat())?;
    }
}

/// Lines of one layout differ in their values only, and each value is checked as if it were the
/// first; a layout that is another falls back to the whole grammar.
#[test]
fn lines_like_one_before_are_checked_as_strictly() {
    let line = |value: &str, end: &str| format!(r#"{{"a":{{"b":"x","c":{value}}},"d":[1]{end}"#);
    let mut decoder = Decoder::new(LIMITS);
    let known = line("7", "}");
    for (value, end, expected) in [
        ("7", "}", Ok(())),
        ("-1.5e3", "}", Ok(())),
        ("true", "}", Ok(())),
        ("\"\"", "}", Ok(())),
        (r#""\"\u00e9""#, "}", Ok(())),
        ("[]", "}", Ok(())),
        ("7 ", "}", Ok(())),
        ("", "}", Err(Reject::InvalidJson)),
        ("07", "}", Err(Reject::InvalidJson)),
        ("tru", "}", Err(Reject::InvalidJson)),
        ("1e999", "}", Err(Reject::NumberOutOfRange)),
        (r#""\ud800""#, "}", Err(Reject::LoneSurrogate)),
        ("\"\t\"", "}", Err(Reject::InvalidJson)),
        ("7", "", Err(Reject::InvalidJson)),
        ("7", "}}", Err(Reject::InvalidJson)),
        ("7", ",\"d\":2}", Err(Reject::DuplicateKey)),
    ] {
        decode_with(&mut decoder, known.as_bytes()).expect("valid");
        let text = line(value, end);
        let verdict = decode_with(&mut decoder, text.as_bytes()).map(|_| ());
        assert_eq!(verdict, expected, "{text}");
    }
    let mut decoder = Decoder::new(LIMITS);
    assert_eq!(recognise(&mut decoder, known.as_bytes()), None);
    decode_with(&mut decoder, known.as_bytes()).expect("valid");
    // What is in vain is not tried at once again.
    for _ in 0..2 {
        let _ = recognise(&mut decoder, known.as_bytes());
    }
    for end in ["", "\r"] {
        let line = [known.as_bytes(), end.as_bytes()].concat();
        assert_eq!(recognise(&mut decoder, &line).as_ref(), Some(&known));
    }
}

/// A layout has its tabs, and so may what is behind a line: still it ends where it ends.
#[test]
fn a_line_like_one_before_ends_where_it_ends() {
    let key = "a".repeat(28);
    let cases = [
        (
            format!("{{\"b\":\"x\",\"{key}\":{}1}}", "\t".repeat(64)),
            format!("{{\"b\":\"x\",\"{key}\":{}", "\t".repeat(64)),
            "\n",
        ),
        (
            "{\"a\":\"x\"\t,\"b\":\"y\"}".to_owned(),
            r#"{"a":"\n\n\n\n\n""#.to_owned(),
            "\t,\"b\":\"x\"}",
        ),
    ];
    for (known, line, behind) in cases {
        let mut decoder = Decoder::new(LIMITS);
        decode_with(&mut decoder, known.as_bytes()).expect("valid");
        assert_eq!(recognise_before(&mut decoder, line.as_bytes(), behind.as_bytes()), None);
    }
}

/// What is remembered of a line has a bound, and a line with more is taken like any other.
#[test]
fn a_line_of_very_many_values_is_not_remembered() {
    let array = vec!["1"; 10_000].join(",");
    for known in [format!("{{\"a\":[{array}]}}"), format!("{{\"{}\":1}}", "a".repeat(20_000))] {
        let mut decoder = Decoder::new(LIMITS);
        assert_eq!(
            decode_with(&mut decoder, known.as_bytes()),
            Ok((known.clone(), Edits::default()))
        );
        assert_eq!(recognise(&mut decoder, known.as_bytes()), None);
    }
}

/// Two kinds of lines with as many stops do not drive each other out.
#[test]
fn one_of_two_layouts_that_alternate_stays() {
    let mut decoder = Decoder::new(LIMITS);
    let lines = [r#"{"a":"x"}"#, r#"{"b":"x"}"#];
    let mut recognised = 0;
    for line in lines.iter().cycle().take(100) {
        if recognise(&mut decoder, line.as_bytes()).is_some() {
            recognised += 1;
        } else {
            decode_with(&mut decoder, line.as_bytes()).expect("valid");
        }
    }
    assert!(recognised > 30, "{recognised} of 100");
}
