//! The options of `loadgen check` and of `loadgen audit`.

use std::fs;
use std::path::PathBuf;

use lexopt::prelude::{Long, Value};

use super::Mistake;

/// What was sent, and where it was stored.
pub struct Check {
    /// As sent.
    pub run: usize,
    /// Events sent on each connection.
    pub per_connection: Vec<usize>,
    /// Connections that the server ended.
    pub broken: Vec<usize>,
    /// The [`crate::record`], which an audit needs.
    pub record: Option<PathBuf>,
    /// A file, or for an audit a directory, for each shard.
    pub shards: Vec<PathBuf>,
}

pub(super) fn parse(parser: &mut lexopt::Parser) -> Result<Check, Mistake> {
    let (mut sent, mut record, mut shards) = (None, None, Vec::new());
    while let Some(argument) = parser.next()? {
        match argument {
            Long("sent") => sent = Some(fs::read_to_string(parser.value()?)?),
            Long("record") => record = Some(parser.value()?.into()),
            Value(shard) => shards.push(shard.into()),
            other => return Err(other.unexpected().into()),
        }
    }
    let sent = sent.ok_or("--sent FILE is missing, what `loadgen send` printed")?;
    let (run, per_connection, broken) =
        read(&sent).ok_or("the file of --sent is not of `loadgen send`")?;
    if shards.is_empty() {
        return Err("name a file or directory for each shard".into());
    }
    Ok(Check { run, per_connection, broken, record, shards })
}

/// Reads our own report, of which only three members matter here.
fn read(report: &str) -> Option<(usize, Vec<usize>, Vec<usize>)> {
    let run = report.split_once(r#""run":"#)?.1.split_once(',')?.0.parse().ok()?;
    let list = |name: &str| {
        let list = report.split_once(&format!(r#""{name}":["#))?.1.split_once(']')?.0;
        let numbers = list.split(',').map(str::trim).filter(|each| !each.is_empty());
        numbers.map(str::parse).collect::<Result<_, _>>().ok()
    };
    Some((run, list("per_connection")?, list("broken")?))
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
            broken: vec![1],
            breaks: Breaks::default(),
            cost: Cost::default(),
        };
        assert_eq!(read(&sent.to_string()), Some((12, vec![5, 4, 4], vec![1])));
        assert_eq!(read("{}"), None);
    }
}
