//! The real binary as a process of its own, on a data directory that outlives it.

use std::fmt::Write as _;
use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::thread::JoinHandle;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;
use tokio::sync::watch;

use super::{Api, Ingest, Metrics, POSTRIDER, Ran, in_time, run};

/// How a server is started. Servers started from one setup use one data directory.
#[derive(Clone)]
pub(crate) struct Setup {
    home: Arc<TempDir>,
    data_dir: PathBuf,
    arguments: Vec<String>,
    environment: Vec<(String, String)>,
    through: Vec<String>,
}

impl Setup {
    /// A fresh directory, free ports, and a guard that lets requests reach this machine.
    pub(crate) fn new() -> Self {
        let home = Arc::new(tempfile::tempdir().expect("there is room for temporary files"));
        let data_dir = home.path().join("data");
        let setup = Self { home, data_dir, arguments: vec![], environment: vec![], through: vec![] };
        setup
            .set("api.listen", "127.0.0.1:0")
            .set("metrics.listen", "127.0.0.1:0")
            .set("dispatch.allow_networks", "127.0.0.0/8")
            // A start reads the newest segment, which takes a while without optimisation.
            .set("journal.segment_bytes", "4194304")
    }

    /// Sets a key of the configuration.
    pub(crate) fn set(self, key: &str, value: &str) -> Self {
        self.argument("--set").argument(&format!("{key}={value}"))
    }

    /// Segments as small as they may be, so that a test sees many of them.
    pub(crate) fn with_small_segments(self) -> Self {
        self.set("limits.body_bytes", "262144").set("journal.segment_bytes", "1048576")
    }

    /// Adds a flag.
    pub(crate) fn argument(mut self, argument: &str) -> Self {
        self.arguments.push(argument.to_owned());
        self
    }

    /// Sets a variable of the environment.
    pub(crate) fn env(mut self, name: &str, value: impl Into<String>) -> Self {
        self.environment.push((name.to_owned(), value.into()));
        self
    }

    /// Starts the server through a program that runs the command after its own arguments.
    pub(crate) fn through(mut self, program: &[&str]) -> Self {
        self.through = program.iter().map(|&part| part.to_owned()).collect();
        self
    }

    /// Uses another directory, which is not removed afterwards.
    pub(crate) fn at(mut self, data_dir: &Path) -> Self {
        data_dir.clone_into(&mut self.data_dir);
        self
    }

    /// The data directory.
    pub(crate) fn data_dir(&self) -> &Path {
        &self.data_dir
    }

    /// A directory beside the data, for the test's own files.
    pub(crate) fn home(&self) -> &Path {
        self.home.path()
    }

    /// Salvages into a directory beside the data: gives the setup that uses it, and the list
    /// of what is missing.
    pub(crate) fn salvage(&self) -> (Self, Vec<Value>) {
        let to = self.home().join("salvaged");
        let ran = run(&self.data_dir, &["doctor", "--salvage", to.to_str().expect("UTF-8")]);
        let lines = ran.ok().stdout.lines().map(|line| serde_json::from_str(line).expect("each line is JSON"));
        (self.clone().at(&to), lines.collect())
    }

    /// The journal's files, oldest segment first.
    pub(crate) fn segments(&self) -> Vec<PathBuf> {
        let entries = std::fs::read_dir(self.data_dir.join("journal")).expect("there is a journal");
        let mut segments: Vec<PathBuf> = entries
            .map(|entry| entry.expect("the journal's directory can be read").path())
            .filter(|path| path.extension().is_some_and(|extension| extension == "journal"))
            .collect();
        segments.sort();
        segments
    }

    /// Starts the process and waits for nothing.
    pub(crate) fn spawn(&self) -> Process {
        let mut words = self.through.iter().map(String::as_str).chain([POSTRIDER]);
        let mut command = Command::new(words.next().expect("the binary at least"));
        command.args(words).arg("serve").arg("--data-dir").arg(&self.data_dir).args(&self.arguments);
        // A configuration in the environment or the working directory is the developer's own.
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("POSTRIDER_")) {
            command.env_remove(name);
        }
        command.current_dir(self.home()).envs(self.environment.iter().cloned());
        Process::start(command)
    }

    /// Starts a server and waits until it is ready.
    pub(crate) async fn start(&self) -> Server {
        match self.try_start().await {
            Ok(server) => server,
            Err(ended) => panic!("the server ended before it was ready: {ended:?}"),
        }
    }

    /// Starts a server that is not to come up.
    pub(crate) async fn refused(&self) -> Ended {
        match self.try_start().await {
            Ok(_) => panic!("the server was not to start"),
            Err(ended) => ended,
        }
    }

    /// Starts a server, and waits until it is ready or has ended.
    pub(crate) async fn try_start(&self) -> Result<Server, Ended> {
        let mut process = self.spawn();
        let Some(ready) = process.line(|line| line["message"] == "ready").await else {
            return Err(process.ended().await);
        };
        let address = |name: &str| -> SocketAddr {
            let text = ready[name].as_str().expect("the line names the address");
            text.parse().expect("an address with a port")
        };
        let (api, metrics) = (address("api"), address("metrics"));
        Ok(Server { process, setup: self.clone(), api, metrics })
    }
}

/// What a process left.
#[derive(Debug)]
pub(crate) struct Ended {
    /// Its exit code; `None` if a signal ended it.
    pub(crate) code: Option<i32>,
    /// The signal that ended it.
    pub(crate) signal: Option<i32>,
    /// All that it said.
    pub(crate) stderr: String,
}

#[derive(Default)]
struct Said {
    lines: Vec<String>,
    status: Option<ExitStatus>,
}

/// A server's process. It is killed when it is dropped.
pub(crate) struct Process {
    pid: Pid,
    said: watch::Receiver<Said>,
    reader: Option<JoinHandle<()>>,
}

impl Process {
    fn start(mut command: Command) -> Self {
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("the binary can be started");
        let pid = Pid::from_child(&child);
        let stderr = child.stderr.take().expect("it is a pipe");
        let (say, said) = watch::channel(Said::default());
        let reader = std::thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                say.send_modify(|said| said.lines.push(line));
            }
            let status = child.wait().expect("it is our child");
            say.send_modify(|said| said.status = Some(status));
        });
        Self { pid, said, reader: Some(reader) }
    }

    /// Waits for a line of the log; `None` if the process ends without it.
    pub(crate) async fn line(&mut self, matches: impl Fn(&Value) -> bool) -> Option<Value> {
        let mut seen = 0;
        let mut found = None;
        let look = self.said.wait_for(|said| {
            let new = said.lines.iter().skip(seen).filter_map(|line| serde_json::from_str(line).ok());
            found = new.into_iter().find(&matches);
            seen = said.lines.len();
            found.is_some() || said.status.is_some()
        });
        let looked = in_time("a line of the log", look).await.map(|_| ());
        looked.expect("the reader tells the end before it goes");
        found
    }

    /// Waits for the end.
    pub(crate) async fn ended(&mut self) -> Ended {
        let ended = in_time("the end of the process", self.said.wait_for(|said| said.status.is_some())).await;
        let said = ended.expect("the reader tells the end before it goes");
        let status = said.status.expect("that was waited for");
        Ended { code: status.code(), signal: status.signal(), stderr: said.lines.join("\n") }
    }

    /// Its number.
    pub(crate) const fn pid(&self) -> Pid {
        self.pid
    }

    /// Sends a signal.
    pub(crate) fn signal(&self, signal: Signal) {
        if self.said.borrow().status.is_none() {
            // One that is ending at this moment needs none.
            let _ = kill_process(self.pid, signal);
        }
    }

    /// Ends it as a power cut would, and waits until it is gone.
    pub(crate) async fn kill(&mut self) {
        self.signal(Signal::KILL);
        self.ended().await;
    }

    /// What it said so far.
    pub(crate) fn log(&self) -> String {
        let mut text = String::new();
        for line in &self.said.borrow().lines {
            let _ = writeln!(text, "{line}");
        }
        text
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.signal(Signal::KILL);
        if let Some(reader) = self.reader.take() {
            // Its directory is removed next: it must be gone by then.
            let _ = reader.join();
        }
        if std::thread::panicking() {
            eprint_log(&self.log());
        }
    }
}

#[expect(clippy::print_stderr, reason = "shown with the test that fails")]
fn eprint_log(log: &str) {
    eprintln!("---- what the server said ----\n{log}----");
}

/// A server that is ready.
pub(crate) struct Server {
    pub(crate) process: Process,
    pub(crate) setup: Setup,
    api: SocketAddr,
    metrics: SocketAddr,
}

impl Server {
    /// A server on a fresh directory with its defaults.
    pub(crate) async fn start() -> Self {
        Setup::new().start().await
    }

    /// The HTTP API over its Unix socket.
    pub(crate) fn api(&self) -> Api {
        Api::over_socket(self.setup.data_dir().join("api.sock"))
    }

    /// The HTTP API over TCP, with a token or without one.
    pub(crate) fn api_over_tcp(&self, token: Option<&str>) -> Api {
        Api::over_tcp(self.api, token)
    }

    /// Where clients of others reach the HTTP API over TCP.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.api)
    }

    /// Where the HTTP API listens on TCP.
    pub(crate) const fn api_address(&self) -> SocketAddr {
        self.api
    }

    /// A connection to the ingest socket.
    pub(crate) async fn ingest(&self) -> Ingest {
        Ingest::connect(&self.setup.data_dir().join("ingest.sock")).await
    }

    /// What is served beside the metrics.
    pub(crate) fn metrics_door(&self) -> Api {
        Api::over_tcp(self.metrics, None)
    }

    /// A scrape.
    pub(crate) async fn metrics(&self) -> Metrics {
        Metrics::scrape(&self.metrics_door()).await
    }

    /// Runs a command against this server.
    pub(crate) fn run(&self, arguments: &[&str]) -> Ran {
        run(self.setup.data_dir(), arguments)
    }

    /// What it has logged so far.
    pub(crate) fn log(&self) -> String {
        self.process.log()
    }

    /// Its memory that is not on disk, in KiB (proc(5), `VmRSS`).
    pub(crate) fn resident_kib(&self) -> u64 {
        let path = format!("/proc/{}/status", self.process.pid().as_raw_nonzero());
        let status = std::fs::read_to_string(path).expect("the process runs");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("a process has memory");
        line.trim().trim_end_matches(" kB").parse().expect("a number")
    }

    /// Asks it to end and waits until it has; the exit code must be 0.
    pub(crate) async fn stop(mut self) -> Setup {
        self.process.signal(Signal::TERM);
        let ended = self.process.ended().await;
        assert_eq!(ended.code, Some(0), "{ended:?}");
        self.setup.clone()
    }

    /// Ends it as a power cut would.
    pub(crate) async fn kill(mut self) -> Setup {
        self.process.kill().await;
        self.setup.clone()
    }
}
