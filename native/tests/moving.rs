//! Several shards over real sockets and inboxes: connections go from one to the other.

#![allow(clippy::unwrap_used, clippy::panic)] // in a test they are how it fails

mod bench;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use _native::counters::{Cell, Region, Sources, cells};
use _native::receive::Sockets;
use _native::shard::{Pipeline, Shard, SharedMemory};
use bench::{BOUNDS, Inbox, PATIENCE, listener_of, read};
use proptest::prelude::*;
use serde_json::{Value, json};

const LINE_BYTES: usize = 1 << 20;

fn event(number: usize) -> String {
    format!("{{\"number\":{number}}}")
}

/// Workers of which only the first is bound, as if the kernel gave everything to that one.
struct Server {
    directory: PathBuf,
    region: Arc<Region>,
    memory: SharedMemory,
    listener: OwnedFd,
    address: SocketAddr,
    inboxes: Vec<Inbox>,
    shards: Vec<Option<Shard>>,
    changes: Value,
}

impl Server {
    fn new(name: &str, workers: usize) -> Self {
        Self::with_listener(name, workers, json!({"limits": {"line_bytes": LINE_BYTES}}))
    }

    /// The listener is told `changes`.
    fn with_listener(name: &str, workers: usize, changes: Value) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let names = ["tcp".to_owned()];
        let memory = SharedMemory {
            region: Arc::new(Region::create(workers, &names, &[], b"").unwrap()),
            sources: Arc::new(Sources::create(workers).unwrap()),
        };
        let mut server = Self {
            directory: bench::directory(&format!("moving-{name}")),
            region: Arc::clone(&memory.region),
            memory,
            address: listener.local_addr().unwrap(),
            listener: listener.into(),
            inboxes: bench::inboxes(workers),
            shards: Vec::new(),
            changes,
        };
        server.shards = (0..workers).map(|worker| Some(server.open(worker))).collect();
        server
    }

    fn open(&self, worker: usize) -> Shard {
        let socket = self.listener.try_clone().unwrap();
        let mut listener = listener_of(0, "tcp", &self.changes, socket);
        if worker > 0 {
            listener.socket = None;
        }
        let (mut shard, _) = Shard::open(
            &self.memory,
            worker,
            &self.directory,
            Sockets {
                listeners: vec![listener],
                inboxes: bench::inherited(&self.inboxes, worker),
                arena: bench::arena(),
            },
            &bench::keeping(),
            bench::limits(BOUNDS),
            &Pipeline::default(),
        )
        .unwrap();
        shard.listen().unwrap();
        shard.tick().unwrap();
        self.region.worker(worker, cells::STATE, 0).store(cells::STATE_READY, Ordering::SeqCst);
        shard
    }

    fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).unwrap()
    }

    fn cell(&self, worker: usize, cell: Cell) -> u64 {
        self.region.worker(worker, cell, 0).load(Ordering::SeqCst)
    }

    fn received(&self) -> u64 {
        let workers = 0..self.region.workers();
        let cell = |worker| self.region.listener(worker, 0, cells::RECEIVED, 0);
        workers.map(|worker| cell(worker).load(Ordering::SeqCst)).sum()
    }

    fn run_until(&mut self, fact: impl Fn(&Self) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !fact(self) {
            assert!(Instant::now() < deadline, "still not true");
            for shard in self.shards.iter_mut().flatten() {
                if !shard.drain() {
                    shard.resume();
                }
                shard.tick().unwrap();
            }
        }
    }

    fn is_gone(&self, worker: usize) {
        self.region.worker(worker, cells::STATE, 0).store(0, Ordering::SeqCst);
    }

    fn finish(&mut self, worker: usize) {
        self.is_gone(worker);
        let shard = self.shards[worker].take().unwrap();
        assert_eq!(shard.finish(PATIENCE, |_, _| false), 0);
    }

    fn hand_over(&mut self, worker: usize) {
        self.is_gone(worker);
        let shard = self.shards[worker].take().unwrap();
        assert_eq!(shard.hand_over(PATIENCE, |_, _| false), 0);
    }

    fn succeed(&mut self, worker: usize) {
        self.shards[worker] = Some(self.open(worker));
    }

    /// Finishes what is left and gives what each worker stored.
    fn stored(mut self) -> Vec<Vec<String>> {
        for worker in 0..self.shards.len() {
            if self.shards[worker].is_some() {
                self.finish(worker);
            }
        }
        let shard = |worker| self.directory.join("journal").join(format!("shard-{worker:04}"));
        let stored = (0..self.shards.len()).map(|worker| read(&shard(worker))).collect();
        std::fs::remove_dir_all(&self.directory).unwrap();
        stored
    }
}

/// Puts messages that nobody understands into an inbox until it is full.
fn fill(inbox: &Inbox) {
    let message = [0xff_u8; 4096];
    // SAFETY: the message is valid for its length.
    while unsafe {
        libc::send(
            inbox.writer.as_raw_fd(),
            message.as_ptr().cast(),
            message.len(),
            libc::MSG_DONTWAIT,
        )
    } > 0
    {}
}

/// However unlucky the kernel's choice, the connections are spread, each opened and closed once.
#[test]
fn connections_that_come_to_one_worker_are_spread() {
    let mut server = Server::new("spread", 3);
    let connections = |server: &Server| [0, 1, 2].map(|at| server.cell(at, cells::CONNECTIONS));
    let senders: Vec<TcpStream> = (0..300).map(|_| server.connect()).collect();
    server.run_until(|server| connections(server).iter().sum::<u64>() == 300);
    for count in connections(&server) {
        assert!(count.abs_diff(100) <= 4, "{:?}", connections(&server));
    }
    assert!([0, 1, 2].iter().all(|at| server.cell(*at, cells::INBOX_CONNECTIONS) == 0));
    for (number, mut sender) in senders.into_iter().enumerate() {
        sender.write_all(event(number).as_bytes()).unwrap();
    }
    server.run_until(|server| connections(server) == [0; 3]);
    for cell in [cells::CONNECTIONS_OPENED, cells::CONNECTIONS_CLOSED] {
        let counts = (0..3).map(|at| server.region.listener(at, 0, cell, 0).load(Ordering::SeqCst));
        assert_eq!(counts.sum::<u64>(), 300);
    }
    let mut stored: Vec<String> = server.stored().into_iter().flatten().collect();
    let mut events: Vec<String> = (0..300).map(event).collect();
    stored.sort_unstable();
    events.sort_unstable();
    assert_eq!(stored, events);
}

/// While a reload goes from worker to worker, connections stay with those that know their listener.
#[test]
fn connections_go_only_where_their_listener_is_served() {
    let mut server = Server::new("served", 2);
    server.region.listener(1, 0, cells::LISTENER_SERVED, 0).store(0, Ordering::SeqCst);
    let _senders: Vec<TcpStream> = (0..10).map(|_| server.connect()).collect();
    server.run_until(|server| server.cell(0, cells::CONNECTIONS) == 10);
    server.stored();
}

/// A worker that shows no life, is not in service or cannot store is given nothing.
#[test]
fn only_workers_in_service_are_given_connections() {
    let mut server = Server::new("service", 2);
    server.region.worker(1, cells::STATE, 0).store(3, Ordering::SeqCst);
    let _draining: Vec<TcpStream> = (0..10).map(|_| server.connect()).collect();
    server.run_until(|server| server.cell(0, cells::CONNECTIONS) == 10);
    server.region.worker(1, cells::STATE, 0).store(cells::STATE_READY, Ordering::SeqCst);
    let mut standing_still = server.shards[1].take();
    server.region.worker(1, cells::HEARTBEAT, 0).store(0, Ordering::SeqCst);
    let _lifeless: Vec<TcpStream> = (0..10).map(|_| server.connect()).collect();
    server.run_until(|server| server.cell(0, cells::CONNECTIONS) == 20);
    standing_still.as_mut().unwrap().tick().unwrap();
    server.shards[1] = standing_still;
    let _lively: Vec<TcpStream> = (0..10).map(|_| server.connect()).collect();
    server.run_until(|server| server.cell(1, cells::CONNECTIONS) == 10);
    server.stored();
}

/// What was sent to a worker and not taken over yet is stored when the worker ends.
#[test]
fn a_drain_takes_what_is_in_the_inbox() {
    let mut server = Server::new("drain", 2);
    let second = server.shards[1].take();
    let mut senders: Vec<TcpStream> = (0..10).map(|_| server.connect()).collect();
    for (number, sender) in senders.iter_mut().enumerate() {
        sender.write_all(event(number).as_bytes()).unwrap();
    }
    server.run_until(|server| server.cell(1, cells::INBOX_CONNECTIONS) == 5);
    server.shards[1] = second;
    assert_eq!(server.stored().concat().len(), 10);
}

/// Where the successor's inbox has no room, the connections are read to their end and closed; a
/// line that has none is an incomplete one.
#[test]
fn what_cannot_be_handed_over_is_stored_and_closed() {
    let mut server = Server::new("full", 1);
    let mut sender = server.connect();
    sender.write_all(b"{\"a\":1}\n{\"b\":").unwrap();
    server.run_until(|server| server.received() == 1);
    sender.write_all(b"2}\n{\"c\":3}").unwrap();
    fill(&server.inboxes[0]);
    server.hand_over(0);
    assert_eq!(sender.read(&mut [0]).unwrap(), 0);
    assert_eq!(server.cell(0, cells::CONNECTIONS_CUT), 1);
    assert_eq!(server.cell(0, cells::INBOX_CONNECTIONS), 0);
    server.succeed(0);
    let mut other = server.connect();
    other.write_all(b"{\"d\":4}\n").unwrap();
    server.run_until(|server| server.received() == 4);
    let metric = "ingest_events_rejected_total";
    let incomplete = server.region.by_name(Some(0), metric, Some(0), Some("incomplete_frame"));
    assert_eq!(incomplete.unwrap().load(Ordering::SeqCst), 1);
    assert_eq!(server.stored(), [["{\"a\":1}", "{\"b\":2}", "{\"d\":4}"]]);
}

/// A worker killed while it sent leaves a count behind for which nothing comes; it is forgotten.
#[test]
fn a_count_without_connections_is_forgotten() {
    let mut server = Server::new("count", 2);
    server.region.worker(1, cells::INBOX_CONNECTIONS, 0).store(7, Ordering::SeqCst);
    server.run_until(|server| server.cell(1, cells::INBOX_CONNECTIONS) == 0);
    server.stored();
}

/// More connections than fit into one message, some with more state than a message carries, go to
/// the successor.
#[test]
fn many_connections_are_handed_over_with_the_beginnings_of_their_lines() {
    let mut server = Server::new("many", 1);
    let filler = "x".repeat(10_000);
    let mut senders: Vec<TcpStream> = (0..600).map(|_| server.connect()).collect();
    let bytes = |server: &Server| {
        server.region.listener(0, 0, cells::RECEIVED_BYTES, 0).load(Ordering::SeqCst)
    };
    let mut sent = 0;
    for (number, sender) in senders.iter_mut().enumerate() {
        let beginning = format!("{{\"number\":{number},\"filler\":\"{filler}");
        sender.write_all(beginning.as_bytes()).unwrap();
        sent += beginning.len() as u64;
    }
    server.run_until(|server| bytes(server) == sent);
    server.hand_over(0);
    assert_eq!(server.cell(0, cells::CONNECTIONS), 0);
    for sender in &mut senders {
        sender.write_all(b"\"}\n").unwrap();
    }
    server.succeed(0);
    server.run_until(|server| server.received() == 600);
    assert_eq!(server.cell(0, cells::CONNECTIONS), 600);
    let moved = server.region.worker(0, cells::CONNECTIONS_MOVED, 3).load(Ordering::SeqCst);
    assert_eq!((moved, server.cell(0, cells::CONNECTIONS_ADOPTED)), (600, 600));
    let mut stored = server.stored().remove(0);
    let mut expected: Vec<String> =
        (0..600).map(|number| format!("{{\"number\":{number},\"filler\":\"{filler}\"}}")).collect();
    stored.sort_unstable();
    expected.sort_unstable();
    assert!(stored == expected);
}

/// Who has not sent anything yet is handed over too, also where it is open whether a proxy's header
/// comes; and is opened and closed once.
#[test]
fn silent_connections_are_handed_over() {
    for (name, proxy, header) in [
        ("stranger", "10.0.0.1", ""),
        ("proxy", "127.0.0.1", "PROXY TCP4 192.0.2.7 10.0.0.1 12345 514\r\n"),
    ] {
        let mut server = Server::with_listener(name, 1, json!({"proxies": [proxy]}));
        let mut sender = server.connect();
        server.run_until(|server| server.cell(0, cells::CONNECTIONS) == 1);
        server.hand_over(0);
        assert_eq!(server.cell(0, cells::CONNECTIONS_CUT), 0);
        server.succeed(0);
        sender.write_all(format!("{header}{}", event(1)).as_bytes()).unwrap();
        drop(sender);
        server
            .run_until(|server| server.cell(0, cells::CONNECTIONS) == 0 && server.received() == 1);
        for cell in [cells::CONNECTIONS_OPENED, cells::CONNECTIONS_CLOSED] {
            assert_eq!(server.region.listener(0, 0, cell, 0).load(Ordering::SeqCst), 1);
        }
        assert_eq!(server.stored(), [[event(1)]]);
    }
}

static CASES: AtomicUsize = AtomicUsize::new(0);

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    /// Wherever the stream of a connection is cut when its worker is replaced, it is stored as it
    /// was sent.
    #[test]
    fn a_stream_that_is_handed_over_anywhere_is_stored_as_it_was_sent(
        fillers in prop::collection::vec(0usize..3000, 1..40),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..6),
    ) {
        let name = format!("anywhere-{}", CASES.fetch_add(1, Ordering::Relaxed));
        let mut server = Server::new(&name, 1);
        let lines: Vec<String> = fillers
            .iter()
            .enumerate()
            .map(|(number, filler)| {
                format!("{{\"number\":{number},\"filler\":\"{}\"}}", "y".repeat(*filler))
            })
            .collect();
        let stream = lines.join("\n");
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(stream.len())).collect();
        cuts.sort_unstable();
        let mut sender = server.connect();
        let mut sent = 0;
        for cut in cuts {
            sender.write_all(&stream.as_bytes()[sent..cut]).unwrap();
            sent = cut;
            server.run_until(|server| {
                let bytes = server.region.listener(0, 0, cells::RECEIVED_BYTES, 0);
                bytes.load(Ordering::SeqCst) == cut as u64
                    && server.cell(0, cells::CONNECTIONS) == 1
            });
            server.hand_over(0);
            server.succeed(0);
        }
        sender.write_all(&stream.as_bytes()[sent..]).unwrap();
        drop(sender);
        server.run_until(|server| server.received() == lines.len() as u64);
        prop_assert_eq!(server.stored().remove(0), lines);
    }
}
