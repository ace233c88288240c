//! Postrider: takes events from local programs, keeps each on disk before it
//! says yes, and delivers it as a signed HTTP POST until it is confirmed.
//!
//! The process begins and ends here. `cli.rs` says what can be asked,
//! `commands/` does it, one command a file; `wiring.rs` puts the server together.

mod allocator;
mod cli;
mod client;
mod clock;
mod commands;
mod config;
mod exchange;
mod exit;
mod logging;
mod loose;
mod open_files;
mod output;
mod progress;
mod receiver;
mod secrets;
mod signals;
mod wiring;

use std::process::ExitCode;

use rustix::fs::Mode;

use crate::cli::Cli;
use crate::exit::Exit;

fn main() -> ExitCode {
    // Whatever is made is its owner's alone, also by libraries that name no mode. A socket's mode is set by its path.
    rustix::process::umask(Mode::RWXG | Mode::RWXO);
    let cli = match Cli::read(std::env::args_os().collect()) {
        Ok(cli) => cli,
        Err(error) => {
            let exit = if error.use_stderr() { Exit::Usage } else { Exit::Clean };
            // Nobody is left to tell if this fails.
            let _ = error.print();
            return exit.into();
        }
    };
    let output = cli.output();
    match commands::run(cli) {
        Ok(()) => Exit::Clean.into(),
        Err(failure) => {
            let report = failure.report();
            if !report.is_empty() {
                output.note(report.trim_end());
            }
            failure.exit.into()
        }
    }
}
