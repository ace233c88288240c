use http::{Method, StatusCode};
use serde_json::json;

use super::client::World;

const PATH: &str = "/api/v1/auth/app-portal-access/shop";

#[tokio::test]
async fn access_is_a_token_for_one_application() {
    let world = World::new();
    world.app("shop").await;
    world.app("other").await;
    let headers = [("host", "hooks.example.com:8071"), ("x-forwarded-proto", "https")];
    let answer = world.raw(Method::POST, PATH, &headers, "{}").await.is(StatusCode::OK);
    assert_eq!(answer["url"], "http://hooks.example.com:8071/docs", "the door says what is spoken, and no header");
    let owner = world.with_token(answer["token"].as_str().unwrap().to_owned());
    owner.get("/api/v1/app/shop").await.is(StatusCode::OK);
    owner.endpoint("shop", "main").await;
    owner.get("/api/v1/app/other").await.is_error(StatusCode::NOT_FOUND, "not_found");
    for (method, path) in [(Method::GET, "/api/v1/app"), (Method::POST, PATH), (Method::DELETE, "/api/v1/app/shop")] {
        let answer = owner.raw(method, path, &[], "{}").await;
        answer.is_error(StatusCode::FORBIDDEN, "insufficient_access");
    }
    let nobody = world.with_token("no token".to_owned());
    for (world, status) in [(&owner, 204), (&world, 204), (&nobody, 401)] {
        let answer = world.raw(Method::POST, "/api/v1/auth/logout", &[], "").await;
        assert_eq!(answer.status.as_u16(), status, "{answer:?}");
    }
}

#[tokio::test]
async fn the_application_is_made_if_there_is_none() {
    let world = World::new();
    let make =
        json!({"application": {"name": "Shop", "metadata": {"a": "b"}}, "expiry": 3600, "featureFlags": ["beta"]});
    world.post(PATH, json!({})).await.is_error(StatusCode::NOT_FOUND, "not_found");
    world.post(PATH, make.clone()).await.is(StatusCode::OK);
    let app = world.get("/api/v1/app/shop").await.is(StatusCode::OK);
    assert_eq!((&app["name"], &app["uid"]), (&json!("Shop"), &json!("shop")));
    let writes = world.writes();
    world.post(PATH, make).await.is(StatusCode::OK);
    assert_eq!(world.writes(), writes);
    let unknown_id = format!("/api/v1/auth/app-portal-access/app_{}", "0".repeat(27));
    let answer = world.post(&unknown_id, json!({"application": {"name": "x"}})).await;
    answer.is_error(StatusCode::NOT_FOUND, "not_found");
}

#[tokio::test]
async fn what_would_give_more_than_was_asked_for_is_refused() {
    let world = World::new();
    world
        .refuses(
            Method::POST,
            PATH,
            &[
                (r#"{"expiry":3599}"#, &["body", "expiry"]),
                (r#"{"expiry":604801}"#, &["body", "expiry"]),
                (r#"{"expiry":"1h"}"#, &["body", "expiry"]),
                (r#"{"readOnly":true}"#, &["body", "readOnly"]),
                (r#"{"capabilities":["ViewBase"]}"#, &["body", "capabilities"]),
                (r#"{"featureFlags":["a b"]}"#, &["body", "featureFlags"]),
                (r#"{"application":{}}"#, &["body", "application", "name"]),
                (r#"{"application":{"name":"x","uid":"y"}}"#, &["body", "application", "uid"]),
                ("", &["body"]),
            ],
        )
        .await;
    world.app("shop").await;
    world.post(PATH, json!({"readOnly": false, "capabilities": null})).await.is(StatusCode::OK);
}
