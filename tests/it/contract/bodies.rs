//! Bodies as a whole: too large, and two at once.

use bytes::Bytes;
use serde_json::{Value, json};

use crate::support::{Api, Receiver, Server};

const JSON: (&str, &str) = ("content-type", "application/json");

/// Above the limit it does not matter what a body says, nor whether its length
/// is known beforehand.
#[tokio::test]
async fn a_body_above_the_limit_is_413_with_a_length_and_without() {
    let (shop, document) = super::shop().await;
    let api = shop.api();
    let body = |bytes| Bytes::from(format!(r#"{{"x":"{}"}}"#, "x".repeat(bytes)));
    let (big, bigger) = (body(200_000), body(8 << 20));
    let before = shop.everything().await;
    let mut asked = 0;
    for operation in document.operations.iter().filter(|operation| operation.body.is_some()) {
        asked += 1;
        let path = shop.own.path(operation);
        let body = if path.ends_with("/batch") { &bigger } else { &big };
        let with_length = api.ask(&operation.method, &path, &[JSON], body.clone()).await;
        let chunked = api.ask_chunked(&operation.method, &path, &[JSON], body.clone()).await;
        for answer in [with_length, chunked] {
            assert_eq!(answer.status, 413, "{}: {answer:?}", operation.name());
            assert_eq!(answer.json()["code"], "payload_too_large", "{}", operation.name());
        }
    }
    assert!(asked > 10, "{asked} operations have a body");
    assert_eq!(shop.everything().await, before);
}

/// Two who put at once: one of the two is left, whole.
#[tokio::test]
async fn of_two_puts_at_once_one_is_left_whole() {
    let (server, receiver) = (Server::start().await, Receiver::start().await);
    let api = server.api();
    api.register("shop", &receiver).await;
    let hook = receiver.url();
    let app = |n: u32| json!({ "name": format!("name {n}"), "uid": "twice", "metadata": { "n": n.to_string() }, "throttleRate": n });
    let endpoint = |n: u32| {
        json!({ "url": format!("{hook}/{n}"), "uid": "twice", "description": n.to_string(), "timeoutMs": 1_000 + n,
            "throttleRate": n, "channels": [format!("c{n}")], "eventTypes": [format!("e{n}")], "metadata": { "n": n.to_string() } })
    };
    let event_type =
        |n: u32| json!({ "description": n.to_string(), "groupName": format!("g{n}"), "schemas": { "1": { "n": n } } });
    let headers = |n: u32| json!({ "headers": { "x-n": n.to_string(), format!("x-{n}"): "1" } });
    for round in 0..20 {
        let (one, two) = (2 * round + 1, 2 * round + 2);
        race(&api, "/app/twice", app(one), app(two)).await;
        race(&api, "/app/shop/endpoint/twice", endpoint(one), endpoint(two)).await;
        race(&api, "/event-type/order.twice", event_type(one), event_type(two)).await;
        race(&api, "/app/shop/endpoint/twice/headers", headers(one), headers(two)).await;
    }
}

async fn race(api: &Api, path: &str, one: Value, two: Value) {
    let (first, second) = tokio::join!(api.call("PUT", path, &one), api.call("PUT", path, &two));
    for answer in [&first, &second] {
        assert!(matches!(answer.status, 200 | 201 | 204), "{path}: {answer:?}");
    }
    let left = api.get(path).await;
    let is = |asked: &Value| asked.as_object().into_iter().flatten().all(|(name, value)| left[name] == *value);
    assert!(is(&one) != is(&two), "{path} is neither {one} nor {two}: {left}");
}
