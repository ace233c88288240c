//! The result, for people and for programs.

use std::io::{self, Write};

use serde_json::json;

use crate::common::Failure;
use crate::common::machine::Machine;
use crate::common::middle::Middle;
use crate::common::spread::Spread;
use crate::common::volume::Volume;
use crate::figures::Figures;
use crate::options::Options;
use crate::scenario::{ACCEPT_CONNECTIONS, ACCEPT_WINDOW, BATCH, Scenario};

/// All rounds of all scenarios.
pub(crate) struct Report {
    machine: Machine,
    volume: Volume,
    load: String,
    /// One for each scenario.
    rows: Vec<Row>,
}

/// All rounds of one scenario.
struct Row {
    scenario: Scenario,
    /// In their order.
    rounds: Vec<Figures>,
}

impl Report {
    pub(crate) fn new(options: &Options, machine: Machine, volume: Volume, scenarios: &[Scenario]) -> Self {
        let load = format!(
            "{} events of {} bytes in a scenario, {} round(s); {} lines in flight on the socket, \
             {} HTTP connections with one event each; to accept, {ACCEPT_CONNECTIONS} connections with \
             {ACCEPT_WINDOW} lines or a batch of {BATCH} in flight each",
            options.events(),
            options.body_bytes,
            options.rounds(),
            options.window,
            options.connections
        );
        let rows = scenarios.iter().map(|scenario| Row { scenario: *scenario, rounds: vec![] }).collect();
        Self { machine, volume, load, rows }
    }

    /// Prints it on standard output.
    pub(crate) fn print(&self, as_json: bool) -> Result<(), Failure> {
        let text = if as_json { serde_json::to_string_pretty(&self.json())? + "\n" } else { self.text() };
        Ok(io::stdout().write_all(text.as_bytes())?)
    }

    /// The figures of one round, in the order of the scenarios.
    pub(crate) fn add_round(&mut self, figures: Vec<Figures>) {
        for (row, figures) in self.rows.iter_mut().zip(figures) {
            row.rounds.push(figures);
        }
    }

    fn json(&self) -> serde_json::Value {
        let row = |row: &Row| {
            let compared = self.compared(row);
            json!({
                "scenario": row.scenario.name(),
                "limit": compared.as_ref().map(|(limit, _)| limit),
                "ratio": compared.as_ref().map(|(_, ratio)| ratio),
                "target": row.scenario.target,
                "rounds": row.rounds,
            })
        };
        json!({
            "machine": self.machine,
            "volume": self.volume,
            "load": self.load,
            "scenarios": self.rows.iter().map(row).collect::<Vec<_>>(),
        })
    }

    fn text(&self) -> String {
        let mut text = self.head();
        text += &format!(
            "\n{:48} {:>10} {:>11} {:>17} {:>7}  {}\n",
            "median round", "accepted/s", "delivered/s", "ratio", "target", "by"
        );
        for (row, median) in self.medians() {
            let rate = |rate: Option<f64>| rate.map_or_else(none, |rate| format!("{rate:.0}"));
            let (limit, ratio) =
                self.compared(row).map_or_else(|| (none(), none()), |(limit, ratio)| (limit, ratio.to_string()));
            text += &format!(
                "{:48} {:>10} {:>11} {ratio:>17} {:>7}  {limit}\n",
                row.scenario.name(),
                rate(median.accepted_per_s),
                rate(median.delivered_per_s),
                row.scenario.target.map_or_else(none, |target| format!(">= {target}")),
            );
        }
        text += &format!(
            "\n{:48} {:>17} {:>17} {:>17}\n",
            "milliseconds, p50 / p99", "sent-answer", "sent-arrival", "answer-arrival"
        );
        for (row, median) in self.medians() {
            let spread =
                |of: Option<Spread>| of.map_or_else(none, |of| format!("{:.2} / {:.2}", of.p50 / 1e3, of.p99 / 1e3));
            text += &format!(
                "{:48} {:>17} {:>17} {:>17}\n",
                row.scenario.name(),
                spread(Some(median.sent_to_answer_us)),
                spread(median.sent_to_arrival_us),
                spread(median.answer_to_arrival_us),
            );
        }
        text += &format!(
            "\n{:48} {:>7} {:>6} {:>9} {:>7} {:>9} {:>7} {:>8} {:>7}\n",
            "processor us/event; store",
            "subject",
            "load",
            "receiver",
            "others",
            "written/B",
            "syncs",
            "ev./sync",
            "MiB"
        );
        for (row, median) in self.medians() {
            text += &format!("{:48} {}\n", row.scenario.name(), costs(median));
        }
        text
    }

    fn head(&self) -> String {
        let Volume { file_system, device, mount_options, sync_us, sync_is_real } = &self.volume;
        let real = if *sync_is_real { "" } else { "\nWARNING: that is no sync; the figures say nothing about a disk" };
        format!(
            "{}\n{file_system} on {device} ({mount_options}); fdatasync after 4 KiB: p50 {:.0} us, p99 {:.0} us{real}\n{}\n",
            self.machine, sync_us.p50, sync_us.p99, self.load
        )
    }

    fn medians(&self) -> impl Iterator<Item = (&Row, &Figures)> {
        self.rows.iter().filter_map(|row| row.median().map(|median| (row, median)))
    }

    /// The limit of what a row measures, and the ratio by it, each round by itself.
    fn compared(&self, row: &Row) -> Option<(String, Middle)> {
        let limit = self.rows.iter().find(|other| other.scenario.is_limit_of(&row.scenario))?;
        let pairs = row.rounds.iter().zip(&limit.rounds);
        let ratios = pairs.map(|(own, limit)| own.rate() / limit.rate()).collect();
        Some((limit.scenario.name(), Middle::of(ratios)))
    }
}

impl Row {
    /// The round whose rate is the median.
    fn median(&self) -> Option<&Figures> {
        let mut rounds: Vec<&Figures> = self.rounds.iter().collect();
        rounds.sort_unstable_by(|one, other| one.rate().total_cmp(&other.rate()));
        rounds.get(rounds.len() / 2).copied()
    }
}

fn none() -> String {
    "-".to_owned()
}

fn costs(figures: &Figures) -> String {
    let load = figures.load_cpu_us_per_event.map_or_else(none, |load| format!("{load:.0}"));
    let machine = format!(
        "{:>7.0} {load:>6} {:>9.0} {:>5.0} %",
        figures.cpu_us_per_event,
        figures.receiver_cpu_us_per_event,
        figures.others_cpu_share * 100.0
    );
    let Some(store) = figures.store else { return machine };
    let per_sync = figures.per_sync().unwrap_or_default();
    let peak = store.peak_rss_mib.map_or_else(none, |mib| format!("{mib:.0}"));
    format!("{machine} {:>9.0} {:>7.0} {per_sync:>8.1} {peak:>7}", store.written_bytes_per_event, store.syncs)
}
