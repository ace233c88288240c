//! The audit log: who leaves an entry, and who may read them.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use http::{Method, Request, StatusCode};
use postrider_model::audit::{Actor, Audit, AuditFilter, AuditedPorts, Call, Entry, Origin, Told};
use postrider_model::id::AuditId;
use postrider_model::ports::{Answer as Later, ControlError};
use postrider_model::query::{Page, PageRequest, QueryError};
use serde_json::{Value, json};

use super::client::{World, secret, token_of};
use super::fake::{Fake, START, State, org, page};
use crate::{Door, token};

/// Notes the calls of which the fake's changes are to tell.
pub(super) struct FakeAudit(pub(super) Arc<Fake>);

impl Audit for FakeAudit {
    fn bind(&self, call: &Arc<Told>) -> AuditedPorts {
        let Self(fake) = self;
        fake.state().call = Some(Arc::clone(call));
        AuditedPorts {
            configure: Arc::clone(fake) as _,
            control: Arc::clone(fake) as _,
            expunge: Arc::clone(fake) as _,
        }
    }

    fn note(&self, call: Call) -> Later<Result<(), ControlError>> {
        let mut state = self.0.state();
        let noted = state.unavailable.clone().map_or(Ok(()), |unavailable| Err(unavailable.into()));
        if noted.is_ok() {
            let id = AuditId(state.new_id());
            state.entries.push(Entry::new(id, &call));
        }
        Box::pin(async { noted })
    }

    fn entries(&self, filter: &AuditFilter, request: &PageRequest) -> Result<Page<Entry>, QueryError> {
        let state = self.0.state();
        let wanted = state.entries.iter().filter(|entry| filter.wants(entry)).collect();
        Ok(page(wanted, |entry| entry.id.as_bytes().to_vec(), request))
    }
}

impl State {
    /// A change was made.
    pub(super) fn tell(&mut self) {
        if let Some(call) = self.call.clone().filter(|call| call.tell()) {
            let id = AuditId(self.new_id());
            self.entries.push(Entry::new(id, &call.call));
        }
    }
}

fn taken(world: &World) -> Vec<Entry> {
    std::mem::take(&mut world.fake.state().entries)
}

fn of_app(app: &str, from: postrider_model::time::UnixMs) -> String {
    token::create_for_application(&secret(), org(1), app.parse().unwrap(), Duration::from_secs(60), from)
}

#[tokio::test]
async fn a_change_tells_who_from_where_and_about_what() {
    let world = World::new();
    let app = world.app("shop").await;
    let endpoint = world.endpoint("shop", "main").await;
    taken(&world);
    let path = format!("/api/v1/app/shop/endpoint/{endpoint}/pause");
    let mut request = Request::builder().method(Method::POST).uri(&path);
    request = request.header("x-request-id", "r-17").header("authorization", format!("Bearer {}", of_org()));
    let mut request = request.body(Body::empty()).unwrap();
    request.extensions_mut().insert(Door::TcpFrom([192, 0, 2, 7].into()));
    world.send(request).await.is(StatusCode::OK);
    let [entry] = &*taken(&world) else { panic!("there is one") };
    assert_eq!((entry.operation.as_str(), entry.status), ("v1.endpoint.pause", 200));
    assert_eq!(entry.request_id.as_deref(), Some("r-17"));
    assert_eq!(entry.from, Origin::Tcp { address: Some([192, 0, 2, 7].into()) });
    assert_eq!(entry.target.app.map(|app| app.to_string()), Some(app));
    assert_eq!(entry.target.endpoint.map(|found| found.to_string()), Some(endpoint));
    let Actor::Token { org: of, app: None, fingerprint } = &entry.actor else { panic!("{entry:?}") };
    assert!(*of == org(1) && fingerprint.len() == 16 && !of_org().contains(fingerprint), "{entry:?}");

    let mut request =
        Request::builder().method(Method::POST).uri("/api/v1/dispatch/pause").body(Body::empty()).unwrap();
    request.extensions_mut().insert(Door::unix(true));
    world.send(request).await.is_empty();
    let [entry] = &*taken(&world) else { panic!("there is one") };
    assert_eq!(entry.actor, Actor::User { uid: 1_000 });
    assert_eq!(entry.from, Origin::Unix { uid: 1_000, pid: Some(17) });
}

fn of_org() -> String {
    token_of(org(1))
}

#[tokio::test]
async fn what_fails_leaves_nothing_and_what_only_reads_or_sends_neither() {
    let world = World::new();
    world.app("shop").await;
    world.endpoint("shop", "main").await;
    taken(&world);
    world.post("/api/v1/app", json!({})).await.is_invalid(&["body", "name"], "no name");
    world.delete("/api/v1/app/nowhere").await.is_error(StatusCode::NOT_FOUND, "not_found");
    world.get("/api/v1/app/shop").await.is(StatusCode::OK);
    world.message("shop", "order.paid").await;
    let message = json!({"eventType": "order.paid", "payload": {}});
    world.post("/api/v1/app/shop/msg/batch", json!({"messages": [message]})).await.is(StatusCode::ACCEPTED);
    let example = json!({"eventType": "order.paid", "payload": {}});
    world.post("/api/v1/app/shop/endpoint/main/send-example", example).await.is(StatusCode::OK);
    world.post("/api/v1/auth/logout", Value::Null).await.is_empty();
    assert_eq!(taken(&world), []);
    // An application that comes with a message is a change.
    let message = json!({"eventType": "order.paid", "payload": {}, "application": {"name": "New"}});
    for (path, body, operation) in [
        ("new/msg", message.clone(), "v1.message.create"),
        ("newer/msg/batch", json!({"messages": [message]}), "v1.message.create-batch"),
    ] {
        world.post(&format!("/api/v1/app/{path}"), body).await.is(StatusCode::ACCEPTED);
        let [entry] = &*taken(&world) else { panic!("{path}") };
        assert_eq!(entry.operation, operation);
    }
}

#[tokio::test]
async fn a_token_that_is_made_is_told_of_before_it_is_given() {
    let world = World::new();
    let app = world.app("shop").await;
    taken(&world);
    let path = "/api/v1/auth/app-portal-access/shop";
    let made = world.post(path, json!({})).await.is(StatusCode::OK);
    let [entry] = &*taken(&world) else { panic!("there is one") };
    assert_eq!(entry.operation, "v1.authentication.app-portal-access");
    assert_eq!(entry.target.app.map(|app| app.to_string()), Some(app));
    let fingerprint = entry.target.token.clone().unwrap();
    // Whoever uses it is known by the same.
    let customer = world.with_token(made["token"].as_str().unwrap().to_owned());
    customer.post("/api/v1/app/shop/endpoint", json!({"url": "https://example.com/"})).await.is(StatusCode::CREATED);
    let [entry] = &*taken(&world) else { panic!("there is one") };
    assert!(entry.actor.is(&fingerprint), "{entry:?}");
    world.fake.state().unavailable = Some(postrider_model::ports::Unavailable::DiskFull);
    let refused = world.post(path, json!({})).await;
    refused.is_error(StatusCode::SERVICE_UNAVAILABLE, "disk_full");
}

#[tokio::test]
async fn a_retry_tells_nothing() {
    let world = World::new();
    taken(&world);
    for _ in 0..2 {
        let key = [("idempotency-key", "k-1")];
        let made = world.raw(Method::POST, "/api/v1/app", &key, json!({"name": "shop"}).to_string()).await;
        made.is(StatusCode::CREATED);
    }
    assert_eq!(taken(&world).len(), 1);
}

#[tokio::test]
async fn a_refusal_tells_of_who_is_known_and_of_nobody_else() {
    let world = World::new();
    let app = world.app("shop").await;
    taken(&world);
    let customer = world.with_token(of_app(&app, START));
    let message = json!({"eventType": "order.paid", "payload": {}});
    for (method, path) in [
        (Method::DELETE, "/api/v1/app/shop"),
        (Method::GET, "/api/v1/audit"),
        (Method::POST, "/api/v1/app/shop/msg"),
        (Method::POST, "/api/v1/app/sh%6Fp/msg"),
    ] {
        let answer = customer.raw(method, path, &[], message.to_string()).await;
        answer.is_error(StatusCode::FORBIDDEN, "insufficient_access");
        let [entry] = &*taken(&world) else { panic!("{path}") };
        assert!(entry.status == 403 && entry.actor.is(&app), "{path}: {entry:?}");
        if path.contains("shop/msg") {
            assert_eq!((entry.operation.as_str(), entry.target.app.is_some()), ("v1.message.create", true));
        }
    }
    let expired = world.with_token(of_app(&app, START - Duration::from_secs(600)));
    expired.delete("/api/v1/app/shop").await.is_error(StatusCode::UNAUTHORIZED, "authentication_failed");
    let [entry] = &*taken(&world) else { panic!("an expired one is known") };
    assert_eq!(entry.status, 401);
    for unknown in ["", "x.y.z"] {
        let answer = world.with_token(unknown.to_owned()).delete("/api/v1/app/shop").await;
        answer.is_error(StatusCode::UNAUTHORIZED, "authentication_failed");
    }
    assert_eq!(taken(&world), []);
    // The clock stands still: who goes on is told of so often and no more.
    for _ in 0..50 {
        customer.delete("/api/v1/app/shop").await.is_error(StatusCode::FORBIDDEN, "insufficient_access");
    }
    let told = taken(&world).len();
    assert!((10..=20).contains(&told), "{told}");
}

#[tokio::test]
async fn only_the_operator_reads_the_log() {
    let world = World::new();
    let app = world.app("shop").await;
    world.endpoint("shop", "main").await;
    for token in [of_app(&app, START), token_of(org(2))] {
        let answer = world.with_token(token).get("/api/v1/audit").await;
        answer.is_error(StatusCode::FORBIDDEN, "insufficient_access");
    }
    world.fake.state().entries.retain(|entry| entry.status < 400);
    let list = world.get("/api/v1/audit?limit=1").await.is(StatusCode::OK);
    assert_eq!((&list["data"][0]["operation"], &list["done"]), (&json!("v1.endpoint.create"), &json!(false)));
    let next = format!("/api/v1/audit?limit=1&iterator={}", list["iterator"].as_str().unwrap());
    let list = world.get(&next).await.is(StatusCode::OK);
    assert_eq!((&list["data"][0]["operation"], &list["done"]), (&json!("v1.application.create"), &json!(true)));
    for (query, expected) in [
        ("operation=v1.endpoint.create".to_owned(), 1),
        ("app_id=shop".to_owned(), 1),
        (format!("actor={}", org(1)), 2),
        ("actor=uid:0".to_owned(), 0),
        ("before=2020-01-01T00:00:00Z".to_owned(), 0),
        ("after=2020-01-01T00:00:00Z".to_owned(), 2),
    ] {
        let list = world.get(&format!("/api/v1/audit?{query}")).await.is(StatusCode::OK);
        assert_eq!(list["data"].as_array().unwrap().len(), expected, "{query}: {list}");
    }
    world.get("/api/v1/audit?app_id=nowhere").await.is_error(StatusCode::NOT_FOUND, "not_found");
    for (name, value, says) in [
        ("actor", "nobody", "must be `org_...`"),
        ("actor", "uid:root", "must be `org_...`"),
        ("actor", "uid:017", "must be `org_...`"),
        ("actor", "0F0F0F0F0F0F0F0F", "must be `org_...`"),
        ("operation", "v1.endpoint.delte", "must be the id of an operation"),
        ("operation", "", "must be the id of an operation"),
        ("before", "yesterday", "must be a time"),
        ("after", "1", "must be a time"),
    ] {
        let answer = world.get(&format!("/api/v1/audit?{name}={value}")).await;
        answer.is_invalid(&["query", name], says);
    }
    for actor in ["server", "uid:17", "0f0f0f0f0f0f0f0f"] {
        world.get(&format!("/api/v1/audit?actor={actor}")).await.is(StatusCode::OK);
    }
}
