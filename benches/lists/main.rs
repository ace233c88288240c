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
//! the figures mean is in docs/benchmarks.md.

#[path = "../end_to_end/api.rs"]
mod api;
#[path = "../end_to_end/event.rs"]
#[expect(dead_code, reason = "the other benchmark uses the rest")]
mod event;
mod fill;
#[path = "../end_to_end/machine.rs"]
#[expect(dead_code, reason = "the other benchmark uses the rest")]
mod machine;
mod measure;
mod options;
mod report;
#[path = "../end_to_end/server.rs"]
#[expect(dead_code, reason = "the other benchmark uses the rest")]
mod server;
#[path = "../end_to_end/signature.rs"]
#[expect(dead_code, reason = "the other benchmark uses the rest")]
mod signature;

use std::process::ExitCode;
use std::sync::Arc;

use clap::Parser as _;

use crate::machine::Machine;
use crate::options::Options;
use crate::report::Report;
use crate::server::Server;

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
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let work = async {
        match tokio::time::timeout(options.limit(), compare(options)).await {
            Ok(done) => done,
            Err(_) => Err(format!("the run took longer than {} s", options.limit().as_secs()).into()),
        }
    };
    runtime.block_on(work)?.print(options.json)
}

async fn compare(options: &Options) -> Result<Report, Failure> {
    let dir = options.dir();
    std::fs::create_dir_all(&dir)?;
    let machine = Machine::here();
    let data = Arc::new(tempfile::Builder::new().prefix("bench-").tempdir_in(&dir)?);
    let server = Server::on(&data)?;
    report::note(&format!("filling in {} messages", options.messages()));
    let apps = fill::fill(&server, options).await?;
    server.stop()?;
    let server = Server::on(&data)?;
    let mut pages = measure::Pages::new(&server, &apps).await?;
    let mut rounds = vec![];
    for round in 1..=options.rounds() {
        report::note(&format!("round {round} of {}", options.rounds()));
        rounds.push(pages.round(options.samples()).await?);
    }
    server.stop()?;
    Ok(Report::new(options, machine, pages.names(), rounds))
}
