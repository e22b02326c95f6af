//! What is left of broken lines.

use super::*;

const RULES: &str = r#"{"stages":[
    {"index":0,"kernel":"field_mask","config":{"mask_string":"***","fields_to_mask":
        ["data.password","data.users.email"]}},
    {"index":1,"kernel":"regex_mask","config":{"mask_string":"+++","python_patterns":[],
        "patterns":["(?i).*token.*"]}},
    {"index":2,"kernel":"url_credentials","config":{}}]}"#;
const GROUPS: &str = r#"{"stages":[
    {"index":0,"kernel":"field_mask","config":{"mask_string":"***",
        "fields_to_mask":["data.password"]}},
    {"index":1,"kernel":"regex_mask","config":{"mask_string":"+++","python_patterns":[],
        "patterns":["data.value"]}}]}"#;
const URLS: &str = r#"{"stages":[{"index":0,"kernel":"url_credentials","config":{}}]}"#;

fn scrub(rules: &str, raw: &str) -> String {
    let segment = serde_json::from_str(rules).unwrap();
    let mut scrubber = Scrubber::new(&segment, false, None).unwrap();
    String::from_utf8(scrubber.scrub(raw.as_bytes()).to_vec()).unwrap()
}

/// As far as the structure is clear, only what the rules name is masked.
#[test]
fn values_at_masked_paths_are_masked() {
    for (raw, expected) in [
        (
            r#"{"data":{"password":"s","password":"s"}}"#,
            r#"{"data":{"password":"***","password":"***"}}"#,
        ),
        (r#"{"data":{"pass\u0077ord":"s","a":"k"}"#, r#"{"data":{"pass\u0077ord":"***","a":"k"}"#),
        (
            r#"{"data":{"users":[{"email":"s"},{"email":"#,
            r#"{"data":{"users":[{"email":"***"},{"email":"#,
        ),
        (r#"{"x":{"API_Token":{"a":["s"#, r#"{"x":{"API_Token":"+++""#),
        (
            r#"{"data":{"password":12345678901234567890123},"a":1e999}"#,
            r#"{"data":{"password":"***"},"a":1e999}"#,
        ),
        (
            r#"[{"data":{"password":"s"}},{"data":{"password":"s"}}]"#,
            r#"[{"data":{"password":"***"}},{"data":{"password":"***"}}]"#,
        ),
        ("<13>Nov 22 host app: plain text", "<13>Nov 22 host app: plain text"),
        (
            r#"<13>host app: {"data":{"password":"s"}}"#,
            r#"<13>host app: {"data":{"password":"***"}}"#,
        ),
        (r#"{"u":"https:\/\/u:s@h\/""#, r#"{"u":"https://h/""#),
    ] {
        assert_eq!(scrub(RULES, raw), expected, "{raw}");
    }
}

/// Rules are about the event that an envelope holds, and about the groups that it gets.
#[test]
fn values_are_masked_where_they_would_stand_in_the_event() {
    for (raw, expected) in [
        (
            r#"{"schema_version":"1.1","log":{"data":{"password":"s","k":"k"}},}"#,
            r#"{"schema_version":"1.1","log":{"data":{"password":"***","k":"k"}},}"#,
        ),
        (r#"{"log":{"log":{"data":{"k":"s"}}}"#, r#"{"log":{"log":{"data":{"k":"***"}}}"#),
        (r#"{"data":"s","log":{"data":["s","#, r#"{"data":"+++","log":{"data":"+++""#),
        (r#"{"a":{"data":"k","log":{"data":["k","#, r#"{"a":{"data":"k","log":{"data":["k","#),
    ] {
        assert_eq!(scrub(GROUPS, raw), expected, "{raw}");
    }
}

/// A key with half a surrogate pair is no text, but readers that forbear find the rest of it.
#[test]
fn half_a_surrogate_pair_hides_nothing() {
    for key in [r"\ud800token", r"\ud83dt\u006fken", r"\ud800\u0074oken", r"\udc00\ud800token"] {
        let scrubbed = scrub(RULES, &format!(r#"{{"{key}":"s"}}"#));
        assert_eq!(scrubbed, format!(r#"{{"{key}":"+++"}}"#));
    }
}

/// A line break that was not escaped tears a value up, and a piece of it has no path at all.
#[test]
fn pieces_of_values_are_masked() {
    for raw in
        ["MIIEvQIBADANBg", "s\"}}", "    12345,", "s\", \"a\": 1}", "-----END KEY-----\",", "s}"]
    {
        let scrubbed = scrub(RULES, raw);
        assert!(scrubbed.starts_with(MASK), "{scrubbed}");
    }
    for raw in ["", "  ", "  [", "],"] {
        assert_eq!(scrub(RULES, raw), raw);
    }
}

/// Behind the first mistake nobody knows what belongs to which key.
#[test]
fn values_behind_a_mistake_are_masked() {
    for (raw, expected) in [
        (r#"{"a":1 "password":"s"}"#, r#"{"a":1 "password":"***"}"#),
        (r#"{"data":{"password" "s"}}"#, r#"{"data":{"***" "***"}}"#),
        (r#"{"data":{"password: "s"}}"#, r#"{"data":{"***""***""***""#),
        (r#"{"a":1}}, {"b":"s"}"#, r#"{"a":"***"}}, {"b":"***"}"#),
        (r#"{"a":"s"}],"b":"s"}"#, r#"{"a":"***"}],"b":"***"}"#),
        (r#"{"a":"k"} text"#, r#"{"a":"k"} "***""#),
        (r"{'password':'s'}", r#"{"***":"***"}"#),
        (r#""s""#, r#""***""#),
        (r#"<13>app: {"a":"s"},"b":"s"}"#, r#"<13>app: {"a":"***"},"b":"***"}"#),
        (r#":{"a":"s"}}"#, r#"***{"a":"***"}}"#),
    ] {
        assert_eq!(scrub(RULES, raw), expected, "{raw}");
    }
}

/// Below what is of no interest nothing is, not even what looks like an event.
#[test]
fn an_event_in_an_array_is_no_event() {
    let rules = r#"{"stages":[{"index":0,"kernel":"field_mask","config":{"mask_string":"***",
        "fields_to_mask":["data.password"]}}]}"#;
    let raw = r#"{"x":[{"data":{"password":"k"}}],"data":{"password":"s"},}"#;
    let expected = r#"{"x":[{"data":{"password":"k"}}],"data":{"password":"***"},}"#;
    assert_eq!(scrub(rules, raw), expected);
}

/// A sender does not choose how many paths are matched with every pattern.
#[test]
fn values_behind_too_many_keys_are_masked() {
    let member = |key: usize| format!(r#""k{key}":"v{key}""#);
    let line = |keys| format!("{{{},}}", (0..keys).map(member).collect::<Vec<_>>().join(","));
    assert_eq!(scrub(RULES, &line(KEYS_MAXIMUM)), line(KEYS_MAXIMUM));
    let scrubbed = scrub(RULES, &line(KEYS_MAXIMUM + 2));
    assert!(scrubbed.contains("v4095") && scrubbed.contains(r#""k4096":"***","k4097":"***""#));
    assert_eq!(scrub(URLS, &line(KEYS_MAXIMUM + 2)), line(KEYS_MAXIMUM + 2));
}

/// Rules that are not about paths do not care for structure.
#[test]
fn urls_alone_need_no_structure() {
    for (raw, expected) in [
        (r#"{"a":1 "u":"https://u:s@h/" x"#, r#"{"a":1 "u":"https://h/" x"#),
        (r#"{"u":"https://u:s@h/"#, r#"{"u":"https://h/""#),
        ("https://u:s@h/x", "https://h/x"),
        (r#"{"a":"k","u":"https://u:s"#, r#"{"a":"k","u":"***""#),
        (r#"{"u":"https://u:s,"a":"k"}"#, r#"{"u":"***"a":"k"}"#),
        (r#"{"a":"k"#, r#"{"a":"k"#),
        ("{'u':'https://u:s@h/'}", "{'u':'https://h/'}"),
        ("see //u:s@s@h/x@y", "see //h/x@y"),
    ] {
        assert_eq!(scrub(URLS, raw), expected, "{raw}");
    }
}
