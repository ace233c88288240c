//! The header `idempotency-key` on routes that are no messages'.

use std::sync::Arc;

use axum::body::Body;
use http::{Method, Request, StatusCode};
use postrider_model::once::{Answered, BoundPorts, KeyedRequest, Once};
use postrider_model::ports::{Answer as Later, ControlError, Unavailable};
use serde_json::{Value, json};

use super::client::{Answer, World, secret, token_of};
use super::fake::{BODY_LIMIT, Fake, org};
use super::openapi::operations;
use crate::token::{Claims, sign};

/// Keeps answers. What is asked of its ports is not bound to anything.
pub(super) struct FakeOnce(pub(super) Arc<Fake>);

impl Once for FakeOnce {
    fn answered(&self, request: &KeyedRequest) -> Result<Option<Answered>, ControlError> {
        let state = self.0.state();
        state.unavailable.clone().map_or(Ok(()), Err)?;
        let place = |request: &KeyedRequest| (request.org, request.app, request.route.clone(), request.key.clone());
        match state.kept.iter().find(|(other, _)| place(other) == place(request)) {
            Some((other, _)) if other != request => Err(ControlError::KeyReused),
            found => Ok(found.map(|(_, answered)| answered.clone())),
        }
    }

    fn bind(&self, _: &KeyedRequest) -> BoundPorts {
        let Self(fake) = self;
        BoundPorts { accept: Arc::clone(fake) as _, configure: Arc::clone(fake) as _, control: Arc::clone(fake) as _ }
    }

    fn keep(&self, request: &KeyedRequest, answered: Answered) -> Later<Result<Answered, ControlError>> {
        self.0.state().kept.push((request.clone(), answered.clone()));
        Box::pin(async { Ok(answered) })
    }
}

const KEY: [(&str, &str); 1] = [("idempotency-key", "k-1")];

async fn post(world: &World, path: &str, body: &str) -> Answer {
    world.raw(Method::POST, path, &KEY, body.to_owned()).await
}

fn token_of_app(app: &str) -> String {
    let claims = Claims { sub: app.to_owned(), org: Some(org(1).to_string()), ..Claims::default() };
    sign(&secret(), r#"{"alg":"HS256","typ":"JWT"}"#, &claims)
}

#[tokio::test]
async fn a_retry_gets_the_same_answer_byte_for_byte_and_changes_nothing() {
    let world = World::new();
    let shop = world.app("shop").await;
    let main = world.endpoint("shop", "main").await;
    let message = world.message("shop", "order.paid").await;
    let endpoint = format!("/api/v1/app/shop/endpoint/{main}");
    let delivery = format!("/api/v1/app/{shop}/msg/{message}/delivery/{main}");
    for (path, body, status) in [
        ("/api/v1/app".to_owned(), json!({"name": "other"}), 201),
        ("/api/v1/app/shop/endpoint".to_owned(), json!({"url": "https://example.com/"}), 201),
        ("/api/v1/event-type".to_owned(), json!({"name": "order.sent", "description": "sent"}), 201),
        (format!("{endpoint}/secret/rotate"), json!({}), 200),
        (format!("{endpoint}/pause"), Value::Null, 200),
        (format!("{endpoint}/resume"), Value::Null, 200),
        ("/api/v1/dispatch/pause".to_owned(), Value::Null, 204),
        (format!("{delivery}/cancel"), Value::Null, 204),
        (format!("{delivery}/replay"), Value::Null, 204),
        ("/api/v1/app/shop/delivery/cancel".to_owned(), json!({}), 200),
        ("/api/v1/app/shop/dead-letter/replay".to_owned(), json!({}), 202),
    ] {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let first = post(&world, &path, &body).await;
        assert_eq!(first.status.as_u16(), status, "{path}: {first:?}");
        let writes = world.writes();
        let again = post(&world, &path, &body).await;
        assert_eq!((again.status, &again.body), (first.status, &first.body), "{path}");
        assert_eq!(again.headers.get("content-type"), first.headers.get("content-type"), "{path}");
        post(&world, &path, r#"{"other":1}"#).await.is_invalid(&["header", "idempotency-key"], &path);
        assert_eq!(world.writes(), writes, "{path}");
        let unkeyed = world.raw(Method::POST, &path, &[], body).await;
        assert!(status != 201 || unkeyed.body != first.body, "{path}: without the key it is another request");
    }
    // What was answered stays answered, whatever has become of it.
    world.delete("/api/v1/app/shop").await.is_empty();
    let made = post(&world, "/api/v1/app/shop/endpoint", &json!({"url": "https://example.com/"}).to_string()).await;
    made.is(StatusCode::CREATED);
}

#[tokio::test]
async fn the_parameters_belong_to_the_content() {
    let world = World::new();
    let body = json!({"name": "shop", "uid": "shop"}).to_string();
    post(&world, "/api/v1/app?get_if_exists=true", &body).await.is(StatusCode::CREATED);
    post(&world, "/api/v1/app?get_if_exists=true", &body).await.is(StatusCode::CREATED);
    post(&world, "/api/v1/app", &body).await.is_invalid(&["header", "idempotency-key"], "other parameters");
}

#[tokio::test]
async fn a_key_is_bound_to_the_tenant_and_to_the_application_of_the_token() {
    let world = World::new();
    let shop = world.app("shop").await;
    let (path, body) = (format!("/api/v1/app/{shop}/endpoint"), json!({"url": "https://example.com/"}).to_string());
    let first = post(&world, &path, &body).await.is(StatusCode::CREATED);
    let customer = world.with_token(token_of_app(&shop));
    let second = post(&customer, &path, &body).await.is(StatusCode::CREATED);
    assert_ne!(first["id"], second["id"]);
    assert_eq!(post(&customer, &path, &body).await.is(StatusCode::CREATED), second);
    let stranger = world.with_token(token_of(org(2)));
    post(&stranger, &path, &body).await.is_error(StatusCode::NOT_FOUND, "not_found");
    post(&world.with_token("x".to_owned()), &path, &body)
        .await
        .is_error(StatusCode::UNAUTHORIZED, "authentication_failed");
}

#[tokio::test]
async fn what_was_refused_may_be_tried_again_with_the_same_key() {
    let world = World::new();
    post(&world, "/api/v1/app", "{}").await.is_invalid(&["body", "name"], "no name");
    let body = json!({"name": "shop"}).to_string();
    world.fake.state().unavailable = Some(Unavailable::DiskFull);
    post(&world, "/api/v1/app", &body).await.is_error(StatusCode::SERVICE_UNAVAILABLE, "disk_full");
    world.fake.state().unavailable = None;
    post(&world, "/api/v1/app", &body).await.is(StatusCode::CREATED);
}

#[tokio::test]
async fn only_a_good_key_of_a_route_that_is_there_is_looked_at() {
    let world = World::new();
    let long = "k".repeat(257);
    for bad in ["", "\u{e9}", long.as_str()] {
        let answer = world.raw(Method::POST, "/api/v1/app", &[("idempotency-key", bad)], "{}").await;
        answer.is_invalid(&["header", "idempotency-key"], bad);
    }
    let keyed = |method, path| Request::builder().method(method).uri(path).header("idempotency-key", "k");
    let asked = async |method, path| world.send(keyed(method, path).body(Body::empty()).unwrap()).await;
    asked(Method::POST, "/api/v1/nothing").await.is_error(StatusCode::NOT_FOUND, "not_found");
    asked(Method::POST, "/api/v1/app").await.is_error(StatusCode::UNAUTHORIZED, "authentication_failed");
    let answer = world.raw(Method::POST, "/api/v1/status", &KEY, "").await;
    answer.is_error(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed");
    let list = world.raw(Method::GET, "/api/v1/app", &[("idempotency-key", "")], "").await;
    list.is(StatusCode::OK);
}

#[tokio::test]
async fn a_body_takes_its_room_once_and_has_the_same_limits() {
    let world = World::new();
    let body = |bytes: usize| json!({"name": "shop", "metadata": {"a": "x".repeat(bytes)}}).to_string();
    post(&world, "/api/v1/app", &body(BODY_LIMIT)).await.is(StatusCode::CREATED);
    let large = post(&world, "/api/v1/app", &body(2 * BODY_LIMIT)).await;
    large.is_error(StatusCode::PAYLOAD_TOO_LARGE, "payload_too_large");
}

#[tokio::test]
async fn every_post_looks_at_the_key() {
    let world = World::new();
    let all = operations();
    let posts = all.iter().filter_map(|(operation, described)| Some((operation.strip_prefix("POST ")?, described)));
    let mut count = 0;
    for (path, described) in posts {
        let named = path.replace(['{', '}'], "");
        let answer = world.raw(Method::POST, &named, &[("idempotency-key", "")], "{}").await;
        answer.is_invalid(&["header", "idempotency-key"], path);
        let parameters = described["parameters"].as_array().unwrap();
        assert!(parameters.iter().any(|parameter| parameter["name"] == "idempotency-key"), "{path}");
        count += 1;
    }
    assert!(count > 10, "{count} are known");
}
