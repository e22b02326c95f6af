use super::*;

fn apply(event: &str, max_bytes: usize, action: SizeAction, form: Output) -> (SizeOutcome, String) {
    let preserve_fields = ["level", "timestamp", "logger", "correlation_id"];
    let mut guard = SizeGuard::new(&config::SizeGuard {
        max_bytes,
        action,
        preserve_fields: preserve_fields.map(str::to_owned).into(),
    });
    let mut line = b"before\n".to_vec();
    line.extend_from_slice(event.as_bytes());
    let outcome = guard.apply(&mut line, 7, form);
    let text = String::from_utf8(line).unwrap();
    (outcome, text.strip_prefix("before\n").unwrap().to_owned())
}

/// The event is truncated to `expected`, and that is not too large.
fn check(event: &str, max_bytes: usize, form: Output, expected: &str) {
    let (outcome, text) = apply(event, max_bytes, SizeAction::Truncate, form);
    assert_eq!((outcome, text.as_str()), (SizeOutcome::Truncated, expected));
    assert!(text.len() <= max_bytes, "{}", text.len());
}

#[test]
fn events_that_fit_stay() {
    for action in [SizeAction::Truncate, SizeAction::Drop, SizeAction::Warn] {
        for max_bytes in [9, 0] {
            let (outcome, text) = apply(r#"{"a": 12}"#, max_bytes, action, Output::Bare);
            assert_eq!((outcome, text.as_str()), (SizeOutcome::Fits, r#"{"a": 12}"#));
        }
    }
}

#[test]
fn warn_and_drop_are_those_of_fapilog() {
    let (outcome, text) = apply(r#"{"a":12}"#, 7, SizeAction::Warn, Output::Bare);
    assert_eq!((outcome, text.as_str()), (SizeOutcome::Warned, r#"{"a":12}"#));
    let (outcome, text) = apply(r#"{"a":12}"#, 7, SizeAction::Drop, Output::Envelope);
    let marker =
        r#"{"_dropped":true,"_reason":"payload_size_exceeded","_original_size":8,"_max_bytes":7}"#;
    assert_eq!((outcome, text.as_str()), (SizeOutcome::Dropped, marker));
}

#[test]
fn the_message_is_shortened_first_and_no_more_than_needed() {
    let event = format!(r#"{{"message":"{}","data":{{"a": 1.50}}}}"#, "é".repeat(100));
    check(
        &event,
        154,
        Output::Bare,
        &format!(
            r#"{{"message":"{}...[truncated]","data":{{"a":1.50}},"_truncated":true,"_original_size":233}}"#,
            "é".repeat(34)
        ),
    );
}

/// It ends as the only thing left. Neither an escape nor a pair of surrogates is cut.
#[test]
fn messages_are_cut_between_characters() {
    let message = r"\ud83d\ude00\n\u00e9\\".repeat(20);
    let event = format!(r#"{{"message":"{message}"}}"#);
    for max_bytes in 100..320 {
        let (outcome, text) = apply(&event, max_bytes, SizeAction::Truncate, Output::Bare);
        assert_eq!(outcome, SizeOutcome::Truncated);
        assert!(text.len() <= max_bytes && text.len() + 12 > max_bytes, "{text}");
        let value: serde_json::Value = serde_json::from_str(&text).unwrap();
        let kept = value["message"].as_str().unwrap().strip_suffix("...[truncated]").unwrap();
        assert!("😀\né\\".repeat(20).starts_with(kept));
    }
}

/// The largest of `data` first; the message, which would have to be short before that, has the
/// room that this makes.
#[test]
fn members_of_data_go_before_those_of_context() {
    let event = format!(
        r#"{{"message":"{}","context":{{"user":"{}","correlation_id":"c"}},"data":{{"small":1,"large":"{}"}}}}"#,
        "m".repeat(100),
        "u".repeat(50),
        "x".repeat(200)
    );
    check(
        &event,
        330,
        Output::Bare,
        &format!(
            r#"{{"message":"{}","context":{{"user":"{}","correlation_id":"c"}},"data":{{"small":1}},"_truncated":true,"_original_size":{},"_heavily_truncated":true}}"#,
            "m".repeat(100),
            "u".repeat(50),
            event.len()
        ),
    );
}

#[test]
fn what_is_preserved_stays_to_the_end() {
    let event = format!(
        r#"{{"x":"{0}","timestamp":"t","level":"I","message":"{0}","diagnostics":{{"d":"{0}"}},"context":{{"u":"{0}","correlation_id":"c"}},"data":{{}}}}"#,
        "x".repeat(100)
    );
    check(
        &event,
        150,
        Output::Bare,
        r#"{"timestamp":"t","level":"I","context":{"correlation_id":"c"},"data":{},"_truncated":true,"_original_size":522,"_heavily_truncated":true}"#,
    );
    let (outcome, text) = apply(&event, 100, SizeAction::Truncate, Output::Bare);
    assert_eq!(outcome, SizeOutcome::Dropped);
    assert!(text.contains("\"_original_size\":522,\"_max_bytes\":100"));
}

/// fapilog makes `{"_truncated":true,"_original_size":…,"_heavily_truncated":true}` of it.
#[test]
fn envelopes_stay_sorted_envelopes() {
    let event = format!(
        r#"{{"log":{{"_original_timestamp":"x","context":{{}},"data":{{"a":"{}"}},"diagnostics":{{}},"level":"I","message":"m","timestamp":"t"}},"schema_version":"1.1"}}"#,
        "x".repeat(300)
    );
    check(
        &event,
        260,
        Output::Envelope,
        &format!(
            r#"{{"log":{{"_heavily_truncated":true,"_original_size":{},"_original_timestamp":"x","_truncated":true,"context":{{}},"data":{{}},"diagnostics":{{}},"level":"I","message":"m","timestamp":"t"}},"schema_version":"1.1"}}"#,
            event.len()
        ),
    );
}

#[test]
fn marks_of_a_sender_are_replaced() {
    let event = format!(
        r#"{{"_tr\u0075ncated":1,"_original_size":"{0}","_heavily_truncated":"{0}"}}"#,
        "x".repeat(50)
    );
    check(&event, 100, Output::Bare, r#"{"_truncated":true,"_original_size":165}"#);
}
