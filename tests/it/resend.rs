//! One attempt more, which a person asks for beside the schedule.

use serde_json::{Value, json};

use crate::support::{Api, Endpoint, Receiver, Reply, Server, Setup, until};

fn resend_of(endpoint: &Endpoint, message: &str) -> String {
    format!("/app/{}/msg/{message}/endpoint/{}/resend", endpoint.app, endpoint.id)
}

/// Waits until so many attempts of a message are listed; gives what triggered each.
async fn until_triggers(api: &Api, message: &str, count: usize) -> Vec<Value> {
    let look = async || {
        let attempts = api.attempts("shop", message).await;
        (attempts.len() == count).then(|| attempts.iter().map(|attempt| attempt["triggerType"].clone()).collect())
    };
    until(format!("{count} attempts to be listed"), look).await
}

#[tokio::test]
async fn a_failed_resend_does_not_end_the_automatic_retries() {
    let (server, receiver) = (Setup::new().set("retry.schedule", "0,1000,1000").start().await, Receiver::start().await);
    receiver.next([Reply::Status(500), Reply::Status(500)]);
    let api = server.api();
    let endpoint = api.register("shop", &receiver).await;
    let message = api.send("shop", "order.paid", json!({ "n": 1 })).await;
    let before = api.until_waits(&endpoint, &message, "not_due").await;

    assert_eq!(api.call("POST", &resend_of(&endpoint, &message), &Value::Null).await.status, 202);
    let failed = |delivery: &Value| delivery["attempt"] == 3 && delivery["resending"] == false;
    let after = api.until_delivery(&endpoint, &message, "resent in vain", failed).await;
    assert_eq!(
        (&after["state"], &after["dueAt"]),
        (&json!("scheduled"), &before["dueAt"]),
        "the retry is still to come"
    );
    assert_eq!(after["trigger"], "scheduled");

    let server = server.kill().await.start().await;
    let api = server.api();
    let again = api.until_waits(&endpoint, &message, "not_due").await;
    assert_eq!((&again["attempt"], &again["dueAt"]), (&after["attempt"], &after["dueAt"]));
    server.run(&["message", "resend", "--app", "shop", &message, &endpoint.id]).ok();
    api.until_state(&endpoint, &message, "delivered").await;
    assert_eq!(until_triggers(&api, &message, 3).await, [0, 1, 1]);
    let arrivals = receiver.arrivals();
    assert!(arrivals.iter().all(|arrival| arrival.id() == message && arrival.body == r#"{"n":1}"#), "{arrivals:?}");
}

#[tokio::test]
async fn a_dead_letter_stays_one_until_a_resend_succeeds() {
    let (server, receiver) = (Setup::new().set("retry.schedule", "0").start().await, Receiver::start().await);
    receiver.next([Reply::Status(400), Reply::Status(400)]);
    let api = server.api();
    let endpoint = api.register("shop", &receiver).await;
    let message = api.send("shop", "order.paid", json!({})).await;
    let dead = api.until_state(&endpoint, &message, "dead").await;

    api.post(&resend_of(&endpoint, &message), Value::Null).await;
    let failed = |delivery: &Value| delivery["attempt"] == 2 && delivery["resending"] == false;
    let still = api.until_delivery(&endpoint, &message, "resent in vain", failed).await;
    for same in ["state", "reason", "endedAt"] {
        assert_eq!(still[same], dead[same], "{same}");
    }
    let server = server.stop().await.start().await;
    let api = server.api();
    let letters = api.get("/app/shop/dead-letter").await;
    assert_eq!((&letters["data"][0]["msgId"], &letters["data"][0]["attempt"]), (&json!(message), &json!(2)));

    api.post(&resend_of(&endpoint, &message), Value::Null).await;
    let delivered = api.until_state(&endpoint, &message, "delivered").await;
    assert_eq!(delivered["attempt"], 3);
    assert_eq!(api.get("/app/shop/dead-letter").await["data"], json!([]));
}

#[tokio::test]
async fn a_resend_of_what_was_delivered_waits_through_pause_stop_and_kill() {
    let (server, receiver) = (Server::start().await, Receiver::start().await);
    let api = server.api();
    let endpoint = api.register("shop", &receiver).await;
    let message = api.send("shop", "order.paid", json!({})).await;
    let delivered = api.until_state(&endpoint, &message, "delivered").await;
    api.set(&endpoint, "paused").await;
    api.post(&resend_of(&endpoint, &message), Value::Null).await;

    let server = server.stop().await.start().await.kill().await.start().await;
    let api = server.api();
    let waits = api.until_waits(&endpoint, &message, "endpoint_paused").await;
    assert_eq!((&waits["state"], &waits["resending"]), (&json!("delivered"), &json!(true)));
    assert_eq!(api.get("/app/shop/delivery").await["data"], json!([]), "it is not one that is still to be delivered");
    assert_eq!(receiver.arrivals().len(), 1);

    receiver.next([Reply::Status(500)]);
    api.set(&endpoint, "resumed").await;
    receiver.expect(2).await;
    let after = api.until_delivery(&endpoint, &message, "resent", |delivery| delivery["resending"] == false).await;
    assert_eq!((&after["state"], &after["endedAt"]), (&json!("delivered"), &delivered["endedAt"]));
    assert_eq!(after["attempt"], 2);
}

#[tokio::test]
async fn a_resend_waits_for_the_request_in_flight_and_two_at_once_are_one() {
    let (server, receiver) = (Server::start().await, Receiver::start().await);
    receiver.next([Reply::Held]);
    let api = server.api();
    let endpoint = api.register("shop", &receiver).await;
    let message = api.send("shop", "order.paid", json!({})).await;
    receiver.expect(1).await;
    for _ in 0..2 {
        api.post(&resend_of(&endpoint, &message), Value::Null).await;
    }
    let waits = api.until_waits(&endpoint, &message, "in_flight").await;
    assert_eq!(waits["resending"], true);
    assert_eq!(receiver.arrivals().len(), 1, "one request at a time");
    receiver.release();
    assert_eq!(until_triggers(&api, &message, 2).await, [0, 1], "made although the first one succeeded");
    let after = api.until_delivery(&endpoint, &message, "resent", |delivery| delivery["resending"] == false).await;
    assert_eq!((&after["state"], &after["attempt"]), (&json!("delivered"), &json!(2)));
}

#[tokio::test]
async fn a_resend_can_be_called_off_and_what_there_is_none_of_is_not_resent() {
    let (server, receiver) = (Setup::new().set("retry.schedule", "0").start().await, Receiver::start().await);
    receiver.next([Reply::Status(400)]);
    let api = server.api();
    let endpoint = api.register("shop", &receiver).await;
    let message = api.send("shop", "order.paid", json!({})).await;
    let dead = api.until_state(&endpoint, &message, "dead").await;
    api.set(&endpoint, "paused").await;
    api.post(&resend_of(&endpoint, &message), Value::Null).await;
    api.until_waits(&endpoint, &message, "endpoint_paused").await;
    server.run(&["delivery", "cancel", "--app", "shop", &message, &endpoint.id]).ok();
    let after = api.delivery(&endpoint, &message).await;
    assert_eq!((&after["state"], &after["resending"]), (&dead["state"], &json!(false)));
    api.set(&endpoint, "resumed").await;
    api.send("shop", "order.paid", json!({})).await;
    assert_eq!(receiver.expect(2).await.len(), 2, "the first attempt and the second message");

    let no_message = format!("/app/shop/msg/msg_{}/endpoint/{}/resend", "0".repeat(27), endpoint.id);
    let no_endpoint = format!("/app/shop/msg/{message}/endpoint/nowhere/resend");
    for path in [no_message, no_endpoint] {
        assert_eq!(api.call("POST", &path, &Value::Null).await.status, 404, "{path}");
    }
}
