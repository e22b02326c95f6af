//! Keeps a share of all events.

use super::Verdict;
use super::mersenne::Mersenne;
use crate::error::Result;
use crate::pipeline::config;

/// fapilog's `sampling`.
pub struct Sampling {
    rate: f64,
    generator: Mersenne,
}

impl Sampling {
    pub fn new(config: &config::Sampling) -> Result<Self> {
        let generator = match &config.seed {
            Some(seed) => Mersenne::from_python_seed(seed)?,
            None => Mersenne::from_system()?,
        };
        Ok(Self { rate: config.sample_rate, generator })
    }

    /// Draws nothing where the rate alone decides: the sequence is that of fapilog.
    #[inline]
    pub fn decide(&mut self) -> Verdict {
        if self.rate >= 1.0 || (self.rate > 0.0 && self.generator.random() < self.rate) {
            Verdict::Pass
        } else {
            Verdict::Drop
        }
    }

    pub fn current_sample_rate(&self) -> f64 {
        self.rate
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn passing(sample_rate: f64, seed: Option<&str>, events: usize) -> Vec<bool> {
        let config = config::Sampling { sample_rate, seed: seed.map(str::to_owned) };
        let mut filter = Sampling::new(&config).unwrap();
        (0..events).map(|_| filter.decide() == Verdict::Pass).collect()
    }

    /// `SamplingFilter(sample_rate=0.5, seed=1)` of fapilog 0.18.1.
    #[test]
    fn a_seed_keeps_the_events_that_fapilog_keeps() {
        let kept = [true, false, false, true, true, true, false, false];
        assert_eq!(passing(0.5, Some("1"), 8), kept);
    }

    #[test]
    fn the_ends_of_the_range_are_all_and_nothing() {
        assert_eq!(passing(1.0, None, 3), [true; 3]);
        assert_eq!(passing(0.0, None, 3), [false; 3]);
    }

    #[test]
    fn a_seed_that_is_no_integer_is_refused() {
        let config = config::Sampling { sample_rate: 0.5, seed: Some("x".to_owned()) };
        assert!(Sampling::new(&config).is_err());
    }
}
