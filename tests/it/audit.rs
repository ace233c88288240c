//! The audit log: each management operation leaves one entry, with the change it tells of.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use crate::support::{Answer, Api, Receiver, Reply, Server, Setup};

/// What is no `GET` and is not told of: it sends messages, or changes nothing.
const NOT_TOLD: [&str; 6] = [
    "v1.message.create",
    "v1.message.create-batch",
    "v1.message.precheck",
    "v1.message.dry-run",
    "v1.endpoint.send-example",
    "logout_api_v1_auth_logout__post",
];

/// All operations that change something, by method and path.
fn managing() -> BTreeMap<(String, String), String> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/openapi.json");
    let document = std::fs::read_to_string(path).expect("it is checked in");
    let document: Value = serde_json::from_str(&document).expect("it is JSON");
    let paths = document["paths"].as_object().expect("an object").iter();
    let all = paths.flat_map(|(path, methods)| {
        methods.as_object().expect("an object").iter().map(move |(method, operation)| {
            let id = operation["operationId"].as_str().expect("each has an id").to_owned();
            ((method.to_uppercase(), path.clone()), id)
        })
    });
    all.filter(|((method, _), id)| method != "GET" && !NOT_TOLD.contains(&id.as_str())).collect()
}

async fn log(api: &Api) -> Vec<Value> {
    let list = api.get("/audit?limit=250").await;
    assert_eq!(list["done"], true);
    list["data"].as_array().expect("a list has members").clone()
}

/// One call of each operation, in an order in which all succeed: path with its names, body.
fn calls() -> Vec<(&'static str, &'static str, Value)> {
    let since = json!({ "since": "2020-01-01T00:00:00Z" });
    let document = json!({ "openapi": "3.1.0", "webhooks": { "order.made": { "post": { "description": "made" } } } });
    let endpoint = |url: &str| json!({ "url": url, "uid": "other" });
    vec![
        ("POST", "/app", json!({ "name": "Other", "uid": "other" })),
        ("PUT", "/app/{app_id:other}", json!({ "name": "Another", "uid": "other" })),
        ("PATCH", "/app/{app_id:other}", json!({ "metadata": { "a": "b" } })),
        ("DELETE", "/app/{app_id:other}", Value::Null),
        ("POST", "/event-type", json!({ "name": "order.sent", "description": "sent" })),
        ("PUT", "/event-type/{event_type_name:order.sent}", json!({ "description": "is sent" })),
        ("PATCH", "/event-type/{event_type_name:order.sent}", json!({ "archived": true })),
        ("DELETE", "/event-type/{event_type_name:order.sent}", Value::Null),
        ("POST", "/event-type/import/openapi", json!({ "spec": document })),
        ("POST", "/app/{app_id:shop}/endpoint", endpoint("https://example.com/a")),
        ("PUT", "/app/{app_id:shop}/endpoint/{endpoint_id:other}", endpoint("https://example.com/b")),
        ("PATCH", "/app/{app_id:shop}/endpoint/{endpoint_id:other}", json!({ "policy": { "maxInFlight": 3 } })),
        ("PUT", "/app/{app_id:shop}/endpoint/{endpoint_id:other}/headers", json!({ "headers": { "x-a": "1" } })),
        ("PATCH", "/app/{app_id:shop}/endpoint/{endpoint_id:other}/headers", json!({ "headers": { "x-b": "1" } })),
        ("POST", "/app/{app_id:shop}/endpoint/{endpoint_id:other}/secret/rotate", json!({})),
        ("POST", "/app/{app_id:shop}/endpoint/{endpoint_id:other}/verify", Value::Null),
        ("DELETE", "/app/{app_id:shop}/endpoint/{endpoint_id:other}", Value::Null),
        ("POST", "/app/{app_id:shop}/endpoint/{endpoint_id:main}/pause", Value::Null),
        ("POST", "/app/{app_id:shop}/msg/{msg_id}/endpoint/{endpoint_id:main}/resend", Value::Null),
        ("POST", "/app/{app_id:shop}/msg/{msg_id}/delivery/{endpoint_id:main}/cancel", Value::Null),
        ("POST", "/app/{app_id:shop}/msg/{msg_id}/delivery/{endpoint_id:main}/replay", Value::Null),
        ("POST", "/app/{app_id:shop}/delivery/cancel", json!({})),
        ("DELETE", "/app/{app_id:shop}/dead-letter/{msg_id:dead}/{endpoint_id:main}", Value::Null),
        ("POST", "/app/{app_id:shop}/dead-letter/replay", json!({})),
        ("POST", "/app/{app_id:shop}/endpoint/{endpoint_id:main}/recover", since.clone()),
        ("POST", "/app/{app_id:shop}/endpoint/{endpoint_id:main}/replay-missing", since.clone()),
        ("POST", "/app/{app_id:shop}/endpoint/{endpoint_id:main}/bulk-replay", since),
        ("DELETE", "/app/{app_id:shop}/msg/{msg_id:dead}/attempt/{attempt_id}/content", Value::Null),
        ("DELETE", "/app/{app_id:shop}/msg/{msg_id}/content", Value::Null),
        ("POST", "/dispatch/pause", Value::Null),
        ("POST", "/app/{app_id:shop}/endpoint/{endpoint_id:main}/resume", Value::Null),
        ("POST", "/dispatch/resume", Value::Null),
        ("POST", "/auth/app-portal-access/{app_id:shop}", json!({})),
    ]
}

/// The path as it is asked for, and as the document has it.
fn named(path: &str, ids: &[(&str, &str)]) -> (String, String) {
    let (mut asked, mut described) = (String::new(), String::from("/api/v1"));
    for part in path.split('/').skip(1) {
        let inner = part.strip_prefix('{').and_then(|part| part.strip_suffix('}'));
        let (name, value) = match inner.map(|inner| inner.split_once(':').unwrap_or((inner, ""))) {
            Some((name, value)) => {
                let key = if value.is_empty() { name } else { value };
                let known = ids.iter().find(|(known, _)| *known == key).map_or(value, |(_, id)| id);
                (format!("{{{name}}}"), known.to_owned())
            }
            None => (part.to_owned(), part.to_owned()),
        };
        asked.push_str(&format!("/{value}"));
        described.push_str(&format!("/{name}"));
    }
    (asked, described)
}

/// An application whose endpoint is paused, with a dead letter and a message that waits.
async fn furnished(api: &Api, receiver: &Receiver) -> [String; 3] {
    receiver.always(Reply::Status(500));
    api.app("shop").await;
    let endpoint = api.endpoint("shop", receiver, json!({ "uid": "main" })).await;
    let dead = api.send("shop", "order.paid", json!({})).await;
    api.until_state(&endpoint, &dead, "dead").await;
    let attempt = api.attempts("shop", &dead).await[0]["id"].as_str().expect("an id").to_owned();
    api.post("/app/shop/endpoint/main/pause", Value::Null).await;
    let waiting = api.send("shop", "order.paid", json!({})).await;
    [dead, attempt, waiting]
}

fn setup() -> Setup {
    Setup::new().set("retry.schedule", "0")
}

#[tokio::test]
async fn each_management_operation_leaves_one_entry_and_a_kill_takes_none() {
    let (server, receiver) = (setup().start().await, Receiver::start().await);
    let token = server.run(&["token", "create"]).json()["token"].as_str().expect("a token").to_owned();
    let api = server.api_over_tcp(Some(&token));
    let [dead, attempt, waiting] = furnished(&server.api(), &receiver).await;
    let ids = [("dead", dead.as_str()), ("attempt_id", attempt.as_str()), ("msg_id", waiting.as_str())];
    let managing = managing();
    let mut left: BTreeSet<_> = managing.keys().cloned().collect();
    let mut seen = log(&api).await.len();
    for (method, path, body) in calls() {
        let (asked, described) = named(path, &ids);
        let operation = &managing[&(method.to_owned(), described.clone())];
        left.remove(&(method.to_owned(), described));
        let answer = with_request_id(&api, method, &asked, &body).await;
        assert!((200..300).contains(&answer.status), "{method} {asked}: {answer:?}");
        let all = log(&api).await;
        assert_eq!(all.len(), seen + 1, "{method} {asked} leaves one: {:?}", all[0]);
        seen = all.len();
        let entry = &all[0];
        assert_eq!(entry["operation"], json!(operation));
        assert_eq!(entry["status"], answer.status, "{entry}");
        assert_eq!((&entry["actor"]["kind"], &entry["from"]["address"]), (&json!("token"), &json!("127.0.0.1")));
        assert!(entry["actor"]["subject"].as_str().is_some_and(|subject| subject.starts_with("org_")), "{entry}");
        assert_eq!(entry["requestId"], "r-17");
        let in_app = path.contains("{app_id");
        assert_eq!(entry["appId"].is_string(), in_app || path == "/app", "{entry}");
        assert!(!entry.to_string().contains(&token));
    }
    assert!(left.is_empty(), "`calls` has each: {left:?}");
    let before = log(&api).await;
    let setup = server.kill().await;
    let server = setup.start().await;
    assert_eq!(log(&server.api()).await, before, "what was answered is on disk, with its entry");
    let by = server.run(&["audit", "--app", "shop", "--operation", "v1.endpoint.rotate-secret"]).json();
    assert_eq!((by["data"].as_array().map(Vec::len), &by["data"][0]["fields"]), (Some(1), &json!(["secret"])));
    let by = server.run(&["audit", "--operation", "patch_endpoint"]).json();
    assert_eq!(by["data"][0]["fields"], json!(["policy.maxInFlight"]));
    server.stop().await;
}

async fn with_request_id(api: &Api, method: &str, path: &str, body: &Value) -> Answer {
    let body = if body.is_null() { String::new() } else { body.to_string() };
    let headers = [("content-type", "application/json"), ("x-request-id", "r-17")];
    api.ask(method, &format!("/api/v1{path}"), &headers, body).await
}

#[tokio::test]
async fn the_command_line_is_known_by_its_user_and_a_start_by_the_server() {
    let server = Setup::new().argument("--paused").start().await;
    server.run(&["app", "create", "--name", "Shop", "--uid", "shop"]).ok();
    let all = log(&server.api()).await;
    let [made, paused] = &all[..] else { panic!("{all:?}") };
    let uid = rustix::process::getuid().as_raw();
    assert_eq!((&made["operation"], &made["actor"]["uid"]), (&json!("v1.application.create"), &json!(uid)));
    assert!(made["from"]["kind"] == "unix" && made["from"]["pid"].as_i64() > Some(1), "{made}");
    assert_eq!((&paused["operation"], &paused["actor"]["kind"]), (&json!("v1.dispatch.pause"), &json!("server")));
    let by_user = server.run(&["audit", "--actor", &format!("uid:{uid}")]).json();
    assert_eq!(by_user["data"].as_array().map(Vec::len), Some(1));
    server.stop().await;
}

#[tokio::test]
async fn an_applications_token_is_told_of_and_reads_nothing() {
    let server = Server::start().await;
    let api = server.api();
    api.app("shop").await;
    let made = api.call("POST", "/auth/app-portal-access/shop", &json!({})).await.json();
    let customer = server.api_over_tcp(made["token"].as_str());
    assert_eq!(customer.call("GET", "/audit", &Value::Null).await.status, 403);
    assert_eq!(customer.call("DELETE", "/app/shop", &Value::Null).await.status, 403);
    assert_eq!(customer.call("POST", "/app/shop/msg", &json!({ "eventType": "a", "payload": {} })).await.status, 403);
    let all = log(&api).await;
    let told: Vec<_> = all.iter().map(|entry| (entry["operation"].as_str(), entry["status"].as_u64())).collect();
    assert_eq!(
        told,
        [
            (Some("v1.message.create"), Some(403)),
            (Some("v1.application.delete"), Some(403)),
            (Some("v1.audit.list"), Some(403)),
            (Some("v1.authentication.app-portal-access"), Some(200)),
            (Some("v1.application.create"), Some(201)),
        ]
    );
    let fingerprint = &all[3]["token"];
    assert!(fingerprint.is_string() && all[..3].iter().all(|entry| entry["actor"]["fingerprint"] == *fingerprint));
    assert!(!json!(all).to_string().contains(made["token"].as_str().expect("a token")));
    server.stop().await;
}
