//! Tasks: what a person has sent again, by the span of time.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::{Value, json};
use tokio::sync::watch;

use crate::support::{Api, Arrival, Ingest, Receiver, Reply, Server, Setup, until};

/// More than a lane's window holds.
const MANY: usize = 11_500;
/// What it holds of dead letters that are replayed: `limits.lane_window` and 1,000.
const WINDOW: usize = 11_000;

/// The time at which a message was accepted.
async fn accepted(api: &Api, message: &str) -> String {
    let message = api.get(&format!("/app/shop/msg/{message}")).await;
    message["timestamp"].as_str().expect("a message has a time").to_owned()
}

async fn until_finished(api: &Api, task: &Value) -> Value {
    let path = format!("/background-task/{}", task["id"].as_str().expect("a task has an id"));
    let look = async || Some(api.get(&path).await).filter(|task| task["status"] == "finished");
    until("the end of the task", look).await
}

/// Sends many at once, without waiting for each.
async fn send_many(ingest: &mut Ingest, count: usize) {
    for batch in (0..count).collect::<Vec<_>>().chunks(500) {
        for n in batch {
            ingest.write(json!({ "app": "shop", "type": "a.b", "payload": { "n": n } }).to_string().as_bytes()).await;
        }
        for _ in batch {
            assert!(ingest.answer().await.expect("each line gets an answer")["id"].is_string());
        }
    }
}

async fn until_dead(server: &Server, count: usize) {
    let look = async || {
        let dead = server.metrics().await.sum("postrider_deliveries", r#"state="dead""#);
        (dead as usize == count).then_some(())
    };
    until(format!("{count} dead letters"), look).await;
}

#[tokio::test]
async fn recover_sends_the_dead_letters_of_a_span_of_time_and_nothing_else() {
    let (server, receiver) = (Setup::new().set("retry.schedule", "0").start().await, Receiver::start().await);
    let api = server.api();
    let endpoint = api.register("shop", &receiver).await;
    receiver.next([400, 204, 400, 400].map(Reply::Status));
    let mut sent = vec![];
    for state in ["dead", "delivered", "dead", "dead"] {
        let message = api.send("shop", "order.paid", json!({})).await;
        api.until_state(&endpoint, &message, state).await;
        sent.push(message);
    }
    // From the second one on, and before the last.
    let (since, until) = (accepted(&api, &sent[1]).await, accepted(&api, &sent[3]).await);
    let arguments = ["endpoint", "recover", "--app", "shop", &endpoint.id, "--since", &since, "--until", &until];
    let task = server.run(&arguments).json();
    assert_eq!((&task["task"], &task["status"]), (&json!("endpoint.recover"), &json!("finished")));
    assert_eq!((&task["data"]["messagesSent"], &task["data"]["endpointId"]), (&json!(1), &json!(endpoint.id)));
    let delivered = api.until_state(&endpoint, &sent[2], "delivered").await;
    assert_eq!(delivered["attempt"], 2);
    for (message, state) in [(&sent[0], "dead"), (&sent[1], "delivered"), (&sent[3], "dead")] {
        assert_eq!(api.delivery(&endpoint, message).await["state"], state);
    }
    assert_eq!(receiver.arrivals().len(), 5);

    let shown = server.run(&["task", "show", task["id"].as_str().expect("an id"), "--wait"]).json();
    assert_eq!(shown, task);
    let listed = server.run(&["task", "list", "--status", "finished"]).json();
    assert_eq!(listed["data"], json!([task]));
}

#[tokio::test]
async fn replay_missing_sends_an_endpoint_what_it_asks_for_and_never_got() {
    let (server, receiver) = (Setup::new().start().await, Receiver::start().await);
    let api = server.api();
    api.app("shop").await;
    let mut before = vec![api.send("shop", "order.paid", json!({})).await];
    // `--since` counts milliseconds, and leaves out the first one only.
    let first: jiff::Timestamp = accepted(&api, &before[0]).await.parse().expect("a time");
    let later = async || (jiff::Timestamp::now().as_millisecond() > first.as_millisecond()).then_some(());
    until("the next millisecond", later).await;
    for event_type in ["order.paid", "order.sent", "order.paid"] {
        before.push(api.send("shop", event_type, json!({})).await);
    }
    let endpoint = api.endpoint("shop", &receiver, json!({ "eventTypes": ["order.paid"] })).await;
    let after = api.send("shop", "order.paid", json!({})).await;
    api.until_state(&endpoint, &after, "delivered").await;
    let since = accepted(&api, &before[1]).await;
    let arguments = ["endpoint", "replay-missing", "--app", "shop", &endpoint.id, "--since", &since];
    let task = server.run(&arguments).json();
    assert_eq!((&task["task"], &task["status"]), (&json!("endpoint.replay"), &json!("finished")));
    assert_eq!(task["data"]["messagesSent"], 2);
    for message in [&before[1], &before[3]] {
        api.until_state(&endpoint, message, "delivered").await;
    }
    let again = server.run(&arguments).json();
    assert_eq!((&again["status"], &again["data"]["messagesSent"]), (&json!("finished"), &json!(0)));
    let mut got: Vec<_> = receiver.arrivals().iter().map(|arrival| arrival.id().to_owned()).collect();
    got.sort();
    assert_eq!(got, [&before[1], &before[3], &after].map(String::clone), "each once");
}

#[tokio::test]
async fn bulk_replay_sends_again_what_was_delivered_and_what_failed() {
    let (server, receiver) = (Setup::new().set("retry.schedule", "0").start().await, Receiver::start().await);
    let api = server.api();
    let endpoint = api.register("shop", &receiver).await;
    receiver.next([204, 400, 204].map(Reply::Status));
    let mut sent = vec![];
    for (event_type, state) in [("order.paid", "delivered"), ("order.paid", "dead"), ("order.sent", "delivered")] {
        let message = api.send("shop", event_type, json!({})).await;
        api.until_state(&endpoint, &message, state).await;
        sent.push(message);
    }
    let arguments = ["endpoint", "bulk-replay", "--app", "shop", &endpoint.id, "--since", "2020-01-01T00:00:00Z"];
    let replay = |more: &[&str]| server.run(&[&arguments[..], more].concat()).json();
    let again = async |message: &str, attempt: u64| {
        let look = async || {
            let found = api.delivery(&endpoint, message).await;
            (found["state"] == "delivered" && found["attempt"] == attempt).then_some(())
        };
        until(format!("attempt {attempt} of {message}"), look).await;
    };
    let task = replay(&["--type", "order.paid"]);
    assert_eq!((&task["task"], &task["status"]), (&json!("endpoint.bulk-replay"), &json!("finished")));
    assert_eq!(task["data"]["messagesSent"], 2);
    again(&sent[0], 2).await;
    again(&sent[1], 2).await;
    assert_eq!(replay(&["--status", "fail"])["data"]["messagesSent"], 0);
    assert_eq!(replay(&["--status", "success", "--status-code-class", "200"])["data"]["messagesSent"], 3);
    for (message, attempt) in [(&sent[0], 3), (&sent[1], 3), (&sent[2], 2)] {
        again(message, attempt).await;
    }
    assert_eq!(receiver.arrivals().len(), 8);
}

#[tokio::test]
async fn recover_goes_on_after_a_kill_and_has_no_cap() {
    let fails = Arc::new(AtomicBool::new(true));
    let (seen, mut recovered) = watch::channel(BTreeSet::new());
    let decide = {
        let fails = Arc::clone(&fails);
        move |arrival: &Arrival| {
            if fails.load(Ordering::SeqCst) {
                return Reply::Status(400);
            }
            seen.send_modify(|seen| {
                seen.insert(arrival.id().to_owned());
            });
            Reply::Status(204)
        }
    };
    let setup = Setup::new().set("retry.schedule", "0");
    let (server, receiver) = (setup.start().await, Receiver::deciding(decide).await);
    let api = server.api();
    let endpoint = api.register("shop", &receiver).await;
    send_many(&mut server.ingest().await, MANY).await;
    until_dead(&server, MANY).await;

    // A paused endpoint's window stays full: this is the middle of it.
    api.set(&endpoint, "paused").await;
    let path = format!("/app/shop/endpoint/{}/recover", endpoint.id);
    let task = api.post(&path, json!({ "since": "2020-01-01T00:00:00Z" })).await;
    until_dead(&server, MANY - WINDOW).await;
    let path = format!("/background-task/{}", task["id"].as_str().expect("a task has an id"));
    let middle = api.get(&path).await;
    assert_eq!((&middle["status"], &middle["data"]["messagesSent"]), (&json!("running"), &json!(WINDOW)));
    server.kill().await;

    fails.store(false, Ordering::SeqCst);
    let server = setup.start().await;
    let api = server.api();
    api.set(&endpoint, "resumed").await;
    let finished = until_finished(&api, &task).await;
    assert_eq!(finished["data"]["messagesSent"], MANY);
    let all = recovered.wait_for(|seen| seen.len() == MANY);
    crate::support::in_time("all of them to arrive", all).await.expect("the receiver runs");
    until_dead(&server, 0).await;
}
