//! Which endpoints a message goes to.

use serde_json::json;

use crate::support::{Receiver, Server};

#[tokio::test]
async fn a_message_goes_to_every_endpoint_that_asked_for_its_type_and_channel() {
    let server = Server::start().await;
    let api = server.api();
    let [all, paid, sent, eu] =
        [Receiver::start().await, Receiver::start().await, Receiver::start().await, Receiver::start().await];
    let to_all = api.register("shop", &all).await;
    let to_paid = api.endpoint("shop", &paid, json!({ "eventTypes": ["order.paid", "order.refunded"] })).await;
    let to_sent = api.endpoint("shop", &sent, json!({ "filterTypes": ["order.sent"] })).await;
    let to_eu = api.endpoint("shop", &eu, json!({ "channels": ["eu"], "eventTypes": ["order.paid"] })).await;

    let mut ingest = server.ingest().await;
    let mut send = async |event_type: &str, channels: &[&str]| {
        let event = json!({ "app": "shop", "type": event_type, "payload": {}, "channels": channels });
        let event = match channels {
            [] => json!({ "app": "shop", "type": event_type, "payload": {} }),
            _ => event,
        };
        ingest.accepted(event).await
    };
    let plain = send("order.paid", &[]).await;
    let in_eu = send("order.paid", &["eu", "web"]).await;
    let in_us = send("order.paid", &["us"]).await;
    let sent_in_eu = send("order.sent", &["eu"]).await;
    let refunded = send("order.refunded", &[]).await;

    let expected = [
        (&to_all, &all, vec![&plain, &in_eu, &in_us, &sent_in_eu, &refunded]),
        (&to_paid, &paid, vec![&plain, &in_eu, &in_us, &refunded]),
        (&to_sent, &sent, vec![&sent_in_eu]),
        (&to_eu, &eu, vec![&in_eu]),
    ];
    for (endpoint, receiver, messages) in &expected {
        for message in messages {
            api.until_state(endpoint, message, "delivered").await;
        }
        let (mut arrived, mut sent) = (receiver.ids(), messages.iter().map(ToString::to_string).collect::<Vec<_>>());
        arrived.sort();
        sent.sort();
        assert_eq!(arrived, sent, "{endpoint:?}");
        assert!(receiver.arrivals().iter().all(|arrival| arrival.is_signed_with(&endpoint.secret)));
    }
}

#[tokio::test]
async fn a_message_that_nobody_asked_for_is_kept_and_listed() {
    let (server, receiver) = (Server::start().await, Receiver::start().await);
    let api = server.api();
    api.app("shop").await;
    api.endpoint("shop", &receiver, json!({ "eventTypes": ["order.paid"] })).await;
    let unmatched = api.send("shop", "order.sent", json!({ "n": 7 })).await;
    let matched = api.send("shop", "order.paid", json!({})).await;
    receiver.expect(1).await;

    assert_eq!(receiver.ids(), [matched]);
    assert_eq!(api.get(&format!("/app/shop/msg/{unmatched}")).await["payload"], json!({ "n": 7 }));
    let list = api.get("/app/shop/msg?unmatched=true").await;
    let ids: Vec<_> = list["data"].as_array().expect("a list").iter().map(|message| &message["id"]).collect();
    assert_eq!(ids, [unmatched.as_str()]);
}

#[tokio::test]
async fn an_endpoint_gets_what_is_accepted_after_it_was_made_and_nothing_after_it_is_gone() {
    let (server, receiver, other) = (Server::start().await, Receiver::start().await, Receiver::start().await);
    let api = server.api();
    api.register("shop", &other).await;
    let before = api.send("shop", "order.paid", json!({})).await;
    let endpoint = api.endpoint("shop", &receiver, json!({})).await;
    let during = api.send("shop", "order.paid", json!({})).await;
    api.until_state(&endpoint, &during, "delivered").await;
    api.call("DELETE", &format!("/app/shop/endpoint/{}", endpoint.id), &json!(null)).await;
    let after = api.send("shop", "order.paid", json!({})).await;
    other.expect(3).await;

    assert_eq!(receiver.ids(), std::slice::from_ref(&during));
    assert_eq!(other.ids(), [before, during, after]);
}

#[tokio::test]
async fn an_endpoints_own_headers_go_with_each_request() {
    let (server, receiver) = (Server::start().await, Receiver::start().await);
    let api = server.api();
    api.app("shop").await;
    api.endpoint("shop", &receiver, json!({ "headers": { "x-tenant": "blue" } })).await;
    api.send("shop", "order.paid", json!({})).await;
    let [arrival] = &receiver.expect(1).await[..] else { panic!("one event, one request") };
    assert_eq!(arrival.header("x-tenant"), "blue");
}

#[tokio::test]
async fn an_application_is_made_with_the_event_that_names_it() {
    let (server, receiver) = (Server::start().await, Receiver::start().await);
    let mut ingest = server.ingest().await;
    let event = json!({ "app": "fresh", "type": "a.b", "payload": {}, "create_app": "Fresh" });
    let first = ingest.accepted(event.clone()).await;
    assert_eq!(server.api().get("/app/fresh").await["name"], "Fresh");
    server.api().endpoint("fresh", &receiver, json!({})).await;
    let second = ingest.accepted(event).await;
    receiver.expect(1).await;
    assert_ne!(first, second);
    assert_eq!(receiver.ids(), [second]);
}
