//! Register, send, verify: over each of the three doors, and by the commands.

use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

use postrider_api::{TokenSecret, token};
use postrider_model::time::UnixMs;
use serde_json::json;

use crate::support::{Receiver, Server, Setup};

/// JSON whose bytes change as soon as somebody reads and writes it anew.
const PAYLOAD: &str = r#"{"b": 1.00,  "a":[ 1e2,-0.0 ],"ü":"\u00e9","big":12345678901234567890123}"#;

#[tokio::test]
async fn an_event_through_the_ingest_socket_arrives_signed_and_byte_for_byte() {
    let (server, receiver) = (Server::start().await, Receiver::start().await);
    let endpoint = server.api().register("shop", &receiver).await;
    let mut ingest = server.ingest().await;

    let line = format!(r#"{{"app":"shop","type":"order.paid","payload":{PAYLOAD}}}"#);
    let answer = ingest.ask(&line).await;
    let [arrival] = &receiver.expect(1).await[..] else { panic!("one event, one request") };

    assert_eq!(answer, json!({ "id": arrival.id() }));
    assert_eq!(arrival.method, "POST");
    assert_eq!(arrival.path, "/hook");
    assert_eq!(arrival.body, PAYLOAD);
    assert_eq!(arrival.header("content-type"), "application/json");
    assert!(arrival.is_signed_with(&endpoint.secret), "{arrival:?}");
    assert!(!arrival.is_signed_with("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"), "the check itself must be able to fail");
}

#[tokio::test]
async fn many_lines_at_once_are_accepted_in_the_order_of_the_lines() {
    let server = Server::start().await;
    server.api().app("shop").await;
    let mut ingest = server.ingest().await;
    let lines: String =
        (0..2_000).map(|n| format!("{{\"app\":\"shop\",\"type\":\"a.b\",\"payload\":{n}}}\n")).collect();
    assert!(ingest.try_write(lines.as_bytes()).await);
    let mut ids = vec![];
    for _ in 0..2_000 {
        let answer = ingest.answer().await.expect("each line gets an answer");
        ids.push(answer["id"].as_str().expect("it is accepted").to_owned());
    }
    assert!(ids.is_sorted(), "ids are in the order of acceptance");
}

#[tokio::test]
async fn a_body_that_is_no_json_arrives_as_it_is() {
    let (server, receiver) = (Server::start().await, Receiver::start().await);
    let endpoint = server.api().register("shop", &receiver).await;
    let mut ingest = server.ingest().await;

    let event = json!({ "app": "shop", "type": "order.paid", "payload_base64": "aGksIHRoZXJlCg==", "content_type": "text/plain" });
    ingest.accepted(event).await;
    let [arrival] = &receiver.expect(1).await[..] else { panic!("one event, one request") };

    assert_eq!(arrival.body, "hi, there\n");
    assert_eq!(arrival.header("content-type"), "text/plain");
    assert!(arrival.is_signed_with(&endpoint.secret));
}

#[tokio::test]
async fn an_event_through_the_api_socket_arrives_signed_and_byte_for_byte() {
    let (server, receiver) = (Server::start().await, Receiver::start().await);
    let endpoint = server.api().register("shop", &receiver).await;

    let body = format!(r#"{{"eventType":"order.paid","payload":{PAYLOAD}}}"#);
    let answer = server.api().ask("POST", "/api/v1/app/shop/msg", &[("content-type", "application/json")], body).await;
    let [arrival] = &receiver.expect(1).await[..] else { panic!("one event, one request") };

    assert_eq!(answer.status, 202);
    assert_eq!(answer.json()["id"], arrival.id());
    assert_eq!(arrival.body, PAYLOAD);
    assert!(arrival.is_signed_with(&endpoint.secret));
    let shown = server.api().ask("GET", &format!("/api/v1/app/shop/msg/{}", arrival.id()), &[], "").await;
    let shown = String::from_utf8(shown.body.to_vec()).expect("JSON is UTF-8");
    assert!(shown.contains(PAYLOAD), "the payload is shown byte for byte, too: {shown}");
}

#[tokio::test]
async fn tcp_takes_who_bears_a_token_and_nobody_else() {
    let secret = "a secret of our own with 32 bytes or more";
    let (server, receiver) = (Setup::new().set("auth.jwt_secret", secret).start().await, Receiver::start().await);
    let set = format!("auth.jwt_secret={secret}");
    let token = server.run(&["token", "create", "--set", &set]).json()["token"].as_str().expect("a token").to_owned();
    let api = server.api_over_tcp(Some(&token));
    let endpoint = api.register("shop", &receiver).await;
    let id = api.send("shop", "order.paid", json!({ "n": 1 })).await;
    let [arrival] = &receiver.expect(1).await[..] else { panic!("one event, one request") };
    assert_eq!(arrival.id(), id);
    assert!(arrival.is_signed_with(&endpoint.secret));

    let org = server.run(&["token", "create", "--set", &set]).json()["org"].as_str().expect("a tenant").parse();
    let long_ago = UnixMs(1_000_000_000_000);
    let secret = TokenSecret::new(secret.as_bytes().to_vec());
    let expired = token::create(&secret, org.expect("an id"), Duration::from_secs(60), long_ago);
    let (head, _) = token.rsplit_once('.').expect("a JWT has three parts");
    let forged = format!("{head}.AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA");
    for token in [None, Some("nonsense"), Some(expired.as_str()), Some(forged.as_str())] {
        let answer = server.api_over_tcp(token).call("GET", "/app", &json!(null)).await;
        assert_eq!((answer.status, answer.json()["code"].as_str()), (401, Some("authentication_failed")), "{token:?}");
        assert_eq!(answer.headers.get("www-authenticate").map(|value| value.as_bytes()), Some(&b"Bearer"[..]));
    }
}

#[tokio::test]
async fn the_commands_walk_through_all_of_it() {
    let (server, receiver) = (Server::start().await, Receiver::start().await);
    server.run(&["app", "create", "--name", "Shop", "--uid", "shop"]).ok();
    let url = receiver.url();
    let create = ["endpoint", "create", "--app", "shop", "--uid", "main", "--url", &url, "--event-type", "order.paid"];
    let endpoint = server.run(&create).json();
    let sent = server.run(&["send", "--app", "shop", "--type", "order.paid", "--payload", r#"{"n": 1}"#]).json();
    let [arrival] = &receiver.expect(1).await[..] else { panic!("one event, one request") };

    assert_eq!(sent["id"], arrival.id());
    assert_eq!(arrival.body, r#"{"n": 1}"#);
    assert!(arrival.is_signed_with(endpoint["secret"].as_str().expect("a new endpoint's secret is shown")));
    let message = server.run(&["message", "get", "--app", "shop", arrival.id()]).json();
    assert_eq!(message["eventType"], "order.paid");
}

#[tokio::test]
async fn only_their_owner_reaches_the_sockets_and_the_secrets() {
    let server = Server::start().await;
    let mode = |name: &str| {
        let file = std::fs::metadata(server.setup.data_dir().join(name)).expect("the file is there");
        file.permissions().mode() & 0o777
    };
    assert_eq!(mode("ingest.sock"), 0o600);
    assert_eq!(mode("api.sock"), 0o600);
    assert_eq!(mode("jwt-secret"), 0o600);
    assert_eq!(mode("store.key"), 0o600);
}

#[tokio::test]
async fn a_second_tenant_sees_nothing_of_the_first() {
    let (server, receiver) = (Server::start().await, Receiver::start().await);
    let endpoint = server.api().register("shop", &receiver).await;
    let message = server.api().send("shop", "order.paid", json!({})).await;
    let org = format!("org_{}", &message["msg_".len()..]);
    let token = server.run(&["token", "create", "--org", &org]).json()["token"].as_str().expect("a token").to_owned();
    let stranger = server.api_over_tcp(Some(&token));

    assert_eq!(stranger.get("/app").await["data"], json!([]));
    assert_eq!(stranger.get("/dead-letter").await["data"], json!([]));
    let app = server.api().get("/app/shop").await["id"].as_str().expect("an id").to_owned();
    for path in [
        format!("/app/{app}"),
        "/app/shop".to_owned(),
        format!("/app/{app}/msg/{message}"),
        format!("/app/{app}/endpoint/{}", endpoint.id),
        format!("/app/{app}/endpoint/{}/secret", endpoint.id),
    ] {
        assert_eq!(stranger.call("GET", &path, &json!(null)).await.status, 404, "{path}");
    }
    stranger.app("shop").await;
    let mine = stranger.call("GET", &format!("/app/shop/msg/{message}"), &json!(null)).await;
    assert_eq!(mine.status, 404, "an application of the same name is another one");
}
