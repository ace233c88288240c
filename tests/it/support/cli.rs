//! The binary's client commands, as a person or a script runs them.

use std::path::Path;
use std::process::Command;

use serde_json::Value;

use super::POSTRIDER;

/// What a command gave.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Ran {
    /// Its output, which must be JSON, of a command that must succeed.
    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        self.ok().answered()
    }

    /// Its output, which must be JSON, whatever its exit code.
    #[track_caller]
    pub(crate) fn answered(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("no JSON ({error}): {self:?}"))
    }

    /// It must succeed.
    #[track_caller]
    pub(crate) fn ok(&self) -> &Self {
        assert_eq!(self.code, Some(0), "{self:?}");
        self
    }
}

/// Runs a command on a data directory with `--json`.
pub(crate) fn run(data_dir: &Path, arguments: &[&str]) -> Ran {
    let mut command = Command::new(POSTRIDER);
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("POSTRIDER_")) {
        command.env_remove(name);
    }
    // No configuration of the developer's lies in the root.
    command.current_dir("/").args(arguments).arg("--json").arg("--data-dir").arg(data_dir);
    let output = command.output().expect("the binary can be started");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Ran { code: output.status.code(), stdout: text(&output.stdout), stderr: text(&output.stderr) }
}
