//! The number in angle brackets that syslog begins with: facility times eight plus severity.

const FACILITIES: [&str; 24] = [
    "kern", "user", "mail", "daemon", "auth", "syslog", "lpr", "news", "uucp", "cron", "authpriv",
    "ftp", "ntp", "audit", "alert", "clock", "local0", "local1", "local2", "local3", "local4",
    "local5", "local6", "local7",
];
const SEVERITIES: [&str; 8] =
    ["emergency", "alert", "critical", "error", "warning", "notice", "informational", "debug"];
const LEVELS: [&str; 8] =
    ["CRITICAL", "CRITICAL", "CRITICAL", "ERROR", "WARNING", "INFO", "INFO", "DEBUG"];

/// At most 191.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Priority(u8);

impl Priority {
    /// The keyword of syslog.conf.
    pub fn facility(self) -> &'static str {
        FACILITIES[usize::from(self.0 / 8) % FACILITIES.len()]
    }

    /// The name that RFC 5424 gives it.
    pub fn severity(self) -> &'static str {
        SEVERITIES[usize::from(self.0 % 8)]
    }

    /// The level of the event.
    pub fn level(self) -> &'static str {
        LEVELS[usize::from(self.0 % 8)]
    }
}

/// What a text begins with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Beginning<'a> {
    /// A priority, and what follows it.
    Priority(Priority, &'a [u8]),
    /// A number in angle brackets that is none.
    NoPriority,
    /// Anything else.
    Other,
}

/// Looks at how a text begins.
#[inline]
pub fn read_priority(text: &[u8]) -> Beginning<'_> {
    let [b'<', rest @ ..] = text else { return Beginning::Other };
    let mut value = 0u32;
    for (digits, byte) in rest.iter().enumerate() {
        match byte {
            b'0'..=b'9' => value = (value * 10 + u32::from(byte - b'0')).min(1000),
            b'>' if digits > 0 => {
                return match u8::try_from(value) {
                    Ok(value @ ..=191) if digits <= 3 => {
                        Beginning::Priority(Priority(value), &rest[digits + 1..])
                    }
                    _ => Beginning::NoPriority,
                };
            }
            _ => break,
        }
    }
    Beginning::Other
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every priority there is, and the numbers next to them, which are none.
    #[test]
    fn priorities_are_one_to_three_digits_up_to_191() {
        for value in 0..=191u8 {
            let text = format!("<{value}>x");
            let expected = Beginning::Priority(Priority(value), b"x");
            assert_eq!(read_priority(text.as_bytes()), expected);
        }
        assert_eq!(read_priority(b"<034>"), Beginning::Priority(Priority(34), b""));
        for text in ["<192>x", "<999>", "<0034>", "<99999999999999999999>"] {
            assert_eq!(read_priority(text.as_bytes()), Beginning::NoPriority, "{text}");
        }
        for text in ["", "<", "<>", "<1", "<1x>", "<-1>", "13>", "< 13>", "<x>"] {
            assert_eq!(read_priority(text.as_bytes()), Beginning::Other, "{text}");
        }
    }

    /// The names are those of the numbers.
    #[test]
    fn a_priority_names_facility_severity_and_level() {
        let names = |value| {
            let priority = Priority(value);
            (priority.facility(), priority.severity(), priority.level())
        };
        assert_eq!(names(0), ("kern", "emergency", "CRITICAL"));
        assert_eq!(names(34), ("auth", "critical", "CRITICAL"));
        assert_eq!(names(165), ("local4", "notice", "INFO"));
        assert_eq!(names(191), ("local7", "debug", "DEBUG"));
        assert_eq!(names(83), ("authpriv", "error", "ERROR"));
    }
}
