//! What the stages of a segment make of events, together. That each does what fapilog's does is
//! compared with fapilog itself, in tests/differential.

use super::config::Segment;
use super::{Origin, Passage, Runner};
use crate::decode::{Limits, Source};
use crate::reject::Reject;

const LIMITS: Limits = Limits { depth: 64, keys: 1024 };
const ORIGIN: &str = concat!(
    r#""ingest":{"received_at":"1970-01-01T00:00:01.500Z","peer":"127.0.0.1:9","#,
    r#""listener":"tcp","shard":3}"#
);

fn runner(stages: &str) -> Runner {
    let segment: Segment = serde_json::from_str(&format!(r#"{{"stages":[{stages}]}}"#)).unwrap();
    let mut runner = Runner::new(&segment, LIMITS, None).unwrap();
    begin(&mut runner);
    runner
}

fn begin(runner: &mut Runner) {
    runner.begin(&Origin {
        received_ns: 1_500_000_000,
        peer: Some(([127, 0, 0, 1], 9).into()),
        identity: None,
        listener: "tcp",
        labels: None,
        shard: 3,
    });
}

fn pass(runner: &mut Runner, line: &str) -> Result<Option<String>, Reject> {
    let mut out = b"before".to_vec();
    let passage = runner.run(&Source::alone(line.as_bytes(), false), &mut out);
    let text = String::from_utf8(out).unwrap().strip_prefix("before").unwrap().to_owned();
    match passage? {
        Passage::Kept(_) => Ok(Some(text)),
        Passage::Filtered(_) => {
            assert_eq!(text, "", "a dropped event leaves nothing");
            Ok(None)
        }
    }
}

/// Whether it is the first line or the next one like it.
fn kept(stages: &str, line: &str) -> String {
    let mut runner = runner(stages);
    let first = pass(&mut runner, line).unwrap().unwrap();
    assert_eq!(pass(&mut runner, line).unwrap().as_deref(), Some(&*first), "{line}");
    first
}

const ADD_ORIGIN: &str = r#"{"index":0,"kernel":"origin","config":{}}"#;

fn field_mask(fields: &str) -> String {
    format!(
        r#"{{"index":1,"kernel":"field_mask","config":{{"mask_string":"***","fields_to_mask":{fields}}}}}"#
    )
}

/// The origin goes to the end of `diagnostics`, which is made where there is none, and takes the
/// place of whatever a sender has put there.
#[test]
fn origin_is_added_whatever_is_there() {
    for (line, expected) in [
        ("{}", format!(r#"{{"diagnostics":{{{ORIGIN}}}}}"#)),
        (r#"{"a":1 }"#, format!(r#"{{"a":1 ,"diagnostics":{{{ORIGIN}}}}}"#)),
        (r#"{"diagnostics":{ },"a":1}"#, format!(r#"{{"diagnostics":{{ {ORIGIN}}},"a":1}}"#)),
        (
            r#"{"diagnostics":{"host":"h"},"a":1}"#,
            format!(r#"{{"diagnostics":{{"host":"h",{ORIGIN}}},"a":1}}"#),
        ),
        (
            r#"{"diagnostics":{"ing\u0065st":{"shard":9},"host":"h"}}"#,
            format!(
                r#"{{"diagnostics":{{{},"host":"h"}}}}"#,
                ORIGIN.replace("ingest", r"ing\u0065st")
            ),
        ),
        (
            r#"{"schema_version":"1.1","log":{"diagnostics":"h"}}"#,
            format!(r#"{{"diagnostics":{{"value":"h",{ORIGIN}}}}}"#),
        ),
    ] {
        assert_eq!(kept(ADD_ORIGIN, line), expected, "{line}");
    }
}

/// Redactors see what enrichers have added.
#[test]
fn what_is_added_is_redacted() {
    let stages = |fields| format!("{ADD_ORIGIN},{}", field_mask(fields));
    let masked = ORIGIN.replace(r#""127.0.0.1:9""#, r#""***""#);
    assert_eq!(
        kept(&stages(r#"["diagnostics.ingest.peer"]"#), r#"{"diagnostics":{"a":1}}"#),
        format!(r#"{{"diagnostics":{{"a":1,{masked}}}}}"#)
    );
    for line in ["{}", r#"{"diagnostics":{"a":1}}"#] {
        let expected = r#"{"diagnostics":"***"}"#;
        assert_eq!(kept(&stages(r#"["diagnostics"]"#), line), expected, "{line}");
    }
}

/// Limits are for senders: what is added breaks none, neither here nor in a later segment.
#[test]
fn limits_are_only_for_what_was_sent() {
    let limits = Limits { depth: 2, keys: 8 };
    let constants = r#"{"index":1,"kernel":"constants","config":{"diagnostics":[["a","1"],["b","2"],["c","3"]]}}"#;
    let mut line = r#"{"diagnostics":{"host":"h","k":1},"data":{"x":1,"y":2,"z":3}}"#.to_owned();
    for segment in [
        format!(r#"{{"stages":[{ADD_ORIGIN},{constants}]}}"#),
        r#"{"stages":[],"is_later":true,"output":"envelope"}"#.to_owned(),
        r#"{"stages":[],"is_later":true,"output":"envelope","is_formed":true}"#.to_owned(),
    ] {
        let segment: Segment = serde_json::from_str(&segment).unwrap();
        let mut runner = Runner::new(&segment, limits, None).unwrap();
        begin(&mut runner);
        line = pass(&mut runner, &line).unwrap().unwrap();
    }
    let event: serde_json::Value = serde_json::from_str(&line).unwrap();
    let diagnostics = &event["log"]["diagnostics"];
    assert_eq!((&diagnostics["host"], &diagnostics["c"]), (&"h".into(), &"3".into()), "{line}");
    assert_eq!(diagnostics["ingest"]["listener"], "tcp", "{line}");
}

/// A constant replaces the value of a member that is there, and keeps its place.
#[test]
fn constants_are_merged() {
    let constants =
        r#"{"index":0,"kernel":"constants","config":{"diagnostics":[["pod","p-1"],["node","n"]]}}"#;
    assert_eq!(
        kept(constants, r#"{"diagnostics":{"node":{"x":1},"z":0}}"#),
        r#"{"diagnostics":{"node":"n","z":0,"pod":"p-1"}}"#
    );
}

/// A later redactor sees the mask of an earlier one, and nothing below it.
#[test]
fn redactors_build_on_each_other() {
    let cut = r#"{"index":2,"kernel":"string_truncate","config":{"max_string_length":2}}"#;
    let blocker = concat!(
        r#"{"index":0,"kernel":"field_blocker","config":"#,
        r#"{"blocked_fields":["body"],"replacement":"https://u:p@h/"}}"#
    );
    let urls = r#"{"index":3,"kernel":"url_credentials","config":{}}"#;
    let stages = format!("{},{cut}", field_mask(r#"["data.user","data.user.name"]"#));
    assert_eq!(
        kept(&stages, r#"{"data":{"user":{"name":"long name"},"other":"abc","ok":"ab"}}"#),
        r#"{"data":{"user":"**[truncated]","other":"ab[truncated]","ok":"ab"}}"#
    );
    assert_eq!(
        kept(&format!("{blocker},{urls}"), r#"{"data":[{"BODY":1}]}"#),
        r#"{"data":{"value":[{"BODY":"https://h/"}]}}"#
    );
}

/// What nobody changes is what was sent, byte for byte.
#[test]
fn the_rest_stays_as_it_was_sent() {
    let line = r#"{ "a" : 1.50e1 , "b":"\u00e9\/", "data":{"password":"x" , "n":-0} }"#;
    let expected = line.replace(r#""x""#, r#""***""#);
    assert_eq!(kept(&field_mask(r#"["data.password"]"#), line), expected);
}

/// A bucket that is empty drops events, or marks them where that is configured.
#[test]
fn events_beyond_the_rate_are_marked_once() {
    let rate_limit = concat!(
        r#"{"index":0,"kernel":"rate_limit","config":{"capacity":1,"refill_rate_per_sec":0,"#,
        r#""key_field":"tenant","max_keys":10,"mark":true}}"#
    );
    let mut runner = runner(rate_limit);
    let line = r#"{"tenant":"a","rate_limited":"no"}"#;
    assert_eq!(pass(&mut runner, line).unwrap().unwrap(), line);
    let marked = r#"{"tenant":"a","rate_limited":true}"#;
    assert_eq!(pass(&mut runner, line).unwrap().unwrap(), marked);
    assert_eq!(pass(&mut runner, r#"{"tenant":"a"}"#).unwrap().unwrap(), marked);
}

/// What a stage did is counted for it, and only once.
#[test]
fn stages_count_what_they_do() {
    let level = r#"{"index":4,"kernel":"level","config":{"min_priority":30,"drop_below":true}}"#;
    let mut runner = runner(&format!("{level},{}", field_mask(r#"["data.*"]"#)));
    assert_eq!(pass(&mut runner, r#"{"level":"debug"}"#).unwrap(), None);
    assert_eq!(pass(&mut runner, r#"{"level":"ERROR","data":{"a":1"#), Err(Reject::InvalidJson));
    let _ = pass(&mut runner, r#"{"level":"error","data":{"a":1,"b":[2],"c":"***"}}"#).unwrap();
    let mut counts = Vec::new();
    runner.take_counts(|count| counts.push((count.stage, count.filtered, count.changed)));
    assert_eq!(counts, [(4, 1, 0), (1, 0, 2)]);
    runner.take_counts(|count| panic!("counted before: {count:?}"));
}

/// Keys without end, alike where hash tables like to look, are told apart and forgotten again.
#[test]
fn made_up_keys_are_told_apart_and_forgotten() {
    let mut runner = runner(&format!(
        "{},{}",
        field_mask(r#"["data.password"]"#),
        concat!(
            r#"{"index":2,"kernel":"regex_mask","config":{"mask_string":"+","python_patterns":[],"#,
            r#""patterns":["data\\.k[0-9]*7 {40}x"]}}"#
        )
    ));
    for round in 0..100 {
        let members: Vec<String> = (0..1000)
            .map(|number| {
                let number = round * 1000 + number;
                format!(r#""k{number}{:40}x":{number}"#, "")
            })
            .collect();
        let line = format!(r#"{{"data":{{{},"password":"s"}}}}"#, members.join(","));
        let text = pass(&mut runner, &line).unwrap().unwrap();
        let event: serde_json::Value = serde_json::from_str(&text).unwrap();
        for (key, value) in event["data"].as_object().unwrap() {
            let digits = key.trim_end_matches('x').trim_end().trim_start_matches('k');
            let expected = if key == "password" {
                "***".into()
            } else if digits.ends_with('7') {
                "+".into()
            } else {
                serde_json::from_str::<serde_json::Value>(digits).unwrap()
            };
            assert_eq!(*value, expected, "{key}");
        }
    }
}

/// Labels are members of each event of a listener that has some, in place of a sender's own, and
/// redactors see them; events of other listeners in between stay as they are.
#[test]
fn labels_are_those_of_the_listener() {
    let masked = r#"{"index":0,"kernel":"field_mask","config":
        {"fields_to_mask":["diagnostics.labels.site"],"mask_string":"***"}}"#;
    let mut segment: Segment =
        serde_json::from_str(&format!(r#"{{"stages":[{masked}]}}"#)).unwrap();
    segment.has_labels = true;
    let mut runner = Runner::new(&segment, LIMITS, None).unwrap();
    let run = |runner: &mut Runner, labels, line| {
        let received_ns = 1_500_000_000;
        let (peer, identity, listener, shard) = (None, None, "tcp", 0);
        runner.begin(&Origin { received_ns, peer, identity, listener, labels, shard });
        pass(runner, line).unwrap().unwrap()
    };
    let (plain, own) = (r#"{"a":1}"#, r#"{"diagnostics":{"labels":{"env":"mine"},"b":2}}"#);
    let labels = Some(r#"{"env":"prod","site":"south"}"#);
    let labelled = r#""labels":{"env":"prod","site":"***"}"#;
    for _ in 0..2 {
        let expected = format!(r#"{{"a":1,"diagnostics":{{{labelled}}}}}"#);
        assert_eq!(run(&mut runner, labels, plain), expected);
        let expected = format!(r#"{{"diagnostics":{{{labelled},"b":2}}}}"#);
        assert_eq!(run(&mut runner, labels, own), expected);
        assert_eq!(run(&mut runner, None, plain), plain);
        assert_eq!(run(&mut runner, None, own), own);
    }
    let other = Some(r#"{"env":"test"}"#);
    let expected = r#"{"a":1,"diagnostics":{"labels":{"env":"test"}}}"#;
    assert_eq!(run(&mut runner, other, plain), expected);
}

/// A redactor that masks something deep in an identity finds it, so that the depth of what is
/// added is allowed for.
#[test]
fn an_identity_is_redacted_too() {
    let stages = r#"{"index":0,"kernel":"origin","config":{}},{"index":1,"kernel":"field_mask",
        "config":{"fields_to_mask":["diagnostics.ingest.tls.subject"],"mask_string":"***"}}"#;
    let mut runner = runner(stages);
    let identity = Some(r#""tls":{"subject":"CN=a","san":["DNS:a"]}"#);
    let (received_ns, peer, labels, listener, shard) = (1_500_000_000, None, None, "tls", 0);
    runner.begin(&Origin { received_ns, peer, identity, listener, labels, shard });
    let event = pass(&mut runner, "{}").unwrap().unwrap();
    assert!(event.ends_with(r#""shard":0,"tls":{"subject":"***","san":["DNS:a"]}}}}"#), "{event}");
}
