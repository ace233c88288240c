//! Characters that would end a line, a header or a URL early.

use serde_json::{Value, json};

use super::Shop;
use super::wire::exchange;
use crate::support::Setup;

/// What no name, header or URL may have.
const CHARACTERS: [char; 8] = ['\r', '\n', '\0', '\t', '\u{7f}', '\u{85}', '\u{2028}', '\u{202e}'];
/// Those of them that end a line, or that no text of ours may have.
const CONTROLS: usize = 6;

#[tokio::test]
async fn names_urls_and_headers_with_control_characters_are_refused_at_their_place() {
    let shop = Shop::open(Setup::new()).await;
    let endpoint = |changes: Value| {
        let mut body = json!({ "url": "https://example.com/hook" });
        body.as_object_mut().expect("it is one").extend(changes.as_object().cloned().unwrap_or_default());
        body
    };
    for bad in CHARACTERS.into_iter().take(CONTROLS) {
        let text = format!("a{bad}b");
        let message = |name: &str, value: Value| {
            let mut body = json!({ "eventType": "order.paid", "payload": {} });
            body[name] = value;
            body
        };
        for (path, body, place) in [
            ("/app", json!({ "name": "x", "uid": text }), "uid"),
            ("/app/shop/endpoint", endpoint(json!({ "uid": text })), "uid"),
            ("/app/shop/endpoint", endpoint(json!({ "url": format!("https://example.com/{text}") })), "url"),
            ("/app/shop/endpoint", endpoint(json!({ "url": format!("https://exa{bad}mple.com/") })), "url"),
            ("/app/shop/endpoint", endpoint(json!({ "url": format!("https://u{bad}:p@example.com/") })), "url"),
            ("/app/shop/endpoint", endpoint(json!({ "url": format!("https{bad}://example.com/") })), "url"),
            ("/app/shop/endpoint", endpoint(json!({ "headers": { "x-a": text } })), "headers"),
            ("/app/shop/endpoint", endpoint(json!({ "headers": { text.clone(): "x" } })), "headers"),
            ("/app/shop/endpoint", endpoint(json!({ "channels": [text] })), "channels"),
            ("/event-type", json!({ "name": text, "description": "x" }), "name"),
            ("/app/shop/msg", message("eventType", json!(text)), "eventType"),
            ("/app/shop/msg", message("eventId", json!(text)), "eventId"),
            ("/app/shop/msg", message("channels", json!([text])), "channels"),
            ("/app/shop/msg", message("orderKey", json!(text)), "orderKey"),
        ] {
            let answer = shop.api.call("POST", path, &body).await;
            assert_eq!(answer.status, 422, "{path} {body}: {answer:?}");
            assert_eq!(answer.json()["detail"][0]["loc"][1], place, "{path} {body}: {answer:?}");
        }
    }
    shop.unharmed().await;
}

#[tokio::test]
async fn a_line_of_the_socket_says_the_same() {
    let shop = Shop::open(Setup::new()).await;
    let mut ingest = shop.server.ingest().await;
    for bad in CHARACTERS.into_iter().take(CONTROLS) {
        for field in ["app", "type", "key", "event_id", "order_key", "content_type"] {
            let mut event = json!({ "app": "shop", "type": "order.paid", "payload_base64": "YQ==" });
            event[field] = json!(format!("a/{bad}b"));
            let (code, named) = ingest.refused(&event.to_string()).await;
            assert_eq!((code.as_str(), named.as_str()), ("invalid_field", field), "{event}");
        }
    }
    shop.unharmed().await;
}

#[tokio::test]
async fn a_head_with_control_characters_is_refused_whole() {
    let shop = Shop::open(Setup::new()).await;
    let (url, auth) = (shop.server.url(), format!("authorization: Bearer {}\r\n", shop.token));
    let get = |target: &str, lines: &str| {
        format!("GET {target} HTTP/1.1\r\nhost: x\r\n{auth}connection: close\r\n{lines}\r\n")
    };
    for bad in ["\0", "\u{7f}", "\u{1}", "\r"] {
        for request in [
            get("/api/v1/app", &format!("x-a: b{bad}c\r\n")),
            get("/api/v1/app", &format!("x{bad}-a: b\r\n")),
            get(&format!("/api/v1/app{bad}"), ""),
            get("/api/v1/app", &format!("idempotency-key: a{bad}b\r\n")),
        ] {
            let answers = exchange(&url, &request).await;
            assert_eq!(answers.iter().map(|answer| answer.status).collect::<Vec<_>>(), [400], "{request:?}");
        }
    }
    for request in [
        get("/api/v1/app HTTP/1.1\r\nx-a: b", ""),
        get("/api/v1/app\tx", ""),
        get("/api/v1/app x", ""),
        get("/api/v1/app", " x-a: b\r\n"),
        get("/api/v1/app", ": b\r\n"),
        get("/api/v1/app", "no colon\r\n"),
        "\u{16}\u{3}\u{1}\u{2}\0\u{1}\0\u{1}\u{fc}\u{3}\u{3}".to_owned(),
        "GET /\r\n\r\n".to_owned(),
        "GET / HTTP/9.9\r\n\r\n".to_owned(),
        "G\u{e9}T / HTTP/1.1\r\n\r\n".to_owned(),
    ] {
        let answers = exchange(&url, &request).await;
        // A head that holds one more line is a head like any other.
        let expected = if request.contains("x-a: b HTTP/1.1") { 200 } else { 400 };
        assert_eq!(answers.iter().map(|answer| answer.status).collect::<Vec<_>>(), [expected], "{request:?}");
    }
    shop.unharmed().await;
}
