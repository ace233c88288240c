//! Order at an endpoint that asked for it, from the API to the wire.

use serde_json::{Value, json};

use crate::support::{Api, Endpoint, Receiver, Reply, Setup};

/// A failure is tried again at once.
const AT_ONCE: &str = "0,0,0,0";

async fn ordered(api: &Api, receiver: &Receiver, order: Value) -> Endpoint {
    api.app("shop").await;
    api.endpoint("shop", receiver, json!({ "policy": { "order": order } })).await
}

async fn send_numbered(api: &Api, count: usize, payload: impl Fn(usize) -> Value) -> Vec<String> {
    let mut ids = vec![];
    for n in 0..count {
        ids.push(api.send("shop", "order.paid", payload(n)).await);
    }
    ids
}

/// The ids in the order of their first arrivals.
fn firsts(receiver: &Receiver) -> Vec<String> {
    let mut firsts: Vec<String> = vec![];
    for id in receiver.ids() {
        if !firsts.contains(&id) {
            firsts.push(id);
        }
    }
    firsts
}

#[tokio::test]
async fn first_in_first_out_holds_through_failures_and_kill_9() {
    let (mut server, receiver) = (Setup::new().set("retry.schedule", AT_ONCE).start().await, Receiver::start().await);
    let api = server.api();
    let endpoint = ordered(&api, &receiver, json!({ "by": "fifo" })).await;
    let mut ids = vec![];
    for round in 0..4 {
        receiver.next([Reply::Status(200), Reply::Status(500), Reply::Close, Reply::Status(200)]);
        ids.extend(send_numbered(&server.api(), 6, |n| json!({ "n": n, "round": round })).await);
        // Some have arrived, some wait, one may be on its way.
        receiver.expect(2 * (round + 1)).await;
        server = server.kill().await.start().await;
    }
    let last = ids.last().expect("there are some");
    server.api().until_state(&endpoint, last, "delivered").await;
    assert_eq!(firsts(&receiver), ids, "the order of first arrivals is that of acceptance");
    // Only the one that was sent last before a crash may come again after it was confirmed.
    let all = receiver.ids();
    for pair in all.windows(2) {
        let place = |id: &String| ids.iter().position(|other| other == id);
        assert!(place(&pair[1]) >= place(&pair[0]), "nothing older comes after something newer");
    }
}

#[tokio::test]
async fn keys_in_the_payload_are_independent_of_each_other() {
    let (server, receiver) = (Setup::new().set("retry.schedule", "0,3600").start().await, Receiver::start().await);
    let api = server.api();
    let endpoint = ordered(&api, &receiver, json!({ "by": "key", "pointer": "/order/id" })).await;
    receiver.next([Reply::Status(500)]);
    let first = api.send("shop", "order.paid", json!({ "order": { "id": 17 } })).await;
    api.until_waits(&endpoint, &first, "not_due").await;
    let second = api.send("shop", "order.paid", json!({ "order": { "id": 17 }, "again": true })).await;
    let other = api.send("shop", "order.paid", json!({ "order": { "id": 18 } })).await;
    let none = api.send("shop", "order.paid", json!({ "order": {} })).await;
    for message in [&other, &none] {
        api.until_state(&endpoint, message, "delivered").await;
    }
    let waits = api.until_waits(&endpoint, &second, "behind").await;
    assert_eq!(waits["waits"]["messageId"], first.as_str());
    let path = format!("/app/shop/endpoint/{}", endpoint.id);
    api.patch(&path, json!({ "policy": { "retrySchedule": [0, 0] } })).await;
    api.until_state(&endpoint, &second, "delivered").await;
    assert_eq!(firsts(&receiver), [first, other, none, second]);
}

#[tokio::test]
async fn the_servers_order_counts_where_an_endpoint_has_none_of_its_own() {
    let setup = Setup::new().set("retry.schedule", "0").set("order.by", "fifo").set("order.after_dead", "hold");
    let (server, receiver) = (setup.start().await, Receiver::start().await);
    let (other_receiver, api) = (Receiver::start().await, server.api());
    let own = ordered(&api, &other_receiver, json!({ "by": "fifo" })).await;
    let usual = api.endpoint("shop", &receiver, json!({ "policy": { "maxInFlight": 2 } })).await;
    for receiver in [&receiver, &other_receiver] {
        receiver.next([Reply::Status(500)]);
    }
    let ids = send_numbered(&api, 3, |n| json!({ "n": n })).await;
    api.until_state(&usual, &ids[0], "dead").await;
    api.until_state(&own, &ids[2], "delivered").await;
    assert_eq!(firsts(&other_receiver), ids, "its own order goes on after a dead letter");

    let setup = server.stop().await;
    let server = setup.start().await;
    let api = server.api();
    for behind in &ids[1..] {
        api.until_waits(&usual, behind, "behind_dead_letter").await;
    }
    assert_eq!(receiver.ids(), ids[..1], "a restart lets nothing by");

    let server = server.stop().await.set("order.after_dead", "continue").start().await;
    server.api().until_state(&usual, &ids[2], "delivered").await;
    assert_eq!(firsts(&receiver), ids);
}

#[tokio::test]
async fn what_follows_a_dead_letter_waits_for_it_if_the_endpoint_wants_that() {
    let (server, receiver) = (Setup::new().set("retry.schedule", "0").start().await, Receiver::start().await);
    let api = server.api();
    let endpoint = ordered(&api, &receiver, json!({ "by": "fifo", "afterDead": "hold" })).await;
    receiver.next([Reply::Status(500)]);
    let ids = send_numbered(&api, 3, |n| json!({ "n": n })).await;
    api.until_state(&endpoint, &ids[0], "dead").await;
    api.until_waits(&endpoint, &ids[1], "behind_dead_letter").await;

    let server = server.stop().await.start().await;
    let api = server.api();
    api.until_waits(&endpoint, &ids[1], "behind_dead_letter").await;
    assert_eq!(receiver.ids(), ids[..1], "a restart lets nothing by");
    api.post(&format!("/app/shop/msg/{}/delivery/{}/replay", ids[0], endpoint.id), json!({})).await;
    api.until_state(&endpoint, &ids[2], "delivered").await;
    assert_eq!(firsts(&receiver), ids);

    receiver.next([Reply::Status(500)]);
    let more = send_numbered(&api, 2, |n| json!({ "n": n })).await;
    let waits = api.until_waits(&endpoint, &more[1], "behind_dead_letter").await;
    assert_eq!(waits["waits"]["messageId"], more[0].as_str());
    let why = server.run(&["delivery", "why", "--app", "shop", &more[1], &endpoint.id]).ok().stdout.clone();
    assert!(why.contains(&more[0]), "{why}");
    let purge = format!("/app/shop/dead-letter/{}/{}", more[0], endpoint.id);
    assert_eq!(api.call("DELETE", &purge, &Value::Null).await.status, 204);
    api.until_state(&endpoint, &more[1], "delivered").await;
}
