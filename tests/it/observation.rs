//! What can be seen from outside: metrics and health.

use serde_json::json;

use crate::support::{Receiver, Reply, Setup, until};

#[tokio::test]
async fn a_scrape_has_every_figure_that_is_promised() {
    let (server, receiver) = (Setup::new().set("retry.schedule", "0,0").start().await, Receiver::start().await);
    // One succeeds, one dies, one waits.
    receiver.next([Reply::Status(200), Reply::Status(400), Reply::Status(400)]);
    let api = server.api();
    let endpoint = api.register("shop", &receiver).await;
    let good = api.send("shop", "order.paid", json!({})).await;
    api.until_state(&endpoint, &good, "delivered").await;
    let bad = api.send("shop", "order.paid", json!({})).await;
    api.until_state(&endpoint, &bad, "dead").await;
    api.set(&endpoint, "paused").await;
    let held = api.send("shop", "order.paid", json!({})).await;
    api.until_waits(&endpoint, &held, "endpoint_paused").await;

    let metrics = server.metrics().await;
    let one_of_each: [(&str, &str, f64); 8] = [
        ("postrider_messages_accepted_total", "", 3.0),
        ("postrider_deliveries_delivered_total", "", 1.0),
        ("postrider_dead_letters_total", "", 1.0),
        ("postrider_attempts_total", "", 3.0),
        ("postrider_deliveries", "state=\"dead\"", 1.0),
        ("postrider_deliveries", "state=\"held\"", 1.0),
        ("postrider_deliveries", "state=\"waiting\"", 0.0),
        ("postrider_deliveries", "state=\"in_flight\"", 0.0),
    ];
    for (name, label, expected) in one_of_each {
        assert_eq!(metrics.sum(name, label), expected, "{name}{{{label}}}: {metrics:#?}");
    }
    for name in [
        "postrider_commit_bytes_count",
        "postrider_sync_seconds_count",
        "postrider_attempt_duration_seconds_count",
        "postrider_delivery_seconds_count",
        "postrider_journal_bytes",
        "postrider_oldest_undelivered_age_seconds",
        "postrider_in_flight_limit",
    ] {
        assert!(metrics.sum(name, "") > 0.0, "{name}: {metrics:#?}");
    }
    for name in [
        "postrider_index_bytes",
        "postrider_queue_depth",
        "postrider_queue_limit",
        "postrider_invariant_violations_total",
    ] {
        assert!(metrics.names().contains(&name), "{name}: {metrics:#?}");
    }
    assert_eq!(metrics.sum("postrider_invariant_violations_total", ""), 0.0);
    let names = metrics.names();
    let ours = names.iter().filter(|name| !name.starts_with("postrider_"));
    assert_eq!(ours.collect::<Vec<_>>(), Vec::<&&str>::new(), "every name has our prefix");
}

#[tokio::test]
async fn health_is_answered_beside_the_api_and_beside_the_metrics() {
    let server = crate::support::Server::start().await;
    for door in [server.metrics_door(), server.api_over_tcp(None), server.api()] {
        let live = door.ask("GET", "/health/live", &[], "").await;
        assert_eq!((live.status, live.json()["status"].as_str()), (200, Some("live")));
        let ready = door.ask("GET", "/health/ready", &[], "").await;
        assert_eq!((ready.status, ready.json()), (200, json!({ "status": "ready", "problems": [] })));
    }
}

#[tokio::test]
async fn a_server_that_is_stopping_is_not_ready() {
    let (mut server, receiver) = (crate::support::Server::start().await, Receiver::start().await);
    receiver.always(Reply::Held);
    server.api().register("shop", &receiver).await;
    server.api().send("shop", "order.paid", json!({})).await;
    receiver.expect(1).await;
    server.process.signal(rustix::process::Signal::TERM);
    server.process.line(|line| line["message"] == "stopping").await.expect("it says so");
    let ready = until("the server to say that it is not ready", async || {
        let ready = server.metrics_door().ask("GET", "/health/ready", &[], "").await;
        (ready.status == 503).then_some(ready)
    });
    assert_eq!(ready.await.json()["problems"], json!(["the server is stopping"]));
    receiver.release();
    assert_eq!(server.process.ended().await.code, Some(0));
}
