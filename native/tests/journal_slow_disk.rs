//! A journal that may do so compresses while the disk is the limit, and only then. Alone in its
//! binary, because the disk is slow for the whole process.
#![allow(missing_docs, clippy::unwrap_used, clippy::panic)]

#[path = "journal/support.rs"]
mod support;

use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use _native::journal::{Compression, Journal, Start, verify_directory};

use support::{Directory, append, append_batch, close, expected_lines, open, options, read_lines};

/// How many bytes the disk takes in a second; 0: as many as it can.
static SPEED: AtomicU64 = AtomicU64::new(0);

/// In the place of the C library's: by it segments are written.
#[unsafe(no_mangle)]
extern "C" fn writev(file: libc::c_int, parts: *const libc::iovec, count: libc::c_int) -> isize {
    // SAFETY: the caller's promises are those of the system call.
    let written = unsafe { libc::syscall(libc::SYS_writev, file, parts, count) };
    let speed = SPEED.load(Ordering::Relaxed);
    if let (Ok(bytes), 1..) = (u64::try_from(written), speed) {
        thread::sleep(Duration::from_nanos(bytes * 1_000_000_000 / speed));
    }
    isize::try_from(written).unwrap()
}

/// As somebody who sends more than the disk can take.
fn fill(journal: &mut Journal) {
    while journal.has_room() {
        append(journal, 0, 500);
        journal.publish();
    }
    let mut poll = libc::pollfd { fd: journal.wake_fd(), events: libc::POLLIN, revents: 0 };
    // SAFETY: `poll` is one valid pollfd.
    unsafe { libc::poll(&raw mut poll, 1, 1000) };
    journal.acknowledge_wake();
}

#[test]
fn batches_are_compressed_while_the_disk_is_the_limit_and_only_then() {
    let directory = Directory::new();
    let mut options = options(directory.path());
    options.compression = Compression::Auto;
    options.sync_interval = Duration::from_millis(100);
    let (mut journal, _, watch) = open(&options);
    append_batch(&mut journal, &watch, 0, 500);
    assert_eq!(watch.seen().compressed_batches, 0);

    SPEED.store(5_000_000, Ordering::Relaxed);
    support::await_true(|| {
        fill(&mut journal);
        watch.seen().compressed_batches > 100
    });
    SPEED.store(0, Ordering::Relaxed);
    let stored = |seen: &support::Seen| seen.batches - seen.compressed_batches;
    let end = journal.next_sequence();
    journal.publish();
    let before = stored(&watch.wait("durable", |seen| seen.next_sequence == end));
    support::await_true(|| {
        append_batch(&mut journal, &watch, 0, 50);
        stored(&watch.seen()) > before
    });

    let end = journal.next_sequence();
    assert_eq!(close(journal).lost, [0, 0]);
    assert!(read_lines(directory.path(), Start::Oldest) == expected_lines(0..end));
    for report in verify_directory(directory.path()).unwrap() {
        assert_eq!(report.findings, []);
    }
}
