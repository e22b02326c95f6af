//! PROXY headers: required from those who are trusted, believed from nobody else.

use std::io::{Read, Write};

use _native::counters::cells;
use rustls::pki_types::ServerName;
use rustls::version::TLS13;
use rustls::{ClientConnection, StreamOwned};
use serde_json::{Value, json};

use super::certificates::Files;
use super::{bench, origin, proxies, reason};

const REFUSED: &str = "ingest_connections_refused_total";

const VERSION_1: &[u8] = b"PROXY TCP4 192.0.2.7 10.0.0.1 12345 514\r\n";
const VERSION_2: &[u8] = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\x00\x0f\xc0\x00\x02\x07\x0a\x00\x00\x01\
    \x30\x39\x02\x02\x04\x00\x00";
const LOCAL: &[u8] = b"\r\n\r\n\0\r\nQUIT\n\x20\x00\x00\x00";

/// However a header is cut, the true sender stands in the events, and the proxy beside it; a proxy
/// that speaks for itself is the sender.
#[test]
fn the_true_sender_is_behind_the_proxy() {
    let headers = [VERSION_1, VERSION_2, LOCAL, b"PROXY UNKNOWN\r\n"];
    for (at, header) in headers.into_iter().enumerate() {
        let stream = [header, b"{\"first\":true}\n{\"second\":true}\n"].concat();
        for cut in [1, stream.len()] {
            let mut bench = bench(&format!("proxy-{at}-{cut}"), "tcp", &proxies(&["127.0.0.1"]));
            let mut socket = bench.connect();
            for piece in stream.chunks(cut) {
                socket.write_all(piece).unwrap();
                bench.shard.drain();
            }
            bench.run_until(|bench| bench.ledger(0).journaled == 2);
            let proxy = socket.local_addr().unwrap().to_string();
            let expected = match at {
                0 | 1 => json!({"peer": "192.0.2.7:12345", "proxy": proxy}),
                _ => json!({"peer": proxy}),
            };
            let (stored, dead) = bench.stored();
            assert_eq!(dead, [""; 0]);
            assert_eq!([origin(&stored[0]), origin(&stored[1])], [expected.clone(), expected]);
        }
    }
}

/// With TLS the header comes first, in plain text.
#[test]
fn a_header_comes_before_the_handshake() {
    let files = Files::new("proxied");
    let mut config = files.config("none", "1.2");
    config["proxies"] = json!(["127.0.0.0/8"]);
    let mut bench = bench("proxied", "tls", &config);
    let mut socket = bench.connect();
    let proxy = socket.local_addr().unwrap().to_string();
    socket.write_all(VERSION_2).unwrap();
    let name = ServerName::try_from("localhost").unwrap();
    let session = ClientConnection::new(files.client(None, &[&TLS13]), name).unwrap();
    let mut client = StreamOwned::new(session, socket);
    let sender = std::thread::spawn(move || {
        client.write_all(b"{}\n").unwrap();
        client.flush().unwrap();
        client
    });
    bench.run_until(|bench| bench.ledger(0).journaled == 1);
    sender.join().unwrap();
    let expected = json!({"peer": "192.0.2.7:12345", "proxy": proxy, "tls": {"version": "1.3"}});
    assert_eq!(origin(&bench.stored().0[0]), expected);
}

/// Sends to a listener with these proxies and ends; gives what was refused, the notices, and what
/// was stored.
fn outcome(name: &str, config: &Value, bytes: &[u8]) -> (u64, Vec<String>, usize, usize) {
    let mut bench = bench(&format!("proxy-{name}"), "tcp", config);
    let mut socket = bench.connect();
    for byte in bytes {
        // The server may have refused it by then.
        let _ = socket.write_all(&[*byte]);
        bench.shard.drain();
    }
    drop(socket);
    bench.run_until(|bench| {
        bench.cell(cells::CONNECTIONS_CLOSED) == 1 && bench.ledger(0).in_flight == 0
    });
    let refused = reason(&bench, REFUSED, "proxy_header");
    let notices = bench.shard.take_notices().into_iter().map(|notice| notice.detail).collect();
    let (stored, dead) = bench.stored();
    (refused, notices, stored.len(), dead.len())
}

/// A proxy without a whole and valid header is closed, counted and noted; but a health check that
/// sends nothing is not.
#[test]
fn a_proxy_needs_a_header() {
    let trusted = proxies(&["127.0.0.1"]);
    for (at, bytes) in
        [&b"{\"a\":1}\n"[..], &VERSION_1[..20], &VERSION_2[..20], b"PROXY TCP4 a b c d\r\n{}\n"]
            .into_iter()
            .enumerate()
    {
        let (refused, notices, stored, dead) = outcome(&format!("bad-{at}"), &trusted, bytes);
        assert_eq!((refused, notices.len(), stored, dead), (1, 1, 0, 0), "{notices:?}");
    }
    assert_eq!(outcome("silent", &trusted, b""), (0, vec![], 0, 0));
}

/// A header from somebody else is refused, whole; what only begins like one is what it is.
#[test]
fn a_header_of_a_stranger_is_refused() {
    let others = proxies(&["10.0.0.0/8"]);
    for (at, header) in [VERSION_1, VERSION_2, b"PROXY UNKNOWN\r\n"].into_iter().enumerate() {
        let bytes = [header, b"{\"a\":1}\n"].concat();
        let (refused, notices, stored, dead) = outcome(&format!("strange-{at}"), &others, &bytes);
        assert_eq!((refused, notices.len(), stored, dead), (1, 1, 0, 0), "{notices:?}");
    }
    for (at, (bytes, stored, dead)) in [
        (&b"{\"a\":1}\n"[..], 1, 0),
        (b"\r\n\r\n{\"a\":1}\n{\"b\":1}", 2, 0),
        (b"PROXY started\n{\"a\":1}\n", 1, 1),
        (b"PROXY TCP", 0, 1),
        (b"", 0, 0),
    ]
    .into_iter()
    .enumerate()
    {
        assert_eq!(outcome(&format!("like-{at}"), &others, bytes), (0, vec![], stored, dead));
    }
}

/// A proxy that is silent is closed at the deadline; somebody else may be silent, and what of
/// his is not known to be no header is a line when the server ends.
#[test]
fn a_header_has_a_deadline() {
    let mut config = proxies(&["127.0.0.1"]);
    config["limits"] = json!({"opening_seconds": 0.05});
    let mut late = bench("proxy-late", "tcp", &config);
    let mut socket = late.connect();
    late.run_until(|bench| reason(bench, REFUSED, "opening_timeout") == 1);
    assert_eq!(socket.read(&mut [0; 8]).unwrap_or(0), 0);
    assert_eq!(late.shard.take_notices().len(), 1);
    late.stored();

    config["proxies"] = json!(["10.0.0.1"]);
    let mut patient = bench("proxy-patient", "tcp", &config);
    let mut socket = patient.connect();
    socket.write_all(b"PROXY").unwrap();
    let start = std::time::Instant::now();
    patient.run_until(|_| start.elapsed().as_secs_f64() > 0.2);
    assert_eq!(patient.cell(cells::CONNECTIONS_CLOSED), 0);
    assert_eq!(patient.stored().1.len(), 1);
}

/// Whoever is no proxy is held to the limits of the listener before he has sent a byte.
#[test]
fn a_silent_stranger_counts() {
    let mut config = proxies(&["10.0.0.1"]);
    config["limits"] = json!({"source_connections": 1, "idle_seconds": 0.2});
    let mut bench = bench("proxy-stranger", "tcp", &config);
    let (first, second) = (bench.connect(), bench.connect());
    bench.run_until(|bench| reason(bench, REFUSED, "source_connections") == 1);
    bench.run_until(|bench| bench.cell(cells::CONNECTIONS_CLOSED) == 2);
    assert_eq!(reason(&bench, "ingest_connections_expired_total", "idle"), 1);
    drop((first, second));
    bench.stored();
}
