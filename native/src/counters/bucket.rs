//! Rate limits that all workers share, as the generic cell rate algorithm: a bucket is one u64,
//! the time (ns of `CLOCK_MONOTONIC`) at which all that was taken will be paid for. It lies at
//! most a burst ahead of now; one that lies in the past is a bucket that is full again.

use std::sync::atomic::{AtomicU64, Ordering};

const SECOND_NS: u64 = 1_000_000_000;
/// So much may be taken at once: what the rate gives in a second.
const BURST_NS: u64 = SECOND_NS;

/// What `count` takes to be paid for, rounded up so that a rate is never exceeded.
fn cost(rate: u64, count: u64) -> u64 {
    let nanoseconds = (u128::from(count) * u128::from(SECOND_NS)).div_ceil(u128::from(rate.max(1)));
    u64::try_from(nanoseconds).unwrap_or(u64::MAX)
}

fn update(bucket: &AtomicU64, next: impl Fn(u64) -> Option<u64>) -> bool {
    bucket.fetch_update(Ordering::AcqRel, Ordering::Acquire, next).is_ok()
}

/// Takes `count` if the rate (per second) allows all of it now. More than a second's worth it
/// never allows.
pub(super) fn take(bucket: &AtomicU64, rate: u64, count: u64, now_ns: u64) -> bool {
    let cost = cost(rate, count);
    update(bucket, |paid_ns| {
        let after = paid_ns.max(now_ns).saturating_add(cost);
        (after <= now_ns + BURST_NS).then_some(after)
    })
}

/// Gives back what [`take`] took and was not used.
pub(super) fn give_back(bucket: &AtomicU64, rate: u64, count: u64) {
    update(bucket, |paid_ns| Some(paid_ns.saturating_sub(cost(rate, count))));
}

/// Takes `count` in any case, as a debt where the rate does not allow it. Returns the time at
/// which the debt is paid; in the past when there is none.
pub(super) fn charge(bucket: &AtomicU64, rate: u64, count: u64, now_ns: u64) -> u64 {
    let after = |paid_ns: u64| paid_ns.max(now_ns).saturating_add(cost(rate, count));
    let before = bucket.fetch_update(Ordering::AcqRel, Ordering::Acquire, |at| Some(after(at)));
    after(before.unwrap_or_default()).saturating_sub(BURST_NS)
}

/// Whether nothing is owed, so that the bucket may be forgotten.
pub(super) fn is_full(bucket: &AtomicU64, now_ns: u64) -> bool {
    bucket.load(Ordering::Acquire) <= now_ns
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Somewhere in the uptime of a machine.
    const START_NS: u64 = 77 * SECOND_NS;

    proptest! {
        /// Threads that take at once never get more than the burst and what the rate has given
        /// since.
        #[test]
        fn a_rate_is_exact_over_threads(
            rate in 1u64..100_000,
            steps in prop::collection::vec((0u64..3_000_000_000, 1u64..50), 1..100),
        ) {
            let bucket = AtomicU64::new(0);
            let taken = AtomicU64::new(0);
            let mut now_ns = START_NS;
            for (pause_ns, count) in steps {
                now_ns += pause_ns;
                std::thread::scope(|scope| {
                    for _ in 0..2 {
                        scope.spawn(|| {
                            let is_granted = take(&bucket, rate, count, now_ns);
                            taken.fetch_add(u64::from(is_granted) * count, Ordering::Relaxed);
                        });
                    }
                });
                let elapsed = u128::from(now_ns - START_NS);
                let given = u128::from(rate) * (elapsed + u128::from(BURST_NS));
                let taken = u128::from(taken.load(Ordering::Relaxed)) * u128::from(SECOND_NS);
                prop_assert!(taken <= given);
            }
        }

        /// A sender that always wants more gets the rate, but for what rounding costs.
        #[test]
        fn a_greedy_sender_gets_its_rate(rate in 1u64..5_000, seconds in 1u64..20) {
            let bucket = AtomicU64::new(0);
            let mut taken = 0;
            for millisecond in 0..=seconds * 1000 {
                let now_ns = START_NS + millisecond * 1_000_000;
                while take(&bucket, rate, 1, now_ns) {
                    taken += 1;
                }
            }
            let given = rate * (seconds + 1);
            prop_assert!(taken <= given && taken + 1 + given / 1000 >= given, "{taken} of {given}");
        }

        /// A debt is paid after just the time that the rate needs for it.
        #[test]
        fn a_debt_is_paid_in_time(rate in 1u64..1_000_000, count in 1u64..10_000_000) {
            let bucket = AtomicU64::new(0);
            let paid_ns = charge(&bucket, rate, count, START_NS);
            let expected = START_NS + cost(rate, count) - BURST_NS;
            prop_assert_eq!(paid_ns, expected);
            prop_assert_eq!(paid_ns > START_NS, count > rate);
            prop_assert!(!take(&bucket, rate, 1, paid_ns));
            prop_assert!(take(&bucket, rate, 1, paid_ns + cost(rate, 1)));
        }
    }

    /// What was taken and given back can be taken again.
    #[test]
    fn what_is_given_back_can_be_taken() {
        let bucket = AtomicU64::new(0);
        assert!(take(&bucket, 10, 10, START_NS) && !take(&bucket, 10, 1, START_NS));
        give_back(&bucket, 10, 4);
        assert!(take(&bucket, 10, 4, START_NS) && !take(&bucket, 10, 1, START_NS));
        assert!(!is_full(&bucket, START_NS) && is_full(&bucket, START_NS + SECOND_NS));
    }
}
