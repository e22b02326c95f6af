//! What a disk cannot read is damage: what is behind it is found, and nothing is cut for it.
//!
//! This binary defines `pread64` itself, so that a block of a file can be unreadable. The tests
//! share that block and so take turns.
#![allow(missing_docs, clippy::unwrap_used, clippy::panic)]

#[path = "journal/support.rs"]
mod support;

use std::fs;
use std::os::fd::RawFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use _native::journal::{FindingKind, audit_directory, recover, repair_directory, verify_directory};

use support::{Directory, append_batch, close, open, options, truncate, unseal};

const BLOCK: u64 = 4096;
/// Events of a batch, which has several blocks then.
const EVENTS: u64 = 500;
const BATCHES: u64 = 3;

/// The file that has an unreadable block, 0 for none.
static INODE: AtomicU64 = AtomicU64::new(0);
/// Where that block begins.
static UNREADABLE: AtomicU64 = AtomicU64::new(0);
static TURN: Mutex<()> = Mutex::new(());

fn turn() -> MutexGuard<'static, ()> {
    let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    INODE.store(0, Ordering::SeqCst);
    turn
}

/// The block that holds `offset` of the file at `path` cannot be read any more.
fn make_unreadable(path: &Path, offset: u64) {
    UNREADABLE.store(offset - offset % BLOCK, Ordering::SeqCst);
    INODE.store(fs::metadata(path).unwrap().ino(), Ordering::SeqCst);
}

fn inode(descriptor: RawFd) -> u64 {
    // SAFETY: the structure is plain numbers.
    let mut facts: libc::stat64 = unsafe { std::mem::zeroed() };
    // SAFETY: it outlives the call.
    unsafe { libc::fstat64(descriptor, &raw mut facts) };
    facts.st_ino
}

/// # Safety
/// As for the system's function: `length` bytes can be written at `bytes`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pread64(
    descriptor: RawFd,
    bytes: *mut libc::c_void,
    mut length: usize,
    offset: libc::off64_t,
) -> isize {
    let wanted = INODE.load(Ordering::SeqCst);
    if wanted != 0 && inode(descriptor) == wanted {
        let begin = UNREADABLE.load(Ordering::SeqCst);
        let at = u64::try_from(offset).unwrap_or(0);
        if (begin..begin + BLOCK).contains(&at) {
            // SAFETY: errno of this thread is always there.
            unsafe { *libc::__errno_location() = libc::EIO };
            return -1;
        }
        if at < begin {
            length = length.min(usize::try_from(begin - at).unwrap_or(usize::MAX));
        }
    }
    // SAFETY: what the caller has promised.
    let read = unsafe { libc::syscall(libc::SYS_pread64, descriptor, bytes, length, offset) };
    read.try_into().unwrap_or(-1)
}

/// A closed journal of one segment, with where each of its batches ends.
fn write(directory: &Directory) -> (PathBuf, Vec<u64>) {
    let (mut journal, _, watch) = open(&options(directory.path()));
    let mut ends = Vec::new();
    for _ in 0..BATCHES {
        append_batch(&mut journal, &watch, 0, EVENTS.try_into().unwrap());
        ends.push(fs::metadata(&directory.segments()[0]).unwrap().len());
    }
    close(journal);
    assert!(ends[0] > 2 * BLOCK);
    (directory.segments().remove(0), ends)
}

#[test]
fn an_unreadable_block_is_damage_and_what_is_behind_it_is_found_and_kept() {
    let _turn = turn();
    let directory = Directory::new();
    let (path, ends) = write(&directory);
    unseal(directory.path());
    make_unreadable(&path, ends[0] + 2 * BLOCK);

    let recovery = recover(directory.path(), None).unwrap();
    assert_eq!((recovery.next_sequence, recovery.cut), (BATCHES * EVENTS, None));
    assert_eq!((recovery.damage[0].offset, recovery.damage[0].bytes), (ends[0], ends[1] - ends[0]));

    let report = verify_directory(directory.path()).unwrap().remove(0);
    assert_eq!((report.batches, report.findings[0].offset), (BATCHES - 1, ends[0]));
    assert_eq!(report.findings[0].kind, FindingKind::Damage);
    assert!(report.findings[0].what.starts_with("the disk cannot read it"));

    let repair = repair_directory(directory.path(), false).unwrap().remove(0);
    assert_eq!((repair.batches, repair.events), (BATCHES - 1, (BATCHES - 1) * EVENTS));
    assert_eq!(repair.missing, [(EVENTS, 2 * EVENTS)]);
}

#[test]
fn an_unreadable_tail_is_not_cut_and_its_numbers_are_not_given_again() {
    let _turn = turn();
    let directory = Directory::new();
    let (path, ends) = write(&directory);
    unseal(directory.path());
    // The block of the second place also holds the end of the batch before.
    for (offset, durable_sequence, intact) in
        [(ends[1] + 2 * BLOCK, None, 2), (ends[1], Some(EVENTS), 1)]
    {
        make_unreadable(&path, offset);
        let recovery = recover(directory.path(), durable_sequence).unwrap();
        assert_eq!(recovery.cut, None);
        assert_eq!(fs::metadata(&path).unwrap().len(), ends[2]);
        assert_eq!(recovery.damage.len(), 1);
        assert!(recovery.next_sequence >= BATCHES * EVENTS);
        let report = verify_directory(directory.path()).unwrap().remove(0);
        assert_eq!(report.findings[0].kind, FindingKind::Damage);
        assert_eq!(report.batches, intact);
    }
}

#[test]
fn behind_a_segment_of_which_nothing_can_be_read_the_journal_goes_on() {
    let _turn = turn();
    let directory = Directory::new();
    let (path, _) = write(&directory);
    unseal(directory.path());
    truncate(&path, BLOCK);
    make_unreadable(&path, 0);
    let (journal, recovery, watch) = open(&options(directory.path()));
    assert_eq!((recovery.next_sequence, recovery.cut), (BLOCK, None));
    watch.wait("the seal", |seen| seen.seals == 1);
    close(journal);
    let (mut journal, recovery, watch) = open(&options(directory.path()));
    assert_eq!(recovery.next_sequence, BLOCK);
    append_batch(&mut journal, &watch, 0, 5);
    close(journal);
}

#[test]
fn a_segment_with_an_unreadable_block_is_sealed_once_and_fits_its_seal() {
    let _turn = turn();
    let directory = Directory::new();
    let (path, ends) = write(&directory);
    unseal(directory.path());
    make_unreadable(&path, ends[0] + 2 * BLOCK);
    let (journal, _, watch) = open(&options(directory.path()));
    let seen = watch.wait("the seal", |seen| seen.seals == 1);
    assert_eq!(seen.upkeep_errors, [] as [String; 0]);
    close(journal);
    let audit = audit_directory(directory.path(), &[]).unwrap();
    assert_eq!((audit.good, audit.findings), (1, vec![]));
    // Changed after it was sealed, even if only because it can be read again.
    INODE.store(0, Ordering::SeqCst);
    let audit = audit_directory(directory.path(), &[]).unwrap();
    assert_eq!((audit.good, audit.findings.len()), (0, 1));
}
