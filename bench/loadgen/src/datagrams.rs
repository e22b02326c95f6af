//! One message per datagram, from as many sockets as there are connections, many per system call.
//!
//! The kernel sends them one by one (no segmentation offload), as so many devices would.

use std::io::{self, IoSlice};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixDatagram;
use std::thread;

use rustix::io::Errno;
use rustix::net::{MMsgHdr, SendAncillaryBuffer, SendFlags, sendmmsg};

use crate::arguments::{Send, Target, share};
use crate::block::EVENTS;
use crate::input::EndOfInput;
use crate::pace::{Pace, TICK};
use crate::record::Recorder;
use crate::report::{Breaks, Meter, Sent};
use crate::timeline::Timeline;

/// Datagrams of one socket before the next one's turn.
const BURST: u64 = 32;
/// In a row and with a tick between them; by then nobody is listening any more.
const MOST_ERRORS: u32 = 1000;

struct Sender {
    socket: OwnedFd,
    sent: u64,
    end: u64,
}

/// Sends all events and returns when the kernel has them.
pub fn send(options: &Send, timeline: &mut Timeline) -> io::Result<Sent> {
    let mut senders = (0..options.connections)
        .map(|index| {
            let end = if options.until_end_of_input {
                u64::MAX
            } else {
                share(options.events, options.connections, index)
            };
            Ok(Sender { socket: connect(&options.target)?, sent: 0, end })
        })
        .collect::<io::Result<Vec<Sender>>>()?;
    let mut block = options.block();
    let burst = options.burst.unwrap_or(BURST);
    let mut breaks = Breaks::default();
    let (mut events, mut bytes) = (0, 0);
    let meter = Meter::start();
    let pace = Pace::new(options.rate);
    let mut recorder = options.record.as_deref().map(Recorder::create).transpose()?;
    let end_of_input = options.until_end_of_input.then(EndOfInput::watch);
    while end_of_input.as_ref().map_or(events < options.events, |end| !end.is_reached()) {
        for (index, sender) in senders.iter_mut().enumerate() {
            let mut owed = pace.owed(events);
            while owed == 0 {
                thread::sleep(TICK);
                owed = pace.owed(events);
            }
            let slot = usize::try_from(sender.sent % EVENTS as u64).unwrap_or_default();
            let count = owed.min(burst).min(sender.end - sender.sent).min((EVENTS - slot) as u64);
            let last = slot + usize::try_from(count).unwrap_or_default();
            let messages: Vec<[IoSlice<'_>; 1]> = block
                .numbered_apart(index, sender.sent / EVENTS as u64, slot..last)
                .map(|message| [IoSlice::new(message)])
                .collect();
            bytes += send_all(&sender.socket, &messages, &mut breaks)? as u64;
            if let Some(recorder) = &mut recorder {
                recorder.note(index, (slot..last).map(|slot| block.message(slot)))?;
            }
            sender.sent += count;
            events += count;
            timeline.sample(events);
        }
    }
    recorder.map_or(Ok(()), Recorder::finish)?;
    let per_connection = senders.iter().map(|each| each.sent).collect();
    let broken = Vec::new();
    Ok(Sent { run: options.run, bytes, per_connection, broken, breaks, cost: meter.stop() })
}

/// Sends each message as a datagram and returns how many bytes that were.
fn send_all(
    socket: &OwnedFd,
    messages: &[[IoSlice<'_>; 1]],
    breaks: &mut Breaks,
) -> io::Result<usize> {
    let mut nothing: Vec<SendAncillaryBuffer<'_, '_, '_>> =
        messages.iter().map(|_| SendAncillaryBuffer::default()).collect();
    let mut headers: Vec<MMsgHdr<'_>> = messages
        .iter()
        .zip(&mut nothing)
        .map(|(message, nothing)| MMsgHdr::new(message, nothing))
        .collect();
    let (mut sent, mut errors) = (0, 0);
    while sent < headers.len() {
        match sendmmsg(socket, &mut headers[sent..], SendFlags::empty()) {
            Ok(count) => (sent, errors) = (sent + count, 0),
            Err(Errno::INTR) => {}
            Err(error) if errors == MOST_ERRORS => return Err(error.into()),
            // Nothing of this call was sent: a refusal of earlier ones, or no memory.
            Err(_) => {
                errors += 1;
                breaks.send_errors += 1;
                thread::sleep(TICK);
            }
        }
    }
    Ok(messages.iter().map(|[message]| message.len()).sum())
}

fn connect(target: &Target) -> io::Result<OwnedFd> {
    match target {
        Target::Udp(address) => {
            let any: SocketAddr = match address {
                SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
                SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
            };
            let socket = UdpSocket::bind(any)?;
            socket.connect(address)?;
            Ok(socket.into())
        }
        Target::UnixDatagram(path) => {
            let socket = UnixDatagram::unbound()?;
            socket.connect(path)?;
            Ok(socket.into())
        }
        Target::Tcp(_) | Target::Tls(..) | Target::Unix(_) => {
            Err(io::Error::new(io::ErrorKind::InvalidInput, "a stream takes no datagrams"))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;

    use super::send;
    use crate::arguments::{Send, Target};
    use crate::block::Framing;
    use crate::identity::{Identity, Search};
    use crate::messages::Format;
    use crate::timeline::Timeline;

    #[test]
    fn every_datagram_is_one_whole_message() {
        let receiver = UdpSocket::bind("127.0.0.1:0").unwrap();
        let options = Send {
            target: Target::Udp(receiver.local_addr().unwrap()),
            format: Format::Rfc5424,
            event_bytes: None,
            framing: Framing::Datagram,
            run: 4,
            connections: 2,
            events: 101,
            rate: None,
            burst: None,
            await_close: None,
            timeline: None,
            until_end_of_input: false,
            record: None,
        };
        let sent = send(&options, &mut Timeline::new()).unwrap();
        assert_eq!(sent.per_connection, [51, 50]);
        let (mut next, mut bytes) = ([0, 0], 0);
        let mut datagram = [0; 2048];
        for _ in 0..101 {
            let length = receiver.recv(&mut datagram).unwrap();
            bytes += length as u64;
            let found = Search::new().identity(&datagram[..length]).unwrap();
            let sequence = next[found.connection];
            assert_eq!(found, Identity { run: 4, connection: found.connection, sequence });
            next[found.connection] += 1;
        }
        assert_eq!((next, bytes), ([51, 50], sent.bytes));
    }
}
