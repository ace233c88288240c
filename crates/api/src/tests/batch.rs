use std::time::Duration;

use http::{Method, StatusCode};
use postrider_model::ports::Unavailable;
use serde_json::{Value, json};

use super::client::World;

const PATH: &str = "/api/v1/app/shop/msg/batch";

async fn shop() -> World {
    let world = World::new();
    world.app("shop").await;
    world.endpoint("shop", "main").await;
    world
}

#[tokio::test]
async fn each_message_of_a_batch_gets_an_answer_in_order_and_its_payload_goes_on_byte_for_byte() {
    let world = shop().await;
    let body = r#"{"messages":[
        {"eventType":"a","payload":{ "n":1.0 }, "idempotencyKey":"k-1", "unknown":[1]},
        {"payload":{"n":"\u00e9"},"eventType":"b","eventId":"e-2","channels":["x"],"tags":["t"],"orderKey":"o"}
    ]}"#;
    let answer = world.raw(Method::POST, PATH, &[], body).await.is(StatusCode::ACCEPTED);
    let members = answer["data"].as_array().unwrap();
    let state = world.fake.state();
    for (member, message) in members.iter().zip(&state.messages) {
        assert_eq!(member.as_object().unwrap().len(), 3, "{member}");
        assert_eq!((&member["status"], &member["id"]), (&json!(202), &json!(message.id)));
        assert_eq!(member["timestamp"].as_str().map(str::len), Some(24));
    }
    let [first, second] = &state.handed_over[..] else { panic!("two messages") };
    assert_eq!((&first.body[..], first.idempotency_key.as_deref()), (br#"{ "n":1.0 }"#.as_slice(), Some("k-1")));
    assert_eq!((&second.body[..], second.event_id.as_deref()), (br#"{"n":"\u00e9"}"#.as_slice(), Some("e-2")));
    assert_eq!((second.order_key.as_deref(), second.channels.len(), second.tags.len()), (Some("o"), 1, 1));
}

#[tokio::test]
async fn what_is_wrong_with_one_message_does_not_keep_the_others_out() {
    let world = shop().await;
    let large = "x".repeat(super::fake::BODY_LIMIT);
    let body = json!({ "messages": [
        { "eventType": "a", "payload": {}, "eventId": "e", "idempotencyKey": "k" },
        { "eventType": 7, "payload": {} },
        { "eventType": "a" },
        { "eventType": "a b", "payload": {} },
        { "eventType": "a", "payload": {}, "eventId": "e" },
        { "eventType": "b", "payload": { "n": 2 }, "idempotencyKey": "k" },
        { "eventType": "b", "payload": {}, "idempotencyKey": "" },
        { "eventType": "b", "payload": { "large": large } },
        { "eventType": "b", "payload": {}, "deliverAt": "2030-01-01T00:00:00Z" },
        "text",
        { "eventType": "z", "payload": {} },
    ]});
    let answer = world.post(PATH, body).await.is(StatusCode::MULTI_STATUS);
    let members = answer["data"].as_array().unwrap();
    let statuses: Vec<_> = members.iter().map(|member| member["status"].as_u64().unwrap()).collect();
    assert_eq!(statuses, [202, 422, 422, 422, 409, 422, 422, 413, 422, 422, 202]);
    let loc = |n: usize| &members[n]["error"]["detail"][0]["loc"];
    for (n, field) in [
        (1, "eventType"),
        (2, "payload"),
        (3, "eventType"),
        (5, "idempotencyKey"),
        (6, "idempotencyKey"),
        (8, "deliverAt"),
    ] {
        assert_eq!(loc(n), &json!(["body", "messages", n.to_string(), field]), "{}", members[n]);
    }
    assert_eq!(loc(9), &json!(["body", "messages", "9"]));
    for (n, code) in [(4, "conflict"), (7, "payload_too_large")] {
        assert_eq!(members[n]["error"]["code"], code);
        assert!(members[n]["error"]["detail"].is_string());
    }
    assert!(members.iter().all(|member| member["id"].is_string() != member["error"].is_object()));
    assert_eq!(world.fake.state().messages.len(), 2);
}

#[tokio::test]
async fn a_batch_that_is_none_is_refused_as_a_whole() {
    let world = shop().await;
    let many = json!({ "messages": vec![json!({ "eventType": "a", "payload": {} }); 1_001] }).to_string();
    world
        .refuses(
            Method::POST,
            PATH,
            &[
                ("", &["body"]),
                ("[]", &["body"]),
                (r#"[[{"eventType":"a","payload":{}}]]"#, &["body"]),
                ("{}", &["body", "messages"]),
                (r#"{"messages":null}"#, &["body", "messages"]),
                (r#"{"messages":{}}"#, &["body", "messages"]),
                (r#"{"messages":[]}"#, &["body", "messages"]),
                (r#"{"messages":[{"eventType":"a","payload":{}}"#, &["body", "messages"]),
                (r#"{"messages":[{"eventType":"a","payload":{}}],"message":1}"#, &["body", "message"]),
                (&many, &["body", "messages"]),
            ],
        )
        .await;
    let one = json!({ "messages": [{ "eventType": "a", "payload": {} }] });
    let nowhere = world.post("/api/v1/app/nobody/msg/batch", one.clone()).await;
    nowhere.is_error(StatusCode::NOT_FOUND, "not_found");
    let large = format!("{{\"messages\":[],\"x\":\"{}\"}}", "x".repeat(60_000));
    let answer = world.raw(Method::POST, PATH, &[], large).await;
    answer.is_error(StatusCode::PAYLOAD_TOO_LARGE, "payload_too_large");
    world.fake.state().unavailable = Some(Unavailable::Overloaded { retry_after: Duration::from_secs(7) });
    let answer = world.post(PATH, one).await;
    assert_eq!(answer.headers["retry-after"], "7");
    answer.is_error(StatusCode::SERVICE_UNAVAILABLE, "overloaded");
}

#[tokio::test]
async fn an_application_may_come_with_a_batch() {
    let world = World::new();
    let fresh = "/api/v1/app/fresh/msg/batch";
    let message = |application: Value| json!({ "eventType": "a", "payload": {}, "application": application });
    let bad = json!({ "messages": [message(json!({}))] });
    let answer = world.post(fresh, bad).await;
    answer.is_error(StatusCode::NOT_FOUND, "not_found");
    assert_eq!(world.writes(), 0);
    let body = json!({ "messages": [message(json!({ "name": "Fresh" })), message(json!({ "name": "Other" }))] });
    world.post(fresh, body).await.is(StatusCode::ACCEPTED);
    assert_eq!(world.get("/api/v1/app/fresh").await.is(StatusCode::OK)["name"], "Fresh");
}
