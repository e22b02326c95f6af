//! Senders are held to the limits of their listener: who breaks one is refused, dropped, paused
//! or closed, and counted; the others go on, and the ledger stays closed.

#![allow(clippy::unwrap_used, clippy::panic)] // in a test they are how it fails

mod bench;

use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::FromRawFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use _native::counters::{
    ACCEPT_PAUSES, DROP_REASONS, EXPIRIES, REFUSALS, Region, SOURCE_LIMITS, Sources, cells,
};
use _native::receive::Bounds;
use _native::shard::{Pipeline, SharedMemory};
use bench::{BOUNDS, Bench, PATIENCE, listener_of};
use serde_json::{Value, json};

fn position(names: &[&str], name: &str) -> usize {
    names.iter().position(|one| *one == name).unwrap()
}

fn refused(bench: &Bench, reason: &str) -> u64 {
    bench.labelled(cells::CONNECTIONS_REFUSED, position(REFUSALS, reason))
}

fn expired(bench: &Bench, reason: &str) -> u64 {
    bench.labelled(cells::CONNECTIONS_EXPIRED, position(EXPIRIES, reason))
}

fn open(bench: &Bench) -> u64 {
    bench.cell(cells::LISTENER_CONNECTIONS)
}

fn shared_memory() -> SharedMemory {
    let names = ["tcp".to_owned()];
    let region = Region::create(2, &names, &["first".to_owned(), "second".to_owned()], b"");
    SharedMemory {
        region: Arc::new(region.unwrap()),
        sources: Arc::new(Sources::create(2).unwrap()),
    }
}

/// One of two workers, with a TCP listener that is told `changes`.
fn worker(
    name: &str,
    memory: &SharedMemory,
    worker: usize,
    changes: &Value,
    bounds: Bounds,
) -> Bench {
    let socket = TcpListener::bind("0.0.0.0:0").unwrap();
    let port = socket.local_addr().unwrap().port();
    let listeners = vec![listener_of(0, "tcp", changes, socket.into())];
    let bench = Bench::of_worker(name, memory, worker, listeners, bounds, &Pipeline::default());
    Bench { addresses: vec![(Ipv4Addr::LOCALHOST, port).into()], ..bench }
}

fn alone(name: &str, changes: &Value) -> Bench {
    worker(name, &shared_memory(), 0, changes, BOUNDS)
}

/// A worker with one UDP listener.
fn datagrams(name: &str, changes: &Value) -> Bench {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let addresses = vec![socket.local_addr().unwrap()];
    let listeners = vec![listener_of(0, "udp", changes, socket.into())];
    let bench = Bench::with_listeners(name, listeners, BOUNDS, &Pipeline::default());
    Bench { addresses, ..bench }
}

/// Connects from another address of this machine.
fn connect_from(address: Ipv4Addr, to: SocketAddr) -> TcpStream {
    let SocketAddr::V4(to) = to else { panic!("{to}") };
    let place = |ip: Ipv4Addr, port: u16| libc::sockaddr_in {
        sin_family: libc::sa_family_t::try_from(libc::AF_INET).unwrap(),
        sin_port: port.to_be(),
        sin_addr: libc::in_addr { s_addr: u32::from(ip).to_be() },
        sin_zero: [0; 8],
    };
    let length = libc::socklen_t::try_from(size_of::<libc::sockaddr_in>()).unwrap();
    let (from, to) = (place(address, 0), place(*to.ip(), to.port()));
    // SAFETY: the addresses are as long as said; the descriptor is the stream's from then on.
    unsafe {
        let raw = libc::socket(libc::AF_INET, libc::SOCK_STREAM | libc::SOCK_CLOEXEC, 0);
        let stream = TcpStream::from_raw_fd(raw);
        assert_eq!(libc::bind(raw, (&raw const from).cast(), length), 0);
        assert_eq!(libc::connect(raw, (&raw const to).cast(), length), 0);
        stream
    }
}

/// Whether the other end has closed the connection.
fn is_closed(mut connection: &TcpStream) -> bool {
    connection.set_nonblocking(true).unwrap();
    let outcome = connection.read(&mut [0; 8]);
    connection.set_nonblocking(false).unwrap();
    !matches!(outcome, Err(error) if error.kind() == ErrorKind::WouldBlock)
}

fn causes(bench: &mut Bench) -> Vec<&'static str> {
    bench.shard.take_notices().into_iter().map(|notice| notice.cause).collect()
}

/// Who is not on the list, or is on the other, is closed at once; who is on it is served.
#[test]
fn an_address_that_may_not_send_is_closed() {
    let lists = json!({"allow": ["127.0.0.0/29"], "deny": ["127.0.0.3"]});
    let mut bench = alone("denied", &lists);
    let denied = [3, 9].map(|last| connect_from([127, 0, 0, last].into(), bench.addresses[0]));
    let mut welcome = connect_from([127, 0, 0, 2].into(), bench.addresses[0]);
    welcome.write_all(b"{\"welcome\":true}\n").unwrap();
    bench.run_until(|bench| bench.ledger(0).journaled == 1);
    assert!(denied.iter().all(is_closed));
    assert_eq!((refused(&bench, "denied"), open(&bench)), (2, 1));
    assert_eq!(bench.cell(cells::CONNECTIONS_OPENED), 1);
    let notices = bench.shard.take_notices();
    assert_eq!(notices.len(), 1);
    assert!(notices[0].peer.unwrap().to_string().starts_with("127.0.0."));
    assert_eq!(bench.stored().0, ["{\"welcome\":true}"]);
}

/// Events of datagrams from an address that may not send are counted as dropped, to the last.
#[test]
fn datagrams_that_may_not_be_sent_are_dropped() {
    let mut bench = datagrams("denied-datagrams", &json!({"deny": ["127.0.0.2/31"]}));
    let denied = UdpSocket::bind("127.0.0.3:0").unwrap();
    let welcome = UdpSocket::bind("127.0.0.1:0").unwrap();
    for _ in 0..40 {
        denied.send_to(b"{\"a\":1}\n\n{\"b\":2}\nnonsense", bench.addresses[0]).unwrap();
        welcome.send_to(b"{\"c\":3}", bench.addresses[0]).unwrap();
    }
    bench.run_until(|bench| bench.ledger(0).received == 160);
    bench.run_until(|bench| bench.ledger(0).journaled == 40);
    let ledger = bench.ledger(0);
    let reason = position(DROP_REASONS, "denied");
    assert_eq!((ledger.dropped[reason], ledger.in_flight, ledger.closed), (120, 0, true));
    assert_eq!(bench.cell(cells::DATAGRAMS), 80);
    assert_eq!(causes(&mut bench), ["denied"]);
    let (stored, dead) = bench.stored();
    assert_eq!((stored.len(), dead.len()), (40, 0));
}

/// One address has its connections over all workers, and no more; another has its own. What a
/// worker held that was killed does not count once its successor is there.
#[test]
fn an_address_has_so_many_connections_over_all_workers() {
    let memory = shared_memory();
    let limits = json!({"limits": {"source_connections": 2}});
    let mut first = worker("source-0", &memory, 0, &limits, BOUNDS);
    let mut second = worker("source-1", &memory, 1, &limits, BOUNDS);
    let _held = [first.connect(), second.connect()];
    first.run_until(|bench| open(bench) == 1);
    second.run_until(|bench| open(bench) == 1);
    let refused_ones = [first.connect(), second.connect()];
    let mut other = connect_from([127, 0, 0, 2].into(), second.addresses[0]);
    other.write_all(b"{\"other\":true}\n").unwrap();
    first.run_until(|bench| refused(bench, "source_connections") == 1);
    second.run_until(|bench| bench.ledger(0).journaled == 1);
    assert_eq!(refused(&second, "source_connections"), 1);
    assert!(refused_ones.iter().all(is_closed));
    assert_eq!(causes(&mut first), ["source_connections"]);
    // Nothing is told to anybody, as when the process is killed.
    let Bench { directory, shard, .. } = first;
    drop(shard);
    std::fs::remove_dir_all(directory).unwrap();
    let mut successor = worker("source-2", &memory, 0, &limits, BOUNDS);
    let _next = successor.connect();
    successor.run_until(|bench| bench.cell(cells::CONNECTIONS_OPENED) == 3);
    let _too_many = second.connect();
    second.run_until(|bench| refused(bench, "source_connections") == 2);
    successor.stored();
    second.stored();
}

/// Also those of who says nothing count, where a header of a stranger would be refused.
#[test]
fn silent_connections_count_where_proxies_are_trusted() {
    let limits = json!({
        "proxies": ["192.0.2.1"], "limits": {"source_connections": 1, "idle_seconds": 0.3},
    });
    let mut bench = alone("silent", &limits);
    let (silent, too_many) = (bench.connect(), bench.connect());
    bench.run_until(|bench| refused(bench, "source_connections") == 1);
    assert!(is_closed(&too_many) && !is_closed(&silent));
    bench.run_until(|bench| expired(bench, "idle") == 1);
    let mut next = bench.connect();
    next.write_all(b"{\"next\":true}\n").unwrap();
    bench.run_until(|bench| bench.ledger(0).journaled == 1);
    bench.stored();
}

/// A listener has its own number of connections; who comes then is closed.
#[test]
fn a_listener_has_so_many_connections() {
    let mut bench = alone("listener-limit", &json!({"limits": {"connections": 2}}));
    let held = [bench.connect(), bench.connect()];
    bench.run_until(|bench| open(bench) == 2);
    let too_many = bench.connect();
    bench.run_until(|bench| refused(bench, "listener_connections") == 1);
    assert!(is_closed(&too_many) && !held.iter().any(is_closed));
    drop(held);
    bench.run_until(|bench| open(bench) == 0);
    let mut next = bench.connect();
    next.write_all(b"{\"next\":true}\n").unwrap();
    bench.run_until(|bench| bench.ledger(0).journaled == 1);
    bench.stored();
}

/// Where all workers together have as many connections as there may be, the next sender waits
/// for a place at any of them.
#[test]
fn all_workers_together_have_so_many_connections() {
    let (memory, bounds) = (shared_memory(), Bounds { connections: 2, ..BOUNDS });
    let mut first = worker("total-0", &memory, 0, &json!({}), bounds);
    let mut second = worker("total-1", &memory, 1, &json!({}), bounds);
    let held = [first.connect(), first.connect()];
    first.run_until(|bench| open(bench) == 2);
    let mut waiting = second.connect();
    waiting.write_all(b"{\"waited\":true}\n").unwrap();
    let pauses = position(ACCEPT_PAUSES, "connections");
    second.run_until(|bench| bench.of_the_worker(cells::ACCEPT_PAUSES, pauses) == 1);
    assert_eq!((open(&second), causes(&mut second)), (0, vec!["connections"]));
    drop(held);
    first.run_until(|bench| open(bench) == 0);
    second.run_until(|bench| bench.ledger(0).journaled == 1);
    first.stored();
    second.stored();
}

/// Who sends nothing but what becomes dead letters has to wait in between, and all of it is kept.
#[test]
fn who_floods_the_dead_letters_has_to_wait() {
    let mut bench = alone("dead-letters", &json!({}));
    let (mut flood, mut other) = (bench.connect(), bench.connect());
    flood.write_all("no event\n".repeat(60_000).as_bytes()).unwrap();
    let pauses = position(SOURCE_LIMITS, "dead_letters");
    bench.run_until(|bench| bench.labelled(cells::SOURCE_PAUSES, pauses) == 1);
    other.write_all(b"{\"other\":true}\n").unwrap();
    bench.run_until(|bench| bench.ledger(0).journaled == 1);
    flood.write_all(b"{\"late\":true}\n").unwrap();
    bench.run_until(|bench| {
        let ledger = bench.ledger(0);
        (ledger.journaled, ledger.dead_lettered) == (2, 60_000)
    });
    bench.stored();
}

/// Who sends a frame bit by bit does not keep its connection with that; what came of it is a dead
/// letter. Who sends whole frames, slowly, does.
#[test]
fn an_incomplete_frame_has_a_deadline() {
    let mut bench = alone("slow", &json!({"limits": {"frame_seconds": 0.4}}));
    let mut slow = bench.connect();
    let mut good = bench.connect();
    slow.write_all(b"{\"whole\":true}\n{\"slow\":\"").unwrap();
    let deadline = Instant::now() + PATIENCE;
    let mut sent = 0;
    while expired(&bench, "frame") == 0 {
        assert!(Instant::now() < deadline, "the slow sender is still there");
        let _ = slow.write_all(b"x");
        good.write_all(b"{\"good\":true}\n").unwrap();
        sent += 1;
        let goods = sent + 1;
        bench.run_until(|bench| bench.ledger(0).journaled == goods || expired(bench, "frame") == 1);
    }
    bench.run_until(|bench| bench.ledger(0).journaled == sent + 1);
    bench.run_until(|bench| bench.ledger(0).in_flight == 0);
    assert!(is_closed(&slow) && !is_closed(&good));
    assert_eq!(causes(&mut bench), ["frame"]);
    let ledger = bench.ledger(0);
    assert!(ledger.closed);
    let (stored, dead) = bench.stored();
    assert_eq!((stored.len() as u64, dead.len()), (sent + 1, 1));
    let letter: Value = serde_json::from_str(&dead[0]).unwrap();
    assert_eq!(letter["reason"], "incomplete_frame");
    assert!(letter["raw"].as_str().unwrap().starts_with("{\"slow\":\"x"));
}

/// A silent connection is closed, one that sends now and then is not.
#[test]
fn a_silent_connection_is_closed() {
    let mut bench = alone("idle", &json!({"limits": {"idle_seconds": 0.6}}));
    let silent = bench.connect();
    let mut good = bench.connect();
    let deadline = Instant::now() + PATIENCE;
    let mut sent = 0;
    while expired(&bench, "idle") == 0 {
        assert!(Instant::now() < deadline, "the silent connection is still open");
        good.write_all(b"{\"good\":true}\n").unwrap();
        sent += 1;
        bench.run_until(|bench| bench.ledger(0).journaled == sent);
    }
    assert!(is_closed(&silent) && !is_closed(&good));
    assert_eq!((open(&bench), causes(&mut bench)), (1, vec!["idle"]));
    assert_eq!(bench.stored().1, Vec::<String>::new());
}

/// When incomplete frames take too much memory the largest is given up, and nobody else.
#[test]
fn incomplete_frames_have_a_bound_of_memory() {
    let bounds = Bounds { partial_bytes: 1000, ..BOUNDS };
    let mut bench = worker("memory", &shared_memory(), 0, &json!({}), bounds);
    let mut large = bench.connect();
    let mut small = bench.connect();
    large.write_all(&[b'l'; 700]).unwrap();
    bench.run_until(|bench| bench.of_the_worker(cells::PARTIAL, 0) == 700);
    small.write_all(&[b's'; 400]).unwrap();
    bench.run_until(|bench| expired(bench, "memory") == 1);
    bench.run_until(|bench| bench.of_the_worker(cells::PARTIAL, 0) == 400);
    assert!(is_closed(&large) && !is_closed(&small));
    small.write_all(b"\n").unwrap();
    bench.run_until(|bench| bench.ledger(0).dead_lettered == 2);
    assert_eq!(bench.of_the_worker(cells::PARTIAL, 0), 0);
    assert_eq!(causes(&mut bench), ["memory"]);
    let reasons: Vec<String> = bench
        .stored()
        .1
        .iter()
        .map(|text| {
            let letter: Value = serde_json::from_str(text).unwrap();
            letter["reason"].as_str().unwrap().to_owned()
        })
        .collect();
    assert_eq!(reasons, ["incomplete_frame", "not_an_object"]);
}

/// Who sends faster than it may waits, over all its connections to all workers; nothing is lost
/// and it does not get more than its rate.
#[test]
fn an_address_that_sends_too_fast_waits() {
    const RATE: usize = 2_000_000;
    const LINES: usize = 3000;
    let memory = shared_memory();
    let limits = json!({"limits": {"source_bytes_per_second": RATE}});
    let mut benches: Vec<Bench> =
        (0..2).map(|at| worker(&format!("fast-{at}"), &memory, at, &limits, BOUNDS)).collect();
    let line = format!("{{\"padding\":\"{}\"}}\n", "x".repeat(985));
    let began = Instant::now();
    let senders: Vec<_> = benches
        .iter()
        .map(|bench| {
            let (mut connection, text) = (bench.connect(), line.repeat(LINES));
            std::thread::spawn(move || connection.write_all(text.as_bytes()).unwrap())
        })
        .collect();
    let runners: Vec<_> = benches
        .drain(..)
        .map(|mut bench| {
            std::thread::spawn(move || {
                bench.run_until(|bench| bench.ledger(0).journaled == LINES as u64);
                let limit = position(SOURCE_LIMITS, "bytes");
                assert!(bench.labelled(cells::SOURCE_PAUSES, limit) > 0);
                assert_eq!(bench.labelled(cells::SOURCE_PAUSES, 1 - limit), 0);
                bench.stored();
            })
        })
        .collect();
    for thread in runners.into_iter().chain(senders) {
        thread.join().unwrap();
    }
    // All but a second's worth at once, and one read of each connection as a debt.
    let debts = 2 * 256 * 1024;
    let paid = 2 * LINES * line.len() - RATE - debts;
    assert!(began.elapsed() >= Duration::from_micros((paid * 1_000_000 / RATE) as u64));
}

/// What a sender had sent that had to wait is stored when the worker ends.
#[test]
fn finishing_reads_who_had_to_wait() {
    let mut bench = alone("paused-end", &json!({"limits": {"source_events_per_second": 1}}));
    let mut sender = bench.connect();
    sender.write_all("{\"early\":true}\n".repeat(100).as_bytes()).unwrap();
    bench.run_until(|bench| bench.labelled(cells::SOURCE_PAUSES, 0) == 1);
    let early = bench.ledger(0).received;
    sender.write_all("{\"late\":true}\n".repeat(100).as_bytes()).unwrap();
    drop(sender);
    bench.run_until(|bench| bench.ledger(0).journaled == early);
    assert_eq!((early, open(&bench)), (100, 1));
    assert_eq!(bench.stored().0.len(), 200);
}

/// Datagrams beyond the rate are dropped, and each of their events is counted.
#[test]
fn datagrams_beyond_the_rate_are_dropped() {
    let limits = json!({"limits": {"source_events_per_second": 100}});
    let mut bench = datagrams("rate", &limits);
    let sender = UdpSocket::bind("127.0.0.1:0").unwrap();
    let other = UdpSocket::bind("127.0.0.2:0").unwrap();
    for number in 0..400 {
        sender.send_to(b"{\"a\":1}\n{\"b\":2}", bench.addresses[0]).unwrap();
        if number % 4 == 0 {
            bench.run_until(|bench| bench.ledger(0).received >= 2 * number);
        }
    }
    other.send_to(b"{\"other\":true}", bench.addresses[0]).unwrap();
    bench.run_until(|bench| bench.ledger(0).received == 801 && bench.ledger(0).in_flight == 0);
    let ledger = bench.ledger(0);
    let dropped = ledger.dropped[position(DROP_REASONS, "rate_limited")];
    assert!(ledger.closed && dropped > 0 && ledger.journaled >= 101, "{ledger:?}");
    assert_eq!(ledger.journaled + dropped, 801);
    assert_eq!(causes(&mut bench), ["rate_limited"]);
    let stored = bench.stored().0;
    assert_eq!(stored.iter().filter(|line| line.contains("other")).count(), 1);
}
