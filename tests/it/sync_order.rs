//! Each success answer follows an `fdatasync` of the journal that began after
//! the answer's bytes were written (W1), and syncs of the directories in which the
//! names lie that lead to it. `kill -9` cannot show a missing sync,
//! since the kernel keeps what was written; the order of the calls does.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::json;

use crate::support::{Receiver, Setup, build_shim};

const LINES: usize = 200;
const CONNECTIONS: usize = 3;
const REQUESTS: usize = 20;

/// What somebody was told, and a text that stands in the record of it.
struct Told {
    id: String,
    mark: String,
}

/// A call that has returned.
struct Call {
    begin: u64,
    end: u64,
    /// The inode of a journal file or of a directory, or the descriptor of a socket.
    file: u64,
    /// What was written, or the name of a new directory; all that is looked for in it is ASCII.
    text: String,
}

/// The calls of one process.
#[derive(Default)]
struct Calls {
    writes: Vec<Call>,
    syncs: Vec<Call>,
    sends: Vec<Call>,
    /// New directories; `file` is the one in which each is.
    made: Vec<Call>,
}

impl Calls {
    /// Reads the log of the shim.
    fn read(log: &Path) -> Self {
        let bytes = std::fs::read(log).expect("the shim has written a log");
        let (mut calls, mut rest) = (Self::default(), &bytes[..]);
        while !rest.is_empty() {
            let end = rest.iter().position(|byte| *byte == b'\n').expect("an entry begins with a line");
            let (head, after) = rest.split_at(end + 1);
            let head = std::str::from_utf8(head).expect("it is ASCII");
            let fields: Vec<&str> = head.split_whitespace().collect();
            let [kind, begin, end, file, length] = fields[..] else { panic!("no entry: {head}") };
            let number = |text: &str| text.parse::<u64>().expect("a number");
            let (bytes, after) = after.split_at(usize::try_from(number(length)).expect("it was in memory"));
            let text = String::from_utf8_lossy(bytes).into_owned();
            let call = Call { begin: number(begin), end: number(end), file: number(file), text };
            match kind {
                "w" => calls.writes.push(call),
                "f" => calls.syncs.push(call),
                "s" => calls.sends.push(call),
                "m" => calls.made.push(call),
                other => panic!("no kind: {other}"),
            }
            rest = after.strip_prefix(b"\n").expect("an entry ends with a line feed");
        }
        calls.sends.sort_by_key(|call| call.begin);
        calls
    }

    /// Which of those who were told something were told too early.
    fn told_too_early<'a>(&self, told: &'a [Told]) -> Vec<&'a str> {
        let streams = self.streams();
        let too_early = told.iter().filter(|told| {
            let written = self.writes.iter().find(|write| write.text.contains(&told.mark));
            let written = written.unwrap_or_else(|| panic!("{} was never written", told.mark));
            let sent = streams.values().filter_map(|stream| stream.first_sent(&told.id)).min();
            let sent = sent.unwrap_or_else(|| panic!("{} was never sent", told.id));
            let between = |sync: &&Call| sync.file == written.file && sync.begin > written.end && sync.end < sent;
            !self.syncs.iter().any(|sync| between(&sync))
        });
        too_early.map(|told| told.id.as_str()).collect()
    }

    /// The new directories on the way to the journal whose names were not yet durable when it was first written to.
    fn unnamed_at_first_write(&self) -> Vec<&str> {
        let first = self.writes.iter().map(|write| write.begin).min().expect("something is written");
        let journal = &self.made.iter().find(|made| made.text.ends_with("/journal")).expect("a new store has one").text;
        let on_the_way = self.made.iter().filter(|made| Path::new(journal).starts_with(&made.text));
        let unnamed = on_the_way.filter(|made| {
            let between = |sync: &&Call| sync.file == made.file && sync.begin > made.end && sync.end < first;
            !self.syncs.iter().any(|sync| between(&sync))
        });
        unnamed.map(|made| made.text.as_str()).collect()
    }

    /// What went through each descriptor, one send after the other: an id may be
    /// cut in two by a full socket.
    fn streams(&self) -> BTreeMap<u64, Stream> {
        let mut streams: BTreeMap<u64, Stream> = BTreeMap::new();
        for send in &self.sends {
            let stream = streams.entry(send.file).or_default();
            stream.begins.push((stream.text.len(), send.begin));
            stream.text.push_str(&send.text);
        }
        streams
    }
}

#[derive(Default)]
struct Stream {
    text: String,
    /// Where each send's text begins, and when it began.
    begins: Vec<(usize, u64)>,
}

impl Stream {
    /// When the send began that holds the first byte of this text.
    fn first_sent(&self, text: &str) -> Option<u64> {
        let at = self.text.find(text)?;
        self.begins.iter().rev().find(|(begin, _)| *begin <= at).map(|(_, when)| *when)
    }
}

/// The setup of a server with the shim in it, and the shim's log.
fn preloaded(setup: Setup) -> (Setup, PathBuf) {
    let log = setup.home().join("calls.log");
    let shim = build_shim("order", setup.home()).display().to_string();
    (setup.env("LD_PRELOAD", shim).env("SYNC_ORDER_LOG", log.display().to_string()), log)
}

/// A server under load; what it has told, and its calls.
async fn watched(setup: Setup) -> (Vec<Told>, Calls) {
    let (setup, log) = preloaded(setup);
    let (server, receiver) = (setup.start().await, Receiver::start().await);
    let api = server.api();
    let mut told = vec![];

    // Endpoints are sealed, so what is looked for could not be found in their record.
    let mark = "mark-application".to_owned();
    let app = api.post("/app", json!({ "name": mark, "uid": "shop" })).await;
    told.push(Told { id: app["id"].as_str().expect("an application has an id").to_owned(), mark });
    api.endpoint("shop", &receiver, json!({})).await;
    for n in 0..REQUESTS {
        let mark = format!("mark-request-{n:04}");
        told.push(Told { id: api.send("shop", "a.b", json!({ "mark": mark })).await, mark });
    }
    let mut connections = vec![];
    for _ in 0..CONNECTIONS {
        connections.push(server.ingest().await);
    }
    // All of them at once, so that many share a frame.
    for n in 0..LINES {
        for (at, connection) in connections.iter_mut().enumerate() {
            let event = json!({ "app": "shop", "type": "a.b", "payload": { "mark": format!("mark-{at}-{n:04}") } });
            connection.write(event.to_string().as_bytes()).await;
        }
    }
    for n in 0..LINES {
        for (at, connection) in connections.iter_mut().enumerate() {
            let answer = connection.answer().await.expect("each line gets an answer");
            let id = answer["id"].as_str().unwrap_or_else(|| panic!("refused: {answer}")).to_owned();
            told.push(Told { id, mark: format!("mark-{at}-{n:04}") });
        }
    }
    server.stop().await;
    (told, Calls::read(&log))
}

#[tokio::test]
async fn every_success_answer_follows_a_sync_that_began_after_its_bytes_were_written() {
    let (told, calls) = watched(Setup::new()).await;
    assert_eq!(told.len(), 1 + REQUESTS + CONNECTIONS * LINES);
    assert_eq!(calls.told_too_early(&told), Vec::<&str>::new());
    assert_eq!(calls.unnamed_at_first_write(), Vec::<&str>::new());
    assert!(calls.syncs.len() < told.len(), "many answers share a sync: {} syncs", calls.syncs.len());
}

#[tokio::test]
async fn the_check_notices_when_the_syncs_are_missing() {
    let (told, calls) = watched(Setup::new().env("SYNC_ORDER_HIDE_SYNCS", "1")).await;
    assert_eq!(calls.told_too_early(&told).len(), told.len());
    assert!(!calls.unnamed_at_first_write().is_empty());
}

/// W8: after a failed sync nothing more is accepted, and a sync is not tried twice.
#[tokio::test]
async fn a_sync_that_fails_ends_the_process_with_70_and_what_was_answered_is_there_afterwards() {
    let plain = Setup::new();
    let broken = plain.home().join("the disk is broken");
    let (setup, _) = preloaded(plain.clone().env("SYNC_ORDER_FAIL_AFTER", broken.display().to_string()));
    let (mut server, receiver) = (setup.start().await, Receiver::start().await);
    let endpoint = server.api().register("shop", &receiver).await;
    let mut ingest = server.ingest().await;
    let event = |n: usize| json!({ "app": "shop", "type": "a.b", "payload": { "mark": format!("mark-{n:04}") } });
    let mut accepted = vec![];
    for n in 0..20 {
        accepted.push(ingest.accepted(event(n)).await);
    }
    let last = accepted.last().expect("there are some");
    server.api().until_state(&endpoint, last, "delivered").await;

    std::fs::write(&broken, "").expect("it can be written");
    ingest.try_write(format!("{}\n", event(20)).as_bytes()).await;
    while let Some(answer) = ingest.try_answer().await {
        assert_eq!(answer["error"]["code"], "stopping", "no success after a failed sync: {answer}");
    }
    let ended = server.process.ended().await;
    assert_eq!(ended.code, Some(70), "{ended:?}");
    assert!(ended.stderr.contains("sync"), "it says what failed: {ended:?}");

    std::fs::remove_file(&broken).expect("it is there");
    let server = plain.start().await;
    for id in &accepted {
        assert_eq!(server.api().get(&format!("/app/shop/msg/{id}")).await["id"], id.as_str());
    }
    let later = server.api().send("shop", "a.b", json!({})).await;
    server.api().until_state(&endpoint, &later, "delivered").await;
}

#[test]
fn the_check_notices_a_sync_that_began_too_early_or_ended_too_late_or_was_of_another_file() {
    let told = [Told { id: "msg_1".into(), mark: "mark".into() }];
    let call = |begin, end, file, text: &str| Call { begin, end, file, text: text.into() };
    let with_sync = |sync| Calls {
        writes: vec![call(10, 12, 7, "...mark...")],
        syncs: vec![sync],
        sends: vec![call(20, 22, 3, "{\"id\":\"ms"), call(24, 25, 3, "g_1\"}\n")],
        made: vec![],
    };
    for (begin, end, file, too_early) in [(13, 19, 7, 0), (11, 19, 7, 1), (13, 21, 7, 1), (13, 19, 8, 1)] {
        let calls = with_sync(call(begin, end, file, ""));
        assert_eq!(calls.told_too_early(&told).len(), too_early, "{begin} {end} {file}");
    }
}
