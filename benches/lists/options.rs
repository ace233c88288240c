//! What the benchmark can be told.

use std::path::PathBuf;
use std::time::Duration;

use clap::Parser;

/// Whether lists are as quick with 1,000,000 members as with 1,000.
#[derive(Debug, Parser)]
#[command(name = "lists")]
pub(crate) struct Options {
    /// A short run, to see that everything works: fewer messages, one round
    #[arg(long)]
    quick: bool,
    /// Messages of the large application [default: 1000000, or 20000 with --quick]
    #[arg(long)]
    messages: Option<usize>,
    /// How often everything is measured [default: 5, or 1 with --quick]
    #[arg(long)]
    rounds: Option<usize>,
    /// How often each page is asked for in a round [default: 200, or 20 with --quick]
    #[arg(long)]
    samples: Option<usize>,
    /// Bytes of one message's payload
    #[arg(long, default_value_t = 256)]
    pub(crate) body_bytes: usize,
    /// Seconds after which the whole run is given up [default: 900, or 120 with --quick]
    #[arg(long)]
    seconds: Option<u64>,
    /// The directory in which the data directory is made [default: cargo's, in target/]
    #[arg(long)]
    dir: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
    /// Cargo says so to every benchmark.
    #[arg(long, hide = true)]
    bench: bool,
}

impl Options {
    fn choose<T>(&self, given: Option<T>, long: T, quick: T) -> T {
        given.unwrap_or(if self.quick { quick } else { long })
    }

    /// Messages of the large application, at least as many as a small one has.
    pub(crate) fn messages(&self) -> usize {
        self.choose(self.messages, 1_000_000, 20_000).max(crate::fill::SMALL)
    }

    /// How often everything is measured.
    pub(crate) fn rounds(&self) -> usize {
        self.choose(self.rounds, 5, 1).max(1)
    }

    /// How often each page is asked for in a round.
    pub(crate) fn samples(&self) -> usize {
        self.choose(self.samples, 200, 20).max(1)
    }

    /// The longest time for the whole run.
    pub(crate) fn limit(&self) -> Duration {
        Duration::from_secs(self.choose(self.seconds, 900, 120))
    }

    /// Where the data directory is made.
    pub(crate) fn dir(&self) -> PathBuf {
        self.dir.clone().unwrap_or_else(|| PathBuf::from(env!("CARGO_TARGET_TMPDIR")))
    }
}
