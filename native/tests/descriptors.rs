//! A process that has no file descriptors left, alone in its own: the limit is of all of it.

#![allow(clippy::unwrap_used, clippy::panic)] // in a test they are how it fails

mod bench;

use std::io::Write;
use std::net::TcpStream;

use _native::counters::cells;
use bench::Bench;

/// `descriptors` among the reasons of `ingest_accept_pauses_total`.
const DESCRIPTORS: usize = 1;

/// Allows the process this many descriptors more than it has open.
fn allow(more: u64) {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: a valid place for the kernel to write to.
    assert_eq!(unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) }, 0);
    let set = |most: u64| {
        let limit = libc::rlimit { rlim_cur: most.min(limit.rlim_max), ..limit };
        // SAFETY: a valid place for the kernel to read from.
        assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) }, 0);
    };
    // Counting needs one itself.
    set(u64::MAX);
    let used = std::fs::read_dir("/proc/self/fd").unwrap().count() as u64;
    set(used + more);
}

fn connections(bench: &Bench, count: usize) -> Vec<TcpStream> {
    (0..count).map(|_| bench.connect()).collect()
}

fn say(connections: &mut [TcpStream]) {
    for connection in connections {
        connection.write_all(b"{\"a\":1}\n").unwrap();
    }
}

/// Who connects then waits; who is connected is served, and it is noted once. As soon as there are
/// descriptors again, or connections go, the others are served. And of its own accord a worker
/// leaves some of them to its journals.
#[test]
fn without_descriptors_senders_wait() {
    let mut bench = Bench::new("exhausted", 1000, 1 << 16);
    // The journal has opened its segment before the shortage begins.
    say(&mut [bench.connect()]);
    bench.run_until(|bench| bench.ledger(0).journaled == 1);
    let mut senders = connections(&bench, 10);
    allow(4);
    say(&mut senders);
    bench.run_until(|bench| bench.of_the_worker(cells::ACCEPT_PAUSES, DESCRIPTORS) == 1);
    let served = bench.cell(cells::CONNECTIONS_OPENED);
    assert!(served > 1 && served < 11, "{served}");
    bench.run_until(|bench| bench.ledger(0).journaled == served);
    // It is tried again and fails, which is still the same shortage.
    bench.run_until(|bench| bench.of_the_worker(cells::ACCEPT_ERRORS, 0) >= 3);
    assert_eq!(bench.of_the_worker(cells::ACCEPT_PAUSES, DESCRIPTORS), 1);
    let notices = bench.shard.take_notices();
    assert_eq!(notices.iter().map(|notice| notice.cause).collect::<Vec<_>>(), ["descriptors"]);
    // Each that goes makes room for one.
    senders.pop();
    allow(0);
    bench.run_until(|bench| bench.cell(cells::CONNECTIONS_OPENED) > served);
    allow(500);
    bench.run_until(|bench| bench.ledger(0).journaled == 11);
    drop(senders);
    bench.run_until(|bench| bench.cell(cells::CONNECTIONS_CLOSED) == 11);
    bench.stored();

    // 64 are kept back, besides those the shard takes itself.
    allow(64 + 30);
    let mut bench = Bench::new("reserve", 1000, 1 << 16);
    let mut senders = connections(&bench, 40);
    say(&mut senders);
    bench.run_until(|bench| bench.of_the_worker(cells::ACCEPT_PAUSES, DESCRIPTORS) == 1);
    let served = bench.cell(cells::CONNECTIONS_OPENED);
    assert!(served > 0 && served < 30, "{served}");
    assert_eq!(bench.of_the_worker(cells::ACCEPT_ERRORS, 0), 0);
    drop(senders);
    bench.run_until(|bench| bench.ledger(0).journaled == 40);
    bench.stored();
}
