//! Reads stored events back, shard after shard: of every connection each sequence number has to be
//! there once.
//!
//! A connection may have moved from one worker to another while it sent, so its events can lie in
//! several shards. Within a shard its numbers must rise. Between shards the order is proved by
//! `diagnostics.ingest.received_at` where that is stored: no event may have been received before
//! one with a lower number, as far as the clock tells them apart.

use std::fmt;
use std::io::{self, BufRead};

use memchr::memmem;

use crate::identity::{Identity, Search};

const RECEIVED_KEY: &[u8] = b"\"received_at\":\"";

/// What is wrong with the stored events, if anything.
#[derive(Default, PartialEq, Eq, Debug)]
pub struct Findings {
    /// Events of the run.
    pub events: u64,
    /// Events of other runs; they do no harm.
    pub other_runs: u64,
    /// Lines without the identity of a sent event.
    pub foreign: u64,
    /// Sequence numbers that are nowhere.
    pub lost: u64,
    /// Events with a sequence number that was already stored.
    pub duplicated: u64,
    /// Events that stand in their shard behind one sent later.
    pub reordered: u64,
    /// Events that were received before one that was sent earlier.
    pub received_out_of_order: u64,
    /// Events that say when they were received.
    pub timed: u64,
    /// Connections with events in more than one shard.
    pub moved_connections: u64,
}

impl Findings {
    /// Was every event stored exactly once and in order?
    pub fn clean(&self) -> bool {
        let wrong =
            [self.foreign, self.lost, self.duplicated, self.reordered, self.received_out_of_order];
        wrong == [0; 5]
    }
}

impl fmt::Display for Findings {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            out,
            concat!(
                r#"{{"events":{},"other_runs":{},"foreign":{},"lost":{},"duplicated":{},"#,
                r#""reordered":{},"received_out_of_order":{},"timed":{},"#,
                r#""moved_connections":{},"clean":{}}}"#,
            ),
            self.events,
            self.other_runs,
            self.foreign,
            self.lost,
            self.duplicated,
            self.reordered,
            self.received_out_of_order,
            self.timed,
            self.moved_connections,
            self.clean()
        )
    }
}

/// What is known of one event: not stored, stored without a time, or when it was received.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Stored {
    Nowhere,
    Untimed,
    /// The digits of the timestamp as a number.
    Received(u64),
}

struct Connection {
    events: Vec<Stored>,
    /// Behind the highest sequence number seen in the shard at hand.
    next: usize,
    shards: u64,
}

/// Takes the shards one after the other.
pub struct Check {
    run: usize,
    connections: Vec<Connection>,
    search: Search,
    received: memmem::FinderRev<'static>,
    findings: Findings,
}

impl Check {
    /// A check against what a run sent on each connection.
    pub fn new(run: usize, per_connection: &[usize]) -> Self {
        let connections = per_connection
            .iter()
            .map(|&sent| Connection { events: vec![Stored::Nowhere; sent], next: 0, shards: 0 })
            .collect();
        Self {
            run,
            connections,
            search: Search::new(),
            // From the end: the server writes its part of an event last.
            received: memmem::FinderRev::new(RECEIVED_KEY),
            findings: Findings::default(),
        }
    }

    /// Reads all events of a shard, in the order stored.
    pub fn read_shard(&mut self, mut stored: impl BufRead) -> io::Result<()> {
        for connection in &mut self.connections {
            connection.next = 0;
        }
        let mut line = Vec::new();
        while stored.read_until(b'\n', &mut line)? > 0 {
            self.read(&line);
            line.clear();
        }
        for connection in &mut self.connections {
            connection.shards += u64::from(connection.next > 0);
        }
        Ok(())
    }

    fn read(&mut self, line: &[u8]) {
        let Some(identity) = self.search.identity(line) else {
            self.findings.foreign += 1;
            return;
        };
        if identity.run != self.run {
            self.findings.other_runs += 1;
            return;
        }
        self.findings.events += 1;
        let received = received_at(&self.received, line);
        self.findings.timed += u64::from(received.is_some());
        let Identity { connection, sequence, .. } = identity;
        let place = self.connections.get_mut(connection);
        let Some(connection) = place.filter(|each| sequence < each.events.len()) else {
            self.findings.foreign += 1;
            return;
        };
        let event = &mut connection.events[sequence];
        if *event == Stored::Nowhere {
            *event = received.map_or(Stored::Untimed, Stored::Received);
            self.findings.reordered += u64::from(sequence < connection.next);
        } else {
            self.findings.duplicated += 1;
        }
        connection.next = connection.next.max(sequence + 1);
    }

    /// What all shards together say.
    pub fn finish(mut self) -> Findings {
        for connection in &self.connections {
            let mut latest = Stored::Nowhere;
            for &event in &connection.events {
                match event {
                    Stored::Nowhere => self.findings.lost += 1,
                    Stored::Untimed => {}
                    Stored::Received(_) => {
                        self.findings.received_out_of_order += u64::from(event < latest);
                        latest = latest.max(event);
                    }
                }
            }
            self.findings.moved_connections += u64::from(connection.shards > 1);
        }
        self.findings
    }
}

/// The digits of `2026-01-02T03:04:05.678Z` as a number; all such have one length.
fn received_at(finder: &memmem::FinderRev<'_>, line: &[u8]) -> Option<u64> {
    let text = line.get(finder.rfind(line)? + RECEIVED_KEY.len()..)?;
    let text = &text[..memchr::memchr(b'"', text)?];
    let digits = text.iter().filter(|byte| byte.is_ascii_digit());
    digits
        .map(|byte| u64::from(byte - b'0'))
        .try_fold(0u64, |number, digit| number.checked_mul(10)?.checked_add(digit))
}

#[cfg(test)]
mod tests {
    use super::{Check, Findings};
    use crate::block::{Block, EVENTS, Framing};
    use crate::messages::Format;

    fn block() -> Block {
        Block::new(Format::Json, Framing::Newline, 1)
    }

    fn check(per_connection: &[usize], shards: &[&[u8]]) -> Findings {
        let mut check = Check::new(1, per_connection);
        for shard in shards {
            check.read_shard(*shard).unwrap();
        }
        check.finish()
    }

    fn received(sequence: usize, millisecond: usize) -> String {
        format!(
            concat!(
                r#"{{"message":"request_id=01-00000-{:010}","diagnostics":{{"ingest":"#,
                r#"{{"received_at":"2026-01-02T03:04:05.{:03}Z","shard":0}}}}}}"#,
                "\n"
            ),
            sequence, millisecond
        )
    }

    #[test]
    fn what_was_sent_is_clean() {
        let mut block = block();
        let mut stored = block.numbered(0, 0, 0..EVENTS).to_vec();
        stored.extend_from_slice(block.numbered(1, 0, 0..EVENTS));
        let findings = check(&[EVENTS, EVENTS], &[&stored]);
        assert!(findings.clean(), "{findings}");
        assert_eq!(findings.events, 2 * EVENTS as u64);
    }

    #[test]
    fn lost_duplicated_and_reordered_events_are_told_apart() {
        let mut block = block();
        let mut stored = block.numbered(0, 0, 0..EVENTS).to_vec();
        stored.extend_from_slice(block.numbered(1, 0, 0..EVENTS));
        let mut lines: Vec<&[u8]> = stored.split_inclusive(|&byte| byte == b'\n').collect();
        lines.swap(3, 4);
        lines.push(lines[7]);
        lines.remove(1500);
        lines.push(b"{}\n");
        let findings = check(&[EVENTS, EVENTS], &[&lines.concat()]);
        let wrong = Findings { foreign: 1, lost: 1, duplicated: 1, reordered: 1, ..findings };
        assert_eq!(findings, Findings { events: 2000, ..wrong });
        assert!(!findings.clean());
    }

    #[test]
    fn events_of_another_run_do_no_harm() {
        let mut warm_up = Block::new(Format::Rfc3164, Framing::Newline, 0);
        let mut stored = warm_up.numbered(0, 0, 0..EVENTS).to_vec();
        stored.extend_from_slice(block().numbered(0, 0, 0..EVENTS));
        let findings = check(&[EVENTS], &[&stored]);
        assert!(findings.clean(), "{findings}");
        assert_eq!(findings.other_runs, EVENTS as u64);
    }

    #[test]
    fn a_connection_that_moved_there_and_back_is_clean() {
        let there = [received(0, 1), received(3, 4)].concat();
        let back = [received(1, 2), received(2, 4)].concat();
        let findings = check(&[4], &[there.as_bytes(), back.as_bytes()]);
        assert!(findings.clean(), "{findings}");
        assert_eq!((findings.moved_connections, findings.timed), (1, 4));
    }

    #[test]
    fn of_two_shards_the_times_tell_that_events_overtook_each_other() {
        let one = [received(0, 1), received(3, 4)].concat();
        let other = [received(1, 7), received(2, 8)].concat();
        let findings = check(&[4], &[one.as_bytes(), other.as_bytes()]);
        assert_eq!((findings.reordered, findings.received_out_of_order), (0, 1));
        assert!(!findings.clean());
    }

    #[test]
    fn an_event_in_two_shards_is_a_duplicate() {
        let event = received(0, 1);
        let findings = check(&[1], &[event.as_bytes(), event.as_bytes()]);
        assert_eq!((findings.duplicated, findings.lost), (1, 0));
    }
}
