//! Events a second that are accepted, and deliveries a second from end to end,
//! each beside what the disk and the sockets allow.
//!
//! ```text
//!   sender process            server process               receiver process
//!
//!   [a door's clients] -----> postrider serve (a disk) ---> [verifies, answers 204]
//!   [a door's clients] -----> the same HTTP server,    ---> [the same]
//!                             and nothing behind it
//!   [bare connections, or the dispatcher alone] ----------> [the same]
//!        |                                                      |
//!        +-- sent, answered --> this process <--- arrived ------+
//!
//!   this process: append + fdatasync --> a file beside the data directories
//! ```
//!
//! One run measures all of it, round after round: the limits, and each door with
//! a new server on a new data directory. docs/performance.md says what the
//! figures mean.

mod append;
#[path = "../common/mod.rs"]
mod common;
mod figures;
mod options;
mod report;
mod scenario;
mod setting;
mod stage;
mod text;

use std::process::ExitCode;

use clap::Parser as _;

use crate::common::machine::Machine;
use crate::common::volume::Volume;
use crate::common::{Failure, block_on, end, note, role};
use crate::figures::Figures;
use crate::options::Options;
use crate::report::Report;
use crate::scenario::{Scenario, Subject};
use crate::setting::Setting;

fn main() -> ExitCode {
    role::play().unwrap_or_else(|| end(run(&Options::parse()).map(|()| true)))
}

fn run(options: &Options) -> Result<(), Failure> {
    let dir = options.shared.dir();
    let scenarios = Scenario::wanted(options);
    if scenarios.is_empty() {
        return Err("there is no such case and no such scenario".into());
    }
    let mut report = Report::new(options, Machine::here(), Volume::measure(&dir)?, &scenarios);
    block_on(options.limit(), async {
        let setting = Setting::new(options)?;
        for round in 1..=options.rounds() {
            let mut figures = Vec::new();
            for scenario in &scenarios {
                note(&format!("round {round} of {}: {}", options.rounds(), scenario.name()));
                let before: Vec<_> = scenarios.iter().zip(&figures).collect();
                let measured = measure(scenario, &setting, &before).await;
                figures.push(measured.map_err(|failure| format!("{}: {failure}", scenario.name()))?);
            }
            report.add_round(figures);
        }
        Ok(())
    })?;
    report.print(options.shared.json)
}

/// Measures once. `before` are the scenarios that came before it, with their figures of the same round.
async fn measure(scenario: &Scenario, setting: &Setting, before: &[(&Scenario, &Figures)]) -> Result<Figures, Failure> {
    match scenario.subject {
        Subject::Append(of) => {
            let case = before.iter().find(|(case, _)| case.key == of);
            let per_sync = case.and_then(|(_, figures)| figures.per_sync());
            append::measure(scenario, setting, per_sync.ok_or("it needs the figures of what it is the limit of")?)
        }
        Subject::Unloaded => {
            let sync = append::measure(scenario, setting, 1.0)?;
            Ok(stage::measure(scenario, setting).await?.after(&sync))
        }
        _ => stage::measure(scenario, setting).await,
    }
}
