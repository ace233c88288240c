//! Programs of others: run, and found or installed.

use std::env;
use std::ffi::OsStr;
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail};

use crate::output;

/// Runs a program that must succeed; its output is shown only if it does not.
pub(crate) fn run(command: &mut Command) -> Result<String> {
    let shown = format!("{command:?}");
    let output = command.stdin(Stdio::null()).output().with_context(|| format!("failed to run {shown}"))?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    if !output.status.success() {
        let said = format!("{}{}", text(&output.stdout), text(&output.stderr));
        bail!("{shown} ended with {}\n{}", output.status, said.trim_end());
    }
    Ok(text(&output.stdout))
}

/// Runs a program and passes its output on while it comes; gives it when the
/// program has ended, whatever its exit code.
pub(crate) fn run_aloud(command: &mut Command) -> Result<String> {
    let shown = format!("{command:?}");
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .with_context(|| format!("failed to run {shown}"))?;
    let stdout = child.stdout.take().context("the program has no standard output")?;
    let mut all = String::new();
    for line in BufReader::new(stdout).lines() {
        let line = line.with_context(|| format!("failed to read from {shown}"))?;
        output::line(&line)?;
        all.push_str(&line);
        all.push('\n');
    }
    child.wait().with_context(|| format!("failed to wait for {shown}"))?;
    Ok(all)
}

/// Cargo, as from a shell.
pub(crate) fn cargo() -> Command {
    as_from_a_shell(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
}

/// A program that is cargo or runs it. What cargo says to us of our own package would have
/// build scripts run again that look at it (ring's), and then all that depends on them.
pub(crate) fn as_from_a_shell(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(program);
    for (name, _) in env::vars_os() {
        if name.to_str().is_some_and(|name| name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_")) {
            command.env_remove(name);
        }
    }
    command
}

/// Whether this command works here.
pub(crate) fn works(program: &str, arguments: &[&str]) -> bool {
    let output = Command::new(program).args(arguments).stdin(Stdio::null()).output();
    output.is_ok_and(|output| output.status.success())
}

/// Installs packages of Debian's.
///
/// # Errors
/// This is no Debian, or we may not. Then it says what is missing.
pub(crate) fn install(what: &str, packages: &[&str]) -> Result<()> {
    let names = packages.join(" ");
    if !Path::new("/etc/debian_version").exists() || !rustix::process::geteuid().is_root() {
        bail!("{what} is missing; on Debian: apt-get install {names}");
    }
    eprintln!("{what} is missing: apt-get install {names}");
    let apt = |arguments: &[&str]| {
        let mut command = Command::new("apt-get");
        run(command.env("DEBIAN_FRONTEND", "noninteractive").args(["-qq", "-y"]).args(arguments))
    };
    apt(&["update"])?;
    apt(&[&["install", "--no-install-recommends"], packages].concat())?;
    Ok(())
}

/// Does what takes long only if `wanted` is not what it was done with the last time.
pub(crate) fn once(stamp: &Path, wanted: &str, make: impl FnOnce() -> Result<()>) -> Result<()> {
    if fs::read_to_string(stamp).is_ok_and(|found| found == wanted) {
        return Ok(());
    }
    make()?;
    fs::write(stamp, wanted).with_context(|| format!("failed to write {}", stamp.display()))
}
