//! What Postrider tells of itself to an application.

use serde_json::{Value, json};

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
