//! Whether endpoints that hang, dribble or reset cost the others anything.
//!
//! ```text
//!   sender process                    server process        receiver process
//!
//!   [steady load over ingest.sock] -> postrider serve --> [970 good endpoints]
//!   this process                      |                   this process
//!   [the same for the bad ones]    -> +-----------------> [bad: 10 hang, 10 send a byte a second,
//!                                                               10 reset]
//! ```
//!
//! Runs with and without the bad endpoints take turns; what is compared is the
//! time from sending to arrival at the good ones, within each pair. What the
//! figures mean is in docs/performance.md.

mod bad;
#[path = "../common/mod.rs"]
mod common;
mod options;
mod report;
mod run;

use std::process::ExitCode;

use clap::Parser as _;

use crate::common::machine::Machine;
use crate::common::{Failure, end, note, role};
use crate::options::Options;
use crate::report::{Pair, Report};
use crate::run::Run;

fn main() -> ExitCode {
    role::play().unwrap_or_else(|| end(measure(&Options::parse())))
}

/// Whether the ratio is within what was asked for.
fn measure(options: &Options) -> Result<bool, Failure> {
    std::fs::create_dir_all(options.shared.dir())?;
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
