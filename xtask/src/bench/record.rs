//! The ratios that were written down, and what is held against them.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result, bail};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::case::Case;
use super::suite;

/// Median ratios of an earlier run.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Record {
    /// Whether it was the short form; the ratios of the two are not the same.
    short: bool,
    /// The machine that it ran on.
    machine: Value,
    /// By the keys of the cases.
    ratios: BTreeMap<String, f64>,
}

impl Record {
    /// Of what was just measured.
    pub(crate) fn of(cases: &[Case], short: bool, machine: Value) -> Self {
        let rounded = |ratio: f64| (ratio * 1_000.0).round() / 1_000.0;
        let gated = cases.iter().filter(|case| suite::is_gated(&case.case));
        let ratios = gated.map(|case| (case.case.clone(), rounded(case.ratio.median))).collect();
        Self { short, machine, ratios }
    }

    /// # Errors
    /// It cannot be read, or is of the other form.
    pub(crate) fn read(path: &Path, short: bool) -> Result<Self> {
        let text = fs::read_to_string(path).with_context(|| format!("failed to read {}", path.display()))?;
        let record: Self = serde_json::from_str(&text).with_context(|| format!("failed to read {}", path.display()))?;
        if record.short != short {
            let form = if record.short { "short" } else { "long" };
            bail!("{} is of the {form} form, whose ratios are not those of the other", path.display());
        }
        Ok(record)
    }

    /// # Errors
    /// It cannot be written.
    pub(crate) fn write(&self, path: &Path) -> Result<()> {
        if let Some(directory) = path.parent() {
            fs::create_dir_all(directory).with_context(|| format!("failed to make {}", directory.display()))?;
        }
        let text = serde_json::to_string_pretty(self)? + "\n";
        fs::write(path, text).with_context(|| format!("failed to write {}", path.display()))
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
        let record = Record::of(&before, true, Value::Null);
        let now = [case("accept", "at_least", 0.47), case("latency", "at_most", 2.4), case("new", "at_least", 0.1)];
        let worse: Vec<_> = record.worse(&now).iter().map(|case| case.case.clone()).collect();
        assert_eq!(worse, ["accept"]);
        assert_eq!(record.missing(&now), ["gone"]);
    }

    #[test]
    fn it_is_read_as_it_was_written_and_only_for_its_form() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("performance/recorded.json");
        let record = Record::of(&[case("accept", "at_least", 0.61234)], true, Value::Null);
        record.write(&path).expect("it can be written");
        assert_eq!(Record::read(&path, true).expect("it can be read").ratio("accept"), Some(0.612));
        let error = format!("{:#}", Record::read(&path, false).expect_err("it is of the other form"));
        assert!(error.contains("short form"), "{error}");
    }
}
