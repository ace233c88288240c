//! What the benchmark can be told.

use clap::Parser;

use crate::common::options::Shared;

/// Whether endpoints that hang, dribble or reset cost the others anything.
#[derive(Debug, Parser)]
#[command(name = "isolation")]
pub(crate) struct Options {
    #[command(flatten)]
    pub(crate) shared: Shared,
    /// Pairs of runs, one with the bad endpoints and one without [default: 9, or 1 with --quick]
    #[arg(long)]
    pairs: Option<usize>,
    /// Seconds of each run [default: 10, or 2 with --quick]
    #[arg(long)]
    seconds: Option<usize>,
    /// Good endpoints
    #[arg(long, default_value_t = 970)]
    pub(crate) good: usize,
    /// Endpoints that hang; as many send a byte a second, and as many reset
    #[arg(long, default_value_t = 10)]
    pub(crate) bad: usize,
    /// The load, as a part of what the server can deliver at most
    #[arg(long, default_value_t = 0.3)]
    pub(crate) load: f64,
    /// Bytes of one event's body
    #[arg(long, default_value_t = 1_024)]
    pub(crate) body_bytes: usize,
    /// Fail if the median ratio of the p99 is above this
    #[arg(long)]
    pub(crate) at_most: Option<f64>,
}

impl Options {
    /// Pairs of runs.
    pub(crate) fn pairs(&self) -> usize {
        self.shared.choose(self.pairs, 9, 1).max(1)
    }

    /// Seconds of each run.
    pub(crate) fn seconds(&self) -> usize {
        self.shared.choose(self.seconds, 10, 2).max(1)
    }
}
