//! The result, for people and for programs.

use std::io::{self, Write as _};

use serde_json::json;

use crate::common::Failure;
use crate::common::machine::Machine;
use crate::options::Options;
use crate::run::Run;

/// A run with the bad endpoints and one without.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pair {
    pub(crate) with: Run,
    pub(crate) without: Run,
}

/// All pairs.
pub(crate) struct Report {
    machine: Machine,
    load: String,
    pairs: Vec<Pair>,
}

impl Report {
    pub(crate) fn new(options: &Options, machine: Machine, capacity: f64, rate: u32, pairs: Vec<Pair>) -> Self {
        let load = format!(
            "{} good endpoints; {} each that hang, send a byte a second, reset; {rate} events/s of {} bytes to the good ones, \
             {:.0} % of {capacity:.0}; {} pair(s) of {} s",
            options.good,
            options.bad,
            options.body_bytes,
            options.load * 100.0,
            options.pairs(),
            options.seconds(),
        );
        Self { machine, load, pairs }
    }

    /// Prints it; gives whether the median ratio of the p99 is within what was asked for.
    pub(crate) fn print(&self, options: &Options) -> Result<bool, Failure> {
        let ratio = |of: fn(&Run) -> f64| {
            let mut ratios: Vec<f64> =
                self.pairs.iter().map(|pair| of(&pair.with) / of(&pair.without).max(1.0)).collect();
            ratios.sort_by(f64::total_cmp);
            ratios
        };
        let median = |ratios: &[f64]| ratios.get(ratios.len() / 2).copied().unwrap_or_default();
        let (p50, p99) = (ratio(|run| run.p50_us), ratio(|run| run.p99_us));
        let mut out = io::stdout().lock();
        if options.shared.json {
            let pairs = self.pairs.iter().map(|Pair { with, without }| {
                json!({ "with": { "p50Us": with.p50_us, "p99Us": with.p99_us },
                        "without": { "p50Us": without.p50_us, "p99Us": without.p99_us } })
            });
            let pairs: Vec<_> = pairs.collect();
            writeln!(
                out,
                "{}",
                json!({ "load": self.load, "pairs": pairs, "p50Ratio": median(&p50), "p99Ratio": median(&p99) })
            )?;
        } else {
            let Machine { cpu, cores, kernel, load, commit } = &self.machine;
            writeln!(out, "postrider {} at commit {commit}", env!("CARGO_PKG_VERSION"))?;
            writeln!(out, "{cores} x {cpu}, {kernel}, load {load}\n{}\n", self.load)?;
            writeln!(
                out,
                "{:>6} {:>14} {:>14} {:>14} {:>14}",
                "pair", "p50 with/us", "without/us", "p99 with/us", "without/us"
            )?;
            for (number, Pair { with, without }) in self.pairs.iter().enumerate() {
                let Run { p50_us, p99_us } = *with;
                let number = number + 1;
                writeln!(
                    out,
                    "{number:>6} {p50_us:>14.0} {:>14.0} {p99_us:>14.0} {:>14.0}",
                    without.p50_us, without.p99_us
                )?;
            }
            for (name, ratios) in [("p50", &p50), ("p99", &p99)] {
                let (min, max) =
                    (ratios.first().copied().unwrap_or_default(), ratios.last().copied().unwrap_or_default());
                writeln!(out, "{name}, with by without: {:.2} ({min:.2}-{max:.2})", median(ratios))?;
            }
        }
        Ok(options.at_most.is_none_or(|limit| median(&p99) <= limit))
    }
}
