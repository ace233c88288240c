//! The result, for people and for programs.

use std::fmt::Write as _;
use std::io::{self, Write as _};

use serde_json::json;

use crate::common::Failure;
use crate::common::machine::Machine;
use crate::common::middle::Middle;
use crate::measure::Name;
use crate::options::Options;

/// All rounds.
pub(crate) struct Report {
    machine: Machine,
    load: String,
    names: Vec<Name>,
    /// Of each round the median time of each page, in microseconds.
    rounds_us: Vec<Vec<f64>>,
}

impl Report {
    pub(crate) fn new(options: &Options, machine: Machine, names: Vec<Name>, rounds_us: Vec<Vec<f64>>) -> Self {
        let load = format!(
            "{} messages of {} bytes in `large`, {} in `small` and in `spread`; pages of 50 with payloads; {} round(s) of {} requests for each page",
            options.messages(),
            options.body_bytes,
            crate::fill::SMALL,
            options.rounds(),
            options.samples(),
        );
        Self { machine, load, names, rounds_us }
    }

    /// Prints it on standard output.
    pub(crate) fn print(&self, as_json: bool) -> Result<(), Failure> {
        let text = if as_json { serde_json::to_string_pretty(&self.json())? + "\n" } else { self.text() };
        Ok(io::stdout().write_all(text.as_bytes())?)
    }

    fn json(&self) -> serde_json::Value {
        let page = |(nth, name): (usize, &Name)| {
            let (time, ratio) = (self.times(nth), self.ratios(nth));
            json!({
                "application": name.app, "list": name.list, "page": name.place,
                "us": time,
                "of_first_page_of_small": ratio,
            })
        };
        let pages: Vec<_> = self.names.iter().enumerate().map(page).collect();
        json!({ "machine": self.machine, "load": self.load, "pages": pages })
    }

    fn text(&self) -> String {
        let mut text = format!("{}\n{}\n\n", self.machine, self.load);
        let heading = ("application", "list", "page", "median us", "by the first page of small");
        let _ = writeln!(text, "{:<12}{:<13}{:<15}{:>10}  {}", heading.0, heading.1, heading.2, heading.3, heading.4);
        for (nth, name) in self.names.iter().enumerate() {
            let (time, ratio) = (self.times(nth), self.ratios(nth));
            let _ = writeln!(text, "{:<12}{:<13}{:<15}{:>10.0}  {ratio}", name.app, name.list, name.place, time.median);
        }
        text
    }

    fn times(&self, nth: usize) -> Middle {
        Middle::of(self.rounds_us.iter().filter_map(|round| round.get(nth).copied()).collect())
    }

    /// By the first page of the same list of `small`, in the same round.
    fn ratios(&self, nth: usize) -> Middle {
        let list = self.names.get(nth).map(|name| name.list);
        let base = self.names.iter().position(|name| Some(name.list) == list && name.app == "small").unwrap_or(0);
        let ratio = |round: &Vec<f64>| Some(round.get(nth)? / round.get(base)?);
        Middle::of(self.rounds_us.iter().filter_map(ratio).collect())
    }
}
