//! What the benchmark can be told.

use std::time::Duration;

use clap::Parser;

use crate::common::options::Shared;

/// Whether lists are as quick with 1,000,000 members as with 1,000.
#[derive(Debug, Parser)]
#[command(name = "lists")]
pub(crate) struct Options {
    #[command(flatten)]
    pub(crate) shared: Shared,
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
}

impl Options {
    /// Messages of the large application, at least as many as a small one has.
    pub(crate) fn messages(&self) -> usize {
        self.shared.choose(self.messages, 1_000_000, 20_000).max(crate::fill::SMALL)
    }

    /// How often everything is measured.
    pub(crate) fn rounds(&self) -> usize {
        self.shared.choose(self.rounds, 5, 1).max(1)
    }

    /// How often each page is asked for in a round.
    pub(crate) fn samples(&self) -> usize {
        self.shared.choose(self.samples, 200, 20).max(1)
    }

    /// The longest time for the whole run.
    pub(crate) fn limit(&self) -> Duration {
        Duration::from_secs(self.shared.choose(self.seconds, 900, 120))
    }
}
