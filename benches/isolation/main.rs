//! Whether endpoints that hang, dribble or reset cost the others anything.
//!
//! ```text
//!   this process                      server process          this process
//!
//!   [steady load over ingest.sock] -> postrider serve --> [receiver: 970 good endpoints]
//!   [the same for the bad ones]    ->        |        --> [bad: 10 hang, 10 send a byte a second,
//!                                            |                  10 reset]
//! ```
//!
//! Runs with and without the bad endpoints take turns; what is compared is the
//! time from sending to arrival at the good ones, within each pair. What the
//! figures mean is in docs/benchmarks.md.

#[path = "../end_to_end/api.rs"]
mod api;
mod bad;
#[path = "../end_to_end/event.rs"]
#[expect(dead_code, reason = "the other benchmark uses the rest")]
mod event;
#[path = "../end_to_end/ledger.rs"]
#[expect(dead_code, reason = "the other benchmark uses the rest")]
mod ledger;
#[path = "../end_to_end/load.rs"]
mod load;
#[path = "../end_to_end/machine.rs"]
#[expect(dead_code, reason = "the other benchmark uses the rest")]
mod machine;
mod options;
#[path = "../end_to_end/receiver.rs"]
#[expect(dead_code, reason = "the other benchmark uses the rest")]
mod receiver;
mod report;
mod run;
#[path = "../end_to_end/server.rs"]
#[expect(dead_code, reason = "the other benchmark uses the rest")]
mod server;
#[path = "../end_to_end/signature.rs"]
mod signature;
#[path = "../end_to_end/socket_door.rs"]
mod socket_door;
#[path = "../end_to_end/usage.rs"]
#[expect(dead_code, reason = "the other benchmark uses the rest")]
mod usage;

use std::process::ExitCode;

use clap::Parser as _;

use crate::machine::Machine;
use crate::options::Options;
use crate::report::{Pair, Report, note};
use crate::run::Run;

/// What went wrong, for a person.
type Failure = Box<dyn std::error::Error + Send + Sync>;

fn main() -> ExitCode {
    match measure(&Options::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(failure) => {
            note(&format!("error: {failure}"));
            ExitCode::FAILURE
        }
    }
}

/// Whether the ratio is within what was asked for.
fn measure(options: &Options) -> Result<bool, Failure> {
    std::fs::create_dir_all(options.dir())?;
    let capacity = Run::capacity(options)?;
    let rate = ((capacity * options.load) as u32).max(1);
    note(&format!("capacity {capacity:.0} events/s; the load is {rate}"));
    let mut pairs = Vec::new();
    for number in 1..=options.pairs() {
        note(&format!("pair {number} of {}", options.pairs()));
        // Which comes first changes, so that a machine that grows slower favours none.
        let with_first = number % 2 == 0;
        let first = Run::steady(options, rate, with_first)?;
        let second = Run::steady(options, rate, !with_first)?;
        let (with, without) = if with_first { (first, second) } else { (second, first) };
        pairs.push(Pair { with, without });
    }
    Report::new(options, Machine::here(), capacity, rate, pairs).print(options)
}
