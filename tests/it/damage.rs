//! What a start does with files that are not as they were left.

use std::path::Path;

use serde_json::{Value, json};

use crate::doctor::files;
use crate::support::{Endpoint, Receiver, Server, Setup, until};

/// A text that is found in the journal, since bodies are kept as they came.
fn marked(mark: &str) -> Value {
    json!({ "mark": format!("<{mark}>"), "more": "x".repeat(100) })
}

/// Flips a bit of the one place in the journal where a body has this mark.
pub(crate) fn flip(setup: &Setup, mark: &str) {
    let needle = format!("<{mark}>");
    let mut found = 0;
    for path in setup.segments() {
        let mut bytes = std::fs::read(&path).expect("a segment can be read");
        let Some(at) = bytes.windows(needle.len()).position(|window| window == needle.as_bytes()) else { continue };
        *bytes.get_mut(at + 1).expect("that is within the mark") ^= 1;
        std::fs::write(&path, bytes).expect("a segment can be written");
        found += 1;
    }
    assert_eq!(found, 1, "{mark} lies in one segment");
}

/// Three messages are on disk: delivered, `marked("middle")`, delivered. The
/// middle one's endpoint is held if `held`.
pub(crate) async fn three_messages(held: bool) -> (Server, Receiver, Endpoint, [String; 3]) {
    let (server, receiver) = (Setup::new().with_small_segments().start().await, Receiver::start().await);
    let api = server.api();
    let endpoint = api.register("shop", &receiver).await;
    let first = api.send("shop", "a.b", marked("first")).await;
    api.until_state(&endpoint, &first, "delivered").await;
    if held {
        api.set(&endpoint, "paused").await;
    }
    let middle = api.send("shop", "a.b", marked("middle")).await;
    if !held {
        api.until_state(&endpoint, &middle, "delivered").await;
    }
    let last = api.send("shop", "a.b", marked("last")).await;
    if !held {
        api.until_state(&endpoint, &last, "delivered").await;
    }
    (server, receiver, endpoint, [first, middle, last])
}

async fn arrives(server: &Server, endpoint: &Endpoint) {
    let message = server.api().send("shop", "a.b", marked("later")).await;
    server.api().until_state(endpoint, &message, "delivered").await;
}

#[tokio::test]
async fn a_flipped_byte_that_nothing_live_needs_is_quarantined_and_answered_as_damaged() {
    let (server, _receiver, endpoint, [first, middle, last]) = three_messages(false).await;
    let setup = server.stop().await;
    flip(&setup, "middle");

    let server = setup.start().await;
    let api = server.api();
    let answer = until("the message to be found", async || {
        let answer = api.call("GET", &format!("/app/shop/msg/{middle}"), &Value::Null).await;
        (answer.json()["code"] != "index_rebuilding").then_some(answer)
    });
    let answer = answer.await;
    assert_eq!((answer.status, answer.json()["code"].as_str()), (500, Some("damaged")), "{answer:?}");
    let said = answer.json()["detail"].as_str().unwrap_or_default().to_owned();
    assert!(said.contains("segment-"), "it names the file: {said}");
    for message in [&first, &last] {
        assert_eq!(api.get(&format!("/app/shop/msg/{message}")).await["id"], message.as_str());
    }
    arrives(&server, &endpoint).await;
    assert_eq!(server.metrics().await.sum("postrider_invariant_violations_total", ""), 0.0);
}

#[tokio::test]
async fn a_flipped_byte_that_a_live_delivery_needs_stops_the_start_until_it_is_salvaged() {
    let (server, receiver, endpoint, [first, middle, last]) = three_messages(true).await;
    let setup = server.stop().await;
    flip(&setup, "middle");

    let refused = setup.refused().await;
    assert_eq!(refused.code, Some(70), "{refused:?}");
    assert!(refused.stderr.contains("--salvage NEW_DIR"), "it says what to do: {refused:?}");
    assert!(refused.stderr.contains("segment-"), "it names the file: {refused:?}");
    assert_eq!(setup.refused().await.code, Some(70), "another start does not change that");

    let before = files(setup.data_dir());
    let (salvaged, list) = setup.salvage();
    assert!(files(setup.data_dir()) == before, "the damaged directory stays as it is");
    let kinds: Vec<_> = list.iter().filter_map(|line| line["kind"].as_str()).collect();
    assert_eq!(kinds, ["salvage", "missing", "message", "summary"], "{list:?}");
    let (missing, lost, summary) = (&list[1], &list[2], &list[3]);
    assert_eq!(missing["coveredByCheckpoint"], true, "{missing}");
    assert!(missing["before"]["number"].is_u64() && missing["after"]["time"].is_string(), "{missing}");
    assert_eq!(missing["records"][0]["msgId"], middle.as_str(), "{missing}");
    assert_eq!((lost["msgId"].as_str(), lost["eventType"].as_str()), (Some(&*middle), Some("a.b")), "{lost}");
    let delivery = &lost["deliveries"][0];
    assert!(delivery["endpointId"] == endpoint.id.as_str() && delivery["deadLetter"] == true, "{lost}");
    assert_eq!(summary["payloadsLost"], 1, "{summary}");
    let written = std::fs::read_to_string(salvaged.data_dir().join("salvage.ndjson")).expect("the list is kept");
    assert_eq!(written.lines().count(), list.len());
    let setup = salvaged;
    let server = setup.start().await;
    let api = server.api();
    let dead = &api.get("/app/shop/dead-letter").await["data"][0];
    assert_eq!((dead["msgId"].as_str(), dead["reason"].as_str()), (Some(&*middle), Some("payload_damaged")), "{dead}");
    api.set(&endpoint, "resumed").await;
    api.until_state(&endpoint, &last, "delivered").await;
    arrives(&server, &endpoint).await;
    assert!(receiver.ids().contains(&first) && !receiver.ids().contains(&middle));
}

#[tokio::test]
async fn a_flipped_byte_after_the_checkpoint_stops_the_start_since_anything_may_have_been_there() {
    let (server, _receiver, endpoint, [first, _, last]) = three_messages(false).await;
    let setup = server.kill().await;
    flip(&setup, "first");
    let refused = setup.refused().await;
    assert_eq!(refused.code, Some(70), "{refused:?}");

    let (setup, list) = setup.salvage();
    assert!(list.iter().any(|line| line["kind"] == "missing" && line["coveredByCheckpoint"] == false), "{list:?}");
    let lost = list.iter().find(|line| line["kind"] == "message").unwrap_or_else(|| panic!("none: {list:?}"));
    assert_eq!(
        (lost["msgId"].as_str(), &lost["deliveries"][0]["known"]),
        (Some(&*first), &json!("delivered")),
        "{lost}"
    );
    let server = setup.start().await;
    assert_eq!(server.api().get(&format!("/app/shop/msg/{last}")).await["id"], last.as_str());
    arrives(&server, &endpoint).await;
}

#[tokio::test]
async fn a_torn_tail_is_cut_kept_aside_and_nothing_that_was_answered_is_missing() {
    let (server, _receiver, endpoint, messages) = three_messages(false).await;
    let setup = server.kill().await;
    // What a power cut leaves of a frame that was being written: its beginning.
    let newest = newest_written(&setup);
    let mut bytes = std::fs::read(&newest).expect("a segment can be read");
    let frame = bytes.windows(4).position(|window| window == b"PRFR").expect("there is a frame");
    let end = bytes.iter().rposition(|byte| *byte != 0).expect("there are frames") + 1;
    let end = end.next_multiple_of(8);
    let torn = bytes.get(frame..frame + 48).expect("a frame has a header").to_vec();
    bytes.get_mut(end..end + torn.len()).expect("there is room behind the frames").copy_from_slice(&torn);
    std::fs::write(&newest, bytes).expect("a segment can be written");

    let server = setup.start().await;
    assert!(names(&setup.data_dir().join("journal")).iter().any(|name| name.starts_with("torn-")));
    for message in &messages {
        assert_eq!(server.api().get(&format!("/app/shop/msg/{message}")).await["id"], message.as_str());
    }
    arrives(&server, &endpoint).await;
    // The next stop is a clean one: the tail is not found again.
    let setup = server.stop().await;
    let torn = names(&setup.data_dir().join("journal")).iter().filter(|name| name.starts_with("torn-")).count();
    setup.start().await;
    assert_eq!(names(&setup.data_dir().join("journal")).iter().filter(|name| name.starts_with("torn-")).count(), torn);
}

/// The last segment that holds a frame.
fn newest_written(setup: &Setup) -> std::path::PathBuf {
    let mut segments = setup.segments().into_iter().rev();
    let has_frame = |path: &std::path::PathBuf| {
        let bytes = std::fs::read(path).expect("a segment can be read");
        bytes.get(64..68) == Some(b"PRFR")
    };
    segments.find(has_frame).expect("there are frames")
}

fn names(dir: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(dir).expect("the directory is there");
    let name = |entry: std::io::Result<std::fs::DirEntry>| entry.expect("it can be read").file_name();
    entries.map(|entry| name(entry).to_string_lossy().into_owned()).collect()
}

#[tokio::test]
async fn the_index_can_be_deleted_and_comes_back() {
    // Small segments, so that there is something sealed to index.
    let setup = Setup::new().with_small_segments();
    let (server, receiver) = (setup.start().await, Receiver::start().await);
    let api = server.api();
    let endpoint = api.register("shop", &receiver).await;
    let mut messages = vec![];
    for n in 0..40 {
        let payload = json!({ "n": n, "more": "x".repeat(100_000) });
        messages.push(api.send("shop", "a.b", payload).await);
    }
    for message in &messages {
        api.until_state(&endpoint, message, "delivered").await;
    }
    let setup = server.stop().await;
    std::fs::remove_dir_all(setup.data_dir().join("index")).expect("there is an index");

    let server = setup.start().await;
    let api = server.api();
    // Accepting and delivering do not wait for the index.
    let later = api.send("shop", "a.b", json!({})).await;
    let arrivals = receiver.expect(messages.len() + 1).await;
    assert_eq!(arrivals.last().map(|arrival| arrival.id()), Some(later.as_str()));
    let listed = until("the list to be whole", async || {
        let answer = api.call("GET", "/app/shop/msg?limit=250&with_content=false", &Value::Null).await;
        if answer.status == 503 {
            assert_eq!(answer.json()["code"], "index_rebuilding");
            assert!(answer.headers.contains_key("retry-after"));
            return None;
        }
        Some(answer.json())
    });
    let listed = listed.await;
    let ids: Vec<_> = listed["data"].as_array().expect("a list").iter().filter_map(|m| m["id"].as_str()).collect();
    let expected: Vec<_> = messages.iter().rev().map(String::as_str).collect();
    assert_eq!(ids.get(1..), Some(&expected[..]), "newest first, behind the one that was sent last");
    for message in &messages {
        assert_eq!(api.attempts("shop", message).await.len(), 1);
    }
}

#[tokio::test]
async fn rubbish_in_the_index_and_a_snapshot_that_was_being_written_are_no_trouble() {
    let (server, _receiver, endpoint, [first, ..]) = three_messages(false).await;
    let setup = server.stop().await;
    let index = setup.data_dir().join("index");
    for (place, name) in [(index.clone(), "rubbish"), (index.clone(), "snap.0000.generating")] {
        std::fs::create_dir_all(&place).expect("it can be made");
        std::fs::write(place.join(name), b"rubbish").expect("it can be written");
    }
    let server = setup.start().await;
    assert_eq!(server.api().get(&format!("/app/shop/msg/{first}")).await["id"], first.as_str());
    arrives(&server, &endpoint).await;
}

#[tokio::test]
async fn a_damaged_checkpoint_stops_the_start_until_it_is_salvaged() {
    let (server, _receiver, endpoint, [_, middle, _]) = three_messages(true).await;
    let setup = server.stop().await;
    let checkpoint = setup.data_dir().join("checkpoint");
    let mut bytes = std::fs::read(&checkpoint).expect("a clean stop leaves a checkpoint");
    let half = bytes.len() / 2;
    *bytes.get_mut(half).expect("it is not empty") ^= 1;
    std::fs::write(&checkpoint, bytes).expect("it can be written");
    let refused = setup.refused().await;
    assert_eq!(refused.code, Some(70), "{refused:?}");
    assert!(refused.stderr.contains("--salvage NEW_DIR"), "{refused:?}");

    let (setup, list) = setup.salvage();
    assert!(list.iter().any(|line| line["kind"] == "checkpoint"), "{list:?}");
    let server = setup.start().await;
    server.api().until_waits(&endpoint, &middle, "endpoint_paused").await;
    server.api().set(&endpoint, "resumed").await;
    server.api().until_state(&endpoint, &middle, "delivered").await;
}

#[tokio::test]
async fn salvaging_takes_no_directory_that_is_used_and_leaves_nothing_half_done() {
    let (server, ..) = three_messages(true).await;
    let (home, data) = (server.setup.home().to_owned(), server.setup.data_dir().to_owned());
    let salvage = |to: &Path| crate::support::run(&data, &["doctor", "--salvage", to.to_str().expect("UTF-8")]);
    let to = home.join("new");
    assert_eq!(salvage(&to).code, Some(75), "a server works on it");
    let setup = server.stop().await;
    let full = salvage(&home);
    assert!(full.code == Some(64) && full.stderr.contains("is not empty"), "{full:?}");
    let within = salvage(&data.join("new"));
    assert!(within.code == Some(64) && within.stderr.contains("stays as it is"), "{within:?}");
    // Another key than the store's, and no checkpoint that would tell.
    std::fs::write(data.join("checkpoint"), "damaged").expect("it can be written");
    let key = data.join("store.key");
    let own = std::fs::read(&key).expect("it is there");
    std::fs::write(&key, "QUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUE=").expect("it can be written");
    let before = files(&data);
    let refused = salvage(&to);
    assert!(refused.code == Some(70) && refused.stderr.contains("do not belong together"), "{refused:?}");
    assert!(files(&data) == before && !to.exists() && !home.join("new.incomplete").exists());
    std::fs::write(&key, own).expect("it can be written");
    salvage(&to).ok();
    setup.at(&to).start().await;
}

#[tokio::test]
async fn a_directory_that_a_newer_build_has_written_is_refused_and_changed_in_nothing() {
    let (server, ..) = three_messages(true).await;
    let setup = server.stop().await;
    let segment = setup.segments().into_iter().next_back().expect("there is one");
    let mut bytes = std::fs::read(&segment).expect("a segment can be read");
    let (header, checksum) = bytes.split_at_mut(60);
    header.get_mut(8..10).expect("the version").copy_from_slice(&2_u16.to_le_bytes());
    checksum.get_mut(..4).expect("its checksum").copy_from_slice(&crc32c::crc32c(header).to_le_bytes());
    std::fs::write(&segment, bytes).expect("a segment can be written");
    // The process that was refused has left its number there.
    let content =
        || files(setup.data_dir()).into_iter().filter(|(path, _)| !path.ends_with("lock")).collect::<Vec<_>>();
    let before = content();
    let refused = setup.refused().await;
    assert_eq!(refused.code, Some(1), "{refused:?}");
    let said = format!("{} has format version 2", segment.display());
    assert!(refused.stderr.contains(&said), "{refused:?}");
    assert!(content() == before, "another build may still open it");
}
