//! A key, or an event id, names one message; a key names one request.

use serde_json::{Value, json};

use crate::support::{Answer, Api, Receiver, Server, Setup};

fn event(n: u32) -> Value {
    json!({ "app": "shop", "type": "order.paid", "payload": { "n": n }, "key": "k-1" })
}

#[tokio::test]
async fn a_key_gives_the_same_id_across_every_kind_of_restart() {
    let (server, receiver) = (Server::start().await, Receiver::start().await);
    let endpoint = server.api().register("shop", &receiver).await;
    let id = server.ingest().await.accepted(event(1)).await;
    receiver.expect(1).await;

    let again = json!({ "id": id, "duplicate": true });
    assert_eq!(server.ingest().await.ask(&event(1).to_string()).await, again);
    let server = server.kill().await.start().await;
    assert_eq!(server.ingest().await.ask(&event(1).to_string()).await, again, "after kill -9");
    let server = server.stop().await.start().await;
    assert_eq!(server.ingest().await.ask(&event(1).to_string()).await, again, "after a clean stop");

    let (code, field) = server.ingest().await.refused(&event(2).to_string()).await;
    assert_eq!((code.as_str(), field.as_str()), ("idempotency_key_reused", "key"));
    let fresh =
        server.ingest().await.accepted(json!({ "app": "shop", "type": "a.b", "payload": {}, "key": "k-2" })).await;
    server.api().until_state(&endpoint, &fresh, "delivered").await;
    let mut ids = receiver.ids();
    // The kill may have come before the first delivery's outcome was on disk.
    ids.dedup();
    assert_eq!(ids, [id, fresh]);
}

#[tokio::test]
async fn a_key_is_found_in_a_segment_that_was_sealed_long_ago() {
    let setup = Setup::new().with_small_segments().argument("--paused");
    let server = setup.start().await;
    server.api().app("shop").await;
    let mut ingest = server.ingest().await;
    let id = ingest.accepted(event(1)).await;
    let filler = "x".repeat(100_000);
    for _ in 0..50 {
        ingest.accepted(json!({ "app": "shop", "type": "a.b", "payload": { "filler": filler } })).await;
    }
    assert!(setup.segments().len() > 3, "{:?}", setup.segments());
    let again = json!({ "id": id, "duplicate": true });
    assert_eq!(ingest.ask(&event(1).to_string()).await, again);
    let server = server.stop().await.start().await;
    // Who comes while the index is still being read is told to wait.
    let answer = crate::support::until("the key to be found", async || {
        let answer = server.ingest().await.ask(&event(1).to_string()).await;
        (answer["error"]["code"] != "index_rebuilding").then_some(answer)
    });
    assert_eq!(answer.await, again);
}

#[tokio::test]
async fn equal_keys_that_come_together_share_one_message() {
    let (server, receiver) = (Server::start().await, Receiver::start().await);
    let endpoint = server.api().register("shop", &receiver).await;
    let mut ingest = server.ingest().await;
    for _ in 0..50 {
        ingest.write(event(1).to_string().as_bytes()).await;
    }
    let mut ids = vec![];
    for _ in 0..50 {
        ids.push(ingest.answer().await.expect("each line gets an answer")["id"].clone());
    }
    ids.dedup();
    let [id] = &ids[..] else { panic!("one key, one id: {ids:?}") };
    server.api().until_state(&endpoint, id.as_str().expect("an id"), "delivered").await;
    let after = server.api().send("shop", "order.paid", json!({})).await;
    server.api().until_state(&endpoint, &after, "delivered").await;
    assert_eq!(receiver.arrivals().len(), 2);
}

#[tokio::test]
async fn the_http_api_has_the_key_in_its_header_and_the_event_id_in_its_body() {
    let server = Server::start().await;
    let api = server.api();
    api.app("shop").await;
    let post = async |body: &str, key: &str| {
        let headers = [("content-type", "application/json"), ("idempotency-key", key)];
        api.ask("POST", "/api/v1/app/shop/msg", &headers, body.to_owned()).await
    };
    let body = r#"{"eventType":"a.b","payload":{"n":1},"eventId":"order-7"}"#;
    let first = post(body, "k-1").await;
    let again = post(body, "k-1").await;
    assert_eq!((first.status, again.status), (202, 202));
    assert_eq!(first.json()["id"], again.json()["id"]);
    let other = post(r#"{"eventType":"a.b","payload":{"n":2}}"#, "k-1").await;
    assert_eq!(other.status, 422, "{other:?}");

    let taken = post(body, "k-2").await;
    assert_eq!((taken.status, taken.json()["code"].as_str()), (409, Some("conflict")));
    let found = api.get("/app/shop/msg/order-7").await;
    assert_eq!(found["id"], first.json()["id"]);
}

async fn keyed(api: &Api, path: &str, body: &Value) -> Answer {
    let body = if body.is_null() { String::new() } else { body.to_string() };
    let headers = [("content-type", "application/json"), ("idempotency-key", "k-1")];
    api.ask("POST", &format!("/api/v1{path}"), &headers, body).await
}

#[tokio::test]
async fn every_post_is_answered_the_same_across_every_kind_of_restart() {
    let (server, receiver) = (Server::start().await, Receiver::start().await);
    let main = server.api().register("shop", &receiver).await.id;
    let sent = server.api().send("shop", "a.b", json!({ "n": 0 })).await;
    let message = json!({ "eventType": "a.b", "payload": { "n": 1 }, "channels": ["y", "x"], "tags": ["t"] });
    let url = receiver.url();
    let batch = json!({ "messages": [message, message] });
    let requests = [
        ("/app", json!({ "name": "no uid" })),
        ("/app/shop/endpoint", json!({ "url": url, "uid": "second" })),
        ("/app/shop/endpoint/second/secret/rotate", json!({})),
        ("/app/shop/endpoint/second/recover", json!({ "since": "2026-01-01T00:00:00Z" })),
        ("/app/shop/endpoint/second/send-example", json!({ "eventType": "a.b", "payload": { "n": 2 } })),
        ("/event-type", json!({ "name": "a.b", "description": "" })),
        ("/app/shop/dead-letter/replay", json!({})),
        ("/app/shop/delivery/cancel", json!({})),
        (&format!("/app/shop/msg/{sent}/endpoint/{main}/resend"), Value::Null),
        ("/dispatch/pause", Value::Null),
        ("/app/shop/msg", message),
        ("/app/shop/msg/batch", batch),
        ("/auth/app-portal-access/shop", json!({ "expiry": 3_600 })),
    ];
    let mut answers = vec![];
    for (path, body) in &requests {
        let answer = keyed(&server.api(), path, body).await;
        assert!((200..300).contains(&answer.status), "{path}: {answer:?}");
        answers.push((answer.status, answer.body));
    }
    let again = async |server: &Server, case: &str| {
        for ((path, body), first) in requests.iter().zip(&answers) {
            let answer = keyed(&server.api(), path, body).await;
            assert_eq!((answer.status, &answer.body), (first.0, &first.1), "{path} {case}");
        }
    };
    let secret = server.api().get("/app/shop/endpoint/second/secret").await;
    again(&server, "at once").await;
    let server = server.kill().await.start().await;
    again(&server, "after kill -9").await;
    let server = server.stop().await.start().await;
    again(&server, "after a clean stop").await;
    let api = server.api();
    assert_eq!(api.get("/app").await["data"].as_array().map(Vec::len), Some(2));
    assert_eq!(api.get("/app/shop/endpoint").await["data"].as_array().map(Vec::len), Some(2));
    assert_eq!(api.get("/app/shop/endpoint/second/secret").await, secret, "it was rotated once");
    assert_eq!(api.get("/task").await["data"].as_array().map(Vec::len), Some(2));
    // The first, the example, one, and those of the batch.
    assert_eq!(api.get("/app/shop/msg").await["data"].as_array().map(Vec::len), Some(5));
    for (path, _) in &requests {
        let other = keyed(&api, path, &json!({ "eventType": "c.d", "payload": {} })).await;
        assert_eq!((other.status, &other.json()["detail"][0]["loc"][1]), (422, &json!("idempotency-key")), "{path}");
    }
}

#[tokio::test]
async fn equal_requests_that_come_together_make_one_thing() {
    let server = Server::start().await;
    let (api, body) = (server.api(), json!({ "name": "no uid" }));
    let asked = (0..20).map(|_| {
        let (api, body) = (api.clone(), body.clone());
        tokio::spawn(async move { keyed(&api, "/app", &body).await })
    });
    let mut answers = vec![];
    for answer in asked.collect::<Vec<_>>() {
        answers.push(answer.await.expect("it is answered").body);
    }
    answers.dedup();
    assert_eq!(answers.len(), 1, "{answers:?}");
    assert_eq!(api.get("/app").await["data"].as_array().map(Vec::len), Some(1));
}

#[tokio::test]
async fn who_corrects_a_member_of_a_batch_sends_the_others_once() {
    let (server, receiver) = (Server::start().await, Receiver::start().await);
    let api = server.api();
    let endpoint = api.register("shop", &receiver).await;
    let batch = async |first: Value| {
        let messages = [first, json!({ "eventType": "a.b", "payload": { "n": 1 } })];
        let answer = keyed(&api, "/app/shop/msg/batch", &json!({ "messages": messages })).await;
        let id = |n: usize| answer.json()["data"][n]["id"].as_str().map(str::to_owned);
        (answer.status, id(0), id(1))
    };
    let no_payload = json!({ "eventType": "a.b" });
    let (status, None, Some(good)) = batch(no_payload).await else { panic!("only the second is taken in") };
    assert_eq!(status, 207);
    let corrected = json!({ "eventType": "a.b", "payload": { "n": 0 } });
    let (status, Some(corrected), again) = batch(corrected).await else { panic!("both are taken in") };
    assert_eq!((status, again.as_deref()), (202, Some(good.as_str())));
    for message in [&good, &corrected] {
        api.until_state(&endpoint, message, "delivered").await;
    }
    assert_eq!(api.get("/app/shop/msg").await["data"].as_array().map(Vec::len), Some(2));
    assert_eq!(receiver.arrivals().len(), 2);
}
