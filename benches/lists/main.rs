//! Whether a list is as quick with 1,000,000 members as with 1,000, and at its
//! end as at its beginning.
//!
//! ```text
//!   this process                                   server process
//!
//!   fill:    lines over ingest.sock -------------> postrider serve     (endpoints are disabled)
//!                                                      | stop, start: most rows are on disk
//!   measure: GET a page, one after the other ----> postrider serve
//! ```
//!
//! All applications lie in one store, and every ratio is one within a round. What
//! the figures mean is in docs/performance.md.

#[path = "../common/mod.rs"]
mod common;
mod fill;
mod measure;
mod options;
mod report;

use std::process::ExitCode;
use std::sync::Arc;

use clap::Parser as _;

use crate::common::machine::Machine;
use crate::common::server::Server;
use crate::common::{Failure, block_on, end, note};
use crate::options::Options;
use crate::report::Report;

fn main() -> ExitCode {
    end(run(&Options::parse()).map(|()| true))
}

fn run(options: &Options) -> Result<(), Failure> {
    block_on(options.limit(), compare(options))?.print(options.shared.json)
}

async fn compare(options: &Options) -> Result<Report, Failure> {
    let dir = options.shared.dir();
    std::fs::create_dir_all(&dir)?;
    let machine = Machine::here();
    let data = Arc::new(tempfile::Builder::new().prefix("bench-").tempdir_in(&dir)?);
    let server = Server::on(&data)?;
    note(&format!("filling in {} messages", options.messages()));
    let apps = fill::fill(&server, options).await?;
    server.stop()?;
    let server = Server::on(&data)?;
    let mut pages = measure::Pages::new(&server, &apps).await?;
    let mut rounds = vec![];
    for round in 1..=options.rounds() {
        note(&format!("round {round} of {}", options.rounds()));
        rounds.push(pages.round(options.samples()).await?);
    }
    server.stop()?;
    Ok(Report::new(options, machine, pages.names(), rounds))
}
