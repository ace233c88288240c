//! The result, for people and for programs.

use std::fmt::Write as _;
use std::io::{self, Write as _};

use serde_json::json;

use crate::common::Failure;
use crate::common::case::{Case, Target};
use crate::common::machine::Machine;
use crate::common::volume::Volume;
use crate::options::Options;

/// All cases of one run.
pub(crate) struct Report {
    pub(crate) machine: Machine,
    pub(crate) volume: Volume,
    pub(crate) cases: Vec<Case>,
}

impl Report {
    /// Prints it; gives whether all targets are met, or nobody asked for that.
    pub(crate) fn print(&self, options: &Options) -> Result<bool, Failure> {
        let text = if options.shared.json { serde_json::to_string_pretty(&self.json())? + "\n" } else { self.text() };
        io::stdout().write_all(text.as_bytes())?;
        Ok(!options.strict || self.cases.iter().all(is_met))
    }

    fn json(&self) -> serde_json::Value {
        json!({ "machine": self.machine, "volume": self.volume, "cases": self.cases })
    }

    fn text(&self) -> String {
        let Volume { file_system, device, sync_us, .. } = &self.volume;
        let mut text = format!(
            "{}\n{file_system} on {device}; fdatasync after 4 KiB: p50 {:.0} us\n\n",
            self.machine, sync_us.p50
        );
        let _ = writeln!(
            text,
            "{:<24}{:>11}{:>11} {:<8}{:>20}{:>10}  {:<5}{:>10}{:>9}  beside",
            "case", "value", "limit", "unit", "ratio", "target", "met", "cpu s/1000", "peak MiB"
        );
        for case in &self.cases {
            let or_none = |value: Option<f64>, digits: usize| {
                value.map_or_else(|| "-".to_owned(), |value| format!("{value:.digits$}"))
            };
            let target = match case.target {
                Target::AtLeast(least) => format!(">= {least}"),
                Target::AtMost(most) => format!("<= {most}"),
            };
            let _ = writeln!(
                text,
                "{:<24}{:>11.3}{:>11} {:<8}{:>20}{:>10}  {:<5}{:>10}{:>9}  {}",
                case.case,
                case.value,
                or_none(case.limit_value, 3),
                case.unit,
                case.limit_value.map_or_else(|| "-".to_owned(), |_| case.ratio.to_string()),
                target,
                if is_met(case) { "yes" } else { "no" },
                or_none(case.cpu_s_per_1000_events, 4),
                or_none(case.peak_mib, 0),
                case.limit,
            );
        }
        text
    }
}

fn is_met(case: &Case) -> bool {
    match case.target {
        Target::AtLeast(least) => case.ratio.median >= least,
        Target::AtMost(most) => case.ratio.median <= most,
    }
}
