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

mod api;
mod client_alone;
mod event;
mod figures;
mod http_door;
mod ledger;
mod load;
mod machine;
mod options;
mod receiver;
mod report;
mod scenario;
mod server;
mod signature;
mod socket_door;
mod through_door;
mod usage;
mod volume;

use std::process::ExitCode;

use clap::Parser as _;

use crate::machine::Machine;
use crate::options::Options;
use crate::report::Report;
use crate::scenario::{Scenario, Setting};
use crate::volume::Volume;

/// What went wrong, for a person.
type Failure = Box<dyn std::error::Error + Send + Sync>;

fn main() -> ExitCode {
    match run(&Options::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            report::note(&format!("error: {failure}"));
            ExitCode::FAILURE
        }
    }
}

fn run(options: &Options) -> Result<(), Failure> {
    let dir = options.dir();
    std::fs::create_dir_all(&dir)?;
    let setting = Setting::new(options);
    let scenarios = Scenario::all(options);
    let mut report = Report::new(options, Machine::here(), Volume::measure(&dir)?, &scenarios);
    for round in 1..=options.rounds() {
        for (scenario, rows) in scenarios.iter().zip(&mut report.rows) {
            report::note(&format!("round {round} of {}: {}", options.rounds(), scenario.name()));
            let figures = scenario.run(&setting).map_err(|failure| format!("{}: {failure}", scenario.name()))?;
            rows.rounds.push(figures);
        }
    }
    report.print(options.json)
}
