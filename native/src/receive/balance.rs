//! Who should do what: decided from numbers alone, so that every worker comes to the same view.
//!
//! A worker only ever gives. It gives what fits into half of what it has more than the taker, so
//! that the difference shrinks and never turns round: a balanced state stays as it is.

/// Below this load (bytes per second, see `load`) no core is worth relieving.
pub const LEAST_LOAD: u64 = 2 * 1024 * 1024;
/// A connection takes turns until its load is below this; rates that waver around one bound would
/// have it stay here and there for a while.
pub const LEAST_LOAD_FOR_TURNS: u64 = LEAST_LOAD / 4;
/// Two workers are balanced as long as the difference is not above this share of their sum:
/// at most 55 : 45. Measured rates waver by some percent.
const BALANCED_SHARE: u64 = 10;
/// A connection that no worker can hold in balance takes turns above this share: 60 : 40.
const UNEVEN_SHARE: u64 = 5;
/// Something moves when the load was uneven so often in a row.
const UNEVEN_TIMES: u32 = 2;
/// A worker is clearly busier with so many more millionths of a core, whatever the bytes say: its
/// lines may be costlier.
const CLEARLY_BUSIER: u64 = 250_000;

/// What a worker has to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Work {
    /// Its index.
    pub worker: usize,
    /// Its connections, those on their way to it included.
    pub connections: u64,
    /// The load of the senders that stay with it.
    pub load: u64,
    /// Millionths of a core that it needs.
    pub busy: u64,
}

impl Work {
    /// Whether anything may be given to the worker by one with this work.
    pub fn may_take_from(&self, giver: &Self) -> bool {
        self.busy < giver.busy + CLEARLY_BUSIER
    }

    /// Whether a connection that comes to `accepting` had better be served here. A few percent
    /// are not worth the way.
    pub fn should_accept_for(&self, accepting: &Self) -> bool {
        let worthwhile = 1 + accepting.connections / 64;
        self.connections + worthwhile <= accepting.connections && self.may_take_from(accepting)
    }
}

/// What a worker should pass on.
#[derive(Debug, PartialEq, Eq)]
pub enum Decision {
    /// Nothing.
    Keep,
    /// The first so many of the candidates.
    Give(usize),
    /// The first candidate, which from now on takes turns: wherever it stays, it is too much.
    Rotate,
}

/// Waits until what was decided is decided again: what another worker shows may be older than what this
/// one has measured already, and senders of equal strength are not always of equal luck with the
/// processors.
#[derive(Debug, Default)]
pub struct Patience {
    uneven_times: u32,
}

impl Patience {
    /// What to do now that this was decided.
    pub fn confirm(&mut self, decision: Decision) -> Decision {
        let times = self.uneven_times + 1;
        let is_confirmed = times >= UNEVEN_TIMES;
        self.uneven_times = if decision == Decision::Keep || is_confirmed { 0 } else { times };
        if is_confirmed { decision } else { Decision::Keep }
    }
}

/// Decides what a worker should pass on to one with less to do.
///
/// `candidates` are the loads of connections with their places; they are put into another order.
pub fn decide(giver: u64, taker: u64, candidates: &mut [(u64, usize)]) -> Decision {
    let (difference, sum) = (giver.saturating_sub(taker), giver + taker);
    if giver < LEAST_LOAD || difference <= sum / BALANCED_SHARE {
        return Decision::Keep;
    }
    candidates.sort_unstable_by(|one, other| other.cmp(one));
    let mut room = difference / 2;
    let mut chosen = 0;
    for at in 0..candidates.len() {
        let (load, _) = candidates[at];
        if load > 0 && load <= room {
            room -= load;
            candidates.swap(chosen, at);
            chosen += 1;
        }
    }
    if chosen > 0 {
        return Decision::Give(chosen);
    }
    // The lightest of those that are too heavy upsets the others least.
    let is_too_heavy = |(load, _): &(u64, usize)| *load > difference / 2;
    match candidates.iter().rposition(is_too_heavy) {
        Some(lightest) if difference > sum / UNEVEN_SHARE => {
            candidates.swap(0, lightest);
            Decision::Rotate
        }
        _ => Decision::Keep,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MIB: u64 = 1024 * 1024;

    fn decide_for(own: &[u64], taker: u64) -> (Decision, Vec<u64>) {
        let mut candidates: Vec<_> = own.iter().map(|load| load * MIB).zip(0..).collect();
        let decision = decide(own.iter().sum::<u64>() * MIB, taker * MIB, &mut candidates);
        (decision, candidates.into_iter().map(|(load, _)| load / MIB).collect())
    }

    /// What is given fits into half of the difference; the heaviest go first.
    #[test]
    fn what_fits_is_given() {
        let (decision, order) = decide_for(&[1, 7, 2, 30], 10);
        assert_eq!((decision, &order[..3]), (Decision::Give(3), &[7, 2, 1][..]));
    }

    /// One connection that is most of the load cannot be placed well, so it takes turns; where
    /// there is not much to do at all, nothing moves.
    #[test]
    fn what_fits_nowhere_takes_turns() {
        assert_eq!(decide_for(&[100], 0).0, Decision::Rotate);
        assert_eq!(decide_for(&[50, 50, 50], 50), (Decision::Give(1), vec![50, 50, 50]));
        assert_eq!(decide_for(&[50, 50], 50).0, Decision::Rotate);
        assert_eq!(decide_for(&[1], 0).0, Decision::Keep);
    }

    /// What the next look no longer shows moves nothing; what it shows again does, once.
    #[test]
    fn nothing_moves_at_the_first_look() {
        let mut patience = Patience::default();
        let looks = [
            (Decision::Give(1), Decision::Keep),
            (Decision::Keep, Decision::Keep),
            (Decision::Rotate, Decision::Keep),
            (Decision::Give(2), Decision::Give(2)),
            (Decision::Give(2), Decision::Keep),
        ];
        for (decided, done) in looks {
            assert_eq!(patience.confirm(decided), done);
        }
    }

    /// Accepted connections are spread evenly, but none is sent to a worker with costlier ones.
    #[test]
    fn accepted_connections_are_spread() {
        let work = |connections, busy| Work { worker: 0, connections, load: 0, busy };
        assert!(work(0, 0).should_accept_for(&work(1, 0)));
        assert!(!work(1, 0).should_accept_for(&work(1, 0)));
        assert!(!work(0, 300_000).should_accept_for(&work(1, 0)));
        assert!(!work(995, 0).should_accept_for(&work(1000, 0)));
        assert!(work(980, 0).should_accept_for(&work(1000, 0)));
    }

    proptest! {
        /// Giving never makes the taker the one with more: nothing is passed to and fro.
        #[test]
        fn giving_never_turns_the_difference_round(
            own in prop::collection::vec(0u64..200, 0..60),
            taker in 0u64..2000,
        ) {
            let (decision, order) = decide_for(&own, taker);
            if let Decision::Give(count) = decision {
                let given: u64 = order[..count].iter().sum();
                prop_assert!(given > 0);
                prop_assert!(taker + given <= own.iter().sum::<u64>() - given);
            }
        }
    }
}
