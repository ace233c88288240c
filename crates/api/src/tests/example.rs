use http::{Method, StatusCode};
use serde_json::json;

use super::client::{MESSAGE, World, has_shape};
use super::fake::START;
use crate::token::create_for_application;

const PATH: &str = "/api/v1/app/shop/endpoint/main/send-example";

async fn shop() -> World {
    let world = World::new();
    world.app("shop").await;
    world.endpoint("shop", "main").await;
    world.endpoint("shop", "other").await;
    world.patch("/api/v1/app/shop/endpoint/main", json!({"eventTypes": ["else"]})).await.is(StatusCode::OK);
    world
}

#[tokio::test]
async fn an_example_goes_to_one_endpoint_whatever_its_filters() {
    let world = shop().await;
    let schemas = json!({"1": {"examples": [{"n": 1}, {"n": 2}]}});
    let event_type = json!({"name": "order.paid", "description": "", "schemas": schemas});
    world.post("/api/v1/event-type", event_type).await.is(StatusCode::CREATED);
    let sent = world.post(PATH, json!({"eventType": "order.paid"})).await.is(StatusCode::OK);
    has_shape(&sent, MESSAGE);
    assert_eq!(sent["payload"], json!({"n": 1}));
    let second = world.post(PATH, json!({"eventType": "order.paid", "exampleIndex": 1})).await.is(StatusCode::OK);
    assert_eq!(second["payload"], json!({"n": 2}));
    // The catalogue is no condition.
    let unknown = world.post(PATH, json!({"eventType": "order.sent"})).await.is(StatusCode::OK);
    assert_eq!(unknown["payload"], json!({"example": true}));
    let given = r#"{"eventType":"a","payload":{ "n":1.0 }}"#;
    world.raw(Method::POST, PATH, &[], given).await.is(StatusCode::OK);

    let state = world.fake.state();
    assert_eq!(state.handed_over[3].body, r#"{ "n":1.0 }"#);
    let main = state.handed_over[0].only.unwrap();
    assert_eq!(state.deliveries.len(), 4);
    assert!(state.deliveries.iter().all(|delivery| delivery.key.endpoint == main));
}

#[tokio::test]
async fn a_bad_request_sends_nothing() {
    let world = shop().await;
    let schemas = json!({"1": {"examples": [{"n": 1}]}});
    let event_type = json!({"name": "order.paid", "description": "", "schemas": schemas});
    world.post("/api/v1/event-type", event_type).await.is(StatusCode::CREATED);
    let long = json!({"eventType": "x".repeat(257)}).to_string();
    world
        .refuses(
            Method::POST,
            PATH,
            &[
                ("{}", &["body", "eventType"]),
                (r#"{"eventType":null}"#, &["body", "eventType"]),
                (r#"{"eventType":7}"#, &["body", "eventType"]),
                (r#"{"eventType":""}"#, &["body", "eventType"]),
                (r#"{"eventType":"a b"}"#, &["body", "eventType"]),
                (&long, &["body", "eventType"]),
                (r#"{"eventType":"order.paid","exampleIndex":1}"#, &["body", "exampleIndex"]),
                (r#"{"eventType":"order.paid","exampleIndex":-1}"#, &["body", "exampleIndex"]),
                (r#"{"eventType":"order.paid","payload":[]}"#, &["body", "payload"]),
            ],
        )
        .await;
    let nowhere = PATH.replace("main", "nobody");
    world.post(&nowhere, json!({"eventType": "a"})).await.is_error(StatusCode::NOT_FOUND, "not_found");
}

#[tokio::test]
async fn an_applications_owner_may_send_examples_but_no_payloads() {
    let world = shop().await;
    let app = world.get("/api/v1/app/shop").await.json()["id"].as_str().unwrap().parse().unwrap();
    let minute = std::time::Duration::from_secs(60);
    let owner =
        world.with_token(create_for_application(&super::client::secret(), super::fake::org(1), app, minute, START));
    owner.post(PATH, json!({"eventType": "a"})).await.is(StatusCode::OK);
    let answer = owner.post(PATH, json!({"eventType": "a", "payload": {}})).await;
    answer.is_error(StatusCode::FORBIDDEN, "insufficient_access");
}
