//! The directory that is copied for each flip, and what is known of it.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::{Endpoint, Receiver, Reply, Server, Setup, until};

/// Messages of each fate; of those that wait, half as many.
const EACH: usize = 50;
const FILLER_BYTES: usize = 12_000;

/// How its one delivery ended, or did not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    Delivered,
    Waits,
    Dead,
}

const FATES: [Fate; 3] = [Fate::Delivered, Fate::Waits, Fate::Dead];

impl Fate {
    const fn event_type(self) -> &'static str {
        match self {
            Self::Delivered => "is.delivered",
            Self::Waits => "waits",
            Self::Dead => "is.dead",
        }
    }
}

/// A message, and where its payload lies.
#[derive(Debug)]
pub(super) struct Kept {
    pub(super) id: String,
    pub(super) payload: Value,
    pub(super) fate: Fate,
    pub(super) segment: String,
    pub(super) offset: usize,
}

/// A directory after a clean stop, or after a kill.
pub(super) struct Store {
    is_clean: bool,
    dir: TempDir,
    pub(super) messages: Vec<Kept>,
    /// As the API shows them.
    pub(super) endpoints: Value,
    /// The endpoint that confirms.
    pub(super) confirms: Endpoint,
}

/// The lanes' windows are small, so that most of what waits is known by the journal alone.
fn configured(setup: Setup) -> Setup {
    setup.with_small_segments().set("retry.schedule", "0").set("limits.lane_window", "10")
}

impl Store {
    pub(super) async fn make(is_clean: bool) -> Self {
        let server = configured(Setup::new()).start().await;
        let (takes, refuses) = (Receiver::start().await, Receiver::start().await);
        refuses.always(Reply::Status(400));
        let api = server.api();
        api.app("shop").await;
        let filter = |fate: Fate| json!({ "filterTypes": [fate.event_type()] });
        let confirms = api.endpoint("shop", &takes, filter(Fate::Delivered)).await;
        let holds = api.endpoint("shop", &takes, filter(Fate::Waits)).await;
        api.endpoint("shop", &refuses, filter(Fate::Dead)).await;
        api.set(&holds, "paused").await;
        let mut messages = send(&server).await;
        until("all deliveries to be where they belong", async || {
            let counts = server.metrics().await;
            let are = |state| counts.sum("postrider_deliveries", &format!("state=\"{state}\""));
            let open = are("waiting") + are("in_flight");
            (open == 0.0 && are("held") == (EACH / 2) as f64 && are("dead") == EACH as f64).then_some(())
        })
        .await;
        // The rows of sealed segments are on disk, so that a start compares them.
        let listed = until("the index to be whole", async || {
            let answer = api.call("GET", "/app/shop/msg?limit=1", &Value::Null).await;
            (answer.status == 200).then_some(())
        });
        listed.await;
        let endpoints = api.get("/app/shop/endpoint").await["data"].clone();
        let setup = if is_clean { server.stop().await } else { server.kill().await };
        for message in &mut messages {
            (message.segment, message.offset) = place(&setup, &message.payload);
        }
        let dir = tempfile::tempdir().expect("there is room for temporary files");
        copy(setup.data_dir(), dir.path());
        Self { is_clean, dir, messages, endpoints, confirms }
    }

    /// A copy of its own, with the configuration that made it.
    pub(super) fn copy(&self) -> Setup {
        let setup = configured(Setup::new());
        copy(self.dir.path(), setup.data_dir());
        setup
    }

    pub(super) const fn name(&self) -> &'static str {
        if self.is_clean { "after a clean stop" } else { "after a kill" }
    }

    pub(super) fn with(&self, fate: Fate) -> impl Iterator<Item = &Kept> {
        self.messages.iter().filter(move |message| message.fate == fate)
    }
}

async fn send(server: &Server) -> Vec<Kept> {
    let mut ingest = server.ingest().await;
    let mut messages = vec![];
    for n in 0..EACH {
        // Of what is before the first that waits, nothing is needed that is not in the checkpoint.
        let fates = FATES.into_iter().filter(|fate| *fate != Fate::Waits || n >= EACH / 2);
        for fate in fates {
            let letter = char::from(b'a' + (n % 26) as u8);
            let filler = String::from(letter).repeat(FILLER_BYTES);
            let payload = json!({ "mark": format!("<{fate:?}-{n}>"), "filler": filler });
            let event = json!({ "app": "shop", "type": fate.event_type(), "payload": payload });
            let id = ingest.accepted(event).await;
            messages.push(Kept { id, payload, fate, segment: String::new(), offset: 0 });
        }
    }
    messages
}

/// The segment's file and the offset in it.
fn place(setup: &Setup, payload: &Value) -> (String, usize) {
    let mark = payload["mark"].as_str().expect("each has one").as_bytes();
    let found = setup.segments().into_iter().find_map(|path| {
        let content = std::fs::read(&path).expect("a segment can be read");
        let at = content.windows(mark.len()).position(|window| window == mark)?;
        Some((path.file_name()?.to_str()?.to_owned(), at))
    });
    found.expect("what was accepted is in the journal")
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("a directory can be made");
    for entry in std::fs::read_dir(from).expect("it can be read") {
        let entry = entry.expect("it can be read");
        let target: PathBuf = to.join(entry.file_name());
        let kind = entry.file_type().expect("it has one");
        if kind.is_dir() {
            copy(&entry.path(), &target);
        } else if kind.is_file() {
            std::fs::copy(entry.path(), target).expect("there is room for temporary files");
        }
    }
}
