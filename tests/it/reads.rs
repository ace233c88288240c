//! What can be asked about messages afterwards: where they stand, how many there
//! are, and the messages themselves.

use serde_json::{Value, json};

use crate::support::{Api, Receiver, Reply, Server, Setup, until};

fn ids(list: &Value) -> Vec<String> {
    let members = list["data"].as_array().expect("a list has members").iter();
    members.map(|member| member["id"].as_str().expect("each has an id").to_owned()).collect()
}

/// Asks again while the index is being read after a start.
async fn indexed(api: &Api, path: &str) -> Value {
    let answer = until(format!("an answer to {path}"), async || {
        let answer = api.call("GET", path, &Value::Null).await;
        (answer.json()["code"] != "index_rebuilding").then_some(answer)
    });
    let answer = answer.await;
    assert_eq!(answer.status, 200, "{path}: {answer:?}");
    answer.json()
}

#[tokio::test]
async fn messages_of_an_endpoint_say_where_they_stand_also_after_a_restart() {
    let (server, receiver) = (Setup::new().set("retry.schedule", "0").start().await, Receiver::start().await);
    let api = server.api();
    let endpoint = api.register("shop", &receiver).await;
    let other = api.endpoint("shop", &receiver, json!({ "eventTypes": ["none"], "uid": "other" })).await;
    receiver.next([Reply::Status(200), Reply::Status(500)]);
    let delivered = api.send("shop", "a", json!({ "n": 1 })).await;
    api.until_state(&endpoint, &delivered, "delivered").await;
    let dead = api.send("shop", "b", json!({ "n": 2 })).await;
    api.until_state(&endpoint, &dead, "dead").await;
    api.set(&endpoint, "paused").await;
    let waits = api.send("shop", "c", json!({ "n": 3 })).await;
    let cancelled = api.send("shop", "d", json!({ "n": 4 })).await;
    api.post(&format!("/app/shop/msg/{cancelled}/delivery/{}/cancel", endpoint.id), Value::Null).await;

    let base = format!("/app/shop/endpoint/{}", endpoint.id);
    let cases = [
        ("", vec![&cancelled, &waits, &dead, &delivered]),
        ("order=ascending", vec![&delivered, &dead, &waits, &cancelled]),
        ("status=0", vec![&cancelled, &delivered]),
        ("status=0&expanded_statuses=true", vec![&delivered]),
        ("status=1", vec![&waits]),
        ("status=2", vec![&dead]),
        ("status=3", vec![]),
        ("status=4", vec![&cancelled]),
        ("event_types=b,c", vec![&waits, &dead]),
    ];
    let stats =
        json!({ "success": 1, "pending": 1, "sending": 0, "fail": 1, "canceled": 1, "filtered": 0, "since": null });
    let mut server = server;
    for restarted in [false, true] {
        let api = server.api();
        for (query, expected) in &cases {
            let list = indexed(&api, &format!("{base}/msg?{query}")).await;
            assert_eq!(&ids(&list).iter().collect::<Vec<_>>(), expected, "{query}, restarted: {restarted}");
        }
        let list = api.get(&format!("{base}/msg?expanded_statuses=true")).await;
        let shown: Vec<_> = list["data"].as_array().expect("a list").iter().map(|found| &found["statusText"]).collect();
        assert_eq!(shown, ["canceled", "pending", "fail", "success"]);
        assert_eq!(list["data"][1]["payload"], json!({ "n": 3 }));
        assert!(list["data"][1]["nextAttempt"].is_string() && list["data"][2]["nextAttempt"].is_null());
        assert_eq!(api.get(&format!("{base}/stats")).await, stats);
        assert_eq!(ids(&api.get(&format!("/app/shop/endpoint/{}/msg", other.id)).await), Vec::<String>::new());
        let places = api.get(&format!("/app/shop/msg/{dead}/endpoint")).await;
        assert_eq!((ids(&places), &places["data"][0]["statusText"]), (vec![endpoint.id.clone()], &json!("fail")));
        server = server.stop().await.start().await;
    }
    // Counted is what came to its end within the time.
    let after = indexed(&server.api(), &format!("{base}/stats?since=2100-01-01T00:00:00Z")).await;
    assert_eq!((&after["success"], &after["fail"], &after["pending"]), (&json!(0), &json!(0), &json!(1)));
}

#[tokio::test]
async fn a_message_that_is_on_its_way_is_sending() {
    let (server, receiver) = (Server::start().await, Receiver::start().await);
    receiver.always(Reply::Held);
    let endpoint = server.api().register("shop", &receiver).await;
    let message = server.api().send("shop", "a", json!({})).await;
    receiver.expect(1).await;
    let base = format!("/app/shop/endpoint/{}", endpoint.id);
    let list = server.api().get(&format!("{base}/msg?status=3")).await;
    assert_eq!((ids(&list), &list["data"][0]["statusText"]), (vec![message.clone()], &json!("sending")));
    assert_eq!(ids(&server.api().get(&format!("{base}/msg?status=1")).await), Vec::<String>::new());
    assert_eq!(server.api().get(&format!("{base}/stats")).await["sending"], 1);
    receiver.release();
    server.api().until_state(&endpoint, &message, "delivered").await;
    assert_eq!(server.api().get(&format!("{base}/stats")).await["success"], 1);
}

#[tokio::test]
async fn lists_of_many_segments_are_read_both_ways_and_from_any_time_on() {
    let server = Setup::new().with_small_segments().argument("--paused").start().await;
    let (api, receiver) = (server.api(), Receiver::start().await);
    api.register("shop", &receiver).await;
    let blue = api.endpoint("shop", &receiver, json!({ "channels": ["blue"] })).await;
    let mut ingest = server.ingest().await;
    let filler = "x".repeat(60_000);
    let mut sent = vec![];
    for n in 0..80 {
        let event = json!({ "app": "shop", "type": "a.b", "payload": { "n": n, "filler": filler } });
        let channels = json!({ "channels": ["blue"] });
        let more = if n % 3 == 0 { channels } else { json!({}) };
        let mut event = event.as_object().expect("it is one").clone();
        event.extend(more.as_object().expect("it is one").clone());
        sent.push(ingest.accepted(Value::Object(event)).await);
    }
    assert!(server.setup.segments().len() > 3, "{:?}", server.setup.segments());
    let to_blue: Vec<_> = sent.iter().step_by(3).cloned().collect();
    let at = async |id: &str| api.get(&format!("/app/shop/msg/{id}?with_content=false")).await["timestamp"].clone();
    let (early, late) = (at(&sent[20]).await, at(&sent[60]).await);
    let (early, late) = (early.as_str().expect("a time"), late.as_str().expect("a time"));
    let mut within = vec![];
    for id in &sent {
        let at = at(id).await;
        if (early..late).contains(&at.as_str().expect("a time")) && at != early {
            within.push(id.clone());
        }
    }
    let of_blue: Vec<_> = within.iter().filter(|id| to_blue.contains(id)).cloned().collect();
    let blue_list = format!("/app/shop/endpoint/{}/msg", blue.id);
    let times = format!("after={early}&before={late}");
    for (path, times, expected) in [
        ("/app/shop/msg", "", &sent),
        (&blue_list, "", &to_blue),
        ("/app/shop/msg", &times, &within),
        (&blue_list, &times, &of_blue),
    ] {
        for (order, limit) in [("ascending", 7), ("descending", 7), ("ascending", 250), ("descending", 250)] {
            let mut found = vec![];
            let mut iterator = String::new();
            loop {
                let query = format!("{times}&order={order}&limit={limit}&with_content=false{iterator}");
                let list = api.get(&format!("{path}?{query}")).await;
                found.extend(ids(&list));
                if list["done"] == true {
                    break;
                }
                iterator = format!("&iterator={}", list["iterator"].as_str().expect("there is more"));
            }
            if order == "descending" {
                found.reverse();
            }
            assert_eq!(&found, expected, "{path} {times} {order} {limit}");
        }
    }
}

#[tokio::test]
async fn an_example_arrives_at_the_one_endpoint_signed() {
    let (server, receiver, other) = (Server::start().await, Receiver::start().await, Receiver::start().await);
    let api = server.api();
    api.register("shop", &other).await;
    let endpoint = api.endpoint("shop", &receiver, json!({ "eventTypes": ["else"], "channels": ["none"] })).await;
    let schemas = json!({ "1": { "examples": [{ "total": 7 }] } });
    api.post("/event-type", json!({ "name": "order.paid", "description": "", "schemas": schemas })).await;
    let path = format!("/app/shop/endpoint/{}/send-example", endpoint.id);
    let sent = api.post(&path, json!({ "eventType": "order.paid" })).await;
    let [arrival] = &receiver.expect(1).await[..] else { panic!("one example, one request") };
    assert!(arrival.is_signed_with(&endpoint.secret));
    assert_eq!((arrival.id(), &arrival.body[..]), (sent["id"].as_str().expect("an id"), br#"{"total":7}"#.as_slice()));
    api.until_state(&endpoint, arrival.id(), "delivered").await;
    assert_eq!(other.ids(), Vec::<String>::new());
    assert_eq!(ids(&api.get(&format!("/app/shop/endpoint/{}/msg", endpoint.id)).await), [arrival.id()]);
}

#[tokio::test]
async fn a_receiver_that_would_rather_ask_reads_every_message_once() {
    let server = Setup::new().argument("--paused").start().await;
    let (api, receiver) = (server.api(), Receiver::start().await);
    let before = {
        api.app("shop").await;
        api.send("shop", "order.paid", json!({ "n": 0 })).await
    };
    api.endpoint("shop", &receiver, json!({ "uid": "pull", "eventTypes": ["order.paid"] })).await;
    let mut expected = vec![before];
    for n in 1..=5 {
        expected.push(api.send("shop", "order.paid", json!({ "n": n })).await);
        api.send("shop", "order.sent", json!({ "n": n })).await;
    }
    let (mut found, mut iterator) = (vec![], String::new());
    loop {
        let page = api.get(&format!("/app/shop/poller/pull?limit=2{iterator}")).await;
        found.extend(ids(&page));
        iterator = format!("&iterator={}", page["iterator"].as_str().expect("there is always one"));
        if page["done"] == true {
            break;
        }
    }
    assert_eq!(found, expected);
    let server = server.stop().await.start().await;
    let path = format!("/app/shop/poller/pull?limit=2{iterator}");
    assert_eq!(ids(&indexed(&server.api(), &path).await), Vec::<String>::new());
    let after = server.api().send("shop", "order.paid", json!({ "n": 6 })).await;
    assert_eq!(ids(&server.api().get(&path).await), [after]);
}

#[tokio::test]
async fn the_commands_show_where_messages_stand() {
    let server = Setup::new().argument("--paused").start().await;
    let (api, receiver) = (server.api(), Receiver::start().await);
    api.register("shop", &receiver).await;
    api.endpoint("shop", &receiver, json!({ "uid": "main", "eventTypes": ["order.paid"] })).await;
    let message = api.send("shop", "order.paid", json!({})).await;
    let of_main = ["message", "list", "--app", "shop", "--endpoint", "main"];
    let list = server.run(&of_main).json();
    assert_eq!((ids(&list), &list["data"][0]["statusText"]), (vec![message], &json!("pending")));
    let failed = server.run(&[&of_main[..], &["--status", "fail"]].concat()).json();
    assert_eq!(ids(&failed), Vec::<String>::new());
    let send = ["endpoint", "send-example", "--app", "shop", "main", "--type", "other"];
    let example = server.run(&send).json();
    assert_eq!(ids(&server.run(&of_main).json())[0], example["id"]);
    let stats = server.run(&["endpoint", "stats", "--app", "shop", "main"]).json();
    assert_eq!((&stats["pending"], &stats["success"]), (&json!(2), &json!(0)));
}

#[tokio::test]
async fn a_batch_is_on_disk_when_it_is_answered_and_every_message_of_it_arrives() {
    let (server, receiver) = (Server::start().await, Receiver::start().await);
    let api = server.api();
    let endpoint = api.register("shop", &receiver).await;
    let message = |n: u32| json!({ "eventType": "order.paid", "payload": { "n": n }, "idempotencyKey": n.to_string() });
    let mut messages: Vec<_> = (0..300).map(message).collect();
    messages.push(json!({ "eventType": "order.paid" }));
    let body = json!({ "messages": messages });
    let first = api.call("POST", "/app/shop/msg/batch", &body).await;
    assert_eq!(first.status, 207, "{first:?}");
    let members = first.json()["data"].as_array().expect("a list").clone();
    assert_eq!(members[300]["error"]["detail"][0]["loc"], json!(["body", "messages", "300", "payload"]));
    let sent: Vec<_> = members[..300].iter().map(|member| member["id"].as_str().expect("an id").to_owned()).collect();
    assert!(sent.is_sorted(), "ids are in the order of the batch");

    // Whatever was answered is there after a crash, and sent again it is the same.
    let server = server.kill().await.start().await;
    let api = server.api();
    messages.pop();
    let again = until("the keys to be known", async || {
        let again = api.call("POST", "/app/shop/msg/batch", &json!({ "messages": messages })).await;
        (again.status != 503).then_some(again)
    });
    let again = again.await;
    assert_eq!(again.status, 202, "{again:?}");
    assert_eq!(ids(&again.json()), sent);
    for id in &sent {
        api.until_state(&endpoint, id, "delivered").await;
    }
    let mut arrived = receiver.ids();
    arrived.sort();
    arrived.dedup();
    assert_eq!(arrived, sent);
}

#[tokio::test]
async fn an_applications_owner_gets_a_token_that_reaches_that_application_only() {
    let (server, receiver) = (Server::start().await, Receiver::start().await);
    let body = json!({ "application": { "name": "Shop" }, "expiry": 3600 });
    let access = server.api().post("/auth/app-portal-access/shop", body).await;
    server.api().app("other").await;
    let owner = server.api_over_tcp(access["token"].as_str());
    let endpoint = owner.endpoint("shop", &receiver, json!({})).await;
    let message = server.api().send("shop", "order.paid", json!({})).await;
    server.api().until_state(&endpoint, &message, "delivered").await;
    assert_eq!(ids(&owner.get(&format!("/app/shop/endpoint/{}/msg", endpoint.id)).await), [message]);
    assert_eq!(owner.call("GET", "/app/other", &Value::Null).await.status, 404);
    let app = owner.get("/app/shop").await["id"].as_str().expect("an id").to_owned();
    let made = server.run(&["token", "create", "--app", &app]).json()["token"].as_str().expect("a token").to_owned();
    assert_eq!(server.api_over_tcp(Some(&made)).get("/app/shop").await["id"], app.as_str());
    assert_eq!(server.api_over_tcp(Some(&made)).call("GET", "/app", &Value::Null).await.status, 403);
    assert_eq!(owner.call("POST", "/auth/logout", &Value::Null).await.status, 204);
}
