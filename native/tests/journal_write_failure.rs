//! A write that fails half-way leaves whole batches and is tried again. Alone in its binary,
//! because the limit that makes it fail holds for the whole process.
#![allow(missing_docs, clippy::unwrap_used, clippy::panic)]

#[path = "journal/support.rs"]
mod support;

use _native::journal::{Stall, Start, verify_directory};

use support::{Directory, append, close, expected_lines, open, options, read_lines};

fn limit_file_size(bytes: libc::rlim_t) {
    let limit = libc::rlimit { rlim_cur: bytes, rlim_max: libc::RLIM_INFINITY };
    // SAFETY: `limit` is a valid rlimit.
    assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_FSIZE, &raw const limit) }, 0);
}

#[test]
fn a_write_that_fails_half_way_is_taken_back_and_tried_again() {
    // SAFETY: to ignore a signal installs no handler.
    unsafe { libc::signal(libc::SIGXFSZ, libc::SIG_IGN) };
    let directory = Directory::new();
    let mut options = options(directory.path());
    options.batch_bytes = 8 << 10;
    options.queue_bytes = 100 << 10;
    limit_file_size(30_000);
    let (mut journal, _, watch) = open(&options);
    while journal.has_room() {
        append(&mut journal, 0, 50);
        journal.publish();
    }
    watch.wait("a disk error", |seen| seen.stalls == [Some(Stall::DiskError)]);
    for report in verify_directory(directory.path()).unwrap() {
        assert_eq!(report.findings, []);
        assert!(report.bytes <= 30_000);
    }
    limit_file_size(libc::RLIM_INFINITY);
    let end = journal.next_sequence();
    watch.wait("everything durable", |seen| seen.next_sequence == end);
    assert_eq!(close(journal).lost, [0, 0]);
    assert_eq!(watch.seen().stalls, [Some(Stall::DiskError), None]);
    assert!(read_lines(directory.path(), Start::Oldest) == expected_lines(0..end));
}
