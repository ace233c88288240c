//! Fields that the command line takes away again.

use serde_json::{Value, json};

use crate::support::{Receiver, Server};

/// Each flag by itself; what is not named stays.
#[tokio::test]
async fn a_field_of_an_endpoint_goes_back_to_what_it_is_when_nobody_says_anything() {
    let (server, receiver) = (Server::start().await, Receiver::start().await);
    let api = server.api();
    api.app("shop").await;
    let plain = api.endpoint("shop", &receiver, json!({})).await;
    let url = receiver.url();
    let mut args = vec!["endpoint", "create", "--app", "shop", "--uid", "main", "--url", &url];
    args.extend(["--event-type", "order.paid", "--event-type", "order.sent", "--channel", "eu", "--throttle", "7"]);
    args.extend(["--timeout-ms", "2000", "--format", "standard", "--header", "x-a=1", "--metadata", "k=v"]);
    args.extend(["--policy", r#"{"maxInFlight": 2}"#, "--filter", "@.a", "--description", "x"]);
    let made = server.run(&args).json();
    let id = made["id"].as_str().expect("it has one").to_owned();
    let of = async |id: &str| {
        let shown = api.get(&format!("/app/shop/endpoint/{id}")).await;
        let headers = api.get(&format!("/app/shop/endpoint/{id}/headers")).await;
        (shown, headers["headers"].clone())
    };
    let (plain, plain_headers) = of(&plain.id).await;
    for (name, flags) in [
        ("eventTypes", &["--event-type", ""][..]),
        ("channels", &["--channel", ""]),
        ("filter", &["--filter", ""]),
        ("throttleRate", &["--no-throttle"]),
        ("timeoutMs", &["--no-timeout-ms"]),
        ("format", &["--format", ""]),
        ("policy", &["--no-policy"]),
        ("metadata", &["--no-metadata"]),
        ("description", &["--description", ""]),
        ("uid", &["--uid", ""]),
    ] {
        let (mut before, _) = of(&id).await;
        assert_ne!(before[name], plain[name], "{name}");
        server.run(&[&["endpoint", "update", "--app", "shop", &id], flags].concat()).ok();
        let (mut after, _) = of(&id).await;
        assert_eq!(after[name], plain[name], "{name}");
        for shown in [&mut before, &mut after] {
            // These are the older names.
            for other in [name, "filterTypes", "rateLimit", "updatedAt"] {
                shown.as_object_mut().expect("it is one").remove(other);
            }
        }
        assert_eq!(before, after, "{name} alone");
    }
    assert_eq!(of(&id).await.1, json!({ "x-a": "1" }));
    server.run(&["endpoint", "update", "--app", "shop", &id, "--no-header"]).ok();
    assert_eq!(of(&id).await.1, plain_headers);
    // It gets what others sent before do not keep from it any more.
    let message = api.send("shop", "user.made", json!({})).await;
    assert!(receiver.expect(2).await.iter().all(|arrival| arrival.id() == message));
}

#[tokio::test]
async fn an_empty_one_among_others_and_both_at_once_are_refused() {
    let (server, receiver) = (Server::start().await, Receiver::start().await);
    let endpoint = server.api().register("shop", &receiver).await;
    let path = format!("/app/shop/endpoint/{}", endpoint.id);
    let before = server.api().get(&path).await;
    for (flags, says) in [
        (&["--event-type", "", "--event-type", "order.paid"][..], "eventTypes"),
        (&["--channel", "eu", "--channel", ""], "channels"),
        (&["--throttle", "5", "--no-throttle"], "cannot be used with"),
        (&["--timeout-ms", "5000", "--no-timeout-ms"], "cannot be used with"),
        (&["--policy", "{}", "--no-policy"], "cannot be used with"),
        (&["--header", "a=b", "--no-header"], "cannot be used with"),
        (&["--throttle", ""], "--throttle"),
        (&[], "nothing to change"),
    ] {
        let ran = server.run(&[&["endpoint", "update", "--app", "shop", &endpoint.id], flags].concat());
        assert!(ran.code != Some(0) && ran.stderr.contains(says), "{flags:?}: {ran:?}");
    }
    assert_eq!(server.api().get(&path).await, before);
}

#[tokio::test]
async fn a_field_of_an_event_type_is_set_and_taken_away() {
    let server = Server::start().await;
    let file = server.setup.home().join("schema.json");
    std::fs::write(&file, r#"{"type":"object"}"#).expect("it can be written");
    let file = file.to_str().expect("UTF-8");
    let mut args = vec!["event-type", "create", "order.paid", "--schema", file, "--group", "orders"];
    args.extend(["--deprecated", "true", "--feature-flag", "beta", "--feature-flag", "eu"]);
    let shown = |event_type: &Value| {
        ["schemas", "groupName", "deprecated", "featureFlags", "archived"].map(|name| event_type[name].clone())
    };
    let schemas = json!({ "1": { "type": "object" } });
    let (mut expected, made) =
        ([schemas, json!("orders"), json!(true), json!(["beta", "eu"]), json!(false)], server.run(&args).json());
    assert_eq!(shown(&made), expected);
    for (place, flags, value) in [
        (1, &["--group", ""][..], Value::Null),
        (1, &["--group", "sales"], json!("sales")),
        (2, &["--deprecated", "false"], json!(false)),
        (3, &["--feature-flag", ""], made_without_flags(&server).await),
        (3, &["--feature-flag", "beta"], json!(["beta"])),
        (4, &["--archived", "true"], json!(true)),
        (4, &["--archived", "false"], json!(false)),
        (0, &["--no-schema"], Value::Null),
    ] {
        let changed = server.run(&[&["event-type", "update", "order.paid"], flags].concat()).json();
        expected[place] = value;
        assert_eq!(shown(&changed), expected, "{flags:?}");
    }
    for (flags, says) in [
        (&["--deprecated", "maybe"][..], "--deprecated"),
        (&["--schema", file, "--no-schema"], "cannot be used with"),
        (&["--group", "no heading"], "groupName"),
        (&["--feature-flag", "", "--feature-flag", "eu"], "featureFlags"),
        (&[], "nothing to change"),
    ] {
        let ran = server.run(&[&["event-type", "update", "order.paid"], flags].concat());
        assert!(ran.code != Some(0) && ran.stderr.contains(says), "{flags:?}: {ran:?}");
    }
}

/// The flags of an event type that has none, as they are shown.
async fn made_without_flags(server: &Server) -> Value {
    server.run(&["event-type", "create", "order.sent"]).json()["featureFlags"].clone()
}
