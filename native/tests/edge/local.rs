//! Unix sockets, whose peers the kernel knows, and the labels of listeners.

use std::io::Write;
use std::net::UdpSocket;
use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};
use std::sync::atomic::Ordering;

use _native::counters::cells;
use _native::pipeline::config::Segment;
use _native::shard::{Pipeline, Returned};
use serde_json::{Value, json};

use super::bench::{BOUNDS, Bench, listener_of};
use super::{origin, with_origin};

fn path(name: &str) -> std::path::PathBuf {
    let path = std::env::temp_dir().join(format!("ingest-{name}-{}", std::process::id()));
    std::fs::remove_file(&path).ok();
    path
}

/// A Unix connection is told by its user and process; datagrams by nothing. Workers share the
/// socket: one that finds nobody waiting goes on.
#[test]
fn unix_peers_are_known_by_their_user() {
    let (stream, datagram) = (path("stream"), path("datagram"));
    let listening = UnixListener::bind(&stream).unwrap();
    let bound = UnixDatagram::bind(&datagram).unwrap();
    let rival = listening.try_clone().unwrap();
    let listeners = vec![
        listener_of(0, "unix_stream", &json!({}), listening.into()),
        listener_of(1, "unix_datagram", &json!({}), bound.into()),
    ];
    let mut bench = Bench::with_listeners("unix", listeners, BOUNDS, &with_origin());
    // Another worker is faster.
    let taken = UnixStream::connect(&stream).unwrap();
    let _accepted = rival.accept().unwrap();
    bench.shard.drain();
    drop(taken);
    UnixStream::connect(&stream).unwrap().write_all(b"{\"stream\":true}\n").unwrap();
    bench.run_until(|bench| bench.ledger(0).journaled == 1);
    let sender = UnixDatagram::unbound().unwrap();
    sender.send_to(b"{\"datagram\":1}", &datagram).unwrap();
    bench.run_until(|bench| bench.ledger(1).journaled == 1);
    // What waits in the socket when the worker ends is read.
    sender.send_to(b"{\"datagram\":2}", &datagram).unwrap();
    let (stored, _) = bench.stored();
    // SAFETY: plain system call.
    let uid = unsafe { libc::getuid() };
    assert_eq!(origin(&stored[0]), json!({"uid": uid, "pid": std::process::id()}));
    assert_eq!((origin(&stored[1]), stored.len()), (json!({}), 3));
}

/// The events of a listener with labels have them, whatever its sender wrote there and wherever
/// the pipeline goes; those of a listener without stay as they are.
#[test]
fn events_carry_the_labels_of_their_listener() {
    let later = Segment { is_later: true, ..Segment::default() };
    let python = Pipeline { segments: vec![Segment::default(), later], ..Pipeline::default() };
    for (name, pipeline) in [("labels-native", &Pipeline::default()), ("labels-python", &python)] {
        let sockets = [0; 2].map(|_| UdpSocket::bind("127.0.0.1:0").unwrap());
        let addresses = sockets.each_ref().map(|socket| socket.local_addr().unwrap());
        let labels = [json!({"labels": {"env": "prod", "a \"b\"": "c\\"}}), json!({})];
        let listeners = sockets
            .into_iter()
            .zip(labels)
            .enumerate()
            .map(|(at, (socket, labels))| listener_of(at, "udp", &labels, socket.into()))
            .collect();
        let mut bench = Bench::with_listeners(name, listeners, BOUNDS, pipeline);
        let own = br#"{"diagnostics":{"labels":{"env":"mine"}}}"#;
        let sender = UdpSocket::bind("127.0.0.1:0").unwrap();
        for (sent, address) in (0..).zip([addresses[0], addresses[1], addresses[0]]) {
            sender.send_to(own, address).unwrap();
            bench.run_until(|bench| {
                let cell = |at| bench.region.listener(0, at, cells::DATAGRAMS, 0);
                cell(0).load(Ordering::Relaxed) + cell(1).load(Ordering::Relaxed) > sent
            });
            while let Some(handoff) = bench.shard.take_handoff() {
                let lines = handoff.lines.clone();
                let returned = Returned { lines: &lines, verdicts: &[0], stages: &[0] };
                bench.shard.accept(handoff, &returned).unwrap();
            }
        }
        let (stored, _) = bench.stored();
        let labels = |event: &String| {
            let event: Value = serde_json::from_str(event).unwrap();
            event["diagnostics"]["labels"].clone()
        };
        let (ours, own) = (json!({"env": "prod", "a \"b\"": "c\\"}), json!({"env": "mine"}));
        assert_eq!(stored.iter().map(labels).collect::<Vec<_>>(), [ours.clone(), own, ours]);
    }
}
