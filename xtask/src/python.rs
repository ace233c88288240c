//! The clients of PyPI, driven by pytest, in a venv of their own.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result};

use crate::tally::Tally;
use crate::tool;

/// Installs what is missing and runs the tests below `scripts`.
///
/// # Errors
/// Something cannot be installed, or pytest cannot run.
pub(crate) fn test(scripts: &Path, home: &Path, environment: &[(&str, String)]) -> Result<Tally> {
    let venv = home.join("venv");
    let requirements = scripts.join("requirements.txt");
    let wanted =
        fs::read_to_string(&requirements).with_context(|| format!("failed to read {}", requirements.display()))?;
    tool::once(&venv.join("made-for"), &wanted, || make(&venv, &requirements))?;
    let mut command = Command::new(venv.join("bin/python"));
    command.args(["-m", "pytest", "-q", "-rs", "--color=no", "--tb=short", "-p", "no:cacheprovider"]).arg(".");
    command.current_dir(scripts).envs(environment.iter().map(|(name, value)| (name, value)));
    command.env("PYTHONDONTWRITEBYTECODE", "1");
    let output = tool::run_aloud(&mut command)?;
    Ok(Tally::from_pytest(&output).unwrap_or(Tally::NO_REPORT))
}

fn make(venv: &Path, requirements: &Path) -> Result<()> {
    if !tool::works("python3", &["-c", "import venv, ensurepip"]) {
        tool::install("python3 with venv", &["python3", "python3-venv"])?;
    }
    eprintln!("making {}", venv.display());
    tool::run(Command::new("python3").args(["-m", "venv", "--clear"]).arg(venv))?;
    let mut pip = Command::new(venv.join("bin/python"));
    pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--requirement"]).arg(requirements);
    tool::run(&mut pip)?;
    Ok(())
}
