use std::net::Ipv4Addr;
use std::sync::Arc;

use super::*;

const NOW_NS: u64 = 5_000_000_000;

fn address(number: u32) -> IpAddr {
    IpAddr::V4(Ipv4Addr::from(0x0a00_0000 + number))
}

/// Addresses that fall into one set.
fn of_one_set(sources: &Sources, count: usize) -> Vec<IpAddr> {
    let set = |number| sources.tag(address(number)) % SETS as u64;
    (0..).filter(|number| set(*number) == set(0)).map(address).take(count).collect()
}

/// Over all workers an address has the connections it may have, to the last one, however they
/// come and go at once.
#[test]
fn connections_are_exact_over_workers() {
    const WORKERS: usize = 4;
    const LIMIT: u32 = 7;
    let sources = Arc::new(Sources::create(WORKERS).unwrap());
    // Counted behind an entrance and before a leave, so it never exceeds what there is. The sum over
    // the columns may, while it is read.
    let (open, most) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let workers: Vec<_> = (0..WORKERS)
        .map(|worker| {
            let (sources, open, most) =
                (Arc::clone(&sources), Arc::clone(&open), Arc::clone(&most));
            std::thread::spawn(move || {
                let mut held = Vec::new();
                for round in 0..20_000 {
                    if round % 3 == 2 {
                        if let Some(place) = held.pop() {
                            open.fetch_sub(1, Ordering::AcqRel);
                            sources.leave(worker, place);
                        }
                    } else if let Some(place) = sources.enter(worker, address(1), Some(LIMIT), 0) {
                        most.fetch_max(open.fetch_add(1, Ordering::AcqRel) + 1, Ordering::Relaxed);
                        held.push(place);
                    }
                }
                held
            })
        })
        .collect();
    let held: Vec<_> = workers.into_iter().map(|worker| worker.join().unwrap()).collect();
    assert_eq!(most.load(Ordering::Relaxed), u64::from(LIMIT));
    let left: usize = held.iter().map(Vec::len).sum();
    for _ in left..LIMIT as usize {
        assert!(sources.enter(0, address(1), Some(LIMIT), 0).is_some());
    }
    assert!(sources.enter(1, address(1), Some(LIMIT), 0).is_none());
    assert!(sources.enter(1, address(2), Some(LIMIT), 0).is_some());
}

/// A worker that died in the midst of it leaves nothing behind once its index is cleared: neither
/// connections nor a lock, and what others have stays.
#[test]
fn a_dead_worker_leaves_nothing() {
    let sources = Sources::create(2).unwrap();
    let other = Sources::attach(sources.fileno()).unwrap();
    let place = sources.enter(0, address(1), Some(2), 0).unwrap();
    assert_eq!(other.enter(1, address(1), Some(2), 0), Some(place));
    let set = place.0 as usize / WAYS;
    sources.lock(set).store(1, Ordering::Relaxed);
    // Nobody waits for it for long: who comes meanwhile is counted with the others.
    assert_eq!(other.enter(1, address(1), Some(2), 0), Some(Place::SHARED));
    other.leave(1, Place::SHARED);
    // Its successor takes the lock over.
    assert_eq!(sources.enter(0, address(1), Some(2), 0), None);
    sources.lock(set).store(1, Ordering::Relaxed);
    other.clear(0);
    assert_eq!(sources.connections(place), 1);
    assert_eq!(other.enter(1, address(1), Some(2), 0), Some(place));
    assert_eq!(other.enter(1, address(1), Some(2), 0), None);
}

/// Killed at any store of taking an entry over, a worker leaves one that others can use.
#[test]
fn an_entry_taken_over_half_way_is_whole() {
    for stores in 0..3 {
        let sources = Sources::create(2).unwrap();
        let rates = Rates { events: Some(10), bytes: None };
        let load = Load { events: 10, bytes: 0 };
        let (admitted, place) = sources.admit(0, address(1), &rates, load, 0);
        assert!(admitted && !place.is_shared());
        sources.lock(place.0 as usize / WAYS).store(1, Ordering::Relaxed);
        for word in [EVENTS, BYTES].into_iter().take(stores) {
            sources.at(place, word).store(0, Ordering::Relaxed);
        }
        sources.clear(0);
        assert_eq!(sources.admit(1, address(1), &rates, load, NOW_NS), (true, place));
        assert_eq!(sources.admit(1, address(1), &rates, load, NOW_NS), (false, place));
    }
}

/// A table full of senders still serves others, together; who is idle makes room.
#[test]
fn a_full_table_refuses_nobody() {
    let sources = Sources::create(1).unwrap();
    let addresses = of_one_set(&sources, WAYS + 2);
    let enter = |at: usize, limit| sources.enter(0, addresses[at], Some(limit), NOW_NS).unwrap();
    let places: Vec<_> = (0..WAYS).map(|at| enter(at, 1)).collect();
    assert!(places.iter().all(|place| !place.is_shared()));
    for at in [WAYS, WAYS + 1] {
        assert!(enter(at, 1).is_shared() && enter(at, 1).is_shared());
    }
    // Who has an entry is held to the limit as before.
    assert_eq!(sources.enter(0, addresses[0], Some(1), NOW_NS), None);
    sources.leave(0, places[3]);
    assert_eq!(enter(WAYS, 1), places[3]);
    // Who owes something is not idle.
    sources.leave(0, places[4]);
    let rates = Rates { events: Some(1), bytes: Some(1) };
    sources.charge(places[4], &rates, Load { events: 0, bytes: 3 }, NOW_NS);
    assert!(enter(WAYS + 1, 1).is_shared());
    let later = NOW_NS + 3_000_000_000;
    assert_eq!(sources.enter(0, addresses[WAYS + 1], Some(1), later), Some(places[4]));
}

/// Workers that admit for one address at once admit what its rate gives and no more; what the
/// bytes refuse costs no events.
#[test]
fn admission_is_exact_over_workers() {
    let sources = Arc::new(Sources::create(3).unwrap());
    let rates = Rates { events: Some(1000), bytes: Some(50_000) };
    let admitted: u64 = std::thread::scope(|scope| {
        let work = |worker| {
            let sources = &sources;
            move || -> u64 {
                let load = Load { events: 1, bytes: 100 };
                (0..2000)
                    .map(|_| sources.admit(worker, address(9), &rates, load, NOW_NS))
                    .filter(|(is_admitted, _)| *is_admitted)
                    .count() as u64
            }
        };
        let threads: Vec<_> = (0..3).map(|worker| scope.spawn(work(worker))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).sum()
    });
    assert_eq!(admitted, 500);
    let left = Load { events: 500, bytes: 0 };
    assert!(sources.admit(0, address(9), &rates, left, NOW_NS).0);
    assert!(!sources.admit(0, address(9), &rates, Load { events: 1, bytes: 0 }, NOW_NS).0);
}

/// Memory that is no such table is refused, not misread.
#[test]
fn a_foreign_table_is_refused() {
    let sources = Sources::create(1).unwrap();
    sources.mapping.word(2).store(2, Ordering::Relaxed);
    assert!(matches!(Sources::attach(sources.fileno()), Err(Error::Layout(_))));
    assert!(matches!(Sources::create(0), Err(Error::Invalid(_))));
}
