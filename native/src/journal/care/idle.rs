//! How to work so that nobody notices: last in every queue, and only while there is time.

use std::ffi::CString;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// `IOPRIO_WHO_PROCESS` and the class "idle" of `ioprio_set(2)`, which libc does not name.
const IO_WHO_PROCESS: libc::c_long = 1;
const IO_CLASS_IDLE: libc::c_long = 3 << 13;

/// Of a thread whose work has to be done some time: about a tenth of what others get.
const LATER: libc::c_int = 10;
/// The last of all.
const LAST: libc::c_int = 19;

/// Let this thread have less of the processors than others who want them.
pub(super) fn work_later() {
    // SAFETY: the call takes no pointers; 0 is the calling thread.
    unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, LATER) };
}

/// Give this thread only what processors and disks have left over. Where the kernel does not
/// allow it the thread works as any other, which is what it says here and not an error.
pub(super) fn work_last() {
    // SAFETY: the structure is plain numbers, of which zero is the right one for this class.
    let parameter: libc::sched_param = unsafe { std::mem::zeroed() };
    // SAFETY: `parameter` outlives both calls; 0 is the calling thread in all of them.
    unsafe {
        libc::setpriority(libc::PRIO_PROCESS, 0, LAST);
        libc::sched_setscheduler(0, libc::SCHED_IDLE, &raw const parameter);
        libc::syscall(libc::SYS_ioprio_set, IO_WHO_PROCESS, 0, IO_CLASS_IDLE);
    }
}

/// Whether processes of this machine had to wait for a processor or a disk for less than so many
/// percent of the last ten seconds, as far as the kernel says so (`/proc/pressure`, since Linux
/// 4.20). One that does not is taken for idle: there the priority has to do.
pub(super) fn is_machine_idle(maximum_percent: f32) -> bool {
    ["/proc/pressure/cpu", "/proc/pressure/io"].iter().all(|path| {
        let text = fs::read_to_string(path).unwrap_or_default();
        pressure(&text).is_none_or(|percent| percent < maximum_percent)
    })
}

/// `some avg10=1.23 avg60=…` at the beginning of a file of `/proc/pressure`.
fn pressure(text: &str) -> Option<f32> {
    let average = text.strip_prefix("some avg10=")?;
    average.split_whitespace().next()?.parse().ok()
}

/// Bytes that may still be written to the file system of `path`; 0 where that is not known.
pub(super) fn free_bytes(path: &Path) -> u64 {
    let Ok(path) = CString::new(path.as_os_str().as_bytes()) else { return 0 };
    // SAFETY: the structure is plain numbers.
    let mut facts: libc::statvfs = unsafe { std::mem::zeroed() };
    // SAFETY: the path ends with a zero byte, and both outlive the call.
    if unsafe { libc::statvfs(path.as_ptr(), &raw mut facts) } != 0 {
        return 0;
    }
    facts.f_bavail.saturating_mul(facts.f_frsize)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pressure_of_the_last_ten_seconds_is_read() {
        let text = "some avg10=12.50 avg60=0.00 avg300=0.00 total=1\nfull avg10=0.00\n";
        assert_eq!(pressure(text), Some(12.5));
        assert_eq!(pressure(""), None);
    }
}
