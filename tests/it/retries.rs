//! What follows from a failed attempt.

use serde_json::{Value, json};

use crate::support::{Receiver, Reply, Setup, until};

/// Four attempts without a pause between them.
const AT_ONCE: &str = "0,0,0,0";

#[tokio::test]
async fn a_failure_is_tried_again_until_success() {
    let (server, receiver) = (Setup::new().set("retry.schedule", AT_ONCE).start().await, Receiver::start().await);
    receiver.next([Reply::Status(500), Reply::Close, Reply::With(302, vec![("location", receiver.url())])]);
    let api = server.api();
    let endpoint = api.register("shop", &receiver).await;
    let message = api.send("shop", "order.paid", json!({ "n": 1 })).await;

    let delivery = api.until_state(&endpoint, &message, "delivered").await;
    assert_eq!(delivery["attempt"], 4);
    let arrivals = receiver.arrivals();
    assert_eq!(arrivals.len(), 4, "a redirect is a failure and is not followed");
    for arrival in &arrivals {
        assert_eq!(arrival.id(), message, "the id is the same in every attempt");
        assert_eq!(arrival.body, r#"{"n":1}"#, "and so is the body");
        assert!(arrival.is_signed_with(&endpoint.secret));
    }
    let attempts = api.attempts("shop", &message).await;
    let codes: Vec<_> = attempts.iter().map(|attempt| attempt["responseStatusCode"].as_u64()).collect();
    assert_eq!(codes, [Some(500), Some(0), Some(302), Some(200)]);
    assert!(attempts.iter().all(|attempt| attempt["url"] == receiver.url()));
}

#[tokio::test]
async fn an_endpoint_that_is_switched_off_gets_its_event_when_it_is_back() {
    let (server, receiver) = (Setup::new().set("retry.schedule", AT_ONCE).start().await, Receiver::start().await);
    // A port where nobody listens: bound once, so that it is nobody else's, and closed.
    let closed = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("there is a free port");
        format!("http://{}/", listener.local_addr().expect("it is bound"))
    };
    let api = server.api();
    let endpoint = api.register("shop", &receiver).await;
    let path = format!("/app/shop/endpoint/{}", endpoint.id);
    api.patch(&path, json!({ "url": closed })).await;
    let message = api.send("shop", "order.paid", json!({})).await;
    api.until_state(&endpoint, &message, "dead").await;
    let attempts = api.attempts("shop", &message).await;
    assert_eq!(attempts.len(), 4);
    assert!(attempts.iter().all(|attempt| attempt["url"] == closed && attempt["status"] == 2), "{attempts:?}");

    api.patch(&path, json!({ "url": receiver.url() })).await;
    api.post(&format!("/app/shop/msg/{message}/delivery/{}/replay", endpoint.id), json!({})).await;
    assert_eq!(receiver.expect(1).await.len(), 1);
    api.until_state(&endpoint, &message, "delivered").await;
}

#[tokio::test]
async fn the_next_attempt_is_due_by_the_schedule_with_its_jitter() {
    let (server, receiver) = (Setup::new().set("retry.schedule", "0,1000").start().await, Receiver::start().await);
    receiver.always(Reply::Status(500));
    let api = server.api();
    let endpoint = api.register("shop", &receiver).await;
    let message = api.send("shop", "order.paid", json!({})).await;
    // What is answered is read in two places, one after the other: the reason may be newer than the state.
    let is_next = |delivery: &Value| delivery["waits"]["reason"] == "not_due" && delivery["attempt"] == 2;
    let delivery = api.until_delivery(&endpoint, &message, "due again", is_next).await;

    assert_eq!(delivery["state"], "scheduled");
    let [attempt] = &api.attempts("shop", &message).await[..] else { panic!("one attempt was made") };
    // 1,000 s lie above ten minutes, where the spread is a tenth.
    let wait_ms = ms(&delivery["waits"]["until"]) - ms(&attempt["timestamp"]);
    assert!((900_000..=1_101_000).contains(&wait_ms), "{wait_ms} ms");
}

#[tokio::test]
async fn after_the_last_attempt_it_is_a_dead_letter_that_can_be_replayed() {
    let (server, receiver) = (Setup::new().set("retry.schedule", "0,0").start().await, Receiver::start().await);
    receiver.next([Reply::Status(500), Reply::Status(404)]);
    let api = server.api();
    let endpoint = api.register("shop", &receiver).await;
    let message = api.send("shop", "order.paid", json!({ "n": 1 })).await;

    let dead = api.until_state(&endpoint, &message, "dead").await;
    assert_eq!((dead["reason"].as_str(), dead["attempt"].as_u64()), (Some("attempts_exhausted"), Some(2)));
    let letters = server.run(&["dead-letter", "list", "--app", "shop"]).json();
    assert_eq!(letters["data"][0]["msgId"], message.as_str());

    server.run(&["dead-letter", "replay", "--app", "shop", &message, &endpoint.id]).ok();
    let delivered = api.until_state(&endpoint, &message, "delivered").await;
    assert_eq!(delivered["attempt"], 3, "attempts are counted on");
    let arrivals = receiver.arrivals();
    assert_eq!(arrivals.len(), 3);
    assert!(arrivals.iter().all(|arrival| arrival.id() == message), "a replay has the same id");
    assert_eq!(api.get("/app/shop/dead-letter").await["data"], json!([]));
    let triggers: Vec<_> = api.attempts("shop", &message).await.iter().map(|a| a["triggerType"].as_u64()).collect();
    assert_eq!(triggers, [Some(0), Some(0), Some(1)]);
}

#[tokio::test]
async fn dead_letters_are_replayed_by_filter_and_the_others_stay() {
    let (server, receiver) = (Setup::new().set("retry.schedule", "0").start().await, Receiver::start().await);
    // An answer below 500 is a sign of life: the lane goes on at full speed.
    receiver.always(Reply::Status(400));
    let api = server.api();
    let endpoint = api.register("shop", &receiver).await;
    let (mut paid, mut sent) = (vec![], vec![]);
    for n in 0..20 {
        paid.push(api.send("shop", "order.paid", json!({ "n": n })).await);
        sent.push(api.send("shop", "order.sent", json!({ "n": n })).await);
    }
    for message in paid.iter().chain(&sent) {
        api.until_state(&endpoint, message, "dead").await;
    }
    receiver.always(Reply::Status(204));
    let task = server.run(&["dead-letter", "replay", "--app", "shop", "--event-type", "order.paid", "--all"]).json();
    assert_eq!((task["status"].as_str(), task["data"]["messagesSent"].as_u64()), (Some("finished"), Some(20)));
    for message in &paid {
        api.until_state(&endpoint, message, "delivered").await;
    }
    let left = api.get("/app/shop/dead-letter?limit=250").await;
    let left = left["data"].as_array().expect("a list").iter();
    let mut left: Vec<_> = left.filter_map(|letter| letter["msgId"].as_str()).collect();
    left.sort_unstable();
    sent.sort();
    assert_eq!(left, sent);
}

#[tokio::test]
async fn a_purged_dead_letter_is_cancelled_and_stays_away() {
    let (server, receiver) = (Setup::new().set("retry.schedule", "0").start().await, Receiver::start().await);
    receiver.always(Reply::Status(400));
    let api = server.api();
    let endpoint = api.register("shop", &receiver).await;
    let message = api.send("shop", "order.paid", json!({})).await;
    api.until_state(&endpoint, &message, "dead").await;
    let which = ["--app", "shop", &message, &endpoint.id];
    let shown = server.run(&[&["dead-letter", "show"], &which[..]].concat()).json();
    assert_eq!((&shown["msgId"], &shown["reason"]), (&json!(message), &json!("attempts_exhausted")));
    assert_eq!(shown["lastAttempt"]["responseStatusCode"], 400);

    server.run(&[&["dead-letter", "purge"], &which[..]].concat()).ok();
    let server = server.kill().await.start().await;
    let api = server.api();
    assert_eq!(api.get("/app/shop/dead-letter").await["data"], json!([]));
    assert_eq!(api.delivery(&endpoint, &message).await["state"], "cancelled");
    let path = format!("/app/shop/dead-letter/{message}/{}", endpoint.id);
    for method in ["GET", "DELETE"] {
        assert_eq!(api.call(method, &path, &Value::Null).await.status, 404, "{method}");
    }
    assert_eq!(api.attempts("shop", &message).await.len(), 1, "its history is there");
}

#[tokio::test]
async fn gone_disables_the_endpoint_and_its_deliveries_wait() {
    let (server, receiver) = (Setup::new().set("retry.schedule", AT_ONCE).start().await, Receiver::start().await);
    receiver.next([Reply::Status(410)]);
    let api = server.api();
    let endpoint = api.register("shop", &receiver).await;
    let message = api.send("shop", "order.paid", json!({})).await;

    let delivery = api.until_waits(&endpoint, &message, "endpoint_disabled_by_410").await;
    assert_eq!((delivery["state"].as_str(), delivery["attempt"].as_u64()), (Some("scheduled"), Some(2)));
    let shown = api.get(&format!("/app/shop/endpoint/{}", endpoint.id)).await;
    assert_eq!((&shown["disabled"], &shown["disabledReason"]), (&json!(true), &json!("gone")));
    assert_eq!(receiver.arrivals().len(), 1);

    api.set(&endpoint, "enabled").await;
    api.until_state(&endpoint, &message, "delivered").await;
    assert_eq!(receiver.arrivals().len(), 2);
}

#[tokio::test]
async fn retry_after_with_429_pauses_the_whole_lane() {
    let (server, receiver) = (Setup::new().set("retry.schedule", AT_ONCE).start().await, Receiver::start().await);
    receiver.next([Reply::With(429, vec![("retry-after", "3600".to_owned())])]);
    let api = server.api();
    let endpoint = api.register("shop", &receiver).await;
    let first = api.send("shop", "order.paid", json!({})).await;
    let waiting = api.until_delivery(&endpoint, &first, "tried once", |delivery| delivery["attempt"] == 2).await;
    let second = api.send("shop", "order.paid", json!({})).await;
    let paused = api.until_waits(&endpoint, &second, "lane_paused").await;

    let [attempt] = &api.attempts("shop", &first).await[..] else { panic!("one attempt was made") };
    assert!(ms(&waiting["dueAt"]) >= ms(&attempt["timestamp"]) + 3_600_000 - 1, "{waiting} after {attempt}");
    assert_eq!(paused["attempt"], 1, "the second was not tried");
    assert!(ms(&paused["waits"]["until"]) >= ms(&attempt["timestamp"]) + 3_600_000 - 1_000, "{paused} after {attempt}");
    assert_eq!(receiver.arrivals().len(), 1);
}

#[tokio::test]
async fn a_429_means_fewer_at_once_and_the_next_attempt_by_the_schedule() {
    let (server, receiver) = (Setup::new().set("retry.schedule", "0,1000").start().await, Receiver::start().await);
    let api = server.api();
    let endpoint = api.register("shop", &receiver).await;
    let flow = format!("/app/shop/endpoint/{}/flow", endpoint.id);
    for _ in 0..3 {
        let message = api.send("shop", "order.paid", json!({})).await;
        api.until_state(&endpoint, &message, "delivered").await;
    }
    let allowed = async |count: u32| {
        until(format!("{count} at once"), async || {
            let shown = api.get(&flow).await;
            (shown["allowedInFlight"] == count).then_some(())
        })
        .await;
    };
    allowed(3).await;
    receiver.next([Reply::Status(429)]);
    let message = api.send("shop", "order.paid", json!({})).await;
    let delivery = api.until_waits(&endpoint, &message, "not_due").await;
    let [attempt] = &api.attempts("shop", &message).await[..] else { panic!("one attempt was made") };
    assert!(ms(&delivery["waits"]["until"]) >= ms(&attempt["timestamp"]) + 900_000, "{delivery} after {attempt}");
    allowed(1).await;
}

#[tokio::test]
async fn a_throttle_rate_is_never_exceeded() {
    let (server, receiver) = (Setup::new().start().await, Receiver::start().await);
    let api = server.api();
    api.app("shop").await;
    let endpoint = api.endpoint("shop", &receiver, json!({ "throttleRate": 2 })).await;
    let mut started = vec![];
    let mut sent = vec![];
    for _ in 0..5 {
        sent.push(api.send("shop", "order.paid", json!({})).await);
    }
    for message in &sent {
        api.until_state(&endpoint, message, "delivered").await;
        started.push(ms(&api.attempts("shop", message).await[0]["timestamp"]));
    }
    started.sort_unstable();
    let span_ms = started.last().zip(started.first()).map(|(last, first)| last - first);
    // Four intervals of half a second, less what the first may be late in starting.
    assert!(span_ms >= Some(1_000), "two a second: {started:?}");
}

#[tokio::test]
async fn retry_after_is_read_in_every_form_and_hostile_ones_are_survived() {
    let (server, receiver) = (Setup::new().set("retry.schedule", "0,1000").start().await, Receiver::start().await);
    let api = server.api();
    let endpoint = api.register("shop", &receiver).await;
    // 404 speaks of the one request, so each delivery has its own wait.
    let cases: [(&str, std::ops::RangeInclusive<i64>); 9] = [
        ("7200", 7_199_000..=7_201_000),
        // The later of schedule and header counts.
        ("1", 900_000..=1_101_000),
        ("inf", 900_000..=1_101_000),
        ("-7200", 900_000..=1_101_000),
        ("99999999999999999999", 86_399_000..=86_401_000),
        // Years away, in the three forms of RFC 9110: clamped to a day.
        ("Tue, 31 Dec 2199 23:59:59 GMT", 86_399_000..=86_401_000),
        ("Tuesday, 31-Dec-69 23:59:59 GMT", 86_399_000..=86_401_000),
        ("Tue Dec 31 23:59:59 2199", 86_399_000..=86_401_000),
        // Long past.
        ("Sun, 06 Nov 1994 08:49:37 GMT", 900_000..=1_101_000),
    ];
    for (header, expected) in cases {
        receiver.next([Reply::With(404, vec![("retry-after", header.to_owned())])]);
        let message = api.send("shop", "order.paid", json!({})).await;
        let delivery = api.until_waits(&endpoint, &message, "not_due").await;
        let [attempt] = &api.attempts("shop", &message).await[..] else { panic!("one attempt was made") };
        let wait_ms = ms(&delivery["waits"]["until"]) - ms(&attempt["timestamp"]);
        assert!(expected.contains(&wait_ms), "{header}: {wait_ms} ms");
    }
}

#[tokio::test]
async fn attempts_go_on_after_a_restart_where_they_were() {
    let (server, receiver) = (Setup::new().set("retry.schedule", "0,0,3600").start().await, Receiver::start().await);
    receiver.always(Reply::Status(500));
    let endpoint = server.api().register("shop", &receiver).await;
    let message = server.api().send("shop", "order.paid", json!({})).await;
    // The second one waits, too, for a moment.
    let before = until("the third attempt to wait", async || {
        let waits = server.api().until_waits(&endpoint, &message, "not_due").await;
        (waits["attempt"] == 3).then_some(waits)
    })
    .await;

    let server = server.stop().await.start().await;
    let after = server.api().until_waits(&endpoint, &message, "not_due").await;
    assert_eq!((&after["attempt"], &after["dueAt"]), (&before["attempt"], &before["dueAt"]));
    let attempts = until("the attempts to be listed", async || {
        let attempts = server.api().attempts("shop", &message).await;
        (attempts.len() == 2).then_some(attempts)
    });
    attempts.await;
}

/// A time of the API in milliseconds.
fn ms(time: &Value) -> i64 {
    let text = time.as_str().unwrap_or_else(|| panic!("no time: {time}"));
    text.parse::<jiff::Timestamp>().expect("times are in RFC 3339").as_millisecond()
}
