//! What the benchmark can be told.

use std::time::Duration;

use clap::Parser;

use crate::common::options::Shared;

/// Events a second from end to end, beside what the disk and the sockets allow.
#[derive(Debug, Parser)]
#[command(name = "end_to_end")]
pub(crate) struct Options {
    #[command(flatten)]
    pub(crate) shared: Shared,
    /// Events in each scenario [default: 50000, or 4000 with --quick]
    #[arg(long)]
    events: Option<usize>,
    /// Events in each scenario where many are accepted with one sync [default: 100000, or 10000 with --quick]
    #[arg(long)]
    accepted: Option<usize>,
    /// How often every scenario is run [default: 7, or 1 with --quick]
    #[arg(long)]
    rounds: Option<usize>,
    /// Seconds after which the whole run is given up [default: 1200, or 180 with --quick]
    #[arg(long)]
    seconds: Option<u64>,
    /// Seconds of steady load [default: 5, or 1 with --quick]
    #[arg(long)]
    steady_seconds: Option<usize>,
    /// Bytes of one event's body
    #[arg(long, default_value_t = 1_024)]
    pub(crate) body_bytes: usize,
    /// Lines in flight on the ingest socket where events are delivered
    #[arg(long, default_value_t = 256)]
    pub(crate) window: usize,
    /// HTTP connections, with one event in flight on each
    #[arg(long, default_value_t = 64)]
    pub(crate) connections: usize,
    /// Events a second where the load is steady
    #[arg(long, default_value_t = 1_000)]
    pub(crate) rate: u32,
    /// Only what belongs to a case
    #[arg(long)]
    pub(crate) cases: bool,
    /// Only the case with this key and its limit, or the scenario with this name
    #[arg(long)]
    pub(crate) only: Option<String>,
}

impl Options {
    /// Events in each scenario that runs as fast as it can.
    pub(crate) fn events(&self) -> usize {
        self.shared.choose(self.events, 50_000, 4_000).max(1)
    }

    /// The same where many are accepted with one sync.
    pub(crate) fn accepted(&self) -> usize {
        self.shared.choose(self.accepted, 100_000, 10_000).max(1)
    }

    /// Events in each scenario with a steady load.
    pub(crate) fn steady_events(&self) -> usize {
        self.shared.choose(self.steady_seconds, 5, 1).max(1) * self.rate.max(1) as usize
    }

    /// How often every scenario is run.
    pub(crate) fn rounds(&self) -> usize {
        self.shared.choose(self.rounds, 7, 1).max(1)
    }

    /// The longest time for the whole run.
    pub(crate) fn limit(&self) -> Duration {
        Duration::from_secs(self.shared.choose(self.seconds, 1_200, 180))
    }
}
