//! The result, for people and for programs.

use std::io::{self, Write};

use serde::Serialize;
use serde_json::json;

use crate::common::Failure;
use crate::common::machine::Machine;
use crate::common::spread::Spread;
use crate::common::volume::Volume;
use crate::figures::Figures;
use crate::options::Options;
use crate::scenario::Scenario;

/// All rounds of all scenarios.
pub(crate) struct Report {
    machine: Machine,
    volume: Volume,
    load: String,
    /// One for each scenario.
    pub(crate) rows: Vec<Row>,
}

/// All rounds of one scenario.
pub(crate) struct Row {
    scenario: Scenario,
    /// In their order.
    pub(crate) rounds: Vec<Figures>,
}

/// How many times as fast as the client alone in the same round.
#[derive(Clone, Copy, Debug, Serialize)]
struct Ratio {
    median: f64,
    min: f64,
    max: f64,
}

impl Report {
    pub(crate) fn new(options: &Options, machine: Machine, volume: Volume, scenarios: &[Scenario]) -> Self {
        let load = format!(
            "{} events of {} bytes in a scenario, {} round(s); {} lines in flight on the socket, \
             {} HTTP connections with one event each",
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

    fn json(&self) -> serde_json::Value {
        let row = |row: &Row| {
            json!({
                "scenario": row.scenario.name(),
                "accepted_of_client_alone": self.ratio(row, |figures| figures.accepted_per_s),
                "delivered_of_client_alone": self.ratio(row, |figures| Some(figures.delivered_per_s)),
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
            "\n{:42} {:>10} {:>11} {:>17} {:>17}\n",
            "median round", "accepted/s", "delivered/s", "accepted, ratio", "delivered, ratio"
        );
        for (row, median) in self.medians() {
            let rate = |rate: Option<f64>| rate.map_or_else(|| "-".to_owned(), |rate| format!("{rate:.0}"));
            text += &format!(
                "{:42} {:>10} {:>11} {:>17} {:>17}\n",
                row.scenario.name(),
                rate(median.accepted_per_s),
                rate(Some(median.delivered_per_s)),
                in_words(self.ratio(row, |figures| figures.accepted_per_s)),
                in_words(self.ratio(row, |figures| Some(figures.delivered_per_s))),
            );
        }
        text += &format!(
            "\n{:42} {:>17} {:>17} {:>17}\n",
            "milliseconds, p50 / p99", "sent-answer", "sent-arrival", "answer-arrival"
        );
        for (row, median) in self.medians() {
            let spread = |of: &Spread| format!("{:.2} / {:.2}", of.p50 / 1e3, of.p99 / 1e3);
            text += &format!(
                "{:42} {:>17} {:>17} {:>17}\n",
                row.scenario.name(),
                spread(&median.sent_to_answer_us),
                spread(&median.sent_to_arrival_us),
                spread(&median.answer_to_arrival_us),
            );
        }
        text += &format!(
            "\n{:42} {:>7} {:>6} {:>9} {:>7} {:>9} {:>7} {:>8} {:>7}\n",
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
            text += &format!("{:42} {}\n", row.scenario.name(), costs(median));
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

    /// Each round is compared with the client alone of the same round.
    fn ratio(&self, row: &Row, rate: impl Fn(&Figures) -> Option<f64>) -> Option<Ratio> {
        let reference = self.rows.iter().find(|other| row.scenario.is_compared_with(&other.scenario))?;
        let pairs = row.rounds.iter().zip(&reference.rounds);
        let ratios: Option<Vec<f64>> = pairs.map(|(own, alone)| Some(rate(own)? / alone.delivered_per_s)).collect();
        let mut ratios = ratios?;
        ratios.sort_unstable_by(f64::total_cmp);
        let at = |place: usize| ratios.get(place).copied();
        Some(Ratio { median: at(middle(ratios.len()))?, min: at(0)?, max: *ratios.last()? })
    }
}

impl Row {
    /// The round whose deliveries a second are the median.
    fn median(&self) -> Option<&Figures> {
        let mut rounds: Vec<&Figures> = self.rounds.iter().collect();
        rounds.sort_unstable_by(|one, other| one.delivered_per_s.total_cmp(&other.delivered_per_s));
        rounds.get(middle(rounds.len())).copied()
    }
}

fn middle(count: usize) -> usize {
    count.saturating_sub(1) / 2
}

fn in_words(ratio: Option<Ratio>) -> String {
    ratio.map_or_else(|| "-".to_owned(), |Ratio { median, min, max }| format!("{median:.2} ({min:.2}-{max:.2})"))
}

fn costs(figures: &Figures) -> String {
    let load = figures.load_cpu_us_per_event.map_or_else(|| "-".to_owned(), |load| format!("{load:.0}"));
    let machine = format!(
        "{:>7.0} {load:>6} {:>9.0} {:>5.0} %",
        figures.cpu_us_per_event,
        figures.receiver_cpu_us_per_event,
        figures.others_cpu_share * 100.0
    );
    let Some(store) = figures.store else { return machine };
    let per_sync = figures.events as f64 / store.syncs.max(1.0);
    format!(
        "{machine} {:>9.0} {:>7.0} {per_sync:>8.1} {:>7.0}",
        store.written_bytes_per_event, store.syncs, store.peak_rss_mib
    )
}
