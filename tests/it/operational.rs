//! What Postrider tells of itself to an application.

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};
use svix::api::{
    EndpointCreatedEvent, EndpointDeletedEvent, EndpointDisabledEvent, EndpointEnabledEvent, EndpointUpdatedEvent,
    MessageAttemptExhaustedEvent, MessageAttemptFailingEvent,
};

use crate::support::{Api, Receiver, Reply, Server, Setup, until};

fn setup() -> Setup {
    let told = Setup::new().set("operational_events.application", "ops").set("operational_events.failing_after", "1");
    told.set("retry.schedule", "0,0")
}

/// An application that is told, with its receiver.
async fn told_to(api: &Api) -> Receiver {
    let ops = Receiver::start().await;
    api.register("ops", &ops).await;
    ops
}

/// What was told, in its order.
async fn told(api: &Api) -> Vec<Value> {
    let list = api.get("/app/ops/msg?order=ascending&limit=250&with_content=true").await;
    let told = list["data"].as_array().expect("a list has members").clone();
    for message in &told {
        assert_eq!(message["eventType"], message["payload"]["type"]);
    }
    told.into_iter().map(|message| message["payload"].clone()).collect()
}

fn types(told: &[Value]) -> Vec<&str> {
    told.iter().map(|event| event["type"].as_str().expect("each has one")).collect()
}

/// Svix's own type for an event reads these members of its data, and as they are.
#[track_caller]
fn assert_read_as<T: DeserializeOwned + Serialize>(told: &[Value], event_type: &str, members: &[&str]) {
    let event = told.iter().find(|event| event["type"] == event_type).unwrap_or_else(|| panic!("no {event_type}"));
    let read: T = serde_json::from_value(event.clone()).unwrap_or_else(|error| panic!("{error}: {event}"));
    let read = serde_json::to_value(read).expect("it is an object");
    let said: Map<String, Value> = members.iter().map(|&name| (name.to_owned(), event["data"][name].clone())).collect();
    assert_eq!(read, json!({ "type": event_type, "data": said }));
}

#[tokio::test]
async fn changes_of_endpoints_are_told_in_their_order_and_delivered_as_all_messages_are() {
    let (server, receiver) = (setup().start().await, Receiver::start().await);
    let api = server.api();
    let ops = told_to(&api).await;
    api.app("shop").await;
    let endpoint = api.endpoint("shop", &receiver, json!({ "uid": "main" })).await;
    let path = "/app/shop/endpoint/main";
    api.patch(path, json!({ "description": "d" })).await;
    api.patch(path, json!({ "description": "d" })).await;
    api.post(&format!("{path}/secret/rotate"), json!({})).await;
    api.set(&endpoint, "disabled").await;
    api.patch(path, json!({ "disabled": false, "description": "e" })).await;
    api.set(&endpoint, "paused").await;
    assert_eq!(api.call("DELETE", path, &Value::Null).await.status, 204);

    let expected = [
        "endpoint.created",
        "endpoint.updated",
        "endpoint.updated",
        "endpoint.disabled",
        "endpoint.enabled",
        "endpoint.updated",
        "endpoint.deleted",
    ];
    let told = told(&api).await;
    assert_eq!(types(&told), expected);
    let app = api.get("/app/shop").await["id"].clone();
    for event in &told {
        let data = &event["data"];
        assert_eq!((&data["appId"], data["appUid"].as_str()), (&app, Some("shop")), "{event}");
        assert_eq!((data["endpointId"].as_str(), &data["endpointUid"]), (Some(&*endpoint.id), &json!("main")));
    }
    let disabled = &told[3]["data"];
    assert_eq!((&disabled["trigger"], &disabled["reason"]), (&json!("manual"), &Value::Null));
    assert!(disabled["failSince"].is_string(), "{disabled}");
    let mut arrived = ops.expect(expected.len()).await;
    arrived.sort_by_key(|arrival| arrival.id().to_owned());
    let arrived: Vec<Value> = arrived.iter().map(|one| serde_json::from_slice(&one.body).expect("JSON")).collect();
    assert_eq!(arrived, told);
}

#[tokio::test]
async fn failing_giving_up_and_recovering_are_told_once_a_minute() {
    let (server, receiver) = (setup().start().await, Receiver::start().await);
    receiver.next([400, 400, 400, 400, 200].map(Reply::Status));
    let api = server.api();
    told_to(&api).await;
    let endpoint = api.register("shop", &receiver).await;
    let one = api.send("shop", "order.paid", json!({})).await;
    api.until_state(&endpoint, &one, "dead").await;
    let two = api.send("shop", "order.paid", json!({})).await;
    api.until_state(&endpoint, &two, "dead").await;
    let three = api.send("shop", "order.paid", json!({})).await;
    api.until_state(&endpoint, &three, "delivered").await;

    let told = told(&api).await;
    let expected = ["endpoint.created", "message.attempt.failing", "message.attempt.exhausted", "endpoint.recovered"];
    assert_eq!(types(&told), expected, "{told:#?}");
    let attempts = api.attempts("shop", &one).await;
    for (event, attempt) in told[1..3].iter().zip(&attempts) {
        let data = &event["data"];
        assert_eq!((data["msgId"].as_str(), data["count"].as_u64()), (Some(&*one), Some(1)), "{event}");
        let last = &data["lastAttempt"];
        assert_eq!((&last["id"], last["responseStatusCode"].as_u64()), (&attempt["id"], Some(400)), "{event}");
    }
    assert_eq!(told[2]["data"]["reason"], "attempts_exhausted");
    assert_eq!((&told[3]["data"]["msgId"], told[3]["data"]["failSince"].is_string()), (&json!(three), true));

    // What was counted is told when the minute is over, and at a stop without waiting for that.
    let server = server.stop().await.start().await;
    let told = self::told(&server.api()).await;
    assert_eq!(types(&told[4..]), ["message.attempt.failing", "message.attempt.exhausted"], "{told:#?}");
    for event in &told[4..] {
        let data = &event["data"];
        assert_eq!((data["msgId"].as_str(), data["count"].as_u64()), (Some(&*two), Some(1)), "{event}");
    }
}

#[tokio::test]
async fn an_endpoint_that_disables_itself_is_told_with_its_reason() {
    let (server, receiver) = (setup().start().await, Receiver::start().await);
    receiver.next([Reply::Status(410)]);
    let api = server.api();
    let ops = told_to(&api).await;
    let endpoint = api.register("shop", &receiver).await;
    let message = api.send("shop", "order.paid", json!({})).await;
    api.until_waits(&endpoint, &message, "endpoint_disabled_by_410").await;
    ops.expect(2).await;
    let told = told(&api).await;
    let disabled = told.iter().find(|event| event["type"] == "endpoint.disabled").expect("it is told");
    let data = &disabled["data"];
    assert_eq!((&data["trigger"], &data["reason"]), (&json!("automatic"), &json!("gone")), "{disabled}");
}

#[tokio::test]
async fn svixs_own_types_read_what_is_told() {
    let (server, receiver) = (setup().start().await, Receiver::start().await);
    receiver.next([400, 400].map(Reply::Status));
    let api = server.api();
    told_to(&api).await;
    api.app("shop").await;
    let endpoint = api.endpoint("shop", &receiver, json!({ "uid": "main" })).await;
    let message = api.send("shop", "order.paid", json!({})).await;
    api.until_state(&endpoint, &message, "dead").await;
    let path = "/app/shop/endpoint/main";
    api.patch(path, json!({ "description": "d" })).await;
    api.set(&endpoint, "disabled").await;
    api.set(&endpoint, "enabled").await;
    assert_eq!(api.call("DELETE", path, &Value::Null).await.status, 204);

    let told = told(&api).await;
    let whose = ["appId", "appUid", "endpointId", "endpointUid"];
    assert_read_as::<EndpointCreatedEvent>(&told, "endpoint.created", &whose);
    assert_read_as::<EndpointUpdatedEvent>(&told, "endpoint.updated", &whose);
    assert_read_as::<EndpointEnabledEvent>(&told, "endpoint.enabled", &whose);
    assert_read_as::<EndpointDeletedEvent>(&told, "endpoint.deleted", &whose);
    let how = [&whose[..], &["failSince", "trigger"]].concat();
    assert_read_as::<EndpointDisabledEvent>(&told, "endpoint.disabled", &how);
    let which = ["appId", "appUid", "endpointId", "msgId", "lastAttempt"];
    assert_read_as::<MessageAttemptFailingEvent>(&told, "message.attempt.failing", &which);
    assert_read_as::<MessageAttemptExhaustedEvent>(&told, "message.attempt.exhausted", &which);
}

#[tokio::test]
async fn what_dies_without_an_attempt_is_told_without_one_which_svixs_type_does_not_read() {
    let (server, receiver) = (setup().start().await, Receiver::start().await);
    let api = server.api();
    told_to(&api).await;
    let endpoint = api.register("shop", &receiver).await;
    api.set(&endpoint, "paused").await;
    let message = api.send("shop", "order.paid", json!({})).await;
    server.run(&["message", "expunge", "--app", "shop", &message]).ok();
    api.until_state(&endpoint, &message, "dead").await;

    let told = told(&api).await;
    assert_read_as::<EndpointCreatedEvent>(&told, "endpoint.created", &["appId", "appUid", "endpointId"]);
    let data = &told[1]["data"];
    assert_eq!((&data["reason"], &data["msgId"]), (&json!("payload_expunged"), &json!(message)));
    let refused = serde_json::from_value::<MessageAttemptExhaustedEvent>(told[1].clone()).expect_err("it lacks one");
    assert!(refused.to_string().contains("missing field `lastAttempt`"), "{refused}");
}

#[tokio::test]
async fn what_befalls_the_application_itself_is_not_told() {
    let (server, receiver, ops) = (setup().start().await, Receiver::start().await, Receiver::start().await);
    ops.next([500, 500, 500, 200, 410].map(Reply::Status));
    let api = server.api();
    let own = api.register("ops", &ops).await;
    let shop = api.register("shop", &receiver).await.id;
    let path = format!("/app/shop/endpoint/{shop}");
    let change = async |text: &str| api.patch(&path, json!({ "description": text })).await;
    let newest = async || {
        let list = api.get("/app/ops/msg?limit=1").await;
        list["data"][0]["id"].as_str().expect("there is one").to_owned()
    };
    api.until_state(&own, &newest().await, "dead").await;
    change("which fails, and recovers").await;
    let recovered = api.until_state(&own, &newest().await, "delivered").await;
    assert_eq!(recovered["attempt"], 2);
    change("which is not wanted").await;
    api.until_waits(&own, &newest().await, "endpoint_disabled_by_410").await;
    let told = told(&api).await;
    assert_eq!(types(&told), ["endpoint.created", "endpoint.updated", "endpoint.updated"]);
    assert!(told.iter().all(|event| event["data"]["endpointId"] == shop.as_str()), "{told:#?}");
}

#[tokio::test]
async fn after_kills_there_is_one_event_for_each_endpoint_that_is_there() {
    let receiver = Receiver::start().await;
    let mut server = setup().start().await;
    told_to(&server.api()).await;
    server.api().app("shop").await;
    let mut made = 0;
    for round in 0..5 {
        let api = server.api();
        let body = json!({ "url": receiver.url() });
        let makers: Vec<_> = (0..4)
            .map(|_| {
                let (api, body) = (api.clone(), body.clone());
                tokio::spawn(async move {
                    loop {
                        api.call("POST", "/app/shop/endpoint", &body).await;
                    }
                })
            })
            .collect();
        until("more endpoints", async || {
            let list = api.get("/app/shop/endpoint?limit=250").await;
            (list["data"].as_array().map_or(0, Vec::len) > made + round).then_some(())
        })
        .await;
        let setup = server.kill().await;
        for maker in makers {
            maker.abort();
        }
        server = setup.start().await;
        let list = server.api().get("/app/shop/endpoint?limit=250").await;
        let mut there: Vec<_> =
            list["data"].as_array().expect("a list has members").iter().map(|one| one["id"].clone()).collect();
        let told = told(&server.api()).await;
        let mut named: Vec<_> = told.iter().map(|event| event["data"]["endpointId"].clone()).collect();
        there.sort_by_key(ToString::to_string);
        named.sort_by_key(ToString::to_string);
        assert_eq!(named, there, "round {round}");
        made = there.len();
    }
}

#[tokio::test]
async fn without_the_application_there_is_a_warning_and_nothing_else_changes() {
    let (mut server, receiver) = (setup().start().await, Receiver::start().await);
    let is_said = |line: &Value| line["level"] == "WARN" && line["application"] == "ops";
    assert!(server.process.line(is_said).await.is_some());
    let api = server.api();
    let endpoint = api.register("shop", &receiver).await;
    let message = api.send("shop", "order.paid", json!({})).await;
    api.until_state(&endpoint, &message, "delivered").await;
    // It may come later, and go again.
    told_to(&api).await;
    api.patch(&format!("/app/shop/endpoint/{}", endpoint.id), json!({ "description": "d" })).await;
    assert_eq!(types(&told(&api).await), ["endpoint.updated"]);
    assert_eq!(api.call("DELETE", "/app/ops", &Value::Null).await.status, 204);
    let is_gone = |line: &Value| is_said(line) && line["message"].as_str().is_some_and(|text| text.contains("is gone"));
    assert!(server.process.line(is_gone).await.is_some());
}

#[tokio::test]
async fn a_full_application_costs_its_own_events_only() {
    let (server, receiver) =
        (setup().set("limits.pending_per_application", "1").start().await, Receiver::start().await);
    let api = server.api();
    let ops = Receiver::start().await;
    ops.always(Reply::Hang);
    api.register("ops", &ops).await;
    let endpoint = api.register("shop", &receiver).await;
    let message = api.send("shop", "order.paid", json!({})).await;
    api.until_state(&endpoint, &message, "delivered").await;
    api.patch(&format!("/app/shop/endpoint/{}", endpoint.id), json!({ "description": "d" })).await;
    assert_eq!(types(&told(&api).await), ["endpoint.created"]);
    let metrics = server.metrics().await;
    assert_eq!(metrics.sum("postrider_operational_events_dropped_total", "too_many_pending"), 1.0);
}

#[tokio::test]
async fn what_is_configured_wrongly_is_refused_by_name() {
    for (key, value) in [("operational_events.failing_after", "0"), ("operational_events.application", "no such/name")]
    {
        let ended = Setup::new().set(key, value).refused().await;
        assert_eq!(ended.code, Some(64), "{ended:?}");
        assert!(ended.stderr.contains(&format!("{key}: ")), "{ended:?}");
    }
    let server = Server::start().await;
    assert!(!server.log().contains("operational"), "nothing is said where nothing is asked for");
}
