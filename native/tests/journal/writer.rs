//! What is written is durable, in order, readable by others, and bounded.

use std::fs::{self, File};
use std::io;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use _native::journal::{Compression, Journal, Start, verify_directory};

use crate::support::{
    Directory, Watch, append, append_batch, await_true, close, expected_lines, open, options,
    read_lines,
};

/// Lines of every size around the blocks of a raw frame, in batches of every kind.
fn write_many(directory: &Path, compression: Compression) -> u64 {
    let mut options = options(directory);
    options.compression = compression;
    options.batch_bytes = 300 << 10;
    options.queue_bytes = 64 << 20;
    let (mut journal, _, watch) = open(&options);
    append_batch(&mut journal, &watch, 0, 1);
    for round in 0..200 {
        append(&mut journal, round % 2, 1 + u32::from(round) * 7);
        if round % 3 == 0 {
            journal.publish();
        }
    }
    journal.publish();
    let end = journal.next_sequence();
    let closed = close(journal);
    assert_eq!(closed.lost, [0, 0]);
    assert_eq!(closed.durable_sequence, end);
    let seen = watch.seen();
    assert_eq!(seen.next_sequence, end);
    assert_eq!(seen.by_source.iter().sum::<u64>(), end);
    end
}

fn round_trip(compression: Compression) {
    let directory = Directory::new();
    let end = write_many(directory.path(), compression);
    assert!(read_lines(directory.path(), Start::Oldest) == expected_lines(0..end));
    for report in verify_directory(directory.path()).unwrap() {
        assert_eq!(report.findings, []);
        assert_eq!(report.events, end);
    }
}

#[test]
fn raw_batches_are_read_as_they_were_written() {
    round_trip(Compression::None);
}

#[test]
fn compressed_batches_are_read_as_they_were_written() {
    round_trip(Compression::Zstd(1));
}

#[test]
fn the_zstd_command_reads_segments() {
    for compression in [Compression::None, Compression::Zstd(3)] {
        let directory = Directory::new();
        let end = write_many(directory.path(), compression);
        let output = Command::new("zstd").arg("-dc").args(directory.segments()).output();
        match output {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                eprintln!("skipped: there is no zstd command here");
                return;
            }
            output => {
                let output = output.unwrap();
                assert!(output.status.success(), "{output:?}");
                assert!(output.stdout == expected_lines(0..end).as_bytes());
            }
        }
    }
}

#[test]
fn a_single_event_becomes_durable_without_another_call() {
    let directory = Directory::new();
    let (mut journal, recovery, watch) = open(&options(directory.path()));
    assert_eq!(recovery.next_sequence, 0);
    append(&mut journal, 1, 1);
    journal.publish();
    let seen = watch.wait("one durable event", |seen| seen.next_sequence == 1);
    assert_eq!((seen.by_source, seen.batches, seen.segments), ([0, 1], 1, 1));
    assert_eq!((journal.durable_events(), journal.durable_mark()), (1, 1));
}

#[test]
fn a_published_batch_is_filled_further_until_its_sync_is_due() {
    let directory = Directory::new();
    let mut options = options(directory.path());
    options.sync_interval = Duration::from_secs(3600);
    let (mut journal, _, watch) = open(&options);
    for _ in 0..10 {
        append(&mut journal, 0, 1);
        journal.publish();
    }
    assert_eq!(watch.seen().commits, 0);
    close(journal);
    assert_eq!(watch.seen().batches, 1);
    assert_eq!(read_lines(directory.path(), Start::Oldest), expected_lines(0..10));
}

#[test]
fn many_sealed_batches_share_one_sync() {
    let directory = Directory::new();
    let mut options = options(directory.path());
    options.sync_interval = Duration::from_secs(3600);
    options.batch_bytes = 1;
    let (mut journal, _, watch) = open(&options);
    for _ in 0..50 {
        append(&mut journal, 0, 1);
        journal.publish();
    }
    close(journal);
    let seen = watch.seen();
    assert_eq!((seen.batches, seen.commits), (50, 1));
}

#[test]
fn a_full_segment_is_followed_by_another() {
    let directory = Directory::new();
    let mut options = options(directory.path());
    options.segment_bytes = 1000;
    let (mut journal, _, watch) = open(&options);
    while journal.next_sequence() < 200 {
        append_batch(&mut journal, &watch, 0, 10);
    }
    close(journal);
    assert_eq!(watch.seen().segments, directory.segments().len() as u64);
    assert!(directory.segments().len() > 4);
    assert_eq!(read_lines(directory.path(), Start::Oldest), expected_lines(0..200));
    for report in verify_directory(directory.path()).unwrap() {
        assert_eq!(report.findings, []);
        assert!(report.bytes >= 1000 || report.next_sequence == 200);
    }
}

#[test]
fn an_old_segment_is_followed_by_another() {
    let directory = Directory::new();
    let mut options = options(directory.path());
    options.segment_age = Duration::ZERO;
    let (mut journal, _, watch) = open(&options);
    for _ in 0..3 {
        append_batch(&mut journal, &watch, 0, 1);
    }
    close(journal);
    assert_eq!(directory.segments().len(), 3);
}

#[test]
fn retention_by_bytes_deletes_the_oldest_segments_only() {
    let directory = Directory::new();
    let mut options = options(directory.path());
    options.segment_bytes = 500;
    options.retention_bytes = Some(2000);
    let (mut journal, _, watch) = open(&options);
    while journal.next_sequence() < 200 {
        append_batch(&mut journal, &watch, 0, 5);
    }
    close(journal);
    let reports = verify_directory(directory.path()).unwrap();
    assert!(reports.iter().map(|report| report.bytes).sum::<u64>() <= 2000);
    let oldest = reports[0].first_sequence;
    assert!(oldest > 0);
    assert_eq!(read_lines(directory.path(), Start::Oldest), expected_lines(oldest..200));
}

#[test]
fn retention_never_deletes_the_live_segment() {
    let directory = Directory::new();
    let mut options = options(directory.path());
    options.segment_bytes = 1;
    options.retention_bytes = Some(0);
    options.retention_age = Some(Duration::ZERO);
    let (mut journal, _, watch) = open(&options);
    for _ in 0..5 {
        append_batch(&mut journal, &watch, 0, 1);
    }
    close(journal);
    assert_eq!(read_lines(directory.path(), Start::Oldest), expected_lines(4..5));
    // The numbers go on, although nearly everything was deleted.
    let (journal, recovery, _) = open(&options);
    assert_eq!((recovery.next_sequence, journal.next_sequence()), (5, 5));
}

#[test]
fn what_is_too_old_is_deleted_although_nothing_is_written() {
    let directory = Directory::new();
    let mut options = options(directory.path());
    options.segment_bytes = 1;
    let (mut journal, _, watch) = open(&options);
    for _ in 0..3 {
        append_batch(&mut journal, &watch, 0, 1);
    }
    close(journal);
    for path in &directory.segments()[..2] {
        let file = File::options().write(true).open(path).unwrap();
        file.set_modified(SystemTime::UNIX_EPOCH).unwrap();
    }
    options.retention_age = Some(Duration::from_secs(3600));
    let (journal, ..) = open(&options);
    await_true(|| directory.segments().len() == 1);
    close(journal);
    assert_eq!(read_lines(directory.path(), Start::Oldest), expected_lines(2..3));
}

#[test]
fn an_idle_shard_ages_out_and_its_numbers_go_on() {
    let directory = Directory::new();
    let mut options = options(directory.path());
    options.segment_age = Duration::ZERO;
    options.retention_age = Some(Duration::from_millis(1));
    let (mut journal, _, watch) = open(&options);
    for end in [5, 10] {
        append_batch(&mut journal, &watch, 0, 5);
        let empty = directory.path().join(format!("{end:020}.ndjson.zst"));
        await_true(|| directory.segments() == [empty.clone()]);
        assert_eq!(fs::metadata(&empty).unwrap().len(), 0);
    }
    close(journal);
    let (journal, recovery, _) = open(&options);
    assert_eq!((recovery.next_sequence, journal.next_sequence()), (10, 10));
}

#[test]
fn a_last_segment_that_is_too_old_at_the_start_leaves_its_number() {
    let directory = Directory::new();
    let mut options = options(directory.path());
    let (mut journal, ..) = open(&options);
    append(&mut journal, 0, 7);
    close(journal);
    options.retention_age = Some(Duration::ZERO);
    let (mut journal, _, watch) = open(&options);
    let empty = directory.path().join("00000000000000000007.ndjson.zst");
    await_true(|| directory.segments() == [empty.clone()]);
    append_batch(&mut journal, &watch, 0, 3);
    close(journal);
    assert_eq!(read_lines(directory.path(), Start::Oldest), expected_lines(7..10));
}

#[test]
fn the_queue_is_bounded_and_room_comes_back() {
    let directory = Directory::new();
    let mut options = options(directory.path());
    options.sync_interval = Duration::from_secs(3600);
    options.batch_bytes = 1000;
    options.queue_bytes = 10_000;
    let (mut journal, _, watch) = open(&options);
    while journal.has_room() {
        append(&mut journal, 0, 30);
        journal.publish();
    }
    let end = journal.next_sequence();
    watch.wait("a sync although its interval is not over", |seen| seen.next_sequence == end);
    assert!(journal.has_room());
}

#[test]
fn a_sync_can_be_had_at_once() {
    let directory = Directory::new();
    let mut options = options(directory.path());
    options.sync_interval = Duration::from_secs(3600);
    options.batch_bytes = 1000;
    let (mut journal, _, watch) = open(&options);
    journal.sync_now();
    // Nothing, half a batch, and full batches with half a one behind.
    for drains in [1, 20] {
        for _ in 0..drains {
            append(&mut journal, 0, 7);
            journal.publish();
        }
        journal.sync_now();
        let end = journal.next_sequence();
        watch.wait("a sync", |seen| seen.next_sequence == end);
    }
    close(journal);
}

#[test]
fn the_numbers_go_on_after_a_restart() {
    let directory = Directory::new();
    let mut end = 0;
    for _ in 0..3 {
        let (mut journal, recovery, _) = open(&options(directory.path()));
        assert_eq!((recovery.next_sequence, recovery.cut), (end, None));
        append(&mut journal, 0, 10);
        close(journal);
        end += 10;
    }
    assert_eq!(read_lines(directory.path(), Start::Oldest), expected_lines(0..end));
    assert_eq!(directory.segments().len(), 3);
}

#[test]
fn a_directory_has_one_writer() {
    let directory = Directory::new();
    let (journal, ..) = open(&options(directory.path()));
    assert!(Journal::open(&options(directory.path()), Arc::new(Watch::default())).is_err());
    close(journal);
    assert!(Journal::open(&options(directory.path()), Arc::new(Watch::default())).is_ok());
}

#[test]
fn options_that_cannot_work_are_refused() {
    let directory = Directory::new();
    let refused = |change: fn(&mut _native::journal::Options)| {
        let mut options = options(directory.path());
        change(&mut options);
        assert!(Journal::open(&options, Arc::new(Watch::default())).is_err());
    };
    refused(|options| options.sources.clear());
    refused(|options| options.sources = vec!["x".repeat(1 << 16)]);
    refused(|options| options.batch_bytes = 0);
    refused(|options| options.queue_bytes = 1);
    refused(|options| options.compression = Compression::Zstd(1000));
}
