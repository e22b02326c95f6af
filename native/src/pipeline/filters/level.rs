//! Drops events below a level.

use super::Verdict;
use super::level_name::LevelName;
use crate::pipeline::config;

/// fapilog's `level`. Levels that a program registered with fapilog are not known here.
pub struct LevelFilter {
    /// Of the least severe level that passes; none: everything does.
    min_priority: Option<i64>,
    name: LevelName,
}

impl LevelFilter {
    pub fn new(config: &config::Level) -> Self {
        let min_priority = config.drop_below.then_some(config.min_priority);
        Self { min_priority, name: LevelName::default() }
    }

    #[inline]
    pub fn decide(&mut self, level: Option<&[u8]>) -> Verdict {
        match self.min_priority {
            Some(least) if priority(self.name.read(level)) < least => Verdict::Drop,
            _ => Verdict::Pass,
        }
    }
}

/// A name that fapilog does not know counts as INFO.
#[inline]
fn priority(name: &[u8]) -> i64 {
    match name {
        b"DEBUG" => 10,
        b"WARNING" | b"WARN" => 30,
        b"ERROR" => 40,
        b"CRITICAL" | b"FATAL" => 50,
        b"AUDIT" => 60,
        b"SECURITY" => 70,
        _ => 20,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn passes(config: &config::Level, level: Option<&str>) -> bool {
        LevelFilter::new(config).decide(level.map(str::as_bytes)) == Verdict::Pass
    }

    /// `LevelFilter(min_level="WARNING")` of fapilog 0.18.1.
    #[test]
    fn events_below_the_level_are_dropped() {
        let config = config::Level { min_priority: 30, drop_below: true };
        for (level, passing) in [
            (r#""DEBUG""#, false),
            (r#""INFO""#, false),
            (r#""WARN""#, true),
            (r#""warning""#, true),
            (r#""Error""#, true),
            (r#""FATAL""#, true),
            (r#""CRITICAL""#, true),
            (r#""AUDIT""#, true),
            (r#""SECURITY""#, true),
            (r#""\u0045RROR""#, true),
            (r#""TRACE""#, false),
            (r#"" ERROR""#, false),
            ("50", false),
            ("null", false),
        ] {
            assert_eq!(passes(&config, Some(level)), passing, "{level}");
        }
        assert!(!passes(&config, None));
    }

    #[test]
    fn a_missing_or_unknown_level_is_info() {
        let config = config::Level { min_priority: 20, drop_below: true };
        assert!(passes(&config, None));
        assert!(passes(&config, Some(r#""TRACE""#)));
        assert!(!passes(&config, Some(r#""debug""#)));
    }

    #[test]
    fn nothing_is_dropped_where_dropping_is_off() {
        assert!(passes(&config::Level { min_priority: 70, drop_below: false }, Some(r#""DEBUG""#)));
    }
}
