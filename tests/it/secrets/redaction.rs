//! Nothing that is planted comes out anywhere but where it is meant to.

use std::path::Path;
use std::process::Command;

use postrider_model::secret::{NEW_SECRET_BYTES, Secret, SignatureKind};
use serde_json::{Value, json};

use super::planted::Planted;
use crate::support::{Answer, POSTRIDER, Receiver, Reply, Server, Setup, until};

const SHARED: &str = "whsec_cGxhbnRlZC1zaGFyZWQtc2VjcmV0LW9mLWFuLWVuZHBvaW50";
const NEXT: &str = "whsec_cGxhbnRlZC1zZWNyZXQtdGhhdC10YWtlcy1pdHMtcGxhY2U=";
/// No secret, but somebody's who mistyped it.
const MISTYPED: &str = "whsec_cGxhbnRlZC1zZWNyZXQ-dGhhdC1pcy1taXN0eXBlZA";
const TEXT: &str = "planted text that is a key";
const PASSWORD: &str = "planted-pa55word-of-a-url";
const BEARER: &str = "planted-bearer-of-a-header";
const API_KEY: &str = "planted-api-key-of-a-header";
const AUTH_TOKEN: &str = "planted-token-of-what-it-gets-in-with";
const CLIENT_SECRET: &str = "planted-secret-of-a-client-of-oauth2";
const PROXY_PASSWORD: &str = "planted-pa55word-of-a-proxy";
const TOKEN_SECRET: &str = "planted-secret-of-tokens-with-more-than-32-bytes";
const STORE_KEY: &str = "cGxhbnRlZC1rZXktb2YtdGhlLXN0b3JlLTMyLWJ5dGU=";

/// All that was said, with who said it.
#[derive(Default)]
struct Heard(Vec<(String, Vec<u8>)>);

impl Heard {
    fn answer(&mut self, what: &str, answer: &Answer) {
        let head = format!("{:?}", answer.headers);
        self.0.push((what.to_owned(), [head.as_bytes(), &answer.body].concat()));
    }

    /// A command in both of its forms.
    fn command(&mut self, setup: &Setup, config: &Path, arguments: &[&str]) {
        for form in [&[][..], &["--json"]] {
            let mut command = Command::new(POSTRIDER);
            command.current_dir("/").env_clear().env("POSTRIDER_STORE__KEY", STORE_KEY);
            command.args(arguments).args(form).arg("--config").arg(config).arg("--data-dir").arg(setup.data_dir());
            let output = command.output().expect("the binary can be started");
            self.0.push((format!("{arguments:?} {form:?}"), [output.stdout, output.stderr].concat()));
        }
    }

    fn files(&mut self, dir: &Path) {
        for entry in std::fs::read_dir(dir).expect("it can be listed") {
            let path = entry.expect("it can be listed").path();
            match std::fs::read(&path) {
                Ok(bytes) => self.0.push((path.display().to_string(), bytes)),
                // A socket cannot be read, nor can a directory.
                Err(_) if path.is_dir() => self.files(&path),
                Err(_) => {}
            }
        }
    }

    #[track_caller]
    fn has_nothing_of(&self, planted: &Planted) {
        let seen: Vec<_> = self.0.iter().map(|(who, said)| (who, planted.seen_in(said))).collect();
        let seen: Vec<_> = seen.into_iter().filter(|(_, seen)| !seen.is_empty()).collect();
        assert!(seen.is_empty(), "{seen:#?}");
    }
}

/// A certificate and its key.
fn identity() -> (String, String) {
    let key = rcgen::KeyPair::generate().expect("a key");
    let params = rcgen::CertificateParams::new(vec!["sender.test".to_owned()]).expect("a name");
    (params.self_signed(&key).expect("a certificate").pem(), key.serialize_pem())
}

fn key_pair() -> String {
    Secret::from_random(SignatureKind::Ed25519, &[0xa7; NEW_SECRET_BYTES]).expose_text().to_string()
}

fn oauth(token_url: &str, secret: &str) -> Value {
    json!({ "type": "oauth2", "tokenUrl": token_url, "clientId": "shop", "clientSecret": secret })
}

/// Requests that are refused, or fail, with secrets in them.
fn wrong_requests(pair: &str, key_pem: &str) -> Vec<(&'static str, String, String)> {
    let endpoint = "/api/v1/app/shop/endpoint".to_owned();
    let with = |body: Value| body.to_string();
    let url = "https://example.com/hook";
    vec![
        ("POST", endpoint.clone(), with(json!({ "url": url, "secret": MISTYPED }))),
        ("POST", endpoint.clone(), with(json!({ "url": url, "secret": { "key": SHARED } }))),
        ("POST", endpoint.clone(), with(json!({ "url": url, "secret": TEXT }))),
        ("POST", endpoint.clone(), with(json!({ "url": url, "secret": format!("{TEXT}\n"), "signature": "stripe" }))),
        ("PATCH", format!("{endpoint}/text"), with(json!({ "signature": "standard" }))),
        ("POST", endpoint.clone(), with(json!({ "url": url, "secret": &pair[..60] }))),
        ("POST", endpoint.clone(), with(json!({ "url": url, "headers": { "authorization": format!("{BEARER}\n") } }))),
        ("POST", endpoint.clone(), with(json!({ "url": url, "headers": { "host": BEARER } }))),
        ("POST", endpoint.clone(), with(json!({ "url": url, "headers": [BEARER] }))),
        ("POST", endpoint.clone(), with(json!({ "url": url, "headers": { "x-api-key": [API_KEY] } }))),
        ("POST", endpoint.clone(), with(json!({ "url": format!("https://till:{PASSWORD}@127.0.0.1:0/") }))),
        ("POST", endpoint.clone(), with(json!({ "url": format!("ftp://till:{PASSWORD}@example.com/") }))),
        ("POST", endpoint.clone(), with(json!({ "url": format!("https://till:{PASSWORD}@exa mple.com/") }))),
        ("POST", endpoint.clone(), with(json!({ "url": format!("https://till:{PASSWORD}@/") }))),
        ("POST", endpoint.clone(), with(json!({ "url": { "of": PASSWORD } }))),
        ("POST", endpoint.clone(), with(json!({ "url": url, "auth": { "type": "bearer", "token": [AUTH_TOKEN] } }))),
        ("POST", endpoint.clone(), with(json!({ "url": url, "auth": { "type": AUTH_TOKEN, "token": AUTH_TOKEN } }))),
        ("POST", endpoint.clone(), with(json!({ "url": url, "auth": { "type": "basic", "password": AUTH_TOKEN } }))),
        (
            "POST",
            endpoint.clone(),
            with(json!({ "url": url, "auth": { "type": "apiKey", "header": "host", "value": AUTH_TOKEN } })),
        ),
        ("PATCH", format!("{endpoint}/auth"), with(json!({ "url": "https://elsewhere.example/" }))),
        ("PATCH", format!("{endpoint}/rest"), with(json!({ "url": "https://elsewhere.example/" }))),
        ("POST", endpoint.clone(), with(json!({ "url": url, "auth": oauth("ftp://a.test/", CLIENT_SECRET) }))),
        ("POST", endpoint.clone(), with(json!({ "url": url, "auth": oauth(CLIENT_SECRET, CLIENT_SECRET) }))),
        ("PATCH", format!("{endpoint}/rest"), with(json!({ "auth": oauth("https://elsewhere.example/", "***") }))),
        (
            "POST",
            endpoint.clone(),
            with(json!({ "url": url, "proxy": format!("http://till:{PROXY_PASSWORD}@127.0.0.1") })),
        ),
        (
            "POST",
            endpoint.clone(),
            with(json!({ "url": url, "proxy": format!("http://till:{PROXY_PASSWORD}@10.0.0.1:1") })),
        ),
        ("POST", endpoint.clone(), with(json!({ "url": url, "proxy": [PROXY_PASSWORD] }))),
        (
            "POST",
            endpoint.clone(),
            with(json!({ "url": url, "tls": { "clientCertificate": "x", "clientKey": key_pem } })),
        ),
        ("POST", endpoint.clone(), with(json!({ "url": url, "tls": { "clientKey": key_pem } }))),
        ("POST", endpoint.clone(), with(json!({ "url": url, "tls": { "ca": key_pem } }))),
        ("POST", endpoint.clone(), with(json!({ "url": url, "tls": { "clientKey": [key_pem] } }))),
        ("PATCH", format!("{endpoint}/auth"), with(json!({ "headers": { "authorization": BEARER } }))),
        ("POST", endpoint.clone(), format!(r#"{{"url":"{url}","secret":"{SHARED}" oops"#)),
        ("POST", endpoint.clone(), format!(r#""{SHARED}""#)),
        ("PUT", format!("{endpoint}/shared"), with(json!({ "url": url, "secret": NEXT }))),
        ("PATCH", format!("{endpoint}/shared"), with(json!({ "secret": NEXT }))),
        ("PATCH", format!("{endpoint}/shared"), with(json!({ "url": "https://elsewhere.example/" }))),
        ("POST", format!("{endpoint}/shared/secret/rotate"), with(json!({ "key": MISTYPED }))),
        (
            "POST",
            format!("{endpoint}/shared/secret/rotate"),
            with(json!({ "key": NEXT, "gracePeriodSeconds": 9_999_999 })),
        ),
        ("PUT", format!("{endpoint}/shared/headers"), with(json!({ "headers": { "cookie": BEARER } }))),
        (
            "PATCH",
            format!("{endpoint}/shared/headers"),
            with(json!({ "headers": { "x-api-key": 17, "authorization": [BEARER] } })),
        ),
        ("POST", "/api/v1/app/none/endpoint".to_owned(), with(json!({ "url": url, "secret": SHARED }))),
    ]
}

async fn set_up(server: &Server, receiver: &Receiver, pair: &str, identity: &(String, String)) {
    let api = server.api();
    api.app("shop").await;
    let url = receiver.url().replace("://", &format!("://till:{PASSWORD}@"));
    let headers = json!({ "x-api-key": API_KEY });
    api.post("/app/shop/endpoint", json!({ "url": url, "uid": "shared", "secret": SHARED, "headers": headers })).await;
    let text = json!({ "url": receiver.url(), "uid": "text", "secret": TEXT, "signature": "github" });
    api.post("/app/shop/endpoint", text).await;
    let headers = json!({ "authorization": format!("Bearer {BEARER}") });
    let body = json!({ "url": receiver.url(), "uid": "pair", "secret": pair, "headers": headers });
    api.post("/app/shop/endpoint", body).await;
    let auth = json!({ "type": "bearer", "token": AUTH_TOKEN });
    api.post("/app/shop/endpoint", json!({ "url": receiver.url(), "uid": "auth", "auth": auth })).await;
    // Nothing is sent to it; what it would be sent with is tested where it is.
    let (certificate, key) = identity;
    let rest = json!({ "url": "https://example.com/hook", "uid": "rest", "eventTypes": ["none"],
        "auth": oauth("https://id.example.com/token", CLIENT_SECRET),
        "tls": { "clientCertificate": certificate, "clientKey": key },
        "proxy": format!("socks5://till:{PROXY_PASSWORD}@127.0.0.1:1080") });
    api.post("/app/shop/endpoint", rest).await;
}

#[tokio::test]
async fn what_is_planted_is_seen_nowhere() {
    let pair = key_pair();
    let setup = Setup::new();
    let config = setup.home().join("with-secrets.toml");
    std::fs::write(&config, format!("[auth]\njwt_secret = \"{TOKEN_SECRET}\"\n")).expect("it can be written");
    let path = config.to_str().expect("UTF-8").to_owned();
    let setup = setup.argument("--config").argument(&path).env("POSTRIDER_STORE__KEY", STORE_KEY);
    let setup = setup.set("log.level", "trace").set("retry.schedule", "0,1,1,1");
    let (server, receiver) = (setup.start().await, Receiver::start().await);
    let api = server.api();
    let identity = identity();
    let key_text = identity.1.lines().nth(1).expect("a key has a first line").to_owned();
    set_up(&server, &receiver, &pair, &identity).await;
    let made = server.run(&["token", "create", "--config", &path]).json();
    let token = made["token"].as_str().expect("a token").to_owned();
    let planted = Planted::new(&[
        ("the shared secret", SHARED),
        ("the next secret", NEXT),
        ("the mistyped secret", MISTYPED),
        ("the text", TEXT),
        ("the key pair", &pair),
        ("the seed of the pair", &pair[..50]),
        ("the URL's password", PASSWORD),
        ("the bearer", BEARER),
        ("the API key", API_KEY),
        ("the token of auth", AUTH_TOKEN),
        ("the client's secret", CLIENT_SECRET),
        ("the proxy's password", PROXY_PASSWORD),
        ("the client certificate's key", &key_text),
        ("the secret of tokens", TOKEN_SECRET),
        ("the store's key", STORE_KEY),
        ("the API token", &token),
    ]);
    let mut heard = Heard::default();

    // Deliveries that fail in each way that says something.
    receiver.next([Reply::Status(500), Reply::Close, Reply::Body(401, "who are you?")]).always(Reply::Status(200));
    let message = api.send("shop", "order.paid", json!({ "n": 1 })).await;
    let arrivals = receiver.expect(6).await;
    assert!(arrivals.iter().any(|arrival| arrival.is_signed_with(SHARED)), "the secrets are in use");
    for endpoint in ["shared", "pair", "auth"] {
        let delivered = async || {
            let list = api.get(&format!("/app/shop/msg/{message}/endpoint")).await;
            list["data"].as_array().is_some_and(|all| all.iter().all(|one| one["status"] == 0)).then_some(())
        };
        until(format!("{endpoint} to have it"), delivered).await;
    }
    for (method, path, body) in wrong_requests(&pair, &identity.1) {
        let json = [("content-type", "application/json")];
        let answer = api.ask(method, &path, &json, body.clone()).await;
        assert!(answer.status >= 400, "{method} {path} {body}: {answer:?}");
        heard.answer(&format!("{method} {path} {body}"), &answer);
    }
    let mut ingest = server.ingest().await;
    for line in [
        format!(r#"{{"app":"shop","type":"a.b","secret":"{SHARED}","payload":1}}"#),
        format!("{TOKEN_SECRET}{{"),
        token.clone(),
    ] {
        heard.0.push((line.clone(), ingest.ask(&line).await.to_string().into_bytes()));
    }
    let tcp = server.api_over_tcp(Some(&token));
    for path in [
        "/app",
        "/app/shop",
        "/app/shop/endpoint",
        "/app/shop/endpoint/shared",
        "/app/shop/endpoint/pair",
        "/app/shop/endpoint/auth",
        "/app/shop/endpoint/rest",
        "/app/shop/endpoint/shared/headers",
        "/app/shop/endpoint/pair/headers",
        // Of a pair it is the public half that is shown.
        "/app/shop/endpoint/pair/secret",
        "/app/shop/endpoint/shared/flow",
        "/app/shop/endpoint/shared/stats",
        "/app/shop/endpoint/shared/msg",
        "/app/shop/msg",
        "/app/shop/attempt/endpoint/shared",
        "/dead-letter",
        "/background-task",
        "/audit?limit=250",
        "/openapi.json",
        "/none",
    ] {
        heard.answer(path, &tcp.call("GET", path, &Value::Null).await);
    }
    for path in [format!("/app/shop/msg/{message}"), format!("/app/shop/attempt/msg/{message}")] {
        heard.answer(&path, &tcp.call("GET", &path, &Value::Null).await);
    }
    let forged = server.api_over_tcp(Some(&format!("{token}x")));
    heard.answer("a forged token", &forged.call("GET", "/app", &Value::Null).await);
    for path in ["/metrics", "/health/ready", "/health/live"] {
        heard.answer(path, &server.metrics_door().ask("GET", path, &[], "").await);
    }
    // Rotated, so that an old secret is there as well.
    let rotated = api.call("POST", "/app/shop/endpoint/shared/secret/rotate", &json!({ "key": NEXT })).await;
    assert_eq!(rotated.json()["key"], NEXT, "the documented operation shows it");

    for arguments in [
        &["serve", "--print-config"][..],
        &["check-config"],
        &["app", "list"],
        &["endpoint", "list", "--app", "shop"],
        &["endpoint", "get", "--app", "shop", "shared"],
        &["endpoint", "get", "--app", "shop", "pair"],
        &["endpoint", "get", "--app", "shop", "auth"],
        &["endpoint", "get", "--app", "shop", "rest"],
        &["endpoint", "update", "--app", "shop", "auth", "--url", "https://elsewhere.example/"],
        &["endpoint", "flow", "--app", "shop", "shared"],
        &["endpoint", "secret", "--app", "shop", "pair"],
        &["endpoint", "rotate", "--app", "shop", "shared", "--secret", MISTYPED],
        &["endpoint", "update", "--app", "shop", "shared", "--url", "https://elsewhere.example/"],
        &["listen", "--port", "0", "--secret", MISTYPED],
        &["message", "list", "--app", "shop"],
        &["audit", "--limit", "250"],
        &["export"],
        &["doctor", "--salvage", "/tmp/not-made"],
    ] {
        heard.command(&server.setup, &config, arguments);
    }
    heard.0.push(("the log".to_owned(), server.log().into_bytes()));
    heard.files(server.setup.data_dir());
    heard.has_nothing_of(&planted);

    let data_dir = server.setup.data_dir().to_owned();
    let setup = server.stop().await;
    assert!(data_dir.join("checkpoint").exists());
    let mut left = Heard::default();
    left.files(&data_dir);
    let again = setup.start().await;
    left.0.push(("the log of another start".to_owned(), again.log().into_bytes()));
    left.has_nothing_of(&planted);
}
