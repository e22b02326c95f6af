//! TLS with a client of the same library.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use _native::counters::{Region, Sources, cells};
use _native::pipeline::config::Segment;
use _native::receive::Sockets;
use _native::shard::{Pipeline, Shard, SharedMemory};
use rcgen::{DnType, SanType};
use rustls::pki_types::ServerName;
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, ClientConnection, Stream, StreamOwned};
use serde_json::json;

use super::bench::{BOUNDS, PATIENCE, listener_of};
use super::certificates::{Authority, Files};
use super::{Bench, bench, origin, reason};

const FAILED: &str = "ingest_tls_handshakes_failed_total";

fn session(config: &Arc<ClientConfig>) -> ClientConnection {
    ClientConnection::new(Arc::clone(config), ServerName::try_from("localhost").unwrap()).unwrap()
}

type Client = StreamOwned<ClientConnection, TcpStream>;

fn connect(address: SocketAddr, config: &Arc<ClientConfig>) -> Client {
    StreamOwned::new(session(config), TcpStream::connect(address).unwrap())
}

/// Sends, and gives the connection back; or says what went wrong.
fn send(
    address: SocketAddr,
    config: &Arc<ClientConfig>,
    text: String,
) -> JoinHandle<std::io::Result<Client>> {
    let mut client = connect(address, config);
    std::thread::spawn(move || {
        client.write_all(text.as_bytes())?;
        client.flush()?;
        Ok(client)
    })
}

/// Whether the server has closed the connection without an error, in order.
fn is_closed_in_order(mut client: Client) -> bool {
    matches!(client.read(&mut [0; 16]), Ok(0))
}

/// Both versions, records of every size: events are stored as they were sent, and a connection
/// that the server closes is closed in order.
#[test]
fn data_in_records_of_every_size() {
    for (version, name) in [(&TLS12, "1.2"), (&TLS13, "1.3")] {
        let files = Files::new(&format!("sizes-{name}"));
        let config = files.client(None, &[version]);
        let mut bench = bench(&format!("sizes-{name}"), "tls", &files.config("none", "1.2"));
        let events: Vec<String> = (0..400)
            .map(|number| {
                let padding = "x".repeat(number * number % 40_000);
                format!("{{\"number\":{number},\"padding\":\"{padding}\"}}\n")
            })
            .collect();
        let mut client = connect(bench.addresses[0], &config);
        let sent = events.clone();
        let sender = std::thread::spawn(move || {
            for event in &sent {
                client.write_all(event.as_bytes()).unwrap();
            }
            client.flush().unwrap();
            client
        });
        bench.run_until(|bench| bench.ledger(0).journaled == 400);
        let client = sender.join().unwrap();
        assert_eq!(bench.cell(cells::TLS_HANDSHAKES), 1);
        let (stored, dead) = bench.stored();
        assert!(dead.is_empty());
        assert!(is_closed_in_order(client));
        for (stored, sent) in stored.iter().zip(events) {
            assert!(stored.starts_with(sent.strip_suffix("}\n").unwrap()));
            assert_eq!(origin(stored)["tls"], json!({"version": name}));
        }
    }
}

/// However the stream is cut, down to single bytes, it is understood; and the end of a connection
/// ends its last line, whether the client has closed it in order or not.
#[test]
fn records_cut_anywhere() {
    for (cut, in_order) in [(1, true), (7, false), (1000, true)] {
        let files = Files::new(&format!("cut-{cut}"));
        let identity = files.authority.issue("client", |_| ());
        let mut session = session(&files.client(Some(&identity), &[&TLS13]));
        let mut bench = bench(&format!("cut-{cut}"), "tls", &files.config("required", "1.3"));
        let mut socket = bench.connect();
        session.writer().write_all(b"{\"first\":true}\n{\"last\":true}").unwrap();
        let mut is_closing = false;
        while session.is_handshaking() || session.wants_write() {
            let mut bytes = Vec::new();
            session.write_tls(&mut bytes).unwrap();
            for piece in bytes.chunks(cut) {
                socket.write_all(piece).unwrap();
                bench.shard.drain();
            }
            socket.set_nonblocking(true).unwrap();
            while session.read_tls(&mut socket).is_ok_and(|count| count > 0) {
                session.process_new_packets().unwrap();
            }
            socket.set_nonblocking(false).unwrap();
            if in_order && !session.is_handshaking() && !is_closing {
                session.send_close_notify();
                is_closing = true;
            }
        }
        if !in_order {
            socket.shutdown(Shutdown::Write).unwrap();
        }
        bench.run_until(|bench| bench.ledger(0).journaled == 2);
        assert_eq!(bench.cell(cells::CONNECTIONS_CLOSED), 1);
        bench.stored();
    }
}

/// Who a client is stands in its events, in the words of its certificate and no others.
#[test]
fn a_verified_client_is_named() {
    let files = Files::new("identity");
    let client = files.authority.issue("a \"quoted\", \u{e9} \\ name\n", |params| {
        params.distinguished_name.push(DnType::OrganizationName, "Example");
        params.subject_alt_names = vec![
            SanType::DnsName("client.example".try_into().unwrap()),
            SanType::IpAddress("2001:db8::1".parse().unwrap()),
            SanType::URI("spiffe://example/\"}".try_into().unwrap()),
            SanType::Rfc822Name("ops@client.example".try_into().unwrap()),
        ];
    });
    let unnamed = files.client(None, &[&TLS13]);
    let named = files.client(Some(&client), &[&TLS12]);
    let mut bench = bench("identity", "tls", &files.config("optional", "1.2"));
    for (config, count) in [(named, 1), (unnamed, 2)] {
        let sender = send(bench.addresses[0], &config, "{}\n".into());
        bench.run_until(|bench| bench.ledger(0).journaled == count);
        sender.join().unwrap().unwrap();
    }
    let (stored, _) = bench.stored();
    let expected = json!({
        "version": "1.2",
        "subject": "O=Example,CN=a \\\"quoted\\\"\\, \u{e9} \\\\ name\\0a",
        "san": ["DNS:client.example", "IP:2001:db8::1", "URI:spiffe://example/\"}",
                "EMAIL:ops@client.example"],
    });
    assert_eq!(origin(&stored[0])["tls"], expected);
    assert_eq!(origin(&stored[1])["tls"], json!({"version": "1.3"}));
}

/// What a worker took from a client and could not store is replayed as that client's.
#[test]
fn a_client_is_named_after_the_end_of_its_worker() {
    let files = Files::new("replay");
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    let memory = SharedMemory {
        region: Arc::new(Region::create(1, &["tls".to_owned()], &[], b"").unwrap()),
        sources: Arc::new(Sources::create(1).unwrap()),
    };
    let (arena, inboxes) = (bench::arena(), bench::inboxes(1));
    let directory = bench::directory("tls-replay");
    let later = Segment { is_later: true, ..Segment::default() };
    let pipeline = Pipeline { segments: vec![Segment::default(), later], ..Pipeline::default() };
    let sender = send(address, &files.client(None, &[&TLS13]), "{}\n".into());
    let [taken, replayed] = [(); 2].map(|()| {
        let socket = socket.try_clone().unwrap().into();
        let sockets = Sockets {
            listeners: vec![listener_of(0, "tls", &files.config("optional", "1.2"), socket)],
            inboxes: bench::inherited(&inboxes, 0),
            arena: Arc::clone(&arena),
        };
        let (keeping, limits) = (bench::keeping(), bench::limits(BOUNDS));
        let (mut shard, _) =
            Shard::open(&memory, 0, &directory, sockets, &keeping, limits, &pipeline).unwrap();
        shard.listen().unwrap();
        let deadline = Instant::now() + PATIENCE;
        let handoff = loop {
            assert!(Instant::now() < deadline);
            shard.drain();
            if let Some(handoff) = shard.take_handoff() {
                break handoff;
            }
        };
        assert_eq!(shard.hand_over(Duration::ZERO, |_, _| false), 0);
        handoff.runs[0].sender.clone()
    });
    sender.join().unwrap().unwrap();
    assert_eq!(taken.identity.as_deref(), Some("\"tls\":{\"version\":\"1.3\"}"));
    assert_eq!(replayed, taken);
    std::fs::remove_dir_all(&directory).unwrap();
}

/// Runs the bench until one handshake has failed for this reason, and no other.
fn refused(bench: &mut Bench, expected: &str) {
    bench.run_until(|bench| reason(bench, FAILED, expected) == 1);
    bench.run_until(|bench| bench.cell(cells::CONNECTIONS_CLOSED) == 1);
    let notices = bench.shard.take_notices();
    let causes: Vec<_> = notices.iter().map(|notice| notice.cause).collect();
    assert_eq!(causes, [expected], "{notices:?}");
    assert_eq!(bench.cell(cells::TLS_HANDSHAKES), 0);
}

/// A client that may not send is closed, told why, counted by its reason and noted once; one that
/// may is served before and after.
#[test]
fn clients_are_refused_by_their_reason() {
    let year = |year| rcgen::date_time_ymd(year, 1, 1);
    let foreign = Authority::new();
    for expected in ["no_certificate", "bad_certificate", "expired_certificate", "not_valid_yet"] {
        let files = Files::new(expected);
        let identity = match expected {
            "no_certificate" => None,
            "bad_certificate" => Some(foreign.issue("client", |_| ())),
            "expired_certificate" => Some(files.authority.issue("client", |params| {
                (params.not_before, params.not_after) = (year(2000), year(2001));
            })),
            _ => Some(files.authority.issue("client", |params| params.not_before = year(3000))),
        };
        for (version, name) in [(&TLS12, "1.2"), (&TLS13, "1.3")] {
            let config = files.client(identity.as_ref(), &[version]);
            let name = format!("refused-{expected}-{name}");
            let mut bench = bench(&name, "tls", &files.config("required", "1.2"));
            let sender = send(bench.addresses[0], &config, "{}\n".into());
            let expected =
                if expected == "not_valid_yet" { "expired_certificate" } else { expected };
            refused(&mut bench, expected);
            // With TLS 1.3 a client learns it only when it reads.
            let answer = sender.join().unwrap().and_then(|mut client| client.read(&mut [0; 16]));
            let answer = answer.unwrap_err();
            assert_eq!(answer.kind(), ErrorKind::InvalidData, "an alert: {answer}");
            let good = files.authority.issue("good", |_| ());
            let config = files.client(Some(&good), &[version]);
            let sender = send(bench.addresses[0], &config, "{\"good\":true}\n".into());
            bench.run_until(|bench| bench.ledger(0).journaled == 1);
            sender.join().unwrap().unwrap();
            assert_eq!(bench.stored().0.len(), 1);
        }
    }
}

/// What is no handshake, or one that comes to nothing, is refused by its reason too.
#[test]
fn broken_handshakes_are_refused() {
    let files = Files::new("broken");
    let strict = files.config("none", "1.3");

    let mut plain = bench("broken-plain", "tls", &strict);
    let mut socket = plain.connect();
    socket.write_all("{\"plain\":true}\n".repeat(10_000).as_bytes()).unwrap();
    refused(&mut plain, "plain_text");
    let mut alert = Vec::new();
    socket.read_to_end(&mut alert).unwrap();
    assert_eq!(alert[0], 21, "{alert:?}");
    plain.stored();

    let mut old = bench("broken-old", "tls", &strict);
    let sender = send(old.addresses[0], &files.client(None, &[&TLS12]), "{}\n".into());
    refused(&mut old, "protocol");
    assert_eq!(sender.join().unwrap().unwrap_err().kind(), ErrorKind::InvalidData);
    old.stored();

    let mut distrusted = bench("broken-distrusted", "tls", &strict);
    let foreign = Files::new("broken-foreign");
    let sender = send(distrusted.addresses[0], &foreign.client(None, &[&TLS13]), "{}\n".into());
    refused(&mut distrusted, "refused_by_client");
    sender.join().unwrap().unwrap_err();
    distrusted.stored();

    let mut left = bench("broken-left", "tls", &strict);
    let mut hello = Vec::new();
    session(&files.client(None, &[&TLS13])).write_tls(&mut hello).unwrap();
    left.connect().write_all(&hello[..hello.len() / 2]).unwrap();
    refused(&mut left, "closed");
    left.stored();
}

/// A health check that opens a connection and closes it is nothing to speak of.
#[test]
fn a_connection_without_a_byte_is_no_failure() {
    let files = Files::new("silent");
    let mut bench = bench("silent", "tls", &files.config("none", "1.2"));
    drop(bench.connect());
    bench.run_until(|bench| bench.cell(cells::CONNECTIONS_CLOSED) == 1);
    assert_eq!((bench.shard.take_notices(), reason(&bench, FAILED, "closed")), (vec![], 0));
    bench.stored();
}

/// A handshake that is not over at its deadline is closed; a connection that is open by then may
/// be silent.
#[test]
fn stalled_handshakes_are_closed() {
    let files = Files::new("stalled");
    let mut config = files.config("none", "1.2");
    config["limits"] = json!({"opening_seconds": 1.0});
    let mut bench = bench("stalled", "tls", &config);
    let sender = send(bench.addresses[0], &files.client(None, &[&TLS13]), "{}\n".into());
    bench.run_until(|bench| bench.ledger(0).journaled == 1);
    let mut client = sender.join().unwrap().unwrap();
    let mut stalled = bench.connect();
    let mut hello = Vec::new();
    session(&files.client(None, &[&TLS13])).write_tls(&mut hello).unwrap();
    stalled.write_all(&hello[..100]).unwrap();
    bench.run_until(|bench| reason(bench, FAILED, "timeout") == 1);
    assert_eq!(stalled.read(&mut [0; 16]).unwrap_or(0), 0);
    client.write_all(b"{}\n").unwrap();
    client.flush().unwrap();
    bench.run_until(|bench| bench.ledger(0).journaled == 2);
    bench.stored();
}

/// A record that was changed on its way ends its connection, and what came before it is stored.
#[test]
fn a_broken_record_ends_its_connection() {
    let files = Files::new("record");
    let mut bench = bench("record", "tls", &files.config("none", "1.2"));
    let sender = send(bench.addresses[0], &files.client(None, &[&TLS13]), "{}\n".into());
    bench.run_until(|bench| bench.ledger(0).journaled == 1);
    let mut client = sender.join().unwrap().unwrap();
    client.sock.write_all(b"\x17\x03\x03\x00\x20an application record of nobody.").unwrap();
    bench.run_until(|bench| bench.cell(cells::CONNECTIONS_CLOSED) == 1);
    assert_eq!(bench.cell(cells::TLS_ERRORS), 1);
    assert_eq!(bench.shard.take_notices()[0].cause, "tls_error");
    assert_eq!(client.read(&mut [0; 16]).unwrap_err().kind(), ErrorKind::InvalidData);
    bench.stored();
}

/// The certificate that a new connection is shown.
fn shown(bench: &mut Bench, config: &Arc<ClientConfig>) -> Vec<u8> {
    let mut session = session(config);
    let mut socket = bench.connect();
    let handshake = std::thread::spawn(move || {
        let mut stream = Stream::new(&mut session, &mut socket);
        stream.write_all(b"{}\n").unwrap();
        stream.flush().unwrap();
        session.peer_certificates().unwrap()[0].to_vec()
    });
    let before = bench.ledger(0).journaled;
    bench.run_until(|bench| bench.ledger(0).journaled > before);
    handshake.join().unwrap()
}

/// New certificates are taken for new connections while old connections go on; files that are of
/// no use change nothing, and are noted once.
#[test]
fn certificates_are_taken_anew() {
    let files = Files::new("reload");
    let config = files.client(None, &[&TLS13]);
    let mut bench = bench("reload", "tls", &files.config("none", "1.2"));
    let first = shown(&mut bench, &config);
    let sender = send(bench.addresses[0], &config, "{}\n".into());
    bench.run_until(|bench| bench.ledger(0).journaled == 2);
    let mut old = sender.join().unwrap().unwrap();

    files.install(&files.authority.issue("second", |_| ()));
    bench.run_until(|bench| bench.cell(cells::TLS_RELOADS) == 1);
    let second = shown(&mut bench, &config);
    assert_ne!(second, first);

    std::fs::write(files.path("server.pem"), "broken").unwrap();
    bench.run_until(|bench| bench.cell(cells::TLS_RELOAD_ERRORS) == 1);
    let notices = bench.shard.take_notices();
    assert!(notices[0].detail.contains("server.pem"), "{notices:?}");
    assert_eq!((notices.len(), notices[0].cause), (1, "tls_reload"));
    assert_eq!(shown(&mut bench, &config), second);

    files.install(&files.authority.issue("third", |_| ()));
    bench.run_until(|bench| bench.cell(cells::TLS_RELOADS) == 2);
    assert_ne!(shown(&mut bench, &config), second);
    old.write_all(b"{}\n").unwrap();
    old.flush().unwrap();
    bench.run_until(|bench| bench.ledger(0).journaled == 6);
    bench.stored();
}

/// Who sends a record bit by bit sends a frame that has no end: it is held in memory that is
/// counted, and has the same deadline.
#[test]
fn a_record_bit_by_bit_has_a_deadline() {
    let files = Files::new("bit-by-bit");
    let mut config = files.config("none", "1.2");
    config["limits"] = json!({"frame_seconds": 0.4});
    let mut bench = bench("bit-by-bit", "tls", &config);
    let line = "{\"whole\":true}\n".to_owned();
    let sender = send(bench.addresses[0], &files.client(None, &[&TLS13]), line);
    bench.run_until(|bench| bench.ledger(0).journaled == 1);
    let mut client = sender.join().unwrap().unwrap();
    // The header of a record of 16 KiB.
    client.sock.write_all(&[23, 3, 3, 64, 0]).unwrap();
    bench.run_until(|bench| bench.of_the_worker(cells::PARTIAL, 0) == 5);
    let expired = |bench: &Bench| reason(bench, "ingest_connections_expired_total", "frame");
    let deadline = Instant::now() + PATIENCE;
    while expired(&bench) == 0 {
        assert!(Instant::now() < deadline, "the slow sender is still there");
        let read = bench.cell(cells::READS);
        let _ = client.sock.write_all(b"x");
        // It is that slow: faster, it would come to the end of the record.
        std::thread::sleep(Duration::from_millis(2));
        bench.run_until(|bench| bench.cell(cells::READS) > read || expired(bench) == 1);
    }
    bench.run_until(|bench| bench.of_the_worker(cells::PARTIAL, 0) == 0);
    bench.stored();
}

/// While a reload that removes a listener goes from worker to worker, some have it bound and others
/// do not: these have no certificates, and nobody sends them his connection, let alone plain text.
#[test]
fn a_removed_listener_never_takes_plain_text() {
    let files = Files::new("removed");
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    let memory = SharedMemory {
        region: Arc::new(Region::create(2, &["tls".to_owned()], &[], b"").unwrap()),
        sources: Arc::new(Sources::create(2).unwrap()),
    };
    let (inboxes, directory) = (bench::inboxes(2), bench::directory("shards-removed"));
    let mut shards = [0, 1].map(|worker| {
        let config = files.config("required", "1.2");
        let mut listener = listener_of(0, "tls", &config, socket.try_clone().unwrap().into());
        if worker > 0 {
            listener.socket = None;
        }
        let sockets = Sockets {
            listeners: vec![listener],
            inboxes: bench::inherited(&inboxes, worker),
            arena: bench::arena(),
        };
        let (keeping, limits) = (bench::keeping(), bench::limits(BOUNDS));
        let pipeline = Pipeline::default();
        let opened = Shard::open(&memory, worker, &directory, sockets, &keeping, limits, &pipeline);
        let (mut shard, _) = opened.unwrap();
        shard.listen().unwrap();
        shard.tick().unwrap();
        let state = memory.region.worker(worker, cells::STATE, 0);
        state.store(cells::STATE_READY, Ordering::SeqCst);
        shard
    });
    let _senders: Vec<TcpStream> = (0..10)
        .map(|_| {
            let mut sender = TcpStream::connect(address).unwrap();
            sender.write_all(b"{\"plain\":true}\n").unwrap();
            sender
        })
        .collect();
    let closed = memory.region.listener(0, 0, cells::CONNECTIONS_CLOSED, 0);
    let received = memory.region.listener(1, 0, cells::RECEIVED, 0);
    let deadline = Instant::now() + PATIENCE;
    while closed.load(Ordering::SeqCst) < 10 && received.load(Ordering::SeqCst) == 0 {
        assert!(Instant::now() < deadline, "they are still there");
        for shard in &mut shards {
            shard.drain();
        }
    }
    assert_eq!(received.load(Ordering::SeqCst), 0);
    for shard in shards {
        assert_eq!(shard.finish(PATIENCE, |_, _| false), 0);
    }
    std::fs::remove_dir_all(&directory).unwrap();
}
