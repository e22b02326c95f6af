//! A cursor sees every batch once, in order, also while it is written and rotated.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::thread;

use _native::error::Error;
use _native::journal::{Cursor, Start};

use crate::support::{
    Directory, append, append_batch, close, copy, expected_lines, open, options, read_lines,
};

/// Twelve batches of five events over several segments.
fn written() -> Directory {
    let directory = Directory::new();
    let mut options = options(directory.path());
    options.segment_bytes = 1000;
    let (mut journal, _, watch) = open(&options);
    for batch in 0..12 {
        append_batch(&mut journal, &watch, batch % 2, 5);
    }
    close(journal);
    assert!(directory.segments().len() > 3);
    directory
}

#[test]
fn a_batch_tells_where_it_comes_from() {
    let directory = written();
    let mut cursor = Cursor::open(directory.path(), Start::Sequence(5)).unwrap();
    let batch = cursor.next_batch().unwrap().unwrap();
    assert_eq!((batch.first_sequence, batch.count, batch.missing), (5, 5, 0));
    assert_eq!((batch.first_received_ns, batch.last_received_ns), (1005, 1005));
    assert_eq!(batch.sources, [("udp-5140".to_owned(), 5)]);
    assert_eq!(batch.lines, expected_lines(5..10).as_bytes());
}

#[test]
fn reading_begins_with_the_batch_of_any_sequence_number() {
    let directory = written();
    for sequence in 0..60 {
        let begin = sequence / 5 * 5;
        let lines = read_lines(directory.path(), Start::Sequence(sequence));
        assert_eq!(lines, expected_lines(begin..60));
    }
    assert_eq!(read_lines(directory.path(), Start::Sequence(60)), "");
    assert_eq!(read_lines(directory.path(), Start::End), "");
}

#[test]
fn the_last_events_are_found_from_the_end() {
    let directory = written();
    for events in 0..=60 {
        let begin = (60 - events) / 5 * 5;
        let lines = read_lines(directory.path(), Start::Last(events));
        assert_eq!(lines, expected_lines(begin..60), "last {events}");
    }
    assert_eq!(read_lines(directory.path(), Start::Last(1000)), expected_lines(0..60));
}

#[test]
fn a_cursor_waits_for_a_directory_that_does_not_exist() {
    let directory = Directory::new();
    let shard = directory.path().join("shard-0000");
    for start in [Start::Oldest, Start::End, Start::Sequence(0), Start::Last(3)] {
        let mut cursor = Cursor::open(&shard, start).unwrap();
        assert!(cursor.next_batch().unwrap().is_none());
        let (mut journal, ..) = open(&options(&shard));
        append(&mut journal, 0, 2);
        close(journal);
        assert_eq!(cursor.next_batch().unwrap().unwrap().count, 2);
        fs::remove_dir_all(&shard).unwrap();
    }
}

#[test]
fn a_live_journal_is_followed_without_losing_or_repeating_anything() {
    const EVENTS: u64 = 100_000;
    let directory = Directory::new();
    let mut options = options(directory.path());
    options.segment_bytes = 200_000;
    let (mut journal, _, watch) = open(&options);
    let path = directory.path().to_owned();
    let reader = thread::spawn(move || {
        let mut cursor = Cursor::open(&path, Start::Oldest).unwrap();
        let mut lines = Vec::new();
        let mut next_sequence = 0;
        while next_sequence < EVENTS {
            match cursor.next_batch().unwrap() {
                Some(batch) => {
                    assert_eq!((batch.first_sequence, batch.missing), (next_sequence, 0));
                    next_sequence += batch.count;
                    lines.extend_from_slice(&batch.lines);
                }
                None => thread::yield_now(),
            }
        }
        lines
    });
    while journal.next_sequence() < EVENTS {
        if journal.has_room() {
            append(&mut journal, 0, 100);
            journal.publish();
        } else {
            thread::yield_now();
        }
    }
    watch.wait("all durable", |seen| seen.next_sequence == EVENTS);
    assert!(reader.join().unwrap() == expected_lines(0..EVENTS).as_bytes());
    assert!(directory.segments().len() > 5);
}

#[test]
fn half_a_batch_is_not_yet_there_on_the_live_segment() {
    let directory = Directory::new();
    let (mut journal, _, watch) = open(&options(directory.path()));
    append_batch(&mut journal, &watch, 0, 5);
    append_batch(&mut journal, &watch, 0, 5);
    close(journal);
    let whole = fs::read(&directory.segments()[0]).unwrap();
    let live = copy(directory.path());
    let path = live.segments().remove(0);
    fs::write(&path, b"").unwrap();
    let mut cursor = Cursor::open(live.path(), Start::Oldest).unwrap();
    let mut file = OpenOptions::new().append(true).open(&path).unwrap();
    let mut batches = Vec::new();
    for (index, byte) in whole.iter().enumerate() {
        file.write_all(&[*byte]).unwrap();
        if let Some(batch) = cursor.next_batch().unwrap() {
            batches.push((index + 1, batch.first_sequence, batch.count));
        }
    }
    let half = whole.len() / 2;
    assert_eq!(batches, [(half, 0, 5), (whole.len(), 5, 5)]);
}

#[test]
fn a_torn_batch_before_another_segment_is_damage_and_told_once() {
    let directory = written();
    let path = directory.segments().remove(1);
    let length = fs::metadata(&path).unwrap().len();
    OpenOptions::new().write(true).open(&path).unwrap().set_len(length - 1).unwrap();
    let mut cursor = Cursor::open(directory.path(), Start::Oldest).unwrap();
    let (mut damaged, mut missing, mut count) = (0, 0, 0);
    loop {
        match cursor.next_batch() {
            Ok(Some(batch)) => {
                missing += batch.missing;
                count += batch.count;
            }
            Ok(None) => break,
            Err(Error::Damaged { path: found, .. }) => {
                assert_eq!(found, path);
                damaged += 1;
            }
            Err(error) => panic!("{error}"),
        }
    }
    assert_eq!((damaged, missing, count), (1, 5, 55));
}

#[test]
fn what_retention_deletes_under_a_cursor_is_reported_as_missing() {
    let directory = written();
    let mut cursor = Cursor::open(directory.path(), Start::Oldest).unwrap();
    assert_eq!(cursor.next_batch().unwrap().unwrap().first_sequence, 0);
    let segments = directory.segments();
    for path in &segments[..segments.len() - 1] {
        fs::remove_file(path).unwrap();
    }
    let (mut missing, mut count, mut end) = (0, 5, 0);
    while let Some(batch) = cursor.next_batch().unwrap() {
        missing += batch.missing;
        count += batch.count;
        end = batch.first_sequence + batch.count;
    }
    assert!(missing > 0);
    assert_eq!((missing + count, end), (60, 60));
}

#[test]
fn a_start_that_retention_has_deleted_is_reported_as_missing() {
    let directory = written();
    fs::remove_file(&directory.segments()[0]).unwrap();
    let mut cursor = Cursor::open(directory.path(), Start::Sequence(2)).unwrap();
    let batch = cursor.next_batch().unwrap().unwrap();
    assert_eq!(batch.missing, batch.first_sequence - 2);
}
