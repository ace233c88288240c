//! Whether a million deliveries that wait behind a dead endpoint cost the others anything.
//!
//! ```text
//!   sender processes                                server processes    receiver processes  this process
//!
//!   [load over ingest.sock, one server at a time] -> none     --------> [10 good endpoints]
//!                                                 -> refusing --------> [10 good endpoints], [dead: refuses]
//!                                                 -> hanging  --------> [10 good endpoints], [dead: hangs]
//! ```
//!
//! Three servers live side by side, each with a store, a sender and a receiver of its own.
//! Two get a backlog; then they are measured in turns, and each is compared with
//! the one that has none, within the same round. What the figures mean is in
//! docs/performance.md.

#[path = "../common/mod.rs"]
mod common;
mod dead;
mod options;
mod report;
mod stage;

use std::process::ExitCode;
use std::time::Duration;

use clap::Parser as _;

use crate::common::machine::Machine;
use crate::common::volume::Volume;
use crate::common::{Failure, block_on, end, note, role};
use crate::dead::Manner;
use crate::options::Options;
use crate::report::{Report, Row};
use crate::stage::Stage;

fn main() -> ExitCode {
    role::play().unwrap_or_else(|| end(run(&Options::parse())))
}

/// Whether the ratios are within what was asked for.
fn run(options: &Options) -> Result<bool, Failure> {
    let dir = options.shared.dir();
    let (machine, volume) = (Machine::here(), Volume::measure(&dir)?);
    let (rows, rate) = block_on(options.limit(), compare(options))?;
    Report::new(options, machine, volume, rate, rows).print(options)
}

/// All servers, measured; with the rate of the steady load.
async fn compare(options: &Options) -> Result<(Vec<Row>, u32), Failure> {
    let capacity = stage::capacity(options).await?;
    let rate = ((capacity * options.load) as u32).max(1);
    note(&format!("capacity {capacity:.0} events/s; the steady load is {rate}"));
    let mut stages = Vec::new();
    stages.push(prepare(options, rate, None).await?);
    for manner in options.manners()? {
        stages.push(prepare(options, rate, Some(manner)).await?);
    }
    let servers = stages.len();
    for round in 1..=options.rounds() {
        note(&format!("round {round} of {}", options.rounds()));
        // Which comes first changes, so that a machine that grows slower favours none, and
        // so does the direction: what one leaves to the disk would fall into the same one's time.
        for turn in 0..servers {
            let step = if round % 2 == 0 { turn } else { servers - turn };
            let Some((stage, row)) = stages.get_mut((round + step) % servers) else { continue };
            row.rounds.push(stage.round(options, rate).await?);
        }
    }
    let mut measured = Vec::new();
    for (stage, mut row) in stages {
        row.after = stage.standing().await?;
        let stage = stage.restart().await?;
        row.restarted = stage.standing().await?;
        stage.stop()?;
        if row.lacks(options.backlog()) {
            return Err("the backlog was not there all the time".into());
        }
        measured.push(row);
    }
    Ok((measured, rate))
}

/// A server with warm endpoints, with a backlog if one is asked for.
async fn prepare(options: &Options, rate: u32, manner: Option<Manner>) -> Result<(Stage, Row), Failure> {
    let stage = Stage::start(options, options.rounds(), rate).await?;
    let mut row = Row::new(manner);
    if let Some(manner) = manner {
        let dead = dead::register(&stage.server, manner).await?;
        let (tenth, whole) = (options.backlog() / 10, options.backlog());
        note(&format!("{whole} events for an endpoint that is {}", manner.name()));
        row.fill += dead.send(0..tenth, options).await?;
        stage.quiet().await?;
        row.tenth = stage.standing().await?;
        row.fill += dead.send(tenth..whole, options).await?;
    }
    stage.quiet().await?;
    row.idle_cpu = stage.cpu_alone(Duration::from_secs(5)).await?;
    row.full = stage.standing().await?;
    Ok((stage, row))
}
