//! Whether what the server costs stays what it is as the work grows: memory, starts,
//! history, endpoints; and what it costs when there is no work.
//!
//! ```text
//!   this process, or a sender                  server process
//!
//!   fill:     lines over ingest.sock --------> postrider serve --> endpoints that refuse, or a receiver
//!   measure:  /proc, pages, starts, load ----> the same, or one on the same store
//! ```
//!
//! Each case has stores of its own, which are removed when it is done. What is
//! compared is measured in the same run, in turns. What the figures mean is in
//! docs/performance.md.

#[path = "../common/mod.rs"]
mod common;
mod fill;
mod history;
mod idle;
mod lanes;
mod memory;
mod options;
mod report;
mod restart;
mod sectors;
mod stage;
mod watch;

use std::process::ExitCode;

use clap::Parser as _;

use crate::common::case::Case;
use crate::common::machine::Machine;
use crate::common::volume::Volume;
use crate::common::{Failure, block_on, end, role};
use crate::options::{Kind, Options};
use crate::report::Report;

fn main() -> ExitCode {
    role::play().unwrap_or_else(|| end(run(&Options::parse())))
}

/// Whether the targets are met, or nobody asked for that.
fn run(options: &Options) -> Result<bool, Failure> {
    let dir = options.shared.dir();
    let (machine, volume) = (Machine::here(), Volume::measure(&dir)?);
    let cases = block_on(options.limit(), measure(options, &volume))?;
    Report { machine, volume, cases }.print(options)
}

async fn measure(options: &Options, volume: &Volume) -> Result<Vec<Case>, Failure> {
    let mut cases = vec![];
    if options.wants(Kind::Idle) {
        cases.extend(idle::idle(options).await?);
    }
    if options.wants(Kind::Memory) {
        cases.push(memory::behind_one(options).await?);
    }
    if options.wants(Kind::Spread) {
        cases.push(memory::spread(options).await?);
    }
    if options.wants(Kind::Restart) {
        let large = options.events(10_000_000);
        cases.extend(restart::starts(options, large / 10, ["restart-tenth", "restart-tenth-killed"]).await?);
        cases.extend(restart::starts(options, large, ["restart", "restart-killed"]).await?);
    }
    if options.wants(Kind::History) {
        cases.extend(history::compare(options).await?);
    }
    if options.wants(Kind::Sectors) {
        cases.extend(sectors::written(options, volume).await?);
    }
    if options.wants(Kind::Endpoints) {
        cases.push(lanes::compare(options).await?);
    }
    Ok(cases)
}
