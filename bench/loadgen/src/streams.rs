//! Many streams from one thread: each writable stream gets some events in turn, until the kernel
//! takes no more. A stream that the server ends is counted, and the others go on.

use std::collections::VecDeque;
use std::io;
use std::time::{Duration, Instant};

use mio::{Events, Poll, Token};

use crate::arguments::{Send, Target, share};
use crate::block::{Block, EVENTS};
use crate::input::EndOfInput;
use crate::pace::{Pace, TICK};
use crate::record::Recorder;
use crate::report::{Breaks, Meter, Sent};
use crate::stream::Stream;
use crate::timeline::Timeline;

/// A paced sender gives each stream few events at a time, as many small senders would.
const PACED_BURST: u64 = 100;
/// What a stream is offered at a time: no more than it may take is worth being numbered.
const OFFER_BYTES: usize = 512 * 1024;

struct Connection {
    /// None once it has ended.
    stream: Option<Stream>,
    /// Sequence number of the first event that is not wholly handed over.
    next: u64,
    /// Bytes of that event that are.
    partial: usize,
    /// Sequence number after the last one to send.
    end: u64,
    /// Is it not in the queue of writable streams? Readiness may be reported twice.
    waiting: bool,
    /// Has the server ended it?
    broken: bool,
    /// Sequence number after the last event in the record.
    recorded: u64,
}

/// Sends all events and returns when the kernel has them.
pub fn send(options: &Send, timeline: &mut Timeline) -> io::Result<Sent> {
    let mut sender = Sender::connect(options)?;
    let meter = Meter::start();
    let bytes = sender.send_all(options, timeline)?;
    sender.finish();
    let cost = meter.stop();
    if let Some(patience) = options.await_close {
        sender.await_close(patience)?;
    }
    let connections = sender.connections.iter();
    let broken = connections.clone().enumerate().filter(|(_, each)| each.broken);
    Ok(Sent {
        run: options.run,
        bytes,
        per_connection: connections.clone().map(|each| each.next).collect(),
        broken: broken.map(|(number, _)| number).collect(),
        breaks: sender.breaks,
        cost,
    })
}

struct Sender {
    poll: Poll,
    readiness: Events,
    /// By their numbers; those that broke stay in their places.
    connections: Vec<Connection>,
    writable: VecDeque<usize>,
    /// Connections that have more to send.
    unfinished: usize,
    /// When a connection was last tried to be opened in the place of one that broke.
    reopened: Instant,
    breaks: Breaks,
}

impl Sender {
    fn connect(options: &Send) -> io::Result<Self> {
        let mut sender = Self {
            poll: Poll::new()?,
            readiness: Events::with_capacity(1024),
            connections: Vec::with_capacity(options.connections),
            writable: VecDeque::with_capacity(options.connections),
            unfinished: 0,
            reopened: Instant::now(),
            breaks: Breaks::default(),
        };
        for index in 0..options.connections {
            let end = if options.until_end_of_input {
                u64::MAX
            } else {
                share(options.events, options.connections, index)
            };
            sender.open(&options.target, end)?;
        }
        Ok(sender)
    }

    /// Opens the connection of the next number.
    fn open(&mut self, target: &Target, end: u64) -> io::Result<()> {
        let mut stream = Stream::connect(target)?;
        stream.register(self.poll.registry(), Token(self.connections.len()))?;
        self.unfinished += usize::from(end > 0);
        self.connections.push(Connection {
            stream: Some(stream),
            next: 0,
            partial: 0,
            end,
            waiting: true,
            broken: false,
            recorded: 0,
        });
        Ok(())
    }

    /// Opens connections in the place of those that broke, as far as the server takes them.
    fn reopen(&mut self, options: &Send) {
        if self.unfinished < options.connections && self.reopened.elapsed() >= TICK {
            self.reopened = Instant::now();
            while self.unfinished < options.connections {
                // Nobody listens now: another attempt a tick later.
                if self.open(&options.target, u64::MAX).is_err() {
                    return;
                }
            }
        }
    }

    /// Lets every connection send the rest of the event that it is in, and no more.
    fn end_with_whole_events(&mut self) {
        for connection in &mut self.connections {
            connection.end = connection.handed_over();
        }
        self.unfinished = self.connections.iter().filter(|each| each.has_more()).count();
    }

    /// Returns how many bytes it sent.
    fn send_all(&mut self, options: &Send, timeline: &mut Timeline) -> io::Result<u64> {
        let pace = Pace::new(options.rate);
        let burst = options.burst.unwrap_or(options.rate.map_or(u64::MAX, |_| PACED_BURST));
        let mut block = options.block();
        let mut recorder = options.record.as_deref().map(Recorder::create).transpose()?;
        let mut end_of_input = options.until_end_of_input.then(EndOfInput::watch);
        let (mut events, mut bytes) = (0, 0);
        while self.unfinished > 0 || end_of_input.is_some() {
            if end_of_input.take_if(|end| end.is_reached()).is_some() {
                self.end_with_whole_events();
            }
            if end_of_input.is_some() {
                self.reopen(options);
            }
            let owed = pace.owed(events);
            if owed == 0 || self.writable.is_empty() {
                // Owing nothing, sleep one tick; with no stream writable, until one is.
                self.look((owed == 0 || end_of_input.is_some()).then_some(TICK))?;
                continue;
            }
            let Some(index) = self.writable.pop_front() else { continue };
            let connection = &mut self.connections[index];
            if !connection.has_more() {
                continue;
            }
            let before = connection.next;
            match connection.write(index, owed.min(burst), &mut block) {
                Ok(written) => {
                    bytes += written as u64;
                    events += connection.next - before;
                    timeline.sample(events);
                    if let Some(recorder) = &mut recorder {
                        connection.record(index, &block, recorder)?;
                    }
                    if connection.has_more() {
                        self.writable.push_back(index);
                    } else {
                        self.unfinished -= 1;
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    connection.waiting = true;
                }
                Err(error) => {
                    connection.end_broken(&error, &mut self.breaks);
                    self.unfinished -= 1;
                }
            }
        }
        recorder.map_or(Ok(()), Recorder::finish)?;
        Ok(bytes)
    }

    /// Waits for readiness, notes which streams are writable and which the server has ended.
    fn look(&mut self, timeout: Option<Duration>) -> io::Result<()> {
        match self.poll.poll(&mut self.readiness, timeout) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return Ok(()),
            polled => polled?,
        }
        for event in &self.readiness {
            let index = event.token().0;
            let connection = &mut self.connections[index];
            if event.is_readable() {
                let had_more = connection.has_more();
                connection.note_end(&mut self.breaks);
                self.unfinished -= usize::from(had_more && !connection.has_more());
            }
            if event.is_writable() && std::mem::take(&mut connection.waiting) {
                self.writable.push_back(index);
            }
        }
        Ok(())
    }

    fn finish(&mut self) {
        for connection in &mut self.connections {
            let Some(stream) = &mut connection.stream else { continue };
            match stream.finish() {
                Ok(()) => {}
                // The server ended it in the same moment; how, reading it says.
                Err(error) if error.kind() == io::ErrorKind::NotConnected => {
                    connection.note_end(&mut self.breaks);
                }
                Err(error) => connection.end_broken(&error, &mut self.breaks),
            }
        }
    }

    /// Reads on until the server has closed every stream as well, which it does behind the last
    /// event; a reset in place of that means that it threw some away.
    fn await_close(&mut self, patience: Duration) -> io::Result<()> {
        let deadline = Instant::now() + patience;
        for connection in &mut self.connections {
            connection.note_end(&mut self.breaks);
        }
        while self.connections.iter().any(|each| each.stream.is_some()) {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            self.look(Some(left))?;
        }
        let open = self.connections.iter().filter(|each| each.stream.is_some());
        self.breaks.unclosed = open.count() as u64;
        Ok(())
    }
}

impl Connection {
    fn has_more(&self) -> bool {
        self.stream.is_some() && self.next < self.end
    }

    /// Drops the stream if the server has ended it, and counts that unless all had been sent.
    fn note_end(&mut self, breaks: &mut Breaks) {
        let Some(stream) = &mut self.stream else { return };
        match stream.is_open() {
            Ok(true) => {}
            Ok(false) => {
                self.broken = self.next < self.end;
                breaks.closed += u64::from(self.broken);
                self.stream = None;
            }
            Err(error) => self.end_broken(&error, breaks),
        }
    }

    fn end_broken(&mut self, error: &io::Error, breaks: &mut Breaks) {
        breaks.count(error);
        self.broken = true;
        self.stream = None;
    }

    /// Sequence number after the last event that is handed over at least in part.
    fn handed_over(&self) -> u64 {
        self.next + u64::from(self.partial > 0)
    }

    /// Notes what was handed over since the last time, which the block still holds.
    fn record(&mut self, index: usize, block: &Block, to: &mut Recorder) -> io::Result<()> {
        let sequences = self.recorded..self.handed_over();
        self.recorded = sequences.end;
        let slots = sequences.map(|number| usize::try_from(number % EVENTS as u64));
        let lines = slots.flatten().map(|slot| block.message(slot).trim_ascii_end());
        to.note(index, lines)
    }

    /// Writes at most `limit` events, and at most to the end of the block or what it is offered.
    fn write(&mut self, index: usize, limit: u64, block: &mut Block) -> io::Result<usize> {
        let Some(stream) = &mut self.stream else { return Ok(0) };
        let slot = usize::try_from(self.next % EVENTS as u64).unwrap_or_default();
        let count = limit.min(self.end - self.next).min((EVENTS - slot) as u64);
        let last = slot + usize::try_from(count).unwrap_or_default();
        let last = last.min(block.slot_at(block.start(slot) + OFFER_BYTES));
        let events = block.numbered(index, self.next / EVENTS as u64, slot..last);
        let written = stream.write(&events[self.partial..])?;
        let reached_byte = block.start(slot) + self.partial + written;
        let reached = block.slot_at(reached_byte);
        self.next += (reached - slot) as u64;
        self.partial = reached_byte - block.start(reached);
        Ok(written)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;
    use std::net::{TcpListener, TcpStream};
    use std::os::unix::net::UnixListener;
    use std::thread;
    use std::time::Duration;

    use super::send;
    use crate::arguments::{Send, Target};
    use crate::block::Framing;
    use crate::identity::{Identity, Search};
    use crate::messages::Format;
    use crate::report::{Breaks, Sent};
    use crate::timeline::Timeline;

    fn options(target: Target, events: u64) -> Send {
        Send {
            target,
            format: Format::Json,
            event_bytes: None,
            framing: Framing::Newline,
            run: 1,
            connections: 2,
            events,
            rate: None,
            burst: None,
            await_close: Some(Duration::from_secs(30)),
            timeline: None,
            until_end_of_input: false,
            record: None,
        }
    }

    /// Sends to a server that does the same with each connection.
    fn sent_to(events: u64, serve: fn(TcpStream)) -> Sent {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let target = Target::Tcp(listener.local_addr().unwrap());
        thread::spawn(move || listener.incoming().for_each(|stream| serve(stream.unwrap())));
        send(&options(target, events), &mut Timeline::new()).unwrap()
    }

    #[test]
    fn a_server_that_reads_all_breaks_nothing() {
        let sent = sent_to(10_001, |mut stream| {
            thread::spawn(move || stream.read_to_end(&mut Vec::new()).unwrap());
        });
        assert_eq!(sent.per_connection, [5001, 5000]);
        assert_eq!(sent.breaks, Breaks::default());
    }

    #[test]
    fn a_connection_closed_with_bytes_unread_counts_as_reset() {
        let sent = sent_to(2, |mut stream| {
            stream.read_exact(&mut [0]).unwrap();
        });
        assert_eq!(sent.breaks, Breaks { resets: 2, ..Breaks::default() });
    }

    #[test]
    fn a_connection_that_the_server_closes_too_early_is_counted_once() {
        let sent = sent_to(1_000_000, |stream| {
            stream.shutdown(std::net::Shutdown::Both).unwrap();
        });
        let Breaks { resets, closed, .. } = sent.breaks;
        assert_eq!(resets + closed, 2);
        assert!(sent.per_connection.iter().sum::<u64>() < 1_000_000);
    }

    #[test]
    fn a_server_that_never_closes_is_told_apart_from_one_that_does() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let target = Target::Tcp(listener.local_addr().unwrap());
        let patience = Some(Duration::from_millis(1));
        let options = Send { await_close: patience, ..options(target, 2) };
        let sent = send(&options, &mut Timeline::new()).unwrap();
        assert_eq!(sent.breaks, Breaks { unclosed: 2, ..Breaks::default() });
    }

    #[test]
    fn events_go_over_unix_sockets_as_well() {
        let path = std::env::temp_dir().join(format!("loadgen-{}.socket", std::process::id()));
        let listener = UnixListener::bind(&path).unwrap();
        let reader = thread::spawn(move || {
            let mut stored = Vec::new();
            for mut stream in listener.incoming().take(2).map(Result::unwrap) {
                stream.read_to_end(&mut stored).unwrap();
            }
            stored
        });
        let sent = send(&options(Target::Unix(path.clone()), 8), &mut Timeline::new()).unwrap();
        std::fs::remove_file(path).unwrap();
        let stored = reader.join().unwrap();
        let found: Vec<Identity> = stored
            .split_inclusive(|&byte| byte == b'\n')
            .map(|line| Search::new().identity(line).unwrap())
            .collect();
        assert_eq!((found.len(), sent.breaks), (8, Breaks::default()));
        assert_eq!(found[3], Identity { run: 1, connection: 0, sequence: 3 });
    }
}
