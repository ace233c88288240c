//! The header `idempotency-key` on routes that are no messages'.

use std::collections::BTreeSet;
use std::sync::Arc;

use axum::body::Body;
use http::{Method, Request, StatusCode};
use postrider_model::message::NewMessage;
use postrider_model::once::{Answered, BoundPorts, KeyedRequest, Once};
use postrider_model::ports::{Accept, AcceptError, Answer as Later, ControlError, Receipt, Unavailable};
use serde_json::{Value, json};

use super::audit::FakeAudit;
use super::client::{Answer, World, secret, token_of};
use super::fake::{BODY_LIMIT, Fake, org};
use super::openapi::operations;
use crate::token::{Claims, sign};

/// Keeps answers. Of what is asked of its ports only messages are bound to the key.
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

    fn bind(&self, request: &KeyedRequest) -> BoundPorts {
        let Self(fake) = self;
        let name = format!("{} of {}", request.key, request.route.replace(|c: char| !c.is_ascii_alphanumeric(), "-"));
        let accept = Arc::new(Naming { fake: Arc::clone(fake), name });
        BoundPorts {
            accept,
            configure: Arc::clone(fake) as _,
            control: Arc::clone(fake) as _,
            audit: Arc::new(FakeAudit(Arc::clone(fake))),
        }
    }

    fn keep(&self, request: &KeyedRequest, answered: Answered) -> Later<Result<Answered, ControlError>> {
        self.0.state().kept.push((request.clone(), answered.clone()));
        Box::pin(async { Ok(answered) })
    }
}

/// Gives messages a key.
struct Naming {
    fake: Arc<Fake>,
    name: String,
}

impl Accept for Naming {
    fn queue(&self, mut message: NewMessage) -> Later<Result<Receipt, AcceptError>> {
        let place = message.place;
        message.idempotency_key.get_or_insert_with(|| format!("{} {place}", self.name));
        self.fake.queue(message)
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

/// Every `POST`: its path in the document, a body, and the status of the answer.
fn posts() -> Vec<(&'static str, Value, u16)> {
    let message = json!({"eventType": "order.paid", "payload": {"n": 1}, "channels": ["y", "x"], "tags": ["t"]});
    let batch = json!({"messages": [{"eventType": "order.paid", "payload": {"n": 2}}, message]});
    let example = json!({"eventType": "order.paid", "payload": {"n": 3}});
    vec![
        ("/app", json!({"name": "other"}), 201),
        ("/app/{app_id}/endpoint", json!({"url": "https://example.com/"}), 201),
        ("/event-type", json!({"name": "order.sent", "description": "sent"}), 201),
        ("/event-type/import/openapi", json!({"spec": {"openapi": "3.1.0", "webhooks": {}}}), 200),
        ("/app/{app_id}/endpoint/{endpoint_id}/secret/rotate", json!({}), 200),
        ("/app/{app_id}/endpoint/{endpoint_id}/pause", Value::Null, 200),
        ("/app/{app_id}/endpoint/{endpoint_id}/resume", Value::Null, 200),
        ("/app/{app_id}/endpoint/{endpoint_id}/verify", Value::Null, 200),
        ("/app/{app_id}/endpoint/{endpoint_id}/recover", json!({"since": "2027-01-01T00:00:00Z"}), 202),
        ("/app/{app_id}/endpoint/{endpoint_id}/replay-missing", json!({"since": "2027-01-01T00:00:00Z"}), 202),
        ("/app/{app_id}/endpoint/{endpoint_id}/bulk-replay", json!({"since": "2027-01-01T00:00:00Z"}), 202),
        ("/app/{app_id}/endpoint/{endpoint_id}/send-example", example, 200),
        ("/app/{app_id}/msg", message, 202),
        ("/app/{app_id}/msg/batch", batch, 202),
        ("/app/{app_id}/msg/precheck/active", json!({"eventType": "order.paid"}), 200),
        ("/app/{app_id}/msg/precheck/dry-run", json!({"eventType": "order.paid", "payload": {"n": 4}}), 200),
        ("/app/{app_id}/msg/{msg_id}/endpoint/{endpoint_id}/resend", Value::Null, 202),
        ("/app/{app_id}/msg/{msg_id}/delivery/{endpoint_id}/cancel", Value::Null, 204),
        ("/app/{app_id}/msg/{msg_id}/delivery/{endpoint_id}/replay", Value::Null, 204),
        ("/app/{app_id}/delivery/cancel", json!({}), 200),
        ("/app/{app_id}/dead-letter/replay", json!({}), 202),
        ("/dispatch/pause", Value::Null, 204),
        ("/dispatch/resume", Value::Null, 204),
        ("/auth/app-portal-access/{app_id}", json!({}), 200),
        ("/auth/logout", Value::Null, 204),
    ]
}

#[tokio::test]
async fn a_retry_gets_the_same_answer_byte_for_byte_and_changes_nothing() {
    let world = World::new();
    let shop = world.app("shop").await;
    let main = world.endpoint("shop", "main").await;
    let message = world.message("shop", "order.paid").await;
    let customer = world.with_token(token_of_app(&shop));
    let mut known = BTreeSet::new();
    for (path, body, status) in posts() {
        known.insert(format!("POST /api/v1{path}"));
        let world = if path == "/auth/logout" { &customer } else { &world };
        let named = path.replace("{app_id}", "shop").replace("{endpoint_id}", &main).replace("{msg_id}", &message);
        let named = format!("/api/v1{named}");
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let first = post(world, &named, &body).await;
        assert_eq!(first.status.as_u16(), status, "{path}: {first:?}");
        let writes = world.writes();
        let again = post(world, &named, &body).await;
        assert_eq!((again.status, &again.body), (first.status, &first.body), "{path}");
        assert_eq!(again.headers.get("content-type"), first.headers.get("content-type"), "{path}");
        // Where a message is made, another has to be a good one.
        let other = json!({"eventType": "order.paid", "payload": {"other": 1}}).to_string();
        post(world, &named, &other).await.is_invalid(&["header", "idempotency-key"], path);
        assert_eq!(world.writes(), writes, "{path}");
        let unkeyed = world.raw(Method::POST, &named, &[], body).await;
        let makes_one = matches!(status, 201)
            || path.contains("/msg/batch")
            || path.contains("/recover")
            || path.contains("/replay-")
            || path.contains("/bulk-");
        assert!(!makes_one || unkeyed.body != first.body, "{path}: without the key it is another request");
    }
    let all = operations().into_keys().filter(|operation| operation.starts_with("POST "));
    assert_eq!(known, all.collect(), "`posts` has each");
    // What was answered stays answered, whatever has become of it.
    world.delete("/api/v1/app/shop").await.is_empty();
    let made = post(&world, "/api/v1/app/shop/endpoint", &json!({"url": "https://example.com/"}).to_string()).await;
    made.is(StatusCode::CREATED);
}

#[tokio::test]
async fn of_a_batch_that_was_taken_in_part_a_retry_takes_in_the_rest() {
    let world = World::new();
    world.app("shop").await;
    let good = json!({"eventType": "order.paid", "payload": {"n": 1}});
    let half = json!({"messages": [good, {"eventType": "order.paid"}]}).to_string();
    let first = post(&world, "/api/v1/app/shop/msg/batch", &half).await.is(StatusCode::MULTI_STATUS);
    let writes = world.writes();
    let again = post(&world, "/api/v1/app/shop/msg/batch", &half).await.is(StatusCode::MULTI_STATUS);
    assert_eq!((first, writes), (again, world.writes()));
    assert!(world.fake.state().kept.is_empty(), "it is tried again");
}

#[tokio::test]
async fn a_batch_with_a_key_has_the_room_of_a_batch() {
    let world = World::new();
    world.app("shop").await;
    let message = json!({"eventType": "order.paid", "payload": {"n": "x".repeat(BODY_LIMIT / 2)}});
    let body = json!({"messages": vec![message; 20]}).to_string();
    assert!(body.len() > 2 * BODY_LIMIT);
    post(&world, "/api/v1/app/shop/msg/batch", &body).await.is(StatusCode::ACCEPTED);
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
    let twice = [("idempotency-key", "a"), ("idempotency-key", "a")];
    let answer = world.raw(Method::POST, "/api/v1/app", &twice, r#"{"name": "shop"}"#).await;
    answer.is_invalid(&["header", "idempotency-key"], "twice");
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
