//! How a server ends, does not start, and takes over another configuration.

use rustix::process::Signal;
use serde_json::json;

use crate::support::{Receiver, Reply, Server, Setup, run};

#[tokio::test]
async fn a_stop_lets_requests_in_flight_end_and_records_them() {
    let (mut server, receiver) = (Server::start().await, Receiver::start().await);
    receiver.always(Reply::Held);
    let endpoint = server.api().register("shop", &receiver).await;
    let message = server.api().send("shop", "order.paid", json!({})).await;
    receiver.expect(1).await;

    server.process.signal(Signal::TERM);
    server.process.line(|line| line["message"] == "stopping").await.expect("it says so");
    receiver.release();
    let ended = server.process.ended().await;
    assert_eq!(ended.code, Some(0), "{ended:?}");

    let server = server.setup.start().await;
    let delivery = server.api().delivery(&endpoint, &message).await;
    assert_eq!((delivery["state"].as_str(), delivery["attempt"].as_u64()), (Some("delivered"), Some(1)));
    assert_eq!(receiver.ids(), [message]);
}

#[tokio::test]
async fn a_stop_waits_for_the_requests_of_every_thread() {
    let mut server = Setup::new().set("dispatch.threads", "3").start().await;
    server.api().app("shop").await;
    let mut endpoints = Vec::new();
    for _ in 0..8 {
        let receiver = Receiver::start().await;
        receiver.always(Reply::Held);
        endpoints.push((server.api().endpoint("shop", &receiver, json!({})).await, receiver));
    }
    let message = server.api().send("shop", "order.paid", json!({})).await;
    for (_, receiver) in &endpoints {
        receiver.expect(1).await;
    }

    server.process.signal(Signal::TERM);
    server.process.line(|line| line["message"] == "stopping").await.expect("it says so");
    endpoints.iter().for_each(|(_, receiver)| receiver.release());
    let ended = server.process.ended().await;
    assert_eq!(ended.code, Some(0), "{ended:?}");

    let server = server.setup.start().await;
    for (endpoint, receiver) in endpoints {
        let delivery = server.api().delivery(&endpoint, &message).await;
        assert_eq!((delivery["state"].as_str(), delivery["attempt"].as_u64()), (Some("delivered"), Some(1)));
        assert_eq!(receiver.ids(), std::slice::from_ref(&message));
    }
}

#[tokio::test]
async fn a_second_signal_ends_it_at_once_and_the_event_is_delivered_after_the_next_start() {
    let (mut server, receiver) = (Server::start().await, Receiver::start().await);
    receiver.next([Reply::Hang]);
    let endpoint = server.api().register("shop", &receiver).await;
    let message = server.api().send("shop", "order.paid", json!({})).await;
    receiver.expect(1).await;

    server.process.signal(Signal::INT);
    server.process.line(|line| line["message"] == "stopping").await.expect("it says so");
    server.process.signal(Signal::INT);
    let ended = server.process.ended().await;
    assert_eq!(ended.code, Some(1), "{ended:?}");

    let server = server.setup.start().await;
    server.api().until_state(&endpoint, &message, "delivered").await;
    assert_eq!(receiver.ids(), [message.clone(), message], "a duplicate is possible for what was in flight");
}

#[tokio::test]
async fn what_does_not_end_in_time_is_tried_again_after_the_next_start() {
    let (mut server, receiver) = (Setup::new().set("stop.drain_ms", "100").start().await, Receiver::start().await);
    receiver.next([Reply::Hang]);
    let endpoint = server.api().register("shop", &receiver).await;
    let message = server.api().send("shop", "order.paid", json!({})).await;
    receiver.expect(1).await;
    server.process.signal(Signal::TERM);
    let ended = server.process.ended().await;
    assert_eq!(ended.code, Some(0), "{ended:?}");

    let server = server.setup.start().await;
    server.api().until_state(&endpoint, &message, "delivered").await;
    assert_eq!(receiver.arrivals().len(), 2);
}

#[tokio::test]
async fn a_stopping_server_answers_the_lines_that_it_has_read() {
    let (mut server, receiver) = (Server::start().await, Receiver::start().await);
    server.api().register("shop", &receiver).await;
    let mut ingest = server.ingest().await;
    let line = json!({ "app": "shop", "type": "a.b", "payload": {} }).to_string();
    let first = ingest.ask(&line).await;
    assert!(first["id"].is_string());
    server.process.signal(Signal::TERM);
    assert_eq!(ingest.answer().await, None, "the connection ends with the server");
    assert_eq!(server.process.ended().await.code, Some(0));
    assert!(!server.setup.data_dir().join("ingest.sock").exists(), "its socket is gone");
}

#[tokio::test]
async fn a_second_process_on_the_same_directory_is_refused_with_75() {
    let server = Server::start().await;
    let refused = server.setup.refused().await;
    assert_eq!(refused.code, Some(75), "{refused:?}");
    assert!(refused.stderr.contains("is in use by process"), "{refused:?}");
    let salvage = server.run(&["doctor", "--salvage", "/tmp/not-made"]);
    assert_eq!(salvage.code, Some(75), "{salvage:?}");
    // The first goes on as if nothing had been.
    server.api().app("shop").await;
}

#[tokio::test]
async fn a_wrong_configuration_is_refused_with_64_and_every_problem_at_once() {
    let setup = Setup::new();
    let file = setup.home().join("postrider.toml");
    std::fs::write(&file, "[limits]\nbody_bytes = \"much\"\n[ingest]\nsoket = \"x\"\n").expect("it can be written");
    let setup = setup
        .argument("--config")
        .argument(&file.display().to_string())
        .set("retry.schedule", "0,never")
        .set("auth.jwt_secret", "a secret too short")
        .env("POSTRIDER_JOURNAL__OUTCOME_SYNC_MS", "soon");
    let refused = setup.refused().await;
    assert_eq!(refused.code, Some(64), "{refused:?}");
    for problem in [
        "limits.body_bytes",
        "ingest.soket",
        "did you mean `ingest.socket`",
        "retry.schedule",
        "auth.jwt_secret",
        "POSTRIDER_JOURNAL__OUTCOME_SYNC_MS: journal.outcome_sync_ms",
    ] {
        assert!(refused.stderr.contains(problem), "{problem}: {refused:?}");
    }
    assert!(
        !refused.stderr.contains("too short secret") && !refused.stderr.contains("a secret too short"),
        "{refused:?}"
    );
    assert!(!setup.data_dir().exists(), "nothing was made");

    let long = format!("/tmp/{}/ingest.sock", "x".repeat(120));
    let refused = Setup::new().set("ingest.socket", &long).refused().await;
    assert_eq!(refused.code, Some(64), "{refused:?}");
    assert!(refused.stderr.contains("ingest.socket"), "{refused:?}");
}

#[test]
fn wrong_usage_is_refused_with_64_and_a_missing_server_is_a_failure() {
    let home = tempfile::tempdir().expect("there is room for temporary files");
    assert_eq!(run(home.path(), &["serve", "--nonsense"]).code, Some(64));
    let lonely = run(home.path(), &["app", "list"]);
    assert_eq!(lonely.code, Some(1), "{lonely:?}");
    assert!(lonely.stderr.contains("hint: "), "{lonely:?}");
    for of_many in [["dead-letter", "replay"], ["delivery", "cancel"]] {
        let unsaid = run(home.path(), &[&of_many[..], &["--app", "shop"]].concat());
        assert_eq!(unsaid.code, Some(64), "{unsaid:?}");
        assert!(unsaid.stderr.contains("name a message and an endpoint, or give --all"), "{unsaid:?}");
    }
}

#[tokio::test]
async fn the_effective_configuration_is_shown_without_secrets() {
    let home = tempfile::tempdir().expect("there is room for temporary files");
    let secret = "sixteen bytes and sixteen bytes and more";
    let set = format!("auth.jwt_secret={secret}");
    let shown = run(home.path(), &["check-config", "--set", &set, "--set", "retry.schedule=0,7"]);
    let shown = shown.ok();
    assert!(shown.stdout.contains("retry") && shown.stdout.contains('7'), "{shown:?}");
    assert!(!shown.stdout.contains(secret) && !shown.stderr.contains(secret), "{shown:?}");
}

#[tokio::test]
async fn hang_up_takes_over_a_reloadable_key_and_a_wrong_file_changes_nothing() {
    let setup = Setup::new();
    let file = setup.home().join("postrider.toml");
    let write = |schedule: &str| {
        std::fs::write(&file, format!("[retry]\nschedule = {schedule}\n")).expect("it can be written");
    };
    write("[0]");
    let setup = setup.argument("--config").argument(&file.display().to_string());
    let (mut server, receiver) = (setup.start().await, Receiver::start().await);
    receiver.always(Reply::Status(400));
    let api = server.api();
    let endpoint = api.register("shop", &receiver).await;
    let first = api.send("shop", "order.paid", json!({})).await;
    api.until_state(&endpoint, &first, "dead").await;

    write("[0, 3600]");
    server.process.signal(Signal::HUP);
    let reloaded = server.process.line(|line| line["message"] == "configuration reloaded").await;
    assert_eq!(reloaded.expect("it says so")["keys"], "retry.schedule");
    let second = api.send("shop", "order.paid", json!({})).await;
    api.until_waits(&endpoint, &second, "not_due").await;

    write("[\"nonsense\"]");
    server.process.signal(Signal::HUP);
    let stays = server.process.line(|line| line["message"] == "the configuration stays as it is").await;
    assert!(stays.expect("it says so")["problem"].as_str().is_some_and(|problem| problem.contains("retry.schedule")));
    let third = api.send("shop", "order.paid", json!({})).await;
    api.until_waits(&endpoint, &third, "not_due").await;
}

#[tokio::test]
async fn hang_up_says_nothing_of_a_reload_where_all_that_changed_waits_for_a_start() {
    let setup = Setup::new();
    let file = setup.home().join("postrider.toml");
    let write = |text: &str| std::fs::write(&file, text).expect("it can be written");
    write("");
    let setup = setup.argument("--config").argument(&file.display().to_string());
    let mut server = setup.start().await;
    write("[limits]\nin_flight = 5000\n");
    server.process.signal(Signal::HUP);
    let waits = server.process.line(|line| line["level"] == "WARN").await;
    assert_eq!(waits.expect("it says so")["keys"], "limits.in_flight");
    write("[limits]\nin_flight = 5000\n[retry]\nschedule = [0]\n");
    server.process.signal(Signal::HUP);
    let reloaded = server.process.line(|line| line["message"] == "configuration reloaded").await;
    assert_eq!(reloaded.expect("it says so")["keys"], "retry.schedule", "the first that is said of a reload");
}

#[tokio::test]
async fn a_port_that_is_taken_is_said_with_its_key() {
    let server = Server::start().await;
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("there is a free port");
    let address = taken.local_addr().expect("it is bound").to_string();
    let refused = Setup::new().set("api.listen", &address).refused().await;
    assert_eq!(refused.code, Some(1), "{refused:?}");
    assert!(refused.stderr.contains(&address) && refused.stderr.contains("api.listen"), "{refused:?}");
    drop(server);
}
