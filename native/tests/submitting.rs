//! Bodies of requests on their way into a shard, and the position that says they are durable: also
//! where the worker is killed meanwhile.

#![allow(clippy::unwrap_used)] // in a test they are how it fails

mod bench;

use std::collections::HashMap;
use std::io::{BufRead, BufReader, PipeWriter, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use _native::counters::{Ledger, Region, Sources, cells};
use _native::pipeline::config::Segment;
use _native::receive::{Arena, Sender, Sockets, Submission};
use _native::shard::{Pipeline, Returned, Shard, SharedMemory};
use bench::{BOUNDS, Bench, Inbox, PATIENCE, listener_of, read};
use serde_json::json;

/// A shard that has nothing left to do but to serve.
fn serving(name: &str, pipeline: &Pipeline) -> Bench {
    let mut bench = Bench::with_pipeline(name, 10, 1 << 16, pipeline);
    bench.shard.drain();
    bench
}

fn submission(body: &[u8]) -> Submission<'_> {
    Submission { listener: 0, sender: Sender::default(), body }
}

/// A body of about so many bytes, numbered on from the number, and how many events it is.
fn body_of(bytes: usize, first: usize) -> (String, usize) {
    let padding = "x".repeat(300);
    let line = |number| format!("{{\"number\":{number},\"padding\":\"{padding}\"}}\n");
    let count = bytes.div_ceil(line(first).len());
    ((first..first + count).map(line).collect(), count)
}

/// Waits until a position is durable; panics where it is not in time.
fn await_durable(bench: &mut Bench, position: u64) {
    let deadline = Instant::now() + PATIENCE;
    let [events, dead] = bench.shard.progress_filenos();
    while bench.shard.durable_position() < position {
        assert!(Instant::now() < deadline, "never durable");
        let mut polled =
            [events, dead].map(|fd| libc::pollfd { fd, events: libc::POLLIN, revents: 0 });
        // SAFETY: the array holds two entries.
        unsafe { libc::poll(polled.as_mut_ptr(), 2, 1000) };
        bench.shard.acknowledge_progress();
    }
}

/// A body goes the way of what a connection sends: frames of both kinds, the last without an end,
/// and what is no event into the dead letters. When its position is durable, all of it is stored.
#[test]
fn a_body_is_stored_as_if_a_connection_had_sent_it() {
    let mut bench = serving("submitted", &Pipeline::default());
    let body = b"{\"a\":1}\n\n9 {\"b\":\n22}{\"c\":3}\nnonsense\n{\"last\":true}";
    let sender = Sender { peer: Some("192.0.2.7:443".parse().unwrap()), identity: None };
    let position = bench.shard.submit(&Submission { listener: 0, sender, body }).unwrap().unwrap();
    assert!(bench.shard.durable_position() < position);
    await_durable(&mut bench, position);

    let stored = read(&bench.directory.join("journal/shard-0000"));
    assert_eq!(stored, ["{\"a\":1}", "{\"b\":22}", "{\"c\":3}", "{\"last\":true}"]);
    let dead = read(&bench.directory.join("dead/shard-0000"));
    assert_eq!(dead.len(), 1);
    assert!(dead[0].contains("\"peer\":\"192.0.2.7:443\""), "{}", dead[0]);
    let ledger = bench.ledger(0);
    assert_eq!((ledger.received, ledger.journaled, ledger.dead_lettered), (5, 4, 1));
    assert_eq!((ledger.in_flight, ledger.closed), (0, true));
}

/// What is far larger than one read is taken whole and in order, events and all.
#[test]
fn a_large_body_is_stored_in_order() {
    let mut bench = serving("large-body", &Pipeline::default());
    let (body, events) = body_of(1_200_000, 0);
    let position = bench.shard.submit(&submission(body.as_bytes())).unwrap().unwrap();
    await_durable(&mut bench, position);
    let (stored, dead) = bench.stored();
    assert_eq!(stored.len(), events);
    assert!(stored.iter().map(String::as_str).eq(body.lines()));
    assert!(dead.is_empty());
}

/// Without room nothing of a body is taken; with it, each is stored once, beside what connections
/// send, and positions only grow.
#[test]
fn without_room_nothing_is_taken() {
    let mut bench = serving("no-room", &Pipeline::default());
    let mut connection = bench.connect();
    let (mut refused, mut submitted, mut last) = (0, 0, 0);
    for _ in 0..6 {
        // Several times what may wait in memory.
        let (body, events) = body_of(2_500_000, submitted);
        let deadline = Instant::now() + PATIENCE;
        let position = loop {
            if let Some(position) = bench.shard.submit(&submission(body.as_bytes())).unwrap() {
                break position;
            }
            assert!(Instant::now() < deadline, "never room again");
            refused += 1;
            bench.shard.sync_now();
            bench.shard.acknowledge_progress();
        };
        submitted += events;
        assert!(position > last);
        last = position;
        connection.write_all(b"{\"beside\":true}\n").unwrap();
        bench.shard.drain();
        bench.shard.resume();
    }
    assert!(refused > 0, "there was always room");
    await_durable(&mut bench, last);
    let (stored, _) = bench.stored();
    let beside = stored.iter().filter(|line| line.contains("beside")).count();
    assert_eq!((beside, stored.len() - beside), (6, submitted));
}

/// A listener that nobody serves is an error, not something to wait for. What is empty is durable at
/// once.
#[test]
fn what_cannot_be_taken_is_refused() {
    let mut bench = serving("refused-body", &Pipeline::default());
    let stranger = Submission { listener: 7, ..submission(b"{}\n") };
    assert!(bench.shard.submit(&stranger).is_err());
    let position = bench.shard.submit(&submission(b"")).unwrap().unwrap();
    assert_eq!(bench.shard.durable_position(), position);
    assert_eq!(bench.ledger(0).received, 0);
}

/// A position is not durable while Python has the events in its hands, also where the only frame of
/// a body has no end; and meanwhile no other body is taken.
#[test]
fn what_python_has_is_not_durable() {
    let pipeline =
        Pipeline { segments: vec![Segment::default(), Segment::default()], ..Pipeline::default() };
    let mut bench = serving("python-body", &pipeline);
    for body in [&b"{\"number\":1}\n"[..], b"{\"number\":2}"] {
        let position = bench.shard.submit(&submission(body)).unwrap().unwrap();
        // What has not been handed over can be added to.
        let second = bench.shard.submit(&submission(b"{\"more\":true}\n")).unwrap().unwrap();
        let handoff = bench.shard.take_handoff().unwrap();
        assert!(bench.shard.submit(&submission(b"{}\n")).unwrap().is_none());
        bench.shard.sync_now();
        assert!(bench.shard.durable_position() < position);
        let (lines, verdicts) = (handoff.lines.clone(), [0, 0]);
        let returned = Returned { lines: &lines, verdicts: &verdicts, stages: &[0, 0] };
        bench.shard.accept(handoff, &returned).unwrap();
        await_durable(&mut bench, second);
    }
    let (stored, _) = bench.stored();
    assert_eq!(stored, ["{\"number\":1}", "{\"more\":true}", "{\"number\":2}", "{\"more\":true}"]);
}

/// A slot whose workers are killed: what the supervisor keeps, and what it tells them.
struct Slot {
    directory: PathBuf,
    memory: SharedMemory,
    arena: Arc<Arena>,
    inboxes: Vec<Inbox>,
    datagrams: OwnedFd,
    segments: Vec<Segment>,
}

impl Slot {
    fn new(name: &str, segments: Vec<Segment>) -> Self {
        let names = ["unix_datagram".to_owned()];
        let stages = ["first".to_owned(), "second".to_owned()];
        Self {
            directory: bench::directory(&format!("submitting-{name}")),
            memory: SharedMemory {
                region: Arc::new(Region::create(1, &names, &stages, b"").unwrap()),
                sources: Arc::new(Sources::create(1).unwrap()),
            },
            arena: bench::arena(),
            inboxes: bench::inboxes(1),
            datagrams: UnixDatagram::unbound().unwrap().into(),
            segments,
        }
    }

    /// A worker that has done what its predecessor left.
    fn open(&self) -> Shard {
        let socket = self.datagrams.try_clone().unwrap();
        let sockets = Sockets {
            listeners: vec![listener_of(0, "unix_datagram", &json!({}), socket)],
            inboxes: bench::inherited(&self.inboxes, 0),
            arena: Arc::clone(&self.arena),
        };
        let (keeping, limits) = (bench::keeping(), bench::limits(BOUNDS));
        let pipeline = Pipeline { segments: self.segments.clone(), ..Pipeline::default() };
        let (mut shard, found) =
            Shard::open(&self.memory, 0, &self.directory, sockets, &keeping, limits, &pipeline)
                .unwrap();
        assert_eq!(found.lost, 0);
        shard.drain();
        shard
    }

    /// Submits one body after the other, numbered on, and says the number of each that is durable.
    fn submit_for_ever(&self, first: usize, mut acknowledged: PipeWriter) {
        let mut shard = self.open();
        for number in first.. {
            let line = format!("{{\"number\":{number}}}\n");
            let body = format!("{line}{}", "{\"beside\":true}\n".repeat(number % 1000));
            let position = shard.submit(&submission(body.as_bytes())).unwrap().unwrap();
            while let Some(handoff) = shard.take_handoff() {
                let lines = handoff.lines.clone();
                let count = handoff.runs.iter().map(|run| run.count as usize).sum();
                let (verdicts, stages) = (vec![0; count], vec![0; count]);
                let returned = Returned { lines: &lines, verdicts: &verdicts, stages: &stages };
                shard.accept(handoff, &returned).unwrap();
            }
            while shard.durable_position() < position {
                std::thread::yield_now();
            }
            writeln!(acknowledged, "{number}").unwrap();
        }
    }

    /// Lets a worker submit until so many bodies are acknowledged, and so long after that, and kills
    /// it; the numbers of the bodies acknowledged.
    fn live_and_die(&self, first: usize, bodies: usize, time: Duration) -> Vec<usize> {
        let (reader, writer) = std::io::pipe().unwrap();
        // SAFETY: the child uses nothing that another thread of this process may hold.
        let pid = unsafe { libc::fork() };
        assert!(pid >= 0);
        if pid == 0 {
            let _ = std::panic::catch_unwind(|| self.submit_for_ever(first, writer));
            // SAFETY: ends the process without anything of the test in it.
            unsafe { libc::_exit(1) }
        }
        drop(writer);
        let mut lines = BufReader::new(reader).lines();
        let mut acknowledged: Vec<String> =
            lines.by_ref().take(bodies).collect::<std::io::Result<_>>().unwrap();
        std::thread::sleep(time);
        let mut status = 0;
        // SAFETY: a child that was not waited for, and a place for the kernel to write to.
        unsafe {
            libc::kill(pid, libc::SIGKILL);
            libc::waitpid(pid, &raw mut status, 0);
        }
        assert!(libc::WIFSIGNALED(status), "the worker failed: {status:x}");
        acknowledged.extend(lines.map_while(std::io::Result::ok));
        acknowledged.iter().map(|number| number.parse().unwrap()).collect()
    }
}

/// Whatever the instant at which a worker is killed: what it had acknowledged is stored, nothing is
/// stored twice, and what nobody was told of is stored or counted as unacknowledged, never as lost.
#[test]
fn what_was_acknowledged_survives_a_kill() {
    let later = Segment { is_later: true, ..Segment::default() };
    for (name, segments) in [("native", Vec::new()), ("python", vec![Segment::default(), later])] {
        let slot = Slot::new(name, segments);
        let mut acknowledged = Vec::new();
        for round in 0..10_usize {
            // Numbers that were not acknowledged are not given out again.
            let micros = 919 * (round as u64 + u64::from(std::process::id())) % 5_000;
            let time = Duration::from_micros(micros);
            acknowledged.extend(slot.live_and_die(round * 1_000_000, 1 + round % 3, time));
        }
        assert!(acknowledged.len() >= 10, "{acknowledged:?}");
        let mut shard = slot.open();
        shard.sync_now();
        let deadline = Instant::now() + PATIENCE;
        while Ledger::read(&slot.memory.region, 0, 0).in_flight > 0 {
            assert!(Instant::now() < deadline);
        }
        assert_eq!(shard.finish(PATIENCE, |_, _| false), 0);
        let ledger = Ledger::read(&slot.memory.region, 0, 0);
        let unacknowledged = ledger.dropped[cells::DROPPED_UNACKNOWLEDGED];
        assert!(ledger.closed, "{ledger:?}");
        assert_eq!((ledger.in_flight, ledger.lost), (0, [0, 0]), "{ledger:?}");
        assert_eq!(ledger.received, ledger.journaled + unacknowledged, "{ledger:?}");
        let stored = read(&slot.directory.join("journal/shard-0000"));
        assert_eq!(stored.len() as u64, ledger.journaled);
        let mut found: HashMap<&str, usize> = HashMap::new();
        for line in stored.iter().filter(|line| line.contains("number")) {
            *found.entry(line).or_default() += 1;
        }
        assert!(found.values().all(|times| *times == 1), "stored twice");
        for number in acknowledged {
            assert!(found.contains_key(format!("{{\"number\":{number}}}").as_str()), "{number}");
        }
        std::fs::remove_dir_all(&slot.directory).unwrap();
    }
}
