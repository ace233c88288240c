//! The result, for programs, and the cases of the table.

use std::io::{self, Write as _};

use serde_json::json;

use crate::common::Failure;
use crate::common::case::{Case, Pair, Target};
use crate::common::machine::Machine;
use crate::common::middle::Middle;
use crate::common::volume::Volume;
use crate::figures::Figures;
use crate::options::Options;
use crate::scenario::{ACCEPT_CONNECTIONS, ACCEPT_WINDOW, BATCH, Scenario};

/// All rounds of all scenarios.
pub(crate) struct Report {
    pub(crate) machine: Machine,
    pub(crate) volume: Volume,
    pub(crate) load: String,
    /// One for each scenario.
    pub(crate) rows: Vec<Row>,
}

/// All rounds of one scenario.
pub(crate) struct Row {
    pub(crate) scenario: Scenario,
    /// In their order.
    pub(crate) rounds: Vec<Figures>,
}

impl Report {
    pub(crate) fn new(options: &Options, machine: Machine, volume: Volume, scenarios: &[Scenario]) -> Self {
        let load = format!(
            "{} events of {} bytes in a scenario, {} where many are accepted with one sync, {} round(s); {} lines in flight on \
             the socket, {} HTTP connections with one event each; to accept, {ACCEPT_CONNECTIONS} connections with \
             {ACCEPT_WINDOW} lines or a batch of {BATCH} in flight each",
            options.events(),
            options.body_bytes,
            options.accepted(),
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
        let row =
            |row: &Row| json!({ "scenario": row.scenario.key, "name": row.scenario.name(), "rounds": row.rounds });
        json!({
            "machine": self.machine,
            "volume": self.volume,
            "load": self.load,
            "cases": self.cases(),
            "scenarios": self.rows.iter().map(row).collect::<Vec<_>>(),
        })
    }

    /// The lines of the table.
    fn cases(&self) -> Vec<Case> {
        self.rows
            .iter()
            .filter_map(|row| Some((row, self.limit(row)?)))
            .flat_map(|(row, limit)| cases(row, limit))
            .collect()
    }

    /// What a row is compared with.
    pub(crate) fn limit(&self, row: &Row) -> Option<&Row> {
        self.rows.iter().find(|other| Some(other.scenario.key) == row.scenario.limit)
    }
}

fn cases(row: &Row, limit: &Row) -> Vec<Case> {
    let pairs = |value: fn(&Figures) -> f64, by: fn(&Figures) -> f64| {
        let rounds = row.rounds.iter().zip(&limit.rounds);
        rounds.map(|(own, limit)| Pair { value: value(own), limit: by(limit) }).collect::<Vec<_>>()
    };
    let case = |key, target, unit, rounds: &[Pair]| Case {
        cpu_s_per_1000_events: row.cpu_s_per_1000_events(),
        // For as many deliveries.
        limit_cpu_s_per_1000_events: limit.cpu_s_per_1000_events().map(|cost| cost * row.scenario.endpoints as f64),
        peak_mib: row.median().and_then(|figures| figures.store?.peak_rss_mib),
        ..Case::new(key, limit.scenario.name(), target, unit, rounds)
    };
    if row.scenario.rate.is_some() {
        // Both by the median of what must happen at least.
        let p50 = pairs(|own| own.sent_to_arrival_us.unwrap_or_default().p50, |limit| limit.sent_to_answer_us.p50);
        let p99 = pairs(|own| own.sent_to_arrival_us.unwrap_or_default().p99, |limit| limit.sent_to_answer_us.p50);
        return vec![
            case("latency-p50", Target::AtMost(3.0), "us", &p50),
            case("latency-p99", Target::AtMost(10.0), "us", &p99),
        ];
    }
    let Some(target) = row.scenario.target else { return vec![] };
    let unit = if row.scenario.paused { "events/s" } else { "deliveries/s" };
    vec![case(row.scenario.key, target, unit, &pairs(Figures::rate, Figures::rate))]
}

impl Row {
    /// The round whose rate is the median.
    pub(crate) fn median(&self) -> Option<&Figures> {
        let mut rounds: Vec<&Figures> = self.rounds.iter().collect();
        rounds.sort_unstable_by(|one, other| one.rate().total_cmp(&other.rate()));
        rounds.get(rounds.len() / 2).copied()
    }

    fn cpu_s_per_1000_events(&self) -> Option<f64> {
        let cost = Middle::of(self.rounds.iter().map(|figures| figures.cpu_us_per_event).collect());
        (!self.rounds.is_empty()).then_some(cost.median / 1e3)
    }
}
