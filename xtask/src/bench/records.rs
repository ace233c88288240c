//! The file of what was written down, on each kind of machine: a ratio of what the
//! processor bounds to what the disk bounds is another one where the disk is faster.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result, bail};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::record::Record;

/// All that was written down, of one form of the run.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Records {
    /// Whether it was the short form; the ratios of the two are not the same.
    short: bool,
    /// One of each kind of machine.
    records: Vec<Record>,
}

impl Records {
    /// # Errors
    /// It cannot be read, is of the other form, or is empty.
    pub(crate) fn read(path: &Path, short: bool) -> Result<Self> {
        let text = fs::read_to_string(path).with_context(|| format!("failed to read {}", path.display()))?;
        let read: Self = serde_json::from_str(&text).with_context(|| format!("failed to read {}", path.display()))?;
        if read.short != short {
            let form = if read.short { "short" } else { "long" };
            bail!("{} is of the {form} form, whose ratios are not those of the other", path.display());
        }
        if read.records.is_empty() {
            bail!("nothing is written down in {}", path.display());
        }
        Ok(read)
    }

    /// What is held against a run on this machine: what was written down on one of its kind,
    /// or else the first, which may not fit.
    pub(crate) fn of(&self, machine: &Value) -> Option<&Record> {
        self.records.iter().find(|record| record.is_of(machine)).or_else(|| self.records.first())
    }

    /// Writes this one down in place of the one of its kind of machine.
    ///
    /// # Errors
    /// What is there is of the other form, or the file cannot be read or written.
    pub(crate) fn note(path: &Path, short: bool, record: Record) -> Result<()> {
        let there = path.try_exists().with_context(|| format!("failed to look at {}", path.display()))?;
        let mut all = if there { Self::read(path, short)? } else { Self { short, records: vec![] } };
        match all.records.iter_mut().find(|other| other.is_of(record.machine())) {
            Some(other) => *other = record,
            None => all.records.push(record),
        }
        if let Some(directory) = path.parent() {
            fs::create_dir_all(directory).with_context(|| format!("failed to make {}", directory.display()))?;
        }
        let text = serde_json::to_string_pretty(&all)? + "\n";
        fs::write(path, text).with_context(|| format!("failed to write {}", path.display()))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::case::tests::case;
    use super::*;

    fn record(ratio: f64, cpu: &str) -> Record {
        Record::of(&[case("accept", "at_least", ratio)], json!({ "cpu": cpu }))
    }

    #[test]
    fn a_run_is_held_against_what_was_written_down_on_such_a_machine() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("performance/recorded.json");
        for (ratio, cpu) in
            [(0.6, "EPYC"), (0.3, "Xeon (family 6, model 207)"), (0.31234, "Xeon (family 6, model 207)")]
        {
            Records::note(&path, true, record(ratio, cpu)).expect("it can be written");
        }
        let records = Records::read(&path, true).expect("it can be read");
        let held = |cpu: &str| records.of(&json!({ "cpu": cpu })).and_then(|record| record.ratio("accept"));
        assert_eq!(held("Xeon (family 6, model 207)"), Some(0.312), "the newer one is in place of the older");
        assert_eq!(held("EPYC (family 25, model 1)"), Some(0.6), "it had no numbers when it was written down");
        assert_eq!(held("Xeon (family 6, model 85)"), Some(0.6), "there is none of it");
    }

    #[test]
    fn it_is_for_one_form_of_the_run() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("recorded.json");
        Records::note(&path, true, record(0.6, "EPYC")).expect("it can be written");
        let error = format!("{:#}", Records::read(&path, false).expect_err("it is of the other form"));
        assert!(error.contains("short form"), "{error}");
        assert!(Records::note(&path, false, record(0.6, "EPYC")).is_err());
    }
}
