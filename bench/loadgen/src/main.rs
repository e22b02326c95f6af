//! The load generator of the benchmarks: `loadgen send` writes numbered events from prebuilt
//! buffers, `loadgen check` reads them back and says which were lost, duplicated or out of order,
//! `loadgen audit` does so where connections may have broken, and `loadgen hostile` is a client
//! that nobody wants. It must use far less CPU than the server it
//! measures.

mod arguments;
mod audit;
mod block;
mod check;
mod clock;
mod datagrams;
mod hostile;
mod identity;
mod input;
mod messages;
mod pace;
mod record;
mod report;
mod segments;
mod stream;
mod streams;
mod timeline;
mod tls;

use std::fs::File;
use std::io::{BufReader, BufWriter};
use std::process::ExitCode;

use arguments::{Command, Mistake};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use timeline::Timeline;

/// Few large reads: a shard has gigabytes.
const READ_BYTES: usize = 1024 * 1024;

fn main() -> ExitCode {
    act().unwrap_or_else(|error| {
        eprintln!("loadgen: {error}");
        ExitCode::FAILURE
    })
}

fn act() -> Result<ExitCode, Mistake> {
    match arguments::parse(lexopt::Parser::from_env())? {
        Command::Help => {
            print!("{}", arguments::USAGE);
            Ok(ExitCode::SUCCESS)
        }
        Command::Send(options) => send(&options),
        Command::Check(options) => check(&options),
        Command::Audit(options) => audit(&options),
        Command::Hostile(options) => {
            allow_descriptors()?;
            println!("{}", hostile::run(&options)?);
            Ok(ExitCode::SUCCESS)
        }
    }
}

fn send(options: &arguments::Send) -> Result<ExitCode, Mistake> {
    allow_descriptors()?;
    let mut timeline = Timeline::new();
    let sent = if options.target.takes_datagrams() {
        datagrams::send(options, &mut timeline)?
    } else {
        streams::send(options, &mut timeline)?
    };
    if let Some(path) = &options.timeline {
        timeline.write(BufWriter::new(File::create(path)?))?;
    }
    println!("{sent}");
    Ok(success_if(sent.breaks.none()))
}

fn check(options: &arguments::Check) -> Result<ExitCode, Mistake> {
    let mut check = check::Check::new(options.run, &options.per_connection);
    for shard in &options.shards {
        check.read_shard(BufReader::with_capacity(READ_BYTES, File::open(shard)?))?;
    }
    let findings = check.finish();
    println!("{findings}");
    Ok(success_if(findings.clean()))
}

fn audit(options: &arguments::Check) -> Result<ExitCode, Mistake> {
    let record = options.record.as_deref().ok_or("audit needs --record FILE")?;
    let mut audit = audit::Audit::new(options, record::read(record)?);
    for shard in &options.shards {
        audit.read_shard(shard)?;
    }
    println!("{}", audit.finish());
    Ok(ExitCode::SUCCESS)
}

fn success_if(right: bool) -> ExitCode {
    if right { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Raises the limit of open files as far as it goes: each connection is one.
fn allow_descriptors() -> rustix::io::Result<()> {
    let maximum = getrlimit(Resource::Nofile).maximum;
    setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum })
}
