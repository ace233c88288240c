//! The server process.

use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde::Deserialize;
use serde_json::json;
use tempfile::TempDir;

use super::api::{Connection, refused};
use super::event::application;
use super::signature::SECRET;
use super::{Failure, event};

/// The server's program, as cargo has built it.
pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_postrider");
/// How long a start, and an end, may take.
const PATIENCE: Duration = Duration::from_secs(60);
/// Log lines that are kept to explain a failure.
const COMPLAINTS: usize = 20;

/// A line of the server's log.
#[derive(Deserialize)]
struct Entry {
    level: String,
    /// In the line that says that it is ready.
    #[serde(flatten)]
    addresses: Option<Addresses>,
}

#[derive(Deserialize)]
struct Addresses {
    api: SocketAddr,
    metrics: SocketAddr,
    ingest_socket: PathBuf,
}

/// What looks into payloads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Checks {
    /// Each endpoint has a filter.
    pub(crate) filter: bool,
    /// The event type has a schema.
    pub(crate) schema: bool,
}

/// A server on a data directory of its own. Dropping it ends it at once.
pub(crate) struct Server {
    child: Child,
    /// Where the HTTP API listens.
    pub(crate) api: SocketAddr,
    /// The ingest socket.
    pub(crate) ingest_socket: PathBuf,
    /// Access to the API.
    pub(crate) token: String,
    /// The time from its start until it said that it is ready.
    pub(crate) ready_after: Duration,
    metrics: SocketAddr,
    complaints: Arc<Mutex<Vec<String>>>,
    /// Goes after the process.
    _data: Arc<TempDir>,
}

impl Server {
    /// Starts one on free ports; its data directory is made in `dir`.
    pub(crate) fn start(dir: &Path) -> Result<Self, Failure> {
        Self::on(&Arc::new(tempfile::Builder::new().prefix("bench-").tempdir_in(dir)?))
    }

    /// The same with a certificate, as PEM, that is trusted besides the system's.
    pub(crate) fn trusting(dir: &Path, certificate: &str) -> Result<Self, Failure> {
        let data = Arc::new(tempfile::Builder::new().prefix("bench-").tempdir_in(dir)?);
        let path = data.path().join("receiver.pem");
        std::fs::write(&path, certificate)?;
        Self::with(&data, Some(format!("dispatch.ca_file={}", path.display())))
    }

    /// Starts one on free ports and a data directory that may have been used before.
    pub(crate) fn on(data: &Arc<TempDir>) -> Result<Self, Failure> {
        Self::with(data, None)
    }

    fn with(data: &Arc<TempDir>, setting: Option<String>) -> Result<Self, Failure> {
        let mut command = command(data.path());
        command.arg("serve").stderr(Stdio::piped());
        let always = [
            "api.listen=127.0.0.1:0",
            "metrics.listen=127.0.0.1:0",
            "dispatch.allow_networks=127.0.0.0/8",
            "log.format=json",
        ];
        for setting in always.into_iter().chain(setting.as_deref()) {
            command.args(["--set", setting]);
        }
        let began = Instant::now();
        let mut child = command.spawn()?;
        let complaints = Arc::new(Mutex::new(Vec::new()));
        let ready = match child.stderr.take() {
            Some(log) => read_log(log, Arc::clone(&complaints))?,
            None => return Err("the server has no standard error".into()),
        };
        let Ok(ready) = ready.recv_timeout(PATIENCE) else {
            let _ = child.kill();
            return Err(format!("the server did not start{}", told(&complaints)).into());
        };
        let ready_after = began.elapsed();
        let Addresses { api, metrics, ingest_socket } = ready;
        let token = token(data.path())?;
        Ok(Self { child, api, ingest_socket, token, ready_after, metrics, complaints, _data: Arc::clone(data) })
    }

    /// The process's id.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Makes applications, each with so many endpoints at the receiver with this origin.
    pub(crate) async fn register(&self, applications: usize, endpoints: usize, origin: &str) -> Result<(), Failure> {
        let mut api = Connection::open(self.api, &self.token).await?;
        for uid in (0..applications).map(application) {
            api.create("/api/v1/app", json!({ "name": uid, "uid": uid })).await?;
            for endpoint in 0..endpoints {
                let url = format!("{origin}{}", event::path(endpoint));
                api.create(&format!("/api/v1/app/{uid}/endpoint"), json!({ "url": url, "secret": SECRET })).await?;
            }
        }
        api.create("/api/v1/event-type", json!({ "name": event::TYPE, "description": "for the benchmark" })).await
    }

    /// From now on each endpoint has a filter, which lets all through, or the event type a
    /// schema, which they are as, or both.
    pub(crate) async fn check_payloads(&self, checks: Checks, applications: usize) -> Result<(), Failure> {
        let mut api = Connection::open(self.api, &self.token).await?;
        let filtered = if checks.filter { applications } else { 0 };
        for uid in (0..filtered).map(application) {
            let endpoints = format!("/api/v1/app/{uid}/endpoint");
            let (_, list) = api.call(http::Method::GET, &format!("{endpoints}?limit=250"), vec![]).await?;
            let list: serde_json::Value = serde_json::from_slice(&list)?;
            let found = list.get("data").and_then(serde_json::Value::as_array).into_iter().flatten();
            for endpoint in found.filter_map(|found| found.get("id")?.as_str()) {
                let path = format!("{endpoints}/{endpoint}");
                api.change(&path, json!({ "filter": "@.n >= 0 && search(@.text, '^x*$')" })).await?;
            }
        }
        if !checks.schema {
            return Ok(());
        }
        let number = json!({ "type": "integer", "minimum": 0 });
        let properties = json!({ "n": number, "text": { "type": "string", "maxLength": 1_000_000 } });
        let schema = json!({ "type": "object", "required": ["n", "text"], "properties": properties });
        let path = format!("/api/v1/event-type/{}", event::TYPE);
        api.change(&path, json!({ "schemas": { "1": schema }, "validation": "refuse" })).await
    }

    /// Delivers nothing from now on.
    pub(crate) async fn pause(&self) -> Result<(), Failure> {
        let path = "/api/v1/dispatch/pause";
        let (status, body) =
            Connection::open(self.api, &self.token).await?.call(http::Method::POST, path, vec![]).await?;
        if status.is_success() { Ok(()) } else { Err(refused(path, status, &body)) }
    }

    /// Present values of metrics; 0 for one that was not counted yet.
    pub(crate) async fn metrics<const N: usize>(&self, names: [&str; N]) -> Result<[f64; N], Failure> {
        let mut connection = Connection::open(self.metrics, "").await?;
        let (status, body) = connection.call(http::Method::GET, "/metrics", vec![]).await?;
        if !status.is_success() {
            return Err(refused("/metrics", status, &body));
        }
        let text = String::from_utf8_lossy(&body);
        let value = |line: &str, name| line.strip_prefix(name)?.strip_prefix(' ')?.trim().parse().ok();
        Ok(names.map(|name| text.lines().find_map(|line| value(line, name)).unwrap_or_default()))
    }

    /// Waits until a counter has come so far.
    pub(crate) async fn has_counted(&self, name: &str, goal: f64) -> Result<(), Failure> {
        let mut look = tokio::time::interval(Duration::from_millis(10));
        while self.metrics([name]).await? < [goal] {
            look.tick().await;
        }
        Ok(())
    }

    /// The last warnings and errors that the server has logged, for an error's text.
    pub(crate) fn complaints(&self) -> String {
        told(&self.complaints)
    }

    /// The same for when the server itself is not at hand any more.
    pub(crate) fn complaints_later(&self) -> impl Fn() -> String + use<> {
        let complaints = Arc::clone(&self.complaints);
        move || told(&complaints)
    }

    /// Has it stop as a person would, and waits for that.
    pub(crate) fn stop(mut self) -> Result<(), Failure> {
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw).ok_or("the server has no process id")?;
        kill_process(pid, Signal::TERM)?;
        let (ended, end) = mpsc::channel();
        let child = &mut self.child;
        thread::scope(|scope| {
            // A thread of its own, because waiting for a process knows no limit of time.
            scope.spawn(move || ended.send(child.wait()));
            let status = end.recv_timeout(PATIENCE);
            if status.is_err() {
                let _ = kill_process(pid, Signal::KILL);
            }
            match status {
                Ok(Ok(status)) if status.success() => Ok(()),
                Ok(Ok(status)) => Err(format!("the server ended with {status}{}", told(&self.complaints)).into()),
                Ok(Err(error)) => Err(error.into()),
                Err(_) => Err("the server did not stop in time".into()),
            }
        })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Both fail if it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The program, with nothing from this process's surroundings.
fn command(data: &Path) -> Command {
    let mut command = Command::new(PROGRAM);
    command.env_clear().current_dir(data).arg("--data-dir").arg(data).stdin(Stdio::null()).stdout(Stdio::null());
    command
}

fn token(data: &Path) -> Result<String, Failure> {
    let done = command(data).args(["token", "create"]).stdout(Stdio::piped()).output()?;
    if !done.status.success() {
        return Err(format!("token create: {}", String::from_utf8_lossy(&done.stderr)).into());
    }
    Ok(String::from_utf8(done.stdout)?.trim().to_owned())
}

/// Reads the log to its end. Gives the line that says that the server is ready.
fn read_log(log: ChildStderr, complaints: Arc<Mutex<Vec<String>>>) -> Result<mpsc::Receiver<Addresses>, Failure> {
    let (ready, told) = mpsc::channel();
    let body = move || {
        for line in BufReader::new(log).lines().map_while(Result::ok) {
            match serde_json::from_str(&line) {
                Ok(Entry { addresses: Some(addresses), .. }) => drop(ready.send(addresses)),
                Ok(Entry { level, .. }) if level == "INFO" => {}
                // Lines that are no JSON are the program's last words.
                Ok(_) | Err(_) => {
                    let mut kept = complaints.lock().unwrap_or_else(PoisonError::into_inner);
                    if kept.len() < COMPLAINTS {
                        kept.push(line);
                    }
                }
            }
        }
    };
    thread::Builder::new().name("server-log".into()).spawn(body)?;
    Ok(told)
}

fn told(complaints: &Mutex<Vec<String>>) -> String {
    let kept = complaints.lock().unwrap_or_else(PoisonError::into_inner);
    kept.iter().map(|line| format!("\n  {line}")).collect()
}
