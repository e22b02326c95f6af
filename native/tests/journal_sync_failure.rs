//! A failed `fdatasync` is never trusted a second time: what it may have lost is written anew.
//!
//! This binary defines `fdatasync` itself, so that the kernel's answer can be chosen. The tests
//! share that switch and so take turns.
#![allow(missing_docs, clippy::unwrap_used, clippy::panic)]

#[path = "journal/support.rs"]
mod support;

use std::fs;
use std::os::fd::RawFd;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use _native::journal::{Stall, Start, events_since, recover, verify_directory};

use support::{
    Directory, append, append_batch, await_true, close, expected_lines, open, options, read_lines,
};

/// How many of the next calls fail.
static FAILURES: AtomicU32 = AtomicU32::new(0);
/// Whether no file can be cut.
static UNCUTTABLE: AtomicBool = AtomicBool::new(false);
/// Bytes that were written where a file had some already.
static WRITTEN_AGAIN: AtomicU64 = AtomicU64::new(0);
/// Whether calls have to wait.
static HELD: (Mutex<bool>, Condvar) = (Mutex::new(false), Condvar::new());
static TURN: Mutex<()> = Mutex::new(());

fn turn() -> MutexGuard<'static, ()> {
    let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    FAILURES.store(0, Ordering::SeqCst);
    UNCUTTABLE.store(false, Ordering::SeqCst);
    hold(false);
    turn
}

fn hold(held: bool) {
    *HELD.0.lock().unwrap() = held;
    HELD.1.notify_all();
}

/// # Safety
/// None needed: like the system's function it only takes a number.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn fdatasync(descriptor: RawFd) -> libc::c_int {
    let held = HELD.0.lock().unwrap_or_else(PoisonError::into_inner);
    drop(HELD.1.wait_while(held, |held| *held));
    let fail = |left: u32| left.checked_sub(1);
    if FAILURES.fetch_update(Ordering::SeqCst, Ordering::SeqCst, fail).is_ok() {
        // SAFETY: errno of this thread is always there.
        unsafe { *libc::__errno_location() = libc::EIO };
        return -1;
    }
    // SAFETY: the call takes no pointers.
    unsafe { libc::syscall(libc::SYS_fdatasync, descriptor) }.try_into().unwrap_or(-1)
}

/// # Safety
/// None needed: like the system's function it only takes numbers.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ftruncate64(descriptor: RawFd, length: libc::off64_t) -> libc::c_int {
    if UNCUTTABLE.load(Ordering::SeqCst) {
        // SAFETY: errno of this thread is always there.
        unsafe { *libc::__errno_location() = libc::EIO };
        return -1;
    }
    // SAFETY: the call takes no pointers.
    unsafe { libc::syscall(libc::SYS_ftruncate, descriptor, length) }.try_into().unwrap_or(-1)
}

/// # Safety
/// As for the system's function: `length` bytes can be read at `bytes`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pwrite64(
    descriptor: RawFd,
    bytes: *const libc::c_void,
    length: usize,
    offset: libc::off64_t,
) -> isize {
    WRITTEN_AGAIN.fetch_add(length as u64, Ordering::SeqCst);
    // SAFETY: what the caller has promised.
    let written = unsafe { libc::syscall(libc::SYS_pwrite64, descriptor, bytes, length, offset) };
    written.try_into().unwrap_or(-1)
}

#[test]
fn batches_of_a_failed_sync_are_written_again_to_another_segment() {
    let _turn = turn();
    let directory = Directory::new();
    let mut options = options(directory.path());
    options.batch_bytes = 500;
    let (mut journal, _, watch) = open(&options);
    append_batch(&mut journal, &watch, 0, 5);
    let synced = fs::metadata(&directory.segments()[0]).unwrap().len();

    FAILURES.store(1, Ordering::SeqCst);
    for _ in 0..10 {
        append(&mut journal, 1, 10);
        journal.publish();
    }
    let seen = watch.wait("the retry", |seen| seen.next_sequence == 105 && seen.stalls.len() == 2);
    assert_eq!(seen.stalls, [Some(Stall::DiskError), None]);
    assert_eq!(seen.by_source, [5, 100]);
    close(journal);

    let segments = directory.segments();
    assert_eq!(fs::metadata(&segments[0]).unwrap().len(), synced);
    assert!(segments[1].ends_with("00000000000000000005.ndjson.zst"));
    for report in verify_directory(directory.path()).unwrap() {
        assert_eq!(report.findings, []);
    }
    assert_eq!(read_lines(directory.path(), Start::Oldest), expected_lines(0..105));
}

#[test]
fn a_first_sync_that_keeps_failing_loses_nothing() {
    let _turn = turn();
    let directory = Directory::new();
    let (mut journal, _, watch) = open(&options(directory.path()));
    FAILURES.store(3, Ordering::SeqCst);
    append_batch(&mut journal, &watch, 0, 5);
    watch.wait("the end of the stall", |seen| seen.stalls.last() == Some(&None));
    assert_eq!(FAILURES.load(Ordering::SeqCst), 0);
    close(journal);
    assert_eq!(directory.segments().len(), 1);
    assert_eq!(read_lines(directory.path(), Start::Oldest), expected_lines(0..5));
}

#[test]
fn closing_while_syncs_fail_reports_the_lost_and_cuts_them_out() {
    let _turn = turn();
    let directory = Directory::new();
    let (mut journal, _, watch) = open(&options(directory.path()));
    append_batch(&mut journal, &watch, 0, 5);
    FAILURES.store(u32::MAX, Ordering::SeqCst);
    append(&mut journal, 0, 2);
    append(&mut journal, 1, 3);
    let closed = journal.close(Instant::now() + Duration::from_millis(10));
    assert_eq!((closed.lost, closed.durable_sequence, closed.cut), (vec![2, 3], 5, true));
    assert_eq!(read_lines(directory.path(), Start::Oldest), expected_lines(0..5));
    assert_eq!(watch.seen().by_source, [5, 0]);
    // Whoever has read the lost events will not see their numbers on others.
    FAILURES.store(0, Ordering::SeqCst);
    assert_eq!(open(&options(directory.path())).0.next_sequence(), 10);
}

#[test]
fn closing_says_when_the_lost_may_be_found_in_the_files() {
    let _turn = turn();
    let directory = Directory::new();
    let (mut journal, _, watch) = open(&options(directory.path()));
    append_batch(&mut journal, &watch, 0, 5);
    FAILURES.store(u32::MAX, Ordering::SeqCst);
    UNCUTTABLE.store(true, Ordering::SeqCst);
    append(&mut journal, 1, 3);
    journal.publish();
    watch.wait("a failed sync", |seen| !seen.stalls.is_empty());
    let closed = journal.close(Instant::now());
    assert_eq!((closed.lost, closed.durable_sequence, closed.cut), (vec![0, 3], 5, false));
    assert_eq!(recover(directory.path(), Some(5)).unwrap().next_sequence, 8);
    let found = events_since(directory.path(), 5).unwrap();
    assert_eq!(found, (8, vec![("udp-5140".to_owned(), 3)]));
}

#[test]
fn recovery_writes_again_what_a_failed_sync_was_for() {
    let _turn = turn();
    let directory = Directory::new();
    let (mut journal, _, watch) = open(&options(directory.path()));
    append_batch(&mut journal, &watch, 0, 5);
    let path = directory.segments().remove(0);
    let synced = fs::metadata(&path).unwrap().len();
    FAILURES.store(u32::MAX, Ordering::SeqCst);
    UNCUTTABLE.store(true, Ordering::SeqCst);
    append(&mut journal, 1, 3);
    journal.publish();
    watch.wait("a failed sync", |seen| !seen.stalls.is_empty());
    journal.close(Instant::now());
    let before = fs::read(&path).unwrap();

    // Only then does the kernel take it for something that is not on the disk.
    WRITTEN_AGAIN.store(0, Ordering::SeqCst);
    assert_eq!(recover(directory.path(), Some(5)).unwrap().next_sequence, 8);
    let tail = before.len() as u64 - synced;
    assert!(tail > 0);
    assert_eq!(WRITTEN_AGAIN.load(Ordering::SeqCst), tail);
    assert_eq!(fs::read(&path).unwrap(), before);
}

#[test]
fn two_journals_close_under_one_deadline() {
    let _turn = turn();
    let directories = [Directory::new(), Directory::new()];
    let mut journals = directories.each_ref().map(|directory| open(&options(directory.path())).0);
    for journal in &mut journals {
        append(journal, 0, 5);
    }
    let deadline = Instant::now() + Duration::from_secs(3600);
    for journal in &mut journals {
        journal.begin_close(deadline);
    }
    // Neither is waited for, and both make everything durable.
    await_true(|| journals.iter().all(|journal| journal.durable_sequence() == 5));
    await_true(|| journals.iter().all(|journal| !journal.is_alive()));
    for journal in journals {
        assert_eq!(journal.close(deadline).lost, [0, 0]);
    }
}

#[test]
fn closing_does_not_wait_for_a_disk_that_does_not_answer() {
    let _turn = turn();
    let directory = Directory::new();
    let (mut journal, _, watch) = open(&options(directory.path()));
    append_batch(&mut journal, &watch, 0, 5);
    hold(true);
    append(&mut journal, 1, 3);
    journal.publish();
    // A reader may be ahead of the disk.
    await_true(|| read_lines(directory.path(), Start::Oldest) == expected_lines(0..8));
    let closed = journal.close(Instant::now() + Duration::from_millis(10));
    assert_eq!((closed.lost, closed.durable_sequence, closed.cut), (vec![0, 3], 5, false));
    hold(false);
    // The thread that was left behind takes back what was counted as lost, but not its numbers.
    await_true(|| recover(directory.path(), None).is_ok());
    assert_eq!(read_lines(directory.path(), Start::Oldest), expected_lines(0..5));
    assert_eq!(open(&options(directory.path())).0.next_sequence(), 8);
    assert_eq!(watch.seen().by_source, [5, 0]);
}
