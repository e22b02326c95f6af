//! Reads stored events back: every connection's sequence numbers must be 0, 1, 2, … to the end.

use std::fmt;
use std::io::{self, BufRead};

use memchr::memmem::Finder;

use crate::arguments::share;
use crate::block::{CONNECTION_DIGITS, IDENTITY_KEY, SEQUENCE_DIGITS};

/// What is wrong with the stored events, if anything.
#[derive(Default, PartialEq, Eq, Debug)]
pub struct Findings {
    /// Lines read.
    events: u64,
    /// Lines without the identity of a sent event.
    foreign: u64,
    /// Sequence numbers that were skipped and not seen later either.
    lost: u64,
    /// Events with a sequence number that was already stored.
    duplicated: u64,
    /// Events that were stored after one sent later.
    reordered: u64,
}

impl Findings {
    /// Was every event stored exactly once and in order?
    pub fn clean(&self) -> bool {
        *self == Self { events: self.events, ..Self::default() }
    }
}

impl fmt::Display for Findings {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            out,
            r#"{{"events":{},"foreign":{},"lost":{},"duplicated":{},"reordered":{},"clean":{}}}"#,
            self.events,
            self.foreign,
            self.lost,
            self.duplicated,
            self.reordered,
            self.clean()
        )
    }
}

/// Checks the lines of `stored` against a run of `events` over `connections`.
pub fn check(mut stored: impl BufRead, connections: usize, events: u64) -> io::Result<Findings> {
    let mut seen: Vec<Vec<bool>> = (0..connections)
        .map(|index| vec![false; usize::try_from(share(events, connections, index)).unwrap_or(0)])
        .collect();
    let mut next = vec![0; connections];
    let mut findings = Findings::default();
    let finder = Finder::new(IDENTITY_KEY);
    let mut line = Vec::new();
    while stored.read_until(b'\n', &mut line)? > 0 {
        findings.events += 1;
        let place = identity(&finder, &line)
            .filter(|&(connection, number)| seen.get(connection).is_some_and(|s| number < s.len()));
        if let Some((connection, number)) = place {
            if std::mem::replace(&mut seen[connection][number], true) {
                findings.duplicated += 1;
            } else if number < next[connection] {
                findings.reordered += 1;
            }
            next[connection] = next[connection].max(number + 1);
        } else {
            findings.foreign += 1;
        }
        line.clear();
    }
    findings.lost = seen.iter().flatten().filter(|&&stored| !stored).count() as u64;
    Ok(findings)
}

fn identity(finder: &Finder<'_>, line: &[u8]) -> Option<(usize, usize)> {
    let text = line.get(finder.find(line)? + IDENTITY_KEY.len()..)?;
    let connection = digits(text.get(..CONNECTION_DIGITS)?)?;
    let sequence = digits(text.get(CONNECTION_DIGITS + 1..)?.get(..SEQUENCE_DIGITS)?)?;
    Some((connection, sequence))
}

fn digits(text: &[u8]) -> Option<usize> {
    text.iter().try_fold(0, |number, byte| {
        byte.is_ascii_digit().then(|| number * 10 + usize::from(byte - b'0'))
    })
}

#[cfg(test)]
mod tests {
    use super::{Findings, check};
    use crate::block::{Block, EVENTS};

    fn two_connections() -> Vec<u8> {
        let mut block = Block::new();
        let mut stored = block.numbered(0, 0, 0..EVENTS).to_vec();
        stored.extend_from_slice(block.numbered(1, 0, 0..EVENTS));
        stored
    }

    #[test]
    fn what_was_sent_is_clean() {
        let findings = check(&two_connections()[..], 2, 2 * EVENTS as u64).unwrap();
        assert!(findings.clean(), "{findings}");
    }

    #[test]
    fn lost_duplicated_and_reordered_events_are_told_apart() {
        let stored = two_connections();
        let mut lines: Vec<&[u8]> = stored.split_inclusive(|&byte| byte == b'\n').collect();
        lines.swap(3, 4);
        lines.push(lines[7]);
        lines.remove(1500);
        lines.push(b"{}\n");
        let findings = check(&lines.concat()[..], 2, 2 * EVENTS as u64).unwrap();
        let expected = Findings { events: 2001, foreign: 1, lost: 1, duplicated: 1, reordered: 1 };
        assert_eq!(findings, expected);
    }
}
