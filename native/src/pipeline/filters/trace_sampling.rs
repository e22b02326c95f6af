//! Keeps a share of all traces, each of them whole.

use md5::{Digest, Md5};

use super::Verdict;
use super::level_name::PassingLevels;
use super::mersenne::Mersenne;
use crate::error::Result;
use crate::pipeline::config;
use crate::pipeline::python_str::python_text;

/// fapilog's `trace_sampling`, which also looks where fapilog's own events have their trace: in
/// `context`, when there is none at the top. A container as trace is its JSON.
pub struct TraceSampling {
    rate: f64,
    /// Traces with a hash below it pass; none: all.
    threshold: Option<u128>,
    passing_levels: PassingLevels,
    generator: Mersenne,
    scratch: Vec<u8>,
}

impl TraceSampling {
    pub fn new(config: &config::TraceSampling) -> Result<Self> {
        Ok(Self {
            rate: config.sample_rate,
            threshold: threshold(config.sample_rate),
            passing_levels: PassingLevels::new(&config.always_pass_levels),
            generator: Mersenne::from_system()?,
            scratch: Vec::new(),
        })
    }

    #[inline]
    pub fn decide(
        &mut self,
        level: Option<&[u8]>,
        trace_at_top: Option<&[u8]>,
        trace_in_context: Option<&[u8]>,
    ) -> Verdict {
        if self.passing_levels.contains(level) {
            return Verdict::Pass;
        }
        let is_trace = |json: &&[u8]| *json != b"null";
        let trace = trace_at_top.filter(is_trace).or(trace_in_context.filter(is_trace));
        let passes = match trace {
            None => self.generator.random() <= self.rate,
            Some(json) => {
                let hash =
                    u128::from_be_bytes(Md5::digest(python_text(json, &mut self.scratch)).into());
                self.threshold.is_none_or(|threshold| hash < threshold)
            }
        };
        if passes { Verdict::Pass } else { Verdict::Drop }
    }

    pub fn current_sample_rate(&self) -> f64 {
        self.rate
    }
}

/// `int(rate * 2**128)`; none where that is more than any hash.
#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "below 1 it fits, and int() truncates too"
)]
fn threshold(rate: f64) -> Option<u128> {
    (rate < 1.0).then_some((rate * 2_f64.powi(128)) as u128)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filter(sample_rate: f64) -> TraceSampling {
        let config = config::TraceSampling {
            sample_rate,
            trace_id_field: "trace_id".to_owned(),
            always_pass_levels: vec!["ERROR".to_owned()],
        };
        TraceSampling::new(&config).unwrap()
    }

    fn passes(filter: &mut TraceSampling, at_top: Option<&str>, in_context: Option<&str>) -> bool {
        let (top, context) = (at_top.map(str::as_bytes), in_context.map(str::as_bytes));
        filter.decide(None, top, context) == Verdict::Pass
    }

    /// `TraceSamplingFilter(sample_rate=0.5)` of fapilog 0.18.1.
    #[test]
    fn the_traces_kept_are_those_of_fapilog() {
        for (trace, expected) in [
            (r#""abc""#, false),
            (r#""trace-1""#, false),
            (r#""4bf92f3577b34da6a3ce929d0e0e4736""#, true),
            (r#""4bf92f3577b34da6a3ce929d0e0e473\u0036""#, true),
            (r#""é\n""#, false),
            ("17", true),
            ("1.5e-7", true),
            ("true", false),
        ] {
            assert_eq!(passes(&mut filter(0.5), Some(trace), None), expected, "{trace}");
        }
    }

    /// fapilog sees no more than the top; these would be kept or dropped at random.
    #[test]
    fn a_trace_in_the_context_counts_where_there_is_none_at_the_top() {
        let (kept, dropped) = (Some("17"), Some(r#""abc""#));
        for _ in 0..20 {
            let mut filter = filter(0.5);
            assert!(passes(&mut filter, None, kept));
            assert!(passes(&mut filter, Some("null"), kept));
            assert!(!passes(&mut filter, None, dropped));
            assert!(!passes(&mut filter, dropped, kept));
        }
    }

    /// `int(rate * 2**128)` of Python 3.11.
    #[test]
    fn the_threshold_is_pythons() {
        for (rate, expected) in [
            (0.0, Some(0)),
            (1e-300, Some(0)),
            (0.1, Some(34_028_236_692_093_848_235_284_053_891_034_906_624)),
            (0.999_999_999_999_999_9, Some(340_282_366_920_938_425_684_442_744_474_606_501_888)),
            (1.0, None),
        ] {
            assert_eq!(threshold(rate), expected, "{rate}");
        }
    }

    #[test]
    fn a_rate_of_one_keeps_everything_and_some_levels_always_pass() {
        let mut all = filter(1.0);
        assert!(passes(&mut all, Some(r#""abc""#), None) && passes(&mut all, None, None));
        let mut nothing = filter(0.0);
        assert!(!passes(&mut nothing, Some("17"), None) && !passes(&mut nothing, None, None));
        assert_eq!(nothing.decide(Some(br#""error""#), Some(b"17"), None), Verdict::Pass);
    }
}
