//! What every benchmark can be told.

use std::path::PathBuf;

use clap::Args;

/// What every benchmark can be told.
#[derive(Debug, Args)]
pub(crate) struct Shared {
    /// A short run, to see that everything works: less of everything
    #[arg(long)]
    pub(crate) quick: bool,
    /// The directory in which the data directories are made [default: cargo's, in target/]
    #[arg(long)]
    dir: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
    /// Cargo says so to every benchmark.
    #[arg(long, hide = true)]
    bench: bool,
}

impl Shared {
    /// What was given, else the one for a long or for a short run.
    pub(crate) fn choose<T>(&self, given: Option<T>, long: T, quick: T) -> T {
        given.unwrap_or(if self.quick { quick } else { long })
    }

    /// Where the data directories are made.
    pub(crate) fn dir(&self) -> PathBuf {
        self.dir.clone().unwrap_or_else(|| PathBuf::from(env!("CARGO_TARGET_TMPDIR")))
    }
}
