//! Payloads that are JSON and that many readers cannot hold: they go through the command line byte for byte.

use std::process::Command;

use serde_json::json;

use crate::support::{POSTRIDER, Receiver, Reply, Server, Setup};

/// A number beyond what 64 bits hold, and halves of surrogate pairs as a value and as a name.
const ODD: &str = r#"{"n":1e400,"half":"\ud800","\udc00":[1.00],"plain":17}"#;

async fn start() -> Server {
    Setup::new().set("retry.schedule", "0").start().await
}

/// What a command prints without `--json`.
fn for_people(server: &Server, arguments: &[&str]) -> String {
    let mut command = Command::new(POSTRIDER);
    command.args(arguments).arg("--data-dir").arg(server.setup.data_dir()).current_dir("/");
    let output = command.output().expect("it can be started");
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).expect("it is text")
}

#[tokio::test]
async fn what_many_readers_cannot_hold_is_shown_exported_and_imported() {
    let (from, to) = (start().await, start().await);
    let receiver = Receiver::start().await;
    receiver.always(Reply::Status(400));
    let api = from.api();
    let endpoint = api.register("shop", &receiver).await;
    let path = format!("/app/shop/endpoint/{}", endpoint.id);
    api.patch(&path, json!({ "uid": "main" })).await;
    let sent =
        from.run(&["send", "--app", "shop", "--type", "order.paid", "--event-id", "odd", "--payload", ODD]).json();
    let id = sent["id"].as_str().expect("it has an id");
    api.until_state(&endpoint, id, "dead").await;

    let run = |arguments: &[&str]| from.run(arguments).ok().stdout.clone();
    assert!(for_people(&from, &["message", "get", "--app", "shop", id]).contains(ODD));
    assert!(run(&["message", "get", "--app", "shop", id]).contains(ODD));
    assert!(run(&["message", "list", "--app", "shop"]).contains(ODD));
    for command in ["show", "attempts"] {
        for_people(&from, &["message", command, "--app", "shop", "odd"]);
        run(&["message", command, "--app", "shop", id]);
    }
    let dry = ["message", "dry-run", "--app", "shop", "--type", "order.paid", "--payload", ODD];
    assert!(for_people(&from, &dry).contains("  yes"));

    let file = from.setup.home().join("odd.ndjson");
    let exported = run(&["export"]);
    assert_eq!(exported.matches(ODD).count(), 2, "a message and a dead letter: {exported}");
    std::fs::write(&file, exported).expect("it can be written");
    receiver.always(Reply::Status(200));
    let imported = to.run(&["import", "--send", file.to_str().expect("UTF-8")]).json();
    assert_eq!(imported["sent"], 1, "{imported}");
    let arrivals = receiver.expect(2).await;
    assert_eq!(arrivals.iter().map(|arrival| &arrival.body[..]).collect::<Vec<_>>(), [ODD.as_bytes(); 2]);
}
