//! On the ingest socket: one `error` line for each.

use serde_json::json;
use tokio::io::AsyncWriteExt as _;

use super::{nothing_is_stored, shop};

/// A line with some of its fields replaced or added; null takes one away.
fn line(changes: serde_json::Value) -> String {
    let mut event = json!({ "app": "shop", "type": "order.paid", "payload": {} });
    let fields = event.as_object_mut().expect("it is one");
    for (name, value) in changes.as_object().expect("changes are an object") {
        fields.insert(name.clone(), value.clone());
    }
    if changes.get("payload_base64").is_some() {
        fields.remove("payload");
    }
    event.to_string()
}

#[tokio::test]
async fn each_wrong_line_gets_its_code_and_names_the_field() {
    let (server, receiver) = shop().await;
    let mut ingest = server.ingest().await;
    let big = "x".repeat(3_000);
    let cases = [
        ("{".to_owned(), "invalid_json", ""),
        ("[]".to_owned(), "invalid_json", ""),
        ("7".to_owned(), "invalid_json", ""),
        ("{} {}".to_owned(), "invalid_json", ""),
        ("{}".to_owned(), "missing_field", "payload"),
        (r#"{"type":"a.b","payload":{}}"#.to_owned(), "missing_field", "app"),
        (r#"{"app":"shop","payload":{}}"#.to_owned(), "missing_field", "type"),
        (r#"{"app":"shop","app":"shop","type":"a.b","payload":{}}"#.to_owned(), "invalid_field", "app"),
        (line(json!({ "app": "nobody" })), "unknown_application", "app"),
        (line(json!({ "app": 7 })), "invalid_field", "app"),
        (line(json!({ "app": "app_2ZJ8xkXbM0YvWq5n3cLrT7dHfGa" })), "unknown_application", "app"),
        (line(json!({ "type": "order paid" })), "invalid_field", "type"),
        (line(json!({ "type": "order..paid" })), "invalid_field", "type"),
        (line(json!({ "type": "" })), "invalid_field", "type"),
        (line(json!({ "typ": "order.paid" })), "unknown_field", "typ"),
        (line(json!({ "payload": { "big": big } })), "payload_too_large", "payload"),
        (line(json!({ "payload_base64": "a" })), "invalid_field", "payload_base64"),
        (line(json!({ "content_type": "text/plain" })), "invalid_field", "content_type"),
        (line(json!({ "payload_base64": "YQ==", "content_type": "no media type\n" })), "invalid_field", "content_type"),
        (line(json!({ "key": "" })), "invalid_field", "key"),
        (line(json!({ "key": "a\nb" })), "invalid_field", "key"),
        (line(json!({ "event_id": "x".repeat(300) })), "invalid_field", "event_id"),
        (line(json!({ "channels": "eu" })), "invalid_field", "channels"),
        (line(json!({ "channels": ["e u"] })), "invalid_field", "channels"),
        (line(json!({ "order_key": "" })), "invalid_field", "order_key"),
        (line(json!({ "org": "org_nonsense" })), "invalid_field", "org"),
        (line(json!({ "app": "fresh", "create_app": "" })), "invalid_field", "create_app"),
    ];
    for (line, code, field) in &cases {
        let refused = ingest.refused(line).await;
        assert_eq!((refused.0.as_str(), refused.1.as_str()), (*code, *field), "{line}");
    }
    let deep = format!(r#"{{"app":"shop","type":"a.b","payload":{}{}}}"#, "[".repeat(1_000), "]".repeat(1_000));
    ingest.refused(&deep).await;
    nothing_is_stored(&server.api(), &receiver).await;
}

#[tokio::test]
async fn bytes_that_are_no_text_are_refused_and_the_connection_goes_on() {
    let (server, receiver) = shop().await;
    let mut ingest = server.ingest().await;
    ingest.write(b"{\"app\":\"shop\",\"type\":\"a.b\",\"payload\":\"\xff\xfe\"}").await;
    let answer = ingest.answer().await.expect("each line gets an answer");
    assert_eq!(answer["error"]["code"], "invalid_json");
    ingest.write(b"\0\0\0\0").await;
    let answer = ingest.answer().await.expect("each line gets an answer");
    assert_eq!(answer["error"]["code"], "invalid_json");
    nothing_is_stored(&server.api(), &receiver).await;
    ingest.accepted(json!({ "app": "shop", "type": "a.b", "payload": {} })).await;
}

#[tokio::test]
async fn half_a_line_is_refused_when_the_client_ends_its_side() {
    let (server, receiver) = shop().await;
    let mut ingest = server.ingest().await;
    ingest.lines.write_all(br#"{"app":"shop","type":"a.b","payload":{}}"#).await.expect("the server reads");
    ingest.lines.shutdown().await.expect("the server is there");
    let answer = ingest.answer().await.expect("half a line gets an answer");
    assert_eq!(answer["error"]["code"], "incomplete_line");
    assert_eq!(ingest.answer().await, None);
    nothing_is_stored(&server.api(), &receiver).await;
}

#[tokio::test]
async fn a_client_that_vanishes_leaves_no_trace_of_half_a_line() {
    let (server, receiver) = shop().await;
    for _ in 0..20 {
        let mut ingest = server.ingest().await;
        ingest.lines.write_all(br#"{"app":"shop","type":"a.b","#).await.expect("the server reads");
        drop(ingest);
    }
    nothing_is_stored(&server.api(), &receiver).await;
}

#[tokio::test]
async fn a_line_of_a_hundred_megabytes_is_refused_and_the_others_are_served_meanwhile() {
    let (server, receiver) = shop().await;
    let (mut hostile, mut other) = (server.ingest().await, server.ingest().await);
    let chunk = vec![b'x'; 1 << 20];
    for n in 0..100 {
        hostile.lines.write_all(&chunk).await.expect("the server reads on");
        if n % 25 == 0 {
            let (code, _) = other.refused(&line(json!({ "app": "nobody" }))).await;
            assert_eq!(code, "unknown_application");
        }
    }
    let rss_kib = server.resident_kib();
    assert!(rss_kib < 100 * 1_024, "{rss_kib} KiB");
    hostile.write(b"").await;
    let answer = hostile.answer().await.expect("a long line gets one answer");
    assert_eq!(answer["error"]["code"], "line_too_long");
    nothing_is_stored(&server.api(), &receiver).await;
    hostile.accepted(json!({ "app": "shop", "type": "a.b", "payload": {} })).await;
}

#[tokio::test]
async fn a_client_that_does_not_read_its_answers_stops_only_itself() {
    let (server, receiver) = shop().await;
    let (mut silent, mut other) = (server.ingest().await, server.ingest().await);
    // Fills every buffer on the way back; then the socket takes nothing more.
    let bad = format!("{}\n", line(json!({ "app": "nobody" }))).repeat(100);
    let filled = async { while silent.lines.write_all(bad.as_bytes()).await.is_ok() {} };
    let served = async {
        for _ in 0..200 {
            let (code, _) = other.refused(&line(json!({ "app": "nobody" }))).await;
            assert_eq!(code, "unknown_application");
        }
    };
    tokio::select! {
        () = filled => panic!("a socket that nobody reads cannot take everything"),
        () = served => {}
    }
    nothing_is_stored(&server.api(), &receiver).await;
}
