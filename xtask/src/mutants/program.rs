//! The test program, run with limits: a mutant may compute, wait, allocate or write for ever.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use rustix::process::{Pid, Signal, kill_process_group};

use crate::tool;

/// 6 GiB of memory and 2 GiB a file (in units of 512 bytes) are far above what a test takes;
/// no core is written.
const LIMITED: &str = r#"ulimit -c 0; ulimit -v 6291456; ulimit -f 4194304; ulimit -t "$1"; shift; exec "$@""#;
/// Tests that take much less are not held up by it.
const LOOK_EVERY: Duration = Duration::from_millis(5);
/// What the kernel ends a process with that has used up its processor time.
const OF_LIMITS: [Signal; 2] = [Signal::XCPU, Signal::KILL];

/// What makes tests write into the checkout, or take as long as a proof.
const OF_PROOFS: [&str; 4] =
    ["POSTRIDER_PROOF_RESULTS", "POSTRIDER_PROOF_ROUNDS", "POSTRIDER_PROOF_SEED", "POSTRIDER_WRITE_GOLDEN"];

/// The tests of a crate, with all of its mutants.
#[derive(Debug)]
pub(crate) struct Program {
    pub(crate) binary: PathBuf,
    /// Of the crate.
    pub(crate) directory: PathBuf,
}

/// How long it may run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    pub(crate) cpu_seconds: u64,
    pub(crate) wall: Duration,
}

/// How it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    Passed,
    Failed,
    /// It has come to a limit.
    None,
}

/// A run of it.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) end: End,
    pub(crate) output: String,
    pub(crate) took: Duration,
    /// The numbers of the functions that it came by; empty with a mutant.
    pub(crate) reached: BTreeSet<usize>,
}

impl Program {
    /// The names of all tests.
    ///
    /// # Errors
    /// It does not list them.
    pub(crate) fn tests(&self) -> Result<Vec<String>> {
        let mut command = Command::new(&self.binary);
        let listed = tool::run(command.current_dir(&self.directory).arg("--list"))?;
        Ok(listed.lines().filter_map(|line| line.strip_suffix(": test")).map(str::to_owned).collect())
    }

    /// Runs these tests one after the other, up to the first that fails, with a mutant or
    /// without. Their temporary files are gone afterwards.
    ///
    /// # Errors
    /// It cannot be run.
    pub(crate) fn run(&self, tests: &[&str], mutant: Option<usize>, limits: Limits) -> Result<Ran> {
        let home = tempfile::tempdir().context("failed to make a temporary directory")?;
        let [output, trace, temporary] = ["output", "trace", "tmp"].map(|name| home.path().join(name));
        fs::create_dir(&temporary).with_context(|| format!("failed to make {}", temporary.display()))?;
        let mut command = self.command(tests, limits, &temporary);
        match mutant {
            Some(mutant) => command.env("MUTANT", mutant.to_string()).env_remove("MUTANT_TRACE"),
            None => command.env_remove("MUTANT").env("MUTANT_TRACE", &trace),
        };
        // Into a file, which fills no pipe while nobody reads it.
        let file = File::create(&output).with_context(|| format!("failed to make {}", output.display()))?;
        let errors = file.try_clone().context("failed to share a file")?;
        let began = Instant::now();
        let child = command.stdin(Stdio::null()).stdout(file).stderr(errors).spawn();
        let child = child.with_context(|| format!("failed to run {}", self.binary.display()))?;
        let end = end_of(child, limits.wall)?;
        let took = began.elapsed();
        let reached = read(&trace).lines().filter_map(|line| line.parse().ok()).collect();
        Ok(Ran { end, output: read(&output), took, reached })
    }

    fn command(&self, tests: &[&str], limits: Limits, temporary: &Path) -> Command {
        let mut command = limited(&self.binary, limits);
        command.args(["--exact", "-Zunstable-options", "--fail-fast", "--test-threads", "1"]).args(tests);
        command.current_dir(&self.directory).env("CARGO_MANIFEST_DIR", &self.directory).env("TMPDIR", temporary);
        command.env("PROPTEST_CASES", "64").env("PROPTEST_DISABLE_FAILURE_PERSISTENCE", "1");
        for name in OF_PROOFS {
            command.env_remove(name);
        }
        // For `--fail-fast`.
        command.env("RUSTC_BOOTSTRAP", "1").env("RUST_BACKTRACE", "0");
        command
    }
}

fn limited(binary: &Path, limits: Limits) -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", LIMITED, "sh", &limits.cpu_seconds.to_string()]).arg(binary);
    // What the tests start ends with them.
    command.process_group(0);
    command
}

fn end_of(mut child: Child, wall: Duration) -> Result<End> {
    let end = Instant::now() + wall;
    loop {
        // An error says that nothing of it is left.
        let end_group = |child: &Child| kill_process_group(Pid::from_child(child), Signal::KILL).ok();
        if let Some(status) = child.try_wait().context("failed to wait for the tests")? {
            end_group(&child);
            return Ok(End::of(status));
        }
        if Instant::now() >= end {
            end_group(&child);
            child.wait().context("failed to wait for the tests")?;
            return Ok(End::None);
        }
        thread::sleep(LOOK_EVERY);
    }
}

impl End {
    fn of(status: ExitStatus) -> Self {
        if status.success() {
            return Self::Passed;
        }
        let is_limit = |signal: i32| OF_LIMITS.iter().any(|limit| limit.as_raw() == signal);
        if status.signal().is_some_and(is_limit) { Self::None } else { Self::Failed }
    }
}

/// A test that fails early writes nothing, and one may write what is no text.
fn read(path: &Path) -> String {
    fs::read(path).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn end(script: &str, limits: Limits) -> End {
        let mut command = limited(Path::new("sh"), limits);
        let child = command.args(["-c", script]).stdin(Stdio::null()).spawn();
        end_of(child.expect("there is a shell"), limits.wall).expect("it can be waited for")
    }

    const LONG: Limits = Limits { cpu_seconds: 60, wall: Duration::from_secs(60) };

    #[test]
    fn an_end_is_what_it_is_for_cargo() {
        assert_eq!(end("exit 0", LONG), End::Passed);
        assert_eq!(end("exit 101", LONG), End::Failed);
        assert_eq!(end("kill -ABRT $$", LONG), End::Failed);
    }

    #[test]
    fn what_goes_on_for_ever_is_ended() {
        assert_eq!(end("while :; do :; done", Limits { cpu_seconds: 1, ..LONG }), End::None);
        assert_eq!(end("sleep 1000 & wait", Limits { wall: Duration::ZERO, ..LONG }), End::None);
    }
}
