//! What a contributor runs beside cargo's own commands: `cargo xtask test-clients`,
//! `bench`, `prove`, `scorecard`, `mutants` and `sbom`.

#![expect(clippy::print_stderr, reason = "a program for a person in a terminal")]

mod bench;
mod clients;
mod mutants;
mod node;
mod options;
mod output;
mod prove;
mod python;
mod sbom;
mod server;
mod tally;
mod tool;

use std::process::ExitCode;

use anyhow::Result;

use crate::options::{Asked, USAGE};

fn main() -> ExitCode {
    let asked = match Asked::from(std::env::args().skip(1)) {
        Ok(asked) => asked,
        Err(error) => {
            eprintln!("error: {error:#}\n\n{USAGE}");
            return ExitCode::from(64);
        }
    };
    match run(&asked) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Whether all is as it should be.
fn run(asked: &Asked) -> Result<bool> {
    match asked {
        Asked::Help => {
            output::line(USAGE)?;
            Ok(true)
        }
        Asked::TestClients(asked) => {
            let tally = clients::test(asked)?;
            output::line(tally)?;
            Ok(tally.is_good())
        }
        Asked::Bench(asked) => bench::run(asked),
        Asked::Prove(asked) => prove::run(asked),
        Asked::Mutants(asked) => mutants::run(asked),
        Asked::Sbom => sbom::write(),
        Asked::Scorecard(asked) => prove::scorecard(asked),
    }
}
