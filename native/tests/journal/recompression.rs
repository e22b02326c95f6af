//! A segment that is stored in fewer bytes is the same segment to everybody who reads it.

use std::fs;
use std::path::Path;

use _native::journal::{
    Compression, Cursor, Journal, Options, Recompress, Start, verify_directory,
};

use crate::seals::{audit, seal_all_with, sealed_segments};
use crate::support::{
    Directory, Watch, append, close, copy, expected_lines, files, flip, open, options, read_lines,
};

/// However busy the machine of the test is.
const ALWAYS: Recompress = Recompress { level: 9, pressure_maximum_percent: f32::INFINITY };

/// Sealed in a way that it can be recompressed later.
const NEVER: Recompress = Recompress { level: 9, pressure_maximum_percent: f32::NEG_INFINITY };

fn recompressing(directory: &Path) -> Options {
    let mut options = options(directory);
    options.recompress = Some(ALWAYS);
    options
}

/// Two sealed segments of several batches, of both sources.
fn two_segments(compression: Compression) -> Directory {
    let directory = Directory::new();
    for _ in 0..2 {
        let mut options = options(directory.path());
        options.compression = compression;
        options.recompress = Some(NEVER);
        let (mut journal, _, watch) = open(&options);
        for _ in 0..3 {
            append(&mut journal, 0, 100);
            append(&mut journal, 1, 300);
            journal.sync_now();
            let end = journal.next_sequence();
            watch.wait("durable", |seen| seen.next_sequence == end);
        }
        close(journal);
    }
    let mut options = options(directory.path());
    options.recompress = Some(NEVER);
    seal_all_with(&options);
    directory
}

/// Everything that a reader learns of each batch.
fn batches(directory: &Path) -> Vec<String> {
    let mut cursor = Cursor::open(directory, Start::Oldest).unwrap();
    let mut batches = Vec::new();
    while let Some(batch) = cursor.next_batch().unwrap() {
        batches.push(format!("{batch:?}"));
    }
    batches
}

fn recompress_all(directory: &Path, count: usize) -> (Journal, Watch) {
    let (journal, _, watch) = open(&recompressing(directory));
    watch.wait("recompressed", |seen| seen.recompressed.len() == count);
    (journal, watch)
}

#[test]
fn a_recompressed_segment_holds_the_same_batches_in_fewer_bytes() {
    for compression in [Compression::None, Compression::Zstd(-7)] {
        let directory = two_segments(compression);
        let (before, head) = (batches(directory.path()), audit(directory.path()).head.unwrap());
        let facts = |path: &Path| fs::metadata(path).unwrap();
        let old: Vec<_> = directory.segments().iter().map(|path| facts(path)).collect();
        let (journal, watch) = recompress_all(directory.path(), 2);
        close(journal);
        for ((path, old), bytes) in
            directory.segments().iter().zip(&old).zip(watch.seen().recompressed)
        {
            let new = facts(path);
            assert_eq!((old.len(), new.len()), bytes);
            assert!(new.len() < old.len(), "{compression:?}");
            // By which retention goes.
            assert_eq!(new.modified().unwrap(), old.modified().unwrap());
        }
        assert_eq!(batches(directory.path()), before);
        let reports = verify_directory(directory.path()).unwrap();
        assert!(reports.iter().all(|report| report.findings.is_empty()));
        let audit =
            _native::journal::audit_directory(directory.path(), std::slice::from_ref(&head));
        let audit = audit.unwrap();
        assert_eq!((audit.seals, audit.good, &audit.findings), (4, 2, &vec![]));
        assert_eq!(audit.known, [head]);
        assert_eq!(files(directory.path()).len(), 3);
    }
}

#[test]
fn a_reader_goes_on_through_a_segment_that_is_replaced() {
    let directory = two_segments(Compression::None);
    let mut cursor = Cursor::open(directory.path(), Start::Oldest).unwrap();
    let mut lines = cursor.next_batch().unwrap().unwrap().lines.clone();
    let (journal, _) = recompress_all(directory.path(), 2);
    while let Some(batch) = cursor.next_batch().unwrap() {
        lines.extend_from_slice(&batch.lines);
    }
    assert_eq!(String::from_utf8(lines).unwrap(), expected_lines(0..2400));
    close(journal);
}

#[test]
fn what_a_kill_leaves_of_a_recompression_is_taken_up_at_the_next_start() {
    let directory = two_segments(Compression::None);
    // Killed between the new seal and the swap: the old file is there still.
    let old = copy(directory.path());
    let (journal, _) = recompress_all(directory.path(), 2);
    close(journal);
    for (old, new) in old.segments().iter().zip(directory.segments()) {
        fs::copy(old, new).unwrap();
    }
    // Killed before: half of a draft is.
    let segment = directory.segments().remove(0);
    let draft = segment.with_file_name("00000000000000000000.ndjson.zst.draft");
    fs::write(&draft, &fs::read(&segment).unwrap()[..1000]).unwrap();
    assert_eq!(audit(directory.path()).findings, []);
    let (journal, watch) = recompress_all(directory.path(), 2);
    close(journal);
    assert_eq!(watch.seen().upkeep_errors, Vec::<String>::new());
    assert_eq!(audit(directory.path()).findings, []);
    assert!(!draft.exists());
    assert_eq!(read_lines(directory.path(), Start::Oldest), expected_lines(0..2400));
}

#[test]
fn a_segment_that_was_sealed_without_a_digest_of_its_content_stays_as_it_is() {
    let directory = sealed_segments(1);
    let old = directory.segments().remove(0);
    let before = fs::read(&old).unwrap();
    let (mut journal, _, watch) = open(&recompressing(directory.path()));
    append(&mut journal, 0, 1200);
    journal.sync_now();
    watch.wait("durable", |seen| seen.next_sequence == 1205);
    close(journal);
    let (journal, watch) = recompress_all(directory.path(), 1);
    close(journal);
    assert_eq!(watch.seen().upkeep_errors, Vec::<String>::new());
    assert_eq!(fs::read(&old).unwrap(), before);
    let audit = audit(directory.path());
    assert_eq!((audit.seals, audit.good, audit.findings), (3, 2, vec![]));
}

#[test]
fn a_segment_that_was_changed_gets_no_new_seal() {
    let directory = two_segments(Compression::None);
    let changed = directory.segments().remove(0);
    flip(&changed, fs::metadata(&changed).unwrap().len() - 3, 1);
    let before = fs::read(&changed).unwrap();
    let (journal, _) = recompress_all(directory.path(), 1);
    close(journal);
    assert_eq!(fs::read(&changed).unwrap(), before);
    assert_eq!(audit(directory.path()).findings.len(), 1);
    assert_eq!(files(directory.path()).len(), 3);
}

#[test]
fn retention_counts_what_recompression_has_left() {
    let directory = two_segments(Compression::None);
    let (mut options, path) = (recompressing(directory.path()), directory.segments().remove(0));
    // Room for one of them as it is, and for many recompressed ones.
    let bytes = fs::metadata(&path).unwrap().len();
    options.retention_bytes = Some(bytes * 2 + bytes / 2);
    options.compression = Compression::Zstd(9);
    let (mut journal, _, watch) = open(&options);
    watch.wait("recompressed", |seen| seen.recompressed.len() == 2);
    for _ in 0..4 {
        append(&mut journal, 0, 1200);
        journal.publish();
        let end = journal.next_sequence();
        watch.wait("durable", |seen| seen.next_sequence == end);
    }
    close(journal);
    assert!(path.exists());
    assert_eq!(read_lines(directory.path(), Start::Oldest), expected_lines(0..7200));
}
