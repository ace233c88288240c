//! The store's key and the secret of tokens, from where they are kept.

use std::collections::BTreeMap;
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::support::{Receiver, Server, Setup, until};

const KEY: &str = "+/v7+/v7+/v7+/v7+/v7+/v7+/v7+/v7+/v7+/v7+/s=";
const OTHER_KEY: &str = "BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc=";

fn write(path: &Path, content: &str, mode: u32) {
    std::fs::write(path, content).expect("it can be written");
    std::fs::set_permissions(path, Permissions::from_mode(mode)).expect("it is ours");
}

/// A file beside the data directory.
fn beside(setup: &Setup, name: &str, content: &str, mode: u32) -> PathBuf {
    let path = setup.home().join(name);
    write(&path, content, mode);
    path
}

/// What lies in the data directory, but for what any start may make anew.
fn files(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut dirs = vec![dir.to_owned()];
    while let Some(dir) = dirs.pop() {
        for entry in std::fs::read_dir(&dir).expect("it can be listed") {
            let path = entry.expect("it can be listed").path();
            if path.ends_with("index") || path.ends_with("lock") || path.extension().is_some_and(|end| end == "sock") {
                continue;
            }
            if path.is_dir() {
                dirs.push(path);
            } else {
                found.insert(path.clone(), std::fs::read(&path).expect("it can be read"));
            }
        }
    }
    found
}

#[tokio::test]
async fn the_stores_key_comes_from_a_file_the_environment_or_a_credential() {
    let named = |setup: Setup| {
        let path = beside(&setup, "key", &format!("{KEY}\n"), 0o440);
        setup.set("store.key_file", path.to_str().expect("UTF-8"))
    };
    let of_the_environment = |setup: Setup| setup.env("POSTRIDER_STORE__KEY", KEY);
    let credential = |setup: Setup| {
        beside(&setup, "postrider.store.key", KEY, 0o400);
        let dir = setup.home().to_str().expect("UTF-8").to_owned();
        setup.env("CREDENTIALS_DIRECTORY", dir)
    };
    // Each of them opens what the one before has made: it is the same key.
    let receiver = Receiver::start().await;
    let first = Setup::new();
    let data_dir = first.data_dir().to_owned();
    let mut endpoint = None;
    for (sent, setup) in (1..).zip([named(first.clone()), of_the_environment(Setup::new()), credential(Setup::new())]) {
        let server = setup.at(&data_dir).start().await;
        assert!(!data_dir.join("store.key").exists(), "none is made where one is given");
        let endpoint = match &endpoint {
            None => endpoint.insert(server.api().register("shop", &receiver).await),
            Some(endpoint) => endpoint,
        };
        server.api().send("shop", "order.paid", json!({})).await;
        let arrivals = receiver.expect(sent).await;
        assert!(arrivals[sent - 1].is_signed_with(&endpoint.secret));
        server.stop().await;
    }
    let missing = Setup::new().at(&data_dir).refused().await;
    assert!(missing.code == Some(70) && missing.stderr.contains("store.key_file"), "{missing:?}");
}

#[tokio::test]
async fn a_key_that_does_not_fit_is_refused_with_its_origin_and_changes_nothing() {
    let (server, receiver) = (Server::start().await, Receiver::start().await);
    server.api().register("shop", &receiver).await;
    // What a crash leaves, and what a stop leaves.
    let mut setup = server.kill().await;
    for _ in 0..2 {
        let path = beside(&setup, "other", OTHER_KEY, 0o600).to_str().expect("UTF-8").to_owned();
        let of_the_environment = setup.clone().env("POSTRIDER_STORE__KEY", OTHER_KEY);
        for (wrong, origin) in
            [(setup.clone().set("store.key_file", &path), path.as_str()), (of_the_environment, "POSTRIDER_STORE__KEY")]
        {
            let before = files(setup.data_dir());
            let ended = wrong.refused().await;
            assert_eq!(ended.code, Some(70), "{ended:?}");
            assert!(ended.stderr.contains(origin) && ended.stderr.contains("do not belong together"), "{ended:?}");
            assert!(!ended.stderr.contains("salvage") && !ended.stderr.contains(&OTHER_KEY[..9]), "{ended:?}");
            assert!(files(setup.data_dir()) == before, "{origin}: something has changed");
        }
        setup = setup.start().await.stop().await;
    }
}

#[tokio::test]
async fn keys_that_others_may_read_are_refused() {
    let setup = Server::start().await.stop().await;
    for name in ["store.key", "jwt-secret"] {
        let path = setup.data_dir().join(name);
        for mode in [0o644, 0o602] {
            std::fs::set_permissions(&path, Permissions::from_mode(mode)).expect("it is ours");
            let ended = setup.refused().await;
            assert_eq!(ended.code, Some(70), "{name} {mode:o}: {ended:?}");
            assert!(ended.stderr.contains(&format!("chmod 600 {}", path.display())), "{ended:?}");
        }
        std::fs::set_permissions(&path, Permissions::from_mode(0o600)).expect("it is ours");
    }
    setup.start().await.stop().await;
}

#[tokio::test]
async fn the_secret_of_tokens_comes_from_a_file_or_a_credential() {
    let secret = "a secret of tokens with more than 32 bytes";
    let setup = Setup::new();
    let path = beside(&setup, "postrider.jwt-secret", secret, 0o400);
    let dir = setup.home().to_str().expect("UTF-8").to_owned();
    let path = path.to_str().expect("UTF-8");
    for started in [setup.clone().set("auth.jwt_secret_file", path), setup.env("CREDENTIALS_DIRECTORY", dir)] {
        let server = started.start().await;
        assert!(!server.setup.data_dir().join("jwt-secret").exists());
        let set = format!("auth.jwt_secret_file={path}");
        let token = server.run(&["token", "create", "--set", &set]).json()["token"].clone();
        let api = server.api_over_tcp(token.as_str());
        assert_eq!(api.call("GET", "/app", &Value::Null).await.status, 200);
        let set = format!("auth.jwt_secret={}", secret.to_uppercase());
        let token = server.run(&["token", "create", "--set", &set]).json()["token"].clone();
        let api = server.api_over_tcp(token.as_str());
        assert_eq!(api.call("GET", "/app", &Value::Null).await.status, 401);
        server.stop().await;
    }
}

#[tokio::test]
async fn a_secret_of_tokens_in_the_clear_is_sealed_at_the_first_start_and_tokens_stay_valid() {
    let plain = "a-secret-that-an-earlier-build-has-left-in-the-clear";
    let server = Server::start().await;
    let path = server.setup.data_dir().join("jwt-secret");
    let sealed = || std::fs::read_to_string(&path).expect("it is there");
    assert!(sealed().starts_with("sealed:"), "a new one is sealed from the beginning");
    let setup = server.stop().await;
    write(&path, plain, 0o600);
    let token = crate::support::run(setup.data_dir(), &["token", "create"]).json()["token"].clone();
    // Killed at once, it is one or the other, and opens.
    drop(setup.spawn());
    let server = setup.start().await;
    assert!(sealed().starts_with("sealed:") && !sealed().contains(plain));
    let valid = async |server: &Server, token: &Value| {
        server.api_over_tcp(token.as_str()).call("GET", "/app", &Value::Null).await.status == 200
    };
    assert!(valid(&server, &token).await);
    let made_now = server.run(&["token", "create"]).json()["token"].clone();
    let server = server.kill().await.start().await;
    assert!(valid(&server, &token).await && valid(&server, &made_now).await);
    server.stop().await;
}

#[tokio::test]
async fn everything_that_a_server_makes_is_its_owners_alone() {
    let server = Server::start().await;
    server.api().app("shop").await;
    let dir = server.setup.data_dir().to_owned();
    until("the index", async || dir.join("index").is_dir().then_some(())).await;
    let made = everything_in(&dir);
    for name in ["store.key", "jwt-secret", "default-org", "lock", "api.sock", "ingest.sock", "journal", "index"] {
        assert!(made.contains(&dir.join(name)), "{name}");
    }
    for path in made {
        // What is made under a passing name may be gone.
        let Ok(metadata) = std::fs::symlink_metadata(&path) else { continue };
        assert_eq!(metadata.permissions().mode() & 0o077, 0, "{}", path.display());
    }
}

/// A directory and all that is in it.
fn everything_in(path: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(path).into_iter().flatten().flatten();
    let mut all = vec![path.to_owned()];
    all.extend(entries.flat_map(|entry| everything_in(&entry.path())));
    all
}
