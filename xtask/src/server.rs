//! The server under test: the real binary on free ports, with a token.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;

use crate::tool;

/// How long a start may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// A server on a data directory of its own. It ends when it is dropped.
pub(crate) struct Server {
    child: Child,
    /// Where the HTTP API answers.
    pub(crate) url: String,
    /// Access to it.
    pub(crate) token: String,
    /// Goes after the process.
    _data: TempDir,
}

impl Server {
    /// Starts one that may send to this machine, with some more settings.
    ///
    /// # Errors
    /// It ends before it is ready, or is not ready in time.
    pub(crate) fn start(binary: &Path, settings: &[&str]) -> Result<Self> {
        let data = tempfile::tempdir().context("failed to make a temporary directory")?;
        let mut command = command(binary, data.path());
        command.arg("serve").stdout(Stdio::null()).stderr(Stdio::piped());
        let always = ["api.listen=127.0.0.1:0", "metrics.listen=127.0.0.1:0", "dispatch.allow_networks=127.0.0.0/8"];
        for setting in always.iter().chain(settings) {
            command.args(["--set", setting]);
        }
        let mut child = command.spawn().with_context(|| format!("failed to run {}", binary.display()))?;
        let log = child.stderr.take().context("the server has no standard error")?;
        let (say, said) = mpsc::channel();
        thread::spawn(move || pass_on(log, &say));
        let Ok(address) = said.recv_timeout(PATIENCE) else {
            let _ = child.kill();
            let _ = child.wait();
            bail!("the server did not start with {settings:?}; what it said stands above");
        };
        let token = tool::run(self::command(binary, data.path()).args(["token", "create"]))?.trim().to_owned();
        Ok(Self { child, url: format!("http://{address}"), token, _data: data })
    }

    /// Has it stop as a person would.
    ///
    /// # Errors
    /// It is gone already, or ends with another exit code than 0.
    pub(crate) fn stop(mut self) -> Result<()> {
        kill_process(Pid::from_child(&self.child), Signal::TERM).context("the server is gone")?;
        let status = self.child.wait().context("failed to wait for the server")?;
        if !status.success() {
            bail!("the server ended with {status}");
        }
        Ok(())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Both fail if it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The program, with nothing of the developer's configuration.
fn command(binary: &Path, data: &Path) -> Command {
    let mut command = Command::new(binary);
    command.env_clear().current_dir(data).arg("--data-dir").arg(data).stdin(Stdio::null());
    command
}

/// Says where the server listens, and passes on its warnings and last words.
fn pass_on(log: ChildStderr, ready: &mpsc::Sender<String>) {
    for line in BufReader::new(log).lines().map_while(Result::ok) {
        let entry: Value = serde_json::from_str(&line).unwrap_or_default();
        let text = |name: &str| entry.get(name).and_then(Value::as_str);
        match (text("level"), text("message"), text("api")) {
            (_, Some("ready"), Some(api)) => drop(ready.send(api.to_owned())),
            (Some("INFO" | "DEBUG" | "TRACE"), ..) => {}
            _ => eprintln!("server: {line}"),
        }
    }
}

/// Builds the binary; gives its path.
///
/// # Errors
/// It does not compile.
pub(crate) fn build(root: &Path) -> Result<PathBuf> {
    let mut command = tool::cargo();
    command.current_dir(root).stderr(Stdio::inherit());
    command.args(["build", "--locked", "--package", "postrider", "--bin", "postrider", "--message-format=json"]);
    let messages = tool::run(&mut command)?;
    let made = messages.lines().rev().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let mut binaries = made.filter_map(|message| message.get("executable")?.as_str().map(PathBuf::from));
    binaries.next().context("cargo has built no binary")
}
