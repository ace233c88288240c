//! One run: what was done, what was found, where.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// A line of `docs/reliability/results.jsonl`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Run {
    /// The key of the case.
    pub(crate) case: String,
    /// The day, in UTC.
    pub(crate) date: String,
    /// With `+` if files were changed since.
    pub(crate) commit: String,
    pub(crate) machine: String,
    /// Where temporary files lie, and with them the data directories.
    pub(crate) file_system: String,
    /// How often it was done, in the unit of the case.
    pub(crate) rounds: u64,
    /// What chance began with; `None` where there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) seed: Option<u64>,
    /// `None` if others ran beside it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) seconds: Option<u64>,
    pub(crate) passed: bool,
    /// Numbers, by name.
    pub(crate) found: Map<String, Value>,
}

/// What all runs of one call have in common.
#[derive(Clone, Debug)]
pub(crate) struct Here {
    pub(crate) date: String,
    pub(crate) commit: String,
    pub(crate) machine: String,
    pub(crate) file_system: String,
}

impl Here {
    /// This machine and this checkout. What cannot be found out is `unknown`.
    pub(crate) fn look(root: &Path) -> Self {
        Self { date: date(), commit: commit(root), machine: machine(), file_system: file_system() }
    }
}

/// Reads all runs; none if there is no file.
///
/// # Errors
/// The file cannot be read, or a line is no run; the line is named.
pub(crate) fn read(path: &Path) -> Result<Vec<Run>> {
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error).with_context(|| format!("failed to read {}", path.display())),
    };
    let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    let run = |(at, line)| serde_json::from_str(line).with_context(|| format!("{}, line {}", path.display(), at + 1));
    lines.map(run).collect()
}

/// Adds a run at the end.
///
/// # Errors
/// It cannot be written.
pub(crate) fn append(path: &Path, run: &Run) -> Result<()> {
    use std::io::Write as _;
    if let Some(directory) = path.parent() {
        fs::create_dir_all(directory).with_context(|| format!("failed to make {}", directory.display()))?;
    }
    let line = serde_json::to_string(run)? + "\n";
    let file = fs::OpenOptions::new().create(true).append(true).open(path);
    let written = file.and_then(|mut file| file.write_all(line.as_bytes()));
    written.with_context(|| format!("failed to write {}", path.display()))
}

fn said(program: &str, arguments: &[&str], directory: &Path) -> Option<String> {
    let output = Command::new(program).args(arguments).current_dir(directory).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

fn unknown() -> String {
    "unknown".to_owned()
}

fn date() -> String {
    said("date", &["-u", "+%Y-%m-%d"], Path::new(".")).unwrap_or_else(unknown)
}

/// The results themselves are written while it runs, and do not count.
fn commit(root: &Path) -> String {
    let Some(commit) = said("git", &["rev-parse", "--short=9", "HEAD"], root) else { return unknown() };
    let changed = said("git", &["status", "--porcelain", "--", ".", ":!docs/reliability*"], root);
    if changed.is_some_and(|changed| changed.is_empty()) { commit } else { commit + "+" }
}

fn machine() -> String {
    let cpu_info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let name = cpu_info.lines().find_map(|line| Some(line.strip_prefix("model name")?.split_once(": ")?.1));
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").map_or_else(|_| unknown(), |text| text.trim().into());
    format!("{cores} x {}, Linux {kernel}", name.unwrap_or("unknown"))
}

fn file_system() -> String {
    let directory = std::env::temp_dir();
    said("stat", &["--file-system", "--format=%T", &directory.display().to_string()], Path::new("."))
        .unwrap_or_else(unknown)
}

#[cfg(test)]
pub(super) mod tests {
    use serde_json::json;

    use super::*;

    pub(in super::super) fn run(case: &str, rounds: u64, found: Value) -> Run {
        let Value::Object(found) = found else { panic!("no object: {found}") };
        Run {
            case: case.into(),
            date: "2026-01-02".into(),
            commit: "abc".into(),
            machine: "2 x chip, Linux 6".into(),
            file_system: "ext2/ext3".into(),
            rounds,
            seed: Some(7),
            seconds: Some(3),
            passed: true,
            found,
        }
    }

    #[test]
    fn runs_are_read_as_they_were_added_and_a_wrong_line_is_named() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("reliability/results.jsonl");
        assert!(read(&path).expect("there is none yet").is_empty());
        for rounds in [1, 2] {
            append(&path, &run("kill", rounds, json!({ "lost": 0 }))).expect("it can be written");
        }
        let runs = read(&path).expect("it can be read");
        assert_eq!(runs.iter().map(|run| run.rounds).collect::<Vec<_>>(), [1, 2]);
        fs::write(&path, "{}\n").expect("it can be written");
        assert!(format!("{:#}", read(&path).expect_err("no run")).contains("results.jsonl, line 1"));
    }

    #[test]
    fn this_machine_is_known() {
        let here = Here::look(Path::new(env!("CARGO_MANIFEST_DIR")));
        assert!(here.machine.contains(" x ") && here.date.starts_with("20"), "{here:?}");
    }
}
