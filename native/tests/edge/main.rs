//! What happens to a connection before its first frame, over real sockets: TLS, PROXY headers,
//! Unix peers; and the labels of listeners.

#![allow(clippy::unwrap_used, clippy::panic)] // in a test they are how it fails

#[path = "../bench/mod.rs"]
mod bench;
mod certificates;
mod local;
mod proxy;
mod tls;

use std::net::TcpListener;

use _native::shard::Pipeline;
use bench::{BOUNDS, Bench, listener_of};
use serde_json::{Value, json};

/// A pipeline that says who sent an event.
fn with_origin() -> Pipeline {
    let segment = r#"{"stages":[{"index":0,"kernel":"origin","config":{}}]}"#;
    Pipeline { segments: vec![serde_json::from_str(segment).unwrap()], ..Pipeline::default() }
}

/// A shard with one listener that has connections.
fn bench(name: &str, kind: &str, changes: &Value) -> Bench {
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    let addresses = vec![socket.local_addr().unwrap()];
    let listeners = vec![listener_of(0, kind, changes, socket.into())];
    let bench = Bench::with_listeners(name, listeners, BOUNDS, &with_origin());
    Bench { addresses, ..bench }
}

/// What `diagnostics.ingest` says, without what differs from run to run.
fn origin(event: &str) -> Value {
    let event: Value = serde_json::from_str(event).unwrap();
    let mut origin = event["diagnostics"]["ingest"].clone();
    for key in ["received_at", "listener", "shard"] {
        origin.as_object_mut().unwrap().remove(key);
    }
    origin
}

/// A listener that is told to expect headers from `proxies`.
fn proxies(networks: &[&str]) -> Value {
    json!({"proxies": networks})
}

/// A cell of the first listener that has a reason.
fn reason(bench: &Bench, metric: &str, reason: &str) -> u64 {
    let cell = bench.region.by_name(Some(0), metric, Some(0), Some(reason)).unwrap();
    cell.load(std::sync::atomic::Ordering::Relaxed)
}
