//! One shard over real sockets: what is sent is stored, in order, or found in the dead letters.

#![allow(clippy::unwrap_used, clippy::panic)] // in a test they are how it fails

mod bench;

use std::io::{Read, Write};
use std::net::{TcpStream, UdpSocket};
use std::time::Instant;

use _native::counters::{Ledger, cells};
use _native::pipeline::config::Segment;
use _native::shard::{Handoff, Pipeline, Returned};
use bench::{Bench, PATIENCE};

fn event(number: usize) -> String {
    format!("{{\"message\":\"event\",\"data\":{{\"number\":{number}}}}}")
}

/// Events of a connection are stored in their order; the last needs no newline.
#[test]
fn a_connection_is_stored_in_order() {
    let mut bench = Bench::new("order", 10, 1 << 16);
    let mut sender = bench.connect();
    let events: Vec<String> = (0..10_000).map(event).collect();
    let text = events.join("\n");
    let writer = std::thread::spawn(move || sender.write_all(text.as_bytes()).unwrap());
    bench.run_until(|bench| bench.cell(cells::CONNECTIONS_CLOSED) == 1);
    writer.join().unwrap();
    bench.run_until(|bench| bench.ledger(0).journaled == 10_000);
    let ledger = bench.ledger(0);
    assert!(ledger.closed);
    assert_eq!((ledger.received, ledger.in_flight), (10_000, 0));
    let (stored, dead) = bench.stored();
    assert_eq!(stored, events);
    assert!(dead.is_empty());
}

/// A datagram may hold several lines; a bad one among them does not harm the others.
#[test]
fn datagrams_are_stored_line_by_line() {
    let mut bench = Bench::new("datagrams", 10, 1 << 16);
    let sender = UdpSocket::bind("127.0.0.1:0").unwrap();
    sender.send_to(b"{\"a\":1}\nnonsense\n{\"b\":2}", bench.addresses[1]).unwrap();
    sender.send_to(b"{\"c\":3}\n", bench.addresses[1]).unwrap();
    bench.run_until(|bench| {
        let ledger = bench.ledger(1);
        (ledger.journaled, ledger.dead_lettered) == (3, 1)
    });
    let from = sender.local_addr().unwrap().to_string();
    let (stored, dead) = bench.stored();
    assert_eq!(stored, ["{\"a\":1}", "{\"b\":2}", "{\"c\":3}"]);
    let letter: serde_json::Value = serde_json::from_str(&dead[0]).unwrap();
    assert_eq!(letter["peer"], from);
    assert_eq!((&letter["reason"], &letter["raw"]), (&"not_an_object".into(), &"nonsense".into()));
}

/// Who comes above the limit waits in the kernel and is served when a place is free.
#[test]
fn connections_above_the_limit_wait() {
    let mut bench = Bench::new("limit", 1, 1 << 16);
    let first = bench.connect();
    bench.run_until(|bench| bench.cell(cells::CONNECTIONS_OPENED) == 1);
    let mut second = bench.connect();
    second.write_all(b"{\"second\":true}\n").unwrap();
    (&first).write_all(b"{\"first\":true}\n").unwrap();
    bench.run_until(|bench| bench.ledger(0).journaled == 1);
    assert_eq!(bench.cell(cells::CONNECTIONS_OPENED), 1);
    drop(first);
    bench.run_until(|bench| bench.ledger(0).journaled == 2);
    assert_eq!(bench.stored().0, ["{\"first\":true}", "{\"second\":true}"]);
}

/// Finishing stores what a sender had sent before, accepted or not, and closes connections.
#[test]
fn finishing_takes_what_the_kernel_holds() {
    let bench = Bench::new("finish", 10, 1 << 16);
    let mut open = bench.connect();
    open.write_all(b"{\"open\":true}\n{\"cut\":").unwrap();
    let mut closed = bench.connect();
    closed.write_all(b"{\"closed\":true}").unwrap();
    drop(closed);
    UdpSocket::bind("127.0.0.1:0").unwrap().send_to(b"{\"udp\":true}", bench.addresses[1]).unwrap();
    let (mut stored, dead) = bench.stored();
    stored.sort();
    assert_eq!(stored, ["{\"closed\":true}", "{\"open\":true}", "{\"udp\":true}"]);
    assert!(dead[0].contains("{\\\"cut\\\":"));
    assert_eq!(open.read(&mut [0; 8]).unwrap_or(0), 0);
}

/// An overlong line ends in the dead letters with its beginning and its length.
#[test]
fn overlong_lines_are_dead_lettered() {
    let mut bench = Bench::new("overlong", 10, 100);
    let mut sender = bench.connect();
    sender.write_all(&[b'x'; 1000]).unwrap();
    sender.write_all(b"\n{\"next\":true}\n").unwrap();
    bench.run_until(|bench| bench.ledger(0).journaled == 1 && bench.ledger(0).dead_lettered == 1);
    let (stored, dead) = bench.stored();
    assert_eq!(stored, ["{\"next\":true}"]);
    let letter: serde_json::Value = serde_json::from_str(&dead[0]).unwrap();
    assert_eq!((&letter["length"], &letter["truncated"]), (&1000.into(), &true.into()));
    assert_eq!(letter["raw"], "x".repeat(100));
}

/// Everything goes through even when it is far more than the queue and the arena hold.
#[test]
fn back_pressure_loses_nothing() {
    let mut bench = Bench::new("pressure", 64, 1 << 16);
    let senders: Vec<_> = (0..8)
        .map(|sender| {
            let mut connection = bench.connect();
            std::thread::spawn(move || {
                let padding = "x".repeat(1000);
                for number in 0..2_000 {
                    let line = format!(
                        "{{\"sender\":{sender},\"number\":{number},\"padding\":\"{padding}\"}}\n"
                    );
                    connection.write_all(line.as_bytes()).unwrap();
                }
            })
        })
        .collect();
    bench.run_until(|bench| bench.ledger(0).journaled == 16_000);
    for sender in senders {
        sender.join().unwrap();
    }
    let (stored, _) = bench.stored();
    for sender in 0..8 {
        let prefix = format!("{{\"sender\":{sender},");
        let numbers = stored.iter().filter(|line| line.starts_with(&prefix)).map(|line| {
            let event: serde_json::Value = serde_json::from_str(line).unwrap();
            event["number"].as_u64().unwrap()
        });
        assert!(numbers.eq(0..2_000));
    }
}

/// Bytes that make no event fill the arena again and again; no commit will ever free it.
#[test]
fn bytes_that_make_no_event_do_not_stop_the_intake() {
    let mut bench = Bench::new("noise", 64, 1 << 10);
    let senders: Vec<_> = (0..32)
        .map(|_| {
            let mut connection = bench.connect();
            std::thread::spawn(move || {
                let noise = vec![b'x'; 1 << 20];
                connection.write_all(&noise).unwrap();
                connection.write_all(b"\n{\"after\":\"noise\"}\n").unwrap();
                connection.write_all(&vec![b'\n'; 1 << 18]).unwrap();
            })
        })
        .collect();
    bench.run_until(|bench| bench.cell(cells::CONNECTIONS_CLOSED) == 32);
    bench.run_until(|bench| bench.ledger(0).in_flight == 0);
    for sender in senders {
        sender.join().unwrap();
    }
    let ledger = bench.ledger(0);
    assert_eq!((ledger.journaled, ledger.dead_lettered), (32, 32));
    bench.stored();
}

/// With more senders than the journal can follow, each is served in its turn.
#[test]
fn senders_are_served_in_turn_under_back_pressure() {
    const SENDERS: usize = 16;
    let mut bench = Bench::new("turns", 64, 1 << 16);
    let senders: Vec<TcpStream> = (0..SENDERS).map(|_| bench.connect()).collect();
    bench.run_until(|bench| bench.cell(cells::CONNECTIONS_OPENED) == SENDERS as u64);
    for (sender, connection) in senders.iter().enumerate() {
        // As much as the kernel takes: many reads, and the queue holds a few.
        let padding = "x".repeat(4000);
        let lines = format!("{{\"sender\":{sender},\"padding\":\"{padding}\"}}\n").repeat(64);
        connection.set_nonblocking(true).unwrap();
        while (&mut &*connection).write(lines.as_bytes()).is_ok() {}
    }
    // What each of them gets in one turn, and half as much again.
    let turn = SENDERS * 64 * 3 / 2;
    bench.run_until(|bench| bench.ledger(0).journaled >= turn as u64);
    drop(senders);
    let (stored, _) = bench.stored();
    let mut seen: Vec<&str> =
        stored.iter().take(turn).map(|line| line.split(',').next().unwrap()).collect();
    seen.sort_unstable();
    seen.dedup();
    assert_eq!(seen.len(), SENDERS);
}

/// While a shard writes its journals nobody else settles them, and the refusal names the place.
#[test]
fn a_journal_has_one_writer() {
    let bench = Bench::new("writer", 10, 100);
    let error = _native::shard::recover(&bench.region, 0, &bench.directory).unwrap_err();
    assert!(error.to_string().contains("shard-0000"), "{error}");
    bench.stored();
}

/// A pipeline with two segments in Python.
fn with_python() -> Pipeline {
    let later = Segment { is_later: true, ..Segment::default() };
    let segments = vec![Segment::default(), later.clone(), later];
    Pipeline { segments, ..Pipeline::default() }
}

/// What Python answers: it judges each event by the digit that stands at the segment's place in
/// its message, and lines of its own making go on.
fn judge(handoff: &Handoff) -> (Vec<u8>, Vec<u8>, Vec<u8>) {
    let (mut lines, mut verdicts) = (Vec::new(), Vec::new());
    for line in handoff.lines.split_inclusive(|byte| *byte == b'\n') {
        let event: serde_json::Value = serde_json::from_slice(line).unwrap();
        let verdict = event["message"].as_str().unwrap().as_bytes()[handoff.segment] - b'0';
        verdicts.push(verdict);
        match verdict {
            0 | 2 => lines.extend_from_slice(line),
            // What the next native segment refuses.
            9 => lines.extend_from_slice(b"[]\n"),
            _ => {}
        }
    }
    let stages = vec![1; verdicts.len()];
    (lines, verdicts.into_iter().map(|verdict| verdict % 9).collect(), stages)
}

/// Through Python and back, over several runs of several senders, each event is in one place of
/// the sum at every step.
#[test]
fn the_ledger_is_closed_at_every_step_through_python() {
    let mut bench = Bench::with_pipeline("python", 10, 1 << 16, &with_python());
    let mut senders = [bench.connect(), bench.connect()];
    let datagrams = UdpSocket::bind("127.0.0.1:0").unwrap();
    let other = UdpSocket::bind("127.0.0.1:0").unwrap();
    let (mut sent, mut expected) = ([0, 0], [[0_u64; 4]; 2]);
    let digits = "012345900";
    for (number, (first, second)) in (0..3)
        .flat_map(|_| {
            digits.chars().flat_map(|first| digits.chars().map(move |next| (first, next)))
        })
        .enumerate()
    {
        let line = match number % 10 {
            7 => "{\n".to_owned(),
            _ => format!("{{\"message\":\"{first}{second}\"}}\n"),
        };
        let listener = usize::from(number % 4 > 1);
        match number % 4 {
            place @ 0..2 => senders[place].write_all(line.as_bytes()).unwrap(),
            place => {
                let socket = if place == 2 { &datagrams } else { &other };
                socket.send_to(line.as_bytes(), bench.addresses[1]).unwrap();
            }
        }
        sent[listener] += 1;
        let fate = if first == '0' { second } else { first };
        let place = match fate {
            _ if number % 10 == 7 => 2,
            '9' => 2,
            fate => fate.to_digit(10).unwrap() as usize,
        };
        expected[listener][place.min(3)] += 1;
    }
    let check = |bench: &Bench| {
        for listener in 0..2 {
            let ledger = bench.ledger(listener);
            assert!(ledger.closed, "{ledger:?}");
        }
    };
    let deadline = Instant::now() + PATIENCE;
    let mut handoffs = 0;
    while (0..2).any(|listener| {
        let ledger = bench.ledger(listener);
        ledger.received < sent[listener] || ledger.in_flight > 0
    }) {
        assert!(Instant::now() < deadline, "{:?} {:?}", bench.ledger(0), bench.ledger(1));
        bench.shard.drain();
        check(&bench);
        while let Some(handoff) = bench.shard.take_handoff() {
            handoffs += 1;
            check(&bench);
            let (lines, verdicts, stages) = judge(&handoff);
            let returned = Returned { lines: &lines, verdicts: &verdicts, stages: &stages };
            bench.shard.accept(handoff, &returned).unwrap();
            check(&bench);
        }
        bench.shard.tick().unwrap();
    }
    assert!(handoffs > 1);
    for (listener, expected) in expected.iter().enumerate() {
        let ledger = bench.ledger(listener);
        let dropped = ledger.dropped.iter().sum();
        let found = [ledger.journaled, ledger.filtered, ledger.dead_lettered, dropped];
        assert_eq!(found, *expected, "{ledger:?}");
    }
    let (stored, dead) = bench.stored();
    assert_eq!(stored.len() as u64, expected[0][0] + expected[1][0]);
    assert_eq!(dead.len() as u64, expected[0][2] + expected[1][2]);
}

/// What Python does not give back in time is lost, and is counted as that.
#[test]
fn what_python_keeps_is_lost() {
    let mut bench = Bench::with_pipeline("kept", 10, 1 << 16, &with_python());
    let mut sender = bench.connect();
    sender.write_all(b"{\"message\":\"00\"}\n{\"message\":\"1\"}\n").unwrap();
    let handoff = loop {
        bench.shard.drain();
        if let Some(handoff) = bench.shard.take_handoff() {
            break handoff;
        }
    };
    let (lines, verdicts, stages) = judge(&handoff);
    let returned = Returned { lines: &lines, verdicts: &verdicts, stages: &stages };
    bench.shard.accept(handoff, &returned).unwrap();
    sender.write_all(b"{\"message\":\"00\"}\n").unwrap();
    drop(sender);
    let Bench { directory, region, shard, .. } = bench;
    let mut segments = Vec::new();
    let lost = shard.finish(PATIENCE, |handoff, reply| {
        segments.push(handoff.segment);
        let (lines, verdicts, stages) = judge(&handoff);
        let returned = Returned { lines: &lines, verdicts: &verdicts, stages: &stages };
        segments.len() == 1 && reply.accept(handoff, &returned).is_ok()
    });
    let ledger = Ledger::read(&region, 0, 0);
    // What came last was not mixed with what the first segment had passed on.
    assert_eq!((segments, lost), (vec![1, 0], 1), "{ledger:?}");
    let left = (ledger.received, ledger.journaled, ledger.filtered, ledger.lost);
    assert_eq!(left, (3, 1, 1, [0, 1]));
    assert_eq!((ledger.in_flight, ledger.closed), (0, true));
    std::fs::remove_dir_all(&directory).unwrap();
}

/// An answer that does not fit is refused, not guessed at.
#[test]
fn answers_that_do_not_fit_are_refused() {
    let mut bench = Bench::with_pipeline("answers", 10, 1 << 16, &with_python());
    let mut sender = bench.connect();
    for (lines, verdicts, stages) in [
        (&b"{}\n"[..], &[][..], &[][..]),
        (b"{}\n", &[0, 0], &[0, 0]),
        (b"", &[0], &[0]),
        (b"{}", &[0], &[0]),
        (b"{}\n{}\n", &[0], &[0]),
        (b"{}\n", &[1], &[0]),
        (b"", &[6], &[0]),
        (b"", &[1], &[2]),
    ] {
        sender.write_all(b"{}\n").unwrap();
        let handoff = loop {
            bench.shard.drain();
            if let Some(handoff) = bench.shard.take_handoff() {
                break handoff;
            }
        };
        let returned = Returned { lines, verdicts, stages };
        assert!(bench.shard.accept(handoff, &returned).is_err(), "{verdicts:?} {stages:?}");
    }
    assert_eq!(bench.shard.finish(PATIENCE, |_, _| false), 8);
    std::fs::remove_dir_all(&bench.directory).unwrap();
}
