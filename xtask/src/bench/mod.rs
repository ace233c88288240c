//! `cargo xtask bench`.
//!
//! ```text
//!   xtask -- cargo bench --bench X -- --json --> each benchmark, one after the other
//!     |                                               |
//!     |<--------------- its cases as JSON ------------+
//!     +--> the table; the record; or what has become worse than the record, once more
//! ```

mod case;
mod record;
mod records;
mod suite;
mod table;

use std::path::Path;
use std::process::Stdio;

use anyhow::{Context as _, Result, bail};
use serde_json::{Value, json};

use self::case::{Case, Printed};
use self::record::Record;
use self::records::Records;
use self::suite::Suite;
use crate::options::Bench;
use crate::{output, tool};

/// Measures, prints, and gives whether the gate lets it pass.
///
/// # Errors
/// A benchmark fails, or a file cannot be read or written.
pub(crate) fn run(asked: &Bench) -> Result<bool> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().context("the checkout has no root")?;
    let recorded = asked.gate.as_ref().map(|path| Records::read(Path::new(path), asked.short)).transpose()?;
    let measured = measure(asked, root)?;
    let cases = measured.cases()?;
    output::text(if asked.json { measured.json()? } else { measured.text(&cases) })?;
    let machine = measured.first(|printed| &printed.machine);
    if let Some(path) = &asked.record {
        Records::note(Path::new(path), asked.short, Record::of(&cases, machine.clone()))?;
    }
    let Some(recorded) = recorded.as_ref().and_then(|recorded| recorded.of(&machine)) else { return Ok(true) };
    if !recorded.is_of(&machine) {
        eprintln!("nothing was written down on such a machine; what is held against it may not fit");
    }
    passes(recorded, &cases, asked, root)
}

/// What all benchmarks have printed.
struct Measured(Vec<(&'static Suite, Printed)>);

fn measure(asked: &Bench, root: &Path) -> Result<Measured> {
    let suites = match &asked.only {
        None => suite::SUITES.iter().collect(),
        Some(case) => vec![suite::of(case).with_context(|| format!("there is no case `{case}`; {}", known()))?],
    };
    let only = asked.only.as_deref();
    suites
        .into_iter()
        .map(|suite| Ok((suite, one(suite, only, &suite.arguments(only, asked.short, asked.rounds), root)?)))
        .collect::<Result<_>>()
        .map(Measured)
}

/// Runs one benchmark, or one case of it, with these arguments. What it says meanwhile is passed on.
fn one(suite: &Suite, only: Option<&str>, arguments: &[String], root: &Path) -> Result<Printed> {
    let mut command = tool::cargo();
    command.current_dir(root).stderr(Stdio::inherit());
    command.args(["bench", "--locked", "--package", "postrider", "--bench", suite.name, "--", "--json"]);
    command.args(arguments);
    eprintln!("==> {} {}", suite.name, only.unwrap_or_default());
    let text = tool::run(&mut command)?;
    serde_json::from_str(&text).with_context(|| format!("what {} has printed is not understood", suite.name))
}

/// Rounds of the second look at what was worse in the first: the median of three differs by a
/// tenth from one run to the next where nothing else does, that of so many by a few hundredths.
const ROUNDS_OF_SECOND_LOOK: u32 = 15;

/// Whether no case is worse than its record, in this run or in a second, longer one of it.
fn passes(recorded: &Record, cases: &[Case], asked: &Bench, root: &Path) -> Result<bool> {
    let missing = recorded.missing(cases);
    if asked.only.is_none() && !missing.is_empty() {
        bail!("these were written down and are not measured: {}", missing.join(", "));
    }
    let mut passes = true;
    for case in recorded.worse(cases) {
        eprintln!("{}; once more", compared(recorded, case));
        let suite = suite::of(&case.case).with_context(|| format!("no benchmark has {}", case.case))?;
        let only = Some(case.case.as_str());
        let rounds = asked.rounds.unwrap_or_default().max(ROUNDS_OF_SECOND_LOOK);
        let again = one(suite, only, &suite.arguments(only, asked.short, Some(rounds)), root)?;
        let again = Measured(vec![(suite, again)]).cases()?;
        let again: Vec<_> = again.into_iter().filter(|other| other.case == case.case).collect();
        if again.is_empty() || !recorded.worse(&again).is_empty() {
            let again = again.first().unwrap_or(case);
            eprintln!("error: {}, twice", compared(recorded, again));
            passes = false;
        }
    }
    Ok(passes)
}

fn compared(recorded: &Record, case: &Case) -> String {
    let before = recorded.ratio(&case.case).unwrap_or_default();
    format!("{}: the ratio is {:.2}, and was written down as {before:.2}", case.case, case.ratio.median)
}

fn known() -> String {
    let all: Vec<_> = suite::SUITES.iter().flat_map(|suite| suite.cases).map(|(key, _)| *key).collect();
    format!("there are {}", all.join(", "))
}

impl Measured {
    /// All cases, in the order of the table.
    fn cases(&self) -> Result<Vec<Case>> {
        let mut cases = Vec::new();
        for (nth, (suite, printed)) in self.0.iter().enumerate() {
            for case in &printed.cases {
                let case: Case = serde_json::from_value(case.clone())
                    .with_context(|| format!("a case of {} is not understood: {case}", suite.name))?;
                let Some(place) = suite.place(&case.case) else {
                    bail!("{} has a case that suite.rs does not know: {}", suite.name, case.case);
                };
                cases.push((nth, place, case));
            }
        }
        cases.sort_by_key(|(nth, place, _)| (*nth, *place));
        Ok(cases.into_iter().map(|(.., case)| case).collect())
    }

    fn first(&self, of: fn(&Printed) -> &Value) -> Value {
        self.0.iter().map(|(_, printed)| of(printed)).find(|value| !value.is_null()).cloned().unwrap_or_default()
    }

    fn json(&self) -> Result<String> {
        let loads: serde_json::Map<_, _> =
            self.0.iter().map(|(suite, printed)| (suite.name.to_owned(), printed.load.clone())).collect();
        let cases: Vec<_> = self.0.iter().flat_map(|(_, printed)| &printed.cases).collect();
        let all = json!({
            "machine": self.first(|printed| &printed.machine),
            "volume": self.first(|printed| &printed.volume),
            "loads": loads,
            "cases": cases,
        });
        Ok(serde_json::to_string_pretty(&all)? + "\n")
    }

    fn text(&self, cases: &[Case]) -> String {
        let (machine, volume) = (self.first(|printed| &printed.machine), self.first(|printed| &printed.volume));
        let said = |of: &Value, name: &str| match of.get(name) {
            Some(Value::String(text)) => text.clone(),
            Some(other) => other.to_string(),
            None => "unknown".to_owned(),
        };
        let head = format!(
            "commit {}; {} x {}, Linux {}, load {}; {} on {}\n",
            said(&machine, "commit"),
            said(&machine, "cores"),
            said(&machine, "cpu"),
            said(&machine, "kernel"),
            said(&machine, "load"),
            said(&volume, "file_system"),
            said(&volume, "device"),
        );
        let load = |(suite, printed): &(&Suite, Printed)| {
            printed.load.as_str().map(|load| format!("{}: {load}\n", suite.name)).unwrap_or_default()
        };
        head + &self.0.iter().map(load).collect::<String>() + "\n" + &table::table(cases)
    }
}
