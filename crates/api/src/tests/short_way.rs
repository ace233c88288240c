//! A message that is sent has a way past the router. What is answered there is
//! what the router answers, to which a name that is escaped leads.

use axum::body::Body;
use http::{Method, Request, StatusCode};
use postrider_model::ports::Unavailable;
use serde_json::{Value, json};

use super::client::{Answer, World, secret, token_of};
use super::fake::{BODY_LIMIT, START, org};
use crate::Door;
use crate::token;

const PLAIN: &str = "/api/v1/app/shop/msg";
const ESCAPED: &str = "/api/v1/app/sh%6Fp/msg";

/// A request that sends a message.
#[derive(Clone, Default)]
struct Case {
    name: &'static str,
    door: Option<Door>,
    query: &'static str,
    token: Option<String>,
    key: Option<&'static str>,
    body: String,
}

impl Case {
    async fn ask(&self, world: &World, path: &str) -> Answer {
        let mut request = Request::builder().method(Method::POST).uri(format!("{path}{}", self.query));
        if let Some(token) = &self.token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        if let Some(key) = self.key {
            request = request.header("idempotency-key", key);
        }
        let mut request = request.body(Body::from(self.body.clone())).unwrap();
        self.door.map(|door| request.extensions_mut().insert(door));
        world.send(request).await
    }
}

fn cases(app: &str) -> Vec<Case> {
    let good = Case {
        name: "good",
        token: Some(token_of(org(1))),
        body: json!({"eventType": "a", "payload": {"n": [1, "ü"]}, "tags": ["x"], "channels": ["c"]}).to_string(),
        ..Case::default()
    };
    let with = |name, change: &dyn Fn(&mut Case)| {
        let mut case = Case { name, ..good.clone() };
        change(&mut case);
        case
    };
    let minute = std::time::Duration::from_secs(60);
    let of_app = token::create_for_application(&secret(), org(1), app.parse().unwrap(), minute, START);
    let large = json!({"eventType": "a", "payload": {"n": "x".repeat(BODY_LIMIT)}}).to_string();
    vec![
        with("without content", &|case| case.query = "?with_content=false"),
        with("a wrong parameter", &|case| case.query = "?with_content=maybe"),
        with("a parameter that is no UTF-8", &|case| case.query = "?a=%FF"),
        with("no token", &|case| case.token = None),
        with("a trusted user", &|case| (case.token, case.door) = (None, Some(Door::unix(true)))),
        with("a user who is not", &|case| (case.token, case.door) = (None, Some(Door::unix(false)))),
        with("a bad token", &|case| case.token = Some("x.y.z".to_owned())),
        with("another tenant", &|case| case.token = Some(token_of(org(2)))),
        with("an application's token", &|case| case.token = Some(of_app.clone())),
        with("a key", &|case| case.key = Some("k-1")),
        with("the key once more", &|case| case.key = Some("k-1")),
        with("a key that is too long", &|case| case.key = Some("kkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkk ")),
        with("no body", &|case| case.body = String::new()),
        with("no JSON", &|case| case.body = "{".to_owned()),
        with("no object", &|case| case.body = "[]".to_owned()),
        with("more than an object", &|case| case.body += "{}"),
        with("a wrong type", &|case| case.body = r#"{"eventType": 1, "payload": {}}"#.to_owned()),
        with("nothing in it", &|case| case.body = "{}".to_owned()),
        with("too large a payload", &|case| case.body.clone_from(&large)),
        with("too large a body", &|case| case.body = "x".repeat(2 * BODY_LIMIT)),
        good,
    ]
}

/// Without what differs from message to message.
fn comparable(answer: &Answer) -> (StatusCode, String, Value) {
    let mut body = answer.json();
    let made = answer.status == StatusCode::ACCEPTED;
    for name in ["id", "timestamp"] {
        let told = body.as_object_mut().and_then(|body| body.remove(name));
        assert_eq!(told.is_some(), made, "{answer:?}");
    }
    let mut headers: Vec<_> = answer.headers.iter().filter(|(name, _)| *name != "content-length").collect();
    headers.sort_by_key(|(name, _)| name.as_str());
    (answer.status, format!("{headers:?}"), body)
}

#[tokio::test]
async fn both_ways_answer_alike() {
    let world = World::new();
    for uid in ["shop", "other"] {
        world.app(uid).await;
    }
    let app = world.get("/api/v1/app/shop").await.json()["id"].as_str().unwrap().to_owned();
    let mut statuses = std::collections::BTreeSet::new();
    for case in cases(&app) {
        let (short, long) = (case.ask(&world, PLAIN).await, case.ask(&world, ESCAPED).await);
        assert_eq!(comparable(&short), comparable(&long), "{}", case.name);
        statuses.insert(short.status.as_u16());
        let unknown = (case.ask(&world, "/api/v1/app/no/msg").await, case.ask(&world, "/api/v1/app/n%6F/msg").await);
        assert_eq!(comparable(&unknown.0), comparable(&unknown.1), "{} to nobody", case.name);
        statuses.insert(unknown.0.status.as_u16());
    }
    assert_eq!(Vec::from_iter(statuses), [202, 401, 403, 404, 413, 422]);
}

#[tokio::test]
async fn both_ways_say_alike_that_nothing_is_taken_in() {
    let world = World::new();
    let app = world.app("shop").await;
    let good = cases(&app).pop().unwrap();
    for unavailable in [Unavailable::DiskFull, Unavailable::TooManyPending { limit: 5 }] {
        world.fake.state().unavailable = Some(unavailable);
        let (short, long) = (good.ask(&world, PLAIN).await, good.ask(&world, ESCAPED).await);
        assert_eq!(comparable(&short), comparable(&long));
        assert!(short.headers.contains_key("retry-after"), "{short:?}");
    }
}
