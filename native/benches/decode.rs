//! Nanoseconds per event of the decoder, beside the crates that do the nearest comparable work.
//! `cargo bench --bench decode [-- NAME]` prints the median, the best and the throughput of each;
//! docs/decisions/0001-json-validation.md says what was compared and what the numbers decided.
#![allow(clippy::print_stdout, clippy::expect_used, reason = "a program for a terminal")]
#![allow(clippy::cast_possible_truncation, reason = "small numbers")]

mod measure;
mod segments;

use std::hint::black_box;

use _native::decode::{Blind, Decoder, Limits, Source};
use _native::pipeline::{Origin, Runner};
use measure::{measure, print_heading};
use serde::de::IgnoredAny;

const EVENTS: usize = 2_000;

/// Compact events as fapilog's senders write them: the same shape, different values and lengths.
fn events(make: impl Fn(usize) -> String) -> Vec<Vec<u8>> {
    (0..EVENTS).map(|number| make(number).into_bytes()).collect()
}

fn typical(number: usize) -> String {
    let mixed = (number as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let level = ["INFO", "INFO", "INFO", "WARNING", "ERROR", "DEBUG"][number % 6];
    let path =
        format!("/api/v1/orders/{}", 1_000 + mixed % 10_u64.pow(3 + (mixed >> 60) as u32 % 4));
    let status = [200, 201, 404, 500][(mixed % 4) as usize];
    format!(
        concat!(
            r#"{{"timestamp":"2026-11-22T00:{:02}:{:02}.{:03}Z","level":"{}","#,
            r#""message":"GET {} completed","logger":"shop.http.access","#,
            r#""context":{{"request_id":"{:08x}-1111-4222-8333-{:012x}","#,
            r#""trace_id":"{:032x}","correlation_id":null}},"#,
            r#""data":{{"ip":"10.1.{}.{}","path":"{}","status":{},"#,
            r#""duration_ms":{}.{:02},"password":"hunter2"}}}}"#,
        ),
        number / 60 % 60,
        number % 60,
        number % 1000,
        level,
        path,
        mixed >> 32,
        mixed >> 16,
        u128::from(mixed) << 50,
        number % 256,
        mixed % 256,
        path,
        status,
        mixed % 900,
        mixed % 100,
    )
}

/// What Python's `json.dumps` writes: a blank behind every colon and comma.
fn spaced(number: usize) -> String {
    typical(number).replace("\":", "\": ").replace(",\"", ", \"")
}

/// Text that needs escapes, and groups that need edits, inside an envelope.
fn edited(number: usize) -> String {
    let event = typical(number)
        .replace("completed", "failed:\\n\\t\\\"caf\\u00e9\\\"")
        .replace("\"password\":\"hunter2\"", "\"_fapilog_unsafe\":{\"a\":1},\"b\":2")
        .replace("\"logger\"", "\"diagnostics\":null,\"logger\"");
    format!(r#"{{"schema_version":"1.1","log":{event}}}"#)
}

fn measure_decoder(name: &str, events: &[Vec<u8>], is_utf8: bool) {
    let mut decoder = Decoder::new(Limits { depth: 64, keys: 1024 });
    let mut out = Vec::with_capacity(1 << 20);
    measure(name, events, |event| {
        if out.len() > 500_000 {
            out.clear();
        }
        black_box(decoder.decode(event, is_utf8, &mut Blind, &mut out)).expect("a valid event");
    });
}

/// The pipeline that the README's numbers are about, with more patterns or without any stage.
const PIPELINES: [(&str, &str); 4] = [
    ("no stage", segments::NONE),
    ("reference", segments::REFERENCE),
    ("url_credentials", r#"{"stages":[{"index":0,"kernel":"url_credentials","config":{}}]}"#),
    ("origin", r#"{"stages":[{"index":0,"kernel":"origin","config":{}}]}"#),
];

fn measure_pipeline(name: &str, events: &[Vec<u8>], segment: &str) {
    let segment = serde_json::from_str(segment).expect("a segment");
    let limits = Limits { depth: 64, keys: 1024 };
    let mut runner = Runner::new(&segment, limits, None).expect("a pipeline");
    let received_ns = 1_700_000_000_000_000_000;
    runner.begin(&Origin {
        received_ns,
        peer: None,
        identity: None,
        listener: "tcp-5140",
        labels: None,
        shard: 0,
    });
    let mut out = Vec::with_capacity(1 << 20);
    measure(name, events, |event| {
        if out.len() > 500_000 {
            out.clear();
        }
        black_box(runner.run(&Source::alone(event, true), &mut out)).expect("a valid event");
    });
}

fn main() {
    print_heading();
    let shapes =
        [("typical", events(typical)), ("spaced", events(spaced)), ("edited", events(edited))];
    for (shape, events) in &shapes {
        measure_decoder(&format!("{shape}: decoder, UTF-8 known"), events, true);
        measure_decoder(&format!("{shape}: decoder"), events, false);
        for (pipeline, segment) in PIPELINES {
            measure_pipeline(&format!("{shape}: pipeline, {pipeline}"), events, segment);
        }
        measure(&format!("{shape}: sonic-rs IgnoredAny"), events, |event| {
            black_box(sonic_rs::from_slice::<IgnoredAny>(event)).expect("valid");
        });
        measure(&format!("{shape}: sonic-rs LazyValue"), events, |event| {
            black_box(sonic_rs::from_slice::<sonic_rs::LazyValue>(event)).expect("valid");
        });
        let mut copy = Vec::new();
        let mut buffers = simd_json::Buffers::default();
        measure(&format!("{shape}: simd-json to_tape"), events, |event| {
            copy.clear();
            copy.extend_from_slice(event);
            black_box(simd_json::to_tape_with_buffers(&mut copy, &mut buffers)).expect("valid");
        });
        measure(&format!("{shape}: serde_json IgnoredAny"), events, |event| {
            black_box(serde_json::from_slice::<IgnoredAny>(event)).expect("valid");
        });
    }
}
