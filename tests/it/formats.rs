//! In what form an endpoint gets its messages.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::support::{Receiver, Reply, Server, Setup, run};

const PAYLOAD: &str = r#"{ "amount": 1.50,  "b":"\u00e9" }"#;
const ATTRIBUTES: [&str; 5] = ["ce-specversion", "ce-id", "ce-source", "ce-type", "ce-time"];

/// Sends an event whose payload has its own spelling; gives its id and when it was accepted.
async fn send(server: &Server) -> (String, String) {
    let body = format!(r#"{{"eventType":"order.paid","payload":{PAYLOAD}}}"#);
    let json = [("content-type", "application/json")];
    let answer = server.api().ask("POST", "/api/v1/app/shop/msg", &json, body).await;
    assert_eq!(answer.status, 202, "{answer:?}");
    let text = |name: &str| answer.json()[name].as_str().expect("it is a text").to_owned();
    (text("id"), text("timestamp"))
}

async fn app_id(server: &Server) -> String {
    server.api().get("/app/shop").await["id"].as_str().expect("it has one").to_owned()
}

/// What each format makes of a payload, byte for byte, with a signature over what was sent.
#[tokio::test]
async fn each_format_carries_the_payload_as_it_came_and_is_signed() {
    let server = Server::start().await;
    let api = server.api();
    api.app("shop").await;
    let app = app_id(&server).await;
    let mut receivers = Vec::new();
    for format in
        [Value::Null, json!("payload"), json!("standard"), json!("cloudevents-binary"), json!("cloudevents-structured")]
    {
        let receiver = Receiver::start().await;
        let endpoint = api.endpoint("shop", &receiver, json!({ "format": format })).await;
        assert_eq!(api.get(&format!("/app/shop/endpoint/{}", endpoint.id)).await["format"], format);
        receivers.push((receiver, endpoint));
    }
    let (id, at) = send(&server).await;
    let mut bodies = Vec::new();
    for (receiver, endpoint) in &receivers {
        let [arrival] = &receiver.expect(1).await[..] else { panic!("one event, one request") };
        assert!(arrival.is_signed_with(&endpoint.secret), "{arrival:?}");
        assert_eq!(arrival.id(), id);
        let attributes = ATTRIBUTES.iter().filter_map(|name| arrival.headers.get(*name)).count();
        let body = std::str::from_utf8(&arrival.body).expect("UTF-8").to_owned();
        bodies.push((arrival.header("content-type").to_owned(), attributes, body));
    }
    let of = |content_type: &str, attributes: usize, body: String| (content_type.to_owned(), attributes, body);
    assert_eq!(
        bodies,
        [
            of("application/json", 0, PAYLOAD.to_owned()),
            of("application/json", 0, PAYLOAD.to_owned()),
            of("application/json", 0, format!(r#"{{"type":"order.paid","timestamp":"{at}","data":{PAYLOAD}}}"#)),
            of("application/json", 5, PAYLOAD.to_owned()),
            of(
                "application/cloudevents+json; charset=utf-8",
                0,
                format!(
                    r#"{{"specversion":"1.0","id":"{id}","source":"/postrider/{app}","type":"order.paid","time":"{at}","datacontenttype":"application/json","data":{PAYLOAD}}}"#
                )
            ),
        ]
    );
    let binary = &receivers[3].0.expect(1).await[0];
    let source = format!("/postrider/{app}");
    assert_eq!(ATTRIBUTES.map(|name| binary.header(name)), ["1.0", &id, &source, "order.paid", &at]);
}

/// W7: the time is that of the acceptance, however late an attempt is, and after a restart.
#[tokio::test]
async fn each_attempt_carries_the_same_bytes() {
    let setup = Setup::new().set("retry.schedule", "0,0,0").set("retry.jitter_percent", "0");
    let server = setup.start().await;
    let api = server.api();
    api.app("shop").await;
    for format in ["standard", "cloudevents-binary", "cloudevents-structured"] {
        let receiver = Receiver::start().await;
        let endpoint = api.endpoint("shop", &receiver, json!({ "format": format, "eventTypes": [format] })).await;
        receiver.next([Reply::Status(500), Reply::Status(500), Reply::Status(200)]);
        let id = api.send("shop", format, json!({ "n": 1 })).await;
        let arrivals = receiver.expect(3).await;
        api.until_state(&endpoint, &id, "delivered").await;
        for arrival in &arrivals {
            assert_eq!(arrival.body, arrivals[0].body, "{format}");
            assert!(arrival.is_signed_with(&endpoint.secret), "{arrival:?}");
            for name in ATTRIBUTES {
                assert_eq!(arrival.headers.get(name), arrivals[0].headers.get(name), "{format}: {name}");
            }
        }
    }
}

#[tokio::test]
async fn a_payload_that_is_no_json_is_delivered_in_every_format() {
    let server = Server::start().await;
    let api = server.api();
    api.app("shop").await;
    let mut receivers = Vec::new();
    for format in ["standard", "cloudevents-binary", "cloudevents-structured"] {
        let receiver = Receiver::start().await;
        api.endpoint("shop", &receiver, json!({ "format": format })).await;
        receivers.push(receiver);
    }
    let mut ingest = server.ingest().await;
    // The second says that it is JSON, and would be more than a payload.
    let payloads: [(&str, &[u8]); 2] = [("image/png", b"\x89PNG\xff"), ("application/json", b"1,\"type\":\"forged\"")];
    for (content_type, payload) in payloads {
        let encoded = STANDARD.encode(payload);
        let event = json!({ "app": "shop", "type": "a.b", "payload_base64": encoded, "content_type": content_type });
        ingest.accepted(event).await;
    }
    let [standard, binary, structured] = &receivers[..] else { panic!("three") };
    for (n, (content_type, payload)) in payloads.into_iter().enumerate() {
        let whole = binary.expect(2).await;
        let found = whole.iter().find(|arrival| &arrival.body[..] == payload);
        let found = found.unwrap_or_else(|| panic!("not delivered as it is: {whole:?}"));
        assert_eq!(found.header("content-type"), content_type);
        for receiver in [standard, structured] {
            let arrivals = receiver.expect(2).await;
            let read: Vec<Value> =
                arrivals.iter().map(|arrival| serde_json::from_slice(&arrival.body).expect("it is JSON")).collect();
            let found = read.iter().find(|read| read["datacontenttype"] == content_type);
            let found = found.unwrap_or_else(|| panic!("{n}: none with its type: {read:?}"));
            assert_eq!(found["data_base64"], STANDARD.encode(payload));
            assert_eq!((&found["type"], &found["data"]), (&json!("a.b"), &Value::Null), "{found}");
        }
    }
}

#[tokio::test]
async fn what_an_endpoint_leaves_open_is_the_servers_and_a_change_takes_effect_at_once() {
    let setup = Setup::new()
        .set("dispatch.format", "standard")
        .set("dispatch.cloudevents_source", "https://example.com/{app}/it%20s");
    let (server, receiver) = (setup.start().await, Receiver::start().await);
    let api = server.api();
    let endpoint = api.register("shop", &receiver).await;
    let path = format!("/app/shop/endpoint/{}", endpoint.id);
    let app = app_id(&server).await;
    assert_eq!(api.get(&path).await["format"], Value::Null);
    send(&server).await;
    assert!(receiver.expect(1).await[0].body.starts_with(b"{\"type\":\"order.paid\","));

    let changed = server.run(&["endpoint", "update", "--app", "shop", &endpoint.id, "--format", "cloudevents-binary"]);
    assert_eq!(changed.json()["format"], "cloudevents-binary");
    send(&server).await;
    let arrivals = receiver.expect(2).await;
    assert_eq!(arrivals[1].header("ce-source"), format!("https://example.com/{app}/it%2520s"));

    // `PUT` without it leaves it; `null` gives it back to the server.
    let put = api.call("PUT", &path, &json!({ "url": receiver.url() })).await;
    assert_eq!(put.json()["format"], "cloudevents-binary", "{put:?}");
    assert_eq!(api.patch(&path, json!({ "format": null })).await["format"], Value::Null);
    let server = server.stop().await.start().await;
    send(&server).await;
    assert!(receiver.expect(3).await[2].body.starts_with(b"{\"type\":\"order.paid\","));
}

#[tokio::test]
async fn other_words_are_refused_and_change_nothing() {
    let (server, receiver) = (Server::start().await, Receiver::start().await);
    let api = server.api();
    let endpoint = api.register("shop", &receiver).await;
    let path = format!("/app/shop/endpoint/{}", endpoint.id);
    let before = api.get(&path).await;
    for value in [json!("Payload"), json!("cloudevents"), json!(""), json!(1), json!(["payload"]), json!({})] {
        for (method, path) in [("POST", "/app/shop/endpoint"), ("PUT", path.as_str()), ("PATCH", &path)] {
            let answer = api.call(method, path, &json!({ "url": receiver.url(), "format": value })).await;
            assert_eq!(answer.status, 422, "{method} {value}: {answer:?}");
            let problem = &answer.json()["detail"][0];
            assert_eq!(problem["loc"], json!(["body", "format"]), "{answer:?}");
            let says = "must be `payload`, `standard`, `cloudevents-binary` or `cloudevents-structured`";
            assert!(problem["msg"].as_str().is_some_and(|msg| msg.contains(says)), "{answer:?}");
        }
    }
    assert_eq!(api.get(&path).await, before);
    let ran = server.run(&["endpoint", "update", "--app", "shop", &endpoint.id, "--format", "xml"]);
    assert!(ran.stderr.contains("format: must be `payload`"), "{ran:?}");
    for (key, value) in [
        ("dispatch.format", "xml"),
        ("dispatch.cloudevents_source", "a b"),
        ("dispatch.cloudevents_source", ""),
        ("dispatch.cloudevents_source", "/{uid}"),
        ("dispatch.default_signature", "x"),
        ("dispatch.signature_headers", "x"),
    ] {
        let ran = run(server.setup.home(), &["check-config", "--set", &format!("{key}={value}")]);
        assert!(ran.stderr.contains(key), "{key} {value}: {ran:?}");
        assert_ne!(ran.code, Some(0), "{ran:?}");
    }
}
