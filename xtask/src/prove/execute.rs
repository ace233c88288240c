//! Runs a case once, and reads what its test has found.

use std::hash::{BuildHasher as _, RandomState};
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::case::{Case, Counts, From, Test};
use crate::tool;

/// How a run ended.
#[derive(Debug)]
pub(crate) enum Ended {
    /// It ran.
    Ran { passed: bool, rounds: u64, seed: Option<u64>, found: Map<String, Value> },
    /// It cannot run here; it has said why.
    Skipped,
}

/// A line that a test writes for us.
#[derive(Deserialize)]
pub(crate) struct Line {
    pub(crate) case: String,
    rounds: u64,
    seed: u64,
    found: Map<String, Value>,
}

impl Line {
    /// # Errors
    /// It is none.
    pub(crate) fn read(line: &str) -> Result<Self> {
        serde_json::from_str(line).with_context(|| format!("what a test has found: {line}"))
    }

    /// How the run of this case ended that has written it.
    pub(crate) fn ended(self, case: &Case) -> Ended {
        let is_zero = |name: &&str| self.found.get(*name).is_some_and(|number| number.as_f64() == Some(0.0));
        let passed = case.zero.iter().all(is_zero);
        Ended::Ran { passed, rounds: self.rounds, seed: Some(self.seed), found: self.found }
    }
}

/// A line that `fuzz/run` prints.
#[derive(Deserialize)]
struct Fuzzed {
    executions: u64,
    cpu_seconds: f64,
    crashes: u64,
}

/// # Errors
/// Cargo cannot be run, or what a test has written is not understood.
pub(crate) fn execute(case: &Case, rounds: u64, seed: Option<u64>, root: &Path) -> Result<Ended> {
    // Chosen here, so that it is known of a run that fails.
    let seed = seed.unwrap_or_else(|| RandomState::new().hash_one(()) >> 32);
    let test = match case.from {
        From::Test(test) => test,
        From::Fuzz => return fuzz(case, rounds, seed, root),
    };
    let directory = tempfile::tempdir().context("failed to make a temporary directory")?;
    let results = directory.path().join("results.jsonl");
    let mut command = cargo_test(test);
    command.current_dir(root).stdin(Stdio::null());
    command.env("POSTRIDER_PROOF_ROUNDS", rounds.to_string()).env("POSTRIDER_PROOF_SEED", seed.to_string());
    command.env("POSTRIDER_PROOF_RESULTS", &results);
    let status = command.status().with_context(|| format!("failed to run {command:?}"))?;
    if !status.success() {
        return Ok(Ended::Ran { passed: false, rounds, seed: Some(seed), found: Map::new() });
    }
    match test.counts {
        Counts::Itself => {}
        Counts::Cases => return Ok(Ended::Ran { passed: true, rounds, seed: Some(seed), found: Map::new() }),
        Counts::Runs => return Ok(Ended::Ran { passed: true, rounds: 1, seed: None, found: Map::new() }),
    }
    // A test that is skipped passes and finds nothing.
    let Ok(text) = std::fs::read_to_string(&results) else { return Ok(Ended::Skipped) };
    let line = text.lines().last().context("the test has written an empty file")?;
    let line = Line::read(line)?;
    anyhow::ensure!(line.case == case.key, "the test counts as {}, not as {}", line.case, case.key);
    Ok(line.ended(case))
}

fn fuzz(case: &Case, cpu_seconds: u64, seed: u64, root: &Path) -> Result<Ended> {
    // So many targets share the time.
    let seconds = (cpu_seconds / 14).max(1).to_string();
    let mut command = Command::new("bash");
    command.current_dir(root).args(["fuzz/run", "--json", "--seconds", &seconds, "--seed", &seed.to_string()]);
    let output = command.stderr(Stdio::inherit()).output().with_context(|| format!("failed to run {command:?}"))?;
    let text = String::from_utf8_lossy(&output.stdout);
    let (mut executions, mut spent, mut crashes) = (0, 0.0, 0);
    for line in text.lines().filter(|line| line.starts_with('{')) {
        let line: Fuzzed =
            serde_json::from_str(line).with_context(|| format!("what {} has printed: {line}", case.key))?;
        executions += line.executions;
        spent += line.cpu_seconds;
        crashes += line.crashes;
    }
    let found = json!({ "executions": executions, "crashes": crashes });
    let found = found.as_object().cloned().unwrap_or_default();
    Ok(Ended::Ran { passed: output.status.success() && crashes == 0, rounds: spent as u64, seed: Some(seed), found })
}

/// How a run that failed is repeated.
pub(crate) fn again(case: &Case, ended: &Ended) -> String {
    match ended {
        Ended::Ran { rounds, seed: Some(seed), .. } => {
            format!("again: cargo xtask prove --only {} --rounds {rounds} --seed {seed}", case.key)
        }
        _ => format!("again: cargo xtask prove --only {}", case.key),
    }
}

/// The directory that a test lies in.
#[cfg(test)]
pub(crate) fn directory(test: Test) -> String {
    test.package
        .map_or_else(|| "tests/it".to_owned(), |package| format!("crates/{}", package.trim_start_matches("postrider-")))
}

fn cargo_test(test: Test) -> Command {
    let mut command = tool::cargo();
    command.args(["test", "--quiet", "--locked"]);
    match test.package {
        None => command.args(["--package", "postrider", "--test", "it"]),
        Some(package) => command.args(["--package", package, "--lib"]),
    };
    command.args(["--", test.name, "--exact", "--nocapture"]);
    command
}
