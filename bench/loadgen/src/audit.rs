//! Holds a journal against the record of what was sent: every line has to be, by its hash, an
//! event of the record, and each of these has to be there once, in order within its shard.
//!
//! Of a connection that the server ended nobody knows what it had read at the end. What is missing
//! there is told apart from what is missing before an event that is stored.

use std::fmt;
use std::io;
use std::path::Path;

use crate::arguments::Check;
use crate::identity::{Identity, Search};
use crate::record::hash;
use crate::segments::{self, Facts};

/// What became of the events; all are counts.
#[derive(Default, PartialEq, Eq, Debug)]
pub struct Findings {
    /// Events of the record that were found, each time that they were.
    pub events: u64,
    /// Lines that are no event of the record.
    pub foreign: u64,
    /// Events that differ from what was sent.
    pub altered: u64,
    /// Events that were found before.
    pub duplicated: u64,
    /// Events that stand in their shard behind one sent later.
    pub reordered: u64,
    /// Events nowhere, of connections that nobody broke or before an event that is there.
    pub lost: u64,
    /// Events nowhere at the end of connections that the server ended.
    pub unconfirmed: u64,
    /// What the files look like.
    pub facts: Facts,
}

struct Connection {
    hashes: Vec<u64>,
    /// A bit for each event: found?
    found: Vec<u64>,
    /// Events that the kernel took whole.
    sent: usize,
    broken: bool,
    /// Behind the highest sequence number seen in the shard at hand.
    next: usize,
}

/// Takes the shards one after the other.
pub struct Audit {
    run: usize,
    connections: Vec<Connection>,
    search: Search,
    findings: Findings,
}

impl Audit {
    /// An audit against a record, by connection, and what the sender said of it.
    pub fn new(sent: &Check, mut record: Vec<Vec<u64>>) -> Self {
        record.resize(sent.per_connection.len(), Vec::new());
        let connections = record.into_iter().zip(&sent.per_connection).map(|(hashes, &sent)| {
            let found = vec![0; hashes.len().div_ceil(64)];
            Connection { hashes, found, sent, broken: false, next: 0 }
        });
        let mut connections: Vec<Connection> = connections.collect();
        for &number in &sent.broken {
            connections[number].broken = true;
        }
        Self { run: sent.run, connections, search: Search::new(), findings: Findings::default() }
    }

    /// Reads all events of the shard in this directory, in the order stored.
    pub fn read_shard(&mut self, directory: &Path) -> io::Result<()> {
        for connection in &mut self.connections {
            connection.next = 0;
        }
        let mut facts = std::mem::take(&mut self.findings.facts);
        segments::read_shard(directory, &mut facts, |line| self.read(line.trim_ascii_end()))?;
        self.findings.facts = facts;
        Ok(())
    }

    fn read(&mut self, line: &[u8]) {
        let Self { run, connections, search, findings } = self;
        let identity = search.identity(line).filter(|identity| identity.run == *run);
        let known = identity.and_then(|Identity { connection, sequence, .. }| {
            let connection = connections.get_mut(connection)?;
            Some((*connection.hashes.get(sequence)?, connection, sequence))
        });
        let Some((sent, connection, sequence)) = known else {
            findings.foreign += 1;
            return;
        };
        findings.events += 1;
        findings.altered += u64::from(sent != hash(line));
        let (word, bit) = (&mut connection.found[sequence / 64], 1 << (sequence % 64));
        if *word & bit == 0 {
            findings.reordered += u64::from(sequence < connection.next);
        } else {
            findings.duplicated += 1;
        }
        *word |= bit;
        connection.next = connection.next.max(sequence + 1);
    }

    /// What all shards together say.
    pub fn finish(mut self) -> Findings {
        for connection in &self.connections {
            let is_found = |&at: &usize| connection.found[at / 64] & 1 << (at % 64) != 0;
            let last = (0..connection.sent).rev().find(is_found);
            let owed =
                if connection.broken { last.map_or(0, |at| at + 1) } else { connection.sent };
            let missing = (0..owed).filter(|at| !is_found(at)).count();
            self.findings.lost += missing as u64;
            self.findings.unconfirmed += (connection.sent - owed) as u64;
        }
        self.findings
    }
}

impl fmt::Display for Findings {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { facts, .. } = self;
        let members = [
            ("events", self.events),
            ("foreign", self.foreign),
            ("altered", self.altered),
            ("duplicated", self.duplicated),
            ("reordered", self.reordered),
            ("lost", self.lost),
            ("unconfirmed", self.unconfirmed),
            ("batches", facts.batches),
            ("missing_sequences", facts.missing_sequences),
            ("repeated_sequences", facts.repeated_sequences),
            ("damages", facts.damages),
            ("damaged_bytes", facts.damaged_bytes),
        ];
        let members = members.map(|(name, count)| format!(r#""{name}":{count}"#));
        write!(out, "{{{}}}", members.join(","))
    }
}

#[cfg(test)]
mod tests {
    use super::{Audit, Findings};
    use crate::arguments::Check;
    use crate::record::hash;
    use crate::segments::tests::{Shard, batch};

    fn event(connection: usize, sequence: usize) -> String {
        format!(r#"{{"request_id":"01-{connection:05}-{sequence:010}"}}"#)
    }

    /// What an audit says of these lines in one shard, of two connections with three events each.
    fn audit(name: &str, broken: &[usize], lines: &[String]) -> Findings {
        let record = [0, 1].map(|connection| {
            (0..3).map(|sequence| hash(event(connection, sequence).as_bytes())).collect()
        });
        let sent = Check {
            run: 1,
            per_connection: vec![3, 3],
            broken: broken.to_vec(),
            record: None,
            shards: vec![],
        };
        let shard = Shard::new(name);
        shard.write(0, &batch(0, &format!("{}\n", lines.join("\n"))));
        let mut audit = Audit::new(&sent, record.to_vec());
        audit.read_shard(shard.path()).unwrap();
        Findings { facts: super::Facts::default(), ..audit.finish() }
    }

    fn all() -> Vec<String> {
        (0..6).map(|number| event(number / 3, number % 3)).collect()
    }

    #[test]
    fn what_was_sent_is_found() {
        let expected = Findings { events: 6, ..Findings::default() };
        assert_eq!(audit("whole", &[], &all()), expected);
    }

    #[test]
    fn what_a_broken_connection_may_not_have_delivered_is_told_apart() {
        let lines = [event(0, 0), event(0, 2), event(1, 0)];
        let expected = Findings { events: 3, lost: 1, unconfirmed: 2, ..Findings::default() };
        assert_eq!(audit("broken", &[0, 1], &lines), expected);
        let expected = Findings { events: 3, lost: 3, ..Findings::default() };
        assert_eq!(audit("lived", &[0], &lines), expected);
    }

    #[test]
    fn one_byte_that_differs_is_seen() {
        let mut lines = all();
        lines[4].insert(1, ' ');
        let expected = Findings { events: 6, altered: 1, ..Findings::default() };
        assert_eq!(audit("altered", &[], &lines), expected);
    }

    #[test]
    fn what_is_there_twice_or_too_late_or_foreign_is_seen() {
        let mut lines = all();
        lines.swap(0, 1);
        lines.extend([event(1, 2), event(1, 3), event(2, 0), "{}".to_owned()]);
        let expected =
            Findings { events: 7, duplicated: 1, reordered: 1, foreign: 3, ..Findings::default() };
        assert_eq!(audit("twice", &[], &lines), expected);
    }
}
