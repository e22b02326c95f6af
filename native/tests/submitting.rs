//! Bodies of requests on their way into a shard, and the position that says they are durable.

#![allow(clippy::unwrap_used)] // in a test they are how it fails

mod bench;

use std::io::Write;
use std::time::Instant;

use _native::pipeline::config::Segment;
use _native::receive::{Sender, Submission};
use _native::shard::{Pipeline, Returned};
use bench::{Bench, PATIENCE, read};

fn submission(body: &[u8]) -> Submission<'_> {
    Submission { listener: 0, sender: Sender::default(), body }
}

/// A body of about so many bytes, numbered on from the number, and how many events it is.
fn body_of(bytes: usize, first: usize) -> (String, usize) {
    let mut body = String::new();
    let mut number = first;
    while body.len() < bytes {
        body += &format!("{{\"number\":{number},\"padding\":\"{}\"}}\n", "x".repeat(300));
        number += 1;
    }
    (body, number - first)
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
    let mut bench = Bench::new("submitted", 10, 1 << 16);
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
    let mut bench = Bench::new("large-body", 10, 1 << 16);
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
    let mut bench = Bench::new("no-room", 10, 1 << 16);
    let mut connection = bench.connect();
    let (mut refused, mut submitted, mut last) = (0, 0, 0);
    for _ in 0..60 {
        let (body, events) = body_of(200_000, submitted);
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
    assert_eq!((beside, stored.len() - beside), (60, submitted));
}

/// A body for which there will never be room is an error, not something to wait for; so is a
/// listener that nobody serves. What is empty is durable at once.
#[test]
fn what_cannot_be_taken_is_refused() {
    let mut bench = Bench::new("refused-body", 10, 1 << 16);
    let huge = vec![b' '; 2 << 20];
    assert!(bench.shard.submit(&submission(&huge)).is_err());
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
    let mut bench = Bench::with_pipeline("python-body", 10, 1 << 16, &pipeline);
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
