//! Many streams from one thread: each writable stream gets a block in turn, until the kernel
//! takes no more.

use std::collections::VecDeque;
use std::io::{self, Write as _};
use std::net::{Shutdown, TcpStream as BlockingStream};

use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};

use crate::arguments::{Send, share};
use crate::block::{Block, EVENTS};
use crate::pace::{Pace, TICK};
use crate::report::Sent;
use crate::timeline::Timeline;

/// A paced sender gives each stream few events at a time, as many small senders would.
const PACED_EVENTS: u64 = 100;

struct Connection {
    stream: TcpStream,
    /// Sequence number of the first event that is not wholly handed over.
    next: u64,
    /// Bytes of that event that are.
    partial: usize,
    /// Sequence number after the last one to send.
    end: u64,
    /// Is it not in the queue of writable streams? Readiness may be reported twice.
    waiting: bool,
}

/// Sends all events and returns when the kernel has them.
pub fn send(options: &Send, pace: &Pace, timeline: &mut Timeline) -> io::Result<Sent> {
    let mut poll = Poll::new()?;
    let mut connections = connect(options, &poll)?;
    let mut writable = VecDeque::with_capacity(connections.len());
    let mut readiness = Events::with_capacity(1024);
    let mut block = Block::new();
    let (mut events, mut bytes) = (0, 0);
    while events < options.events {
        let owed = pace.owed(events);
        if owed == 0 || writable.is_empty() {
            // Owing nothing, sleep one tick; with no stream writable, until one is.
            poll.poll(&mut readiness, (owed == 0).then_some(TICK)).or_else(interrupted)?;
            for index in readiness.iter().map(|event| event.token().0) {
                if std::mem::take(&mut connections[index].waiting) {
                    writable.push_back(index);
                }
            }
            continue;
        }
        let Some(index) = writable.pop_front() else { continue };
        let connection = &mut connections[index];
        let limit = if pace.limited() { owed.min(PACED_EVENTS) } else { owed };
        let before = connection.next;
        match connection.write(index, limit, &mut block) {
            Ok(written) => {
                bytes += written as u64;
                events += connection.next - before;
                timeline.sample(events);
                if connection.next < connection.end {
                    writable.push_back(index);
                }
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => connection.waiting = true,
            Err(error) => return Err(error),
        }
    }
    for connection in &connections {
        connection.stream.shutdown(Shutdown::Write)?;
    }
    Ok(Sent { bytes, per_connection: connections.iter().map(|each| each.next).collect() })
}

fn connect(options: &Send, poll: &Poll) -> io::Result<Vec<Connection>> {
    (0..options.connections)
        .map(|index| {
            let stream = BlockingStream::connect(options.address)?;
            stream.set_nonblocking(true)?;
            let mut stream = TcpStream::from_std(stream);
            poll.registry().register(&mut stream, Token(index), Interest::WRITABLE)?;
            let end = share(options.events, options.connections, index);
            Ok(Connection { stream, next: 0, partial: 0, end, waiting: true })
        })
        .collect()
}

fn interrupted(error: io::Error) -> io::Result<()> {
    if error.kind() == io::ErrorKind::Interrupted { Ok(()) } else { Err(error) }
}

impl Connection {
    /// Writes at most `limit` events, and at most to the end of the block.
    fn write(&mut self, index: usize, limit: u64, block: &mut Block) -> io::Result<usize> {
        let slot = usize::try_from(self.next % EVENTS as u64).unwrap_or_default();
        let count = limit.min(self.end - self.next).min((EVENTS - slot) as u64);
        let last = slot + usize::try_from(count).unwrap_or_default();
        let events = block.numbered(index, self.next / EVENTS as u64, slot..last);
        let written = self.stream.write(&events[self.partial..])?;
        let reached_byte = block.start(slot) + self.partial + written;
        let reached = block.slot_at(reached_byte);
        self.next += (reached - slot) as u64;
        self.partial = reached_byte - block.start(reached);
        Ok(written)
    }
}
