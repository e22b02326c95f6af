//! Keeps what a target rate allows.

use std::collections::VecDeque;

use super::Verdict;
use super::level_name::PassingLevels;
use super::mersenne::Mersenne;
use crate::error::Result;
use crate::pipeline::config;

/// As many times are told apart in any case; beyond it, times nearer to each other than the
/// window divided by it are one. There are at most twice as many.
const EXACT_TIMES: u16 = 1 << 14;

/// fapilog's `adaptive_sampling`, of the events of one worker.
pub struct AdaptiveSampling {
    target_eps: f64,
    min_sample_rate: f64,
    max_sample_rate: f64,
    window_seconds: f64,
    smoothing_factor: f64,
    passing_levels: PassingLevels,
    current_rate: f64,
    adjusted_at_seconds: f64,
    passed: Passed,
    generator: Mersenne,
}

/// The times of the events that passed, equal ones together.
#[derive(Default)]
struct Passed {
    times: VecDeque<(f64, u64)>,
    events: u64,
}

impl AdaptiveSampling {
    pub fn new(config: &config::AdaptiveSampling, now_seconds: f64) -> Result<Self> {
        Ok(Self {
            target_eps: config.target_eps,
            min_sample_rate: config.min_sample_rate,
            max_sample_rate: config.max_sample_rate,
            window_seconds: config.window_seconds,
            smoothing_factor: config.smoothing_factor,
            passing_levels: PassingLevels::new(&config.always_pass_levels),
            current_rate: 1.0,
            adjusted_at_seconds: now_seconds,
            passed: Passed::default(),
            generator: Mersenne::from_system()?,
        })
    }

    #[inline]
    pub fn decide(&mut self, level: Option<&[u8]>, now_seconds: f64) -> Verdict {
        if self.passing_levels.contains(level) {
            self.passed.record(now_seconds, self.window_seconds);
            return Verdict::Pass;
        }
        if self.generator.random() > self.current_rate {
            return Verdict::Drop;
        }
        self.passed.record(now_seconds, self.window_seconds);
        if now_seconds - self.adjusted_at_seconds >= 1.0 {
            self.adjust(now_seconds);
        }
        Verdict::Pass
    }

    /// Moves the rate towards that which would have let the target pass.
    fn adjust(&mut self, now_seconds: f64) {
        self.adjusted_at_seconds = now_seconds;
        let ideal_rate = self.target_eps / self.passed.per_second(now_seconds);
        let ideal_rate = self.max_sample_rate.min(ideal_rate).max(self.min_sample_rate);
        self.current_rate =
            self.smoothing_factor * ideal_rate + (1.0 - self.smoothing_factor) * self.current_rate;
    }

    pub fn current_sample_rate(&self) -> f64 {
        self.current_rate
    }
}

impl Passed {
    #[inline]
    fn record(&mut self, now_seconds: f64, window_seconds: f64) {
        let is_exact = self.times.len() < usize::from(EXACT_TIMES);
        let apart_seconds = if is_exact { 0.0 } else { window_seconds / f64::from(EXACT_TIMES) };
        self.events += 1;
        match self.times.back_mut() {
            Some((time, events)) if now_seconds - *time <= apart_seconds => *events += 1,
            _ => self.times.push_back((now_seconds, 1)),
        }
        let cutoff = now_seconds - window_seconds;
        while let Some((time, events)) = self.times.front()
            && *time < cutoff
        {
            self.events -= *events;
            self.times.pop_front();
        }
    }

    #[allow(clippy::cast_precision_loss, reason = "2^53 events do not come in a window")]
    fn per_second(&self, now_seconds: f64) -> f64 {
        let oldest = self.times.front().map_or(now_seconds, |(time, _)| *time);
        self.events as f64 / (now_seconds - oldest).max(0.001)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const INFO: Option<&[u8]> = Some(b"\"INFO\"");
    const ERROR: Option<&[u8]> = Some(b"\"Error\"");

    fn filter(target_eps: f64, min_sample_rate: f64, window_seconds: f64) -> AdaptiveSampling {
        let config = config::AdaptiveSampling {
            target_eps,
            min_sample_rate,
            max_sample_rate: 1.0,
            window_seconds,
            always_pass_levels: vec!["ERROR".to_owned()],
            smoothing_factor: 0.3,
        };
        let mut filter = AdaptiveSampling::new(&config, 0.0).unwrap();
        filter.generator = Mersenne::from_python_seed("7").unwrap();
        filter
    }

    /// `AdaptiveSamplingFilter` of fapilog 0.18.1, `random.seed(7)`, `time.monotonic` replaced:
    /// 20 events per second, every tenth an error, where 5 are wanted.
    #[test]
    fn the_rate_follows_the_events_as_in_fapilog() {
        let mut filter = filter(5.0, 0.05, 2.0);
        let mut rates = vec![filter.current_sample_rate()];
        let mut verdicts = String::new();
        for event in 0..60 {
            let level = if event % 10 == 9 { ERROR } else { INFO };
            let passes = filter.decide(level, f64::from(event) * 0.05) == Verdict::Pass;
            verdicts.push(if passes { 'p' } else { '.' });
            if rates.last() != Some(&filter.current_sample_rate()) {
                rates.push(filter.current_sample_rate());
            }
        }
        assert_eq!(verdicts, "pppppppppppppppppppppp.p.ppppp.ppppppppppppppp..pppp..p.pp.p");
        assert_eq!(rates, [1.0, 0.771_428_571_428_571_4, 0.618_947_368_421_052_6]);
    }

    #[test]
    fn levels_that_always_pass_do_not_move_the_rate() {
        let mut filter = filter(0.0, 0.0, 1.0);
        assert!((0..50).all(|event| filter.decide(ERROR, f64::from(event)) == Verdict::Pass));
        assert_eq!(filter.current_sample_rate().to_bits(), 1.0_f64.to_bits());
    }

    /// A million distinct times per window, and still the rate is right to a part in 10,000.
    #[test]
    fn the_memory_for_times_is_bounded() {
        let mut passed = Passed::default();
        for event in 0..3_000_000 {
            passed.record(f64::from(event) * 1e-6, 1.0);
        }
        assert!(passed.times.len() <= 2 * usize::from(EXACT_TIMES));
        assert!((passed.per_second(3.0) / 1e6 - 1.0).abs() < 1e-4);
    }
}
