//! Which payloads an endpoint gets: wildcards of event types, filters, and what would happen.

use serde_json::{Value, json};

use crate::support::{Receiver, Server, until};

fn reasons(answer: &Value) -> Vec<(String, bool, Value, Value)> {
    let endpoints = answer["endpoints"].as_array().expect("a list").iter();
    let read = |endpoint: &Value| {
        let uid = endpoint["endpointUid"].as_str().unwrap_or_default().to_owned();
        (uid, endpoint["matches"] == true, endpoint["reason"].clone(), endpoint["held"].clone())
    };
    endpoints.map(read).collect()
}

#[tokio::test]
async fn a_wildcard_stands_for_all_types_below() {
    let (server, receiver) = (Server::start().await, Receiver::start().await);
    let api = server.api();
    api.app("shop").await;
    let made = server.run(&[
        "endpoint",
        "create",
        "--app",
        "shop",
        "--url",
        &receiver.url(),
        "--event-type",
        "order.*",
        "--uid",
        "main",
    ]);
    assert_eq!(made.json()["eventTypes"], json!(["order.*"]));
    api.send("shop", "order", json!({})).await;
    api.send("shop", "orders.paid", json!({})).await;
    let wanted =
        [api.send("shop", "order.paid", json!({})).await, api.send("shop", "order.item.sent", json!({})).await];
    receiver.expect(2).await;
    let mut ids = receiver.ids();
    ids.sort();
    assert_eq!(ids, wanted);
    let polled = api.get("/app/shop/poller/main").await;
    let polled: Vec<_> = polled["data"].as_array().expect("a list").iter().map(|message| &message["id"]).collect();
    assert_eq!(polled, [&wanted[0], &wanted[1]], "a poller is shown the same");
}

#[tokio::test]
async fn a_filter_holds_back_what_it_does_not_let_through() {
    let (server, receiver, other) = (Server::start().await, Receiver::start().await, Receiver::start().await);
    let api = server.api();
    let to_all = api.register("shop", &other).await;
    let filter = "@.amount > 100 && @.currency == \"EUR\"";
    let made = server.run(&[
        "endpoint",
        "create",
        "--app",
        "shop",
        "--url",
        &receiver.url(),
        "--uid",
        "rich",
        "--filter",
        filter,
    ]);
    assert_eq!(made.json()["filter"], filter);
    let small = api.send("shop", "order.paid", json!({ "amount": 17, "currency": "EUR" })).await;
    let large = api.send("shop", "order.paid", json!({ "amount": 170, "currency": "EUR" })).await;
    let mut ingest = server.ingest().await;
    let text = json!({ "app": "shop", "type": "order.paid", "payload_base64": "aGk=", "content_type": "text/plain" });
    let text = ingest.accepted(text).await;
    for message in [&small, &large, &text] {
        api.until_state(&to_all, message, "delivered").await;
    }
    receiver.expect(1).await;
    assert_eq!(receiver.ids(), std::slice::from_ref(&large));

    let deliveries = api.get(&format!("/app/shop/msg/{small}/delivery")).await;
    let deliveries = deliveries["data"].as_array().expect("a list").clone();
    assert_eq!(deliveries.len(), 1, "there is no delivery to whom it was held back from: {deliveries:?}");
    let stats = server.run(&["endpoint", "stats", "--app", "shop", "rich"]).json();
    assert_eq!((&stats["filtered"], &stats["success"]), (&json!(2), &json!(1)));
    let scraped = server.metrics().await;
    assert_eq!(scraped.sum("postrider_filtered_total", ""), 2.0);

    // It counts from the change on, for messages that come, and for those that are asked for again.
    api.patch("/app/shop/endpoint/rich", json!({ "filter": "@.amount < 100" })).await;
    let missed = api.post("/app/shop/endpoint/rich/replay-missing", json!({ "since": "2026-01-01T00:00:00Z" })).await;
    let path = format!("/background-task/{}", missed["id"].as_str().expect("an id"));
    let done = async || Some(api.get(&path).await).filter(|task| task["status"] == "finished");
    until("the task to finish", done).await;
    receiver.expect(2).await;
    assert_eq!(receiver.ids(), [large, small]);

    server.run(&["endpoint", "update", "--app", "shop", "rich", "--filter", ""]).ok();
    assert_eq!(api.get("/app/shop/endpoint/rich").await["filter"], Value::Null);
}

#[tokio::test]
async fn a_filter_counts_after_a_restart_and_what_is_for_one_endpoint_goes_round_it() {
    let (server, receiver) = (Server::start().await, Receiver::start().await);
    let api = server.api();
    api.app("shop").await;
    let endpoint = api.endpoint("shop", &receiver, json!({ "uid": "main", "filter": "@.go" })).await;
    let server = server.stop().await.start().await;
    let api = server.api();
    assert_eq!(api.get("/app/shop/endpoint/main").await["filter"], "@.go");
    let held = api.send("shop", "order.paid", json!({ "stay": true })).await;
    let gone = api.send("shop", "order.paid", json!({ "go": false })).await;
    api.until_state(&endpoint, &gone, "delivered").await;
    let example = api.post("/app/shop/endpoint/main/send-example", json!({ "eventType": "order.paid" })).await;
    receiver.expect(2).await;
    assert_eq!(receiver.ids(), [gone, example["id"].as_str().expect("an id").to_owned()]);
    // As is what a person sends to it by name.
    api.post(&format!("/app/shop/msg/{held}/endpoint/main/resend"), Value::Null).await;
    receiver.expect(3).await;
}

#[tokio::test]
async fn a_dry_run_says_who_would_get_it_and_why_not_and_stores_nothing() {
    let (server, receiver) = (Server::start().await, Receiver::start().await);
    let api = server.api();
    api.app("shop").await;
    for (uid, more) in [
        ("all", json!({})),
        ("types", json!({ "eventTypes": ["user.*"] })),
        ("channels", json!({ "channels": ["eu"] })),
        ("filter", json!({ "filter": "@.amount > 100" })),
        ("small", json!({ "filter": "@.amount < 100", "disabled": true })),
    ] {
        let mut more = more;
        more["uid"] = json!(uid);
        api.endpoint("shop", &receiver, more).await;
    }
    api.post("/app/shop/endpoint/all/pause", Value::Null).await;
    let said =
        server.run(&["message", "dry-run", "--app", "shop", "--type", "order.paid", "--payload", r#"{"amount":17}"#]);
    let row = |uid: &str, matches, reason: Value, held: Value| (uid.to_owned(), matches, reason, held);
    let expected = [
        row("all", true, Value::Null, json!("endpoint_paused")),
        row("types", false, json!("event_type"), Value::Null),
        row("channels", false, json!("channels"), Value::Null),
        row("filter", false, json!("filter"), Value::Null),
        row("small", true, Value::Null, json!("endpoint_disabled")),
    ];
    assert_eq!(reasons(&said.json()), expected);
    api.post("/dispatch/pause", Value::Null).await;
    let body = json!({ "eventType": "user.new", "payload": {}, "channels": ["eu"] });
    let said = api.post("/app/shop/msg/precheck/dry-run", body).await;
    assert_eq!(reasons(&said)[1], row("types", true, Value::Null, json!("dispatch_paused")));
    assert_eq!(api.get("/app/shop/msg").await["data"], json!([]));
    assert_eq!(receiver.arrivals().len(), 0);

    for (body, place) in [
        (json!({ "payload": {} }), "eventType"),
        (json!({ "eventType": "a b", "payload": {} }), "eventType"),
        (json!({ "eventType": "a.b" }), "payload"),
        (json!({ "eventType": "a.b", "payload": {}, "channels": ["a b"] }), "channels"),
    ] {
        let answer = api.call("POST", "/app/shop/msg/precheck/dry-run", &body).await;
        assert_eq!((answer.status, &answer.json()["detail"][0]["loc"]), (422, &json!(["body", place])), "{body}");
    }
}

#[tokio::test]
async fn what_is_no_filter_is_refused_and_changes_nothing() {
    let (server, receiver) = (Server::start().await, Receiver::start().await);
    let api = server.api();
    api.app("shop").await;
    let endpoint = api.endpoint("shop", &receiver, json!({ "filter": "@.a" })).await;
    let path = format!("/app/shop/endpoint/{}", endpoint.id);
    let before = api.get(&path).await;
    for (filter, says) in [
        (json!(""), "must not be empty"),
        (json!("@.amount >"), "is no expression"),
        (json!("$.amount > 1"), "`@` is the payload"),
        (json!("@..[?@..[?@..a]]"), "more than one `..`"),
        (json!("match(@.a, @.b)"), "the pattern must be a text"),
        (json!("search(@.a, '(')"), "is no pattern"),
        (json!("x".repeat(5_000)), "at most 4096"),
        (json!(format!("@.a[?{}]", ["@==9"; 60].join("||"))), "at most 64"),
        (json!("@.a[?@==1||@==2||@==3||@==4||@==5]"), "within `[?...]`, at most 8"),
    ] {
        let answer = api.call("PATCH", &path, &json!({ "filter": filter, "description": "new" })).await;
        let problem = &answer.json()["detail"][0];
        assert_eq!((answer.status, &problem["loc"]), (422, &json!(["body", "filter"])), "{filter}: {answer:?}");
        assert!(problem["msg"].as_str().is_some_and(|msg| msg.contains(says)), "{filter}: {problem}");
    }
    for types in [json!(["*"]), json!(["order*"]), json!(["*.paid"]), json!(["order.*.paid"]), json!(["order.**"])] {
        let answer = api.call("PATCH", &path, &json!({ "eventTypes": types })).await;
        assert_eq!(
            (answer.status, &answer.json()["detail"][0]["loc"]),
            (422, &json!(["body", "eventTypes"])),
            "{types}"
        );
    }
    let refused = server.run(&["endpoint", "update", "--app", "shop", &endpoint.id, "--filter", "@.a ="]);
    assert!(refused.code == Some(1) && refused.stderr.contains("filter: is no expression"), "{refused:?}");
    assert_eq!(api.get(&path).await, before);
    // A client that knows of no filters takes none away.
    let put = json!({ "url": receiver.url(), "description": "put" });
    assert_eq!(api.call("PUT", &path, &put).await.json()["filter"], "@.a");
}

#[tokio::test]
async fn a_filter_comes_along_in_an_export() {
    let (from, to, receiver) = (Server::start().await, Server::start().await, Receiver::start().await);
    let api = from.api();
    api.app("shop").await;
    api.endpoint("shop", &receiver, json!({ "uid": "main", "filter": "@.a == 'x'", "eventTypes": ["a.*"] })).await;
    let file = from.run(&["export", "--what", "config"]).ok().stdout.clone();
    let path = to.setup.home().join("all.ndjson");
    std::fs::write(&path, file).expect("it can be written");
    to.run(&["import", &path.display().to_string()]).ok();
    let shown = to.api().get("/app/shop/endpoint/main").await;
    assert_eq!((&shown["filter"], &shown["eventTypes"]), (&json!("@.a == 'x'"), &json!(["a.*"])));
    let again = to.run(&["import", &path.display().to_string()]).json();
    assert_eq!((&again["created"], &again["same"]), (&json!(0), &json!(2)), "{again}");
}

#[tokio::test]
async fn json_that_cannot_be_held_passes_and_a_hundred_endpoints_may_have_a_filter() {
    let (server, receiver) = (Server::start().await, Receiver::start().await);
    let api = server.api();
    api.app("shop").await;
    for n in 0..100 {
        api.endpoint("shop", &receiver, json!({ "uid": format!("e{n}"), "filter": "@.gone" })).await;
    }
    let more = json!({ "url": receiver.url(), "filter": "@.a" });
    let answer = api.call("POST", "/app/shop/endpoint", &more).await;
    assert_eq!((answer.status, &answer.json()["detail"][0]["loc"]), (422, &json!(["body", "filter"])), "{answer:?}");
    api.patch("/app/shop/endpoint/e0", json!({ "filter": "@.b" })).await;
    let headers = [("content-type", "application/json")];
    for (payload, passes) in [
        (r#"{"x":"\ud800"}"#.to_owned(), true),
        (r#"{"x":1e400}"#.to_owned(), true),
        (format!(r#"{{"x":"{}"}}"#, "x".repeat(65_536)), true),
        (r#"{"x":1}"#.to_owned(), false),
    ] {
        let body = format!(r#"{{"eventType":"a.b","payload":{payload}}}"#);
        let dry = api.ask("POST", "/api/v1/app/shop/msg/precheck/dry-run", &headers, body.clone()).await;
        assert!(reasons(&dry.json()).iter().all(|(_, matches, _, _)| *matches == passes), "{body}: {dry:?}");
        let sent = api.ask("POST", "/api/v1/app/shop/msg", &headers, body).await;
        assert_eq!(sent.status, 202, "{sent:?}");
    }
    assert_eq!(api.get("/app/shop/endpoint/e1/stats").await["filtered"], 1, "only the last was held back");
}
