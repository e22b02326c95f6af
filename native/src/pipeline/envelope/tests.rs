use super::*;

const RECEIVED_NS: u64 = 1_700_000_000_123_456_789;
const RECEIVED: &str = "2023-11-14T22:13:20.123Z";

fn envelope(event: &str) -> String {
    let mut out = b"before".to_vec();
    Envelope::default().write(event.as_bytes(), RECEIVED_NS, &mut out);
    String::from_utf8(out).unwrap().strip_prefix("before").unwrap().to_owned()
}

/// `serialize_envelope` of fapilog 0.18.1.
#[test]
fn envelopes_are_those_of_fapilog() {
    for (event, expected) in [
        (
            r#"{"timestamp":"2026-11-22T00:04:06.035Z","level":"INFO","message":"m","logger":"root","context":{"message_id":"1","correlation_id":null},"diagnostics":{"pid":1,"host":"h"},"data":{"b":[1, {"y":1,"x":-0}],"a":1e16},"tags":["t"],"extra":1}"#,
            r#"{"log":{"context":{"correlation_id":null,"message_id":"1"},"data":{"a":1e+16,"b":[1,{"x":0,"y":1}]},"diagnostics":{"host":"h","pid":1},"level":"INFO","logger":"root","message":"m","tags":["t"],"timestamp":"2026-11-22T00:04:06.035Z"},"schema_version":"1.1"}"#,
        ),
        (
            r#" { "message" : null , "level" : 20 , "timestamp" : 0 } "#,
            r#"{"log":{"context":{},"data":{},"diagnostics":{},"level":"20","message":"None","timestamp":"1970-01-01T00:00:00.000Z"},"schema_version":"1.1"}"#,
        ),
        (
            r#"{"data":{"\u0062":1,"a":2,"\uffff":3,"\ud83d\ude00":4,"":5,"a\u0000":"\u002f\/\u001F\"\n"},"message":1e16,"level":true,"time\u0073tamp":"2026-01-01T01:00:00.123456+01:00","logger":null,"context":[1],"diagnostics":null}"#,
            "{\"log\":{\"context\":{},\"data\":{\"\":5,\"a\":2,\"a\\u0000\":\"//\\u001f\\\"\\n\",\"b\":1,\"\u{ffff}\":3,\"😀\":4},\"diagnostics\":{},\"level\":\"True\",\"logger\":null,\"message\":\"1e+16\",\"timestamp\":\"2026-01-01T00:00:00.123Z\"},\"schema_version\":\"1.1\"}",
        ),
    ] {
        assert_eq!(envelope(event), expected);
    }
}

/// fapilog stores these bare.
#[test]
fn what_is_missing_or_unusable_has_a_substitute() {
    for (event, log) in [
        ("{}".to_owned(), format!(r#""level":"INFO","message":"","timestamp":"{RECEIVED}""#)),
        (
            r#"{"timestamp":null,"level":null}"#.to_owned(),
            format!(r#""level":"None","message":"","timestamp":"{RECEIVED}""#),
        ),
    ] {
        let expected = format!(
            r#"{{"log":{{"context":{{}},"data":{{}},"diagnostics":{{}},{log}}},"schema_version":"1.1"}}"#
        );
        assert_eq!(envelope(&event), expected);
    }
    let with_original = envelope(r#"{"timestamp":{"b":1,"a":"yesterday"}}"#);
    let expected = r#"{"log":{"_original_timestamp":{"a":"yesterday","b":1},"context":{},"#;
    assert!(with_original.starts_with(expected), "{with_original}");
    assert!(with_original.contains(RECEIVED));
}

/// fapilog writes Python's `repr`: `"{'a': 1}"`.
#[test]
fn a_container_as_message_is_its_json() {
    let written = envelope(r#"{"message":{"a": 1, "b":["x\n"]},"level":[ ]}"#);
    assert!(
        written.contains(r#""level":"[]","message":"{\"a\":1,\"b\":[\"x\\n\"]}""#),
        "{written}"
    );
}

/// `orjson.dumps` of the same values.
#[test]
fn numbers_are_those_of_orjson() {
    for (number, expected) in [
        ("-0", "0"),
        ("-0.0", "-0.0"),
        ("18446744073709551615", "18446744073709551615"),
        ("-9223372036854775808", "-9223372036854775808"),
        ("1E5", "100000.0"),
        ("1e15", "1000000000000000.0"),
        ("1e16", "1e+16"),
        ("1e-5", "0.00001"),
        ("1.5e-6", "1.5e-6"),
        ("1e-400", "0.0"),
        ("123456789012345678.5", "1.2345678901234568e+17"),
        ("-2104255955588531.25", "-2104255955588531.2"),
    ] {
        let written = envelope(&format!(r#"{{"tags":{number}}}"#));
        assert!(written.contains(&format!(r#""tags":{expected},"#)), "{number}: {written}");
    }
}

/// `ensure_rfc3339_utc` of fapilog 0.18.1 on Python 3.11.7.
#[test]
fn timestamps_are_read_as_by_python() {
    for (timestamp, expected) in [
        ("1767225600.5", "2026-01-01T00:00:00.500Z"),
        ("-0.5", "1969-12-31T23:59:59.500Z"),
        ("true", "1970-01-01T00:00:01.000Z"),
        ("0.9999995", "1970-01-01T00:00:01.000Z"),
        ("0.0005", "1970-01-01T00:00:00.000Z"),
        ("253402300799.9999", "9999-12-31T23:59:59.999Z"),
        ("-62135596800", "0001-01-01T00:00:00.000Z"),
        (r#""2026-01-01T00:00:00Z""#, "2026-01-01T00:00:00Z"),
        (r#""2026-01-01T00:00:00\u005a""#, "2026-01-01T00:00:00Z"),
        (r#""2026-99-99T99:99:99Z""#, "2026-99-99T99:99:99Z"),
        (r#""2026-01-01T00:00:00Z\n""#, r"2026-01-01T00:00:00Z\n"),
        (r#""２０２６-01-01T00:00:00Z""#, "２０２６-01-01T00:00:00Z"),
        (r#""2026-01-01""#, "2026-01-01T00:00:00.000Z"),
        (r#""20260101""#, "2026-01-01T00:00:00.000Z"),
        (r#""2026-W01""#, "2025-12-29T00:00:00.000Z"),
        (r#""2026-W53""#, "2026-12-28T00:00:00.000Z"),
        (r#""2026W017""#, "2026-01-04T00:00:00.000Z"),
        (r#""2020-W53-7""#, "2021-01-03T00:00:00.000Z"),
        (r#""2026-W01-0000""#, "2025-12-29T00:00:00.000Z"),
        (r#""2026W01T1234""#, "2025-12-29T12:34:00.000Z"),
        (r#""2026-01-01T12""#, "2026-01-01T12:00:00.000Z"),
        (r#""2026-01-01 12:34""#, "2026-01-01T12:34:00.000Z"),
        (r#""20260101T123456,789""#, "2026-01-01T12:34:56.789Z"),
        (r#""2026-01-01T12:34:56.1239999""#, "2026-01-01T12:34:56.123Z"),
        (r#""2026-01-01x12:34:56+0530""#, "2026-01-01T07:04:56.000Z"),
        (r#""2026-01-01€12:34:56-00:00:10.5""#, "2026-01-01T12:35:06.500Z"),
        (r#""2026-01-01T12:+05:00""#, "2026-01-01T07:00:00.000Z"),
        (r#""2026-01-01T12:34:56.7Z""#, "2026-01-01T12:34:56.700Z"),
        (r#""0001-01-01T00:00:00-23:59""#, "0001-01-01T23:59:00.000Z"),
        (r#""2024-02-29T00:00:00+00:00:00.5""#, "2024-02-29T00:00:00.000Z"),
    ] {
        let written = envelope(&format!(r#"{{"timestamp":{timestamp}}}"#));
        let expected = format!(r#""timestamp":"{expected}"}}"#);
        assert!(written.contains(&expected), "{timestamp}: {written}");
        assert!(!written.contains("_original_timestamp"), "{timestamp}");
    }
}

/// fapilog raises an error for each of these.
#[test]
fn unusable_timestamps_are_kept_beside_the_time_of_receipt() {
    for timestamp in [
        "253402300800",
        "1e308",
        "-62135596801",
        "[1]",
        r#""""#,
        r#""yesterday""#,
        r#""2026-01-01T""#,
        r#""2026-02-29""#,
        r#""2026-1-1""#,
        r#""0000-01-01""#,
        r#""2026-01-01T24:00""#,
        r#""2026-01-01T12:34:60""#,
        r#""0001-01-01T00:00:00+00:01""#,
        r#""9999-12-31T23:59:59-00:01""#,
        r#""2025-W53""#,
        r#""2026-W01-""#,
        r#""9999-W52-7""#,
        r#""2026-01-01T00:00+24:00""#,
    ] {
        let written = envelope(&format!(r#"{{"timestamp":{timestamp}}}"#));
        assert!(written.contains("_original_timestamp"), "{timestamp}: {written}");
        assert!(written.contains(RECEIVED), "{timestamp}: {written}");
    }
}

/// The limit of the decoder, on the small stack of a test.
#[test]
fn the_deepest_event_is_written() {
    let (open, close) = ("{\"a\":[".repeat(512), "]}".repeat(512));
    let written = envelope(&format!(r#"{{"data":{open}1{close}}}"#));
    assert!(written.contains(&format!("{open}1{close}")));
}

#[test]
fn memory_is_used_again() {
    let mut envelopes = Envelope::default();
    let (mut first, mut second) = (Vec::new(), Vec::new());
    let event = br#"{"timestamp":"2026-01-01T00:00Z","data":{"\n":[{"b":1,"a":{}}]}}"#;
    envelopes.write(event, RECEIVED_NS, &mut first);
    envelopes.write(b"{\"tags\":[]}", RECEIVED_NS, &mut second);
    second.clear();
    envelopes.write(event, RECEIVED_NS, &mut second);
    assert_eq!(first, second);
}
