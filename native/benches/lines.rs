//! Nanoseconds per event between a read and the journal's batch: what a worker's main thread does
//! with the bytes that the kernel gave it. `cargo bench --bench lines [-- NAME]` prints the best and
//! the median of many reads; docs/performance.md says what the numbers decided.
#![allow(clippy::print_stdout, clippy::expect_used, reason = "a program for a terminal")]
#![allow(clippy::cast_precision_loss, reason = "small numbers")]

mod segments;

use std::hint::black_box;
use std::time::{Duration, Instant};

use _native::decode::{Limits, Source};
use _native::frame::{Frame, Framer, Frames};
use _native::pipeline::{Origin, Passage, Runner};

/// A full read of a busy connection.
const READ_BYTES: usize = 256 * 1024;
const LINE_BYTES: usize = 1 << 20;
/// Lines leave for the journal in batches of this size, in memory that comes back after a while.
const BATCH_BYTES: usize = 1 << 20;
const BATCHES: usize = 4;
const ROUNDS: usize = 2_000;

/// The pipelines of `bench/configurations`.
const PIPELINES: [(&str, &str); 2] = [("none", segments::NONE), ("reference", segments::REFERENCE)];

/// An event as `bench/loadgen` sends them.
fn event(number: usize) -> String {
    let noise = (number as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    format!(
        concat!(
            r#"{{"timestamp":"2026-11-22T00:00:00.123456Z","level":"{}","logger":"{}","#,
            r#""message":"{}","context":{{"request_id":"01-00002-{:010}","#,
            r#""trace_id":"{:016x}{:016x}"}},"data":{{"ip":"203.0.113.{}","#,
            r#""path":"/v1/orders/{}","status":{},"duration":0.{:06},"#,
            r#""password":"horse-{:04x}"}}}}"#,
        ),
        ["DEBUG", "INFO", "INFO", "WARNING", "ERROR"][number % 5],
        ["shop.checkout", "shop.cart", "auth.session", "gateway.proxy"][number % 4],
        [
            "request completed",
            "payment authorised",
            "session refreshed",
            "upstream answered slowly"
        ][number / 7 % 4],
        number,
        noise,
        noise.rotate_left(29),
        noise % 254 + 1,
        noise % 1_000_000,
        [200, 200, 201, 204, 404, 503][number / 3 % 6],
        noise % 900_000 + 1,
        noise % 0xffff,
    )
}

/// Reads of one connection, one behind the other.
fn stream(reads: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    for number in 0.. {
        if bytes.len() >= reads * READ_BYTES {
            break;
        }
        bytes.extend_from_slice(event(number).as_bytes());
        bytes.push(b'\n');
    }
    bytes.truncate(reads * READ_BYTES);
    bytes
}

/// What a shard does with a read. How many events there were.
fn take(chunk: &[u8], frames: &Frames, runner: &mut Runner, out: &mut Vec<u8>) -> usize {
    runner.begin(&Origin {
        received_ns: 1_700_000_000_000_000_000,
        peer: "192.0.2.1:40000".parse().ok(),
        identity: None,
        listener: "tcp-5140",
        labels: None,
        shard: 0,
    });
    let is_utf8 = simdutf8::basic::from_utf8(frames.whole_lines(chunk)).is_ok();
    let head = frames.head(LINE_BYTES).map(|frame| (frame, None));
    let lines = frames.lines(chunk, LINE_BYTES).map(|(_, frame, bytes)| (frame, Some(bytes)));
    let mut count = 0;
    for (frame, bytes) in head.into_iter().chain(lines) {
        let Frame::Line(line) = frame else { continue };
        let source = match bytes {
            None => Source::alone(line, false),
            Some(bytes) => Source::within(bytes, line.len(), is_utf8),
        };
        if matches!(runner.run(&source, out), Ok(Passage::Kept(_))) {
            out.push(b'\n');
        }
        count += 1;
    }
    count
}

fn measure(name: &str, segment: &str) {
    let wanted = std::env::args().skip(1).find(|argument| !argument.starts_with('-'));
    if wanted.is_some_and(|wanted| !name.contains(&wanted)) {
        return;
    }
    let segment = serde_json::from_str(segment).expect("a segment");
    let mut runner =
        Runner::new(&segment, Limits { depth: 64, keys: 1024 }, None).expect("a pipeline");
    let (mut connection, mut frames) = (Framer::default(), Frames::default());
    let mut batches = [(); BATCHES].map(|()| Vec::with_capacity(BATCH_BYTES * 3 / 2));
    let mut batch = 0;
    let sent = stream(64);
    // As the kernel does: into memory that the processor has not seen for a while.
    let mut ring = vec![0; 8 << 20];
    let mut at = 0;
    let mut rounds: Vec<(Duration, usize)> = sent
        .chunks(READ_BYTES)
        .cycle()
        .take(ROUNDS)
        .map(|read| {
            at = if at + READ_BYTES + 192 > ring.len() { 64 } else { at };
            let chunk = &mut ring[at..at + READ_BYTES];
            chunk.copy_from_slice(read);
            at += READ_BYTES + 64;
            let start = Instant::now();
            connection.feed(black_box(chunk), LINE_BYTES, &mut frames);
            let count = take(chunk, &frames, &mut runner, &mut batches[batch]);
            let elapsed = start.elapsed();
            if batches[batch].len() >= BATCH_BYTES {
                batch = (batch + 1) % BATCHES;
                batches[batch].clear();
            }
            (elapsed, count)
        })
        .collect();
    rounds.sort_unstable_by_key(|(elapsed, _)| *elapsed);
    let nanoseconds = |at: usize| rounds[at].0.as_secs_f64() * 1e9 / rounds[at].1 as f64;
    println!("{name:12} {:8.1} {:8.1}", nanoseconds(ROUNDS / 50), nanoseconds(ROUNDS / 2));
}

fn main() {
    println!("{:12} {:>8} {:>8}", "ns per event", "best", "median");
    for (name, segment) in PIPELINES {
        measure(name, segment);
    }
}
