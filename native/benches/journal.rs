//! What it costs to append lines and make them durable, to seal a segment and to recompress it:
//! CPU and wall clock per gigabyte of lines; of the writer's and the keeper's thread also the
//! nanoseconds per event, the best of several rounds.
//! `cargo bench --bench journal -- DIRECTORY` (default: the temporary directory).
#![allow(missing_docs, clippy::print_stdout, clippy::expect_used, clippy::cast_precision_loss)]

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};
use std::{env, fs, mem};

use _native::journal::{
    Commit, Compression, Cursor, Journal, Observer, Options, Recompress, Stall, Start, Upkeep,
    verify_directory,
};

const LINE_BYTES: usize = 320;
const LINES_PER_DRAIN: u32 = 800;
const DRAINS: u32 = 8_000;
/// So many of them make a segment to seal or recompress.
const CARE_DRAINS: u32 = 400;
const EVENTS: u64 = LINES_PER_DRAIN as u64 * DRAINS as u64;
const ROUNDS: usize = 5;
const SEAL_ROUNDS: usize = 15;

/// What the writer's thread has used of a processor until its last commit, in nanoseconds, and
/// the keeper's until the last seal of which number.
#[derive(Default)]
struct ThreadTimes {
    writer: AtomicU64,
    keeper: AtomicU64,
    seals: AtomicU64,
}

impl Observer for ThreadTimes {
    fn committed(&self, _: &Commit<'_>) {
        self.writer.store(thread_nanoseconds(), Ordering::Relaxed);
    }
    fn stalled(&self, _: Option<Stall>) {}
    fn cared(&self, _: &Upkeep<'_>) {
        self.keeper.store(thread_nanoseconds(), Ordering::Relaxed);
        self.seals.fetch_add(1, Ordering::Relaxed);
    }
}

/// What the calling thread has used of a processor.
fn thread_nanoseconds() -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the call fills the structure it is given.
    unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &raw mut time) };
    u64::try_from(time.tv_sec * 1_000_000_000 + time.tv_nsec).expect("time goes forwards")
}

fn cpu_seconds() -> f64 {
    // SAFETY: rusage is plain data, and getrusage fills the one it is given.
    let usage = unsafe {
        let mut usage = mem::zeroed::<libc::rusage>();
        libc::getrusage(libc::RUSAGE_SELF, &raw mut usage);
        usage
    };
    [usage.ru_utime, usage.ru_stime]
        .iter()
        .map(|time| time.tv_sec as f64 + time.tv_usec as f64 / 1e6)
        .sum()
}

/// Lines that differ in their identifiers, about as compressible as real ones.
fn drain_of_lines(random: &mut u64) -> Vec<u8> {
    let mut lines = Vec::new();
    for index in 0..LINES_PER_DRAIN {
        *random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(index.into());
        let random = *random;
        let mut line = format!(
            "{{\"timestamp\":\"2026-01-02T03:04:05.{index:06}Z\",\"level\":\"INFO\",\"logger\":\
             \"shop.checkout\",\"message\":\"request done\",\"context\":{{\"request_id\":\
             \"{random:016x}\",\"trace_id\":\"{:016x}\"}},\"data\":{{\"ip\":\"10.0.{}.{}\",\
             \"path\":\"/api/v1/orders/{}\",\"status\":200,\"duration\":{}",
            random.rotate_left(29),
            random >> 56,
            (random >> 48) & 0xff,
            random >> 40,
            random >> 50,
        );
        line.push_str(&" ".repeat(LINE_BYTES.saturating_sub(line.len() + 3)));
        line.push_str("}}\n");
        lines.extend_from_slice(line.as_bytes());
    }
    lines
}

fn options(directory: &Path, compression: Compression) -> Options {
    Options {
        directory: directory.to_owned(),
        shard: 0,
        sources: vec!["tcp".into()],
        durable_sequence: None,
        compression,
        sync_interval: Duration::from_millis(25),
        segment_bytes: 256 << 20,
        segment_age: Duration::from_secs(3600),
        retention_bytes: None,
        retention_age: None,
        recompress: None,
        batch_bytes: 1 << 20,
        queue_bytes: 32 << 20,
    }
}

fn append(journal: &mut Journal, drains: &[Vec<u8>], count: u32) {
    for lines in drains.iter().cycle().take(count as usize) {
        while !journal.has_room() {
            let mut poll = libc::pollfd { fd: journal.wake_fd(), events: libc::POLLIN, revents: 0 };
            // SAFETY: `poll` is one valid pollfd.
            unsafe { libc::poll(&raw mut poll, 1, -1) };
            journal.acknowledge_wake();
        }
        let batch = journal.batch();
        batch.lines.extend_from_slice(lines);
        batch.add(0, LINES_PER_DRAIN, 1, 0);
        journal.publish();
    }
}

fn measure(directory: &Path, name: &str, compression: Compression) {
    let options = options(directory, compression);
    let mut random = 0x9E37_79B9_7F4A_7C15;
    let drains: Vec<_> = (0..128).map(|_| drain_of_lines(&mut random)).collect();
    let gigabytes = f64::from(DRAINS) * drains[0].len() as f64 / 1e9;
    let [mut cpu, mut wall, mut writer, mut keeper] = [f64::INFINITY; 4];
    for _ in 0..ROUNDS {
        let _ = fs::remove_dir_all(directory);
        let time = Arc::new(ThreadTimes::default());
        let (mut journal, _) = Journal::open(&options, Arc::clone(&time) as _).expect("open");
        let (cpu_before, started) = (cpu_seconds(), Instant::now());
        append(&mut journal, &drains, DRAINS);
        let closed = journal.close(Instant::now() + Duration::from_secs(3600));
        assert_eq!(closed.lost, [0]);
        cpu = cpu.min(cpu_seconds() - cpu_before);
        wall = wall.min(started.elapsed().as_secs_f64());
        let nanoseconds = |cell: &AtomicU64| cell.load(Ordering::Relaxed) as f64;
        writer = writer.min(nanoseconds(&time.writer) / EVENTS as f64);
        let sealed = nanoseconds(&time.seals) * options.segment_bytes as f64 / LINE_BYTES as f64;
        keeper = keeper.min(nanoseconds(&time.keeper) / sealed);
    }
    let stored: u64 = fs::read_dir(directory)
        .expect("list")
        .map(|entry| entry.expect("entry").metadata().expect("stat").len())
        .sum();
    println!(
        "append {name}: {:.3} CPU s/GB, {:.3} CPU s/million events, writer {writer:.1} ns/event, \
         keeper {keeper:.1} ns/stored event, {:.0} MB/s durable, ratio {:.2}",
        cpu / gigabytes,
        cpu / EVENTS as f64 * 1e6,
        gigabytes * 1e3 / wall,
        gigabytes * 1e9 / stored as f64,
    );

    let (cpu, mut read) = (cpu_seconds(), 0);
    let mut cursor = Cursor::open(directory, Start::Oldest).expect("cursor");
    while let Some(batch) = cursor.next_batch().expect("read") {
        read += batch.count;
    }
    assert_eq!(read, EVENTS);
    println!("read   {name}: {:.3} CPU s/GB", (cpu_seconds() - cpu) / gigabytes);
    let cpu = cpu_seconds();
    let reports = verify_directory(directory).expect("verify");
    assert!(reports.iter().all(|report| report.findings.is_empty()));
    println!("verify {name}: {:.3} CPU s/GB", (cpu_seconds() - cpu) / gigabytes);
    let _ = fs::remove_dir_all(directory);
}

/// What was done, in words, and how much its thread had used of a processor.
type Seen = (String, u64);

/// Waits until a segment is sealed or recompressed.
#[derive(Clone, Default)]
struct Done(Arc<(Mutex<Vec<Seen>>, Condvar)>);

impl Done {
    fn wait(&self, wanted: &str) -> Seen {
        let is_missing =
            |seen: &mut Vec<Seen>| !seen.last().is_some_and(|(text, _)| text.contains(wanted));
        let seen = self.0.0.lock().expect("lock");
        let seen = self.0.1.wait_while(seen, is_missing).expect("wait");
        seen.last().cloned().expect("it was seen")
    }
}

impl Observer for Done {
    fn committed(&self, _: &Commit<'_>) {}
    fn stalled(&self, _: Option<Stall>) {}
    fn cared(&self, upkeep: &Upkeep<'_>) {
        let seen = (format!("{upkeep:?}"), thread_nanoseconds());
        self.0.0.lock().expect("lock").push(seen);
        self.0.1.notify_all();
    }
}

/// Make one closed segment in `directory`; returns its gigabytes.
fn make_segment(options: &Options) -> f64 {
    let _ = fs::remove_dir_all(&options.directory);
    let mut random = 0x9E37_79B9_7F4A_7C15;
    let drains: Vec<_> = (0..128).map(|_| drain_of_lines(&mut random)).collect();
    let (mut journal, _) = Journal::open(options, Arc::new(Done::default())).expect("open");
    append(&mut journal, &drains, CARE_DRAINS);
    journal.close(Instant::now() + Duration::from_secs(60));
    f64::from(CARE_DRAINS) * drains[0].len() as f64 / 1e9
}

/// What it costs the keeper's thread to seal a segment that was closed long ago.
fn measure_seal(directory: &Path, name: &str, compression: Compression, recompresses: bool) {
    let mut options = options(directory, compression);
    make_segment(&options);
    options.durable_sequence = Some(u64::MAX);
    // The pressure is never so low: it is only prepared.
    let recompress = Recompress { level: 3, pressure_maximum_percent: -1.0 };
    options.recompress = recompresses.then_some(recompress);
    let best = (0..SEAL_ROUNDS).map(|_| {
        let _ = fs::remove_file(directory.join("seals.ndjson"));
        let done = Done::default();
        let (journal, _) = Journal::open(&options, Arc::new(done.clone())).expect("open");
        let (_, nanoseconds) = done.wait("Sealed");
        drop(journal);
        nanoseconds
    });
    let nanoseconds = best.min().expect("a round") as f64;
    let events = f64::from(CARE_DRAINS * LINES_PER_DRAIN);
    println!("seal   {name}: {:.1} ns/event", nanoseconds / events);
    let _ = fs::remove_dir_all(directory);
}

/// What it costs to recompress a segment to `level`.
fn measure_recompression(directory: &Path, name: &str, level: i32) {
    let mut options = options(directory, Compression::None);
    let recompress = Recompress { level, pressure_maximum_percent: f32::INFINITY };
    options.recompress = Some(recompress);
    // Made and sealed at once, so what is measured has the whole segment before it.
    let gigabytes = make_segment(&options);
    let (cpu, wall, done) = (cpu_seconds(), Instant::now(), Done::default());
    let (journal, _) = Journal::open(&options, Arc::new(done.clone())).expect("open");
    let (text, _) = done.wait("Recompressed");
    println!(
        "care   {name}: {:.3} CPU s/GB, {:.1} s/GB, {text}",
        (cpu_seconds() - cpu) / gigabytes,
        wall.elapsed().as_secs_f64() / gigabytes,
    );
    drop(journal);
    let _ = fs::remove_dir_all(directory);
}

fn main() {
    let directory = env::args().skip(1).find(|argument| !argument.starts_with('-'));
    let directory = directory.map_or_else(env::temp_dir, Into::into).join("journal-bench");
    let directory = directory.as_path();
    measure_seal(directory, "none", Compression::None, false);
    measure_seal(directory, "none, to be recompressed", Compression::None, true);
    measure_seal(directory, "zstd 1", Compression::Zstd(1), false);
    measure(directory, "none", Compression::None);
    measure(directory, "zstd 1", Compression::Zstd(1));
    measure_recompression(directory, "none to 3", 3);
    measure_recompression(directory, "none to 9", 9);
    measure_recompression(directory, "none to 12", 12);
    measure_recompression(directory, "none to 19", 19);
}
