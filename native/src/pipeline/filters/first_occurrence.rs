//! Keeps the first event of each key.

use hashlink::LinkedHashMap;

use super::Verdict;
use super::key::{Key, Keys};
use super::mersenne::Mersenne;
use crate::error::Result;
use crate::pipeline::config;
use crate::pipeline::python_str::{python_str, python_text};

/// fapilog's `first_occurrence`. It remembers the events of one worker, its keys are hashes, and
/// a container in a key is its JSON.
pub struct FirstOccurrence {
    window_seconds: f64,
    max_keys: usize,
    subsequent_sample_rate: f64,
    keys: Keys,
    /// When each key came first; the oldest comes first.
    seen: LinkedHashMap<Key, f64>,
    generator: Mersenne,
    scratch: Vec<u8>,
}

impl FirstOccurrence {
    pub fn new(config: &config::FirstOccurrence) -> Result<Self> {
        Ok(Self {
            window_seconds: config.window_seconds,
            max_keys: config.max_keys,
            subsequent_sample_rate: config.subsequent_sample_rate,
            keys: Keys::default(),
            seen: LinkedHashMap::new(),
            generator: Mersenne::from_system()?,
            scratch: Vec::new(),
        })
    }

    #[inline]
    pub fn decide(&mut self, parts: &[Option<&[u8]>], now_seconds: f64) -> Verdict {
        let key = self.keys.of(joined(parts, &mut self.scratch));
        self.forget_before(now_seconds - self.window_seconds);
        if !self.seen.contains_key(&key) {
            self.seen.insert(key, now_seconds);
            if self.seen.len() > self.max_keys {
                self.seen.pop_front();
            }
            return Verdict::Pass;
        }
        let rate = self.subsequent_sample_rate;
        if rate > 0.0 && self.generator.random() < rate { Verdict::Pass } else { Verdict::Drop }
    }

    fn forget_before(&mut self, cutoff_seconds: f64) {
        while self.seen.front().is_some_and(|(_, first)| *first < cutoff_seconds) {
            self.seen.pop_front();
        }
    }

    pub fn tracked_key_count(&self) -> usize {
        self.seen.len()
    }
}

/// `"|".join(str(part))`; an absent part is empty.
#[inline]
fn joined<'a>(parts: &[Option<&'a [u8]>], scratch: &'a mut Vec<u8>) -> &'a [u8] {
    if let [Some(only)] = parts {
        return python_text(only, scratch);
    }
    scratch.clear();
    for (at, part) in parts.iter().enumerate() {
        if at > 0 {
            scratch.push(b'|');
        }
        if let Some(json) = part {
            python_str(json, scratch);
        }
    }
    scratch
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filter(
        window_seconds: f64,
        max_keys: usize,
        subsequent_sample_rate: f64,
    ) -> FirstOccurrence {
        let config = config::FirstOccurrence {
            key_fields: Vec::new(),
            window_seconds,
            max_keys,
            subsequent_sample_rate,
        };
        let mut filter = FirstOccurrence::new(&config).unwrap();
        filter.generator = Mersenne::from_python_seed("7").unwrap();
        filter
    }

    fn letter(verdict: Verdict) -> char {
        if verdict == Verdict::Pass { 'p' } else { '.' }
    }

    /// This and the next two: `FirstOccurrenceFilter` of fapilog 0.18.1, `random.seed(7)`,
    /// `time.monotonic` replaced.
    #[test]
    fn a_key_passes_again_after_the_window_or_when_it_was_displaced() {
        let mut filter = filter(10.0, 2, 0.0);
        let verdicts: String = [
            ("1", 0.0),
            ("1", 1.0),
            ("2", 2.0),
            ("1", 10.0),
            ("1", 10.5),
            ("2", 10.6),
            ("3", 11.0),
            ("1", 11.5),
            ("2", 11.6),
            ("2", 11.7),
        ]
        .map(|(message, now)| letter(filter.decide(&[Some(message.as_bytes())], now)))
        .into_iter()
        .collect();
        assert_eq!(verdicts, "p.p.p.p.p.");
        assert_eq!(filter.tracked_key_count(), 2);
    }

    #[test]
    fn a_key_is_pythons_text_of_its_parts() {
        let mut filter = filter(60.0, 100, 0.0);
        let verdicts: String = [
            [Some(r#""a""#), None],
            [Some(r#""a""#), Some(r#""""#)],
            [Some(r#""a""#), Some("null")],
            [Some(r#""a""#), Some(r#""None""#)],
            [Some(r#""a|""#), Some(r#""b""#)],
            [Some(r#""a""#), Some(r#""|b""#)],
            [Some(r#""a""#), Some("1.0")],
            [Some(r#""\u0061""#), Some(r#""1.0""#)],
            [None, None],
        ]
        .map(|parts| letter(filter.decide(&parts.map(|part| part.map(str::as_bytes)), 0.0)))
        .into_iter()
        .collect();
        assert_eq!(verdicts, "p.p.p.p.p");
    }

    #[test]
    fn later_events_are_sampled() {
        let mut filter = filter(60.0, 100, 0.5);
        let verdicts: String = (0..16).map(|_| letter(filter.decide(&[Some(b"1")], 0.0))).collect();
        assert_eq!(verdicts, "ppp.p.pp.ppppp.p");
    }

    #[test]
    fn without_key_fields_all_events_are_the_same() {
        let mut filter = filter(60.0, 100, 0.0);
        assert_eq!([0.0, 1.0].map(|now| filter.decide(&[], now)), [Verdict::Pass, Verdict::Drop]);
    }
}
