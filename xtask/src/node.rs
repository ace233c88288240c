//! The clients of npm, driven by node's own test runner.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result};

use crate::tally::Tally;
use crate::tool;

/// Installs what is missing and runs the tests in `scripts`.
///
/// # Errors
/// Something cannot be installed, or node cannot run.
pub(crate) fn test(scripts: &Path, home: &Path, environment: &[(&str, String)]) -> Result<Tally> {
    if !tool::works("node", &["--version"]) || !tool::works("npm", &["--version"]) {
        tool::install("node with npm", &["nodejs", "npm"])?;
    }
    // Modules are looked for beside the script that asks for them, so the scripts are copied to where they are installed.
    let home = home.join("node");
    fs::create_dir_all(&home).with_context(|| format!("failed to make {}", home.display()))?;
    let mut tests = vec![];
    for entry in fs::read_dir(scripts).with_context(|| format!("failed to read {}", scripts.display()))? {
        let (from, name) = entry.map(|entry| (entry.path(), entry.file_name()))?;
        fs::copy(&from, home.join(&name)).with_context(|| format!("failed to copy {}", from.display()))?;
        if name.to_string_lossy().ends_with(".test.mjs") {
            tests.push(name);
        }
    }
    tests.sort();
    let lock = scripts.join("package-lock.json");
    let wanted = fs::read_to_string(&lock).with_context(|| format!("failed to read {}", lock.display()))?;
    tool::once(&home.join("made-for"), &wanted, || {
        eprintln!("making {}", home.join("node_modules").display());
        let mut npm = Command::new("npm");
        npm.args(["ci", "--silent", "--no-audit", "--no-fund", "--ignore-scripts"]).current_dir(&home);
        tool::run(&mut npm).map(drop)
    })?;
    let mut command = Command::new("node");
    // One report to be read by people, one to be counted.
    let counted = home.join("report.tap");
    command.args(["--test", "--test-reporter=spec", "--test-reporter-destination=stdout"]);
    command.args(["--test-reporter=tap", "--test-reporter-destination=report.tap"]).args(tests).current_dir(&home);
    command.envs(environment.iter().map(|(name, value)| (name, value)));
    tool::run_aloud(&mut command)?;
    let report = fs::read_to_string(&counted).with_context(|| format!("failed to read {}", counted.display()))?;
    Ok(Tally::from_tap(&report).unwrap_or(Tally::NO_REPORT))
}
