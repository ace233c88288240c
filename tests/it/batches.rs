//! Many messages in one request, from the API to the wire.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::{Value, json};

use crate::support::{Api, Arrival, Endpoint, Receiver, Reply, Setup};

/// What failed goes again at once.
const AT_ONCE: &str = "0,0,0";

async fn batched(api: &Api, receiver: &Receiver, batch: Value) -> Endpoint {
    api.app("shop").await;
    api.endpoint("shop", receiver, json!({ "policy": { "batch": batch } })).await
}

async fn send(api: &Api, count: usize) -> Vec<String> {
    let mut ids = vec![];
    for n in 0..count {
        ids.push(api.send("shop", "order.paid", json!({ "n": n })).await);
    }
    ids
}

/// The elements of a request's array.
fn elements(arrival: &Arrival) -> Vec<Value> {
    serde_json::from_slice(&arrival.body).expect("a batch is an array")
}

fn ids(arrival: &Arrival) -> Vec<String> {
    elements(arrival).iter().map(|element| element["id"].as_str().expect("each has an id").to_owned()).collect()
}

/// An answer that names these.
fn failures(ids: &[String]) -> String {
    let items: Vec<_> = ids.iter().map(|id| json!({ "itemIdentifier": id })).collect();
    json!({ "batchItemFailures": items }).to_string()
}

/// A receiver that answers each batch with what `decide` says of it, and the batches that it got.
async fn deciding(
    decide: impl Fn(usize, &Arrival) -> String + Send + Sync + 'static,
) -> (Receiver, Arc<Mutex<Vec<Arrival>>>) {
    let arrived = Arc::new(Mutex::new(vec![]));
    let theirs = Arc::clone(&arrived);
    let receiver = Receiver::deciding(move |arrival| {
        let mut arrived = theirs.lock().unwrap_or_else(PoisonError::into_inner);
        let body = decide(arrived.len(), arrival);
        arrived.push(arrival.clone());
        Reply::Body(200, body.leak())
    })
    .await;
    (receiver, arrived)
}

fn arrived(arrivals: &Mutex<Vec<Arrival>>) -> Vec<Arrival> {
    arrivals.lock().unwrap_or_else(PoisonError::into_inner).clone()
}

#[tokio::test]
async fn so_many_go_in_one_signed_request_byte_for_byte() {
    let (server, receiver) = (Setup::new().start().await, Receiver::start().await);
    let api = server.api();
    let endpoint = batched(&api, &receiver, json!({ "maxMessages": 3, "maxWaitMs": 60_000 })).await;
    let payloads = [r#"{ "amount": 1.50,  "b":"\u00e9" }"#, "{}", r#"{"list":[1 , 2]}"#];
    let mut sent = vec![];
    for payload in payloads {
        let body = format!(r#"{{"eventType":"order.paid","payload":{payload}}}"#);
        let headers = [("content-type", "application/json")];
        let made = api.ask("POST", "/api/v1/app/shop/msg", &headers, body).await;
        sent.push(made.json()["id"].as_str().expect("it was accepted").to_owned());
    }
    let arrivals = receiver.expect(1).await;
    let batch = &arrivals[0];
    assert!(batch.is_signed_with(&endpoint.secret));
    assert_eq!(batch.header("content-type"), "application/json");
    assert!(batch.id().starts_with("batch_"), "{}", batch.id());
    assert_eq!(ids(batch), sent, "in the order of acceptance");
    let text = String::from_utf8(batch.body.to_vec()).expect("UTF-8");
    for (id, payload) in sent.iter().zip(payloads) {
        let message = api.get(&format!("/app/shop/msg/{id}")).await;
        let at = message["timestamp"].as_str().expect("a time");
        let element = format!(r#"{{"id":"{id}","type":"order.paid","timestamp":"{at}","data":{payload}}}"#);
        assert!(text.contains(&element), "{element} in {text}");
        api.until_state(&endpoint, id, "delivered").await;
        let attempts = api.attempts("shop", id).await;
        assert_eq!(attempts.len(), 1);
        assert_eq!((&attempts[0]["responseStatusCode"], &attempts[0]["url"]), (&json!(200), &json!(receiver.url())));
    }
    let metrics = server.metrics().await;
    assert_eq!(metrics.sum("postrider_batch_messages_count", ""), 1.0);
    assert_eq!(metrics.sum("postrider_batch_messages_sum", ""), 3.0);
    assert_eq!(metrics.sum("postrider_attempts_total", "2xx"), 1.0, "a batch is one request");
}

#[tokio::test]
async fn by_the_formats_of_cloudevents_it_is_a_batch_of_those() {
    let (server, receiver) = (Setup::new().start().await, Receiver::start().await);
    let api = server.api();
    let endpoint = batched(&api, &receiver, json!({ "maxMessages": 2, "maxWaitMs": 60_000 })).await;
    let path = format!("/app/shop/endpoint/{}", endpoint.id);
    let app = api.get("/app/shop").await["id"].as_str().expect("an id").to_owned();
    for (number, format) in ["cloudevents-binary", "cloudevents-structured"].into_iter().enumerate() {
        api.patch(&path, json!({ "format": format })).await;
        let text =
            json!({ "app": "shop", "type": "order.sent", "payload_base64": "aGk=", "content_type": "text/plain" });
        let mut sent = send(&api, 1).await;
        sent.push(server.ingest().await.accepted(text).await);
        let batch = receiver.expect(number + 1).await.remove(number);
        assert_eq!(batch.header("content-type"), "application/cloudevents-batch+json; charset=utf-8", "{format}");
        assert!(batch.is_signed_with(&endpoint.secret) && batch.id().starts_with("batch_"), "{format}");
        assert!(batch.headers.keys().all(|name| !name.as_str().starts_with("ce-")), "{batch:?}");
        let mut expected = String::new();
        for (id, rest) in [
            (&sent[0], r#""datacontenttype":"application/json","data":{"n":0}}"#),
            (&sent[1], r#""datacontenttype":"text/plain","data_base64":"aGk="}"#),
        ] {
            let message = api.get(&format!("/app/shop/msg/{id}")).await;
            let (kind, at) = (message["eventType"].as_str(), message["timestamp"].as_str());
            let (kind, at) = (kind.expect("a type"), at.expect("a time"));
            let head = format!(r#"{{"specversion":"1.0","id":"{id}","source":"/postrider/{app}","type":"{kind}""#);
            expected.push_str(&format!(r#"{head},"time":"{at}",{rest},"#));
        }
        let expected = format!("[{}]", expected.trim_end_matches(','));
        assert_eq!(String::from_utf8_lossy(&batch.body), expected, "{format}");
    }
}

#[tokio::test]
async fn fewer_wait_for_others_and_say_so() {
    let (server, receiver) = (Setup::new().start().await, Receiver::start().await);
    let api = server.api();
    let endpoint = batched(&api, &receiver, json!({ "maxMessages": 3, "maxWaitMs": 60_000 })).await;
    let sent = send(&api, 2).await;
    let waits = api.until_waits(&endpoint, &sent[1], "batch").await;
    assert!(waits["waits"]["until"].is_string(), "{waits}");
    let why = server.run(&["delivery", "why", "--app", "shop", &sent[1], &endpoint.id]);
    assert_eq!(why.json()["waits"]["reason"], "batch");
    assert_eq!(receiver.arrivals().len(), 0);
    let path = format!("/app/shop/endpoint/{}", endpoint.id);
    api.patch(&path, json!({ "policy": { "batch": { "maxMessages": 3, "maxWaitMs": 1 } } })).await;
    assert_eq!(ids(&receiver.expect(1).await[0]), sent, "a change counts at once");
    let alone = send(&api, 1).await;
    assert_eq!(ids(&receiver.expect(2).await[1]), alone, "after its time one goes alone");

    api.until_state(&endpoint, &alone[0], "delivered").await;
    api.post(&format!("/app/shop/msg/{}/endpoint/{}/resend", alone[0], endpoint.id), Value::Null).await;
    let resent = &receiver.expect(3).await[2];
    assert_eq!((ids(resent), resent.id()), (alone, receiver.arrivals()[1].id()), "the same members have the same id");

    api.patch(&path, json!({ "policy": { "batch": null } })).await;
    let single = send(&api, 1).await;
    assert_eq!(receiver.expect(4).await[3].id(), single[0], "no batch any more");
}

#[tokio::test]
async fn those_that_an_answer_names_are_tried_again_and_die_by_themselves() {
    let odd = |arrival: &Arrival| {
        let odd = |element: &&Value| element["data"]["n"].as_u64().is_some_and(|n| n % 2 == 1);
        elements(arrival)
            .iter()
            .filter(odd)
            .filter_map(|element| Some(element["id"].as_str()?.to_owned()))
            .collect::<Vec<_>>()
    };
    // The third is never taken.
    let (receiver, arrivals) = deciding(move |number, arrival| {
        let mut named = odd(arrival);
        if number > 0 {
            let third = elements(arrival).into_iter().filter(|element| element["data"]["n"] == 3);
            named = third.filter_map(|element| Some(element["id"].as_str()?.to_owned())).collect();
        }
        failures(&named)
    })
    .await;
    let server = Setup::new().set("retry.schedule", AT_ONCE).start().await;
    let api = server.api();
    let endpoint = batched(&api, &receiver, json!({ "maxMessages": 5, "maxWaitMs": 60_000 })).await;
    let sent = send(&api, 5).await;
    api.until_state(&endpoint, &sent[0], "delivered").await;
    api.until_state(&endpoint, &sent[1], "delivered").await;
    let dead = api.until_state(&endpoint, &sent[3], "dead").await;
    assert_eq!((&dead["reason"], &dead["attempt"]), (&json!("attempts_exhausted"), &json!(3)));
    for n in [2, 4] {
        assert_eq!(api.delivery(&endpoint, &sent[n]).await["attempt"], 1, "what was taken is not sent again");
    }
    let of = |id: &String| arrived(&arrivals).iter().filter(|arrival| ids(arrival).contains(id)).count();
    assert_eq!(sent.iter().map(of).collect::<Vec<_>>(), [1, 2, 1, 3, 1]);
    let attempts = api.attempts("shop", &sent[1]).await;
    let shown = |n: usize| [&attempts[n]["responseStatusCode"], &attempts[n]["status"], &attempts[n]["response"]];
    assert_eq!(shown(0), [&json!(200), &json!(2), &json!("batch_item")]);
    assert_eq!(shown(1)[..2], [&json!(200), &json!(0)]);
    let letters = api.get("/dead-letter").await;
    let letters: Vec<_> = letters["data"].as_array().expect("a list").iter().map(|letter| &letter["msgId"]).collect();
    assert_eq!(letters, [&json!(sent[3])]);
}

#[tokio::test]
async fn a_failure_is_that_of_all_and_their_elements_stay_as_they_are() {
    let (server, receiver) = (Setup::new().set("retry.schedule", AT_ONCE).start().await, Receiver::start().await);
    let api = server.api();
    let endpoint = batched(&api, &receiver, json!({ "maxMessages": 100, "maxWaitMs": 50 })).await;
    let broken = r#"{"batchItemFailures":[{"itemIdentifier":"msg_unknown"}]}"#;
    receiver.next([Reply::Status(500), Reply::Body(200, broken)]);
    api.set(&endpoint, "paused").await;
    let sent = send(&api, 3).await;
    api.set(&endpoint, "resumed").await;
    let arrivals = receiver.expect(3).await;
    for arrival in &arrivals {
        assert_eq!((arrival.id(), &arrival.body), (arrivals[0].id(), &arrivals[0].body));
    }
    assert_eq!(ids(&arrivals[0]), sent);
    for id in &sent {
        assert_eq!(api.until_state(&endpoint, id, "delivered").await["attempt"], 3);
    }
}

#[tokio::test]
async fn a_batch_is_bounded_in_bytes_and_one_message_that_has_more_goes_alone() {
    let setup = Setup::new().set("limits.batch_bytes", "4096");
    let (server, receiver) = (setup.start().await, Receiver::start().await);
    let api = server.api();
    let endpoint = batched(&api, &receiver, json!({ "maxMessages": 100, "maxWaitMs": 60_000 })).await;
    api.set(&endpoint, "paused").await;
    let mut sent = vec![];
    for length in [1_000, 1_000, 1_000, 1_000, 9_000, 1_000] {
        sent.push(api.send("shop", "order.paid", json!({ "text": "x".repeat(length) })).await);
    }
    api.patch(
        &format!("/app/shop/endpoint/{}", endpoint.id),
        json!({ "policy": { "batch": { "maxMessages": 100, "maxWaitMs": 0 }, "maxInFlight": 1 } }),
    )
    .await;
    api.set(&endpoint, "resumed").await;
    let arrivals = receiver.expect(4).await;
    assert_eq!(arrivals.iter().flat_map(ids).collect::<Vec<_>>(), sent);
    assert_eq!(arrivals.iter().map(|arrival| ids(arrival).len()).collect::<Vec<_>>(), [2, 2, 1, 1]);
    assert!(arrivals.iter().all(|arrival| arrival.body.len() <= 4_096 || ids(arrival).len() == 1));
}

#[tokio::test]
async fn kill_9_loses_nothing_of_a_batch() {
    let setup = Setup::new().set("retry.schedule", "0,0,0,0,0,0").set("dispatch.timeout_ms", "1000");
    let (mut server, receiver) = (setup.start().await, Receiver::start().await);
    let endpoint = batched(&server.api(), &receiver, json!({ "maxMessages": 4, "maxWaitMs": 5 })).await;
    let mut sent = vec![];
    for round in 0..3 {
        receiver.next([Reply::Status(200), Reply::Hang]);
        sent.extend(send(&server.api(), 7).await);
        receiver.expect(2 * (round + 1)).await;
        server = server.kill().await.start().await;
    }
    let api = server.api();
    for id in &sent {
        api.until_state(&endpoint, id, "delivered").await;
    }
    let mut bytes: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for element in receiver.arrivals().iter().flat_map(elements) {
        let id = element["id"].as_str().expect("each has an id").to_owned();
        bytes.entry(id).or_default().insert(element.to_string());
    }
    assert_eq!(bytes.keys().collect::<BTreeSet<_>>(), sent.iter().collect(), "each has come, and nothing else");
    assert!(bytes.values().all(|forms| forms.len() == 1), "an element is the same in every attempt");
}

#[tokio::test]
async fn what_is_not_allowed_is_refused_by_name_and_changes_nothing() {
    let (server, receiver) = (Setup::new().start().await, Receiver::start().await);
    let api = server.api();
    let endpoint = batched(&api, &receiver, json!({ "maxMessages": 7 })).await;
    let path = format!("/app/shop/endpoint/{}", endpoint.id);
    let before = api.get(&path).await["policy"].clone();
    assert_eq!(before, json!({ "batch": { "maxMessages": 7, "maxWaitMs": 1_000 } }));
    let refused = [
        (json!({ "maxMessages": 1 }), "maxMessages", "is 1, 2 to 100 are allowed"),
        (json!({ "maxMessages": 101 }), "maxMessages", "is 101, 2 to 100 are allowed"),
        (json!({ "maxMessages": "3" }), "maxMessages", "must be a whole number"),
        (json!({ "maxMessages": null }), "maxMessages", "must be a whole number"),
        (json!({ "maxMessages": 3, "maxWaitMs": 60_001 }), "maxWaitMs", "is 60001, 0 to 60000 are allowed"),
        (json!({ "maxMessages": 3, "maxWaitMs": -1 }), "maxWaitMs", "is -1, 0 to 60000 are allowed"),
        (json!({ "maxMessages": 3, "maxBytes": 1_023 }), "maxBytes", "is 1023, 1024 to 67108864 are allowed"),
        (json!({ "maxMessages": 3, "maxBytes": 67_108_865 }), "maxBytes", "is 67108865, 1024 to"),
        (json!({ "maxMessages": 3, "maxBytes": true }), "maxBytes", "must be a whole number"),
        (json!({}), "batch", "maxMessages"),
        (json!({ "maxMessages": 3, "colour": 1 }), "batch", "colour"),
        (json!([3]), "batch", "object"),
        (json!(3), "batch", "object"),
    ];
    for (batch, field, says) in refused {
        let answer = api.call("PATCH", &path, &json!({ "policy": { "batch": batch } })).await;
        let text = String::from_utf8(answer.body.to_vec()).expect("UTF-8");
        assert_eq!(answer.status, 422, "{batch}: {text}");
        assert!(text.contains(field) && text.contains(says) && text.contains("policy"), "{batch}: {text}");
    }
    let beside = json!({ "policy": { "order": { "by": "fifo" } } });
    let answer = api.call("PATCH", &path, &beside).await;
    assert_eq!(
        (answer.status, answer.json()["detail"][0]["loc"].to_string().contains("batch")),
        (422, true),
        "{answer:?}"
    );
    let policy = r#"{"batch":{"maxMessages":500}}"#;
    let ran = server.run(&["endpoint", "update", "--app", "shop", &endpoint.id, "--policy", policy]);
    assert!(ran.stderr.contains("maxMessages") && ran.stderr.contains("2 to 100"), "{ran:?}");
    assert_eq!(api.get(&path).await["policy"], before);
    let policy = r#"{"batch":{"maxMessages":9,"maxWaitMs":0,"maxBytes":2048}}"#;
    let shown = server.run(&["endpoint", "update", "--app", "shop", &endpoint.id, "--policy", policy]);
    assert_eq!(shown.ok().json()["policy"], serde_json::from_str::<Value>(policy).expect("JSON"));
    let exported = server.run(&["export"]);
    let lines = exported.ok().stdout.lines().map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
    let policies: Vec<_> = lines.filter(|line| line["kind"] == "endpoint").map(|line| line["policy"].clone()).collect();
    assert_eq!(policies, [serde_json::from_str::<Value>(policy).expect("JSON")]);
}
