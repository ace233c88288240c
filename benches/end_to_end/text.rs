//! The result, for people.

use crate::common::case::Target;
use crate::common::middle::Middle;
use crate::common::spread::Spread;
use crate::common::volume::Volume;
use crate::figures::Figures;
use crate::report::{Report, Row};

impl Report {
    pub(crate) fn text(&self) -> String {
        let mut text = self.head();
        text += &format!(
            "\n{:44} {:>10} {:>11} {:>17} {:>7}  {}\n",
            "median round", "accepted/s", "delivered/s", "ratio", "target", "by"
        );
        for (row, median) in self.medians() {
            let rate = |rate: Option<f64>| rate.map_or_else(none, |rate| format!("{rate:.0}"));
            let (limit, ratio) = self.compared(row).unwrap_or_else(|| (none(), none()));
            text += &format!(
                "{:44} {:>10} {:>11} {ratio:>17} {:>7}  {limit}\n",
                row.scenario.name(),
                rate(median.accepted_per_s),
                rate(median.delivered_per_s),
                row.scenario.target.map_or_else(none, shown),
            );
        }
        text += &format!(
            "\n{:44} {:>17} {:>17} {:>17}\n",
            "milliseconds, p50 / p99", "sent-answer", "sent-arrival", "answer-arrival"
        );
        for (row, median) in self.medians() {
            let spread =
                |of: Option<Spread>| of.map_or_else(none, |of| format!("{:.2} / {:.2}", of.p50 / 1e3, of.p99 / 1e3));
            text += &format!(
                "{:44} {:>17} {:>17} {:>17}\n",
                row.scenario.name(),
                spread(Some(median.sent_to_answer_us)),
                spread(median.sent_to_arrival_us),
                spread(median.answer_to_arrival_us),
            );
        }
        text += &format!(
            "\n{:44} {:>7} {:>6} {:>9} {:>7} {:>9} {:>7} {:>8} {:>7}\n",
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
            text += &format!("{:44} {}\n", row.scenario.name(), costs(median));
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

    /// The limit of what a row measures as fast as it can, and the ratio by it, each round by itself.
    fn compared(&self, row: &Row) -> Option<(String, String)> {
        let limit = self.limit(row).filter(|_| row.scenario.rate.is_none())?;
        let pairs = row.rounds.iter().zip(&limit.rounds);
        let ratios = pairs.map(|(own, limit)| own.rate() / limit.rate()).collect();
        Some((limit.scenario.name(), Middle::of(ratios).to_string()))
    }
}

fn shown(target: Target) -> String {
    match target {
        Target::AtLeast(least) => format!(">= {least}"),
        Target::AtMost(most) => format!("<= {most}"),
    }
}

fn none() -> String {
    "-".to_owned()
}

fn costs(figures: &Figures) -> String {
    let load = figures.load_cpu_us_per_event.map_or_else(none, |load| format!("{load:.0}"));
    let machine = format!(
        "{:>7.1} {load:>6} {:>9.0} {:>5.0} %",
        figures.cpu_us_per_event,
        figures.receiver_cpu_us_per_event,
        figures.others_cpu_share * 100.0
    );
    let Some(store) = figures.store else { return machine };
    let per_sync = figures.per_sync().unwrap_or_default();
    let peak = store.peak_rss_mib.map_or_else(none, |mib| format!("{mib:.0}"));
    format!("{machine} {:>9.0} {:>7.0} {per_sync:>8.1} {peak:>7}", store.written_bytes_per_event, store.syncs)
}
