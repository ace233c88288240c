//! How often somebody may ask.

use std::num::NonZeroU32;

use axum::body::Body;
use http::{Request, StatusCode};
use postrider_model::id::OrgId;

use super::client::{Answer, World, token_of};
use super::fake::org;
use crate::{Door, RequestRate};

/// So many at once; the clock of these tests stands still.
fn at_once(burst: u32) -> Option<RequestRate> {
    let burst = NonZeroU32::new(burst).unwrap();
    Some(RequestRate { per_second: NonZeroU32::MIN, burst })
}

fn from(address: &str) -> Door {
    Door::TcpFrom(address.parse().unwrap())
}

/// Asks for the list of applications.
async fn ask(world: &World, door: Door, token: Option<&str>) -> Answer {
    let mut request = Request::builder().uri("/api/v1/app");
    if let Some(token) = token {
        request = request.header("authorization", format!("Bearer {token}"));
    }
    let mut request = request.body(Body::empty()).unwrap();
    request.extensions_mut().insert(door);
    world.send(request).await
}

/// Sends a message, which has a way of its own, with a key and without one.
async fn send(world: &World, door: Door, path: &str, token: &str, key: Option<&str>) -> Answer {
    let mut request = Request::post(path).header("authorization", format!("Bearer {token}"));
    if let Some(key) = key {
        request = request.header("idempotency-key", key);
    }
    let mut request = request.body(Body::from(r#"{"eventType":"a","name":"a","payload":{}}"#)).unwrap();
    request.extensions_mut().insert(door);
    world.send(request).await
}

fn is_limited(answer: &Answer) {
    answer.is_error(StatusCode::TOO_MANY_REQUESTS, "rate_limited");
    assert_eq!(answer.headers["retry-after"], "1");
}

fn is_refused(answer: &Answer) {
    answer.is_error(StatusCode::UNAUTHORIZED, "authentication_failed");
}

fn token(number: u64) -> String {
    let org: OrgId = org(number);
    token_of(org)
}

#[tokio::test]
async fn who_shows_no_good_token_too_often_is_told_to_wait() {
    let world = World::limited(|limits| limits.refusals_per_address = at_once(3));
    let (here, there) = (from("192.0.2.1"), from("192.0.2.2"));
    is_refused(&ask(&world, here, None).await);
    is_refused(&ask(&world, here, Some("x")).await);
    is_refused(&send(&world, here, "/api/v1/app/shop/msg", "x.y.z", None).await);
    for answer in [
        ask(&world, here, None).await,
        ask(&world, here, Some("x")).await,
        send(&world, here, "/api/v1/app/shop/msg", "x.y.z", None).await,
        send(&world, here, "/api/v1/app", "x.y.z", Some("k")).await,
    ] {
        is_limited(&answer);
    }
    // Its neighbours behind that address, of whom none was there before, and everybody elsewhere.
    ask(&world, here, Some(&token(1))).await.is(StatusCode::OK);
    send(&world, here, "/api/v1/app/shop/msg", &token(2), None).await.is(StatusCode::NOT_FOUND);
    send(&world, here, "/api/v1/app", &token(3), Some("k")).await.is(StatusCode::CREATED);
    is_limited(&ask(&world, here, None).await);
    is_refused(&ask(&world, there, None).await);
    for _ in 0..5 {
        is_refused(&ask(&world, Door::unix(false), None).await);
        is_refused(&ask(&world, Door::unix(true), Some("x")).await);
    }
}

#[tokio::test]
async fn by_default_fifty_refusals_at_once_are_nothing_special() {
    let world = World::new();
    for _ in 0..50 {
        is_refused(&ask(&world, from("192.0.2.1"), None).await);
    }
    is_limited(&ask(&world, from("192.0.2.1"), None).await);
}

#[tokio::test]
async fn each_token_has_a_limit_of_its_own() {
    let world = World::limited(|limits| limits.requests_per_token = at_once(3));
    let (one, other) = (token(1), token(2));
    ask(&world, from("192.0.2.1"), Some(&one)).await.is(StatusCode::OK);
    // With a key the caller is looked for twice, and counts once.
    send(&world, from("192.0.2.2"), "/api/v1/app", &one, Some("k")).await.is(StatusCode::CREATED);
    send(&world, Door::Tcp, "/api/v1/app/shop/msg", &one, None).await.is(StatusCode::NOT_FOUND);
    is_limited(&ask(&world, from("192.0.2.3"), Some(&one)).await);
    is_limited(&send(&world, from("192.0.2.3"), "/api/v1/app/shop/msg", &one, None).await);
    ask(&world, from("192.0.2.1"), Some(&other)).await.is(StatusCode::OK);
    ask(&world, Door::unix(false), Some(&one)).await.is(StatusCode::OK);
}

#[tokio::test]
async fn each_address_has_a_limit_of_its_own() {
    let world = World::limited(|limits| limits.requests_per_address = at_once(3));
    let here = from("2001:db8::1");
    ask(&world, here, Some(&token(1))).await.is(StatusCode::OK);
    is_refused(&ask(&world, from("2001:db8::2"), Some("x")).await);
    send(&world, here, "/api/v1/app", &token(1), Some("k")).await.is(StatusCode::CREATED);
    for token in [token(1), token(2)] {
        is_limited(&ask(&world, here, Some(&token)).await);
        is_limited(&send(&world, here, "/api/v1/app/shop/msg", &token, None).await);
    }
    ask(&world, from("2001:db8:0:1::1"), Some(&token(1))).await.is(StatusCode::OK);
    ask(&world, Door::unix(false), Some(&token(1))).await.is(StatusCode::OK);
    for (path, status) in [("/docs", 429), ("/api/v1/openapi.json", 429), ("/health/live", 200)] {
        let mut request = Request::get(path).body(Body::empty()).unwrap();
        request.extensions_mut().insert(here);
        assert_eq!(world.send(request).await.status.as_u16(), status, "{path}");
        // Nobody else is limited.
        assert_eq!(world.get(path).await.status, StatusCode::OK, "{path}");
    }
}
