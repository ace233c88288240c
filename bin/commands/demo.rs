//! `postrider demo`: the whole of it in a minute, for real: the server that
//! `serve` starts, a receiver, and the commands that anybody can type.
//!
//! ```text
//!   the story --commands--> server --signed POST--> receiver
//!       ^                                              |
//!       +---------------- arrivals --------------------+
//! ```

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use clap::Args;
use http::StatusCode;
use postrider_model::time::Clock as _;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::Context;
use crate::cli::{Cli, Command};
use crate::client::{Client, Path};
use crate::clock::SystemClock;
use crate::config::{self, Config, Sources};
use crate::exit::Failure;
use crate::logging;
use crate::output::{Output, data, field, printable};
use crate::receiver::{self, Arrival, Key};
use crate::signals::{self, Asked};
use crate::wiring::{self, Server};

/// The longest wait for anything; each takes a few seconds at most.
const PATIENCE: Duration = Duration::from_secs(30);
/// How often a state is asked for while it is waited for.
const LOOK_INTERVAL: Duration = Duration::from_millis(50);
/// The published example of Standard Webhooks: a secret that is none.
const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
/// An empty file in place of the person's own configuration.
const NO_FILE: &str = "/dev/null";
/// Seconds before each attempt, so that nobody has to wait for five minutes.
const SCHEDULE: &str = "0,1,1,1";

/// Shows what Postrider does: a server, a receiver, an event, a failure, a retry
#[derive(Args, Debug)]
#[command(after_help = "Example:\n  postrider demo")]
pub(crate) struct Demo {}

impl Demo {
    /// Does it, in half a minute, and leaves nothing behind.
    ///
    /// # Errors
    /// A step did not work; then the directory with the log stays.
    pub(crate) fn run(self, context: &Context) -> Result<(), Failure> {
        let dir = tempfile::Builder::new().prefix("postrider-demo-").tempdir()?;
        let data_dir = dir.path().display().to_string();
        let config = configuration(&data_dir)?;
        let log = dir.path().join("log");
        logging::start_to_file(&config, std::fs::File::create(&log)?)?;
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
        let told = runtime.block_on(tell(context.output, &config, &data_dir));
        runtime.shutdown_background();
        told.map_err(|failure| {
            if failure.error.is_empty() {
                return failure;
            }
            let _ = dir.keep();
            failure.hint(format!("the server's log is in {}", log.display()))
        })
    }
}

/// The configuration of the demo's server: nothing of the person's own.
fn configuration(data_dir: &str) -> Result<Config, Failure> {
    let flags = [
        ("data_dir", data_dir),
        ("api.listen", "127.0.0.1:0"),
        ("metrics.listen", "127.0.0.1:0"),
        ("dispatch.allow_networks", "127.0.0.0/8"),
        ("retry.schedule", SCHEDULE),
    ];
    let flags = flags.map(|(key, value)| ("demo".to_owned(), key.to_owned(), value.to_owned())).to_vec();
    let sources = Sources { flags, file: Some(NO_FILE.into()), env: vec![] };
    config::load(&sources).map(|loaded| loaded.config).map_err(Failure::usage)
}

async fn tell(output: Output, config: &Config, data_dir: &str) -> Result<(), Failure> {
    let mut asked = signals::listen()?;
    let mut server = Server::start(config, false, wiring::meters::install()?).await?;
    let (status, arrivals, url) = start_receiver().await?;
    let client = Client::new(config.api_socket());
    let mut story = Story { output, data_dir, client, status, arrivals, clock: SystemClock::new() };
    let told = tokio::select! {
        told = story.tell(&url) => told,
        failure = server.broken() => Err(failure),
        () = async { while asked.recv().await == Some(Asked::Reload) {} } => Ok(()),
    };
    told.and(server.stop().await)
}

type Arrivals = mpsc::Receiver<Arrived>;

/// What the receiver tells the story.
struct Arrived {
    message: String,
    body: String,
    signature: String,
    answered: StatusCode,
}

/// Starts a receiver that answers with the status that is set.
async fn start_receiver() -> Result<(Arc<AtomicU16>, Arrivals, String), Failure> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let url = format!("http://{}/hook", listener.local_addr()?);
    let status = Arc::new(AtomicU16::new(200));
    let (told, arrivals) = mpsc::channel(64);
    let answer = Arc::clone(&status);
    let handler = move |arrival: &Arrival| {
        let answered = StatusCode::from_u16(answer.load(Ordering::Relaxed)).unwrap_or_default();
        let signature = match &arrival.verified {
            Some(Ok(())) => "right".to_owned(),
            Some(Err(error)) => format!("WRONG: {error}"),
            None => "not checked".to_owned(),
        };
        let message = printable(arrival.message_id().unwrap_or("none"));
        let body = printable(&String::from_utf8_lossy(&arrival.body));
        // If the story is over nobody needs to hear.
        let _ = told.try_send(Arrived { message, body, signature, answered });
        answered
    };
    let key = Key::parse(SECRET)?;
    let key = Arc::new(move || Some(key.clone()));
    tokio::spawn(receiver::serve(listener, key, Arc::new(SystemClock::new()), Arc::new(handler)));
    Ok((status, arrivals, url))
}

struct Story<'a> {
    output: Output,
    data_dir: &'a str,
    client: Client,
    status: Arc<AtomicU16>,
    arrivals: Arrivals,
    clock: SystemClock,
}

impl Story<'_> {
    async fn tell(&mut self, url: &str) -> Result<(), Failure> {
        self.say(&format!(
            "Everything here happens on this machine, in {}, and goes when it ends.\n\
             A server runs. A receiver listens on {url}; it stands for your customer's program.",
            self.data_dir
        ))?;
        self.register(url).await?;
        self.four_steps().await?;
        self.failure_and_retry().await?;
        self.dead_letter_and_replay().await?;
        self.say(
            "\nThat was all of it. To keep it:\n\
             $ postrider serve\n\
             and in another terminal the commands that you have just seen.",
        )
    }

    async fn register(&mut self, url: &str) -> Result<(), Failure> {
        self.say("\n== 1. Register: your customer says where notifications go\n")?;
        self.command(&["app", "create", "--uid", "shop", "--name", "Corner shop"]).await?;
        let endpoint = ["endpoint", "create", "--app", "shop", "--uid", "main", "--secret", SECRET];
        self.command(&[&endpoint[..], &["--url", url, "--event-type", "order.paid"]].concat()).await
    }

    async fn four_steps(&mut self) -> Result<(), Failure> {
        self.say("\n== 2. An event happens: your program says so, and gets an id when it is on disk\n")?;
        self.send(r#"{"order": 1, "total": "19.90"}"#).await?;
        self.say("\n== 3. Notification: a signed POST goes out at once\n")?;
        let message = self.arrival(Duration::ZERO).await?;
        self.say("\n== 4. Confirmation: the receiver's 200 ends it\n")?;
        self.state(&message, "delivered").await?;
        self.command(&["delivery", "list", "--app", "shop", "--message", &message]).await
    }

    async fn failure_and_retry(&mut self) -> Result<(), Failure> {
        self.say("\n== The receiver breaks: it answers 500 from now on\n")?;
        self.set_receiver(StatusCode::INTERNAL_SERVER_ERROR);
        self.send(r#"{"order": 2, "total": "4.50"}"#).await?;
        let began = self.clock.monotonic();
        self.arrival(began).await?;
        let message = self.arrival(began).await?;
        // It says why it waits once the failure is on record.
        self.until(&message, |delivery| delivery.get("attempt").and_then(Value::as_u64) == Some(3)).await?;
        self.command(&["delivery", "why", "--app", "shop", &message, "main"]).await?;
        self.say("\n== The receiver works again: the next attempt arrives, the event was never lost\n")?;
        self.set_receiver(StatusCode::OK);
        self.arrival(began).await?;
        self.state(&message, "delivered").await?;
        self.command(&["message", "attempts", "--app", "shop", &message]).await
    }

    async fn dead_letter_and_replay(&mut self) -> Result<(), Failure> {
        self.say(
            "\n== It breaks for longer than the retry schedule: here that is four attempts,\n   \
             by default it is ten in three days. What is given up stays, as a dead letter\n",
        )?;
        self.set_receiver(StatusCode::INTERNAL_SERVER_ERROR);
        self.send(r#"{"order": 3, "total": "7.00"}"#).await?;
        let began = self.clock.monotonic();
        let mut message = String::new();
        for _ in SCHEDULE.split(',') {
            message = self.arrival(began).await?;
        }
        self.state(&message, "dead").await?;
        self.command(&["dead-letter", "list", "--app", "shop"]).await?;
        self.say("\n== The receiver works again, and you send it once more\n")?;
        self.set_receiver(StatusCode::OK);
        let began = self.clock.monotonic();
        self.command(&["dead-letter", "replay", "--app", "shop", &message, "main"]).await?;
        self.arrival(began).await?;
        self.state(&message, "delivered").await?;
        self.command(&["delivery", "list", "--app", "shop", "--message", &message]).await
    }

    fn say(&self, text: &str) -> Result<(), Failure> {
        self.output.line(text)
    }

    fn set_receiver(&self, status: StatusCode) {
        self.status.store(status.as_u16(), Ordering::Relaxed);
    }

    async fn send(&self, payload: &str) -> Result<(), Failure> {
        self.command(&["send", "--app", "shop", "--type", "order.paid", "--payload", payload]).await
    }

    /// Shows a command as it would be typed, and does it.
    async fn command(&self, words: &[&str]) -> Result<(), Failure> {
        let typed: Vec<_> = words.iter().map(|word| quoted(word)).collect();
        self.say(&format!("$ postrider {}", typed.join(" ")))?;
        let mut arguments = vec!["postrider", "--config", NO_FILE, "--data-dir", self.data_dir];
        // Flags come last, so the person's environment has no part in this.
        let sockets = ["api", "ingest"].map(|door| format!("--set={door}.socket={}/{door}.sock", self.data_dir));
        arguments.extend(sockets.iter().map(String::as_str));
        arguments.extend(words);
        let cli = Cli::read(arguments.into_iter().map(Into::into).collect())?;
        let context = Context { output: cli.output(), global: cli.global };
        match cli.command {
            Command::Ask(command) => Box::pin(super::ask(command, &context)).await,
            _ => Err(Failure::runtime("the demo talks to its own server only")),
        }
    }

    /// Waits for the next request at the receiver, shows it, and gives its message's id.
    async fn arrival(&mut self, since: Duration) -> Result<String, Failure> {
        let late = || Failure::runtime(format!("nothing arrived within {} s", PATIENCE.as_secs()));
        let arrived = timeout(PATIENCE, self.arrivals.recv()).await.map_err(|_| late())?.ok_or_else(late)?;
        let after = match since {
            Duration::ZERO => String::new(),
            since => format!("after {:.1} s  ", self.clock.monotonic().saturating_sub(since).as_secs_f64()),
        };
        let Arrived { message, body, signature, answered } = arrived;
        self.say(&format!("   {after}POST /hook  webhook-id: {message}"))?;
        self.say(&format!("   signature {signature}, body {body}, answered {answered}"))?;
        Ok(message)
    }

    /// Waits until the one delivery of a message is in a state.
    async fn state(&self, message: &str, wanted: &str) -> Result<(), Failure> {
        self.until(message, |delivery| field(delivery, "state") == wanted).await
    }

    /// Waits until the one delivery of a message is as wanted.
    async fn until(&self, message: &str, is_wanted: impl Fn(&Value) -> bool) -> Result<(), Failure> {
        let reached = async {
            loop {
                match self.client.get(Path::new(["app", "shop", "msg", message, "delivery"])?).await {
                    Ok(answer) if data(&answer).any(&is_wanted) => return Ok(()),
                    Ok(_) => {}
                    // So it is in the first moment after a start.
                    Err(error) if error.is_rebuilding() => {}
                    Err(error) => return Err(error.into()),
                }
                tokio::time::sleep(LOOK_INTERVAL).await;
            }
        };
        let late = |_| Failure::runtime(format!("{message} did not get on within {} s", PATIENCE.as_secs()));
        timeout(PATIENCE, reached).await.map_err(late)?
    }
}

/// A word as a shell needs it.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=+".contains(c);
    if word.chars().all(plain) { word.to_owned() } else { format!("'{word}'") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_shown_as_a_shell_needs_them() {
        assert_eq!(quoted("--app"), "--app");
        assert_eq!(quoted("{\"a\": 1}"), "'{\"a\": 1}'");
    }

    #[test]
    fn the_demo_touches_nothing_of_the_person() {
        let config = configuration("/tmp/x").expect("a good configuration");
        assert_eq!(config.api_socket(), std::path::Path::new("/tmp/x/api.sock"));
        assert_eq!((config.api.listen.port(), config.metrics.listen.port()), (0, 0));
    }
}
