//! Events a second from end to end, beside the same HTTP client alone.
//!
//! ```text
//!   this process                        server process        this process
//!
//!   [main thread: a door's clients] --> postrider serve --> [receiver thread]
//!            ^        |                    (its own             |
//!            +--------+                  threads, a disk)       |
//!              answers                                          |
//!            |                                                  |
//!            +------------------> Ledger <----------------------+
//!                 sent, answered         arrived
//!
//!   [client threads: hyper alone, or the dispatcher alone] --> [receiver thread]
//! ```
//!
//! One run measures all of it, round after round: the client alone first, then
//! each door with a new server on a new data directory. docs/benchmarks.md says
//! what the figures mean.

mod client_alone;
#[path = "../common/mod.rs"]
mod common;
mod figures;
mod http_door;
mod options;
mod report;
mod scenario;
mod through_door;

use std::process::ExitCode;

use clap::Parser as _;

use crate::common::machine::Machine;
use crate::common::volume::Volume;
use crate::common::{Failure, end, note};
use crate::options::Options;
use crate::report::Report;
use crate::scenario::{Scenario, Setting};

fn main() -> ExitCode {
    end(run(&Options::parse()).map(|()| true))
}

fn run(options: &Options) -> Result<(), Failure> {
    let dir = options.shared.dir();
    std::fs::create_dir_all(&dir)?;
    let setting = Setting::new(options);
    let scenarios = Scenario::all(options);
    let mut report = Report::new(options, Machine::here(), Volume::measure(&dir)?, &scenarios);
    for round in 1..=options.rounds() {
        for (scenario, rows) in scenarios.iter().zip(&mut report.rows) {
            note(&format!("round {round} of {}: {}", options.rounds(), scenario.name()));
            let figures = scenario.run(&setting).map_err(|failure| format!("{}: {failure}", scenario.name()))?;
            rows.rounds.push(figures);
        }
    }
    report.print(options.shared.json)
}
