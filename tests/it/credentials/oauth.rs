//! Tokens that are asked for before requests are made.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use serde_json::{Value, json};

use crate::support::{Api, Receiver, Reply, Server, Setup, until};

fn auth(tokens: &Receiver, secret: &str) -> Value {
    json!({ "type": "oauth2", "tokenUrl": tokens.url(), "clientId": "shop", "clientSecret": secret, "scope": "events" })
}

const TOKEN: &str = r#"{"access_token":"planted-t0ken","token_type":"Bearer","expires_in":3600}"#;

/// Waits until so many deliveries wait for a token, none of which is just being tried.
async fn wait_for_token(api: &Api, app: &str, endpoint: &str, deliveries: u64) -> Value {
    let path = format!("/app/{app}/endpoint/{endpoint}/flow");
    let all_wait = |flow: &Value| flow["waits"]["reason"] == "no_token" && flow["waiting"] == deliveries;
    let look = async || Some(api.get(&path).await).filter(all_wait);
    until("the endpoint to wait for a token", look).await
}

#[tokio::test]
async fn a_token_is_fetched_once_for_many_messages_and_shown_nowhere() {
    let (server, receiver, tokens) = (Server::start().await, Receiver::start().await, Receiver::start().await);
    tokens.always(Reply::Body(200, TOKEN));
    let api = server.api();
    api.app("shop").await;
    let endpoint = api.endpoint("shop", &receiver, json!({ "auth": auth(&tokens, "cl13nt-s3cret") })).await;
    let path = format!("/app/shop/endpoint/{}", endpoint.id);
    let shown = api.get(&path).await["auth"].clone();
    let mut expected = auth(&tokens, "***");
    expected["clientAuth"] = json!("basic");
    assert_eq!(shown, expected);
    api.patch(&path, json!({ "auth": shown })).await;
    for _ in 0..20 {
        api.send("shop", "order.paid", json!({})).await;
    }
    let arrivals = receiver.expect(20).await;
    assert!(arrivals.iter().all(|arrival| arrival.header("authorization") == "Bearer planted-t0ken"));
    assert!(arrivals.iter().all(|arrival| arrival.is_signed_with(&endpoint.secret)));
    let asked = tokens.arrivals();
    assert_eq!(asked.len(), 1, "{asked:?}");
    assert_eq!(&asked[0].body[..], b"grant_type=client_credentials&scope=events");
    assert!(asked[0].headers.get("webhook-signature").is_none(), "what is asked for is no event");
    let log = server.log();
    assert!(!log.contains("planted-t0ken") && !log.contains("cl13nt"), "{log}");
    // Where the secret would go to another place, it must be given anew.
    let mut elsewhere = expected.clone();
    elsewhere["tokenUrl"] = json!("https://elsewhere.example/token");
    let answer = api.call("PATCH", &path, &json!({ "auth": elsewhere })).await;
    assert_eq!(answer.json()["detail"][0]["loc"], json!(["body", "auth", "clientSecret"]), "{answer:?}");
}

#[tokio::test]
async fn scope_and_audience_are_asked_for_and_each_pair_has_a_token_of_its_own() {
    let (server, receiver, tokens) = (Server::start().await, Receiver::start().await, Receiver::start().await);
    tokens.always(Reply::Body(200, TOKEN));
    let api = server.api();
    api.app("shop").await;
    let mut asked = auth(&tokens, "s");
    asked["scope"] = json!("events.write till:17");
    asked["audience"] = json!("https://shop.example/?a=1&b=2");
    for (number, audience) in [asked["audience"].clone(), Value::Null].into_iter().enumerate() {
        let (event, mut auth) = (format!("order.paid{number}"), asked.clone());
        if audience.is_null() {
            auth.as_object_mut().expect("an object").remove("audience");
        }
        api.endpoint("shop", &receiver, json!({ "auth": auth, "eventTypes": [event] })).await;
        api.send("shop", &event, json!({})).await;
        receiver.expect(number + 1).await;
    }
    let bodies: Vec<_> =
        tokens.arrivals().iter().map(|arrival| String::from_utf8_lossy(&arrival.body).into_owned()).collect();
    let with_scope = "grant_type=client_credentials&scope=events.write+till%3A17";
    let with_both = format!("{with_scope}&audience=https%3A%2F%2Fshop.example%2F%3Fa%3D1%26b%3D2");
    assert_eq!(bodies, [with_both.as_str(), with_scope]);
}

#[tokio::test]
async fn without_a_token_deliveries_wait_uncharged_and_go_out_when_there_is_one() {
    // One attempt is all that there is.
    let setup = Setup::new().set("retry.schedule", "0").set("breaker.failures", "1");
    let (server, receiver, tokens) = (setup.start().await, Receiver::start().await, Receiver::start().await);
    tokens.always(Reply::Body(401, r#"{"error":"invalid_client","error_description":"planted"}"#));
    let api = server.api();
    api.app("shop").await;
    let endpoint = api.endpoint("shop", &receiver, json!({ "uid": "main", "auth": auth(&tokens, "wrong") })).await;
    let mut messages = vec![];
    for _ in 0..5 {
        messages.push(api.send("shop", "order.paid", json!({})).await);
    }
    let flow = wait_for_token(&api, "shop", &endpoint.id, 5).await;
    assert_eq!((&flow["breaker"], &flow["failingSince"]), (&json!("closed"), &Value::Null));
    assert!(flow["waits"]["until"].is_string(), "{flow}");
    let delivery = api.until_waits(&endpoint, &messages[0], "no_token").await;
    assert_eq!((&delivery["state"], &delivery["attempt"]), (&json!("scheduled"), &json!(1)), "{delivery}");
    let flow = server.run(&["endpoint", "flow", "--app", "shop", "main"]);
    assert_eq!(flow.json()["waits"]["reason"], "no_token");
    assert!(api.attempts("shop", &messages[0]).await.is_empty(), "no attempt was made");
    let log = server.log();
    assert!(log.contains("answered 401 (invalid_client)") && !log.contains("planted"), "{log}");
    // What is mended counts at once.
    tokens.always(Reply::Body(200, TOKEN));
    api.patch("/app/shop/endpoint/main", json!({ "auth": auth(&tokens, "right") })).await;
    receiver.expect(5).await;
    for message in &messages {
        let delivery = api.until_state(&endpoint, message, "delivered").await;
        assert_eq!(delivery["attempt"], 1, "{delivery}");
    }
}

#[tokio::test]
async fn it_goes_on_by_itself_and_over_a_restart() {
    let (server, receiver, tokens) = (Server::start().await, Receiver::start().await, Receiver::start().await);
    tokens.always(Reply::Status(503));
    let api = server.api();
    api.app("shop").await;
    let endpoint = api.endpoint("shop", &receiver, json!({ "auth": auth(&tokens, "s") })).await;
    let message = api.send("shop", "order.paid", json!({})).await;
    wait_for_token(&api, "shop", &endpoint.id, 1).await;
    let server = server.stop().await.start().await;
    let api = server.api();
    wait_for_token(&api, "shop", &endpoint.id, 1).await;
    tokens.always(Reply::Body(200, TOKEN));
    receiver.expect(1).await;
    api.until_state(&endpoint, &message, "delivered").await;
}

#[tokio::test]
async fn a_resend_without_a_token_is_on_record_and_says_why() {
    let (server, receiver, tokens) = (Server::start().await, Receiver::start().await, Receiver::start().await);
    tokens.always(Reply::Status(503));
    let api = server.api();
    api.app("shop").await;
    let endpoint = api.endpoint("shop", &receiver, json!({ "auth": auth(&tokens, "s") })).await;
    let message = api.send("shop", "order.paid", json!({})).await;
    wait_for_token(&api, "shop", &endpoint.id, 1).await;
    let path = format!("/app/shop/msg/{message}/endpoint/{}/resend", endpoint.id);
    api.post(&path, Value::Null).await;
    let look = async || {
        let attempts = api.attempts("shop", &message).await;
        attempts.first().map(ToString::to_string)
    };
    let attempt = until("the resend to be on record", look).await;
    assert!(attempt.contains("token"), "{attempt}");
    assert!(receiver.arrivals().is_empty());
}

#[tokio::test]
async fn a_token_that_an_endpoint_refuses_is_exchanged_within_the_attempt() {
    let expired = Arc::new(AtomicBool::new(false));
    let (count, is_expired) = (Arc::new(AtomicUsize::new(0)), Arc::clone(&expired));
    let receiver = Receiver::deciding(move |arrival| {
        let is_old = arrival.header("authorization") == "Bearer old";
        Reply::Status(if is_old && is_expired.load(Ordering::SeqCst) { 401 } else { 200 })
    })
    .await;
    let asked = Arc::clone(&count);
    let tokens = Receiver::deciding(move |_| match asked.fetch_add(1, Ordering::SeqCst) {
        0 => Reply::Body(200, r#"{"access_token":"old","expires_in":3600}"#),
        _ => Reply::Body(200, r#"{"access_token":"new","expires_in":3600}"#),
    })
    .await;
    let server = Server::start().await;
    let api = server.api();
    api.app("shop").await;
    let endpoint = api.endpoint("shop", &receiver, json!({ "auth": auth(&tokens, "s") })).await;
    for _ in 0..2 {
        let message = api.send("shop", "order.paid", json!({})).await;
        let delivery = api.until_state(&endpoint, &message, "delivered").await;
        assert_eq!(delivery["attempt"], 1, "{delivery}");
        assert_eq!(api.attempts("shop", &message).await.len(), 1);
        expired.store(true, Ordering::SeqCst);
    }
    assert_eq!(count.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn what_makes_no_sense_is_refused_by_name() {
    let (server, receiver, tokens) = (Server::start().await, Receiver::start().await, Receiver::start().await);
    let api = server.api();
    api.app("shop").await;
    for bad in [
        json!({ "type": "oauth2", "tokenUrl": "http://10.0.0.1/", "clientId": "a", "clientSecret": "b" }),
        json!({ "type": "oauth2", "tokenUrl": "ftp://a.test/", "clientId": "a", "clientSecret": "b" }),
        json!({ "type": "oauth2", "tokenUrl": "https://u:p@a.test/", "clientId": "a", "clientSecret": "b" }),
    ] {
        let answer = api.call("POST", "/app/shop/endpoint", &json!({ "url": receiver.url(), "auth": bad })).await;
        assert_eq!(answer.json()["detail"][0]["loc"], json!(["body", "auth", "tokenUrl"]), "{answer:?}");
    }
    let refused = [
        ("clientId", json!("")),
        ("clientSecret", json!("é")),
        ("clientAuth", json!("none")),
        ("scope", json!("")),
        ("scope", json!("events\n")),
        ("scope", json!(["events"])),
        ("audience", json!("é")),
        ("audience", json!("x".repeat(2_049))),
        ("audience", json!(17)),
    ];
    for (name, value) in refused {
        let mut bad = auth(&tokens, "s");
        bad[name] = value;
        let answer = api.call("POST", "/app/shop/endpoint", &json!({ "url": receiver.url(), "auth": bad })).await;
        assert_eq!(answer.json()["detail"][0]["loc"], json!(["body", "auth", name]), "{answer:?}");
    }
}
