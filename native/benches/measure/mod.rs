//! Times a piece of work over many events and prints what one of them took.

#![allow(clippy::cast_precision_loss, reason = "small numbers")]

use std::hint::black_box;
use std::time::{Duration, Instant};

const ROUNDS: usize = 401;

/// Prints what the columns are.
pub fn print_heading() {
    println!("{:44} {:>8} {:>8} {:>8}", "", "median", "best ns", "MB/s");
}

/// Runs `work` over all events, `ROUNDS` times; prints the time of one event.
pub fn measure(name: &str, events: &[Vec<u8>], mut work: impl FnMut(&[u8])) {
    let wanted = std::env::args().skip(1).find(|argument| !argument.starts_with('-'));
    if wanted.is_some_and(|wanted| !name.contains(&wanted)) {
        return;
    }
    let mut rounds: Vec<Duration> = (0..ROUNDS)
        .map(|_| {
            let start = Instant::now();
            for event in events {
                work(black_box(event));
            }
            start.elapsed()
        })
        .collect();
    rounds.sort_unstable();
    let bytes: usize = events.iter().map(Vec::len).sum();
    let nanoseconds = |round: Duration| round.as_secs_f64() * 1e9 / events.len() as f64;
    let median = nanoseconds(rounds[ROUNDS / 2]);
    let megabytes = bytes as f64 / events.len() as f64 / median * 1e3;
    println!("{name:44} {median:8.1} {:8.1} {megabytes:8.0}", nanoseconds(rounds[0]));
}
