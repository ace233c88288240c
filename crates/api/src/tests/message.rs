use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use http::{Method, StatusCode};
use hyper::body::Frame;
use postrider_model::json::MAX_DEPTH;
use postrider_model::message::NewMessage;
use postrider_model::ports::Accept as _;
use serde_json::json;
use tokio::time::Instant;

use super::client::{LIST, MESSAGE, World, has_shape};
use super::fake::org;
use crate::Limits;

const PATH: &str = "/api/v1/app/shop/msg";

#[tokio::test]
async fn the_payload_is_handed_over_and_shown_byte_for_byte() {
    let world = World::new();
    world.app("shop").await;
    let payload = r#"{ "z":1.50,"a" : [1e3, 10000000000000000000000], "é":"\u00e9" , "z":"twice" }"#;
    let body = format!("{{ \"payload\":  {payload}  , \"eventType\":\"order.paid\"}}");
    let answer = world.raw(Method::POST, PATH, &[], body).await;
    let json = answer.is(StatusCode::ACCEPTED);
    has_shape(&json, MESSAGE);
    let contains = |bytes: &[u8]| std::str::from_utf8(bytes).unwrap().contains(payload);
    assert!(contains(&answer.body), "{answer:?}");
    assert_eq!(world.fake.state().handed_over[0].body, payload);
    let path = format!("{PATH}/{}", json["id"].as_str().unwrap());
    assert!(contains(&world.get(&path).await.body));
    assert!(contains(&world.get(PATH).await.body));
    let bare = world.get(&format!("{path}?with_content=false")).await.is(StatusCode::OK);
    assert_eq!(bare["payload"], json!({}));
}

#[tokio::test]
async fn all_fields_arrive_at_the_port() {
    let world = World::new();
    world.app("shop").await;
    let body = json!({
        "eventType": "order.paid", "payload": {}, "eventId": "e-1", "channels": ["b", "a"], "tags": ["t"],
        "orderKey": "k", "payloadRetentionPeriod": 90, "payloadRetentionHours": 5, "unknown": true,
        "deliverAt": null,
    });
    let answer = world.raw(Method::POST, PATH, &[("idempotency-key", "key 1")], body.to_string()).await;
    let json = answer.is(StatusCode::ACCEPTED);
    assert_eq!((&json["channels"], &json["tags"]), (&json!(["a", "b"]), &json!(["t"])));
    assert_eq!(world.get(&format!("{PATH}/e-1")).await.is(StatusCode::OK)["id"], json["id"]);
    let state = world.fake.state();
    let message = &state.handed_over[0];
    assert_eq!((message.org, message.app.as_str()), (org(1), "shop"));
    assert_eq!(message.event_id.as_deref(), Some("e-1"));
    assert_eq!(message.order_key.as_deref(), Some("k"));
    assert_eq!(message.idempotency_key.as_deref(), Some("key 1"));
    assert_eq!(message.create_app, None);
    assert_eq!(message.payload_retention, Some(Duration::from_secs(5 * 3_600)), "hours are more exact than days");
}

#[tokio::test]
async fn a_payload_is_kept_for_days_or_hours_or_as_long_as_the_message() {
    let world = World::new();
    world.app("shop").await;
    for (rest, hours) in [
        (json!({}), None),
        (json!({"payloadRetentionPeriod": null, "payloadRetentionHours": null}), None),
        (json!({"payloadRetentionPeriod": 5}), Some(120)),
        (json!({"payloadRetentionHours": 2_160}), Some(2_160)),
    ] {
        let mut body = json!({"eventType": "a", "payload": {}});
        body.as_object_mut().unwrap().extend(rest.as_object().unwrap().clone());
        world.post(PATH, body).await.is(StatusCode::ACCEPTED);
        let handed_over = world.fake.state().handed_over.last().unwrap().payload_retention;
        assert_eq!(handed_over, hours.map(|hours: u64| Duration::from_secs(hours * 3_600)), "{rest}");
    }
}

#[tokio::test]
async fn an_idempotency_key_gives_the_same_answer_and_refuses_other_content() {
    let world = World::new();
    world.app("shop").await;
    let send = async |payload: &str| {
        let body = format!(r#"{{"eventType": "a", "payload": {payload}}}"#);
        world.raw(Method::POST, PATH, &[("idempotency-key", "k")], body).await
    };
    let first = send(r#"{"n": 1}"#).await;
    let again = send(r#"{"n": 1}"#).await;
    assert_eq!((first.status, &first.body), (StatusCode::ACCEPTED, &again.body));
    assert_eq!(again.status, StatusCode::ACCEPTED);
    let writes = world.writes();
    send(r#"{"n": 2}"#).await.is_invalid(&["header", "idempotency-key"], "other content");
    for bad in ["", &"k".repeat(257)] {
        let body = r#"{"eventType": "a", "payload": {}}"#;
        let answer = world.raw(Method::POST, PATH, &[("idempotency-key", bad)], body).await;
        answer.is_invalid(&["header", "idempotency-key"], bad);
    }
    let twice = [("idempotency-key", "new"), ("idempotency-key", "newer")];
    let answer = world.raw(Method::POST, PATH, &twice, r#"{"eventType": "a", "payload": {}}"#).await;
    answer.is_invalid(&["header", "idempotency-key"], "two of them");
    assert_eq!(world.writes(), writes);
}

#[tokio::test]
async fn an_event_id_is_taken_once() {
    let world = World::new();
    world.app("shop").await;
    let body = json!({"eventType": "a", "payload": {}, "eventId": "e"});
    world.post(PATH, body.clone()).await.is(StatusCode::ACCEPTED);
    world.post(PATH, body).await.is_error(StatusCode::CONFLICT, "conflict");
}

#[tokio::test]
async fn an_event_id_may_be_any_text_without_control_characters() {
    let world = World::new();
    world.app("shop").await;
    for (id, path) in [("order 7/a", "order%207%2Fa"), ("msg_1", "msg_1"), ("é", "%C3%A9")] {
        let body = json!({"eventType": "a", "payload": {}, "eventId": id});
        world.post(PATH, body).await.is(StatusCode::ACCEPTED);
        assert_eq!(world.get(&format!("{PATH}/{path}")).await.is(StatusCode::OK)["eventId"], id);
    }
}

#[tokio::test]
async fn an_application_comes_with_its_first_message_and_stays_as_it_is() {
    let world = World::new();
    let body = |name: &str| json!({"eventType": "a", "payload": {}, "application": {"name": name, "throttleRate": 4}});
    let writes = world.writes();
    for (bad, loc) in [
        (json!({"eventType": "a", "payload": {}, "application": {}}), ["body", "application", "name"]),
        (
            json!({"eventType": "a", "payload": {}, "application": {"name": "a", "uid": "x"}}),
            ["body", "application", "uid"],
        ),
        (json!({"eventType": "a", "payload": {}, "application": {"name": ""}}), ["body", "application", "name"]),
    ] {
        world.post(PATH, bad.clone()).await.is_invalid(&loc, &bad.to_string());
    }
    let bad = json!({"eventType": "a b", "payload": {}, "application": {"name": "a"}});
    world.post(PATH, bad).await.is_invalid(&["body", "eventType"], "eventType");
    assert_eq!(world.writes(), writes);

    world.post(PATH, body("Shop")).await.is(StatusCode::ACCEPTED);
    world.post(PATH, body("Other")).await.is(StatusCode::ACCEPTED);
    let app = world.get("/api/v1/app/shop").await.is(StatusCode::OK);
    assert_eq!((&app["name"], &app["throttleRate"]), (&json!("Shop"), &json!(4)));
    let by_id = format!("/api/v1/app/{}/msg", app["id"].as_str().unwrap());
    let named = |uid: &str| json!({"eventType": "a", "payload": {}, "application": {"name": "z", "uid": uid}});
    for path in [PATH, &by_id] {
        world.post(path, named("other")).await.is_invalid(&["body", "application", "uid"], path);
        world.post(path, named("shop")).await.is(StatusCode::ACCEPTED);
    }
    let unknown = format!("/api/v1/app/app_{}/msg", "0".repeat(27));
    world.post(&unknown, body("Shop")).await.is_error(StatusCode::NOT_FOUND, "not_found");
}

#[tokio::test]
async fn bad_fields_are_named_and_nothing_is_stored() {
    let world = World::new();
    world.app("shop").await;
    let with = |rest: &str| format!(r#"{{"eventType": "a", "payload": {{}}, {rest}}}"#);
    let many = with(r#""channels": ["1", "2", "3", "4", "5", "6"]"#);
    let cases: &[(&str, &[&str])] = &[
        (r#"{"payload": {}"#, &["body"]),
        (r#"{"payload": {}}"#, &["body", "eventType"]),
        (r#"{"eventType": "a"}"#, &["body", "payload"]),
        (r#"{"eventType": "a", "payload": null}"#, &["body", "payload"]),
        (r#"{"eventType": "a", "payload": [1]}"#, &["body", "payload"]),
        (r#"{"eventType": "a", "payload": "{}"}"#, &["body", "payload"]),
        (r#"{"eventType": "a b", "payload": {}}"#, &["body", "eventType"]),
        (r#"{"eventType": 1, "payload": {}}"#, &["body", "eventType"]),
        (&with(r#""eventId": "a\tb""#), &["body", "eventId"]),
        (&with(r#""eventId": """#), &["body", "eventId"]),
        (&with(r#""channels": []"#), &["body", "channels"]),
        (&with(r#""channels": ["a/b"]"#), &["body", "channels"]),
        (&many, &["body", "channels"]),
        (&with(r#""orderKey": """#), &["body", "orderKey"]),
        (&with(r#""deliverAt": "2030-01-01T00:00:00Z""#), &["body", "deliverAt"]),
        (&with(r#""transformationsParams": {}"#), &["body", "transformationsParams"]),
        (&with(r#""payloadRetentionPeriod": 4"#), &["body", "payloadRetentionPeriod"]),
        (&with(r#""payloadRetentionPeriod": 91"#), &["body", "payloadRetentionPeriod"]),
        (&with(r#""payloadRetentionHours": 0"#), &["body", "payloadRetentionHours"]),
        (&with(r#""payloadRetentionHours": 2161"#), &["body", "payloadRetentionHours"]),
        (&with(r#""payloadRetentionHours": "5""#), &["body", "payloadRetentionHours"]),
    ];
    world.refuses(Method::POST, PATH, cases).await;
    let writes = world.writes();
    let unknown = world.post("/api/v1/app/nowhere/msg", json!({"eventType": "a", "payload": {}})).await;
    unknown.is_error(StatusCode::NOT_FOUND, "not_found");
    assert_eq!(world.writes(), writes);
}

#[tokio::test]
async fn a_payload_is_as_deep_as_readers_of_json_can_follow() {
    let world = World::new();
    world.app("shop").await;
    world.endpoint("shop", "main").await;
    let example = "/api/v1/app/shop/endpoint/main/send-example";
    let message = |depth: usize| {
        let inner = depth - 1;
        format!(r#"{{"eventType":"a","payload":{{"a":{}{}}}}}"#, "[".repeat(inner), "]".repeat(inner))
    };
    let batch = |depth| format!(r#"{{"messages":[{}]}}"#, message(depth));
    for (path, body, status) in [
        (PATH, message(MAX_DEPTH), 202),
        (&format!("{PATH}/batch"), batch(MAX_DEPTH), 202),
        (example, message(MAX_DEPTH), 200),
    ] {
        assert_eq!(world.raw(Method::POST, path, &[], body).await.status.as_u16(), status, "{path}");
    }
    let writes = world.writes();
    for depth in [MAX_DEPTH + 1, 300] {
        for path in [PATH, example] {
            let answer = world.raw(Method::POST, path, &[], message(depth)).await;
            answer.is_invalid(&["body", "payload"], path);
            assert!(answer.json()["detail"][0]["msg"].as_str().unwrap().contains("120"), "{answer:?}");
        }
        let answer = world.raw(Method::POST, &format!("{PATH}/batch"), &[], batch(depth)).await;
        let member = &answer.is(StatusCode::MULTI_STATUS)["data"][0];
        assert_eq!(member["status"], 422);
        assert_eq!(member["error"]["detail"][0]["loc"], json!(["body", "messages", "0", "payload"]));
    }
    assert_eq!(world.writes(), writes);
}

#[tokio::test]
async fn a_body_over_the_limit_is_413_with_and_without_a_length() {
    let world = World::new();
    world.app("shop").await;
    let writes = world.writes();
    let message = |bytes: usize| format!(r#"{{"eventType": "a", "payload": {{"x": "{}"}}}}"#, "x".repeat(bytes));
    let payload = world.raw(Method::POST, PATH, &[], message(1_000)).await;
    payload.is_error(StatusCode::PAYLOAD_TOO_LARGE, "payload_too_large");
    // The payload is small here, the request as a whole is not.
    let padded = format!("{}{}", message(10), " ".repeat(1_500));
    let whole = world.raw(Method::POST, PATH, &[], padded.clone()).await;
    whole.is_error(StatusCode::PAYLOAD_TOO_LARGE, "payload_too_large");
    let pieces: Vec<_> = padded.into_bytes().chunks(100).map(Bytes::copy_from_slice).collect();
    let chunked = world.raw(Method::POST, PATH, &[], Body::new(Pieces(pieces.into_iter()))).await;
    chunked.is_error(StatusCode::PAYLOAD_TOO_LARGE, "payload_too_large");
    assert_eq!(world.writes(), writes);
}

/// A body that comes piece by piece and does not tell its length.
struct Pieces(std::vec::IntoIter<Bytes>);

impl hyper::body::Body for Pieces {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(self.0.next().map(|piece| Ok(Frame::data(piece))))
    }
}

/// A body that does not come.
struct Silence;

impl hyper::body::Body for Silence {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Pending
    }
}

#[tokio::test(start_paused = true)]
async fn a_body_that_does_not_come_is_408_and_others_wait_for_its_room() {
    let world = World::new();
    world.app("shop").await;
    // There is room for one body of unknown length.
    let slow = world.raw(Method::POST, PATH, &[], Body::new(Silence));
    let next = async {
        tokio::time::advance(Duration::from_secs(1)).await;
        let begun = Instant::now();
        let body = Pieces(vec![Bytes::from_static(b"{}")].into_iter());
        (world.raw(Method::POST, PATH, &[], Body::new(body)).await, begun.elapsed())
    };
    let (slow, (next, waited)) = tokio::join!(slow, next);
    slow.is_error(StatusCode::REQUEST_TIMEOUT, "request_timeout");
    next.is_invalid(&["body", "eventType"], "there is room again");
    assert!(waited >= Limits::default().body_read_timeout - Duration::from_secs(1), "{waited:?}");
}

#[tokio::test]
async fn the_list_is_newest_first_and_filtered() {
    let world = World::new();
    world.app("shop").await;
    world.app("other").await;
    let mut ids = Vec::new();
    for (event_type, channels) in [("a", json!(["x"])), ("b", json!(["x", "y"])), ("c", json!(null))] {
        let body = json!({"eventType": event_type, "payload": {}, "channels": channels, "tags": [event_type]});
        let made = world.post(PATH, body).await.is(StatusCode::ACCEPTED);
        ids.push((made["id"].as_str().unwrap().to_owned(), made["timestamp"].as_str().unwrap().to_owned()));
    }
    world.message("other", "a").await;
    let types = async |query: &str| {
        let list = world.get(&format!("{PATH}?{query}")).await.is(StatusCode::OK);
        has_shape(&list, LIST);
        let types = list["data"].as_array().unwrap().iter().map(|message| message["eventType"].as_str().unwrap());
        types.collect::<String>()
    };
    assert_eq!(types("").await, "cba");
    assert_eq!(types("order=ascending").await, "abc");
    assert_eq!(types("event_types=a,c").await, "ca");
    assert_eq!(types("event_types=a&event_types=b").await, "ba");
    assert_eq!(types("channel=y").await, "b");
    assert_eq!(types("tag=c").await, "c");
    assert_eq!(types("unmatched=true").await, "cba");
    assert_eq!(types(&format!("before={}", ids[2].1)).await, "ba");
    assert_eq!(types(&format!("after={}", ids[0].1)).await, "cb");
    assert_eq!(types(&format!("iterator={}", ids[1].0)).await, "a");
    assert_eq!(types(&format!("iterator=-{}", ids[1].0)).await, "c");
    for (query, name) in [
        ("event_types=a%20b", "event_types"),
        ("event_types=", "event_types"),
        ("channel=%FF", "channel"),
        ("before=yesterday", "before"),
        ("after=2030-01-01", "after"),
        ("with_content=maybe", "with_content"),
    ] {
        world.get(&format!("{PATH}?{query}")).await.is_invalid(&["query", name], query);
    }
}

#[tokio::test]
async fn what_is_no_json_is_shown_as_base64_and_what_was_expunged_as_expired() {
    let world = World::new();
    let app = world.app("shop").await;
    let mut message = NewMessage::new(org(1), app.clone(), "a", Bytes::from_static(b"\xffplain"));
    message.content_type = Some("text/plain".to_owned());
    let id = world.fake.accept(message).await.unwrap().id;
    let shown = world.get(&format!("{PATH}/{id}")).await.is(StatusCode::OK);
    assert_eq!(shown["payload"], json!({"contentType": "text/plain", "base64": "/3BsYWlu"}));
    world.fake.state().messages[0].body = None;
    let shown = world.get(&format!("{PATH}/{id}")).await.is(StatusCode::OK);
    assert_eq!(shown["payload"], json!({"expired": true}));
}
