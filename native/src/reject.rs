//! Why a line does not become an event of the journal. Each variant is a dead-letter reason and a label
//! value of `ingest_events_rejected_total`; the table stands here and nowhere else.

/// The reason a line goes to the dead-letter journal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Reject {
    /// Not RFC 8259 JSON: truncated, trailing text, a bare control character, a bad token.
    InvalidJson,
    /// The bytes are not UTF-8.
    InvalidUtf8,
    /// An escape names half of a surrogate pair: grammatical, but no text.
    LoneSurrogate,
    /// JSON or not, the line does not begin with `{`.
    NotAnObject,
    /// Nested deeper than `limits.depth`.
    TooDeep,
    /// More object keys than `limits.keys`.
    TooManyKeys,
    /// An integer outside 64 bits or a number that overflows a double.
    NumberOutOfRange,
    /// The same key twice in one object: readers would disagree on which one counts.
    DuplicateKey,
    /// Longer than `limits.line_bytes`; the dead letter holds the beginning.
    LineTooLong,
    /// An event at which a plugin failed whose policy is `dead_letter`.
    StageFailed,
    /// An event with which one worker after the other died, or seemed to.
    WorkerDied,
    /// A connection that ended within a frame whose length it had announced.
    IncompleteFrame,
    /// A syslog message that cannot be taken apart.
    InvalidSyslog,
    /// On a listener of several formats: neither JSON nor syslog.
    UnknownFormat,
}

impl Reject {
    /// Every reason, in the order of its counter cells.
    pub const ALL: [Self; 14] = [
        Self::InvalidJson,
        Self::InvalidUtf8,
        Self::LoneSurrogate,
        Self::NotAnObject,
        Self::TooDeep,
        Self::TooManyKeys,
        Self::NumberOutOfRange,
        Self::DuplicateKey,
        Self::LineTooLong,
        Self::StageFailed,
        Self::WorkerDied,
        Self::IncompleteFrame,
        Self::InvalidSyslog,
        Self::UnknownFormat,
    ];

    /// The names of [`Self::ALL`], for the metric table.
    pub const NAMES: [&'static str; 14] = {
        let mut names = [""; 14];
        let mut at = 0;
        while at < names.len() {
            names[at] = Self::ALL[at].name();
            at += 1;
        }
        names
    };

    /// The name users see, in dead letters and metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::InvalidJson => "invalid_json",
            Self::InvalidUtf8 => "invalid_utf8",
            Self::LoneSurrogate => "lone_surrogate",
            Self::NotAnObject => "not_an_object",
            Self::TooDeep => "too_deep",
            Self::TooManyKeys => "too_many_keys",
            Self::NumberOutOfRange => "number_out_of_range",
            Self::DuplicateKey => "duplicate_key",
            Self::LineTooLong => "line_too_long",
            Self::StageFailed => "stage_failed",
            Self::WorkerDied => "worker_died",
            Self::IncompleteFrame => "incomplete_frame",
            Self::InvalidSyslog => "invalid_syslog",
            Self::UnknownFormat => "unknown_format",
        }
    }
}
