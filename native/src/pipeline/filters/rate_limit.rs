//! A token bucket per key.

use hashlink::LinkedHashMap;
use hashlink::linked_hash_map::Entry;

use super::Verdict;
use super::key::{Key, Keys};
use crate::pipeline::config;
use crate::pipeline::python_str::python_text;

/// The key of events that have none, which an event can also name.
const GLOBAL: &[u8] = b"global";

/// fapilog's `rate_limit`. Its buckets are of one worker, its keys are hashes, and a container
/// as key is its JSON.
pub struct RateLimit {
    capacity: f64,
    refill_rate_per_sec: f64,
    max_keys: usize,
    on_overflow: Verdict,
    keys: Keys,
    /// The least recently used one comes first.
    buckets: LinkedHashMap<Key, Bucket>,
    scratch: Vec<u8>,
}

struct Bucket {
    tokens: f64,
    filled_at_seconds: f64,
}

impl RateLimit {
    pub fn new(config: &config::RateLimit) -> Self {
        Self {
            capacity: config.capacity,
            refill_rate_per_sec: config.refill_rate_per_sec,
            max_keys: config.max_keys,
            on_overflow: if config.mark { Verdict::Mark } else { Verdict::Drop },
            keys: Keys::default(),
            buckets: LinkedHashMap::new(),
            scratch: Vec::new(),
        }
    }

    #[inline]
    pub fn decide(&mut self, key: Option<&[u8]>, now_seconds: f64) -> Verdict {
        let text = key.map_or(GLOBAL, |json| python_text(json, &mut self.scratch));
        let bucket = match self.buckets.entry(self.keys.of(text)) {
            Entry::Occupied(mut entry) => {
                entry.to_back();
                entry.into_mut()
            }
            Entry::Vacant(entry) => {
                entry.insert(Bucket { tokens: self.capacity, filled_at_seconds: now_seconds })
            }
        };
        let elapsed = (now_seconds - bucket.filled_at_seconds).max(0.0);
        bucket.tokens = self.capacity.min(bucket.tokens + elapsed * self.refill_rate_per_sec);
        bucket.filled_at_seconds = now_seconds;
        let has_token = bucket.tokens >= 1.0;
        if has_token {
            bucket.tokens -= 1.0;
        }
        if self.buckets.len() > self.max_keys {
            self.buckets.pop_front();
        }
        if has_token { Verdict::Pass } else { self.on_overflow }
    }

    pub fn tracked_key_count(&self) -> usize {
        self.buckets.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filter(capacity: f64, refill_rate_per_sec: f64, max_keys: usize) -> RateLimit {
        RateLimit::new(&config::RateLimit {
            capacity,
            refill_rate_per_sec,
            key_field: None,
            max_keys,
            mark: false,
        })
    }

    /// One letter per event, `.` for a dropped one.
    fn run(filter: &mut RateLimit, events: &[(&str, f64)]) -> String {
        let passes = |(key, now): &(&str, f64)| {
            let json = (!key.is_empty()).then_some(key.as_bytes());
            if filter.decide(json, *now) == Verdict::Pass { 'p' } else { '.' }
        };
        events.iter().map(passes).collect()
    }

    /// This and the next two: `RateLimitFilter` of fapilog 0.18.1, `time.monotonic` replaced.
    #[test]
    fn a_bucket_refills_with_time_up_to_its_capacity() {
        let times = [0.0, 0.1, 0.2, 0.7, 0.8, 1.2, 60.0, 60.0, 60.0, 60.5];
        let events = times.map(|now| ("", now));
        assert_eq!(run(&mut filter(2.0, 2.0, 10), &events), "pp.p.ppp.p");
    }

    #[test]
    fn keys_are_pythons_text_of_the_value() {
        let events = [
            ("", 0.0),
            (r#""global""#, 0.0),
            ("1", 0.0),
            (r#""1""#, 0.0),
            ("1.0", 0.0),
            ("null", 0.0),
            (r#""None""#, 0.0),
            (r#""\u0041""#, 0.0),
            (r#""A""#, 0.0),
        ];
        assert_eq!(run(&mut filter(1.0, 0.0, 10), &events), "p.p.pp.p.");
    }

    #[test]
    fn the_least_recently_used_bucket_goes_first() {
        let events = ["1", "2", "1", "3", "1", "2", "3", "1"].map(|key| (key, 0.0));
        let mut filter = filter(1.0, 0.0, 2);
        assert_eq!(run(&mut filter, &events), "pp.p.ppp");
        assert_eq!(filter.tracked_key_count(), 2);
    }

    #[test]
    fn an_event_without_a_token_is_marked_where_that_is_asked_for() {
        let mut filter = filter(1.0, 0.0, 2);
        filter.on_overflow = Verdict::Mark;
        assert_eq!([(); 2].map(|()| filter.decide(None, 0.0)), [Verdict::Pass, Verdict::Mark]);
    }
}
