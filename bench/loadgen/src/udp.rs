//! One event per datagram, from as many sockets as there are connections.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::thread;

use crate::arguments::{Send, share};
use crate::block::{Block, EVENTS};
use crate::pace::{Pace, TICK};
use crate::report::Sent;
use crate::timeline::Timeline;

/// Sends all events; each socket sends a block of them before the next one's turn.
pub fn send(options: &Send, pace: &Pace, timeline: &mut Timeline) -> io::Result<Sent> {
    let sockets = (0..options.connections)
        .map(|_| connect(options.address))
        .collect::<io::Result<Vec<UdpSocket>>>()?;
    let mut sent = Sent { bytes: 0, per_connection: vec![0; sockets.len()] };
    let mut block = Block::new();
    let mut events = 0;
    for number in 0.. {
        let before = events;
        for (index, socket) in sockets.iter().enumerate() {
            let left = share(options.events, sockets.len(), index) - sent.per_connection[index];
            let count = usize::try_from(left).unwrap_or(EVENTS).min(EVENTS);
            for slot in 0..count {
                while pace.owed(events) == 0 {
                    thread::sleep(TICK);
                }
                let event = block.numbered(index, number, slot..slot + 1);
                // A datagram is one event: the newline that ends it on a stream stays here.
                sent.bytes += socket.send(&event[..event.len() - 1])? as u64;
                events += 1;
                timeline.sample(events);
            }
            sent.per_connection[index] += count as u64;
        }
        if events == before {
            break;
        }
    }
    Ok(sent)
}

fn connect(address: SocketAddr) -> io::Result<UdpSocket> {
    let any: SocketAddr = match address {
        SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
    };
    let socket = UdpSocket::bind(any)?;
    socket.connect(address)?;
    Ok(socket)
}
