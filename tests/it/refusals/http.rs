//! On the HTTP API: a 4xx that names the place.

use serde_json::{Value, json};

use super::{nothing_is_stored, shop};

/// Method, path, body; status, and the place or code that the answer names.
type Case = (&'static str, &'static str, Value, u16, Value);

fn event(changes: Value) -> Value {
    let mut event = json!({ "eventType": "order.paid", "payload": {} });
    let changes = changes.as_object().cloned().unwrap_or_default();
    event.as_object_mut().expect("it is one").extend(changes);
    event
}

fn endpoint(changes: Value) -> Value {
    let mut endpoint = json!({ "url": "https://example.com/hook" });
    let changes = changes.as_object().cloned().unwrap_or_default();
    endpoint.as_object_mut().expect("it is one").extend(changes);
    endpoint
}

fn cases() -> Vec<Case> {
    let (msg, ep) = ("/app/shop/msg", "/app/shop/endpoint");
    vec![
        ("POST", "/app", json!({}), 422, json!(["body", "name"])),
        ("POST", "/app", json!({ "name": "" }), 422, json!(["body", "name"])),
        ("POST", "/app", json!({ "name": "x", "uid": "a b" }), 422, json!(["body", "uid"])),
        ("POST", "/app", json!({ "name": "x", "uid": "shop" }), 409, json!("conflict")),
        ("POST", "/app", json!([]), 422, json!(["body"])),
        ("POST", "/app/nobody/msg", event(json!({})), 404, json!("not_found")),
        ("POST", msg, event(json!({ "eventType": "order paid" })), 422, json!(["body", "eventType"])),
        ("POST", msg, json!({ "payload": {} }), 422, json!(["body", "eventType"])),
        ("POST", msg, json!({ "eventType": "a.b" }), 422, json!(["body", "payload"])),
        ("POST", msg, event(json!({ "payload": 7 })), 422, json!(["body", "payload"])),
        ("POST", msg, event(json!({ "channels": ["a b"] })), 422, json!(["body", "channels"])),
        ("POST", msg, event(json!({ "eventId": "a\u{1}b" })), 422, json!(["body", "eventId"])),
        ("POST", msg, event(json!({ "deliverAt": "2030-01-01T00:00:00Z" })), 422, json!(["body", "deliverAt"])),
        ("POST", msg, event(json!({ "payload": { "big": "x".repeat(3_000) } })), 413, json!("payload_too_large")),
        ("POST", msg, event(json!({ "payload": { "big": "x".repeat(900_000) } })), 413, json!("payload_too_large")),
        ("POST", "/app/nobody/endpoint", endpoint(json!({})), 404, json!("not_found")),
        ("POST", ep, json!({}), 422, json!(["body", "url"])),
        ("POST", ep, json!({ "url": "ftp://example.com" }), 422, json!(["body", "url"])),
        ("POST", ep, json!({ "url": "http://169.254.169.254/latest" }), 422, json!(["body", "url"])),
        ("POST", ep, json!({ "url": "http://[::ffff:10.0.0.1]/" }), 422, json!(["body", "url"])),
        ("POST", ep, json!({ "url": "http://0x0a000001/" }), 422, json!(["body", "url"])),
        ("POST", ep, endpoint(json!({ "secret": "whsec_short" })), 422, json!(["body", "secret"])),
        ("POST", ep, endpoint(json!({ "secret": "no base64 at all!" })), 422, json!(["body", "secret"])),
        ("POST", ep, endpoint(json!({ "headers": { "host": "x" } })), 422, json!(["body", "headers"])),
        ("POST", ep, endpoint(json!({ "headers": { "webhook-id": "x" } })), 422, json!(["body", "headers"])),
        ("POST", ep, endpoint(json!({ "headers": { "x-a": "b\r\nc: d" } })), 422, json!(["body", "headers"])),
        ("POST", ep, endpoint(json!({ "timeoutMs": 60_000 })), 422, json!(["body", "timeoutMs"])),
        ("POST", ep, endpoint(json!({ "eventTypes": [] })), 422, json!(["body", "eventTypes"])),
        ("POST", "/app/shop/delivery/cancel", json!({ "evntTypes": ["a.b"] }), 422, json!(["body"])),
        ("POST", "/app/shop/dead-letter/replay", json!({ "since": "x" }), 422, json!(["body"])),
        ("GET", "/app/shop/msg?limit=0", Value::Null, 422, json!(["query", "limit"])),
        ("GET", "/app/shop/msg?iterator=app_nonsense", Value::Null, 422, json!(["query", "iterator"])),
        ("GET", "/app/shop/msg/msg_2ZJ8xkXbM0YvWq5n3cLrT7dHfGa", Value::Null, 404, json!("not_found")),
        ("GET", "/app/shop/nothing", Value::Null, 404, json!("not_found")),
        ("DELETE", "/app", Value::Null, 405, json!("method_not_allowed")),
    ]
}

#[tokio::test]
async fn each_wrong_request_gets_its_status_and_names_the_place() {
    let (server, receiver) = shop().await;
    let api = server.api();
    for (method, path, body, status, place) in cases() {
        let answer = api.call(method, path, &body).await;
        let said = answer.json();
        let shown: String = body.to_string().chars().take(100).collect();
        let what = format!("{method} {path} {shown}: {answer:?}");
        assert_eq!(answer.status, status, "{what}");
        if place.is_string() {
            assert_eq!(said["code"], place, "{what}");
            assert!(said["detail"].is_string(), "{what}");
        } else {
            let loc = said["detail"][0]["loc"].as_array().unwrap_or_else(|| panic!("no place: {what}"));
            let expected = place.as_array().expect("a place is a list");
            assert!(loc.starts_with(expected), "{what}");
        }
    }
    nothing_is_stored(&api, &receiver).await;
}

#[tokio::test]
async fn what_is_no_json_is_refused() {
    let (server, receiver) = shop().await;
    let api = server.api();
    for body in [&b"{"[..], b"", b"{} {}", b"\xff\xfe", b"{\"eventType\":\"a.b\",\"payload\":{\"a\":01}}"] {
        let answer =
            api.ask("POST", "/api/v1/app/shop/msg", &[("content-type", "application/json")], body.to_vec()).await;
        assert_eq!(answer.status, 422, "{body:?}: {answer:?}");
        assert_eq!(answer.json()["detail"][0]["loc"][0], "body", "{body:?}: {answer:?}");
    }
    nothing_is_stored(&api, &receiver).await;
}

#[tokio::test]
async fn an_id_of_another_application_is_not_found_and_changes_nothing() {
    let (server, receiver) = shop().await;
    let api = server.api();
    let other = api.register("other", &receiver).await;
    let message = api.send("other", "order.paid", json!({})).await;
    receiver.expect(1).await;
    let own = api.get("/app/shop/endpoint").await["data"][0]["id"].as_str().expect("an id").to_owned();
    for (method, path) in [
        ("GET", format!("/app/shop/endpoint/{}", other.id)),
        ("DELETE", format!("/app/shop/endpoint/{}", other.id)),
        ("GET", format!("/app/shop/endpoint/{}/secret", other.id)),
        ("POST", format!("/app/shop/endpoint/{}/pause", other.id)),
        ("GET", format!("/app/shop/msg/{message}")),
        ("GET", format!("/app/shop/attempt/msg/{message}")),
        ("POST", format!("/app/shop/msg/{message}/delivery/{}/replay", other.id)),
        ("POST", format!("/app/shop/msg/{message}/delivery/{own}/replay")),
        ("POST", format!("/app/shop/msg/{message}/delivery/{own}/cancel")),
    ] {
        let answer = api.call(method, &path, &Value::Null).await;
        assert_eq!(answer.status, 404, "{method} {path}: {answer:?}");
    }
    assert_eq!(api.get(&format!("/app/other/endpoint/{}", other.id)).await["paused"], false);
    assert_eq!(receiver.arrivals().len(), 1);
}
