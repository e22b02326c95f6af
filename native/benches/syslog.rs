//! Nanoseconds per message of the syslog parser, alone and with the decoder behind it.
//! `cargo bench --bench syslog [-- NAME]` prints the median, the best and the throughput of each.
#![allow(clippy::print_stdout, clippy::expect_used, reason = "a program for a terminal")]

mod measure;

use std::hint::black_box;

use _native::decode::{Blind, Decoder, Limits};
use _native::syslog::{Dialect, Options, Syslog, Unparsed, recognise};
use measure::{measure, print_heading};

const MESSAGES: usize = 2_000;
const LIMITS: Limits = Limits { depth: 64, keys: 1024 };
/// In the year of the messages.
const RECEIVED_NS: u64 = 1_795_305_846_000_000_000;

/// Messages of one shape with different values and lengths, on average of about 200 bytes.
fn messages(make: impl Fn(usize, usize) -> String) -> Vec<Vec<u8>> {
    (0..MESSAGES)
        .map(|number| {
            make(number, (number + 1).wrapping_mul(2_654_435_761) % 1_000_003).into_bytes()
        })
        .collect()
}

fn rfc5424(number: usize, mixed: usize) -> String {
    format!(
        concat!(
            "<{}>1 2026-11-22T00:{:02}:{:02}.{:06}+01:00 web-{:02}.example.net orders {} ID{} ",
            "[request@32473 id=\"{:08x}\" user=\"u{}\" status=\"{}\"] ",
            "GET /api/v1/orders/{} completed after {} ms for a client in shop {}",
        ),
        128 + number % 8,
        number / 60 % 60,
        number % 60,
        mixed,
        mixed % 40,
        1000 + mixed % 30_000,
        mixed % 100,
        mixed * 4_099,
        mixed % 5_000,
        [200, 201, 404, 500][mixed % 4],
        mixed,
        mixed % 900,
        number % 12,
    )
}

fn rfc3164(number: usize, mixed: usize) -> String {
    format!(
        concat!(
            "<{}>Nov 22 00:{:02}:{:02} web-{:02}.example.net sshd[{}]: Accepted publickey for user{} ",
            "from 192.0.2.{} port {} ssh2: ED25519 SHA256:{:016x}{:016x} after {} attempts in session {}",
        ),
        32 + number % 8,
        number / 60 % 60,
        number % 60,
        mixed % 40,
        1000 + mixed % 30_000,
        mixed % 5_000,
        mixed % 250,
        1024 + mixed % 60_000,
        mixed * 65_537,
        mixed * 257,
        mixed % 7,
        mixed,
    )
}

fn cisco(number: usize, mixed: usize) -> String {
    format!(
        concat!(
            "<189>{}: *Nov 22 00:{:02}:{:02}.{:03} UTC: %SEC-6-IPACCESSLOGP: list 101 denied tcp ",
            "203.0.113.{}({}) -> 192.0.2.{}({}), {} packets, on an interface of customer {}",
        ),
        number,
        number / 60 % 60,
        number % 60,
        mixed % 1000,
        mixed % 250,
        mixed % 60_000,
        mixed % 240,
        mixed % 1024,
        mixed % 90,
        mixed,
    )
}

fn cef(number: usize, mixed: usize) -> String {
    format!(
        concat!(
            "<134>Nov 22 00:{:02}:{:02} fw-{:02} CEF:0|Example|Gateway|7.{}|{}|Connection denied|5|",
            "src=192.0.2.{} dst=198.51.100.{} spt={} dpt=443 proto=TCP act=deny msg=No rule for user {}",
        ),
        number / 60 % 60,
        number % 60,
        mixed % 40,
        mixed % 10,
        mixed % 1000,
        mixed % 250,
        mixed % 240,
        mixed % 60_000,
        mixed,
    )
}

fn main() {
    print_heading();
    let shapes = [
        ("rfc5424", messages(rfc5424)),
        ("rfc3164", messages(rfc3164)),
        ("cisco", messages(cisco)),
        ("cef", messages(cef)),
    ];
    for (shape, messages) in &shapes {
        let options =
            Options { time_zone: "Europe/Berlin", unparsed: Unparsed::DeadLetter, limits: LIMITS };
        let mut syslog = Syslog::new(&options).expect("a time zone");
        syslog.begin(RECEIVED_NS);
        let mut out = Vec::with_capacity(1 << 20);
        measure(&format!("{shape}: recognised"), messages, |message| {
            assert_eq!(black_box(recognise(message)), Dialect::Syslog);
        });
        measure(&format!("{shape}: parser"), messages, |message| {
            if out.len() > 500_000 {
                out.clear();
            }
            black_box(syslog.decode(message, &mut out)).expect("a valid message");
        });
        let mut decoder = Decoder::new(LIMITS);
        let mut event = Vec::new();
        measure(&format!("{shape}: parser and decoder"), messages, |message| {
            if out.len() > 500_000 {
                out.clear();
            }
            event.clear();
            syslog.decode(message, &mut event).expect("a valid message");
            black_box(decoder.decode(&event, true, &mut Blind, &mut out)).expect("a valid event");
        });
    }
}
