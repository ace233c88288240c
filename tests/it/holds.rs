//! What waits on purpose: disabled endpoints, pauses, cancelled deliveries.

use serde_json::{Value, json};

use crate::support::{Api, Endpoint, Receiver, Reply, Server, Setup};

/// Two endpoints of one application: what goes to the second shows that the
/// first has had its turn.
async fn two_endpoints(api: &Api, held: &Receiver, other: &Receiver) -> (Endpoint, Endpoint) {
    let first = api.register("shop", held).await;
    (first, api.endpoint("shop", other, json!({})).await)
}

#[tokio::test]
async fn a_delivery_to_a_disabled_endpoint_waits_and_says_so_until_it_is_enabled() {
    let (server, receiver, other) = (Server::start().await, Receiver::start().await, Receiver::start().await);
    let api = server.api();
    let (endpoint, _) = two_endpoints(&api, &receiver, &other).await;
    api.set(&endpoint, "disabled").await;
    let message = api.send("shop", "order.paid", json!({})).await;
    other.expect(1).await;

    let delivery = api.until_waits(&endpoint, &message, "endpoint_disabled").await;
    assert_eq!((delivery["state"].as_str(), delivery["attempt"].as_u64()), (Some("scheduled"), Some(1)));
    let server = server.stop().await.start().await;
    let api = server.api();
    api.until_waits(&endpoint, &message, "endpoint_disabled").await;
    assert!(receiver.arrivals().is_empty());

    api.set(&endpoint, "enabled").await;
    assert_eq!(receiver.expect(1).await.len(), 1);
    api.until_state(&endpoint, &message, "delivered").await;
}

#[tokio::test]
async fn a_paused_endpoint_waits_and_the_others_do_not() {
    let (server, receiver, other) = (Server::start().await, Receiver::start().await, Receiver::start().await);
    let api = server.api();
    let (endpoint, _) = two_endpoints(&api, &receiver, &other).await;
    server.run(&["pause", "--app", "shop", "--endpoint", &endpoint.id]).ok();
    let message = api.send("shop", "order.paid", json!({})).await;
    other.expect(1).await;
    api.until_waits(&endpoint, &message, "endpoint_paused").await;
    assert!(receiver.arrivals().is_empty());

    server.run(&["resume", "--app", "shop", "--endpoint", &endpoint.id]).ok();
    api.until_state(&endpoint, &message, "delivered").await;
    assert_eq!(receiver.ids(), [message]);
}

#[tokio::test]
async fn all_dispatch_is_paused_and_resumed() {
    let (server, receiver) = (Server::start().await, Receiver::start().await);
    let api = server.api();
    let endpoint = api.register("shop", &receiver).await;
    server.run(&["pause"]).ok();
    let message = api.send("shop", "order.paid", json!({})).await;
    api.until_waits(&endpoint, &message, "dispatch_paused").await;
    let ready = server.metrics_door().ask("GET", "/health/ready", &[], "").await;
    assert_eq!(ready.status, 200, "a pause is no failure: {ready:?}");
    assert!(receiver.arrivals().is_empty());

    server.run(&["resume"]).ok();
    api.until_state(&endpoint, &message, "delivered").await;
    assert_eq!(receiver.ids(), [message]);
}

#[tokio::test]
async fn a_server_that_starts_paused_accepts_and_delivers_nothing_until_resume() {
    let (server, receiver) = (Setup::new().argument("--paused").start().await, Receiver::start().await);
    let api = server.api();
    let endpoint = api.register("shop", &receiver).await;
    let message = api.send("shop", "order.paid", json!({})).await;
    api.until_waits(&endpoint, &message, "dispatch_paused").await;
    assert!(receiver.arrivals().is_empty());
    assert!(api.get("/status").await["dispatchPausedAt"].is_string());

    server.run(&["resume"]).ok();
    api.until_state(&endpoint, &message, "delivered").await;
    assert_eq!(receiver.ids(), [message]);
}

#[tokio::test]
async fn what_is_cancelled_is_not_delivered_and_can_be_replayed() {
    let (server, receiver) = (Server::start().await, Receiver::start().await);
    let api = server.api();
    let endpoint = api.register("shop", &receiver).await;
    api.set(&endpoint, "paused").await;
    let one = api.send("shop", "order.paid", json!({ "n": 1 })).await;
    let two = api.send("shop", "order.sent", json!({ "n": 2 })).await;
    let three = api.send("shop", "order.paid", json!({ "n": 3 })).await;

    server.run(&["delivery", "cancel", "--app", "shop", &one, &endpoint.id]).ok();
    let many = server.run(&["delivery", "cancel", "--app", "shop", "--event-type", "order.sent", "--all"]).json();
    assert_eq!(many["cancelled"], 1);
    for message in [&one, &two] {
        assert_eq!(api.delivery(&endpoint, message).await["state"], "cancelled");
    }
    let again = format!("/app/shop/msg/{one}/delivery/{}/cancel", endpoint.id);
    let again = api.call("POST", &again, &Value::Null).await;
    assert!([404, 409].contains(&again.status), "what has ended cannot be cancelled: {again:?}");

    api.set(&endpoint, "resumed").await;
    api.until_state(&endpoint, &three, "delivered").await;
    assert_eq!(receiver.ids(), std::slice::from_ref(&three));
    api.post(&format!("/app/shop/msg/{one}/delivery/{}/replay", endpoint.id), json!({})).await;
    api.until_state(&endpoint, &one, "delivered").await;
    assert_eq!(receiver.ids(), [three, one]);
    assert_eq!(api.delivery(&endpoint, &two).await["state"], "cancelled");
}

#[tokio::test]
async fn a_delivery_that_is_cancelled_in_flight_is_not_tried_again() {
    let (server, receiver) = (Setup::new().set("retry.schedule", "0,0").start().await, Receiver::start().await);
    receiver.next([Reply::Held]);
    let api = server.api();
    let endpoint = api.register("shop", &receiver).await;
    let message = api.send("shop", "order.paid", json!({})).await;
    receiver.expect(1).await;
    api.post(&format!("/app/shop/msg/{message}/delivery/{}/cancel", endpoint.id), json!({})).await;
    receiver.release();

    let after = api.send("shop", "order.paid", json!({})).await;
    api.until_state(&endpoint, &after, "delivered").await;
    assert_eq!(api.delivery(&endpoint, &message).await["state"], "cancelled");
    assert_eq!(receiver.ids(), [message, after]);
}

#[tokio::test]
async fn deleting_an_endpoint_ends_its_deliveries() {
    let (server, receiver, other) = (Server::start().await, Receiver::start().await, Receiver::start().await);
    let api = server.api();
    let (endpoint, kept) = two_endpoints(&api, &receiver, &other).await;
    api.set(&endpoint, "paused").await;
    let message = api.send("shop", "order.paid", json!({})).await;
    let path = format!("/app/shop/endpoint/{}", endpoint.id);
    assert_eq!(api.call("DELETE", &path, &Value::Null).await.status, 204);
    api.until_state(&kept, &message, "delivered").await;
    let pending = api.get("/app/shop/delivery").await;
    assert_eq!(pending["data"], json!([]));
    assert!(receiver.arrivals().is_empty());
}

#[tokio::test]
async fn what_is_new_is_not_stuck_behind_a_backlog_larger_than_the_window() {
    let setup = Setup::new().set("limits.lane_window", "50").set("limits.in_flight_per_endpoint", "1");
    let (server, receiver) = (setup.start().await, Receiver::start().await);
    let api = server.api();
    let endpoint = api.register("shop", &receiver).await;
    api.set(&endpoint, "disabled").await;
    let mut sent = vec![];
    for n in 0..150 {
        sent.push(api.send("shop", "order.paid", json!({ "n": n })).await);
    }
    receiver.next([Reply::Held]);
    api.set(&endpoint, "enabled").await;
    receiver.expect(1).await;

    let new = api.send("shop", "order.paid", json!({ "n": "new" })).await;
    api.until_waits(&endpoint, &new, "lane_busy").await;
    api.until_waits(&endpoint, &sent[149], "behind_window").await;
    receiver.release();
    receiver.expect(151).await;
    let arrived = receiver.ids();
    assert_eq!(arrived.iter().position(|id| *id == new), Some(1), "it is next");
    let old: Vec<_> = arrived.into_iter().filter(|id| *id != new).collect();
    assert_eq!(old, sent, "all others come in their order");
}
