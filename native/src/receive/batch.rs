//! A batch of datagrams: read, joined into one record of the ring, and taken, now or by a successor.
//!
//! ```text
//! 0     datagrams u32 · cut ones u32 · events that were dropped: denied u64 · rate limited u64
//! 24    for each datagram: end in the joined bytes u32 · 0: no address, else 1 + port u32 · address
//!       as one of IPv6, 16 bytes
//! ...   for each cut one: its whole length u64 · length of its beginning u64
//! ...   their beginnings
//! ```
//! That is the table behind the joined bytes of a record; numbers are in the machine's order.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::os::fd::AsRawFd;

use super::admission::{DatagramGuard, Dropped};
use super::arena::{Kind as RecordKind, Record};
use super::config::{Kind, ListenerConfig};
use super::datagrams::{DATAGRAMS_BYTES, DatagramReceipt, Sent, UNIX_BYTES};
use super::receiver::{Listener, Outcome, Receiver};
use super::{Intake, Origin, Read, Sender};
use crate::clock;
use crate::counters::{DROP_REASONS, add, cells};

/// What stands before the datagrams in a table.
pub(super) const HEAD_BYTES: usize = 24;
/// What a datagram takes in a table.
pub(super) const SENT_BYTES: usize = 24;
/// What one that was cut takes beside its beginning.
pub(super) const CUT_BYTES: usize = 16;

/// Writes the tables of records into a buffer that has room.
struct Writer<'a> {
    buffer: &'a mut [u8],
    end: usize,
}

impl Writer<'_> {
    fn put(&mut self, bytes: &[u8]) {
        self.buffer[self.end..self.end + bytes.len()].copy_from_slice(bytes);
        self.end += bytes.len();
    }
}

/// Writes the table of a record; returns its length.
fn write_table(
    buffer: &mut [u8],
    senders: &[Sent],
    events: [u64; 2],
    receipt: &DatagramReceipt,
) -> usize {
    let mut out = Writer { buffer, end: 0 };
    // A batch has some thousand datagrams at most.
    #[allow(clippy::cast_possible_truncation)]
    for count in [senders.len() as u32, receipt.cut().count() as u32] {
        out.put(&count.to_ne_bytes());
    }
    for count in events {
        out.put(&count.to_ne_bytes());
    }
    for (end, peer) in senders {
        let address = match peer.map(|peer| peer.ip()) {
            Some(IpAddr::V4(address)) => address.to_ipv6_mapped(),
            Some(IpAddr::V6(address)) => address,
            None => Ipv6Addr::UNSPECIFIED,
        };
        out.put(&end.to_ne_bytes());
        out.put(&peer.map_or(0, |peer| 1 + u32::from(peer.port())).to_ne_bytes());
        out.put(&address.octets());
    }
    for (head, length) in receipt.cut() {
        out.put(&length.to_ne_bytes());
        out.put(&(head.len() as u64).to_ne_bytes());
    }
    for (head, _) in receipt.cut() {
        out.put(head);
    }
    out.end
}

/// Takes so many bytes off; zeros where a damaged table ends before.
fn take<const SIZE: usize>(table: &mut &[u8]) -> [u8; SIZE] {
    let (taken, rest) = table.split_first_chunk().unwrap_or((&[0; SIZE], &[]));
    *table = rest;
    *taken
}

/// Reads a table: fills in the datagrams, and gives what was dropped and what was cut.
fn read_table<'a>(
    mut table: &'a [u8],
    senders: &mut Vec<Sent>,
) -> ([u64; 2], impl Iterator<Item = (&'a [u8], u64)> + use<'a>) {
    let [sent, cut] = [(); 2].map(|()| u32::from_ne_bytes(take(&mut table)));
    let events = [(); 2].map(|()| u64::from_ne_bytes(take(&mut table)));
    senders.clear();
    for _ in 0..sent {
        let [end, port] = [(); 2].map(|()| u32::from_ne_bytes(take(&mut table)));
        let address = IpAddr::V6(Ipv6Addr::from(take::<16>(&mut table))).to_canonical();
        let port = port.checked_sub(1).and_then(|port| u16::try_from(port).ok());
        senders.push((end, port.map(|port| SocketAddr::new(address, port))));
    }
    let (mut lengths, mut heads) =
        table.split_at_checked(cut as usize * CUT_BYTES).unwrap_or_default();
    let cut = std::iter::from_fn(move || {
        if lengths.is_empty() {
            return None;
        }
        let [whole, head] = [(); 2].map(|()| u64::from_ne_bytes(take(&mut lengths)));
        let (head, rest) = heads.split_at_checked(usize::try_from(head).ok()?)?;
        heads = rest;
        Some((head, whole))
    });
    (events, cut)
}

impl Receiver {
    pub(super) fn read_datagrams(&mut self, listener: usize, intake: &mut impl Intake) -> Outcome {
        if !self.make_room(DATAGRAMS_BYTES, intake) {
            return Outcome::Stalled;
        }
        let Listener { config, socket } = &self.listeners[listener];
        let Some(socket) = socket else { return Outcome::Empty };
        if self.ring.reserve(DATAGRAMS_BYTES).is_none() {
            return Outcome::Stalled;
        }
        let (index, position) = (config.index, self.ring.reserved());
        let receipt = self.reads.datagrams(index, position);
        if !receipt.receive(socket.as_raw_fd(), config.kind) {
            return Outcome::Empty;
        }
        let (bytes, count) = receipt.received();
        let refused = self.commit_datagrams(index);
        self.take_batch(position, false, intake);
        add(self.region.listener(self.worker, index, cells::DATAGRAMS, 0), count as u64);
        self.count_read(index, bytes);
        for (refused, reason) in refused.iter().zip(DatagramGuard::REASONS) {
            if refused.events > 0 {
                self.notices.add(index, DROP_REASONS[reason], refused.peer, || {
                    format!("{} events of its datagrams were dropped", refused.events)
                });
            }
        }
        Outcome::Read(bytes + count)
    }

    /// Makes the datagrams that were received for the listener of that index in the region the
    /// record that was reserved; says which of them may not be taken.
    pub(super) fn commit_datagrams(&mut self, index: usize) -> [Dropped; 2] {
        let receipt = self.reads.received_datagrams();
        let listener = self.listeners.iter().position(|of| of.config.index == index);
        let mut guard = listener.map(|listener| DatagramGuard {
            rules: &self.rules[listener],
            sources: &self.sources,
            worker: self.worker,
            now_ns: self.now_ns,
            dropped: Default::default(),
            overflows: 0,
        });
        let mut guard = guard.as_mut().filter(|guard| guard.rules.guard_datagrams());
        let buffer = self.ring.reservation_mut(DATAGRAMS_BYTES);
        let end = receipt.join(buffer, &mut self.senders, |sender, datagram| {
            guard.as_mut().is_none_or(|guard| guard.takes(sender, datagram, &mut self.frames))
        });
        let (dropped, overflows) =
            guard.map_or_else(Default::default, |guard| (guard.dropped, guard.overflows));
        let events = dropped.each_ref().map(|dropped| dropped.events);
        let table = write_table(&mut buffer[end..], &self.senders, events, receipt);
        let mut record = Record::new(RecordKind::Datagrams, index, end, clock::now_ns());
        // No longer than the reservation.
        #[allow(clippy::cast_possible_truncation)]
        (record.table = table as u32);
        self.ring.commit(record);
        if overflows > 0 {
            add(self.region.worker(self.worker, cells::SOURCE_OVERFLOWS, 0), overflows);
        }
        dropped
    }

    /// Hands on what a record of datagrams holds.
    pub(super) fn take_batch(&mut self, position: u64, is_harmful: bool, intake: &mut impl Intake) {
        let (record, mark) = self.ring.record(position);
        let (listener, received_ns) = (record.subject as usize, record.received_ns);
        let chunk = self.ring.bytes(position, &record);
        let mut senders = std::mem::take(&mut self.senders);
        let (dropped, cut) = read_table(self.ring.table(position, &record), &mut senders);
        let config = self.listeners.iter().map(|of| &of.config).find(|of| of.index == listener);
        let line_limit = match config {
            // So that what was cut is always beyond the limit.
            Some(ListenerConfig { kind: Kind::UnixDatagram, limits, .. }) => {
                limits.line_bytes.min(UNIX_BYTES)
            }
            Some(config) => config.limits.line_bytes,
            None => UNIX_BYTES,
        };
        self.frames.of_datagrams(chunk, senders.iter().map(|(end, _)| *end));
        self.moving.datagrams.add(chunk.len(), self.frames.count());
        let (frames, origin) = (&self.frames, Origin::Datagrams(&senders));
        let read =
            Read { listener, line_limit, chunk, frames, origin, received_ns, mark, is_harmful };
        intake.take(&read);
        let unknown = Sender::default();
        for (head, whole) in cut {
            self.frames.of_cut_datagram(head, whole);
            let (frames, origin) = (&self.frames, Origin::Connection(&unknown));
            let chunk = &[];
            intake.take(&Read {
                listener,
                line_limit,
                chunk,
                frames,
                origin,
                received_ns,
                mark,
                is_harmful,
            });
        }
        for (events, reason) in dropped.into_iter().zip(DatagramGuard::REASONS) {
            if events > 0 {
                intake.discard(listener, reason, events, mark);
            }
        }
        intake.complete(mark);
        self.ring.consume(mark);
        self.senders = senders;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a table says is what was written.
    #[test]
    fn tables_are_read_as_they_were_written() {
        let senders: Vec<Sent> = vec![
            (7, "192.0.2.1:514".parse().ok()),
            (9, None),
            (12, "[2001:db8::1]:1".parse().ok()),
        ];
        let receipt = DatagramReceipt::boxed();
        let mut buffer = vec![0; 1000];
        let length = write_table(&mut buffer, &senders, [3, 4], &receipt);
        let mut found = vec![(0, None)];
        let (dropped, cut) = read_table(&buffer[..length], &mut found);
        assert_eq!((dropped, cut.count()), ([3, 4], 0));
        assert_eq!(found, senders);
    }
}
