//! Proxies, of an endpoint and of the server.

use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};

use crate::support::{Receiver, Server, Setup};

/// A proxy that speaks `CONNECT` and connects to wherever it is asked to; gives its address and the heads
/// of what it was asked.
async fn connecting() -> (String, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("there is a free port");
    let address = listener.local_addr().expect("it is bound").to_string();
    let asked = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&asked);
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            let seen = Arc::clone(&seen);
            tokio::spawn(async move {
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    head.push(client.read_u8().await?);
                }
                let head = String::from_utf8_lossy(&head).into_owned();
                let to = head.split(' ').nth(1).unwrap_or_default().to_owned();
                seen.lock().expect("no test panics here").push(head);
                client.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await?;
                copy_bidirectional(&mut client, &mut TcpStream::connect(to).await?).await
            });
        }
    });
    (address, asked)
}

fn heads(asked: &Mutex<Vec<String>>) -> Vec<String> {
    asked.lock().expect("no test panics here").clone()
}

#[tokio::test]
async fn requests_go_through_the_servers_proxy_and_an_endpoints_own_comes_before_it() {
    let ((servers, of_server), (own, of_endpoint)) = (connecting().await, connecting().await);
    let receiver = Receiver::start().await;
    let setup = Setup::new().set("dispatch.proxy", &format!("http://us3r:pa55@{servers}"));
    let server = setup.start().await;
    let api = server.api();
    api.app("shop").await;
    let endpoint = api.endpoint("shop", &receiver, json!({ "eventTypes": ["a"] })).await;
    api.send("shop", "a", json!({})).await;
    let arrival = &receiver.expect(1).await[0];
    assert!(arrival.is_signed_with(&endpoint.secret) && arrival.headers.get("proxy-authorization").is_none());
    let [head] = &heads(&of_server)[..] else { panic!("one connection") };
    let place = receiver.url().replace("http://", "").replace("/hook", "");
    assert!(head.starts_with(&format!("CONNECT {place} HTTP/1.1\r\n")), "{head}");
    // base64 of us3r:pa55
    assert!(head.contains("dXMzcjpwYTU1"), "{head}");

    let url = format!("http://0ther:s3cret@{own}");
    let other = api.endpoint("shop", &receiver, json!({ "eventTypes": ["b"], "proxy": url })).await;
    let path = format!("/app/shop/endpoint/{}", other.id);
    let shown = format!("http://***@{own}");
    assert!(api.get(&path).await["proxy"].as_str().is_some_and(|proxy| proxy.trim_end_matches('/') == shown));
    // Written back as it was shown, it stays.
    let written = api.get(&path).await["proxy"].clone();
    api.patch(&path, json!({ "proxy": written })).await;
    api.send("shop", "b", json!({})).await;
    receiver.expect(2).await;
    assert_eq!((heads(&of_server).len(), heads(&of_endpoint).len()), (1, 1));
    assert!(heads(&of_endpoint)[0].contains("MHRoZXI6czNjcmV0"), "base64 of 0ther:s3cret");
    assert!(!server.log().contains("pa55") && !server.log().contains("s3cret"));
    let config = server.run(&["serve", "--print-config", "--set", "dispatch.proxy=http://us3r:pa55@a.test:1"]);
    assert!(config.ok().stdout.contains("***@a.test:1") && !config.stdout.contains("pa55"), "{config:?}");
}

#[tokio::test]
async fn the_command_line_sets_and_shows_it_and_says_what_is_wrong() {
    let ((proxy, asked), receiver) = (connecting().await, Receiver::start().await);
    let server = Server::start().await;
    let api = server.api();
    api.app("shop").await;
    let create = |uid: &str, proxy: &str| {
        let url = receiver.url();
        server.run(&["endpoint", "create", "--app", "shop", "--uid", uid, "--url", &url, "--proxy", proxy])
    };
    let made = create("main", &format!("http://us3r:pa55@{proxy}"));
    assert_eq!(
        made.json()["proxy"].as_str().map(|shown| shown.trim_end_matches('/')),
        Some(&*format!("http://***@{proxy}"))
    );
    assert!(!made.stdout.contains("pa55"), "{made:?}");
    api.send("shop", "a", json!({})).await;
    receiver.expect(1).await;
    assert!(heads(&asked)[0].contains("dXMzcjpwYTU1"), "base64 of us3r:pa55");

    for wrong in ["ftp://a.test:1", "http://s3cret:s3cret@a.test", "http://10.0.0.1:3128", "nonsense", ""] {
        for ran in
            [create("other", wrong), server.run(&["endpoint", "update", "--app", "shop", "main", "--proxy", wrong])]
        {
            assert_eq!((ran.code, ran.stderr.contains("proxy: ")), (Some(1), true), "{wrong}: {ran:?}");
            assert!(!ran.stderr.contains("s3cret"), "{ran:?}");
        }
    }
    let both = ["endpoint", "update", "--app", "shop", "main", "--proxy", "http://a.test:1", "--no-proxy"];
    let both = server.run(&both);
    assert!(both.code == Some(64) && both.stderr.contains("--no-proxy"), "{both:?}");
    let there = api.get("/app/shop/endpoint").await;
    assert_eq!(there["data"].as_array().map(Vec::len), Some(1), "{there}");
    assert_eq!(there["data"][0]["proxy"], made.json()["proxy"], "nothing has changed");
}

#[tokio::test]
async fn what_is_no_proxy_or_an_inward_one_is_refused_by_name() {
    let (server, receiver) = (Server::start().await, Receiver::start().await);
    let api = server.api();
    api.app("shop").await;
    let present = "socks5://u5er:pa55@127.0.0.1:1080";
    api.endpoint("shop", &receiver, json!({ "uid": "main", "proxy": present })).await;
    for proxy in [
        json!(""),
        json!("a.test:1"),
        json!("https://a.test:1"),
        json!("http://a.test"),
        json!("http://a.test:0"),
        json!("socks4://a.test:1"),
        json!("http://a.test:1/x"),
        json!("http://10.0.0.1:3128"),
        json!(17),
        json!({}),
        json!("socks5://***@127.0.0.1:1081"),
        json!("http://***@127.0.0.1:1080"),
        json!("http://[::1]:3128"),
    ] {
        for method in ["PATCH", "PUT"] {
            let body = json!({ "url": receiver.url(), "uid": "main", "proxy": proxy });
            let answer = api.call(method, "/app/shop/endpoint/main", &body).await;
            assert_eq!(
                (answer.status, &answer.json()["detail"][0]["loc"]),
                (422, &json!(["body", "proxy"])),
                "{proxy}"
            );
            assert!(!String::from_utf8_lossy(&answer.body).contains("pa55"), "{answer:?}");
        }
    }
    assert_eq!(api.get("/app/shop/endpoint/main").await["proxy"], "socks5://***@127.0.0.1:1080");
    let removed = server.run(&["endpoint", "update", "--app", "shop", "main", "--no-proxy"]);
    assert_eq!(removed.json()["proxy"], Value::Null);
    let wrong = Setup::new().set("dispatch.proxy", "http://u5er:pa55@a.test").refused().await;
    assert!(wrong.stderr.contains("dispatch.proxy: names no port") && !wrong.stderr.contains("pa55"), "{wrong:?}");
}

#[tokio::test]
async fn a_proxy_that_is_not_there_is_named_in_the_attempt() {
    let (server, receiver) = (Setup::new().set("retry.schedule", "0").start().await, Receiver::start().await);
    let api = server.api();
    api.app("shop").await;
    let gone = TcpListener::bind("127.0.0.1:0").await.and_then(|listener| listener.local_addr()).expect("a free port");
    let endpoint = api.endpoint("shop", &receiver, json!({ "proxy": format!("http://{gone}") })).await;
    let message = api.send("shop", "a", json!({})).await;
    api.until_state(&endpoint, &message, "dead").await;
    let attempts = api.attempts("shop", &message).await;
    assert!(attempts[0].to_string().contains("proxy"), "{attempts:?}");
    assert!(receiver.arrivals().is_empty());
}
