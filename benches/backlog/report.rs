//! The result, for people and for programs.

use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::time::Duration;

use serde_json::{Value, json};

use crate::common::Failure;
use crate::common::case::{Case, Pair, Target};
use crate::common::machine::Machine;
use crate::common::middle::Middle;
use crate::common::volume::Volume;
use crate::dead::Manner;
use crate::options::Options;
use crate::stage::{Round, Standing};

/// One server.
pub(crate) struct Row {
    /// How its dead endpoint is dead, if it has one.
    manner: Option<Manner>,
    /// How long it took to have the backlog accepted.
    pub(crate) fill: Duration,
    /// The part of a core that it uses when nothing is asked of it.
    pub(crate) idle_cpu: f64,
    /// With a tenth of the backlog.
    pub(crate) tenth: Standing,
    /// With the whole backlog.
    pub(crate) full: Standing,
    /// After all rounds.
    pub(crate) after: Standing,
    /// After the server was stopped and started.
    pub(crate) restarted: Standing,
    pub(crate) rounds: Vec<Round>,
}

/// All servers; the first has no backlog.
pub(crate) struct Report {
    machine: Machine,
    volume: Volume,
    load: String,
    rows: Vec<Row>,
}

impl Row {
    pub(crate) fn new(manner: Option<Manner>) -> Self {
        let none = Standing::default();
        let (fill, rounds) = (Duration::ZERO, vec![]);
        Self { manner, fill, idle_cpu: 0.0, tenth: none, full: none, after: none, restarted: none, rounds }
    }

    /// Whether there was less of the backlog than there should have been.
    pub(crate) fn lacks(&self, backlog: usize) -> bool {
        let standings = [self.full, self.after, self.restarted];
        self.manner.is_some() && standings.iter().any(|standing| standing.waiting < backlog as f64)
    }

    fn name(&self) -> &'static str {
        self.manner.map_or("none", Manner::name)
    }

    fn spread(&self, of: fn(&Round) -> f64) -> Middle {
        Middle::of(self.rounds.iter().map(of).collect())
    }

    /// Its throughput beside that of the one without a backlog.
    fn case(&self, base: &Self) -> Option<Case> {
        let pair = |(with, without): (&Round, &Round)| Pair { value: DELIVERED(with), limit: DELIVERED(without) };
        let rounds: Vec<_> = self.rounds.iter().zip(&base.rounds).map(pair).collect();
        Some(Case {
            cpu_s_per_1000_events: Some(self.spread(CPU).median),
            limit_cpu_s_per_1000_events: Some(base.spread(CPU).median),
            peak_mib: Some(self.after.peak_mib),
            ..Case::new(self.manner?.case(), "no backlog", Target::AtLeast(0.95), "events/s", &rounds)
        })
    }

    /// By the one without a backlog, each round by itself.
    fn ratio(&self, base: &Self, of: fn(&Round) -> f64) -> Middle {
        Middle::of(self.rounds.iter().zip(&base.rounds).map(|(with, without)| of(with) / of(without)).collect())
    }
}

const DELIVERED: fn(&Round) -> f64 = |round| round.delivered_per_s;
const CPU: fn(&Round) -> f64 = |round| round.cpu_s_per_1000_events;
const P50: fn(&Round) -> f64 = |round| round.steady.p50;
const P99: fn(&Round) -> f64 = |round| round.steady.p99;

impl Report {
    pub(crate) fn new(options: &Options, machine: Machine, volume: Volume, rate: u32, rows: Vec<Row>) -> Self {
        let load = format!(
            "backlog: {} events of {} bytes for one dead endpoint; {} good endpoints get {} events of {} bytes at once, \
             then {rate}/s for {} s; {} round(s)",
            options.backlog(),
            options.backlog_body_bytes,
            options.good,
            options.events(),
            options.body_bytes,
            options.steady_seconds(),
            options.rounds(),
        );
        Self { machine, volume, load, rows }
    }

    /// Prints it; gives whether the median ratios of the throughput are within what was asked for.
    pub(crate) fn print(&self, options: &Options) -> Result<bool, Failure> {
        let text =
            if options.shared.json { serde_json::to_string_pretty(&self.json())? + "\n" } else { self.text(options) };
        io::stdout().write_all(text.as_bytes())?;
        let limit = options.at_least.unwrap_or_default();
        Ok(self.compared().all(|(base, row)| row.ratio(base, DELIVERED).median >= limit))
    }

    /// Those with a backlog, each with the one without.
    fn compared(&self) -> impl Iterator<Item = (&Row, &Row)> {
        self.rows.first().into_iter().flat_map(|base| self.rows.iter().skip(1).map(move |row| (base, row)))
    }

    fn json(&self) -> Value {
        let server = |row: &Row| {
            json!({
                "backlog": row.name(),
                "fillSeconds": row.fill.as_secs_f64(),
                "idleCores": row.idle_cpu,
                "deliveredPerS": row.spread(DELIVERED),
                "p50Us": row.spread(P50),
                "p99Us": row.spread(P99),
                "tenth": row.tenth,
                "full": row.full,
                "after": row.after,
                "restarted": row.restarted,
            })
        };
        let ratio = |(base, row): (&Row, &Row)| {
            json!({
                "backlog": row.name(),
                "delivered": row.ratio(base, DELIVERED),
                "p50": row.ratio(base, P50),
                "p99": row.ratio(base, P99),
            })
        };
        let servers: Vec<_> = self.rows.iter().map(server).collect();
        let ratios: Vec<_> = self.compared().map(ratio).collect();
        let cases: Vec<_> = self.compared().filter_map(|(base, row)| row.case(base)).collect();
        json!({
            "machine": self.machine, "volume": self.volume, "load": self.load,
            "cases": cases, "servers": servers, "ratios": ratios,
        })
    }

    fn text(&self, options: &Options) -> String {
        let Volume { file_system, device, sync_us, .. } = &self.volume;
        let mut text = format!(
            "{}\n{file_system} on {device}; fdatasync after 4 KiB: p50 {:.0} us\n{}\n\n",
            self.machine, sync_us.p50, self.load
        );
        let _ = writeln!(text, "{:<10} {:>12} {:>8} {:>8}", "backlog", "delivered/s", "p50/us", "p99/us");
        for row in &self.rows {
            let [delivered, p50, p99] = [DELIVERED, P50, P99].map(|of| row.spread(of).median);
            let _ = writeln!(text, "{:<10} {delivered:>12.0} {p50:>8.0} {p99:>8.0}", row.name());
        }
        let _ = writeln!(text, "\n{:<10} {:>18} {:>18} {:>18}", "by none", "delivered/s", "p50", "p99");
        for (base, row) in self.compared() {
            let [delivered, p50, p99] = [DELIVERED, P50, P99].map(|of| row.ratio(base, of));
            let _ = writeln!(text, "{:<10} {delivered:>18} {p50:>18} {p99:>18}", row.name());
        }
        text + &self.memory(options)
    }

    fn memory(&self, options: &Options) -> String {
        let (tenth, whole) = (format!("{} wait", options.backlog() / 10), format!("{} wait", options.backlog()));
        let mut text = format!("\n{:<10} {:>7} {:>11} {:>13}", "backlog", "fill/s", "idle cores", "behind window");
        let _ =
            writeln!(text, "   MiB: {tenth:>12} {whole:>13} {:>10} {:>9} {:>12}", "in bodies", "after", "restarted");
        for row in &self.rows {
            let Row { fill, idle_cpu, tenth, full, after, restarted, .. } = row;
            let tenth = if row.manner.is_some() { format!("{:.0}", tenth.resident_mib) } else { "-".to_owned() };
            let _ = writeln!(
                text,
                "{:<10} {:>7.1} {idle_cpu:>11.3} {:>13.0}        {tenth:>12} {:>13.0} {:>10.0} {:>9.0} {:>12.0}",
                row.name(),
                fill.as_secs_f64(),
                full.behind_window,
                full.resident_mib,
                full.fresh_bodies_mib,
                after.resident_mib,
                restarted.resident_mib
            );
        }
        text
    }
}
