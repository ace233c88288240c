//! The API over TLS.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::rustls::{ProtocolVersion, version};

use super::authority::{Authority, BOTH, Files, at, get, handshake, post, serving};
use crate::support::{Server, Setup, in_time, until};

/// The rest of what a server says on a connection.
async fn rest(mut stream: TcpStream) -> Vec<u8> {
    let mut said = Vec::new();
    in_time("the end of the connection", stream.read_to_end(&mut said)).await.expect("a clean end");
    said
}

async fn say(server: &Server, text: &[u8]) -> TcpStream {
    let mut stream = TcpStream::connect(at(server)).await.expect("the server listens");
    stream.write_all(text).await.expect("the server reads");
    stream
}

#[tokio::test]
async fn both_versions_and_both_protocols_are_served_to_who_trusts_the_authority() {
    let authority = Authority::new();
    let (server, _files) = serving(&authority.issue()).await;
    let (tls13, tls12) = (&[&version::TLS13][..], &[&version::TLS12][..]);
    for (versions, alpn, tls, agreed) in [
        (BOTH, &[&b"h2"[..], b"http/1.1"][..], ProtocolVersion::TLSv1_3, Some(&b"h2"[..])),
        (BOTH, &[b"http/1.1"], ProtocolVersion::TLSv1_3, Some(b"http/1.1")),
        (tls13, &[], ProtocolVersion::TLSv1_3, None),
        (tls12, &[b"h2"], ProtocolVersion::TLSv1_2, Some(b"h2")),
        (tls12, &[], ProtocolVersion::TLSv1_2, None),
    ] {
        let stream = handshake(&authority.client(versions, alpn), at(&server)).await.expect("a handshake");
        let seen = get(stream, "/health/live").await;
        assert_eq!((seen.status, seen.tls, seen.alpn.as_deref()), (200, Some(tls), agreed));
        assert!(seen.body.starts_with(br#"{"status":"live""#), "{seen:?}");
        assert!(!seen.headers.contains_key("strict-transport-security"), "nobody asked for it");
    }
    let stranger = Authority::new().client(BOTH, &[]);
    let error = handshake(&stranger, at(&server)).await.expect_err("nobody vouches for it");
    assert!(error.to_string().contains("invalid peer certificate"), "{error}");
    // The sockets and the metrics are as they were.
    assert_eq!(server.api().ask("GET", "/api/v1/app", &[], "").await.status, 200);
    assert_eq!(server.metrics_door().ask("GET", "/health/ready", &[], "").await.status, 200);
    server.stop().await;
}

#[tokio::test]
async fn browsers_are_told_to_keep_to_tls_where_the_operator_wants_it() {
    let authority = Authority::new();
    let setup = Setup::new().set("api.tls.hsts", "true");
    let files = Files::of(&setup, &authority.issue());
    let server = files.used_by(setup).start().await;
    assert_eq!(authority.ask(&server).await.headers["strict-transport-security"], "max-age=31536000");
    let in_clear = server.metrics_door().ask("GET", "/metrics", &[], "").await;
    assert!(!in_clear.headers.contains_key("strict-transport-security"), "they would not believe it, nor should they");
}

#[tokio::test]
async fn a_link_to_this_server_says_what_is_spoken_here() {
    let authority = Authority::new();
    let (server, _files) = serving(&authority.issue()).await;
    server.api().app("shop").await;
    let token = server.run(&["token", "create"]).json()["token"].as_str().expect("a token").to_owned();
    for alpn in [&b"h2"[..], b"http/1.1"] {
        let stream = handshake(&authority.client(BOTH, &[alpn]), at(&server)).await.expect("a handshake");
        let seen = post(stream, "/api/v1/auth/app-portal-access/shop", &token, "{}").await;
        let link: serde_json::Value = serde_json::from_slice(&seen.body).expect("JSON");
        assert_eq!((seen.status, link["url"].as_str()), (200, Some("https://localhost/docs")), "{seen:?}");
    }
    // A proxy that is trusted says what is spoken there, and nobody else does.
    for (proxies, url) in [("127.0.0.1", "https://localhost/docs"), ("10.0.0.1", "http://localhost/docs")] {
        let server = Setup::new().set("api.trusted_proxies", proxies).start().await;
        server.api().app("shop").await;
        let token = server.run(&["token", "create"]).json()["token"].as_str().expect("a token").to_owned();
        let headers = [("host", "localhost"), ("x-forwarded-proto", "https")];
        let api = server.api_over_tcp(Some(&token));
        let answer = api.ask("POST", "/api/v1/auth/app-portal-access/shop", &headers, "{}").await;
        assert_eq!(answer.json()["url"], url, "{answer:?}");
    }
}

#[tokio::test]
async fn who_speaks_without_tls_is_told_so() {
    let (server, _files) = serving(&Authority::new().issue()).await;
    let long = format!("POST /api/v1/app HTTP/1.1\r\nhost: x\r\ncontent-length: 40000\r\n\r\n{}", " ".repeat(40_000));
    for request in ["GET / HTTP/1.1\r\nhost: localhost\r\n\r\n", &long, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"] {
        let mut stream = say(&server, request.as_bytes()).await;
        stream.shutdown().await.expect("the server reads");
        let said = String::from_utf8(rest(stream).await).expect("a text");
        assert!(said.starts_with("HTTP/1.1 400 Bad Request\r\n"), "{said}");
        assert!(
            said.ends_with(r#"{"code":"tls_required","detail":"only TLS is spoken here: the URL is https:"}"#),
            "{said}"
        );
    }
    // What is neither gets an alert: unexpected_message or decode_error (RFC 8446, section 6).
    let said = rest(say(&server, b"\x00\x01\x02\x03\x04\x05\x06\x07").await).await;
    assert_eq!(said.first(), Some(&21), "{said:?}");
}

#[tokio::test]
async fn old_versions_are_refused() {
    let (server, _files) = serving(&Authority::new().issue()).await;
    for minor in [1, 2] {
        // A ClientHello of TLS 1.0 or 1.1 (RFC 4346, section 7.4.1.2): no session, one cipher suite, no compression.
        let mut hello = vec![3, minor];
        hello.extend([7; 32]);
        hello.extend([0, 0, 2, 0xc0, 0x13, 1, 0]);
        // Of the extensions only what is looked at before the version: signature algorithms.
        hello.extend([0, 8, 0, 13, 0, 4, 0, 2, 4, 3]);
        let mut message = vec![1, 0, 0, hello.len() as u8];
        message.extend(hello);
        let mut record = vec![22, 3, 1, 0, message.len() as u8];
        record.extend(message);
        let said = rest(say(&server, &record).await).await;
        // A fatal alert, protocol_version.
        assert_eq!((said.first(), said.get(5..)), (Some(&21), Some(&[2, 70][..])), "{said:?}");
    }
    // The alert may arrive before it is counted.
    let both = async || (server.metrics().await.sum("postrider_tls_handshakes_failed_total", "") == 2.0).then_some(());
    until("both to be counted", both).await;
}

#[tokio::test]
async fn who_hangs_in_the_handshake_costs_its_own_place_only() {
    let authority = Authority::new();
    let setup = Setup::new().set("limits.client_connections", "13");
    let files = Files::of(&setup, &authority.issue());
    let server = files.used_by(setup).start().await;
    // One after the other they would hang for two minutes.
    let mut hanging = Vec::new();
    for start in [&b""[..], &[22, 3, 1, 2, 0, 1]].repeat(6) {
        hanging.push(say(&server, start).await);
    }
    for _ in 0..3 {
        assert_eq!(authority.ask(&server).await.status, 200);
    }
    server.stop().await;
    for stream in hanging {
        assert_eq!(rest(stream).await, Vec::<u8>::new());
    }
}
