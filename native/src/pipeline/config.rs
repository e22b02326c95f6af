//! What a native segment of the pipeline is told, as JSON from Python. The keys are fapilog's;
//! Python has checked them for people, here a wrong one is a mistake of the program.

use serde::Deserialize;

/// Consecutive native stages.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Segment {
    /// In the order in which they run.
    pub stages: Vec<Stage>,
    /// The form of what comes out.
    #[serde(default)]
    pub output: Output,
    /// The lines have that form already: processors before made it, so that they are only checked,
    /// not made canonical, enriched or redacted.
    #[serde(default)]
    pub is_formed: bool,
    /// Other segments come before: the lines are events already, and stay what stages made of them.
    #[serde(default)]
    pub is_later: bool,
    /// It adds the labels of listeners.
    #[serde(default)]
    pub has_labels: bool,
}

/// The form in which events are stored.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Output {
    /// The sender's bytes but for the edits.
    #[default]
    Bare,
    /// fapilog's envelope with sorted keys, byte for byte that of its `stdout_json`.
    Envelope,
}

/// One stage.
#[derive(Debug, Clone, Deserialize)]
pub struct Stage {
    /// Its index in the region, by which it is counted.
    pub index: usize,
    /// What it does.
    #[serde(flatten)]
    pub kernel: Kernel,
}

/// What a stage does: `"kernel": NAME, "config": {…}`.
#[derive(Debug, Clone, Deserialize)]
#[serde(tag = "kernel", content = "config", rename_all = "snake_case")]
pub enum Kernel {
    /// Drops events below a level.
    Level(Level),
    /// Keeps a share of all events.
    Sampling(Sampling),
    /// A token bucket per key.
    RateLimit(RateLimit),
    /// Keeps what a target rate allows.
    AdaptiveSampling(AdaptiveSampling),
    /// Keeps a share of all traces.
    TraceSampling(TraceSampling),
    /// Keeps the first event of each key.
    FirstOccurrence(FirstOccurrence),
    /// Says where and when an event was received, under `diagnostics.ingest`.
    Origin(Origin),
    /// Adds the same members to `diagnostics` of every event.
    Constants(Constants),
    /// Masks values at given paths.
    FieldMask(FieldMask),
    /// Masks values whose path matches a pattern.
    RegexMask(RegexMask),
    /// Strips user names and passwords from URLs.
    UrlCredentials(UrlCredentials),
    /// Replaces the values of keys with given names.
    FieldBlocker(FieldBlocker),
    /// Shortens long strings.
    StringTruncate(StringTruncate),
    /// Bounds the size of what is stored.
    SizeGuard(SizeGuard),
    /// Does nothing.
    ZeroCopy(ZeroCopy),
}

macro_rules! configs {
    ($($(#[$doc:meta])* $name:ident { $($(#[$field_doc:meta])* $field:ident: $kind:ty,)* })*) => {
        $($(#[$doc])*
        #[derive(Debug, Clone, Deserialize)]
        #[serde(deny_unknown_fields)]
        pub struct $name { $($(#[$field_doc])* pub $field: $kind,)* })*
    };
}

configs! {
    /// Of [`Kernel::Level`].
    Level {
        /// Priority of the least severe level that passes.
        min_priority: i64,
        /// Whether anything is dropped at all.
        drop_below: bool,
    }
    /// Of [`Kernel::Sampling`].
    Sampling {
        /// Share that passes, 0 to 1.
        sample_rate: f64,
        /// Of Python's generator, as decimal digits; none: a random one.
        seed: Option<String>,
    }
    /// Of [`Kernel::RateLimit`].
    RateLimit {
        /// Tokens of a full bucket.
        capacity: f64,
        /// Tokens that come back in a second.
        refill_rate_per_sec: f64,
        /// Top-level key whose value names the bucket; none: one bucket for all.
        key_field: Option<String>,
        /// Buckets kept, the least recently used one goes first.
        max_keys: usize,
        /// Whether an event without a token is marked instead of dropped.
        mark: bool,
    }
    /// Of [`Kernel::AdaptiveSampling`].
    AdaptiveSampling {
        /// Events per second aimed at.
        target_eps: f64,
        /// The smallest share that passes.
        min_sample_rate: f64,
        /// The largest share that passes.
        max_sample_rate: f64,
        /// Seconds over which the rate is observed.
        window_seconds: f64,
        /// Levels that always pass, upper case.
        always_pass_levels: Vec<String>,
        /// Weight of the new rate against the old, 0 to 1.
        smoothing_factor: f64,
    }
    /// Of [`Kernel::TraceSampling`].
    TraceSampling {
        /// Share that passes, 0 to 1.
        sample_rate: f64,
        /// Key of the trace id, at the top or in `context`.
        trace_id_field: String,
        /// Levels that always pass, upper case.
        always_pass_levels: Vec<String>,
    }
    /// Of [`Kernel::FirstOccurrence`].
    FirstOccurrence {
        /// Top-level keys that make an event's identity.
        key_fields: Vec<String>,
        /// Seconds for which an identity is remembered.
        window_seconds: f64,
        /// Identities remembered at most.
        max_keys: usize,
        /// Share of the later ones that passes.
        subsequent_sample_rate: f64,
    }
    /// Of [`Kernel::Origin`].
    Origin {}
    /// Of [`Kernel::Constants`].
    Constants {
        /// Members of `diagnostics`, in order: key and text.
        diagnostics: Vec<(String, String)>,
    }
    /// Of [`Kernel::FieldMask`].
    FieldMask {
        /// Paths in fapilog's notation.
        fields_to_mask: Vec<String>,
        /// What stands in place of a value.
        mask_string: String,
    }
    /// Of [`Kernel::RegexMask`].
    RegexMask {
        /// Python patterns for whole dotted paths.
        patterns: Vec<String>,
        /// Those of them that only Python's engine decides.
        python_patterns: Vec<String>,
        /// What stands in place of a value.
        mask_string: String,
    }
    /// Of [`Kernel::UrlCredentials`].
    UrlCredentials {}
    /// Of [`Kernel::FieldBlocker`].
    FieldBlocker {
        /// Names of keys, lower case, those allowed already taken out.
        blocked_fields: Vec<String>,
        /// What stands in place of a value.
        replacement: String,
    }
    /// Of [`Kernel::StringTruncate`].
    StringTruncate {
        /// Characters that are left; none: strings stay as they are.
        max_string_length: Option<usize>,
    }
    /// Of [`Kernel::SizeGuard`].
    SizeGuard {
        /// The largest event, in bytes.
        max_bytes: usize,
        /// What happens to a larger one.
        action: SizeAction,
        /// Keys that survive whatever happens.
        preserve_fields: Vec<String>,
    }
    /// Of [`Kernel::ZeroCopy`].
    ZeroCopy {}
}

/// What happens to an event that is too large.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SizeAction {
    /// It is made smaller.
    Truncate,
    /// A marker takes its place.
    Drop,
    /// Nothing, but it is counted.
    Warn,
}
