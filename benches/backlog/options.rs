//! What the benchmark can be told.

use std::time::Duration;

use clap::Parser;

use crate::common::Failure;
use crate::common::options::Shared;
use crate::dead::Manner;

/// Whether a million deliveries that wait behind a dead endpoint cost the others anything.
#[derive(Debug, Parser)]
#[command(name = "backlog")]
pub(crate) struct Options {
    #[command(flatten)]
    pub(crate) shared: Shared,
    /// Deliveries that wait behind each dead endpoint [default: 1000000, or 20000 with --quick]
    #[arg(long)]
    backlog: Option<usize>,
    /// How often everything is measured [default: 9, or 1 with --quick]
    #[arg(long)]
    rounds: Option<usize>,
    /// Events to the good endpoints of each server in a round, as fast as they are taken [default: 100000, or 10000
    /// with --quick]
    #[arg(long)]
    events: Option<usize>,
    /// Seconds of steady load on each server in a round [default: 5, or 2 with --quick]
    #[arg(long)]
    steady_seconds: Option<usize>,
    /// Good endpoints, each of an application of its own
    #[arg(long, default_value_t = 10)]
    pub(crate) good: usize,
    /// The steady load, as a part of what the server without a backlog delivers at most
    #[arg(long, default_value_t = 0.3)]
    pub(crate) load: f64,
    /// Bytes of one event's body for the good endpoints
    #[arg(long, default_value_t = 1_024)]
    pub(crate) body_bytes: usize,
    /// Bytes of one event's body for the dead endpoints
    #[arg(long, default_value_t = 256)]
    pub(crate) backlog_body_bytes: usize,
    /// Fail if the median ratio of the throughput with a backlog is below this
    #[arg(long)]
    pub(crate) at_least: Option<f64>,
    /// Only the case with this key
    #[arg(long)]
    only: Option<String>,
    /// Seconds after which the whole run is given up [default: 1200, or 180 with --quick]
    #[arg(long)]
    seconds: Option<u64>,
}

impl Options {
    /// How endpoints are dead.
    pub(crate) fn manners(&self) -> Result<Vec<Manner>, Failure> {
        let mut manners = vec![Manner::Refuse, Manner::Hang];
        manners.retain(|manner| self.only.as_ref().is_none_or(|only| only == manner.case()));
        if manners.is_empty() { Err("there is no such case".into()) } else { Ok(manners) }
    }

    /// Deliveries that wait behind each dead endpoint.
    pub(crate) fn backlog(&self) -> usize {
        self.shared.choose(self.backlog, 1_000_000, 20_000).max(10)
    }

    /// How often everything is measured.
    pub(crate) fn rounds(&self) -> usize {
        self.shared.choose(self.rounds, 9, 1).max(1)
    }

    /// Events to the good endpoints of each server in a round.
    pub(crate) fn events(&self) -> usize {
        self.shared.choose(self.events, 100_000, 10_000).max(1)
    }

    /// Seconds of steady load on each server in a round.
    pub(crate) fn steady_seconds(&self) -> usize {
        self.shared.choose(self.steady_seconds, 5, 2).max(1)
    }

    /// The longest time for the whole run.
    pub(crate) fn limit(&self) -> Duration {
        Duration::from_secs(self.shared.choose(self.seconds, 1_200, 180))
    }
}
