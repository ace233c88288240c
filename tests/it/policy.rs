//! An endpoint's own rules of delivery, from the API to the wire.

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::support::{Api, Endpoint, Receiver, Reply, Setup, until};

async fn with_policy(api: &Api, receiver: &Receiver, policy: Value) -> Endpoint {
    api.app("shop").await;
    api.endpoint("shop", receiver, json!({ "policy": policy })).await
}

async fn flow_until(api: &Api, endpoint: &Endpoint, member: &str, value: &str) -> Value {
    let path = format!("/app/shop/endpoint/{}/flow", endpoint.id);
    until(format!("the flow with {member} {value}"), async || {
        Some(api.get(&path).await).filter(|flow| flow[member] == value)
    })
    .await
}

#[tokio::test]
async fn a_final_answer_makes_a_dead_letter_at_once() {
    let (server, receiver) = (Setup::new().start().await, Receiver::start().await);
    let api = server.api();
    let endpoint = with_policy(&api, &receiver, json!({ "finalStatuses": ["4xx"] })).await;
    receiver.always(Reply::Status(404));
    let message = api.send("shop", "order.paid", json!({})).await;
    let delivery = api.until_state(&endpoint, &message, "dead").await;
    assert_eq!((&delivery["reason"], &delivery["attempt"]), (&json!("refused"), &json!(1)));
}

#[tokio::test]
async fn another_schedule_counts_at_once_and_is_kept() {
    let (server, receiver) = (Setup::new().start().await, Receiver::start().await);
    let api = server.api();
    let hour = json!({ "retrySchedule": [0, 3600], "maxInFlight": 2 });
    let endpoint = with_policy(&api, &receiver, hour).await;
    receiver.next([Reply::Status(500)]);
    let message = api.send("shop", "order.paid", json!({})).await;
    api.until_waits(&endpoint, &message, "not_due").await;
    let path = format!("/app/shop/endpoint/{}", endpoint.id);
    let changed = api
        .patch(&path, json!({ "policy": { "retrySchedule": { "baseMs": 1, "factor": 2, "capMs": 9, "attempts": 3 } } }))
        .await;
    assert_eq!(changed["policy"]["maxInFlight"], 2, "what is not named stays");
    api.until_state(&endpoint, &message, "delivered").await;

    let server = server.stop().await.start().await;
    let kept = server.api().get(&path).await;
    assert_eq!(kept["policy"], changed["policy"]);
    let cleared = server.api().patch(&path, json!({ "policy": { "retrySchedule": null } })).await;
    assert_eq!(cleared["policy"], json!({ "maxInFlight": 2 }));
    let shown = server.run(&["endpoint", "update", "--app", "shop", &endpoint.id, "--policy", r#"{"maxAgeS":90}"#]);
    assert_eq!(shown.ok().json()["policy"], json!({ "maxInFlight": 2, "maxAgeS": 90 }));
}

#[tokio::test]
async fn a_rate_says_until_when_it_holds_a_delivery() {
    let (server, receiver) = (Setup::new().start().await, Receiver::start().await);
    let api = server.api();
    let endpoint = with_policy(&api, &receiver, json!({ "rate": { "count": 1, "per": "minute" } })).await;
    let message = api.send("shop", "order.paid", json!({})).await;
    let delivery = api.until_waits(&endpoint, &message, "rate_limited").await;
    assert!(delivery["waits"]["until"].as_str().is_some_and(|until| until > "2026"), "{delivery}");
    let shown = server.run(&["message", "show", "--app", "shop", &message]);
    assert_eq!(shown.ok().json()["deliveries"][0]["waits"]["reason"], "rate_limited");
    assert_eq!(receiver.arrivals().len(), 0);
    api.patch(&format!("/app/shop/endpoint/{}", endpoint.id), json!({ "policy": null })).await;
    api.until_state(&endpoint, &message, "delivered").await;
}

#[tokio::test]
async fn the_servers_rate_counts_where_an_endpoint_has_none_of_its_own() {
    let setup = Setup::new();
    let file = setup.home().join("postrider.toml");
    std::fs::write(&file, "[rate]\ncount = 1\nper = \"minute\"\n").expect("it can be written");
    let setup = setup.argument("--config").argument(&file.display().to_string());
    let (mut server, receiver) = (setup.start().await, Receiver::start().await);
    let api = server.api();
    let unlimited = with_policy(&api, &receiver, json!({ "rate": { "count": 10_000 } })).await;
    let usual = api.endpoint("shop", &receiver, json!({ "policy": { "maxInFlight": 2 } })).await;
    let message = api.send("shop", "order.paid", json!({})).await;
    api.until_state(&unlimited, &message, "delivered").await;
    api.until_waits(&usual, &message, "rate_limited").await;

    std::fs::write(&file, "").expect("it can be written");
    server.process.signal(Signal::HUP);
    let reloaded = server.process.line(|line| line["message"] == "configuration reloaded").await;
    assert_eq!(reloaded.expect("it says so")["keys"], "rate.count, rate.per");
    api.until_state(&usual, &message, "delivered").await;
}

#[tokio::test]
async fn a_breaker_is_closed_open_half_open_and_closed_again() {
    let (server, receiver) = (Setup::new().start().await, Receiver::start().await);
    let api = server.api();
    let breaker = json!({ "failures": 1, "pauseMinMs": 100, "pauseMaxMs": 86_400_000 });
    let endpoint = with_policy(&api, &receiver, json!({ "breaker": breaker, "retrySchedule": [0, 0, 0, 0] })).await;
    flow_until(&api, &endpoint, "breaker", "closed").await;
    receiver.next([Reply::Status(500), Reply::Held]);
    let message = api.send("shop", "order.paid", json!({})).await;
    receiver.expect(2).await;
    flow_until(&api, &endpoint, "breaker", "half_open").await;
    let second = api.send("shop", "order.paid", json!({})).await;
    api.until_waits(&endpoint, &second, "breaker_half_open").await;
    receiver.release();
    api.until_state(&endpoint, &message, "delivered").await;
    api.until_state(&endpoint, &second, "delivered").await;
    flow_until(&api, &endpoint, "breaker", "closed").await;

    let day = json!({ "failures": 1, "pauseMinMs": 86_400_000, "pauseMaxMs": 86_400_000 });
    api.patch(&format!("/app/shop/endpoint/{}", endpoint.id), json!({ "policy": { "breaker": day } })).await;
    receiver.always(Reply::Status(500));
    let third = api.send("shop", "order.paid", json!({})).await;
    let open = flow_until(&api, &endpoint, "breaker", "open").await;
    assert!(open["openUntil"].is_string(), "{open}");
    let waits = api.until_waits(&endpoint, &third, "breaker_open").await;
    assert!(waits["waits"]["until"].is_string(), "{waits}");
    let shown = server.run(&["endpoint", "flow", "--app", "shop", &endpoint.id]);
    assert_eq!(shown.ok().json()["breaker"], "open");
}

#[tokio::test]
async fn an_endpoint_that_only_fails_is_disabled_and_loses_nothing() {
    let setup = Setup::new()
        .set("breaker.disable_after", "1s")
        .set("breaker.failures", "1000")
        .set("retry.schedule", "0,1,1,1,1,1,1,1,1");
    let (mut server, receiver) = (setup.start().await, Receiver::start().await);
    let api = server.api();
    let endpoint = api.register("shop", &receiver).await;
    receiver.always(Reply::Status(500));
    let message = api.send("shop", "order.paid", json!({})).await;
    flow_until(&api, &endpoint, "held", "endpoint_disabled_by_failures").await;
    let path = format!("/app/shop/endpoint/{}", endpoint.id);
    let shown = api.get(&path).await;
    assert_eq!((&shown["disabled"], &shown["disabledReason"]), (&json!(true), &json!("failures")));
    let said = server.process.line(|line| line["level"] == "WARN" && line["endpoint"] == endpoint.id.as_str()).await;
    let said = said.expect("the operator is told");
    assert!(said["application"].as_str().is_some_and(|app| app.starts_with("app_")), "{said}");
    assert!(said["failing_s"].as_u64().is_some_and(|failing| failing >= 1), "{said}");
    let delivery = api.until_waits(&endpoint, &message, "endpoint_disabled_by_failures").await;
    assert_eq!(delivery["state"], "scheduled");
    receiver.always(Reply::Status(200));
    api.set(&endpoint, "enabled").await;
    api.until_state(&endpoint, &message, "delivered").await;
    assert_eq!(api.get(&path).await["disabledReason"], Value::Null);
    api.set(&endpoint, "disabled").await;
    assert_eq!(api.get(&path).await["disabledReason"], Value::Null, "somebody asked for it");
}

#[tokio::test]
async fn since_when_an_endpoint_fails_is_known_after_a_restart() {
    let (server, receiver) = (Setup::new().start().await, Receiver::start().await);
    let api = server.api();
    let endpoint = api.register("shop", &receiver).await;
    receiver.always(Reply::Status(500));
    let message = api.send("shop", "order.paid", json!({})).await;
    api.until_waits(&endpoint, &message, "not_due").await;
    let path = format!("/app/shop/endpoint/{}/flow", endpoint.id);
    let before = api.get(&path).await;
    assert!(before["failingSince"].is_string(), "{before}");
    let server = server.stop().await.start().await;
    let api = server.api();
    api.until_waits(&endpoint, &message, "not_due").await;
    assert_eq!(api.get(&path).await["failingSince"], before["failingSince"]);
}

#[tokio::test]
async fn every_rule_out_of_range_is_refused_with_its_name_and_bounds() {
    let (server, receiver) = (Setup::new().start().await, Receiver::start().await);
    let api = server.api();
    let endpoint = api.register("shop", &receiver).await;
    let path = format!("/app/shop/endpoint/{}", endpoint.id);
    for (policy, field, says) in [
        (json!({ "retrySchedule": [] }), "retrySchedule", "1 to 100 attempts"),
        (json!({ "retrySchedule": [-1] }), "retrySchedule", "0 to 2592000"),
        (json!({ "retrySchedule": [0, 2_592_001] }), "retrySchedule", "0 to 2592000"),
        (
            json!({ "retrySchedule": { "baseMs": 1, "factor": 0.5, "capMs": 1, "attempts": 2 } }),
            "retrySchedule",
            "1 to 10",
        ),
        (json!({ "retryJitterPercent": 101 }), "retryJitterPercent", "0 to 100"),
        (json!({ "maxAgeS": 59 }), "maxAgeS", "60 to 31536000"),
        (json!({ "finalStatuses": ["429"] }), "finalStatuses", "300 to 599"),
        (json!({ "rate": { "count": 10_001 } }), "rate", "1 to 10000"),
        (json!({ "rate": { "count": 2, "burst": 3 } }), "rate", "1 to 1 "),
        (json!({ "rate": { "count": 2, "per": "hour" } }), "rate", "minute"),
        (json!({ "maxInFlight": 0 }), "maxInFlight", "1 to 4096"),
        (json!({ "breaker": { "failures": 0, "pauseMinMs": 100, "pauseMaxMs": 100 } }), "breaker", "1 to 1000"),
        (json!({ "breaker": { "failures": 1, "pauseMinMs": 100, "pauseMaxMs": 99 } }), "breaker", "100 to 86400000"),
        (json!({ "disableAfterS": 1 }), "disableAfterS", "60 to 31536000"),
        (json!({ "maxInFlght": 1 }), "policy", "maxInFlght"),
    ] {
        let answer = api.call("PATCH", &path, &json!({ "policy": policy })).await;
        let detail = answer.json()["detail"].clone();
        assert_eq!(answer.status, 422, "{policy}: {detail}");
        let text = detail.to_string();
        assert!(text.contains(field) && text.contains(says), "{policy}: {text}");
    }
    let rate = json!({ "policy": { "rate": { "count": 7 } } });
    assert_eq!(api.patch(&path, rate).await["throttleRate"], Value::Null);
    let throttled = api.patch(&path, json!({ "throttleRate": 5 })).await;
    assert_eq!((&throttled["throttleRate"], &throttled["policy"]), (&json!(5), &json!({})), "the newer one counts");
    api.patch(&path, json!({ "throttleRate": null })).await;
    let both = json!({ "throttleRate": 5, "policy": { "rate": { "count": 1 } } });
    assert_eq!(api.call("PATCH", &path, &both).await.status, 422);
    assert_eq!(api.get(&path).await["policy"], json!({}), "nothing was changed");
}
