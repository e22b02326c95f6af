//! No intact batch becomes unreadable because of a damaged one, whatever bit is flipped and
//! wherever a file ends: for readers, for recovery, for `verify` and after a repair.

use std::fs;
use std::path::Path;

use _native::error::Error;
use _native::journal::{
    Compression, Cursor, FindingKind, Start, audit_directory, recover, repair_directory,
    verify_directory,
};

use crate::seals::{audit, seal_all};
use crate::support::{
    Directory, append_batch, close, copy, expected_lines, files, flip, open, options, read_lines,
    truncate, unseal,
};

const EVENTS: u64 = 2;
const BATCHES: u64 = 3;
/// Behind the batches that are damaged; another segment has one more batch.
const END: u64 = EVENTS * (BATCHES + 1);

/// A segment of three batches and one of a single batch; where those of the first end.
fn journal(compression: Compression) -> (Directory, Vec<u64>) {
    let (directory, mut ends) = segments_of(&[BATCHES, 1], compression);
    ends.pop();
    (directory, ends)
}

/// Segments of so many batches; where the batches end, each in its segment.
fn segments_of(segments: &[u64], compression: Compression) -> (Directory, Vec<u64>) {
    let directory = Directory::new();
    let mut options = options(directory.path());
    options.compression = compression;
    let mut ends = vec![0];
    for &batches in segments {
        let (mut journal, _, watch) = open(&options);
        for _ in 0..batches {
            append_batch(&mut journal, &watch, 0, 2);
            ends.push(watch.seen().bytes);
        }
        close(journal);
    }
    (directory, ends)
}

/// What a reader gets, and how often it was told of damage.
fn read_all(directory: &Path, start: Start) -> (String, u32) {
    let mut cursor = Cursor::open(directory, start).unwrap();
    let (mut lines, mut damage) = (Vec::new(), 0);
    loop {
        match cursor.next_batch() {
            Ok(Some(batch)) => lines.extend_from_slice(&batch.lines),
            Ok(None) => return (String::from_utf8(lines).unwrap(), damage),
            Err(Error::Damaged { .. }) => damage += 1,
            Err(error) => panic!("{error}"),
        }
    }
}

/// The lines of all batches but those of `damaged`, from the batch `from` on.
fn without(damaged: &[u64], from: u64) -> String {
    let batches = (from..=BATCHES).filter(|batch| !damaged.contains(batch));
    batches.map(|batch| expected_lines(batch * EVENTS..(batch + 1) * EVENTS)).collect()
}

fn assert_readable(directory: &Path, damaged: &[u64], what: &str) {
    assert_eq!(read_all(directory, Start::Oldest), (without(damaged, 0), 1), "{what}");
    for sequence in 0..END {
        let (lines, _) = read_all(directory, Start::Sequence(sequence));
        assert!(without(damaged, 0).ends_with(&lines), "{what}, from {sequence}");
        assert!(lines.ends_with(&without(damaged, sequence / EVENTS)), "{what}, from {sequence}");
    }
    for last in 1..=END {
        let (lines, _) = read_all(directory, Start::Last(last));
        let wanted = (last.div_ceil(EVENTS)).min(BATCHES + 1 - damaged.len() as u64);
        assert!(without(damaged, 0).ends_with(&lines), "{what}, last {last}");
        assert!(lines.lines().count() as u64 >= wanted * EVENTS, "{what}, last {last}");
    }
    let reports = verify_directory(directory).unwrap();
    let events: u64 = reports.iter().map(|report| report.events).sum();
    assert_eq!(events, END - EVENTS * damaged.len() as u64, "{what}");
    let kind = reports[0].findings[0].kind;
    assert_eq!(kind, FindingKind::Damage, "{what}");
}

/// Repair, and look at everything that must be true then.
fn assert_repaired(directory: &Path, damaged: &[u64], what: &str) {
    let path = files(directory).remove(0);
    let before = fs::read(&path).unwrap();
    let planned = repair_directory(directory, true).unwrap();
    assert_eq!(fs::read(&path).unwrap(), before);
    let repairs = repair_directory(directory, false).unwrap();
    assert_eq!(repairs.len(), 1, "{what}");
    let repair = &repairs[0];
    assert_eq!((&repair.path, repair.events), (&path, planned[0].events), "{what}");
    let lost: Vec<_> = repair.missing.iter().flat_map(|&(from, to)| from..to).collect();
    let of_damaged = damaged.iter().flat_map(|batch| batch * EVENTS..(batch + 1) * EVENTS);
    assert_eq!(lost, of_damaged.collect::<Vec<_>>(), "{what}");
    assert_eq!(fs::read(repair.damaged_path.as_ref().unwrap()).unwrap(), before, "{what}");
    assert_eq!(read_all(directory, Start::Oldest), (without(damaged, 0), 0), "{what}");
    let reports = verify_directory(directory).unwrap();
    let mut findings = reports.iter().flat_map(|report| &report.findings);
    assert!(findings.all(|finding| finding.kind == FindingKind::KnownGap), "{what}");
    assert_eq!(repair_directory(directory, false).unwrap(), [], "{what}");
}

#[test]
fn one_flipped_bit_costs_no_other_batch() {
    for compression in [Compression::None, Compression::Zstd(1)] {
        let (directory, ends) = journal(compression);
        let path = directory.segments().remove(0);
        for offset in 0..ends[3] {
            let damaged = ends.partition_point(|&end| end <= offset) as u64 - 1;
            let what = format!("{compression:?}, {offset}");
            for bit in 0..8 {
                flip(&path, offset, bit);
                let read = read_all(directory.path(), Start::Oldest);
                assert_eq!(read, (without(&[damaged], 0), 1), "bit {bit}, {what}");
                flip(&path, offset, bit);
            }
            flip(&path, offset, 4);
            assert_readable(directory.path(), &[damaged], &what);
            flip(&path, offset, 4);
        }
    }
}

#[test]
fn bytes_missing_from_the_end_cost_only_the_batches_they_are_of() {
    for compression in [Compression::None, Compression::Zstd(1)] {
        let (directory, ends) = journal(compression);
        let path = directory.segments().remove(0);
        for length in (0..ends[3]).rev().filter(|length| !ends.contains(length)) {
            truncate(&path, length);
            let left = ends.partition_point(|&end| end <= length) as u64 - 1;
            let damaged: Vec<_> = (left..BATCHES).collect();
            assert_readable(directory.path(), &damaged, &format!("{compression:?}, {length}"));
        }
    }
}

#[test]
fn recovery_cuts_no_intact_batch() {
    for compression in [Compression::None, Compression::Zstd(1)] {
        let (directory, ends) = segments_of(&[BATCHES], compression);
        unseal(directory.path());
        for offset in 0..ends[3] {
            let damaged = copy(directory.path());
            let path = damaged.segments().remove(0);
            flip(&path, offset, 6);
            let batch = ends.partition_point(|&end| end <= offset) - 1;
            let recovery = recover(damaged.path(), None).unwrap();
            // Only damage behind all intact batches is cut off.
            let length = if batch == 2 { ends[2] } else { ends[3] };
            assert_eq!(fs::metadata(&path).unwrap().len(), length, "{compression:?}, {offset}");
            let next_sequence = if batch == 2 { 2 * EVENTS } else { 3 * EVENTS };
            assert_eq!(recovery.next_sequence, next_sequence);
            let (lines, _) = read_all(damaged.path(), Start::Oldest);
            let intact = without(&[batch as u64, BATCHES], 0);
            assert_eq!(lines, intact, "{compression:?}, {offset}");
        }
    }
}

#[test]
fn recovery_cuts_nothing_off_a_sealed_segment_and_gives_none_of_its_numbers_again() {
    for change in [|path: &Path| flip(path, 500, 0), |path: &Path| truncate(path, 500)] {
        let (directory, _) = segments_of(&[BATCHES], Compression::None);
        seal_all(directory.path());
        let path = directory.segments().remove(0);
        change(&path);
        let before = fs::read(&path).unwrap();
        let recovery = recover(directory.path(), None).unwrap();
        assert_eq!((recovery.next_sequence, recovery.cut), (BATCHES * EVENTS, None));
        assert_eq!(recovery.damage.len(), 1);
        assert_eq!(fs::read(&path).unwrap(), before);
        let reports = verify_directory(directory.path()).unwrap();
        assert_eq!(reports[0].findings[0].kind, FindingKind::Damage);
        let repairs = repair_directory(directory.path(), false).unwrap();
        assert_eq!(repairs[0].missing, [(4, 6)]);
        assert_eq!(recover(directory.path(), None).unwrap().next_sequence, BATCHES * EVENTS);
    }
}

#[test]
fn recovery_cuts_nothing_where_the_newest_seal_is_damaged_or_cannot_be_read() {
    let (directory, _) = segments_of(&[BATCHES], Compression::None);
    seal_all(directory.path());
    let path = directory.segments().remove(0);
    flip(&path, 500, 0);
    let before = fs::read(&path).unwrap();
    let seals = directory.path().join("seals.ndjson");
    flip(&seals, 20, 0);
    assert_eq!(recover(directory.path(), None).unwrap().cut, None);
    assert_eq!(fs::read(&path).unwrap(), before);
    fs::remove_file(&seals).unwrap();
    fs::create_dir(&seals).unwrap();
    assert!(recover(directory.path(), None).is_err());
    assert_eq!(fs::read(&path).unwrap(), before);
}

#[test]
fn a_repair_keeps_every_intact_batch_whatever_bit_was_flipped() {
    for compression in [Compression::None, Compression::Zstd(1)] {
        let (directory, ends) = journal(compression);
        for offset in 0..ends[3] {
            let damaged = copy(directory.path());
            flip(&damaged.segments()[0], offset, 1);
            let batch = ends.partition_point(|&end| end <= offset) as u64 - 1;
            assert_repaired(damaged.path(), &[batch], &format!("{compression:?}, {offset}"));
        }
    }
}

#[test]
fn a_repair_keeps_every_whole_batch_wherever_the_file_ends() {
    for compression in [Compression::None, Compression::Zstd(1)] {
        let (directory, ends) = journal(compression);
        for length in (1..ends[3]).filter(|length| !ends.contains(length)) {
            let torn = copy(directory.path());
            truncate(&torn.segments()[0], length);
            let left = ends.partition_point(|&end| end <= length) as u64 - 1;
            let damaged: Vec<_> = (left..BATCHES).collect();
            assert_repaired(torn.path(), &damaged, &format!("{compression:?}, {length}"));
        }
    }
}

#[test]
fn a_repair_is_part_of_the_chain() {
    let (directory, _) = journal(Compression::None);
    seal_all(directory.path());
    let head = audit(directory.path()).head.unwrap();
    let path = directory.segments().remove(0);
    flip(&path, 20, 0);
    assert_eq!(audit(directory.path()).findings.len(), 1);
    repair_directory(directory.path(), false).unwrap();
    let audit = audit_directory(directory.path(), std::slice::from_ref(&head)).unwrap();
    assert_eq!((audit.good, &audit.repaired, &audit.findings), (2, &vec![path.clone()], &vec![]));
    assert_eq!(audit.known, [head]);
    // What is changed afterwards is found as before.
    flip(&path, 30, 0);
    assert_eq!(crate::seals::audit(directory.path()).findings.len(), 1);
}

#[test]
fn a_repair_after_a_kill_keeps_the_first_evidence() {
    let (directory, _) = journal(Compression::None);
    let path = directory.segments().remove(0);
    flip(&path, 20, 0);
    let killed = copy(directory.path());
    let repairs = repair_directory(directory.path(), false).unwrap();
    // Killed once the damaged file had its second name and the seal was written.
    let path = killed.segments().remove(0);
    let name = repairs[0].damaged_path.as_ref().unwrap().file_name().unwrap();
    fs::hard_link(&path, killed.path().join(name)).unwrap();
    let seals = |directory: &Directory| directory.path().join("seals.ndjson");
    fs::copy(seals(&directory), seals(&killed)).unwrap();
    let draft = path.with_file_name("00000000000000000000.ndjson.zst.draft");
    fs::write(draft, "half").unwrap();
    assert_repaired(killed.path(), &[0], "killed");
    assert_eq!(audit(killed.path()).findings, []);
    let names: Vec<_> =
        files(killed.path()).into_iter().map(|path| path.file_name().unwrap().to_owned()).collect();
    assert_eq!(names.len(), 4, "{names:?}");
    // Damaged once more, it keeps both.
    let path = killed.segments().remove(0);
    flip(&path, 5, 0);
    let again = repair_directory(killed.path(), false).unwrap();
    assert!(again[0].damaged_path.as_ref().unwrap().to_str().unwrap().ends_with(".damaged-2"));
}

#[test]
fn the_numbers_of_a_damaged_last_batch_are_not_given_out_again() {
    let (directory, ends) = segments_of(&[BATCHES], Compression::None);
    unseal(directory.path());
    // In the lines, so that the metadata says which numbers they have.
    flip(&directory.segments()[0], ends[3] - 1, 0);
    let repairs = repair_directory(directory.path(), false).unwrap();
    assert_eq!(repairs[0].missing, [(4, 6)]);
    let (mut journal, recovery, watch) = open(&options(directory.path()));
    assert_eq!(recovery.next_sequence, 6);
    append_batch(&mut journal, &watch, 0, 2);
    close(journal);
    let expected = expected_lines(0..4) + &expected_lines(6..8);
    assert_eq!(read_lines(directory.path(), Start::Oldest), expected);
    seal_all(directory.path());
    assert_eq!(audit(directory.path()).findings, []);
}

#[test]
fn a_segment_of_which_nothing_is_left_is_written_to_again() {
    let (directory, ends) = segments_of(&[BATCHES], Compression::None);
    unseal(directory.path());
    let path = directory.segments().remove(0);
    for end in &ends[..3] {
        flip(&path, end + 9, 0);
    }
    let repairs = repair_directory(directory.path(), false).unwrap();
    assert_eq!((repairs[0].batches, repairs[0].missing.as_slice()), (0, &[][..]));
    let (mut journal, recovery, watch) = open(&options(directory.path()));
    assert_eq!(recovery.next_sequence, 0);
    append_batch(&mut journal, &watch, 0, 2);
    close(journal);
    seal_all(directory.path());
    assert_eq!(audit(directory.path()).findings, []);
    assert_eq!(read_lines(directory.path(), Start::Oldest), expected_lines(0..2));
}

#[test]
fn nothing_is_repaired_while_a_writer_is_at_work() {
    let (directory, _) = journal(Compression::None);
    let path = directory.segments().remove(0);
    flip(&path, 20, 0);
    let before = fs::read(&path).unwrap();
    let (journal, ..) = open(&options(directory.path()));
    assert!(repair_directory(directory.path(), false).is_err());
    assert_eq!(fs::read(&path).unwrap(), before);
    close(journal);
}
