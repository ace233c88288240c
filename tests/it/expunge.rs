//! What a person removes is shown and sent no more, and leaves the disk.

use std::path::Path;

use serde_json::{Value, json};

use crate::support::{Receiver, Reply, Server, Setup, until};

const SECRET: &str = "4111-1111-1111-1111";
const ANSWER: &str = "we have stored 4000-0000-0000-0002";

/// The files below a directory in which a text stands.
fn files_with(dir: &Path, text: &str) -> Vec<String> {
    let mut found = vec![];
    for entry in std::fs::read_dir(dir).expect("a directory can be read") {
        let path = entry.expect("a directory can be read").path();
        if path.is_dir() {
            found.extend(files_with(&path, text));
            continue;
        }
        // Sockets cannot be read, and a file may go meanwhile.
        let bytes = std::fs::read(&path).unwrap_or_default();
        if bytes.windows(text.len()).any(|window| window == text.as_bytes()) {
            found.push(path.display().to_string());
        }
    }
    found
}

/// Waits until the server says that everything expunged is off the disk.
async fn until_erased(server: &Server) {
    let erased = async || (server.metrics().await.sum("postrider_expunged_on_disk", "") == 0.0).then_some(());
    until("what was expunged to leave the disk", erased).await;
}

async fn payload(server: &Server, message: &str) -> Value {
    server.api().get(&format!("/app/shop/msg/{message}")).await["payload"].clone()
}

#[tokio::test]
async fn an_expunged_payload_is_nowhere_any_more_also_after_a_power_cut() {
    let setup = Setup::new().with_small_segments().set("retention.expunge", "12h");
    let (server, receiver) = (setup.start().await, Receiver::start().await);
    let api = server.api();
    let endpoint = api.register("shop", &receiver).await;
    let delivered = api.send("shop", "card.added", json!({ "card": SECRET })).await;
    api.until_state(&endpoint, &delivered, "delivered").await;
    api.set(&endpoint, "paused").await;
    let waiting = api.send("shop", "card.added", json!({ "card": SECRET })).await;
    let kept = api.send("shop", "card.added", json!({ "card": "none" })).await;

    for message in [&delivered, &waiting] {
        let path = format!("/app/shop/msg/{message}/content");
        for _ in 0..2 {
            assert_eq!(api.call("DELETE", &path, &Value::Null).await.status, 204);
        }
        assert_eq!(payload(&server, message).await, json!({ "expired": true }));
    }
    let dead = api.until_state(&endpoint, &waiting, "dead").await;
    assert_eq!(dead["reason"], "payload_expunged");
    for message in [&delivered, &waiting] {
        let path = format!("/app/shop/msg/{message}/delivery/{}/replay", endpoint.id);
        let refused = api.call("POST", &path, &Value::Null).await;
        assert_eq!((refused.status, refused.json()["code"].as_str()), (409, Some("conflict")), "{refused:?}");
    }
    assert_eq!(server.metrics().await.sum("postrider_expunged_on_disk", ""), 2.0);
    assert!(!files_with(setup.data_dir(), SECRET).is_empty(), "for twelve hours");

    let server = server.kill().await.set("retention.expunge", "0s").start().await;
    let api = server.api();
    assert_eq!(payload(&server, &waiting).await, json!({ "expired": true }));
    until_erased(&server).await;
    assert_eq!(files_with(setup.data_dir(), SECRET), Vec::<String>::new());
    api.set(&endpoint, "resumed").await;
    api.until_state(&endpoint, &kept, "delivered").await;

    // The files that were written anew are as good as the old ones.
    let server = server.kill().await.start().await;
    for message in [&delivered, &waiting] {
        assert_eq!(payload(&server, message).await, json!({ "expired": true }));
    }
    assert_eq!(payload(&server, &kept).await, json!({ "card": "none" }));
    assert_eq!(receiver.ids(), [delivered, kept], "the one that waited was never sent");
    assert_eq!(server.metrics().await.sum("postrider_invariant_violations_total", ""), 0.0);
    assert_eq!(server.metrics().await.sum("postrider_journal_damage_total", ""), 0.0);
}

#[tokio::test]
async fn an_expunged_answer_is_nowhere_any_more() {
    let setup = Setup::new().with_small_segments().set("retention.expunge", "0s");
    let (server, receiver) = (setup.start().await, Receiver::start().await);
    let api = server.api();
    let endpoint = api.register("shop", &receiver).await;
    receiver.always(Reply::Body(200, ANSWER));
    let message = api.send("shop", "card.added", json!({ "card": "none" })).await;
    api.until_state(&endpoint, &message, "delivered").await;
    let attempt = api.attempts("shop", &message).await.remove(0);
    assert_eq!(attempt["response"], ANSWER);
    assert!(!files_with(setup.data_dir(), ANSWER).is_empty());

    let id = attempt["id"].as_str().expect("an attempt has an id");
    server.run(&["message", "expunge", "--app", "shop", &message, "--attempt", id]).ok();
    let expunged = api.attempts("shop", &message).await.remove(0);
    assert_eq!((&expunged["response"], &expunged["responseStatusCode"]), (&json!("EXPUNGED"), &json!(200)));
    until_erased(&server).await;
    assert_eq!(files_with(setup.data_dir(), ANSWER), Vec::<String>::new());
    assert_eq!(payload(&server, &message).await, json!({ "card": "none" }));

    server.run(&["message", "expunge", "--app", "shop", &message]).ok();
    assert_eq!(payload(&server, &message).await, json!({ "expired": true }));
    let expunged = api.attempts("shop", &message).await.remove(0);
    assert_eq!(expunged["response"], "EXPUNGED");
}
