//! What is done when the worker has been killed: every connection that can go on without it is sent
//! to the inbox of its slot, where the next worker of the slot finds it.

use std::collections::HashSet;
use std::os::fd::RawFd;
use std::time::{Duration, Instant};
use std::{io, thread};

use super::Errand;
use super::orphans::{accepted, is_connection};
use crate::receive::arena::{Arena, State};
use crate::receive::{inbox, parcel, socket};

/// All of it has to be sent within this time, for the successor waits for the end of the holder.
const PATIENCE: Duration = Duration::from_secs(5);
/// Between two attempts while the inbox is full.
const PAUSE: Duration = Duration::from_millis(2);

/// A connection with what is told of it.
pub(super) struct Item {
    pub(super) descriptor: RawFd,
    pub(super) parcel: Vec<u8>,
}

/// Passes the connections on.
pub(super) fn pass_on(errand: &Errand) {
    let Ok(arena) = Arena::attach(errand.arena) else { return };
    let outbox = Outbox {
        socket: errand.outbox,
        lifeline: errand.lifeline,
        deadline: Instant::now() + PATIENCE,
    };
    // What was sent to another worker is not ours any more, though it may not be marked as such.
    let mut known: HashSet<RawFd> = arena.finish_move().into_iter().collect();
    known.extend(arena.table().descriptors());
    outbox.send_all(&kept(&arena));
    if let Some((message, adopted)) = inbox::unfinished(&arena) {
        known.extend(&message.descriptors);
        let open: HashSet<RawFd> = arena.table().descriptors().collect();
        let rest = not_adopted(&message, adopted, &open);
        if !rest.is_empty() && outbox.send(message.connections, &rest) {
            arena.end_message();
        }
    }
    outbox.send_all(&accepted(&errand.listeners, &known));
}

/// What the worker had open and what is not bound to its memory: all else stands in the arena.
fn kept(arena: &Arena) -> Vec<Item> {
    let table = arena.table();
    let places = table.open_places().filter(|place| table.entry(*place).state() != State::Pinned);
    let items = places.map(|place| {
        let mut parcel = Vec::new();
        parcel::write_kept(place, &mut parcel);
        Item { descriptor: table.entry(place).descriptor(), parcel }
    });
    // One that has not come here yet waits in the inbox.
    items.filter(|item| item.descriptor >= 0).collect()
}

/// What the worker had received and not entered in the table.
fn not_adopted(message: &inbox::Received, adopted: usize, open: &HashSet<RawFd>) -> Vec<Item> {
    let (mut records, mut items) = (&message.body[..], Vec::new());
    for (number, descriptor) in message.descriptors.iter().enumerate() {
        let before = records;
        if parcel::read(&mut records).is_none() {
            break;
        }
        let is_adopted = number < adopted || open.contains(descriptor);
        // It may have been closed at once, as one that is not let in.
        if !is_adopted && is_connection(*descriptor) {
            let parcel = before[..before.len() - records.len()].to_vec();
            items.push(Item { descriptor: *descriptor, parcel });
        }
    }
    items
}

/// Where the connections go.
struct Outbox {
    socket: RawFd,
    lifeline: RawFd,
    deadline: Instant,
}

impl Outbox {
    /// Sends them, as many with each message as it takes. They count as open, not as on their way.
    fn send_all(&self, items: &[Item]) {
        for items in items.chunks(inbox::CONNECTIONS) {
            self.send(0, items);
        }
    }

    /// Sends one message. Gives up where there is no room for it in time, or nobody left.
    fn send(&self, counted: u64, items: &[Item]) -> bool {
        let body: Vec<u8> = items.iter().flat_map(|item| item.parcel.iter().copied()).collect();
        let descriptors: Vec<RawFd> = items.iter().map(|item| item.descriptor).collect();
        let counted = usize::try_from(counted).unwrap_or(usize::MAX);
        loop {
            let mut receipt = socket::zeroed();
            match inbox::send(self.socket, counted, &body, &descriptors, &raw mut receipt) {
                Ok(()) => return true,
                Err(error) if is_full(&error) && self.may_wait() => thread::sleep(PAUSE),
                Err(_) => return false,
            }
        }
    }

    fn may_wait(&self) -> bool {
        Instant::now() < self.deadline && !is_closed(self.lifeline)
    }
}

fn is_full(error: &io::Error) -> bool {
    let codes = [libc::EAGAIN, libc::ENOBUFS, libc::ENOMEM, libc::ETOOMANYREFS, libc::EINTR];
    error.raw_os_error().is_some_and(|code| codes.contains(&code))
}

/// Whether the other end of a pipe is closed.
pub(super) fn is_closed(pipe: RawFd) -> bool {
    let mut polled = libc::pollfd { fd: pipe, events: libc::POLLIN, revents: 0 };
    // SAFETY: one entry, valid for the call.
    let count = unsafe { libc::poll(&raw mut polled, 1, 0) };
    count != 0
}
