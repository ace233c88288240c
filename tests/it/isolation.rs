//! One slow, hung or hostile endpoint costs the others nothing (W11).

use serde_json::json;

use crate::support::{Receiver, Reply, Server, Setup};

const EVENTS: usize = 200;

#[tokio::test]
async fn a_hung_endpoint_holds_back_only_itself() {
    let (server, hung, healthy) = (Server::start().await, Receiver::start().await, Receiver::start().await);
    hung.always(Reply::Hang);
    let api = server.api();
    let to_hung = api.register("shop", &hung).await;
    api.endpoint("shop", &healthy, json!({})).await;
    let neighbour = Receiver::start().await;
    api.register("neighbour", &neighbour).await;

    let mut ingest = server.ingest().await;
    let mut last = String::new();
    for n in 0..EVENTS {
        last = ingest.accepted(json!({ "app": "shop", "type": "a.b", "payload": { "n": n } })).await;
        ingest.accepted(json!({ "app": "neighbour", "type": "a.b", "payload": { "n": n } })).await;
    }
    // All of this happens while the first request to the hung one is still open.
    assert_eq!(healthy.expect(EVENTS).await.len(), EVENTS);
    assert_eq!(neighbour.expect(EVENTS).await.len(), EVENTS);
    assert_eq!(hung.arrivals().len(), 1, "a lane begins with one request in flight");
    let waiting = api.until_waits(&to_hung, &last, "lane_busy").await;
    assert_eq!(waiting["waits"]["limit"], 1);
}

#[tokio::test]
async fn an_answer_that_never_ends_is_a_failure_after_the_endpoints_own_deadline() {
    let (server, receiver) = (Setup::new().set("retry.schedule", "0").start().await, Receiver::start().await);
    receiver.next([Reply::Dribble, Reply::Hang]);
    let api = server.api();
    api.app("shop").await;
    let endpoint = api.endpoint("shop", &receiver, json!({ "timeoutMs": 1_000 })).await;
    for _ in 0..2 {
        let message = api.send("shop", "order.paid", json!({})).await;
        api.until_state(&endpoint, &message, "dead").await;
        let [attempt] = &api.attempts("shop", &message).await[..] else { panic!("one attempt was made") };
        assert_eq!((attempt["status"].as_u64(), attempt["response"].as_str()), (Some(2), Some("timeout")), "{attempt}");
    }
}

#[tokio::test]
async fn an_endpoint_that_leads_to_this_machine_is_not_reached_unless_that_is_allowed() {
    let setup = Setup::new().set("dispatch.allow_networks", "").set("retry.schedule", "0");
    let (server, receiver) = (setup.start().await, Receiver::start().await);
    let api = server.api();
    api.app("shop").await;
    let refused = api.call("POST", "/app/shop/endpoint", &json!({ "url": receiver.url() })).await;
    assert_eq!((refused.status, &refused.json()["detail"][0]["loc"]), (422, &json!(["body", "url"])), "{refused:?}");

    // A name is not refused when it is registered; the guard looks at the address that it leads to.
    let by_name = receiver.url().replace("127.0.0.1", "localhost");
    let made = api.call("POST", "/app/shop/endpoint", &json!({ "url": by_name })).await;
    if made.status == 201 {
        let id = made.json()["id"].as_str().expect("an id").to_owned();
        let endpoint = crate::support::Endpoint { app: "shop".into(), id, secret: String::new() };
        let message = api.send("shop", "order.paid", json!({})).await;
        api.until_state(&endpoint, &message, "dead").await;
        let [attempt] = &api.attempts("shop", &message).await[..] else { panic!("one attempt was made") };
        assert_eq!(attempt["response"], "address_refused", "{attempt}");
    } else {
        assert_eq!(made.status, 422, "{made:?}");
    }
    assert!(receiver.arrivals().is_empty());
}
