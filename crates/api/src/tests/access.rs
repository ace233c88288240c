use axum::body::Body;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::{Method, Request, StatusCode};
use postrider_model::id::OrgId;
use serde_json::json;

use super::client::{World, secret, token_of};
use super::fake::{START, org};
use crate::Door;
use crate::token::{Claims, TokenSecret, create, sign};

fn request(door: Option<Door>, authorization: Option<&str>) -> Request<Body> {
    let mut request = Request::builder().uri("/api/v1/app");
    if let Some(value) = authorization {
        request = request.header("authorization", value);
    }
    let mut request = request.body(Body::empty()).unwrap();
    door.map(|door| request.extensions_mut().insert(door));
    request
}

#[tokio::test]
async fn tcp_needs_a_good_token() {
    let world = World::new();
    let minute = std::time::Duration::from_secs(60);
    let good = token_of(org(1));
    let expired = create(&secret(), org(1), minute, START - 3 * minute);
    let foreign = create(&TokenSecret::new(vec![1; 32]), org(1), minute, START);
    let claims = Claims { sub: org(1).to_string(), ..Claims::default() };
    let unsigned = {
        let encode = |text: &str| URL_SAFE_NO_PAD.encode(text);
        format!("{}.{}.", encode(r#"{"alg":"none"}"#), encode(&serde_json::to_string(&claims).unwrap()))
    };
    let none = sign(&secret(), r#"{"alg":"none"}"#, &claims);
    for door in [None, Some(Door::Tcp), Some(Door::unix(false)), Some(Door::unix(true))] {
        for token in ["", "x", &expired, &foreign, &unsigned, &none] {
            let answer = world.send(request(door, Some(&format!("Bearer {token}")))).await;
            answer.is_error(StatusCode::UNAUTHORIZED, "authentication_failed");
            assert_eq!(answer.headers["www-authenticate"], "Bearer");
        }
        for header in ["Basic abc".to_owned(), "Bearer".to_owned(), good.clone()] {
            let answer = world.send(request(door, Some(&header))).await;
            answer.is_error(StatusCode::UNAUTHORIZED, "authentication_failed");
        }
        world.send(request(door, Some(&format!("bearer {good}")))).await.is(StatusCode::OK);
    }
    for door in [None, Some(Door::Tcp), Some(Door::unix(false))] {
        world.send(request(door, None)).await.is_error(StatusCode::UNAUTHORIZED, "authentication_failed");
    }
}

#[tokio::test]
async fn a_trusted_user_of_the_socket_speaks_for_the_default_tenant() {
    let world = World::new();
    world.app("shop").await;
    let door = Some(Door::unix(true));
    let list = world.send(request(door, None)).await.is(StatusCode::OK);
    assert_eq!(list["data"][0]["uid"], "shop");
    // A token is honoured there, too.
    let token = format!("Bearer {}", token_of(org(2)));
    let list = world.send(request(door, Some(&token))).await.is(StatusCode::OK);
    assert_eq!(list["data"], json!([]));
}

#[tokio::test]
async fn what_is_of_another_tenant_or_application_is_not_there() {
    let world = World::new();
    let app = world.app("shop").await;
    let other_app = world.app("other").await;
    let endpoint = world.endpoint("shop", "main").await;
    let message = world.message("shop", "a").await;
    let stranger = world.with_token(token_of(org(2)));
    stranger.app("theirs").await;
    let writes = world.writes();
    let mut bodies = Vec::new();
    for app in [app.as_str(), "shop", "nowhere"] {
        for rest in [
            String::new(),
            "/endpoint".into(),
            format!("/endpoint/{endpoint}"),
            format!("/endpoint/{endpoint}/secret"),
            "/msg".into(),
            format!("/msg/{message}"),
            format!("/msg/{message}/delivery"),
            format!("/attempt/msg/{message}"),
            "/delivery".into(),
            "/dead-letter".into(),
        ] {
            let answer = stranger.get(&format!("/api/v1/app/{app}{rest}")).await;
            answer.is_error(StatusCode::NOT_FOUND, "not_found");
            bodies.push(answer.body);
        }
        let path = format!("/api/v1/app/{app}");
        stranger.delete(&path).await.is_error(StatusCode::NOT_FOUND, "not_found");
        stranger.patch(&path, json!({"name": "x"})).await.is_error(StatusCode::NOT_FOUND, "not_found");
        let sent = stranger.post(&format!("{path}/msg"), json!({"eventType": "a", "payload": {}})).await;
        sent.is_error(StatusCode::NOT_FOUND, "not_found");
    }
    bodies.dedup();
    assert_eq!(bodies.len(), 1, "the answer does not tell whether it is there");
    for rest in [format!("endpoint/{endpoint}"), format!("msg/{message}"), format!("attempt/endpoint/{endpoint}")] {
        let answer = world.get(&format!("/api/v1/app/{other_app}/{rest}")).await;
        answer.is_error(StatusCode::NOT_FOUND, "not_found");
    }
    let path = format!("/api/v1/app/{other_app}/msg/{message}/delivery/{endpoint}/cancel");
    world.post(&path, json!({})).await.is_error(StatusCode::NOT_FOUND, "not_found");
    assert_eq!(world.writes(), writes);
}

fn app_token(org: OrgId, app: &str) -> String {
    let claims = Claims { sub: app.to_owned(), org: Some(org.to_string()), ..Claims::default() };
    sign(&secret(), r#"{"alg":"HS256"}"#, &claims)
}

#[tokio::test]
async fn an_application_token_reaches_its_application_only() {
    let world = World::new();
    let app = world.app("shop").await;
    world.app("other").await;
    let message = world.message("shop", "a").await;
    let own = world.with_token(app_token(org(1), &app));
    own.get("/api/v1/app/shop").await.is(StatusCode::OK);
    own.endpoint("shop", "main").await;
    own.get(&format!("/api/v1/app/shop/msg/{message}")).await.is(StatusCode::OK);
    own.get("/api/v1/event-type").await.is(StatusCode::OK);
    own.get("/api/v1/app/other").await.is_error(StatusCode::NOT_FOUND, "not_found");
    let writes = world.writes();
    let event = json!({"name": "a", "description": ""});
    for (method, path, body) in [
        (Method::GET, "/api/v1/app", json!({})),
        (Method::POST, "/api/v1/app", json!({"name": "x"})),
        (Method::PUT, "/api/v1/app/shop", json!({"name": "x"})),
        (Method::PATCH, "/api/v1/app/shop", json!({"name": "x"})),
        (Method::DELETE, "/api/v1/app/shop", json!({})),
        (Method::POST, "/api/v1/app/shop/msg", json!({"eventType": "a", "payload": {}})),
        (Method::POST, "/api/v1/app/shop/delivery/cancel", json!({})),
        (Method::DELETE, "/api/v1/app/shop/msg/e/content", json!({})),
        (Method::DELETE, "/api/v1/app/shop/dead-letter/e/main", json!({})),
        (Method::DELETE, "/api/v1/app/shop/msg/e/attempt/atmpt_x/content", json!({})),
        (Method::POST, "/api/v1/app/shop/endpoint/main/pause", json!({})),
        (Method::POST, "/api/v1/event-type", event),
        (Method::DELETE, "/api/v1/event-type/a", json!({})),
        (Method::GET, "/api/v1/dead-letter", json!({})),
        (Method::GET, "/api/v1/status", json!({})),
        (Method::POST, "/api/v1/dispatch/pause", json!({})),
    ] {
        let answer = own.raw(method, path, &[], body.to_string()).await;
        answer.is_error(StatusCode::FORBIDDEN, "insufficient_access");
    }
    assert_eq!(world.writes(), writes);
    // One whose tenant and application do not belong together reaches nothing.
    let mixed = world.with_token(app_token(org(2), &app));
    mixed.get("/api/v1/app/shop").await.is_error(StatusCode::NOT_FOUND, "not_found");
}

#[tokio::test]
async fn only_the_operator_pauses_dispatch() {
    let world = World::new();
    let stranger = world.with_token(token_of(org(2)));
    let answer = stranger.post("/api/v1/dispatch/pause", json!({})).await;
    answer.is_error(StatusCode::FORBIDDEN, "insufficient_access");
    assert!(world.fake.state().config.dispatch_paused().is_none());
    world.post("/api/v1/dispatch/pause", json!({})).await.is_empty();
    let status = world.get("/api/v1/status").await.is(StatusCode::OK);
    assert!(status["dispatchPausedAt"].is_string());
    world.post("/api/v1/dispatch/resume", json!({})).await.is_empty();
    assert!(world.fake.state().config.dispatch_paused().is_none());
    world.fake.state().problems = vec!["disk is full".to_owned()];
    let status = world.get("/api/v1/status").await.is(StatusCode::OK);
    assert_eq!((&status["ready"], &status["problems"]), (&json!(false), &json!(["disk is full"])));
    assert_eq!(stranger.get("/api/v1/status").await.is(StatusCode::OK)["problems"], json!([]));
}
