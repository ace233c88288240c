//! The description of the API: that it is whole, and what is checked in.

use std::collections::{BTreeMap, BTreeSet};

use http::StatusCode;
use serde_json::Value;

use super::client::World;
use crate::openapi_json;

/// Each operation of Svix's server: method, path, operation id.
const SVIX: &str = include_str!("svix_operations.txt");
const COMPATIBILITY: &str = include_str!("../../../../docs/api-compatibility.md");

fn document() -> Value {
    serde_json::from_str(&openapi_json()).unwrap()
}

/// Every operation, by its method and path.
pub(super) fn operations() -> BTreeMap<String, Value> {
    let document = document();
    let paths = document["paths"].as_object().unwrap();
    let all = paths.iter().flat_map(|(path, methods)| {
        let methods = methods.as_object().unwrap();
        methods.iter().map(move |(method, operation)| (format!("{} {path}", method.to_uppercase()), operation.clone()))
    });
    all.collect()
}

#[test]
fn what_is_checked_in_is_what_the_code_says() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/openapi.json");
    let written = std::fs::read_to_string(path).unwrap();
    assert!(written == openapi_json(), "run `cargo run -- docs openapi > docs/openapi.json`");
}

#[tokio::test]
async fn it_is_served_to_everybody() {
    let world = World::new().with_token(String::new());
    let answer = world.get("/api/v1/openapi.json").await;
    assert_eq!(answer.status, StatusCode::OK);
    assert_eq!(serde_json::from_slice::<Value>(&answer.body).unwrap(), document());
}

#[test]
fn all_of_svix_is_there() {
    let ours = operations();
    let mut missing = BTreeSet::new();
    for line in SVIX.lines() {
        let (operation, id) = line.rsplit_once(' ').unwrap();
        // HEAD is answered wherever GET is (RFC 9110, section 9.3.2).
        let found = ours.get(operation).or_else(|| ours.get(&operation.replacen("HEAD", "GET", 1)));
        match found {
            Some(found) => assert!(id == "-" || found["operationId"] == id, "{operation} is not {id}"),
            None => drop(missing.insert(operation)),
        }
    }
    assert!(missing.is_empty(), "not there: {missing:?}");
}

/// The rows of the tables under a heading of the second order: the operation, and
/// the other cells.
fn table(heading: &str) -> Vec<(String, Vec<&'static str>)> {
    let section = COMPATIBILITY.split("\n## ").find_map(|section| section.strip_prefix(heading)).unwrap();
    let rows = section.lines().filter(|line| line.starts_with("| `"));
    let cells = rows.map(|row| row.trim_matches('|').split(" | ").map(str::trim).collect::<Vec<_>>());
    cells.map(|cells| (cells[0].trim_matches('`').to_owned(), cells[1..].to_vec())).collect()
}

#[test]
fn compatibility_is_told_for_each_operation_of_svix_and_for_no_other() {
    let told = table("Svix's operations");
    let operations: BTreeSet<&str> = told.iter().map(|(operation, _)| operation.as_str()).collect();
    let expected: BTreeSet<&str> = SVIX.lines().map(|line| line.rsplit_once(' ').unwrap().0).collect();
    assert_eq!(operations, expected);
    assert_eq!(told.len(), 43, "one row for each");
    for (operation, cells) in told {
        let is_told = match cells[..] {
            ["works", _] => true,
            ["differs", how] => !how.is_empty(),
            _ => false,
        };
        assert!(is_told, "{operation} works, or differs in some way: {cells:?}");
    }
}

#[test]
fn all_other_operations_are_told_once() {
    let hosted = table("Operations of Svix's hosted service");
    let told: Vec<String> = hosted.into_iter().chain(table("Our own operations")).map(|(name, _)| name).collect();
    let svix: BTreeSet<&str> = SVIX.lines().map(|line| line.rsplit_once(' ').unwrap().0).collect();
    let expected: BTreeSet<String> = operations().into_keys().filter(|name| !svix.contains(name.as_str())).collect();
    assert_eq!(told.iter().cloned().collect::<BTreeSet<_>>(), expected, "add it to docs/api-compatibility.md");
    assert_eq!(told.len(), expected.len(), "one row for each");
}

/// Routes come from the same table as their description, so that none can be
/// missing in it. This holds as long as there is no other way to make one.
#[test]
fn every_route_is_described() {
    let source = include_str!("../router.rs");
    let own = source.matches(".route(").count();
    assert_eq!(
        own, 1,
        "routes are made by `routes!`, from handlers with `#[utoipa::path]`; `/metrics` is no part of the API"
    );
}

#[test]
fn every_operation_says_what_it_does() {
    let document = document();
    let tags = document["tags"].as_array().unwrap();
    let tags: BTreeSet<&str> = tags.iter().map(|tag| tag["name"].as_str().unwrap()).collect();
    let mut ids = BTreeSet::new();
    for (operation, described) in operations() {
        assert!(ids.insert(described["operationId"].to_string()), "{operation}: its id is another one's");
        let summary = described["summary"].as_str().unwrap_or_default();
        assert!(!summary.is_empty() && !summary.ends_with('.'), "{operation}: {summary:?} is no summary");
        let own = described["tags"].as_array().unwrap();
        assert!(own.len() == 1 && tags.contains(own[0].as_str().unwrap()), "{operation}: {own:?}");
        for parameter in described["parameters"].as_array().into_iter().flatten() {
            assert!(parameter["description"].is_string(), "{operation}: nobody says what {} is", parameter["name"]);
        }
    }
}

/// A reference that leads nowhere makes readers of the document fail.
#[test]
fn every_reference_leads_somewhere() {
    let document = document();
    let text = openapi_json();
    let mut references = text.split("\"$ref\": \"#").skip(1).map(|rest| rest.split('"').next().unwrap()).peekable();
    assert!(references.peek().is_some(), "there are references");
    for reference in references {
        assert!(document.pointer(reference).is_some(), "{reference} leads nowhere");
    }
}
