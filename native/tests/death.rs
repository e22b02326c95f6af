//! Workers that are killed at any instant, each followed by another on the same memory: whatever was
//! taken from the kernel is stored once, in its order.

#![allow(clippy::unwrap_used, clippy::panic)] // in a test they are how it fails

mod bench;

use std::collections::HashMap;
use std::io::{Read, Write};
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use _native::counters::{Ledger, Region, Sources};
use _native::pipeline::config::Segment;
use _native::receive::{Arena, Sockets};
use _native::shard::{Pipeline, Returned, Shard, SharedMemory};
use bench::{BOUNDS, Inbox, PATIENCE, listener_of, read};
use serde_json::{Value, json};

/// So much of a frame is kept; some are longer, some need several reads.
const LINE_BYTES: usize = 400_000;

/// What decides about the instant of a death: a different one in every run of the test.
struct Chance(u64);

impl Chance {
    fn new() -> Self {
        let now = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap();
        Self(u64::try_from(now.as_nanos()).unwrap() | 1)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }
}

/// When a worker dies.
#[derive(Debug, Clone, Copy)]
enum Death {
    /// After so long.
    After(Duration),
    /// When so many reads have come to something, before it can know what.
    AtReceipt(u64),
}

/// One slot: what the supervisor would keep while its workers come and go.
struct Slot {
    directory: PathBuf,
    memory: SharedMemory,
    arena: Arc<Arena>,
    inboxes: Vec<Inbox>,
    /// Of listener 1; listener 0 only gets connections by its inbox.
    datagrams: OwnedFd,
    way: Way,
}

/// What happens to events on their way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    Plain,
    /// A segment in Python, whose process dies of some.
    Python,
    /// A filter that decides by chance.
    Sampling,
}

impl Slot {
    fn new(name: &str, datagrams: OwnedFd, way: Way) -> Self {
        let names = ["unix_stream".to_owned(), "unix_datagram".to_owned()];
        let stages = ["first".to_owned(), "second".to_owned()];
        let memory = SharedMemory {
            region: Arc::new(Region::create(1, &names, &stages, b"").unwrap()),
            sources: Arc::new(Sources::create(1).unwrap()),
        };
        Self {
            directory: bench::directory(&format!("death-{name}")),
            memory,
            arena: bench::arena(),
            inboxes: bench::inboxes(1),
            datagrams,
            way,
        }
    }

    fn open(&self) -> Shard {
        let limits = json!({"limits": {"line_bytes": LINE_BYTES}});
        let socket = self.datagrams.try_clone().unwrap();
        let mut streams = listener_of(0, "unix_stream", &limits, socket);
        streams.socket = None;
        let datagrams =
            listener_of(1, "unix_datagram", &limits, self.datagrams.try_clone().unwrap());
        let sampling = json!({"index": 0, "kernel": "sampling", "config": {"sample_rate": 0.5}});
        let segments = match self.way {
            Way::Plain => Vec::new(),
            Way::Python => {
                vec![Segment::default(), Segment { is_later: true, ..Segment::default() }]
            }
            Way::Sampling => vec![serde_json::from_value(json!({"stages": [sampling]})).unwrap()],
        };
        let sockets = Sockets {
            listeners: vec![streams, datagrams],
            inboxes: bench::inherited(&self.inboxes, 0),
            arena: Arc::clone(&self.arena),
        };
        let pipeline = Pipeline { segments, ..Pipeline::default() };
        let limits = bench::limits(BOUNDS);
        let keeping = bench::keeping();
        let opened =
            Shard::open(&self.memory, 0, &self.directory, sockets, &keeping, limits, &pipeline);
        let (mut shard, found) = opened.unwrap();
        assert_eq!(found.lost, 0);
        shard.listen().unwrap();
        shard
    }

    /// A process that works until it is killed.
    fn fork(&self, death: Death) -> libc::pid_t {
        // SAFETY: the child uses nothing that another thread of this process may hold.
        let pid = unsafe { libc::fork() };
        assert!(pid >= 0);
        if pid > 0 {
            return pid;
        }
        let _ = std::panic::catch_unwind(|| {
            let mut shard = self.open();
            if matches!(death, Death::AtReceipt(_)) {
                // SAFETY: plain system calls; the parent traces this thread from here on.
                unsafe {
                    libc::ptrace(libc::PTRACE_TRACEME, 0, 0, 0);
                    libc::raise(libc::SIGSTOP);
                }
            }
            loop {
                run_once(&mut shard);
            }
        });
        // SAFETY: ends the process without anything of the test in it.
        unsafe { libc::_exit(1) }
    }

    /// Lets a worker work and kills it.
    fn live_and_die(&self, death: Death) {
        let pid = self.fork(death);
        match death {
            Death::After(time) => {
                std::thread::sleep(time);
                // SAFETY: a child that was not waited for.
                unsafe { libc::kill(pid, libc::SIGKILL) };
            }
            Death::AtReceipt(reads) => kill_at_receipt(pid, reads),
        }
        let status = wait(pid);
        assert!(libc::WIFSIGNALED(status), "the worker failed: {status:x}");
        assert_eq!(libc::WTERMSIG(status), libc::SIGKILL);
    }

    fn ledger(&self, listener: usize) -> Ledger {
        Ledger::read(&self.memory.region, 0, listener)
    }

    /// Passes a connection to the slot like another worker, open and untouched.
    fn pass(&self, connection: &OwnedFd) {
        let mut body = Vec::new();
        for number in [0_u64, 0, 1] {
            body.extend(number.to_le_bytes()); // listener, length of the peer, state
        }
        let mut message = vec![1, 0, 0, 0, 1, 0, 0, 0];
        message.extend((body.len() as u64).to_le_bytes());
        message.extend(body);
        send_with(self.inboxes[0].writer.as_raw_fd(), &message, connection.as_raw_fd());
    }

    /// Works until everything that was received is stored, ends in order, and gives what is stored.
    fn stored(self) -> (Vec<String>, Vec<String>) {
        let mut shard = self.open();
        let deadline = Instant::now() + PATIENCE;
        let mut rest = 3; // with nothing more to read, nothing comes any more
        while rest > 0 || (0..2).any(|listener| self.ledger(listener).in_flight > 0) {
            assert!(Instant::now() < deadline, "{:?} {:?}", self.ledger(0), self.ledger(1));
            rest -= u32::from(rest > 0 && !run_once(&mut shard));
        }
        assert_eq!(shard.finish(PATIENCE, |_, _| false), 0);
        for listener in 0..2 {
            let ledger = self.ledger(listener);
            assert!(ledger.closed, "{ledger:?}");
            assert_eq!((ledger.in_flight, ledger.lost), (0, [0, 0]), "{ledger:?}");
            assert_eq!(ledger.filtered > 0, self.way == Way::Sampling && ledger.received > 0);
            let kept = ledger.journaled + ledger.dead_lettered;
            assert_eq!(ledger.received, kept + ledger.filtered, "{ledger:?}");
        }
        let stored =
            ["journal", "dead"].map(|kind| read(&self.directory.join(kind).join("shard-0000")));
        let [events, dead] = stored;
        let of_all =
            |count: fn(Ledger) -> u64| (0..2).map(|of| count(self.ledger(of))).sum::<u64>();
        assert_eq!(events.len() as u64, of_all(|ledger| ledger.journaled));
        assert_eq!(dead.len() as u64, of_all(|ledger| ledger.dead_lettered));
        std::fs::remove_dir_all(&self.directory).unwrap();
        (events, dead)
    }
}

/// Does once what the loop of a worker does; whether there was anything to read.
fn run_once(shard: &mut Shard) -> bool {
    let [events, dead] = shard.progress_filenos();
    let mut polled = [shard.fileno(), events, dead].map(|fd| libc::pollfd {
        fd,
        events: libc::POLLIN,
        revents: 0,
    });
    // SAFETY: the array holds three entries.
    unsafe { libc::poll(polled.as_mut_ptr(), 3, 20) };
    if !shard.drain() {
        shard.resume();
    }
    while let Some(handoff) = shard.take_handoff() {
        let lines = handoff.lines.clone();
        if memchr::memmem::find(&lines, b"deadly").is_some() {
            std::process::abort();
        }
        let count = lines.split_inclusive(|byte| *byte == b'\n').count();
        let (verdicts, stages) = (vec![0; count], vec![1; count]);
        let returned = Returned { lines: &lines, verdicts: &verdicts, stages: &stages };
        shard.accept(handoff, &returned).unwrap();
    }
    shard.tick().unwrap();
    polled[0].revents != 0
}

fn wait(pid: libc::pid_t) -> i32 {
    let mut status = 0;
    // SAFETY: `status` is a valid place for the kernel to write to.
    assert_eq!(unsafe { libc::waitpid(pid, &raw mut status, libc::__WALL) }, pid);
    status
}

/// Follows a worker from system call to system call, and kills it where `recvmmsg` has returned and
/// the worker has not seen that yet.
fn kill_at_receipt(pid: libc::pid_t, mut reads: u64) {
    let deadline = Instant::now() + PATIENCE;
    assert!(libc::WIFSTOPPED(wait(pid)));
    let mut number = 0;
    // SAFETY: the child is traced by this thread and stopped whenever it is asked something; the
    // structure is as long as it is said to be.
    unsafe {
        libc::ptrace(libc::PTRACE_SETOPTIONS, pid, 0, libc::PTRACE_O_TRACESYSGOOD);
        while Instant::now() < deadline {
            libc::ptrace(libc::PTRACE_SYSCALL, pid, 0, 0);
            let status = wait(pid);
            assert!(libc::WIFSTOPPED(status), "the worker failed: {status:x}");
            if libc::WSTOPSIG(status) != libc::SIGTRAP | 0x80 {
                continue;
            }
            let mut info: libc::ptrace_syscall_info = std::mem::zeroed();
            let size = size_of_val(&info);
            libc::ptrace(libc::PTRACE_GET_SYSCALL_INFO, pid, size, &raw mut info);
            if info.op == libc::PTRACE_SYSCALL_INFO_ENTRY {
                number = info.u.entry.nr;
            } else if number == libc::SYS_recvmmsg as u64 && info.u.exit.sval > 0 {
                reads -= 1;
                if reads == 0 {
                    break;
                }
            }
        }
        libc::kill(pid, libc::SIGKILL);
    }
}

fn send_with(socket: RawFd, message: &[u8], descriptor: RawFd) {
    let mut control = [0_u64; 4];
    // SAFETY: the message has one part and a control buffer with room for one descriptor.
    unsafe {
        let mut part =
            libc::iovec { iov_base: message.as_ptr().cast_mut().cast(), iov_len: message.len() };
        let mut header: libc::msghdr = std::mem::zeroed();
        (header.msg_iov, header.msg_iovlen) = (&raw mut part, 1);
        header.msg_control = control.as_mut_ptr().cast();
        header.msg_controllen = libc::CMSG_SPACE(4) as usize;
        let rights = libc::CMSG_FIRSTHDR(&raw const header);
        (*rights).cmsg_level = libc::SOL_SOCKET;
        (*rights).cmsg_type = libc::SCM_RIGHTS;
        (*rights).cmsg_len = libc::CMSG_LEN(4) as usize;
        libc::CMSG_DATA(rights).cast::<RawFd>().write_unaligned(descriptor);
        assert!(libc::sendmsg(socket, &raw const header, 0) > 0);
    }
}

fn numbers(lines: &[String], key: &str) -> Vec<u64> {
    let number = |line: &String| {
        let event: Value = serde_json::from_str(line).unwrap();
        event[key].as_u64().unwrap()
    };
    lines.iter().map(number).collect()
}

/// Datagrams wait in the kernel between two workers, so all of them must be there in the end: what
/// a dead worker had taken, and what it had not. Some hold two lines, some are no events.
fn datagrams_survive(name: &str, way: Way) {
    let path = std::env::temp_dir().join(format!("ingest-{name}-{}.socket", std::process::id()));
    std::fs::remove_file(&path).ok();
    let receiver = UnixDatagram::bind(&path).unwrap();
    let slot = Slot::new(name, receiver.into(), way);
    let is_over = Arc::new(AtomicBool::new(false));
    let sender = UnixDatagram::unbound().unwrap();
    sender.connect(&path).unwrap();
    sender.set_nonblocking(true).unwrap();
    let flag = Arc::clone(&is_over);
    let writer = std::thread::spawn(move || {
        let mut number = 0_u64;
        while !flag.load(Ordering::Relaxed) {
            let datagram = match number % 7 {
                3 => format!("no event {number}"),
                5 => format!("{{\"number\":{number}}}\n{{\"number\":{}}}", number + 1),
                _ => format!("{{\"number\":{number}}}"),
            };
            if sender.send(datagram.as_bytes()).is_ok() {
                number += if number % 7 == 5 { 2 } else { 1 };
            } else {
                std::thread::yield_now();
            }
        }
        number
    });
    let mut chance = Chance::new();
    for _ in 0..12 {
        slot.live_and_die(Death::After(Duration::from_micros(chance.below(50_000))));
        slot.live_and_die(Death::AtReceipt(1 + chance.below(30)));
    }
    is_over.store(true, Ordering::Relaxed);
    let sent = writer.join().unwrap();
    let (events, dead) = slot.stored();
    std::fs::remove_file(&path).unwrap();
    let is_bad = |number: &u64| number % 7 == 3;
    let (found, good) = (numbers(&events, "number"), (0..sent).filter(|number| !is_bad(number)));
    if way == Way::Sampling {
        assert!(found.is_sorted_by(|one, next| one < next), "{found:?}");
    } else {
        assert!(good.eq(found.iter().copied()), "{} of {sent}", found.len());
    }
    let raw = |letter: &String| {
        let letter: Value = serde_json::from_str(letter).unwrap();
        letter["raw"].as_str().unwrap().to_owned()
    };
    let expected: Vec<String> =
        (0..sent).filter(is_bad).map(|number| format!("no event {number}")).collect();
    assert!(dead.iter().map(raw).eq(expected.iter().cloned()), "{} dead", dead.len());
}

/// Every datagram is stored once and in order, wherever its worker was killed.
#[test]
fn datagrams_survive_the_death_of_workers() {
    datagrams_survive("datagrams", Way::Plain);
}

/// The same where events go through Python in between.
#[test]
fn datagrams_survive_the_death_of_workers_with_python() {
    datagrams_survive("python-datagrams", Way::Python);
}

/// Where a filter decides anew about what is handed on once more, the sum is closed all the same.
#[test]
fn the_ledger_is_closed_although_a_filter_decides_twice() {
    datagrams_survive("sampled-datagrams", Way::Sampling);
}

/// An event of which its worker dies, and each successor with it, becomes a dead letter in the end;
/// what was read together with it is stored.
#[test]
fn an_event_of_which_workers_die_is_set_aside() {
    let (sender, receiver) = UnixDatagram::pair().unwrap();
    let slot = Slot::new("deadly", receiver.into(), Way::Python);
    let deadly = "{\"number\":5,\"deadly\":true}";
    for number in 0..10 {
        let datagram = if number == 5 { deadly.into() } else { format!("{{\"number\":{number}}}") };
        sender.send(datagram.as_bytes()).unwrap();
    }
    let is_done = || slot.ledger(1).dead_lettered > 0 && slot.ledger(1).in_flight == 0;
    let deadline = Instant::now() + PATIENCE;
    let mut deaths = 0;
    while !is_done() {
        let pid = slot.fork(Death::After(PATIENCE));
        // SAFETY: `status` may be null.
        while !is_done() && unsafe { libc::waitpid(pid, std::ptr::null_mut(), libc::WNOHANG) } == 0
        {
            assert!(Instant::now() < deadline, "{:?}", slot.ledger(1));
            std::thread::yield_now();
        }
        deaths += 1;
        if is_done() {
            // SAFETY: a child that was not waited for.
            unsafe { libc::kill(pid, libc::SIGKILL) };
            wait(pid);
        }
    }
    assert!((5..20).contains(&deaths), "{deaths}");
    let (events, dead) = slot.stored();
    let letters: Vec<Value> = dead.iter().map(|one| serde_json::from_str(one).unwrap()).collect();
    let set_aside: Vec<&Value> = letters.iter().map(|letter| &letter["reason"]).collect();
    assert!(set_aside.iter().all(|reason| **reason == "worker_died"), "{set_aside:?}");
    assert!(letters.iter().any(|letter| letter["raw"] == deadly));
    assert_eq!(events.len() + dead.len(), 10);
}

/// A frame of a connection, as it is sent and as it is stored.
struct Sent {
    bytes: Vec<u8>,
    /// How many of them it is whole with.
    whole: usize,
    /// Of an event its text, of a dead letter its beginning.
    text: String,
    is_event: bool,
}

fn frame(connection: usize, number: u64) -> Sent {
    let event = format!("{{\"connection\":{connection},\"number\":{number}}}");
    let padded = |length: usize| {
        let padding = "x".repeat(length);
        format!("{{\"connection\":{connection},\"number\":{number},\"padding\":\"{padding}\"}}")
    };
    let (bytes, text, is_event) = match number % 11 {
        2 => (format!("{} {event}", event.len()), event, true),
        4 => (
            format!("no event {connection} {number}\n"),
            format!("no event {connection} {number}"),
            false,
        ),
        5 if number.is_multiple_of(3) => (format!("{}\n", padded(300_000)), padded(300_000), true),
        6 if number.is_multiple_of(4) => {
            (format!("{}\n", padded(500_000)), padded(0)[..30].to_owned(), false)
        }
        7 => (format!("{event}\n\n \r\n"), event, true),
        8 => (format!("{event}{}\n", " ".repeat(3000)), event.clone() + &" ".repeat(3000), true),
        _ => (format!("{event}\n"), event, true),
    };
    let whole = bytes.find('\n').map_or(bytes.len(), |end| end + 1);
    Sent { bytes: bytes.into_bytes(), whole, text, is_event }
}

/// Of a connection that breaks with its worker, everything that was taken from the kernel is stored
/// once and in order, and the rest is still in the kernel: together they are what was sent.
#[test]
fn streams_survive_the_death_of_workers() {
    let (_unused, receiver) = UnixDatagram::pair().unwrap();
    let slot = Slot::new("streams", receiver.into(), Way::Plain);
    let mut chance = Chance::new();
    let mut connections = Vec::new();
    for round in 0..16 {
        let is_over = Arc::new(AtomicBool::new(false));
        let mut writers = Vec::new();
        for connection in 4 * round..4 * round + 4 {
            let (mut near, far) = UnixStream::pair().unwrap();
            let far = OwnedFd::from(far);
            slot.pass(&far);
            near.set_nonblocking(true).unwrap();
            let flag = Arc::clone(&is_over);
            writers.push(std::thread::spawn(move || {
                let (mut sent, mut number, mut at) = (0, 0, 0);
                while !flag.load(Ordering::Relaxed) {
                    let next = frame(connection, number).bytes;
                    match near.write(&next[at..]) {
                        Ok(count) => (sent, at) = (sent + count, at + count),
                        Err(_) => std::thread::yield_now(),
                    }
                    if at == next.len() {
                        (number, at) = (number + 1, 0);
                    }
                }
                (near, sent)
            }));
            connections.push((connection, far, None));
        }
        let death = match round % 2 {
            0 => Death::After(Duration::from_micros(chance.below(40_000))),
            _ => Death::AtReceipt(1 + chance.below(60)),
        };
        slot.live_and_die(death);
        is_over.store(true, Ordering::Relaxed);
        for (writer, (.., sent)) in writers.into_iter().zip(&mut connections[4 * round..]) {
            *sent = Some(writer.join().unwrap());
        }
    }
    let (events, dead) = slot.stored();
    let mut stored: HashMap<usize, Vec<&String>> = HashMap::new();
    for line in &events {
        let event: Value = serde_json::from_str(line).unwrap();
        let connection = usize::try_from(event["connection"].as_u64().unwrap()).unwrap();
        stored.entry(connection).or_default().push(line);
    }
    let (mut incomplete, mut refused) = (0, 0);
    for (connection, far, sent) in connections {
        let (near, sent) = sent.unwrap();
        drop(near);
        let mut unread = Vec::new();
        UnixStream::from(far).read_to_end(&mut unread).unwrap();
        let taken = sent - unread.len();
        let (mut end, mut number) = (0, 0);
        let mut events = stored.remove(&connection).unwrap_or_default().into_iter();
        loop {
            let Sent { bytes, whole, text, is_event } = frame(connection, number);
            if end + whole > taken {
                incomplete += usize::from(taken > end);
                break;
            }
            (end, number) = (end + bytes.len(), number + 1);
            if is_event {
                let expected: Value = serde_json::from_str(&text).unwrap();
                let found = events.next().map(|line| serde_json::from_str::<Value>(line).unwrap());
                assert!(found == Some(expected), "event {number} of connection {connection}");
            } else {
                let start = serde_json::to_string(&text).unwrap();
                let start = &start[..start.len() - 1];
                let found = dead.iter().filter(|letter| {
                    letter.split("\"raw\":").nth(1).is_some_and(|raw| raw.starts_with(start))
                });
                refused += usize::from(start.starts_with("\"no event"));
                assert!(found.count() >= 1, "dead letter {number} of connection {connection}");
            }
        }
        assert_eq!(events.next(), None, "more than was sent of connection {connection}");
    }
    let broken = dead.iter().filter(|letter| !letter.contains("\"line_too_long\"")).count();
    assert!(broken - refused <= incomplete, "{broken} {refused} {incomplete}");
}
