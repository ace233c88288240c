use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use http::{Method, Request, StatusCode};
use http_body_util::BodyExt as _;
use postrider_model::ports::Unavailable;
use serde_json::json;

use super::client::World;
use crate::{Door, metrics_router};

#[tokio::test]
async fn unknown_routes_and_methods_answer_in_json() {
    let world = World::new();
    for path in ["/", "/api/v1", "/api/v1/nothing", "/api/v2/app", "/api/v1/app/a/b", "/api/v1/app/a/endpoint/b/c"] {
        world.get(path).await.is_error(StatusCode::NOT_FOUND, "not_found");
    }
    for path in ["/api/v1/app/shop", "/api/v1/app/shop/endpoint/main", "/api/v1/health", "/health/live"] {
        let answer = world.raw(Method::POST, path, &[], Body::empty()).await;
        answer.is_error(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed");
        assert!(answer.headers["allow"].to_str().unwrap().contains("GET"), "{answer:?}");
    }
    world.get("/api/v1/app/%FF").await.is_invalid(&["path", "app_id"], "not UTF-8");
}

#[tokio::test]
async fn an_empty_body_is_told_what_goes_into_it() {
    let world = World::new();
    world.app("shop").await;
    world.endpoint("shop", "main").await;
    let shop = "/api/v1/app/shop";
    for path in ["/api/v1/app", "/msg/batch", "/endpoint/main/secret/rotate", "/delivery/cancel", "/dead-letter/replay"]
    {
        let path = if path.starts_with("/api") { path.to_owned() } else { format!("{shop}{path}") };
        for body in ["", " \n"] {
            let answer = world.raw(Method::POST, &path, &[], body).await;
            answer.is_invalid(&["body"], &path);
            let said = answer.json()["detail"][0]["msg"].to_string();
            assert!(said.contains("a JSON object is expected, such as `{}`"), "{path}: {said}");
        }
    }
}

#[tokio::test]
async fn health_needs_no_token_and_says_what_is_wrong() {
    let world = World::new();
    let ask = async |method: Method, path: &str| {
        world.send(Request::builder().method(method).uri(path).body(Body::empty()).unwrap()).await
    };
    for path in ["/api/v1/health", "/api/v1/health/ping"] {
        ask(Method::GET, path).await.is_empty();
        ask(Method::HEAD, path).await.is_empty();
    }
    let ready = ask(Method::GET, "/health/ready").await.is(StatusCode::OK);
    assert_eq!(ready, json!({"status": "ready", "problems": []}));
    world.fake.state().problems = vec!["disk is full".to_owned()];
    let ready = ask(Method::GET, "/health/ready").await.is(StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(ready, json!({"status": "not_ready", "problems": ["disk is full"]}));
    ask(Method::GET, "/health/live").await.is(StatusCode::OK);
}

#[tokio::test]
async fn what_is_unavailable_says_when_to_try_again() {
    let world = World::new();
    world.app("shop").await;
    let writes = world.writes();
    for (unavailable, status, code, seconds) in [
        (Unavailable::DiskFull, StatusCode::SERVICE_UNAVAILABLE, "disk_full", "10"),
        (Unavailable::Stopping, StatusCode::SERVICE_UNAVAILABLE, "stopping", "5"),
        (Unavailable::TooManyPending { limit: 5 }, StatusCode::TOO_MANY_REQUESTS, "too_many_pending", "30"),
        (
            Unavailable::Overloaded { retry_after: Duration::from_millis(1_200) },
            StatusCode::SERVICE_UNAVAILABLE,
            "overloaded",
            "2",
        ),
    ] {
        world.fake.state().unavailable = Some(unavailable);
        for (path, body) in [
            ("/api/v1/app/shop/msg", json!({"eventType": "a", "payload": {}})),
            ("/api/v1/app", json!({"name": "another"})),
        ] {
            let answer = world.post(path, body).await;
            answer.is_error(status, code);
            assert_eq!(answer.headers["retry-after"], seconds);
        }
    }
    assert_eq!(world.writes(), writes);
}

#[tokio::test]
async fn metrics_have_a_router_of_their_own() {
    let world = World::new();
    let routes = metrics_router(Arc::new(|| "up 1\n".to_owned()), Arc::clone(&world.fake) as _);
    let ask = async |path: &str| {
        let request = Request::builder().uri(path).body(Body::empty()).unwrap();
        routes.answer(Door::Tcp, crate::Scheme::Http, request).await
    };
    let metrics = ask("/metrics").await;
    assert_eq!(metrics.headers()["content-type"], "text/plain; version=0.0.4; charset=utf-8");
    assert_eq!(metrics.into_body().collect().await.unwrap().to_bytes(), "up 1\n");
    assert_eq!(ask("/health/ready").await.status(), StatusCode::OK);
    assert_eq!(ask("/api/v1/app").await.status(), StatusCode::NOT_FOUND);
}
