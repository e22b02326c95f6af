//! One shard over real sockets, for the tests of what goes in and what is stored of it.

#![allow(dead_code, reason = "no test crate uses all of it")]

use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use _native::counters::{Cell, Ledger, Region, Sources};
use _native::decode;
use _native::journal::{Compression, Cursor, Start};
use _native::receive::{Arena, Bounds, Inboxes, Listener, Sockets};
use _native::shard::{Keeping, Limits, Pipeline, Shard, SharedMemory};
use serde_json::{Value, json};

/// Only a broken shard takes this long.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// Far more than a test needs.
pub const BOUNDS: Bounds = Bounds { connections: 10_000, partial_bytes: 1 << 30 };

/// A shard with its listeners.
pub struct Bench {
    pub directory: PathBuf,
    pub worker: usize,
    pub region: Arc<Region>,
    pub shard: Shard,
    /// Where the listeners are bound, those that have an address of the Internet.
    pub addresses: Vec<SocketAddr>,
}

impl Bench {
    /// With a TCP and a UDP listener.
    pub fn new(name: &str, connections: usize, line_bytes: usize) -> Self {
        Self::with_pipeline(name, connections, line_bytes, &Pipeline::default())
    }

    /// The pipeline may have two stages.
    pub fn with_pipeline(
        name: &str,
        connections: usize,
        line_bytes: usize,
        pipeline: &Pipeline,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let datagrams = UdpSocket::bind("127.0.0.1:0").unwrap();
        let addresses = vec![listener.local_addr().unwrap(), datagrams.local_addr().unwrap()];
        let limits = json!({"limits": {"line_bytes": line_bytes}});
        let listeners = vec![
            listener_of(0, "tcp", &limits, listener.into()),
            listener_of(1, "udp", &limits, datagrams.into()),
        ];
        let bounds = Bounds { connections: connections as u64, ..BOUNDS };
        Self { addresses, ..Self::with_listeners(name, listeners, bounds, pipeline) }
    }

    pub fn with_listeners(
        name: &str,
        listeners: Vec<Listener>,
        bounds: Bounds,
        pipeline: &Pipeline,
    ) -> Self {
        let names: Vec<_> = listeners.iter().map(|listener| listener.config.name.clone()).collect();
        let stages = ["first".to_owned(), "second".to_owned()];
        let memory = SharedMemory {
            region: Arc::new(Region::create(2, &names, &stages, b"").unwrap()),
            sources: Arc::new(Sources::create(2).unwrap()),
        };
        Self::of_worker(name, &memory, 0, listeners, bounds, pipeline)
    }

    /// One of the two workers that share something.
    pub fn of_worker(
        name: &str,
        memory: &SharedMemory,
        worker: usize,
        listeners: Vec<Listener>,
        bounds: Bounds,
        pipeline: &Pipeline,
    ) -> Self {
        let directory = directory(&format!("shard-{name}"));
        let inboxes = inherited(&inboxes(worker + 1), worker);
        let (mut shard, _) = Shard::open(
            memory,
            worker,
            &directory,
            Sockets { listeners, inboxes, arena: arena() },
            &keeping(),
            limits(bounds),
            pipeline,
        )
        .unwrap();
        shard.listen().unwrap();
        let region = Arc::clone(&memory.region);
        Self { directory, worker, region, shard, addresses: Vec::new() }
    }

    /// To the first listener.
    pub fn connect(&self) -> TcpStream {
        TcpStream::connect(self.addresses[0]).unwrap()
    }

    pub fn ledger(&self, listener: usize) -> Ledger {
        Ledger::read(&self.region, self.worker, listener)
    }

    /// A counter of the first listener.
    pub fn cell(&self, cell: Cell) -> u64 {
        self.labelled(cell, 0)
    }

    /// One of several counters of the first listener.
    pub fn labelled(&self, cell: Cell, label: usize) -> u64 {
        self.region.listener(self.worker, 0, cell, label).load(Ordering::Acquire)
    }

    /// A counter of the worker.
    pub fn of_the_worker(&self, cell: Cell, label: usize) -> u64 {
        self.region.worker(self.worker, cell, label).load(Ordering::Acquire)
    }

    /// Does what the worker's loop does until a fact is true.
    #[track_caller]
    pub fn run_until(&mut self, fact: impl Fn(&Self) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        let [events, dead] = self.shard.progress_filenos();
        let mut room = true;
        while !fact(self) {
            assert!(Instant::now() < deadline, "still not true");
            // Like the worker's loop, it looks at the sockets or at the journals, never at both.
            let watched = if room { [self.shard.fileno(), -1] } else { [events, dead] };
            let mut polled =
                watched.map(|fd| libc::pollfd { fd, events: libc::POLLIN, revents: 0 });
            // SAFETY: the array holds two entries.
            if unsafe { libc::poll(polled.as_mut_ptr(), 2, 10) } > 0 {
                room = if room { self.shard.drain() } else { self.shard.resume() };
            }
            self.shard.tick().unwrap();
        }
    }

    /// Finishes the shard and gives what it stored.
    pub fn stored(self) -> (Vec<String>, Vec<String>) {
        assert_eq!(self.shard.finish(PATIENCE, |_, _| false), 0);
        let read =
            |kind: &str| read(&self.directory.join(kind).join(format!("shard-{:04}", self.worker)));
        let stored = (read("journal"), read("dead"));
        std::fs::remove_dir_all(&self.directory).unwrap();
        stored
    }
}

/// A directory of this process that does not exist yet.
pub fn directory(name: &str) -> PathBuf {
    let directory = std::env::temp_dir().join(format!("ingest-{name}-{}", std::process::id()));
    std::fs::remove_dir_all(&directory).ok();
    directory
}

pub fn keeping() -> Keeping {
    Keeping {
        compression: Compression::None,
        sync_interval: Duration::from_millis(1),
        segment_bytes: 1 << 30,
        segment_age: Duration::from_secs(3600),
        retention_bytes: None,
        retention_age: None,
        recompress_level: None,
        queue_bytes: 1 << 20,
    }
}

pub fn limits(receive: Bounds) -> Limits {
    Limits { event: decode::Limits { depth: 64, keys: 1024 }, receive }
}

/// The memory of a slot.
pub fn arena() -> Arc<Arena> {
    let made = Arena::create(0).unwrap();
    Arc::new(Arena::attach(made.as_raw_fd()).unwrap())
}

/// The two ends of an inbox, as the supervisor makes and keeps them.
pub struct Inbox {
    pub reader: OwnedFd,
    pub writer: OwnedFd,
}

/// An inbox for each worker.
pub fn inboxes(workers: usize) -> Vec<Inbox> {
    let pair = || {
        let mut ends = [0; 2];
        // SAFETY: the array has room for two descriptors.
        let status =
            unsafe { libc::socketpair(libc::AF_UNIX, libc::SOCK_SEQPACKET, 0, ends.as_mut_ptr()) };
        assert_eq!(status, 0);
        // SAFETY: both were just made and belong to nobody else.
        let [reader, writer] = ends.map(|end| unsafe { OwnedFd::from_raw_fd(end) });
        Inbox { reader, writer }
    };
    (0..workers).map(|_| pair()).collect()
}

/// What a worker inherits of them.
pub fn inherited(inboxes: &[Inbox], worker: usize) -> Inboxes {
    Inboxes {
        own: inboxes[worker].reader.try_clone().unwrap(),
        all: inboxes.iter().map(|inbox| inbox.writer.try_clone().unwrap()).collect(),
    }
}

/// A listener whose name is its kind; `changes` are merged into what it is told.
pub fn listener_of(index: usize, kind: &str, changes: &Value, socket: OwnedFd) -> Listener {
    let mut config = json!({
        "index": index, "name": kind, "kind": kind, "address": "", "descriptor": null,
        "format": "json", "unparsed": "dead_letter", "time_zone": "UTC", "labels": {},
        "allow": [], "deny": [], "proxies": [], "tls": null,
        "limits": {
            "line_bytes": 1 << 16, "connections": null, "source_connections": null,
            "idle_seconds": null, "frame_seconds": null, "opening_seconds": 10.0,
            "source_events_per_second": null, "source_bytes_per_second": null,
        },
    });
    merge(&mut config, changes);
    Listener { config: serde_json::from_value(config).unwrap(), socket: Some(socket) }
}

fn merge(into: &mut Value, changes: &Value) {
    match (into, changes) {
        (Value::Object(into), Value::Object(changes)) => {
            for (key, value) in changes {
                merge(into.entry(key).or_insert(Value::Null), value);
            }
        }
        (into, value) => *into = value.clone(),
    }
}

/// The lines of a journal of one shard.
pub fn read(directory: &Path) -> Vec<String> {
    let mut cursor = Cursor::open(directory, Start::Oldest).unwrap();
    let mut lines = Vec::new();
    while let Some(batch) = cursor.next_batch().unwrap() {
        let text = std::str::from_utf8(&batch.lines).unwrap();
        lines.extend(text.lines().map(str::to_owned));
    }
    lines
}
