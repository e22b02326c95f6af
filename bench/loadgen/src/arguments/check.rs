//! The options of `loadgen check`.

use std::fs;
use std::path::PathBuf;

use lexopt::prelude::{Long, Value};

use super::Mistake;

/// The options of `loadgen check`.
pub struct Check {
    /// As sent.
    pub run: usize,
    /// Events sent on each connection.
    pub per_connection: Vec<usize>,
    /// A file for each shard.
    pub shards: Vec<PathBuf>,
}

pub(super) fn parse(parser: &mut lexopt::Parser) -> Result<Check, Mistake> {
    let (mut sent, mut shards) = (None, Vec::new());
    while let Some(argument) = parser.next()? {
        match argument {
            Long("sent") => sent = Some(fs::read_to_string(parser.value()?)?),
            Value(shard) => shards.push(shard.into()),
            other => return Err(other.unexpected().into()),
        }
    }
    let sent = sent.ok_or("check needs --sent FILE, what `loadgen send` printed")?;
    let (run, per_connection) = read(&sent).ok_or("the file of --sent is not of `loadgen send`")?;
    if shards.is_empty() {
        return Err("check needs a file for each shard".into());
    }
    Ok(Check { run, per_connection, shards })
}

/// Reads our own report, of which only two members matter here.
fn read(report: &str) -> Option<(usize, Vec<usize>)> {
    let run = report.split_once(r#""run":"#)?.1.split_once(',')?.0.parse().ok()?;
    let list = report.split_once(r#""per_connection":["#)?.1.split_once(']')?.0;
    let counts = list.split(',').map(|count| count.trim().parse());
    Some((run, counts.collect::<Result<_, _>>().ok()?))
}

#[cfg(test)]
mod tests {
    use super::read;
    use crate::report::{Breaks, Cost, Sent};

    #[test]
    fn what_send_prints_is_read_back() {
        let sent = Sent {
            run: 12,
            bytes: 1,
            per_connection: vec![5, 4, 4],
            breaks: Breaks::default(),
            cost: Cost::default(),
        };
        assert_eq!(read(&sent.to_string()), Some((12, vec![5, 4, 4])));
        assert_eq!(read("{}"), None);
    }
}
