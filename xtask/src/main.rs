//! What a contributor runs beside cargo's own commands: `cargo xtask test-clients`.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a program for a person in a terminal")]

mod clients;
mod node;
mod options;
mod python;
mod server;
mod tally;
mod tool;

use std::process::ExitCode;

use crate::options::{Asked, USAGE};

fn main() -> ExitCode {
    let asked = match Asked::from(std::env::args().skip(1)) {
        Ok(Some(asked)) => asked,
        Ok(None) => {
            println!("{USAGE}");
            return ExitCode::SUCCESS;
        }
        Err(error) => {
            eprintln!("error: {error:#}\n\n{USAGE}");
            return ExitCode::from(64);
        }
    };
    match clients::test(&asked) {
        Ok(tally) => {
            println!("{tally}");
            if tally.is_good() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
