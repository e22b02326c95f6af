//! File descriptors: connections must not take those that the journals need.

use std::fs;

/// Left for segments of the journals, and whatever else the process opens while it runs.
const RESERVED: usize = 64;

/// How many more connections there may be than are open now: what the system permits this process,
/// without those in use and a reserve. At least one.
pub fn spare() -> usize {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: `limit` is a valid place for the kernel to write to.
    unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) };
    let permitted = usize::try_from(limit.rlim_cur).unwrap_or(usize::MAX);
    // Where /proc is missing, the reserve has to do.
    let used = fs::read_dir("/proc/self/fd").map_or(0, Iterator::count);
    permitted.saturating_sub(used + RESERVED).max(1)
}
