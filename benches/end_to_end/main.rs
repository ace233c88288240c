//! Events a second that are accepted, and deliveries a second from end to end,
//! each beside what the disk and the sockets allow.
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
//!   [main thread: bare connections, or the dispatcher alone] --> [receiver thread]
//!   [main thread: append + fdatasync] --> a file beside the data directories
//! ```
//!
//! One run measures all of it, round after round: the limits, and each door with
//! a new server on a new data directory. docs/benchmarks.md says
//! what the figures mean.

mod alone;
mod append;
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
        let mut figures = Vec::new();
        for scenario in &scenarios {
            note(&format!("round {round} of {}: {}", options.rounds(), scenario.name()));
            let before: Vec<_> = scenarios.iter().copied().zip(&figures).collect();
            let measured = scenario.run(&setting, &before);
            figures.push(measured.map_err(|failure| format!("{}: {failure}", scenario.name()))?);
        }
        report.add_round(figures);
    }
    report.print(options.shared.json)
}
