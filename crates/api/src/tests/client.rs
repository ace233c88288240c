//! Asks the router, and compares answers with what Svix's API description says.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::BodyExt as _;
use postrider_model::config::ConfigChange;
use postrider_model::id::OrgId;
use postrider_model::signature::Signature;
use serde_json::{Value, json};

use super::fake::{BODY_LIMIT, Fake, START, Still, org};
use crate::{Api, Door, Limits, Routes, TokenSecret, router, token};

/// The whole API over a fresh fake, with a token of the default tenant.
pub(super) struct World {
    pub(super) fake: Arc<Fake>,
    pub(super) routes: Arc<Routes>,
    token: String,
}

pub(super) fn secret() -> TokenSecret {
    TokenSecret::new(b"a secret for tests, of 32 bytes.".to_vec())
}

pub(super) fn token_of(org: OrgId) -> String {
    token::create(&secret(), org, Duration::from_secs(60), START)
}

impl World {
    pub(super) fn new() -> Self {
        Self::limited(|_| {})
    }

    /// The same with other limits.
    pub(super) fn limited(change: impl FnOnce(&mut Limits)) -> Self {
        let mut limits = Limits {
            body_bytes: BODY_LIMIT,
            envelope_bytes: 500,
            batch_bytes: 60_000,
            bodies_bytes: 1_500,
            ..Limits::default()
        };
        change(&mut limits);
        let fake = Arc::new(Fake::default());
        fake.state().config.apply(&ConfigChange::DefaultOrg(org(1)));
        let api = Api {
            ports: fake.ports(),
            token_secret: secret(),
            url_guard: Arc::new(|url| {
                (url.host_str() == Some("127.0.0.1")).then(|| "leads to a private address".to_owned())
            }),
            signature: Signature::default(),
            clock: Arc::new(Still),
            limits,
        };
        Self { fake, routes: Arc::new(router(api)), token: token_of(org(1)) }
    }

    /// The same service, asked by somebody else.
    pub(super) fn with_token(&self, token: String) -> Self {
        Self { fake: Arc::clone(&self.fake), routes: Arc::clone(&self.routes), token }
    }

    /// Sends a request as it is.
    pub(super) async fn send(&self, request: Request<Body>) -> Answer {
        let door = request.extensions().get().copied().unwrap_or(Door::Tcp);
        let scheme = request.extensions().get().copied().unwrap_or_default();
        let (parts, body) = self.routes.answer(door, scheme, request).await.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        Answer { status: parts.status, headers: parts.headers, body }
    }

    pub(super) async fn raw(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<Body>,
    ) -> Answer {
        let mut request = Request::builder().method(method).uri(path);
        request = request.header("authorization", format!("Bearer {}", self.token));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        self.send(request.body(body.into()).unwrap()).await
    }

    pub(super) async fn get(&self, path: &str) -> Answer {
        self.raw(Method::GET, path, &[], Body::empty()).await
    }

    pub(super) async fn delete(&self, path: &str) -> Answer {
        self.raw(Method::DELETE, path, &[], Body::empty()).await
    }

    pub(super) async fn post(&self, path: &str, body: Value) -> Answer {
        self.raw(Method::POST, path, &[], body.to_string()).await
    }

    pub(super) async fn put(&self, path: &str, body: Value) -> Answer {
        self.raw(Method::PUT, path, &[], body.to_string()).await
    }

    pub(super) async fn patch(&self, path: &str, body: Value) -> Answer {
        self.raw(Method::PATCH, path, &[], body.to_string()).await
    }

    /// Makes an application and gives its id.
    pub(super) async fn app(&self, uid: &str) -> String {
        let made = self.post("/api/v1/app", json!({"name": uid, "uid": uid})).await;
        made.is(StatusCode::CREATED)["id"].as_str().unwrap().to_owned()
    }

    /// Makes an endpoint and gives its id.
    pub(super) async fn endpoint(&self, app: &str, uid: &str) -> String {
        let body = json!({"url": "https://example.com/hook", "uid": uid});
        let made = self.post(&format!("/api/v1/app/{app}/endpoint"), body).await;
        made.is(StatusCode::CREATED)["id"].as_str().unwrap().to_owned()
    }

    /// Sends a message and gives its id.
    pub(super) async fn message(&self, app: &str, event_type: &str) -> String {
        let body = json!({"eventType": event_type, "payload": {"n": 1}});
        let made = self.post(&format!("/api/v1/app/{app}/msg"), body).await;
        made.is(StatusCode::ACCEPTED)["id"].as_str().unwrap().to_owned()
    }

    pub(super) fn writes(&self) -> usize {
        self.fake.state().writes
    }

    /// Each of these bodies is refused, names the field and stores nothing.
    pub(super) async fn refuses(&self, method: Method, path: &str, cases: &[(&str, &[&str])]) {
        let before = self.writes();
        for (body, loc) in cases {
            let answer = self.raw(method.clone(), path, &[], (*body).to_owned()).await;
            answer.is_invalid(loc, body);
        }
        assert_eq!(self.writes(), before, "{method} {path} stored something");
    }
}

/// What came back.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

impl Answer {
    pub(super) fn json(&self) -> Value {
        assert_eq!(self.headers["content-type"], "application/json", "{self:?}");
        serde_json::from_slice(&self.body).unwrap()
    }

    /// The body of an answer that has this status.
    #[track_caller]
    pub(super) fn is(&self, status: StatusCode) -> Value {
        assert_eq!(self.status, status, "{self:?}");
        self.json()
    }

    /// 204, and nothing more.
    #[track_caller]
    pub(super) fn is_empty(&self) {
        assert_eq!((self.status, self.body.len()), (StatusCode::NO_CONTENT, 0), "{self:?}");
    }

    /// An error in the shape `HttpErrorOut`.
    #[track_caller]
    pub(super) fn is_error(&self, status: StatusCode, code: &str) {
        let json = self.is(status);
        assert_eq!(json["code"], code, "{json}");
        assert!(json["detail"].is_string() && json.as_object().unwrap().len() == 2, "{json}");
    }

    /// An error in the shape `HTTPValidationError` whose first item has this place.
    #[track_caller]
    pub(super) fn is_invalid(&self, loc: &[&str], context: &str) {
        assert_eq!(self.status, StatusCode::UNPROCESSABLE_ENTITY, "{context}: {self:?}");
        let json = self.json();
        let item = &json["detail"][0];
        assert_eq!(item["loc"], json!(loc), "{context}: {json}");
        assert!(item["msg"].is_string() && item["type"].is_string(), "{context}: {json}");
    }
}

// The shapes of Svix's API description: name, `!` where it is required, and its
// type. What is not required may be null.
pub(super) const APPLICATION: &str = "createdAt!date-time id!string metadata!object name!string throttleRate:integer \
     uid:string updatedAt!date-time";
pub(super) const ENDPOINT: &str = "channels:array createdAt!date-time description!string disabled!boolean \
     eventTypes:array id!string metadata!object throttleRate:integer uid:string updatedAt!date-time url!string";
pub(super) const EVENT_TYPE: &str = "archived!boolean createdAt!date-time deprecated!boolean description!string \
     featureFlag:string name!string schemas:object updatedAt!date-time";
pub(super) const MESSAGE: &str =
    "channels:array eventId:string eventType!string id!string payload!object timestamp!date-time";
pub(super) const ATTEMPT: &str = "endpointId!string id!string msgId!string response!string \
     responseDurationMs!integer responseStatusCode!integer status!integer statusText!string timestamp!date-time \
     triggerType!integer url!string";
pub(super) const LIST: &str = "data!array done!boolean iterator:string prevIterator:string";

/// Every field of the shape is there and has its type.
#[track_caller]
pub(super) fn has_shape(value: &Value, shape: &str) {
    for field in shape.split_whitespace() {
        let required = field.contains('!');
        let (name, kind) = field.split_once(['!', ':']).unwrap();
        let found = value.get(name).unwrap_or_else(|| panic!("{name} is missing in {value}"));
        if found.is_null() && !required {
            continue;
        }
        let fits = match kind {
            "string" => found.is_string(),
            "integer" => found.is_u64(),
            "boolean" => found.is_boolean(),
            "object" => found.is_object(),
            "array" => found.is_array(),
            "date-time" => found.as_str().is_some_and(|text| text.len() == 24 && text.ends_with('Z')),
            other => panic!("unknown kind {other}"),
        };
        assert!(fits, "{name} is no {kind} in {value}");
    }
}
