//! The applications and their messages.

use serde::Deserialize;
use serde_json::json;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::UnixStream;

use crate::common::Failure;
use crate::common::api::Connection;
use crate::common::event::TYPE;
use crate::common::server::Server;
use crate::options::Options;

/// Messages of a small application.
pub(crate) const SMALL: usize = 1_000;
/// Lines that are written before their answers are read.
const WINDOW: usize = 1_000;

/// An application, and the ids of its messages, oldest first.
pub(crate) struct App {
    pub(crate) uid: &'static str,
    pub(crate) ids: Vec<String>,
}

/// The uid of the endpoint that every application has. It is disabled, so that
/// nothing is sent and everything waits.
pub(crate) const ENDPOINT: &str = "main";

/// Three applications: one with as many messages as were asked for; one with
/// [`SMALL`] that came one after the other, before all others; and one with
/// [`SMALL`] that came in between, over all the time.
pub(crate) async fn fill(server: &Server, options: &Options) -> Result<[App; 3], Failure> {
    let mut api = Connection::open(server.api, &server.token).await?;
    let mut apps = ["small", "spread", "large"].map(|uid| App { uid, ids: vec![] });
    for App { uid, .. } in &apps {
        api.create("/api/v1/app", json!({ "name": uid, "uid": uid })).await?;
        let endpoint = json!({ "url": "https://example.com/hook", "uid": ENDPOINT, "disabled": true });
        api.create(&format!("/api/v1/app/{uid}/endpoint"), endpoint).await?;
    }
    let mut door = Door::open(server, options.body_bytes).await?;
    let [small, spread, large] = &mut apps;
    door.send(small, SMALL).await?;
    for nth in 0..SMALL {
        door.send(spread, 1).await?;
        // The same share each time, and at the end all of them.
        let until = options.messages() * (nth + 1) / SMALL;
        door.send(large, until - large.ids.len()).await?;
    }
    Ok(apps)
}

/// The ingest socket.
struct Door {
    stream: BufReader<UnixStream>,
    text: String,
}

#[derive(Deserialize)]
struct Answer {
    id: String,
}

impl Door {
    async fn open(server: &Server, body_bytes: usize) -> Result<Self, Failure> {
        let stream = BufReader::new(UnixStream::connect(&server.ingest_socket).await?);
        Ok(Self { stream, text: "x".repeat(body_bytes.saturating_sub(11)) })
    }

    async fn send(&mut self, app: &mut App, count: usize) -> Result<(), Failure> {
        let line = format!(r#"{{"app":"{}","type":"{TYPE}","payload":{{"text":"{}"}}}}"#, app.uid, self.text);
        let mut left = count;
        let mut answer = String::new();
        while left > 0 {
            let now = left.min(WINDOW);
            self.stream.write_all(format!("{line}\n").repeat(now).as_bytes()).await?;
            for _ in 0..now {
                answer.clear();
                self.stream.read_line(&mut answer).await?;
                let Ok(Answer { id }) = serde_json::from_str(&answer) else {
                    return Err(format!("a message was answered with `{}`", answer.trim_end()).into());
                };
                app.ids.push(id);
            }
            left -= now;
        }
        Ok(())
    }
}
