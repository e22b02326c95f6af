//! A directory, a journal in it, and an observer whose facts can be awaited.
#![allow(dead_code, reason = "not every test binary needs everything")]

use std::fs::{self, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use _native::journal::{
    Closed, Commit, Compression, Cursor, Journal, Observer, Options, Recovery, Stall, Start, Upkeep,
};

/// How long a fact may take before the test fails; only failing tests take this long.
const PATIENCE: Duration = Duration::from_secs(60);
pub const SOURCES: [&str; 2] = ["tcp-5140", "udp-5140"];

pub struct Directory(PathBuf);

impl Directory {
    pub fn new() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("journal-test-{}-{number}", process::id()));
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub fn path(&self) -> &Path {
        &self.0
    }

    pub fn segments(&self) -> Vec<PathBuf> {
        segments(&self.0)
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

pub fn segments(directory: &Path) -> Vec<PathBuf> {
    let mut paths = files(directory);
    paths.retain(|path| path.to_str().unwrap().ends_with(".ndjson.zst"));
    paths
}

pub fn files(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).unwrap();
    let mut paths: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths
}

pub fn options(directory: &Path) -> Options {
    Options {
        directory: directory.to_owned(),
        shard: 3,
        sources: SOURCES.map(String::from).to_vec(),
        durable_sequence: None,
        compression: Compression::None,
        sync_interval: Duration::from_millis(5),
        segment_bytes: 256 << 20,
        segment_age: Duration::from_secs(3600),
        retention_bytes: None,
        retention_age: None,
        recompress: None,
        batch_bytes: 64 << 10,
        queue_bytes: 1 << 20,
    }
}

#[derive(Debug, Default, Clone)]
pub struct Seen {
    pub next_sequence: u64,
    pub by_source: [u64; 2],
    pub bytes: u64,
    pub batches: u64,
    pub compressed_batches: u64,
    pub segments: u64,
    pub commits: u64,
    pub stalls: Vec<Option<Stall>>,
    pub seals: u64,
    pub recompressed: Vec<(u64, u64)>,
    pub upkeep_errors: Vec<String>,
}

/// The observer, and the test's view of it.
#[derive(Default, Clone)]
pub struct Watch(Arc<(Mutex<Seen>, Condvar)>);

impl Watch {
    pub fn seen(&self) -> Seen {
        self.0.0.lock().unwrap().clone()
    }

    pub fn wait(&self, what: &str, is_true: impl Fn(&Seen) -> bool) -> Seen {
        let deadline = Instant::now() + PATIENCE;
        let mut seen = self.0.0.lock().unwrap();
        while !is_true(&seen) {
            let left = deadline.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "never happened: {what}; {seen:?}");
            seen = self.0.1.wait_timeout(seen, left).unwrap().0;
        }
        seen.clone()
    }

    fn change(&self, change: impl FnOnce(&mut Seen)) {
        change(&mut self.0.0.lock().unwrap());
        self.0.1.notify_all();
    }
}

impl Observer for Watch {
    fn committed(&self, commit: &Commit<'_>) {
        self.change(|seen| {
            seen.next_sequence = commit.next_sequence;
            seen.bytes += commit.bytes;
            seen.batches += commit.batches;
            seen.compressed_batches += commit.compressed_batches;
            seen.segments += commit.segments;
            seen.commits += 1;
            for (total, events) in seen.by_source.iter_mut().zip(commit.events_by_source) {
                *total += events;
            }
        });
    }

    fn stalled(&self, stall: Option<Stall>) {
        self.change(|seen| seen.stalls.push(stall));
    }

    fn cared(&self, upkeep: &Upkeep<'_>) {
        self.change(|seen| match upkeep {
            Upkeep::Sealed => seen.seals += 1,
            Upkeep::Recompressed { bytes_before, bytes_after } => {
                seen.recompressed.push((*bytes_before, *bytes_after));
            }
            Upkeep::Failed(error) => seen.upkeep_errors.push(error.to_string()),
        });
    }
}

pub fn open(options: &Options) -> (Journal, Recovery, Watch) {
    let watch = Watch::default();
    let (journal, recovery) = Journal::open(options, Arc::new(watch.clone())).unwrap();
    (journal, recovery, watch)
}

/// The text of the event that has this sequence number in these tests.
pub fn line(sequence: u64) -> String {
    format!("{{\"message\":\"event {sequence}\",\"data\":{{\"number\":{sequence}}}}}\n")
}

/// Append the next `count` events from `source` without publishing them.
pub fn append(journal: &mut Journal, source: u16, count: u32) {
    let sequence = journal.next_sequence();
    let batch = journal.batch();
    for index in 0..u64::from(count) {
        batch.lines.extend_from_slice(line(sequence + index).as_bytes());
    }
    let now = 1_000 + sequence;
    batch.add(source, count, now, sequence + u64::from(count));
}

/// Append events and make them a batch of their own by waiting until they are durable.
pub fn append_batch(journal: &mut Journal, watch: &Watch, source: u16, count: u32) {
    append(journal, source, count);
    journal.publish();
    let end = journal.next_sequence();
    watch.wait("durable", |seen| seen.next_sequence == end);
}

/// Look until it is true: for facts of the file system that nobody tells of.
pub fn await_true(mut is_true: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !is_true() {
        assert!(Instant::now() < deadline, "still not true");
        std::thread::yield_now();
    }
}

pub fn close(journal: Journal) -> Closed {
    journal.close(Instant::now() + PATIENCE)
}

pub fn read_lines(directory: &Path, start: Start) -> String {
    let mut cursor = Cursor::open(directory, start).unwrap();
    let mut lines = Vec::new();
    while let Some(batch) = cursor.next_batch().unwrap() {
        lines.extend_from_slice(&batch.lines);
    }
    String::from_utf8(lines).unwrap()
}

pub fn expected_lines(sequences: std::ops::Range<u64>) -> String {
    sequences.map(line).collect()
}

/// A copy of a journal, to be damaged.
pub fn copy(from: &Path) -> Directory {
    let to = Directory::new();
    for path in files(from) {
        fs::copy(&path, to.path().join(path.file_name().unwrap())).unwrap();
    }
    to
}

pub fn truncate(path: &Path, length: u64) {
    OpenOptions::new().write(true).open(path).unwrap().set_len(length).unwrap();
}

pub fn flip(path: &Path, offset: u64, bit: u8) {
    let file = OpenOptions::new().read(true).write(true).open(path).unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, offset).unwrap();
    file.write_all_at(&[byte[0] ^ 1 << bit], offset).unwrap();
}

/// Forget the seals of a journal that was closed, so that it is as a killed writer leaves it.
pub fn unseal(directory: &Path) {
    let _ = fs::remove_file(directory.join("seals.ndjson"));
}
