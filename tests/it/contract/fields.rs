//! Each field of each body, and each parameter: what is not allowed is refused,
//! the answer names the place, and nothing is stored.

use serde_json::{Value, json};

use super::document::{Operation, Schema};
use super::shop::Shop;
use super::values::{bad_in_body, bad_in_query, bytes};
use crate::support::Api;

const JSON: (&str, &str) = ("content-type", "application/json");

/// Texts without a bound of their own, and why they need none.
const ANY_TEXT: [(&str, &str); 10] = [
    ("actor", "it is compared with what is recorded, and nothing is stored"),
    ("app_id", "it is looked up, and nothing is stored"),
    ("deleteHeaders", "it is looked up among the headers that are there; nothing of it is stored"),
    ("endpointId", "it is looked up, and nothing is stored"),
    ("endpoint_id", "it is looked up, and nothing is stored"),
    ("msgId", "it is looked up, and nothing is stored"),
    ("msg_id", "it is looked up, and nothing is stored"),
    ("operation", "it is compared with what is recorded, and nothing is stored"),
    ("specRaw", "it is read as JSON, within the bound of a request"),
    ("iterator", "it is read as what earlier answers gave; empty is the first page"),
];

/// Asks and checks the answer; gives what is wrong with it, if something is.
async fn refusal(
    api: &Api,
    operation: &Operation,
    path: &str,
    headers: &[(&str, &str)],
    body: Vec<u8>,
    place: &[&str],
) -> Option<String> {
    let answer = api.ask(&operation.method, path, headers, body).await;
    let said = serde_json::from_slice::<Value>(&answer.body).unwrap_or_default();
    if !operation.statuses.contains(&answer.status) {
        return Some(format!("{} is not described: {said}", answer.status));
    }
    // A batch of one is answered for its member.
    let (status, said) = match answer.status {
        207 => (said["data"][0]["status"].as_u64().unwrap_or_default(), &said["data"][0]["error"]),
        status => (status.into(), &said),
    };
    match status {
        422 => {
            let items = said["detail"].as_array().cloned().unwrap_or_default();
            let leads = |item: &Value| {
                let loc: Vec<&str> = item["loc"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
                let msg = item["msg"].as_str().unwrap_or_default();
                // What an inner object lacks may be named by the message.
                let is_lacking = matches!(place, [outer @ .., name] if loc == outer && msg.contains(&format!("missing field `{name}`")));
                (loc.starts_with(place) || is_lacking) && !msg.is_empty() && item["type"].is_string()
            };
            (items.is_empty() || !items.iter().all(leads)).then(|| format!("does not name {place:?} alone: {said}"))
        }
        status => Some(format!("is answered with {status}: {said}")),
    }
}

/// What has no bound gets no value beyond it from the tests below.
#[tokio::test]
async fn each_text_has_a_bound_or_a_reason() {
    let (_shop, document) = super::shop().await;
    let mut without = Vec::new();
    for operation in &document.operations {
        let body = operation.body.iter().flat_map(Schema::fields);
        let query = operation.parameters_in("query").map(|found| (found.name.clone(), found.schema.clone()));
        for (name, schema) in body.chain(query) {
            let schema = schema.member("items").unwrap_or(schema);
            let is_bound = ["maxLength", "format", "enum"].iter().any(|rule| !schema.rules[rule].is_null());
            let has_reason = ANY_TEXT.iter().any(|(known, _)| *known == name);
            if schema.kind == "string" && is_bound == has_reason {
                without.push(format!("{}: {name}", operation.name()));
            }
        }
    }
    assert!(without.is_empty(), "bound and reason, or neither:\n{}", without.join("\n"));
}

#[tokio::test]
async fn each_field_of_each_body() {
    let (shop, document) = super::shop().await;
    let api = shop.api();
    let (mut asked, mut wrong) = (0, Vec::new());
    for operation in &document.operations {
        let Some(body) = &operation.body else { continue };
        let path = shop.own.path(operation);
        let before = shop.everything().await;
        for bad in bad_in_body(body) {
            let place: Vec<&str> = std::iter::once("body").chain(bad.within.iter().map(String::as_str)).collect();
            asked += 1;
            let problem = refusal(&api, operation, &path, &[JSON], bytes(&bad.value), &place).await;
            wrong.extend(problem.map(|problem| format!("{}: {} {problem}", operation.name(), bad.why)));
        }
        wrong.extend(changed(&shop, operation, before).await);
    }
    assert!(asked > 300, "{asked} bodies");
    assert!(wrong.is_empty(), "{} of {asked} bodies:\n{}", wrong.len(), wrong.join("\n"));
}

/// What an operation stored that was to store nothing.
async fn changed(shop: &Shop, operation: &Operation, before: Vec<String>) -> Option<String> {
    let after = shop.everything().await;
    let changed = before.iter().zip(&after).find(|(before, after)| before != after);
    changed.map(|(before, after)| format!("{} stored something: {before} became {after}", operation.name()))
}

#[tokio::test]
async fn each_parameter_of_each_query() {
    let (shop, document) = super::shop().await;
    let api = shop.api();
    let (mut asked, mut wrong) = (0, Vec::new());
    for operation in &document.operations {
        let before = shop.everything().await;
        for parameter in operation.parameters_in("query") {
            for (why, value) in bad_in_query(&parameter.schema) {
                let path = format!("{}?{}={value}", shop.own.path(operation), parameter.name);
                asked += 1;
                let body = bytes(&operation.good_body());
                let problem = refusal(&api, operation, &path, &[JSON], body, &["query", &parameter.name]).await;
                wrong.extend(problem.map(|problem| format!("{}?{} {why} {problem}", operation.name(), parameter.name)));
            }
        }
        wrong.extend(changed(&shop, operation, before).await);
    }
    assert!(asked > 200, "{asked} queries");
    assert!(wrong.is_empty(), "{} of {asked} queries:\n{}", wrong.len(), wrong.join("\n"));
}

#[tokio::test]
async fn each_header() {
    let (shop, document) = super::shop().await;
    let api = shop.api();
    let (mut asked, mut wrong) = (0, Vec::new());
    for operation in &document.operations {
        let before = shop.everything().await;
        for parameter in operation.parameters_in("header") {
            let long = "k".repeat(257);
            for (why, value) in [("empty", ""), ("too long", &long), ("not ASCII", "schlüssel"), ("with a tab", "a\tb")]
            {
                asked += 1;
                let headers = [JSON, (&parameter.name, value)];
                let (path, body) = (shop.own.path(operation), bytes(&operation.good_body()));
                let problem = refusal(&api, operation, &path, &headers, body, &["header", &parameter.name]).await;
                wrong
                    .extend(problem.map(|problem| format!("{}: {} {why} {problem}", operation.name(), parameter.name)));
            }
        }
        wrong.extend(changed(&shop, operation, before).await);
    }
    assert!(asked > 0 && wrong.is_empty(), "{} of {asked} headers:\n{}", wrong.len(), wrong.join("\n"));
}

/// A name that leads nowhere is 404. Where it would be the name of something
/// new it is 422; what is not UTF-8 always is.
#[tokio::test]
async fn each_name_in_each_path() {
    let (shop, document) = super::shop().await;
    let api = shop.api();
    let long = "a".repeat(257);
    let names = [("not UTF-8", "%f0%28%8c%28"), ("too long", &long), ("of another form", "a%20b%07"), ("empty", "")];
    let (mut asked, mut wrong) = (0, Vec::new());
    for operation in &document.operations {
        let before = shop.everything().await;
        for parameter in operation.parameters_in("path") {
            for (why, name) in names {
                asked += 1;
                let (path, body) =
                    (shop.own.with(&parameter.name, name).path(operation), bytes(&operation.good_body()));
                let answer = api.ask(&operation.method, &path, &[JSON], body).await;
                let said = answer.json();
                let is_named = answer.status == 422 && said["detail"][0]["loc"] == json!(["path", parameter.name]);
                let is_unknown = answer.status == 404 && said["code"] == "not_found" && why != "not UTF-8";
                if !(is_named || is_unknown) {
                    wrong.push(format!("{} {{{}}} {why}: {answer:?}", operation.name(), parameter.name));
                }
            }
        }
        wrong.extend(changed(&shop, operation, before).await);
    }
    assert!(wrong.is_empty(), "{} of {asked} paths:\n{}", wrong.len(), wrong.join("\n"));
}
