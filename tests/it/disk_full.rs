//! A disk without room: refused before accepting, nothing lost, and accepting
//! again by itself when there is room.

use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::process::Command;

use postrider_proof::Proof;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::faults::Books;
use crate::support::{POSTRIDER, Receiver, Setup, in_time, run, say, until};

/// A small file system of its own; it is gone when this is dropped.
struct SmallDisk(TempDir);

impl SmallDisk {
    /// `None`, with the reason printed, where this user may not mount.
    fn mount(mib: u32) -> Option<Self> {
        let place = tempfile::tempdir().expect("there is room for temporary files");
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={mib}m,mode=0700"), "tmpfs"])
            .arg(place.path())
            .output();
        match mounted {
            Ok(output) if output.status.success() => Some(Self(place)),
            Ok(output) => {
                say(format_args!(
                    "skipped disk_full: cannot mount: {}",
                    String::from_utf8_lossy(&output.stderr).trim()
                ));
                None
            }
            Err(error) => {
                say(format_args!("skipped disk_full: cannot mount: {error}"));
                None
            }
        }
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    /// Writes a file until there is no room left.
    fn fill(&self) -> std::path::PathBuf {
        let path = self.path().join("filler");
        let mut file = File::create(&path).expect("a file can be made");
        // Large pieces first, then the rest.
        for piece in [64 << 10, 4 << 10] {
            while file.write_all(&vec![1; piece]).is_ok() {}
        }
        path
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // The directory stays behind if this fails, and is empty after the next boot.
        let _ = Command::new("umount").arg("-l").arg(self.path()).status();
    }
}

#[tokio::test]
async fn on_a_full_disk_events_are_refused_until_there_is_room_and_none_is_lost() {
    let Some(disk) = SmallDisk::mount(24) else { return };
    let setup = Setup::new().with_small_segments().at(&disk.path().join("data"));
    let (server, receiver) = (setup.start().await, Receiver::start().await);
    let api = server.api();
    api.register("shop", &receiver).await;
    let mut ingest = server.ingest().await;
    let filler = disk.fill();

    // What was allocated before may still be used.
    let payload = json!({ "more": "x".repeat(20_000) });
    let event = json!({ "app": "shop", "type": "a.b", "payload": payload }).to_string();
    let mut accepted = vec![];
    let refusal = loop {
        let answer = ingest.ask(&event).await;
        match answer["id"].as_str() {
            Some(id) => accepted.push(id.to_owned()),
            None => break answer,
        }
        assert!(accepted.len() < 2_000, "the disk is never full");
    };
    assert_eq!(refusal["error"]["code"], "disk_full", "{refusal}");
    assert!(refusal["error"]["retry_after_ms"].as_u64().is_some_and(|wait_ms| wait_ms > 0), "{refusal}");
    let over_http = api.call("POST", "/app/shop/msg", &json!({ "eventType": "a.b", "payload": payload })).await;
    assert_eq!((over_http.status, over_http.json()["code"].as_str()), (503, Some("disk_full")), "{over_http:?}");
    assert!(over_http.headers.contains_key("retry-after"));
    let ready = server.metrics_door().ask("GET", "/health/ready", &[], "").await;
    assert_eq!(ready.status, 503, "{ready:?}");
    // What was accepted goes out all the same: outcomes have their own room.
    receiver.expect(accepted.len()).await;

    std::fs::remove_file(filler).expect("the filler is there");
    let again = until("an event to be accepted again", async || {
        let answer = ingest.ask(&event).await;
        answer["id"].as_str().map(str::to_owned)
    });
    accepted.push(again.await);
    receiver.expect(accepted.len()).await;
    until("the server to be ready again", async || {
        let ready = server.metrics_door().ask("GET", "/health/ready", &[], "").await;
        (ready.status == 200).then_some(())
    })
    .await;
    let mut arrived = receiver.ids();
    arrived.sort();
    accepted.sort();
    assert_eq!(arrived, accepted);

    let server = server.stop().await.start().await;
    let list = server.api().get("/app/shop/delivery").await;
    assert_eq!(list["data"], Value::Array(vec![]), "nothing is pending");
    drop(server);
}

/// Not always that of the data directory.
#[tokio::test]
async fn the_disk_that_is_full_is_the_one_that_is_written_to() {
    let server = Setup::new().with_small_segments().start().await;
    let mut export = Command::new(POSTRIDER);
    export.current_dir("/").arg("export").arg("--data-dir").arg(server.setup.data_dir());
    let full = File::options().write(true).open("/dev/full").expect("Linux has it");
    let ended = export.stdout(full).output().expect("the binary can be started");
    let said = String::from_utf8_lossy(&ended.stderr).into_owned();
    assert!(!ended.status.success() && said.contains("the disk that this is written to"), "{said}");
    assert!(!said.contains("data directory"), "{said}");

    let setup = server.stop().await;
    let Some(disk) = SmallDisk::mount(1) else { return };
    disk.fill();
    let to = disk.path().join("new");
    let to = to.to_str().expect("it is UTF-8");
    let salvaged = run(
        setup.data_dir(),
        &["doctor", "--salvage", to, "--set", "journal.segment_bytes=1048576", "--set", "limits.body_bytes=262144"],
    );
    assert!(salvaged.code == Some(1) && salvaged.stderr.contains("the disk that this is written to"), "{salvaged:?}");
    assert!(!salvaged.stderr.contains("data directory;"), "{salvaged:?}");
}

/// Again and again: full, refused, freed, accepted; and a start while it is full.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disk_that_is_full_again_and_again_loses_nothing_also_at_a_start() {
    let Some(disk) = SmallDisk::mount(24) else { return };
    let proof = Proof::new("disk-full", 4);
    let setup = Setup::new().with_small_segments().at(&disk.path().join("data"));
    let (books, _receiver, setup) = Books::open(setup).await;
    let (mut started, mut refused_starts) = (0, 0);
    for round in 0..proof.rounds() {
        let server = setup.start().await;
        let mut ingest = server.ingest().await;
        assert!(books.send(&mut ingest, 20, 20_000).await > 0, "there is room");
        let filler = disk.fill();
        // What was delivered goes first, so this may take a while.
        let full = async { while books.send(&mut ingest, 50, 20_000).await == 50 {} };
        in_time("the disk to be full", full).await;
        let server = if round.is_multiple_of(2) {
            let killed = server.kill().await;
            let early = match killed.try_start().await {
                Ok(server) => {
                    started += 1;
                    server.kill().await
                }
                Err(ended) => {
                    refused_starts += 1;
                    assert!(ended.stderr.contains("free room"), "it says what helps: {ended:?}");
                    killed
                }
            };
            std::fs::remove_file(&filler).expect("the filler is there");
            early.start().await
        } else {
            std::fs::remove_file(&filler).expect("the filler is there");
            server
        };
        let mut ingest = server.ingest().await;
        until("an event to be accepted again", async || (books.send(&mut ingest, 1, 20_000).await == 1).then_some(()))
            .await;
        books.settle(&server, "when there is room again").await;
        server.stop().await;
    }
    let rounds = proof.rounds();
    proof.found(
        rounds,
        json!({
            "accepted": books.accepted(),
            "lost": 0,
            "started_while_full": started,
            "refused_to_start_while_full": refused_starts,
            "not_opened_when_freed": 0,
        }),
    );
}
