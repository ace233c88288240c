//! The shape of the project, held by tests: who may import whom, who alone
//! names which library, and the rules of the house.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use cargo_metadata::{DependencyKind, Metadata, MetadataCommand};

/// What each of our crates may import of ours. The root package composes all.
const ARROWS: [(&str, &[&str]); 9] = [
    ("postrider-model", &[]),
    ("postrider-outbox", &["postrider-model"]),
    ("postrider-scheduler", &["postrider-model", "postrider-outbox"]),
    ("postrider-dispatcher", &["postrider-model"]),
    ("postrider-ingest", &["postrider-model", "postrider-outbox"]),
    ("postrider-api", &["postrider-model", "postrider-outbox"]),
    (FOR_TESTS, &[]),
    // It puts the parts together as the binary does, on a simulated machine.
    (
        "postrider-simulation",
        &["postrider-model", "postrider-outbox", "postrider-scheduler", "postrider-dispatcher", FOR_TESTS],
    ),
    // It knows the server as its users do: as a binary.
    ("postrider-xtask", &[]),
];
const ROOT: &str = "postrider";
/// What only tests import, and all of them may.
const FOR_TESTS: &str = "postrider-proof";

/// Libraries that only one crate names, or one for each side of a connection, tests aside.
const USERS: [(&str, &[&str]); 11] = [
    ("sled", &["postrider-outbox"]),
    ("bincode", &["postrider-outbox"]),
    ("chacha20poly1305", &["postrider-outbox"]),
    ("ed25519-dalek", &["postrider-model"]),
    // The client's side and the server's: docs/decisions/0016.
    ("rustls", &["postrider-dispatcher", "postrider-api"]),
    ("tokio-rustls", &["postrider-dispatcher", "postrider-api"]),
    ("x509-cert", &["postrider-api"]),
    ("hickory-resolver", &["postrider-dispatcher"]),
    ("axum", &["postrider-api"]),
    ("clap", &[ROOT]),
    ("toml", &[ROOT]),
];

const MAX_FILE_LINES: usize = 400;

// Put together here, so that this file does not break its own rules.
const SLEEPS: [&str; 2] = [concat!("thread::", "sleep"), concat!("time::", "sleep")];
/// Receivers that are slow by nature: there the pause is what is tested.
const SLOW_RECEIVERS: [&str; 1] = ["crates/dispatcher/tests/attempts/hostile.rs"];
const NOT_ALLOWED: [(&str, &str); 7] = [
    (concat!("TO", "DO"), "what is missing is written in an issue"),
    (concat!("FIX", "ME"), "what is missing is written in an issue"),
    (concat!("todo", "!("), "what is there works"),
    (concat!("unimplemented", "!("), "what is there works"),
    (concat!("#[", "ignore"), "every test runs"),
    (concat!("#[", "allow("), "an exception is an `expect` with a reason"),
    (concat!("#![", "allow("), "an exception is an `expect` with a reason"),
];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn metadata() -> Metadata {
    let manifest = root().join("Cargo.toml");
    MetadataCommand::new().manifest_path(manifest).no_deps().exec().expect("the workspace's manifests are valid")
}

/// Every Rust file of ours, with its text.
fn sources() -> Vec<(PathBuf, String)> {
    let mut directories: Vec<_> = ["bin", "crates", "tests", "benches", "xtask"].map(|name| root().join(name)).into();
    let mut files = Vec::new();
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(&directory).into_iter().flatten() {
            let path = entry.expect("the checkout can be read").path();
            if path.is_dir() {
                directories.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = fs::read_to_string(&path).expect("sources are UTF-8");
                files.push((path.strip_prefix(root()).expect("it lies below").to_owned(), text));
            }
        }
    }
    assert!(files.len() > 20, "the sources are not where they were: {files:?}");
    files
}

/// The part of a file that is compiled for tests only.
fn test_part<'a>(path: &Path, text: &'a str) -> &'a str {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let whole = path.starts_with("tests") || name == "tests.rs" || path.iter().any(|part| part == "tests");
    let begin = if whole { 0 } else { text.find("#[cfg(test)]\nmod tests {").unwrap_or(text.len()) };
    text.get(begin..).unwrap_or_default()
}

#[track_caller]
fn assert_none(offences: &[String]) {
    assert!(offences.is_empty(), "\n{}", offences.join("\n"));
}

#[test]
fn our_crates_import_only_along_the_arrows() {
    let metadata = metadata();
    let ours: BTreeSet<&str> = metadata.packages.iter().map(|package| package.name.as_str()).collect();
    let known: BTreeSet<&str> = ARROWS.iter().map(|(name, _)| *name).chain([ROOT]).collect();
    assert_eq!(ours, known, "every crate has its arrows");
    let mut offences = Vec::new();
    for package in metadata.packages.iter().filter(|package| package.name.as_str() != ROOT) {
        let allowed = ARROWS.iter().find(|(name, _)| *name == package.name.as_str()).map_or(&[][..], |arrow| arrow.1);
        let imported = package.dependencies.iter().filter(|dependency| ours.contains(dependency.name.as_str()));
        let wrong = imported.filter(|dependency| {
            let is_for_tests = dependency.name == FOR_TESTS && dependency.kind == DependencyKind::Development;
            !is_for_tests && !allowed.contains(&dependency.name.as_str())
        });
        offences.extend(wrong.map(|dependency| format!("{} must not import {}", package.name, dependency.name)));
    }
    assert_none(&offences);
}

#[test]
fn these_libraries_have_few_users() {
    let mut offences = Vec::new();
    for package in metadata().packages {
        for dependency in package.dependencies.iter().filter(|d| d.kind != DependencyKind::Development) {
            let rule = USERS.iter().find(|(library, _)| *library == dependency.name);
            offences.extend(rule.filter(|(_, users)| !users.contains(&package.name.as_str())).map(
                |(library, users)| format!("{} names {library}, which only {} may", package.name, users.join(" and ")),
            ));
        }
    }
    assert_none(&offences);
}

#[test]
fn parts_of_libraries_have_one_user_too() {
    let rules = [
        ("client::conn", "crates/dispatcher", "requests to endpoints are made in one place"),
        ("client::legacy", "crates/dispatcher", "requests to endpoints are made in one place"),
        ("ServerConfig", "crates/api/src/tls.rs", "certificates are served in one place"),
        ("ClientConfig", "crates/dispatcher/src/tls.rs", "certificates are trusted in one place"),
        ("bincode::", "crates/outbox/src/record", "the codec sits in one module, so that it can be replaced"),
        ("sled::", "crates/outbox/src/index", "sled is only the index"),
        ("std::env::", "nowhere in crates", "only the binary names the environment"),
    ];
    let mut offences = Vec::new();
    for (path, text) in
        sources().iter().filter(|(path, _)| path.starts_with("crates") && !path.starts_with("crates/proof"))
    {
        let product = text.strip_suffix(test_part(path, text)).unwrap_or_default();
        let broken = rules.iter().filter(|(name, home, _)| product.contains(name) && !path.starts_with(home));
        offences.extend(broken.map(|(name, _, reason)| format!("{} names {name}: {reason}", path.display())));
    }
    assert_none(&offences);
}

#[test]
fn nine_in_ten_files_are_short() {
    let sources = sources();
    let long: Vec<String> = sources
        .iter()
        .map(|(path, text)| (path, text.lines().count()))
        .filter(|(_, lines)| *lines > MAX_FILE_LINES)
        .map(|(path, lines)| format!("{} has {lines} lines", path.display()))
        .collect();
    assert!(long.len() * 10 <= sources.len(), "{} files\n{}", sources.len(), long.join("\n"));
}

#[test]
fn tests_wait_for_signals() {
    let mut offences = Vec::new();
    for (path, text) in sources() {
        if SLOW_RECEIVERS.iter().any(|slow| path == Path::new(slow)) {
            continue;
        }
        let tests = test_part(&path, &text);
        // In paused time a sleep takes no time.
        let paused = tests.contains("start_paused = true");
        let found = SLEEPS.iter().filter(|sleep| tests.contains(**sleep) && !(paused && sleep.starts_with("time")));
        offences.extend(found.map(|sleep| format!("{} waits by {sleep} in a test", path.display())));
    }
    assert_none(&offences);
}

#[test]
fn nothing_is_left_for_later() {
    let mut offences = Vec::new();
    for (path, text) in sources() {
        let found = NOT_ALLOWED.iter().filter(|(mark, _)| text.contains(mark));
        offences.extend(found.map(|(mark, reason)| format!("{} has {mark}: {reason}", path.display())));
    }
    assert_none(&offences);
}

#[test]
fn each_dependency_has_its_reason() {
    let metadata = metadata();
    let ours: BTreeSet<String> = metadata.packages.iter().map(|package| package.name.to_string()).collect();
    let used: BTreeSet<String> = metadata
        .packages
        .iter()
        .flat_map(|package| &package.dependencies)
        .map(|dependency| dependency.name.clone())
        .filter(|name| !ours.contains(name))
        .collect();
    let text = fs::read_to_string(root().join("docs/dependencies.md")).expect("the file is there");
    let explained: BTreeSet<String> = text
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split_once("` | "))
        .map(|(name, _)| name.to_owned())
        .collect();
    let unexplained = used.difference(&explained).map(|name| format!("docs/dependencies.md says nothing of {name}"));
    let unused =
        explained.difference(&used).map(|name| format!("docs/dependencies.md explains {name}, which is not used"));
    assert_none(&unexplained.chain(unused).collect::<Vec<_>>());
}
