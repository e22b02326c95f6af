//! What is sealed cannot be changed unseen, whatever is done to the files.

use std::fs;
use std::path::{Path, PathBuf};

use _native::journal::{Audit, Options, Start, audit_directory};

use crate::support::{
    Directory, append_batch, close, copy, expected_lines, flip, open, options, read_lines, truncate,
};

/// The chain of seals of a shard.
fn seals(directory: &Directory) -> PathBuf {
    directory.path().join("seals.ndjson")
}

pub fn audit(directory: &Path) -> Audit {
    audit_directory(directory, &[]).unwrap()
}

/// So many segments of five events, all of them closed and sealed.
pub fn sealed_segments(count: u64) -> Directory {
    let directory = Directory::new();
    let mut options = options(directory.path());
    options.segment_bytes = 1;
    let (mut journal, _, watch) = open(&options);
    for _ in 0..count {
        append_batch(&mut journal, &watch, 0, 5);
    }
    close(journal);
    seal_all(directory.path());
    directory
}

/// Have a journal seal what its predecessor had no time for when it was closed.
pub fn seal_all(directory: &Path) {
    seal_all_with(&options(directory));
}

/// The same with other options than usual.
pub fn seal_all_with(options: &Options) {
    let unsealed = audit(&options.directory).unsealed;
    let (journal, _, watch) = open(options);
    watch.wait("sealed", |seen| seen.seals == unsealed);
    close(journal);
}

#[test]
fn every_closed_segment_is_sealed() {
    let directory = sealed_segments(4);
    let audit = audit(directory.path());
    assert_eq!((audit.seals, audit.good, audit.unsealed), (4, 4, 0));
    assert_eq!(audit.findings, []);
    assert_eq!(read_lines(directory.path(), Start::Oldest), expected_lines(0..20));
}

#[test]
fn missing_seals_of_closed_segments_are_found() {
    let directory = sealed_segments(4);
    fs::remove_file(seals(&directory)).unwrap();
    let audit = audit(directory.path());
    assert_eq!((audit.seals, audit.unsealed), (0, 4));
    let files: Vec<_> = audit.findings.into_iter().map(|(file, _)| file).collect();
    assert_eq!(files, [seals(&directory)]);
}

#[test]
fn the_live_segment_is_sealed_once_it_is_closed() {
    let directory = sealed_segments(1);
    let (mut journal, _, watch) = open(&options(directory.path()));
    append_batch(&mut journal, &watch, 1, 5);
    assert_eq!(audit(directory.path()).unsealed, 1);
    append_batch(&mut journal, &watch, 0, 5);
    close(journal);
    seal_all(directory.path());
    let audit = audit(directory.path());
    assert_eq!((audit.good, audit.unsealed, audit.findings), (2, 0, vec![]));
}

#[test]
fn seals_are_what_common_tools_compute() {
    let directory = sealed_segments(2);
    let text = fs::read_to_string(seals(&directory)).unwrap();
    let mut previous = None;
    for (line, path) in text.lines().zip(directory.segments()) {
        let seal: serde_json::Value = serde_json::from_str(line).unwrap();
        let (signed, _) = line.split_once(",\"digest\":").unwrap();
        let digest = blake3::hash(signed.as_bytes()).to_hex().to_string();
        assert_eq!(seal["digest"], digest);
        assert_eq!(seal["previous"].as_str(), previous.as_deref());
        let bytes = fs::read(path).unwrap();
        assert_eq!(seal["bytes_digest"], blake3::hash(&bytes).to_hex().to_string());
        assert_eq!((&seal["bytes"], &seal["shard"]), (&bytes.len().into(), &3.into()));
        previous = Some(digest);
    }
    assert_eq!(audit(directory.path()).head, previous);
}

#[test]
fn a_change_of_any_byte_of_a_segment_is_found() {
    let directory = sealed_segments(3);
    let path = directory.segments().remove(1);
    let length = fs::metadata(&path).unwrap().len();
    for offset in 0..length {
        flip(&path, offset, 5);
        let audit = audit(directory.path());
        assert_eq!((audit.findings.len(), &audit.findings[0].0), (1, &path), "at {offset}");
        flip(&path, offset, 5);
    }
    let bytes = fs::read(&path).unwrap();
    for shorter in 0..length {
        truncate(&path, shorter);
        assert_eq!(audit(directory.path()).findings.len(), 1, "cut at {shorter}");
        fs::write(&path, &bytes).unwrap();
    }
    assert_eq!(audit(directory.path()).findings, []);
}

#[test]
fn a_change_of_any_byte_of_the_seals_is_found_with_the_head_kept_elsewhere() {
    let directory = sealed_segments(3);
    let head = audit(directory.path()).head.unwrap();
    let is_proven = || {
        let audit = audit_directory(directory.path(), std::slice::from_ref(&head)).unwrap();
        audit.findings.is_empty() && audit.known == [head.clone()]
    };
    assert!(is_proven());
    let length = fs::metadata(seals(&directory)).unwrap().len();
    for offset in 0..length {
        flip(&seals(&directory), offset, 2);
        assert!(!is_proven(), "at {offset}");
        flip(&seals(&directory), offset, 2);
    }
    let bytes = fs::read(seals(&directory)).unwrap();
    for shorter in 0..length {
        truncate(&seals(&directory), shorter);
        assert!(!is_proven(), "cut at {shorter}");
        fs::write(seals(&directory), &bytes).unwrap();
    }
    assert!(is_proven());
}

#[test]
fn a_segment_that_is_gone_or_exchanged_or_inserted_is_found() {
    let directory = sealed_segments(4);
    let findings = |change: &dyn Fn(&[PathBuf])| {
        let changed = copy(directory.path());
        change(&changed.segments());
        let findings = audit(changed.path()).findings.into_iter();
        let name = |path: PathBuf| path.file_name().unwrap().to_str().unwrap().to_owned();
        findings.map(|(path, _)| name(path)).collect::<Vec<_>>()
    };
    let names: Vec<_> = directory
        .segments()
        .iter()
        .map(|path| path.file_name().unwrap().to_str().unwrap().to_owned())
        .collect();
    let exchange = |segments: &[PathBuf]| {
        let bytes = [fs::read(&segments[1]).unwrap(), fs::read(&segments[2]).unwrap()];
        fs::write(&segments[1], &bytes[1]).unwrap();
        fs::write(&segments[2], &bytes[0]).unwrap();
    };
    let insert = |segments: &[PathBuf]| {
        let inserted = segments[0].with_file_name("00000000000000000007.ndjson.zst");
        fs::copy(&segments[0], inserted).unwrap();
    };
    assert_eq!(findings(&|segments| fs::remove_file(&segments[2]).unwrap()), [&*names[2]]);
    assert_eq!(findings(&|segments| fs::remove_file(&segments[3]).unwrap()), [&*names[3]]);
    assert_eq!(findings(&exchange), [&*names[1], &*names[2]]);
    assert_eq!(findings(&insert), ["00000000000000000007.ndjson.zst"]);
    let remove_all = |segments: &[PathBuf]| {
        for segment in segments {
            fs::remove_file(segment).unwrap();
        }
    };
    assert_eq!(findings(&remove_all).len(), 1);
    // The oldest ones may go: that is what retention does.
    assert_eq!(findings(&|segments| fs::remove_file(&segments[0]).unwrap()), Vec::<String>::new());
}

#[test]
fn a_seal_that_is_gone_or_exchanged_is_found() {
    let directory = sealed_segments(4);
    let text = fs::read_to_string(seals(&directory)).unwrap();
    let lines: Vec<_> = text.split_inclusive('\n').collect();
    for order in [&[0, 2, 3][..], &[0, 2, 1, 3], &[0, 1, 1, 2, 3], &[1, 0, 2, 3], &[2, 3]] {
        let text: String = order.iter().map(|&line| lines[line]).collect();
        fs::write(seals(&directory), text).unwrap();
        assert_ne!(audit(directory.path()).findings, [], "{order:?}");
    }
}

#[test]
fn a_chain_torn_by_a_kill_at_any_byte_goes_on() {
    let directory = sealed_segments(3);
    let text = fs::read_to_string(seals(&directory)).unwrap();
    let begin = text[..text.len() - 1].rfind('\n').unwrap() + 1;
    for length in (begin..text.len()).step_by(7) {
        let torn = copy(directory.path());
        truncate(&seals(&torn), length as u64);
        assert_eq!(audit(torn.path()).findings, []);
        seal_all(torn.path());
        let audit = audit(torn.path());
        assert_eq!((audit.good, audit.findings), (3, vec![]), "cut at {length}");
    }
}

#[test]
fn retention_leaves_a_chain_without_faults() {
    let directory = sealed_segments(5);
    let mut options = options(directory.path());
    let bytes = |path: &PathBuf| fs::metadata(path).unwrap().len();
    options.retention_bytes = Some(directory.segments().iter().map(bytes).sum());
    let head = audit(directory.path()).head.unwrap();
    let (mut journal, _, watch) = open(&options);
    append_batch(&mut journal, &watch, 0, 5);
    close(journal);
    seal_all(directory.path());
    let audit = audit_directory(directory.path(), std::slice::from_ref(&head)).unwrap();
    assert!(audit.deleted > 0);
    assert_eq!((audit.deleted + audit.good, audit.findings), (6, vec![]));
    assert_eq!(audit.known, [head]);
}
