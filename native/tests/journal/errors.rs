//! A full file system stops the journal, loses nothing, and is left behind without help.

use std::ffi::CString;
use std::fs;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use _native::journal::{
    Commit, Compression, FindingKind, Journal, Observer, Stall, Start, Upkeep, verify_directory,
};

use crate::support::{
    Directory, append, append_batch, await_true, close, expected_lines, open, options, read_lines,
};

/// A real file system of this many bytes, or `None` where the test may not mount one.
struct SmallDisk(Directory);

impl SmallDisk {
    fn mount(bytes: u64) -> Option<Self> {
        let directory = Directory::new();
        let target = CString::new(directory.path().to_str()?).ok()?;
        let data = CString::new(format!("size={bytes}")).ok()?;
        let kind = c"tmpfs".as_ptr();
        // SAFETY: all pointers are to strings that outlive the call.
        let result = unsafe { libc::mount(kind, target.as_ptr(), kind, 0, data.as_ptr().cast()) };
        if result != 0 {
            eprintln!("skipped: no mount here: {}", std::io::Error::last_os_error());
            return None;
        }
        Some(Self(directory))
    }

    fn path(&self) -> &Path {
        self.0.path()
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        if let Ok(target) = CString::new(self.path().to_string_lossy().as_bytes()) {
            // SAFETY: the pointer is to a string that outlives the call.
            unsafe { libc::umount2(target.as_ptr(), libc::MNT_DETACH) };
        }
    }
}

fn fill_and_free(compression: Compression) {
    let Some(disk) = SmallDisk::mount(1 << 20) else { return };
    let ballast = disk.path().join("ballast");
    fs::write(&ballast, vec![0; 700 << 10]).unwrap();
    let shard = disk.path().join("shard-0000");
    let mut options = options(&shard);
    options.compression = compression;
    options.batch_bytes = 40 << 10;
    options.queue_bytes = 500 << 10;
    options.segment_bytes = 150 << 10;
    let (mut journal, _, watch) = open(&options);
    // More than fits, until the queue is full too.
    loop {
        while journal.has_room() {
            append(&mut journal, 0, 100);
            journal.publish();
        }
        if !watch.seen().stalls.is_empty() {
            break;
        }
        std::thread::yield_now();
    }
    watch.wait("no space", |seen| seen.stalls == [Some(Stall::NoSpace)]);
    assert_eq!(journal.stall().unwrap().0, Stall::NoSpace);
    assert!(journal.stall().unwrap().1.contains("No space left"));
    // What is in the files is whole all the same.
    for report in verify_directory(&shard).unwrap() {
        assert_eq!(report.findings, []);
    }

    fs::remove_file(&ballast).unwrap();
    let end = journal.next_sequence();
    watch.wait("everything durable", |seen| seen.next_sequence == end);
    watch.wait("the end of the stall", |seen| seen.stalls == [Some(Stall::NoSpace), None]);
    assert!(journal.has_room());
    assert_eq!(journal.stall(), None);
    assert_eq!(close(journal).lost, [0, 0]);
    assert!(read_lines(&shard, Start::Oldest) == expected_lines(0..end));
}

#[test]
fn a_full_disk_stalls_and_resumes_with_nothing_lost() {
    fill_and_free(Compression::None);
}

#[test]
fn a_full_disk_stalls_and_resumes_with_compression() {
    // Level -7 hardly compresses, so that the disk is full soon.
    fill_and_free(Compression::Zstd(-7));
}

/// An observer with a bug.
struct Broken;

impl Observer for Broken {
    fn committed(&self, _: &Commit<'_>) {
        panic!("a bug in the observer");
    }

    fn stalled(&self, _: Option<Stall>) {}

    fn cared(&self, _: &Upkeep<'_>) {}
}

#[test]
fn the_owner_learns_that_the_writer_thread_is_dead() {
    let directory = Directory::new();
    let (mut journal, _) = Journal::open(&options(directory.path()), Arc::new(Broken)).unwrap();
    assert!(journal.is_alive());
    append(&mut journal, 0, 3);
    journal.publish();
    await_true(|| !journal.is_alive());
    assert!(journal.stall().unwrap().1.contains("panicked"));
    append(&mut journal, 1, 4);
    let closed = close(journal);
    assert_eq!((closed.lost, closed.durable_sequence, closed.cut), (vec![0, 4], 3, false));
    assert_eq!(read_lines(directory.path(), Start::Oldest), expected_lines(0..3));
}

#[test]
fn retention_frees_a_disk_that_was_full_before() {
    let Some(disk) = SmallDisk::mount(1 << 20) else { return };
    let shard = disk.path().join("shard-0000");
    let mut options = options(&shard);
    options.segment_bytes = 100 << 10;
    let (mut journal, _, watch) = open(&options);
    for _ in 0..5 {
        append_batch(&mut journal, &watch, 0, 3000);
    }
    let end = journal.next_sequence();
    close(journal);
    let mut ballast = fs::File::create(disk.path().join("ballast")).unwrap();
    while ballast.write_all(&[0; 4096]).is_ok() {}

    options.retention_bytes = Some(300 << 10);
    let (mut journal, _, watch) = open(&options);
    append_batch(&mut journal, &watch, 0, 1000);
    watch.wait("the end of the stall", |seen| seen.stalls == [Some(Stall::NoSpace), None]);
    close(journal);
    let lines = read_lines(&shard, Start::Oldest);
    assert!(lines.len() < 300 << 10 && lines.ends_with(&expected_lines(end..end + 1000)));
}

#[test]
fn a_stall_tells_what_retention_could_not_delete() {
    let Some(disk) = SmallDisk::mount(1 << 20) else { return };
    let shard = disk.path().join("shard-0000");
    fs::create_dir(&shard).unwrap();
    fs::write(shard.join("00000000000000000700.ndjson.zst"), b"").unwrap();
    let mut options = options(&shard);
    let (mut journal, ..) = open(&options);
    append(&mut journal, 0, 5);
    close(journal);
    // Nothing that can be deleted like a segment.
    fs::create_dir(shard.join("00000000000000000000.ndjson.zst")).unwrap();
    let mut ballast = fs::File::create(disk.path().join("ballast")).unwrap();
    while ballast.write_all(&[0; 4096]).is_ok() {}

    options.retention_bytes = Some(1);
    let (mut journal, ..) = open(&options);
    append(&mut journal, 0, 1000);
    journal.publish();
    await_true(|| journal.stall().is_some_and(|(_, text)| text.contains("; delete /")));
    assert_eq!(journal.close(Instant::now()).lost, [1000, 0]);
}

#[test]
fn closing_on_a_full_disk_counts_what_is_lost_and_leaves_whole_batches() {
    let Some(disk) = SmallDisk::mount(256 << 10) else { return };
    let shard = disk.path().join("shard-0000");
    let (mut journal, _, watch) = open(&options(&shard));
    while watch.seen().stalls.is_empty() {
        while journal.has_room() {
            append(&mut journal, 0, 300);
            append(&mut journal, 1, 100);
            journal.publish();
        }
    }
    let end = journal.next_sequence();
    let closed = journal.close(Instant::now() + Duration::from_millis(50));
    assert!(closed.lost[0] > 0 && closed.lost[1] > 0);
    let seen = watch.seen();
    assert_eq!(closed.lost.iter().sum::<u64>(), end - closed.durable_sequence);
    assert_eq!(seen.by_source.iter().sum::<u64>(), closed.durable_sequence);
    let mut reports = verify_directory(&shard).unwrap();
    // The numbers of the lost events stay theirs.
    let empty = reports.pop().unwrap();
    assert_eq!((empty.first_sequence, empty.bytes), (end, 0));
    assert!(empty.findings.iter().map(|finding| finding.kind).eq([FindingKind::Gap]));
    assert!(reports.iter().all(|report| report.findings.is_empty()));
    assert!(read_lines(&shard, Start::Oldest) == expected_lines(0..closed.durable_sequence));
    assert!(closed.cut);
    let (journal, ..) = open(&options(&shard));
    assert_eq!(journal.next_sequence(), end);
}
