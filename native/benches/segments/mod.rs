//! Segments of a pipeline, for the benchmarks that run them.

/// No stage.
pub const NONE: &str = r#"{"stages":[]}"#;

/// That of `bench/configurations/reference.toml`.
pub const REFERENCE: &str = r#"{"stages":[
    {"index":0,"kernel":"level","config":{"min_priority":20,"drop_below":true}},
    {"index":1,"kernel":"origin","config":{}},
    {"index":2,"kernel":"field_mask","config":{"mask_string":"***","fields_to_mask":
        ["data.password","data.user.email","context.token","data.card.number"]}},
    {"index":3,"kernel":"regex_mask","config":{"mask_string":"***","python_patterns":[],
        "patterns":["(?i).*secret.*","(?i).*api.?key.*"]}},
    {"index":4,"kernel":"url_credentials","config":{}}]}"#;
