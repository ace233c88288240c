//! What an endpoint's policy refuses: the member and what it allows.

use http::{Method, StatusCode};
use serde_json::{Value, json};

use super::client::World;

const PATH: &str = "/api/v1/app/shop/endpoint/main";

async fn world() -> World {
    let world = World::new();
    world.app("shop").await;
    world.endpoint("shop", "main").await;
    world
}

#[tokio::test]
async fn whatever_is_not_allowed_is_answered_with_what_is() {
    let world = world().await;
    let whole = ["-1", "1.5", "\"5\"", "4294967296", "true", "[]"];
    let numbers = [
        ("retryJitterPercent", "0 to 100 are allowed"),
        ("maxAgeS", "60 to 31536000 are allowed"),
        ("maxInFlight", "1 to 4096 are allowed"),
        ("disableAfterS", "0 (never), or 60 to 31536000 are allowed"),
        ("breaker.failures", "1 to 1000 are allowed"),
        ("breaker.pauseMinMs", "100 to 86400000 are allowed"),
        ("breaker.pauseMaxMs", "100 to 86400000 are allowed"),
        ("rate.count", "1 to 10000 a second or 1 to 600000 a minute are allowed"),
        ("rate.burst", "1 to half of `count` are allowed"),
        ("retrySchedule.baseMs", "1 to 2592000000 are allowed"),
        ("retrySchedule.capMs", "1 to 2592000000 are allowed"),
        ("retrySchedule.attempts", "1 to 100 are allowed"),
    ];
    let words = [
        ("rate.per", "must be `second` or `minute`"),
        ("order.by", "must be `key`, `fifo` or `none`"),
        ("order.afterDead", "must be `continue` or `hold`"),
    ];
    let mut cases = vec![
        ("retrySchedule.1", "[0,-1]", "is -1, 0 to 2592000 are allowed"),
        ("retrySchedule.0", "[2592001]", "is 2592001, 0 to 2592000 are allowed"),
        ("retrySchedule", "[]", "a retry schedule has 1 to 100 attempts, not 0"),
        ("retrySchedule.baseMs", "0", "is 0, 1 to 2592000000 are allowed"),
        ("retrySchedule.capMs", "2592000001", "is 2592000001, 1 to 2592000000 are allowed"),
        ("retrySchedule.factor", "0.9", "must be a number, 1 to 10 are allowed"),
        (
            "retrySchedule",
            r#"{"baseMs":9,"factor":2,"capMs":8,"attempts":2}"#,
            "`capMs` is 8, 9 (`baseMs`) to 2592000000 are allowed",
        ),
        ("rate.burst", "5", "is 5, 1 to 4 are allowed"),
    ];
    cases.extend(numbers.iter().flat_map(|(member, allowed)| whole.map(|value| (*member, value, *allowed))));
    let other_words = ["null", "7", "\"x\"", "{}"];
    cases.extend(words.iter().flat_map(|(member, allowed)| other_words.map(|value| (*member, value, *allowed))));
    let before = world.writes();
    for (member, value, says) in cases {
        let body = json!({ "policy": with(member, value) });
        let answer = world.raw(Method::PATCH, PATH, &[], body.to_string()).await;
        let item = answer.is(StatusCode::UNPROCESSABLE_ENTITY)["detail"][0].clone();
        let loc: Vec<&str> = ["body", "policy"].into_iter().chain(member.split('.')).collect();
        let context = format!("{body}: {item}");
        assert_eq!(item["loc"], json!(loc), "{context}");
        assert!(item["msg"].as_str().is_some_and(|msg| msg.ends_with(says)), "{context}");
        assert_ne!(item["type"], "value_error.jsondecode", "it is JSON: {context}");
    }
    assert_eq!(world.writes(), before);
}

/// A policy with this member, and with those that it needs beside it.
fn with(member: &str, value: &str) -> Value {
    let value: Value = serde_json::from_str(value).unwrap();
    let Some((of, name)) = member.split_once('.').filter(|(_, name)| name.parse::<usize>().is_err()) else {
        return json!({ member.split('.').next().unwrap(): value });
    };
    let mut object = match of {
        "rate" => json!({ "count": 9 }),
        "retrySchedule" => json!({ "baseMs": 1, "factor": 2, "capMs": 9, "attempts": 2 }),
        _ => json!({}),
    };
    object[name] = value;
    json!({ of: object })
}

#[tokio::test]
async fn a_code_may_be_a_number_and_is_shown_as_text() {
    let world = world().await;
    let asked = json!({ "policy": { "finalStatuses": [404, "404", "5xx"] } });
    let changed = world.patch(PATH, asked).await.is(StatusCode::OK);
    assert_eq!(changed["policy"]["finalStatuses"], json!(["404", "5xx"]));
    world
        .refuses(
            Method::PATCH,
            PATH,
            &[(r#"{"policy":{"finalStatuses":[200]}}"#, &["body", "policy", "finalStatuses", "0"])],
        )
        .await;
}

#[tokio::test]
async fn the_numbers_beside_a_policy_say_what_they_allow() {
    let world = world().await;
    for (member, says) in [("throttleRate", "1 to 65535 are allowed"), ("timeoutMs", "1000 to 30000 are allowed")] {
        for value in [json!(-1), json!(1.5), json!("5"), json!(0)] {
            let item = world.patch(PATH, json!({ member: value })).await.is(StatusCode::UNPROCESSABLE_ENTITY);
            let item = &item["detail"][0];
            assert_eq!(item["loc"], json!(["body", member]), "{item}");
            assert!(item["msg"].as_str().is_some_and(|msg| msg.ends_with(says)), "{item}");
        }
    }
}
