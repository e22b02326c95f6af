//! After any crash: everything whole is kept, everything torn is cut and reported.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use _native::journal::{
    Compression, Cut, FindingKind, Journal, Start, events_since, recover, verify_directory,
};

use crate::support::{
    Directory, Watch, append, append_batch, close, copy, expected_lines, flip, open, options,
    read_lines, truncate, unseal,
};

/// Three batches of five events, as a killed writer leaves them; the ends of the batches in the one segment.
fn three_batches(directory: &Path, compression: Compression) -> Vec<u64> {
    let mut options = options(directory);
    options.compression = compression;
    let (mut journal, _, watch) = open(&options);
    let mut ends = vec![0];
    for source in [0, 1, 0] {
        append_batch(&mut journal, &watch, source, 5);
        ends.push(watch.seen().bytes);
    }
    close(journal);
    unseal(directory);
    ends
}

#[test]
fn a_tail_torn_at_any_byte_is_cut_and_reported() {
    for compression in [Compression::None, Compression::Zstd(1)] {
        let directory = Directory::new();
        let ends = three_batches(directory.path(), compression);
        for length in ends[2]..ends[3] {
            let torn = copy(directory.path());
            let path = torn.segments().remove(0);
            truncate(&path, length);
            let (mut journal, recovery, watch) = open(&options(torn.path()));
            let bytes = length - ends[2];
            let cut = (bytes > 0).then(|| Cut { path: path.clone(), offset: ends[2], bytes });
            assert_eq!((recovery.next_sequence, recovery.cut), (10, cut));
            assert_eq!(fs::metadata(&path).unwrap().len(), ends[2]);
            append_batch(&mut journal, &watch, 0, 1);
            close(journal);
            assert_eq!(read_lines(torn.path(), Start::Oldest), expected_lines(0..11));
        }
    }
}

#[test]
fn a_segment_that_is_empty_or_garbage_keeps_its_number() {
    for garbage in [&b""[..], b"x", b"not a segment\n", &[0; 5000], b"journal\x01journal\x01"] {
        let directory = Directory::new();
        let path = directory.path().join("00000000000000000700.ndjson.zst");
        fs::write(&path, garbage).unwrap();
        let (mut journal, recovery, watch) = open(&options(directory.path()));
        assert_eq!(recovery.next_sequence, 700);
        assert_eq!(recovery.cut.map_or(0, |cut| cut.bytes), garbage.len() as u64);
        append_batch(&mut journal, &watch, 0, 2);
        close(journal);
        assert_eq!(directory.segments(), [path]);
        assert_eq!(read_lines(directory.path(), Start::Oldest), expected_lines(700..702));
    }
}

#[test]
fn files_with_other_names_are_left_alone() {
    let directory = Directory::new();
    let other = directory.path().join("notes.txt");
    fs::write(&other, "mine").unwrap();
    fs::write(directory.path().join("7.ndjson.zst"), "mine").unwrap();
    let (journal, recovery, _) = open(&options(directory.path()));
    assert_eq!(recovery.next_sequence, 0);
    close(journal);
    assert_eq!(fs::read(&other).unwrap(), b"mine");
}

#[test]
fn damage_before_intact_batches_is_reported_and_kept() {
    let directory = Directory::new();
    let ends = three_batches(directory.path(), Compression::None);
    for offset in ends[1]..ends[2] {
        let damaged = copy(directory.path());
        let path = damaged.segments().remove(0);
        flip(&path, offset, 3);
        let recovery = recover(damaged.path(), None).unwrap();
        assert_eq!((recovery.next_sequence, recovery.cut), (15, None), "at {offset}");
        let damage = &recovery.damage[0];
        assert_eq!((damage.offset, damage.bytes), (ends[1], ends[2] - ends[1]));
        assert_eq!(fs::metadata(&path).unwrap().len(), ends[3]);
    }
}

#[test]
fn recovery_verifies_data_from_the_durable_sequence_on() {
    let directory = Directory::new();
    let ends = three_batches(directory.path(), Compression::None);
    let flipped = |batch: usize, durable_sequence| {
        let damaged = copy(directory.path());
        // The last byte of a batch is one of its data.
        flip(&damaged.segments()[0], ends[batch] - 1, 0);
        let recovery = recover(damaged.path(), durable_sequence).unwrap();
        let cut = recovery.cut.map(|cut| cut.offset);
        (recovery.next_sequence, recovery.damage.len(), cut)
    };
    for durable_sequence in [None, Some(0), Some(5)] {
        assert_eq!(flipped(2, durable_sequence), (15, 1, None));
    }
    for durable_sequence in [Some(10), Some(12), Some(15), Some(99)] {
        assert_eq!(flipped(2, durable_sequence), (15, 0, None));
    }
    for durable_sequence in [None, Some(5), Some(10), Some(12)] {
        assert_eq!(flipped(3, durable_sequence), (10, 0, Some(ends[2])));
    }
    assert_eq!(flipped(3, Some(15)), (15, 0, None));
}

#[test]
fn a_torn_tail_is_cut_whatever_is_said_to_be_durable() {
    let directory = Directory::new();
    let ends = three_batches(directory.path(), Compression::None);
    truncate(&directory.segments()[0], ends[3] - 1);
    let mut options = options(directory.path());
    options.durable_sequence = Some(15);
    let (journal, recovery, _) = open(&options);
    assert_eq!((recovery.next_sequence, recovery.cut.unwrap().offset), (10, ends[2]));
    close(journal);
}

#[test]
fn a_tail_before_empty_segments_is_cut() {
    let directory = Directory::new();
    let ends = three_batches(directory.path(), Compression::None);
    let path = directory.segments().remove(0);
    truncate(&path, ends[3] - 1);
    // As a writer leaves it that was killed while it gave up.
    fs::write(directory.path().join("00000000000000000020.ndjson.zst"), b"").unwrap();
    let recovery = recover(directory.path(), None).unwrap();
    assert_eq!((recovery.next_sequence, recovery.cut.unwrap().path), (20, path));
    assert_eq!(read_lines(directory.path(), Start::Oldest), expected_lines(0..10));
}

#[test]
fn verify_finds_a_flipped_bit_anywhere() {
    for compression in [Compression::None, Compression::Zstd(1)] {
        let directory = Directory::new();
        let ends = three_batches(directory.path(), compression);
        let path = directory.segments().remove(0);
        for offset in 0..ends[3] {
            for bit in 0..8 {
                flip(&path, offset, bit);
                let reports = verify_directory(directory.path()).unwrap();
                assert_ne!(reports[0].findings, [], "bit {bit} at {offset}");
                flip(&path, offset, bit);
            }
        }
        assert_eq!(verify_directory(directory.path()).unwrap()[0].findings, []);
    }
}

#[test]
fn verify_tells_a_torn_tail_from_damage() {
    let directory = Directory::new();
    let ends = three_batches(directory.path(), Compression::None);
    let path = directory.segments().remove(0);
    truncate(&path, ends[3] - 1);
    let kinds = |directory: &Path| {
        let reports = verify_directory(directory).unwrap();
        let findings = reports.into_iter().flat_map(|report| report.findings);
        findings.map(|finding| finding.kind).collect::<Vec<_>>()
    };
    assert_eq!(kinds(directory.path()), [FindingKind::TornTail]);
    // With a successor nobody is writing there any more.
    fs::write(directory.path().join("00000000000000000010.ndjson.zst"), b"").unwrap();
    assert_eq!(kinds(directory.path()), [FindingKind::Damage]);
}

#[test]
fn verify_takes_no_damage_for_a_torn_tail() {
    let directory = Directory::new();
    let ends = three_batches(directory.path(), Compression::None);
    let path = directory.segments().remove(0);
    for offset in ends[2]..ends[3] {
        for bit in 0..8 {
            flip(&path, offset, bit);
            let kind = verify_directory(directory.path()).unwrap()[0].findings[0].kind;
            assert_eq!(kind, FindingKind::Damage, "bit {bit} at {offset}");
            flip(&path, offset, bit);
        }
    }
    for length in (ends[2] + 1..ends[3]).rev() {
        truncate(&path, length);
        let kind = verify_directory(directory.path()).unwrap()[0].findings[0].kind;
        assert_eq!(kind, FindingKind::TornTail, "cut off at {length}");
    }
}

#[test]
fn a_segment_deleted_while_verify_runs_is_no_gap() {
    let directory = Directory::new();
    let mut options = options(directory.path());
    options.segment_bytes = 1;
    let (mut journal, _, watch) = open(&options);
    for _ in 0..3 {
        append_batch(&mut journal, &watch, 0, 5);
    }
    close(journal);
    // What is listed and then not found: a link to nowhere.
    let path = directory.segments().remove(1);
    fs::remove_file(&path).unwrap();
    std::os::unix::fs::symlink("nowhere", &path).unwrap();
    let reports = verify_directory(directory.path()).unwrap();
    assert_eq!(reports.len(), 2);
    assert!(reports.iter().all(|report| report.findings.is_empty()));
}

#[test]
fn verify_finds_gaps_and_overlaps_between_segments() {
    let directory = Directory::new();
    let mut options = options(directory.path());
    options.segment_bytes = 1;
    let (mut journal, _, watch) = open(&options);
    for _ in 0..4 {
        append_batch(&mut journal, &watch, 0, 5);
    }
    close(journal);
    let segments = directory.segments();
    fs::remove_file(&segments[1]).unwrap();
    fs::copy(&segments[2], directory.path().join("00000000000000000018.ndjson.zst")).unwrap();
    let reports = verify_directory(directory.path()).unwrap();
    let kinds: Vec<Vec<_>> = reports
        .iter()
        .map(|report| report.findings.iter().map(|finding| finding.kind).collect())
        .collect();
    assert_eq!(kinds[..2], [vec![], vec![FindingKind::Gap]]);
    // The copy claims another number than the batch in it has.
    assert_eq!(kinds[3], [FindingKind::Overlap, FindingKind::Overlap]);
}

#[test]
fn events_since_counts_exactly_what_was_not_reported() {
    let directory = Directory::new();
    let mut options = options(directory.path());
    options.segment_bytes = 700;
    let (mut journal, _, watch) = open(&options);
    let mut begins = vec![(0, [0, 0])];
    for (source, count) in [(0, 3), (1, 5), (0, 7), (1, 11), (0, 13)] {
        append_batch(&mut journal, &watch, source, count);
        begins.push((journal.next_sequence(), watch.seen().by_source));
    }
    close(journal);
    assert!(directory.segments().len() > 1);
    let (end, total) = begins[begins.len() - 1];
    for (begin, before) in begins {
        let (next_sequence, events) = events_since(directory.path(), begin).unwrap();
        assert_eq!(next_sequence, end);
        let of = |name| events.iter().find(|(source, _)| source == name).map_or(0, |found| found.1);
        assert_eq!(of("tcp-5140"), total[0] - before[0]);
        assert_eq!(of("udp-5140"), total[1] - before[1]);
    }
    assert!(events_since(directory.path(), 1).is_err());
    assert_eq!(events_since(&directory.path().join("none"), 4).unwrap(), (4, vec![]));
}

#[test]
fn a_batch_of_several_sources_accounts_for_each() {
    let directory = Directory::new();
    let (mut journal, ..) = open(&options(directory.path()));
    append(&mut journal, 0, 3);
    append(&mut journal, 1, 4);
    close(journal);
    let (_, events) = events_since(directory.path(), 0).unwrap();
    assert_eq!(events, [("tcp-5140".to_owned(), 3), ("udp-5140".to_owned(), 4)]);
}

#[test]
fn recover_needs_no_writer_and_refuses_to_disturb_one() {
    let directory = Directory::new();
    let none = recover(&directory.path().join("none"), None).unwrap();
    assert_eq!(none.next_sequence, 0);
    let (journal, ..) = open(&options(directory.path()));
    assert!(recover(directory.path(), None).is_err());
    close(journal);
    assert!(recover(directory.path(), None).is_ok());
    assert!(Journal::open(&options(directory.path()), Arc::new(Watch::default())).is_ok());
}
