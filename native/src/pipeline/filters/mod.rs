//! Which events go on: fapilog's filters. Each decides by the raw text of a few members of the
//! event, which its caller finds, and by a clock that its caller reads; it changes no event.
//!
//! State is of one filter in one worker: a rate is that of the events which this worker receives.
//!
//! `level_name`, `key` and `mersenne` are what several of the filters decide by.

mod adaptive_sampling;
mod first_occurrence;
mod key;
mod level;
mod level_name;
mod mersenne;
mod rate_limit;
mod sampling;
mod trace_sampling;

use adaptive_sampling::AdaptiveSampling;
use first_occurrence::FirstOccurrence;
use level::LevelFilter;
use rate_limit::RateLimit;
use sampling::Sampling;
use trace_sampling::TraceSampling;

use super::config::Kernel;
use crate::error::Result;

/// What becomes of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It goes on.
    Pass,
    /// It ends here.
    Drop,
    /// It goes on with `"rate_limited": true` at its top.
    Mark,
}

/// One filter with its state.
pub struct Filter {
    kind: Kind,
    wanted: Vec<Vec<String>>,
}

enum Kind {
    Level(LevelFilter),
    Sampling(Sampling),
    RateLimit(RateLimit),
    AdaptiveSampling(AdaptiveSampling),
    TraceSampling(TraceSampling),
    FirstOccurrence(FirstOccurrence),
}

impl Filter {
    /// The filter that a kernel is, starting at `now_seconds` of a monotonic clock; none for the
    /// kernels that are no filters. It fails with a seed that is no integer, and where the system has
    /// no random bytes.
    pub fn new(kernel: &Kernel, now_seconds: f64) -> Option<Result<Self>> {
        let kind = match kernel {
            Kernel::Level(config) => Ok(Kind::Level(LevelFilter::new(config))),
            Kernel::Sampling(config) => Sampling::new(config).map(Kind::Sampling),
            Kernel::RateLimit(config) => Ok(Kind::RateLimit(RateLimit::new(config))),
            Kernel::AdaptiveSampling(config) => {
                AdaptiveSampling::new(config, now_seconds).map(Kind::AdaptiveSampling)
            }
            Kernel::TraceSampling(config) => TraceSampling::new(config).map(Kind::TraceSampling),
            Kernel::FirstOccurrence(config) => {
                FirstOccurrence::new(config).map(Kind::FirstOccurrence)
            }
            _ => return None,
        };
        Some(kind.map(|kind| Self { kind, wanted: wanted(kernel) }))
    }

    /// The members by whose values it decides, as paths of keys: `["context", "trace_id"]`.
    pub fn wanted(&self) -> &[Vec<String>] {
        &self.wanted
    }

    /// Decides on one event. `values` are those of the wanted members, in order, as JSON without
    /// blanks around it; none where the event has no such member. `now_seconds` never goes back.
    #[inline]
    pub fn decide(&mut self, values: &[Option<&[u8]>], now_seconds: f64) -> Verdict {
        let value = |at: usize| values.get(at).copied().flatten();
        match &mut self.kind {
            Kind::Level(filter) => filter.decide(value(0)),
            Kind::Sampling(filter) => filter.decide(),
            Kind::RateLimit(filter) => filter.decide(value(0), now_seconds),
            Kind::AdaptiveSampling(filter) => filter.decide(value(0), now_seconds),
            Kind::TraceSampling(filter) => filter.decide(value(0), value(1), value(2)),
            Kind::FirstOccurrence(filter) => filter.decide(values, now_seconds),
        }
    }

    /// The share of events that passes at present, where the filter has one.
    pub fn current_sample_rate(&self) -> Option<f64> {
        match &self.kind {
            Kind::Sampling(filter) => Some(filter.current_sample_rate()),
            Kind::AdaptiveSampling(filter) => Some(filter.current_sample_rate()),
            Kind::TraceSampling(filter) => Some(filter.current_sample_rate()),
            _ => None,
        }
    }

    /// The keys that it remembers, where the filter has keys.
    pub fn tracked_key_count(&self) -> Option<usize> {
        match &self.kind {
            Kind::RateLimit(filter) => Some(filter.tracked_key_count()),
            Kind::FirstOccurrence(filter) => Some(filter.tracked_key_count()),
            _ => None,
        }
    }
}

fn wanted(kernel: &Kernel) -> Vec<Vec<String>> {
    let top = |key: &str| vec![key.to_owned()];
    match kernel {
        Kernel::Level(config) if config.drop_below => vec![top("level")],
        Kernel::AdaptiveSampling(_) => vec![top("level")],
        // An empty name is none to fapilog.
        Kernel::RateLimit(config) => {
            config.key_field.iter().filter(|key| !key.is_empty()).map(|key| top(key)).collect()
        }
        Kernel::TraceSampling(config) => {
            let field = &config.trace_id_field;
            vec![top("level"), top(field), vec!["context".to_owned(), field.clone()]]
        }
        Kernel::FirstOccurrence(config) => config.key_fields.iter().map(|key| top(key)).collect(),
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filter(kernel: &str) -> Option<Result<Filter>> {
        Filter::new(&serde_json::from_str(kernel).unwrap(), 0.0)
    }

    #[test]
    fn each_filter_says_what_it_decides_by() {
        for (kernel, expected) in [
            (r#"{"kernel":"level","config":{"min_priority":20,"drop_below":true}}"#, "level"),
            (r#"{"kernel":"level","config":{"min_priority":20,"drop_below":false}}"#, ""),
            (r#"{"kernel":"sampling","config":{"sample_rate":0.5,"seed":"7"}}"#, ""),
            (
                r#"{"kernel":"rate_limit","config":{"capacity":1,"refill_rate_per_sec":1,
                    "key_field":"tenant","max_keys":1,"mark":false}}"#,
                "tenant",
            ),
            (
                r#"{"kernel":"rate_limit","config":{"capacity":1,"refill_rate_per_sec":1,
                    "key_field":"","max_keys":1,"mark":false}}"#,
                "",
            ),
            (
                r#"{"kernel":"adaptive_sampling","config":{"target_eps":1,"min_sample_rate":0,
                    "max_sample_rate":1,"window_seconds":1,"always_pass_levels":[],
                    "smoothing_factor":0}}"#,
                "level",
            ),
            (
                r#"{"kernel":"trace_sampling","config":{"sample_rate":0.5,
                    "trace_id_field":"t","always_pass_levels":[]}}"#,
                "level t context.t",
            ),
            (
                r#"{"kernel":"first_occurrence","config":{"key_fields":["message","logger"],
                    "window_seconds":1,"max_keys":1,"subsequent_sample_rate":0}}"#,
                "message logger",
            ),
        ] {
            let filter = filter(kernel).unwrap().unwrap();
            let paths: Vec<String> = filter.wanted().iter().map(|path| path.join(".")).collect();
            assert_eq!(paths.join(" "), expected, "{kernel}");
        }
    }

    #[test]
    fn other_kernels_are_no_filters() {
        assert!(filter(r#"{"kernel":"origin","config":{}}"#).is_none());
    }

    #[test]
    fn a_seed_that_is_no_integer_is_refused() {
        let kernel = r#"{"kernel":"sampling","config":{"sample_rate":0.5,"seed":"x"}}"#;
        assert!(filter(kernel).unwrap().is_err());
    }

    #[test]
    fn values_that_are_missing_altogether_count_as_absent() {
        let kernel = r#"{"kernel":"level","config":{"min_priority":30,"drop_below":true}}"#;
        assert_eq!(filter(kernel).unwrap().unwrap().decide(&[], 0.0), Verdict::Drop);
    }

    /// A threshold is fapilog's to the last bit. `serde_json` rounds wrong unless told not to.
    #[test]
    fn a_rate_is_read_exactly() {
        for (text, rate) in [
            ("0.4723481374332872", 0.472_348_137_433_287_2_f64),
            ("0.9477553542395969", 0.947_755_354_239_596_9),
            ("0.5303745616909546", 0.530_374_561_690_954_6),
        ] {
            let config = format!(r#"{{"sample_rate":{text},"seed":null}}"#);
            let kernel = format!(r#"{{"kernel":"sampling","config":{config}}}"#);
            let read = filter(&kernel).unwrap().unwrap().current_sample_rate();
            assert_eq!(read.map(f64::to_bits), Some(rate.to_bits()), "{text}");
        }
    }
}
