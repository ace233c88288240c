//! The sealing key is exchanged, by the real binary.

use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use crate::support::{POSTRIDER, Receiver, Server, Setup, run};

fn keys(setup: &Setup, arguments: &[&str]) -> Vec<(u64, String, u64)> {
    let listed = run(setup.data_dir(), arguments).json();
    let keys = listed["data"].as_array().expect("a list").iter();
    keys.map(|key| {
        let state = key["state"].as_str().expect("a state").to_owned();
        (key["number"].as_u64().expect("a number"), state, key["segments"].as_u64().expect("a number"))
    })
    .collect()
}

fn state(number: u64, state: &str, segments: u64) -> (u64, String, u64) {
    (number, state.to_owned(), segments)
}

fn text(path: &Path) -> String {
    std::fs::read_to_string(path).expect("it is there")
}

#[tokio::test]
async fn a_rotated_key_opens_all_and_the_old_one_goes_when_nothing_needs_it() {
    let (server, receiver) = (Server::start().await, Receiver::start().await);
    let endpoint = server.api().register("shop", &receiver).await;
    let token = server.run(&["token", "create"]).json()["token"].clone();
    let key_file = server.setup.data_dir().join("store.key");
    let first = text(&key_file);
    let in_use = server.run(&["key", "rotate"]);
    assert_eq!(in_use.code, Some(75), "{in_use:?}");
    assert_eq!(text(&key_file), first, "a server works on it");
    // Killed, so that the journal is what there is.
    let setup = server.kill().await;
    assert_eq!(keys(&setup, &["key", "list"]), [state(0, "seals", 1)]);
    assert_eq!(keys(&setup, &["key", "rotate"]), [state(1, "seals", 0), state(0, "retired", 1)]);
    assert!(!text(&key_file).contains(first.trim()), "the key out of which all were made is not kept");
    let shown = run(setup.data_dir(), &["key", "list"]);
    for secret in text(&key_file)
        .split_ascii_whitespace()
        .filter_map(|word| word.rsplit(':').next())
        .filter(|part| part.len() > 40)
    {
        assert!(!shown.stdout.contains(secret) && !shown.stderr.contains(secret), "{shown:?}");
    }
    assert_eq!(keys(&setup, &["key", "retire"]).len(), 2, "a segment needs it");
    let to = setup.home().join("fewer");
    let kept = run(setup.data_dir(), &["key", "retire", "--to", to.to_str().expect("UTF-8")]);
    assert!(kept.ok().stderr.contains("fewer was not written") && !to.exists(), "{kept:?}");

    let server = setup.start().await;
    server.api().send("shop", "order.paid", json!({})).await;
    assert!(receiver.expect(1).await[0].is_signed_with(&endpoint.secret), "the endpoint's secret is the same");
    assert_eq!(server.api_over_tcp(token.as_str()).call("GET", "/app", &Value::Null).await.status, 200);
    // As long as nothing else is known a second exchange keeps all that are needed.
    let setup = server.stop().await;
    assert_eq!(
        keys(&setup, &["key", "rotate"]),
        [state(2, "seals", 0), state(1, "removable", 0), state(0, "retired", 1)]
    );
    assert_eq!(keys(&setup, &["key", "retire"]), [state(2, "seals", 0), state(0, "retired", 1)]);
    let server = setup.start().await;
    server.api().send("shop", "order.paid", json!({})).await;
    assert!(receiver.expect(2).await[1].is_signed_with(&endpoint.secret));
    server.stop().await;
}

/// What a store is given by the environment is not ours to replace.
#[tokio::test]
async fn keys_of_the_environment_go_into_a_file_and_from_there_back() {
    const KEY: &str = "+/v7+/v7+/v7+/v7+/v7+/v7+/v7+/v7+/v7+/v7+/s=";
    let setup = Setup::new();
    let server = setup.clone().env("POSTRIDER_STORE__KEY", KEY).start().await;
    server.api().app("shop").await;
    let receiver = Receiver::start().await;
    let endpoint = server.api().endpoint("shop", &receiver, json!({})).await;
    server.stop().await;
    let to = setup.home().join("new-keys");
    let rotate = |arguments: &[&str]| {
        let mut command = Command::new(POSTRIDER);
        command.current_dir(setup.home()).env_clear().env("POSTRIDER_STORE__KEY", KEY).args(arguments);
        command.arg("--json").arg("--data-dir").arg(setup.data_dir()).output().expect("the binary can be started")
    };
    let refused = rotate(&["key", "rotate"]);
    assert!(!refused.status.success() && String::from_utf8_lossy(&refused.stderr).contains("--to"), "{refused:?}");
    setup.clone().env("POSTRIDER_STORE__KEY", KEY).start().await.stop().await;
    let rotated = rotate(&["key", "rotate", "--to", "new-keys"]);
    assert!(rotated.status.success(), "{rotated:?}");
    let old = setup.clone().env("POSTRIDER_STORE__KEY", KEY).refused().await;
    assert!(old.code == Some(70) && old.stderr.contains("key 1") && !old.stderr.contains("salvage"), "{old:?}");
    // Two keys on one line.
    let both = text(&to).split_ascii_whitespace().collect::<Vec<_>>().join(" ");
    let server = setup.env("POSTRIDER_STORE__KEY", both).start().await;
    server.api().send("shop", "order.paid", json!({})).await;
    assert!(receiver.expect(1).await[0].is_signed_with(&endpoint.secret));
    server.stop().await;
}

/// The new keys do not lie yet where the store looks for them.
#[tokio::test]
async fn a_backup_asks_for_the_file_that_opens_it() {
    let setup = Server::start().await.stop().await;
    let [target, to] = ["backup", "new-keys"].map(|name| setup.home().join(name).display().to_string());
    run(setup.data_dir(), &["key", "rotate", "--to", &to]).ok();
    let taken = run(setup.data_dir(), &["backup", &target]);
    assert_eq!(taken.json()["sealingKey"], 1, "{taken:?}");
    assert!(taken.stderr.contains("keep the key file that `key rotate` wrote last (key "), "{taken:?}");
    assert!(taken.stderr.contains("store.key is from before that, and does not open the backup"), "{taken:?}");
    let set = format!("store.key_file={to}");
    let taken = run(setup.data_dir(), &["backup", &target, "--set", &set]);
    assert!(taken.stderr.contains(&format!("keep {to} (key ")), "{taken:?}");
    assert!(taken.stderr.contains("seals with key 1"), "{taken:?}");
    // That of another store is not the one to keep.
    let others = Server::start().await.stop().await;
    let set = format!("store.key_file={}", others.data_dir().join("store.key").display());
    let taken = run(setup.data_dir(), &["backup", &target, "--set", &set]);
    assert!(taken.stderr.contains("keep the store's key (key "), "{taken:?}");
}

/// The key file of another store, by mistake: nothing here needs its keys, and that store needs them all.
#[tokio::test]
async fn the_keys_of_another_store_are_left_as_they_are() {
    let server = Server::start().await;
    server.api().app("shop").await;
    // Killed, so that there is no checkpoint; and without a secret of tokens, which might need the key.
    let setup = server.kill().await;
    std::fs::remove_file(setup.data_dir().join("jwt-secret")).expect("it is there");
    let others = Server::start().await.stop().await;
    let key_file = others.data_dir().join("store.key");
    run(others.data_dir(), &["key", "rotate"]).ok();
    let before = text(&key_file);
    let set = format!("store.key_file={}", key_file.display());
    for command in ["rotate", "retire"] {
        let refused = run(setup.data_dir(), &["key", command, "--set", &set]);
        assert_eq!(refused.code, Some(70), "{refused:?}");
        assert!(refused.stderr.contains("do not belong together"), "{refused:?}");
        assert_eq!(text(&key_file), before, "{command}");
    }
    others.start().await.stop().await;
}
