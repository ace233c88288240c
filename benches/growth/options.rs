//! What the benchmark can be told.

use std::time::Duration;

use clap::{Parser, ValueEnum};

use crate::common::options::Shared;

/// Whether memory, starts, throughput and latency stay what they are as the work grows.
#[derive(Debug, Parser)]
#[command(name = "growth")]
pub(crate) struct Options {
    #[command(flatten)]
    pub(crate) shared: Shared,
    /// Only these cases; may be given more than once [default: all]
    #[arg(long)]
    only: Vec<Kind>,
    /// Events of the large store [default: what the case says, or a hundredth of it with --quick]
    #[arg(long)]
    events: Option<usize>,
    /// How often what takes turns is measured [default: 5, or 2 with --quick]
    #[arg(long)]
    rounds: Option<usize>,
    /// Bytes of one event's body
    #[arg(long, default_value_t = 256)]
    pub(crate) body_bytes: usize,
    /// Fail if a case misses its target
    #[arg(long)]
    pub(crate) strict: bool,
    /// Seconds after which the whole run is given up [default: 7200, or 180 with --quick]
    #[arg(long)]
    seconds: Option<u64>,
}

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Kind {
    /// Memory with very many deliveries behind one dead endpoint
    Memory,
    /// Memory with many deliveries, some behind each of very many endpoints
    Spread,
    /// The time of a start with many deliveries that wait
    Restart,
    /// Throughput, latency and lists of a store full of delivered messages
    History,
    /// What the disk writes for each event
    Sectors,
    /// Very many endpoints with one event each
    Endpoints,
    /// A server of which nothing is asked
    Idle,
}

impl Options {
    /// Whether a case is to be measured.
    pub(crate) fn wants(&self, kind: Kind) -> bool {
        self.only.is_empty() || self.only.contains(&kind)
    }

    /// So many events, or a hundredth of them, or what was asked for.
    pub(crate) fn events(&self, all: usize) -> usize {
        self.shared.choose(self.events, all, all / 100).max(1_000)
    }

    /// So many of something else, or a hundredth of them.
    pub(crate) fn scaled(&self, all: usize) -> usize {
        self.shared.choose(None, all, all / 100).max(1)
    }

    /// How often what takes turns is measured.
    pub(crate) fn rounds(&self) -> usize {
        self.shared.choose(self.rounds, 5, 2).max(1)
    }

    /// The longest time for the whole run.
    pub(crate) fn limit(&self) -> Duration {
        Duration::from_secs(self.shared.choose(self.seconds, 7_200, 180))
    }
}
