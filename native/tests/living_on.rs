//! Two workers with holders, killed at any instant and at the very moment a system call returns: no
//! connection breaks, wherever it was on its way, and every line is stored once.

#![allow(clippy::unwrap_used, clippy::panic)] // in a test they are how it fails

mod bench;

use std::collections::HashSet;
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsRawFd;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use _native::counters::{Cell, Region, Sources, cells};
use _native::receive::holder::{Errand, Holder};
use _native::receive::{Arena, Sockets};
use _native::shard::{Pipeline, Shard, SharedMemory};
use bench::{BOUNDS, Inbox, PATIENCE, listener_of, read};
use serde_json::{Value, json};

const WORKERS: usize = 2;
const SENDERS: u64 = 6;
const LINES: u64 = 5;
const DEATHS: u64 = 40;

/// Behind these, something has changed of which the memory of the process knows nothing yet.
const CALLS: [libc::c_long; 5] = [
    libc::SYS_accept4,
    libc::SYS_sendmmsg,
    libc::SYS_recvmmsg,
    libc::SYS_close,
    libc::SYS_epoll_ctl,
];

/// What the supervisor would keep while its workers come and go. Only the first worker is bound, so
/// that connections move.
struct Server {
    directory: PathBuf,
    memory: SharedMemory,
    arenas: Vec<Arc<Arena>>,
    inboxes: Vec<Inbox>,
    listener: TcpListener,
    lifeline: [libc::c_int; 2],
}

impl Server {
    fn new() -> Self {
        let memory = SharedMemory {
            region: Arc::new(Region::create(WORKERS, &["tcp".to_owned()], &[], b"").unwrap()),
            sources: Arc::new(Sources::create(WORKERS).unwrap()),
        };
        let mut lifeline = [0; 2];
        // SAFETY: the array has room for two descriptors.
        assert_eq!(unsafe { libc::pipe(lifeline.as_mut_ptr()) }, 0);
        Self {
            directory: bench::directory("living-on"),
            memory,
            arenas: (0..WORKERS).map(|_| bench::arena()).collect(),
            inboxes: bench::inboxes(WORKERS),
            listener: TcpListener::bind("127.0.0.1:0").unwrap(),
            lifeline,
        }
    }

    fn open(&self, worker: usize) -> Shard {
        let socket = self.listener.try_clone().unwrap();
        let mut listener = listener_of(0, "tcp", &json!({}), socket.into());
        if worker > 0 {
            listener.socket = None;
        }
        let sockets = Sockets {
            listeners: vec![listener],
            inboxes: bench::inherited(&self.inboxes, worker),
            arena: Arc::clone(&self.arenas[worker]),
        };
        let (keeping, limits) = (bench::keeping(), bench::limits(BOUNDS));
        let pipeline = Pipeline::default();
        let directory = &self.directory;
        let opened =
            Shard::open(&self.memory, worker, directory, sockets, &keeping, limits, &pipeline);
        let (shard, found) = opened.unwrap();
        assert_eq!(found.lost, 0);
        shard
    }

    fn errand(&self, worker: usize) -> Errand {
        Errand {
            lifeline: self.lifeline[0],
            outbox: self.inboxes[worker].writer.as_raw_fd(),
            arena: self.arenas[worker].fileno(),
            listeners: vec![(0, self.listener.as_raw_fd())],
        }
    }

    fn set_state(&self, worker: usize, state: u64) {
        let cell = self.memory.region.worker(worker, cells::STATE, 0);
        cell.store(state, Ordering::SeqCst);
    }

    /// A process that works until it is killed; it stops when it is ready to be followed.
    fn start(&self, worker: usize) -> libc::pid_t {
        fork(|| {
            let holder = Holder::start().unwrap();
            let mut shard = self.open(worker);
            holder.send(&self.errand(worker)).unwrap();
            shard.listen().unwrap();
            self.set_state(worker, cells::STATE_READY);
            // SAFETY: plain system calls; the parent traces this thread from here on.
            unsafe {
                libc::ptrace(libc::PTRACE_TRACEME, 0, 0, 0);
                libc::raise(libc::SIGSTOP);
            }
            loop {
                run_once(&mut shard);
            }
        })
    }

    fn count(&self, cell: Cell) -> u64 {
        let of = |worker| self.memory.region.listener(worker, 0, cell, 0);
        (0..WORKERS).map(|worker| of(worker).load(Ordering::SeqCst)).sum()
    }

    /// Works on what is left, ends in order, and gives what is stored.
    fn stored(&self) -> Vec<String> {
        let mut stored = Vec::new();
        for worker in 0..WORKERS {
            let mut shard = self.open(worker);
            shard.listen().unwrap();
            while run_once(&mut shard) {}
            assert_eq!(shard.finish(PATIENCE, |_, _| false), 0);
            stored.extend(read(&self.directory.join("journal").join(format!("shard-{worker:04}"))));
        }
        std::fs::remove_dir_all(&self.directory).unwrap();
        stored
    }
}

fn fork(child: impl FnOnce()) -> libc::pid_t {
    // SAFETY: the child uses nothing that another thread of this process may hold.
    let pid = unsafe { libc::fork() };
    assert!(pid >= 0);
    if pid == 0 {
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(child));
        // SAFETY: ends the process without anything of the test in it.
        unsafe { libc::_exit(i32::from(outcome.is_err())) }
    }
    pid
}

/// Does once what the loop of a worker does; whether there was anything to read.
fn run_once(shard: &mut Shard) -> bool {
    let mut polled = libc::pollfd { fd: shard.fileno(), events: libc::POLLIN, revents: 0 };
    // SAFETY: one entry, valid for the call.
    unsafe { libc::poll(&raw mut polled, 1, 20) };
    if !shard.drain() {
        shard.resume();
    }
    shard.tick().unwrap();
    polled.revents != 0
}

fn wait(pid: libc::pid_t) -> i32 {
    let mut status = 0;
    // SAFETY: `status` is a valid place for the kernel to write to.
    assert_eq!(unsafe { libc::waitpid(pid, &raw mut status, libc::__WALL) }, pid);
    status
}

/// Lets a worker that has stopped go on unseen.
fn detach(pid: libc::pid_t) {
    assert!(libc::WIFSTOPPED(wait(pid)));
    // SAFETY: the child is traced by this thread and stopped.
    unsafe { libc::ptrace(libc::PTRACE_DETACH, pid, 0, 0) };
}

/// Follows a worker from system call to system call, and kills it where one of this kind has
/// returned for the last of so many times, or after a while.
fn kill_behind(pid: libc::pid_t, call: libc::c_long, mut times: u64) {
    let deadline = Instant::now() + Duration::from_millis(500);
    assert!(libc::WIFSTOPPED(wait(pid)));
    let mut number = 0;
    // SAFETY: the child is traced by this thread and stopped whenever it is asked something; the
    // structure is as long as it is said to be.
    unsafe {
        libc::ptrace(libc::PTRACE_SETOPTIONS, pid, 0, libc::PTRACE_O_TRACESYSGOOD);
        while times > 0 && Instant::now() < deadline {
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
            } else if number == call.cast_unsigned() && info.u.exit.sval >= 0 {
                times -= 1;
            }
        }
        libc::kill(pid, libc::SIGKILL);
    }
}

/// Sends over one connection after the other, each line in two parts, until the pipe has something; gives
/// how many connections that were. No connection may break.
fn send(address: SocketAddr, sender: u64, until: libc::c_int) -> u64 {
    let mut connections = 0;
    let mut polled = libc::pollfd { fd: until, events: libc::POLLIN, revents: 0 };
    // SAFETY: one entry, valid for the call.
    while unsafe { libc::poll(&raw mut polled, 1, 0) } == 0 {
        let mut connection = TcpStream::connect(address).unwrap();
        connection.set_read_timeout(Some(PATIENCE)).unwrap();
        connection.set_nodelay(true).unwrap();
        for line in 0..LINES {
            let text = event(sender, connections * LINES + line);
            let (begin, end) = text.split_at(text.len() / 2);
            for part in [begin, end] {
                connection.write_all(part.as_bytes()).unwrap();
                std::thread::sleep(Duration::from_micros(300));
            }
        }
        connection.shutdown(Shutdown::Write).unwrap();
        assert_eq!(connection.read(&mut [0]).unwrap(), 0);
        connections += 1;
    }
    connections
}

fn event(sender: u64, number: u64) -> String {
    format!("{{\"sender\":{sender},\"number\":{number}}}\n")
}

/// What decides about the instant of a death: a different one in every run of the test.
struct Chance(u64);

impl Chance {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }
}

/// Whether they are just accepted, on their way, or half read; and the counters stay true.
#[test]
fn connections_live_on_wherever_their_worker_is_killed() {
    let server = Server::new();
    let address = server.listener.local_addr().unwrap();
    let mut over = [0; 2];
    // SAFETY: the array has room for two descriptors.
    assert_eq!(unsafe { libc::pipe(over.as_mut_ptr()) }, 0);
    let counted = bench::directory("living-on-counted");
    // In a process of their own: what it has open, the workers do not inherit.
    let senders = fork(|| {
        let threads: Vec<_> = (0..SENDERS)
            .map(|sender| std::thread::spawn(move || send(address, sender, over[0])))
            .collect();
        let counts: Vec<u64> = threads.into_iter().map(|thread| thread.join().unwrap()).collect();
        std::fs::write(&counted, serde_json::to_vec(&counts).unwrap()).unwrap();
    });
    let now = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap();
    let mut chance = Chance(u64::try_from(now.as_nanos()).unwrap() | 1);
    let mut workers = [0, 1].map(|worker| server.start(worker));
    detach(workers[1]);
    for death in 0..DEATHS {
        // One that stands still where the other is followed.
        let victim = usize::from(death % 2 == 1);
        if death > 0 {
            // It was let go before; its successor is the one to be followed.
            // SAFETY: a child that was not waited for.
            unsafe { libc::kill(workers[victim], libc::SIGKILL) };
            wait(workers[victim]);
            server.set_state(victim, 0);
            workers[victim] = server.start(victim);
        }
        let call = CALLS[usize::try_from(chance.below(CALLS.len() as u64)).unwrap()];
        kill_behind(workers[victim], call, 1 + chance.below(40));
        assert!(libc::WIFSIGNALED(wait(workers[victim])));
        server.set_state(victim, 0);
        workers[victim] = server.start(victim);
        detach(workers[victim]);
    }
    // SAFETY: a pipe and children of this process.
    unsafe {
        libc::write(over[1], [0_u8].as_ptr().cast(), 1);
        assert_eq!(wait(senders), 0, "a connection broke");
        for pid in workers {
            libc::kill(pid, libc::SIGKILL);
            wait(pid);
        }
    }
    let counts: Vec<u64> = serde_json::from_slice(&std::fs::read(&counted).unwrap()).unwrap();
    std::fs::remove_file(&counted).unwrap();
    let stored = server.stored();
    let found: HashSet<String> = stored
        .iter()
        .map(|line| {
            let line: Value = serde_json::from_str(line).unwrap();
            event(line["sender"].as_u64().unwrap(), line["number"].as_u64().unwrap())
        })
        .collect();
    let sent = counts.iter().zip(0..);
    let sent: HashSet<String> = sent
        .flat_map(|(count, sender)| (0..count * LINES).map(move |number| event(sender, number)))
        .collect();
    assert_eq!((stored.len(), &found), (sent.len(), &sent));
    let connections = counts.iter().sum::<u64>();
    let counted = [cells::CONNECTIONS_OPENED, cells::CONNECTIONS_CLOSED];
    assert_eq!(counted.map(|cell| server.count(cell)), [connections; 2]);
    assert_eq!(server.count(cells::LISTENER_CONNECTIONS), 0);
    let moved = |worker| server.memory.region.worker(worker, cells::CONNECTIONS_ADOPTED, 0);
    assert!((0..WORKERS).all(|worker| moved(worker).load(Ordering::SeqCst) > 0));
}
