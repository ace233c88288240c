//! The ratios that were written down, and what is held against them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::case::Case;
use super::suite;

/// Median ratios of an earlier run.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Record {
    /// The machine that it ran on.
    machine: Value,
    /// By the keys of the cases.
    ratios: BTreeMap<String, f64>,
}

impl Record {
    /// Of what was just measured.
    pub(crate) fn of(cases: &[Case], machine: Value) -> Self {
        let rounded = |ratio: f64| (ratio * 1_000.0).round() / 1_000.0;
        let gated = cases.iter().filter(|case| suite::is_gated(&case.case));
        let ratios = gated.map(|case| (case.case.clone(), rounded(case.ratio.median))).collect();
        Self { machine, ratios }
    }

    /// Where it was measured.
    pub(crate) const fn machine(&self) -> &Value {
        &self.machine
    }

    /// Whether it was measured on such a machine. Older ones have the processor's name alone.
    pub(crate) fn is_of(&self, machine: &Value) -> bool {
        let cpu = |of: &Value| of.get("cpu").and_then(Value::as_str).map(str::to_owned);
        cpu(machine).zip(cpu(&self.machine)).is_some_and(|(here, there)| here.starts_with(&there))
    }

    /// What was written down of a case.
    pub(crate) fn ratio(&self, case: &str) -> Option<f64> {
        self.ratios.get(case).copied()
    }

    /// The cases that are worse than they were.
    pub(crate) fn worse<'a>(&self, cases: &'a [Case]) -> Vec<&'a Case> {
        let worse = |case: &&Case| self.ratio(&case.case).is_some_and(|recorded| case.is_worse_than(recorded));
        cases.iter().filter(worse).collect()
    }

    /// Cases that were written down and are not among these.
    pub(crate) fn missing(&self, cases: &[Case]) -> Vec<&str> {
        let keys = self.ratios.keys().map(String::as_str);
        keys.filter(|key| cases.iter().all(|case| case.case != *key)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::super::case::tests::case;
    use super::*;

    #[test]
    fn a_fifth_less_is_found_and_so_is_what_is_gone() {
        let before = [case("accept", "at_least", 0.6), case("latency", "at_most", 2.0), case("gone", "at_least", 1.0)];
        let record = Record::of(&before, Value::Null);
        let now = [case("accept", "at_least", 0.47), case("latency", "at_most", 2.4), case("new", "at_least", 0.1)];
        let worse: Vec<_> = record.worse(&now).iter().map(|case| case.case.clone()).collect();
        assert_eq!(worse, ["accept"]);
        assert_eq!(record.missing(&now), ["gone"]);
    }
}
