//! The load generator of the benchmarks: `loadgen send` writes numbered JSON events over TCP or
//! UDP from prebuilt buffers, `loadgen check` reads them back and says which were lost,
//! duplicated or out of order. It must use far less CPU than the server it measures.

mod arguments;
mod block;
mod check;
mod clock;
mod pace;
mod report;
mod tcp;
mod timeline;
mod udp;

use std::error::Error;
use std::fs::File;
use std::io::{self, BufWriter};
use std::process::ExitCode;

use arguments::{Check, Command, Send, Transport};
use pace::Pace;
use report::Report;
use timeline::Timeline;

fn main() -> ExitCode {
    let outcome = match arguments::parse(lexopt::Parser::from_env()) {
        Ok(Command::Help) => {
            print!("{}", arguments::USAGE);
            Ok(ExitCode::SUCCESS)
        }
        Ok(Command::Send(options)) => send(&options),
        Ok(Command::Check(options)) => check(&options),
        Err(error) => Err(error.into()),
    };
    outcome.unwrap_or_else(|error| {
        eprintln!("loadgen: {error}");
        ExitCode::FAILURE
    })
}

fn send(options: &Send) -> Result<ExitCode, Box<dyn Error>> {
    let mut timeline = Timeline::new();
    let pace = Pace::new(options.rate);
    let cpu_before = clock::cpu_seconds();
    let started_ns = clock::monotonic_ns();
    let sent = match options.transport {
        Transport::Tcp => tcp::send(options, &pace, &mut timeline)?,
        Transport::Udp => udp::send(options, &pace, &mut timeline)?,
    };
    let ended_ns = clock::monotonic_ns();
    let cpu_seconds = clock::cpu_seconds() - cpu_before;
    if let Some(path) = &options.timeline {
        timeline.write(BufWriter::new(File::create(path)?))?;
    }
    println!("{}", Report { sent, started_ns, ended_ns, cpu_seconds });
    Ok(ExitCode::SUCCESS)
}

fn check(options: &Check) -> Result<ExitCode, Box<dyn Error>> {
    let findings = check::check(io::stdin().lock(), options.connections, options.events)?;
    println!("{findings}");
    Ok(if findings.clean() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
