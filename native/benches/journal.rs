//! What it costs to append lines and make them durable, to seal a segment and to recompress it:
//! CPU and wall clock per gigabyte of lines.
//! `cargo bench --bench journal -- DIRECTORY` (default: the temporary directory).
#![allow(missing_docs, clippy::print_stdout, clippy::expect_used, clippy::cast_precision_loss)]

use std::path::Path;
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

struct Ignore;

impl Observer for Ignore {
    fn committed(&self, _: &Commit<'_>) {}
    fn stalled(&self, _: Option<Stall>) {}
    fn cared(&self, _: &Upkeep<'_>) {}
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
    let _ = fs::remove_dir_all(directory);
    let options = options(directory, compression);
    let mut random = 0x9E37_79B9_7F4A_7C15;
    let drains: Vec<_> = (0..128).map(|_| drain_of_lines(&mut random)).collect();
    let (mut journal, _) = Journal::open(&options, Arc::new(Ignore)).expect("open");
    let (cpu, wall) = (cpu_seconds(), Instant::now());
    append(&mut journal, &drains, DRAINS);
    let closed = journal.close(Instant::now() + Duration::from_secs(3600));
    let (cpu, wall) = (cpu_seconds() - cpu, wall.elapsed().as_secs_f64());
    let gigabytes = f64::from(DRAINS) * drains[0].len() as f64 / 1e9;
    assert_eq!(closed.lost, [0]);
    let stored: u64 = fs::read_dir(directory)
        .expect("list")
        .map(|entry| entry.expect("entry").metadata().expect("stat").len())
        .sum();
    println!(
        "append {name}: {:.3} CPU s/GB, {:.3} CPU s/million events, {:.0} MB/s durable, ratio {:.2}",
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

/// Waits until a number of segments are sealed or recompressed.
#[derive(Clone, Default)]
struct Done(Arc<(Mutex<Vec<String>>, Condvar)>);

impl Observer for Done {
    fn committed(&self, _: &Commit<'_>) {}
    fn stalled(&self, _: Option<Stall>) {}
    fn cared(&self, upkeep: &Upkeep<'_>) {
        self.0.0.lock().expect("lock").push(format!("{upkeep:?}"));
        self.0.1.notify_all();
    }
}

/// One segment, closed long ago: what its seal costs, or with a level its recompression.
fn measure_care(directory: &Path, name: &str, compression: Compression, level: Option<i32>) {
    let _ = fs::remove_dir_all(directory);
    let mut options = options(directory, compression);
    let mut random = 0x9E37_79B9_7F4A_7C15;
    let drains: Vec<_> = (0..128).map(|_| drain_of_lines(&mut random)).collect();
    let (mut journal, _) = Journal::open(&options, Arc::new(Ignore)).expect("open");
    append(&mut journal, &drains, CARE_DRAINS);
    journal.close(Instant::now() + Duration::from_secs(60));
    let gigabytes = f64::from(CARE_DRAINS) * drains[0].len() as f64 / 1e9;
    if level.is_none() {
        let _ = fs::remove_file(directory.join("seals.ndjson"));
    }
    options.recompress =
        level.map(|level| Recompress { level, pressure_maximum_percent: f32::INFINITY });
    let (cpu, wall, done) = (cpu_seconds(), Instant::now(), Done::default());
    let (journal, _) = Journal::open(&options, Arc::new(done.clone())).expect("open");
    let wanted = if level.is_some() { "Recompressed" } else { "Sealed" };
    let is_missing = |seen: &mut Vec<String>| !seen.iter().any(|text| text.contains(wanted));
    let seen = done.0.0.lock().expect("lock");
    let seen = done.0.1.wait_while(seen, is_missing).expect("wait");
    println!(
        "care   {name}: {:.3} CPU s/GB, {:.1} s/GB, {}",
        (cpu_seconds() - cpu) / gigabytes,
        wall.elapsed().as_secs_f64() / gigabytes,
        seen.last().map_or("", String::as_str),
    );
    drop(seen);
    drop(journal);
    let _ = fs::remove_dir_all(directory);
}

fn main() {
    let directory = env::args().skip(1).find(|argument| !argument.starts_with('-'));
    let base = directory.map_or_else(env::temp_dir, Into::into);
    measure(&base.join("journal-bench"), "none", Compression::None);
    measure(&base.join("journal-bench"), "zstd 1", Compression::Zstd(1));
    let care = |name, compression, level| {
        measure_care(&base.join("journal-bench"), name, compression, level);
    };
    care("seal none", Compression::None, None);
    care("seal zstd 1", Compression::Zstd(1), None);
    care("none to 3", Compression::None, Some(3));
    care("none to 9", Compression::None, Some(9));
    care("none to 12", Compression::None, Some(12));
    care("none to 19", Compression::None, Some(19));
}
