//! Tokens that nobody gave out.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use postrider_api::{TokenSecret, token};
use postrider_model::id::{AppId, OrgId};
use postrider_model::time::UnixMs;
use serde_json::{Value, json};
use sha2::{Sha256, Sha512};

use super::wire::exchange;
use super::{SECRET, Shop};
use crate::support::{Api, Setup};

const HEADER: &str = r#"{"alg":"HS256","typ":"JWT"}"#;

/// A token with these bytes, signed as HS256 wants it.
fn signed(secret: &[u8], header: &str, claims: &str) -> String {
    let signed = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims));
    let mac = Hmac::<Sha256>::new_from_slice(secret).expect("any length will do").chain_update(&signed);
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode(mac.finalize().into_bytes()))
}

/// What the token of the shop says.
fn claims(shop: &Shop) -> Value {
    let claims = shop.token.split('.').nth(1).expect("a token has three parts");
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(claims).expect("it is base64")).expect("it is JSON")
}

/// When the token of the shop was made.
fn now_secs(shop: &Shop) -> u64 {
    claims(shop)["iat"].as_u64().expect("a token says when it was made")
}

fn forged(shop: &Shop) -> Vec<String> {
    let org = claims(shop)["sub"].as_str().expect("a token has a subject").to_owned();
    let good = json!({ "sub": org }).to_string();
    let secret = SECRET.as_bytes();
    let with = |name: &str, value: Value| {
        let mut claims = json!({ "sub": org });
        claims[name] = value;
        signed(secret, HEADER, &claims.to_string())
    };
    let (head, signature) = shop.token.rsplit_once('.').expect("a token has three parts");
    let (_, payload) = head.split_once('.').expect("a token has three parts");
    let none = URL_SAFE_NO_PAD.encode(r#"{"alg":"none"}"#);
    let hs512 = format!("{}.{payload}", URL_SAFE_NO_PAD.encode(r#"{"alg":"HS512"}"#));
    let mac512 = Hmac::<Sha512>::new_from_slice(secret).expect("any length will do").chain_update(&hs512);
    let now = now_secs(shop);
    let mut tokens = vec![
        format!("{none}.{payload}."),
        format!("{none}.{payload}.{signature}"),
        format!("{hs512}.{}", URL_SAFE_NO_PAD.encode(mac512.finalize().into_bytes())),
        signed(b"another secret with 32 bytes or more", HEADER, &good),
        signed(b"", HEADER, &good),
        signed(secret, HEADER, "{}"),
        signed(secret, HEADER, "null"),
        signed(secret, HEADER, &good[1..]),
        signed(secret, HEADER, r#"{"sub":"org_0","sub":"org_1"}"#),
        with("sub", json!(7)),
        with("sub", json!(["org"])),
        with("sub", json!(format!("{org}\u{0}"))),
        with("sub", json!(format!("{org} "))),
        with("org", json!(org)),
        with("org", json!({ "id": org })),
        with("exp", json!(now - 61)),
        with("exp", json!(-1)),
        with("exp", json!("9999999999")),
        with("exp", json!([])),
        with("nbf", json!(now + 3_600)),
        with("nbf", json!(1e300)),
        format!("{head}."),
        format!("{}.", shop.token),
        format!(".{}", shop.token),
        format!("{}.{signature}", shop.token),
        format!("{}=", shop.token),
        format!("{}=.{payload}.{signature}", URL_SAFE_NO_PAD.encode(HEADER)),
        ".".repeat(1_000),
        "a.".repeat(4_000),
        format!("{}.{signature}", "A".repeat(30_000)),
        shop.token.to_ascii_lowercase(),
        "null".to_owned(),
    ];
    let algorithms = ["HS384", "RS256", "ES256", "EdDSA", "hs256", "HS256 ", "", "None"];
    tokens.extend(algorithms.map(|alg| signed(secret, &json!({ "alg": alg }).to_string(), &good)));
    tokens.push(signed(secret, r#"{"alg":["HS256"]}"#, &good));
    tokens.push(signed(secret, r#"{"typ":"JWT"}"#, &good));
    tokens.push(signed(secret, r#"{"alg":"HS256","crit":["exp"]}"#, &good));
    tokens.push(signed(secret, r#"{"alg":"HS256","alg":"none"}"#, &good));
    tokens
}

async fn is_refused(api: &Api, token: &str) {
    for (method, path) in [("GET", "/app"), ("POST", "/app/shop/msg"), ("DELETE", "/app/shop")] {
        let body = json!({ "eventType": "order.paid", "payload": {} });
        let answer = api.call(method, path, &body).await;
        let code = answer.json()["code"].clone();
        assert_eq!((answer.status, code), (401, json!("authentication_failed")), "{method} {path}: {token:.300}");
        assert!(answer.body.len() < 500, "nothing of the token comes back: {answer:?}");
    }
}

#[tokio::test]
async fn a_token_that_we_did_not_sign_so_opens_no_door() {
    // Else most of them would only be told that there were too many.
    let shop = Shop::open(Setup::new().set("api.refusals_per_second_per_address", "0")).await;
    let tokens = forged(&shop);
    for token in &tokens {
        is_refused(&shop.server.api_over_tcp(Some(token)), token).await;
    }
    // The socket's own user needs none; one who shows a token is taken at its word.
    for token in tokens.iter().take(3) {
        let bearer = format!("Bearer {token}");
        let answer = shop.api.ask("GET", "/api/v1/app", &[("authorization", &bearer)], "").await;
        assert_eq!(answer.status, 401, "{token:.300}");
    }
    shop.unharmed().await;
}

#[tokio::test]
async fn the_header_is_one_bearer_token_and_nothing_else() {
    let shop = Shop::open(Setup::new()).await;
    let (url, token) = (shop.server.url(), &shop.token);
    for lines in [
        format!("authorization: {token}\r\n"),
        format!("authorization: Basic {token}\r\n"),
        format!("authorization: Bearer{token}\r\n"),
        "authorization: Bearer \r\n".to_owned(),
        format!("authorization: Bearer x {token}\r\n"),
        format!("authorization: Bearer \t{token}\u{e9}\r\n"),
        format!("proxy-authorization: Bearer {token}\r\n"),
        format!("cookie: authorization=Bearer {token}\r\n"),
        format!("x-authorization: Bearer {token}\r\n"),
    ] {
        let request = format!("GET /api/v1/app HTTP/1.1\r\nhost: x\r\nconnection: close\r\n{lines}\r\n");
        let answers = exchange(&url, request).await;
        assert_eq!(answers.iter().map(|answer| answer.status).collect::<Vec<_>>(), [401], "{lines}");
        assert_eq!(answers[0].code(), "authentication_failed", "{lines}");
    }
    let request = format!("GET /api/v1/app?token={token} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
    assert_eq!(exchange(&url, request).await[0].status, 401);
    let huge = format!("GET /api/v1/app HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\n\r\n", "a".repeat(100_000));
    assert_eq!(exchange(&url, huge).await[0].status, 431);
    shop.unharmed().await;
}

#[tokio::test]
async fn a_token_for_one_application_or_another_tenant_reaches_nothing_else() {
    let shop = Shop::open(Setup::new()).await;
    let shown = shop.api.get("/app/shop").await;
    let app: AppId = shown["id"].as_str().expect("an id").parse().expect("an id of ours");
    let org: OrgId = claims(&shop)["sub"].as_str().expect("a subject").parse().expect("an id of ours");
    let stranger: OrgId = format!("org_{}", &app.to_string()["app_".len()..]).parse().expect("it has the form");
    let nobody: AppId = format!("app_{}", &org.to_string()["org_".len()..]).parse().expect("it has the form");
    let (secret, hour) = (TokenSecret::new(SECRET.as_bytes().to_vec()), Duration::from_secs(3_600));
    let now = UnixMs(now_secs(&shop) * 1_000);
    for token in [
        token::create(&secret, stranger, hour, now),
        token::create_for_application(&secret, stranger, app, hour, now),
        token::create_for_application(&secret, org, nobody, hour, now),
    ] {
        let api = shop.server.api_over_tcp(Some(&token));
        let endpoint = shop.api.get("/app/shop/endpoint").await["data"][0]["id"].as_str().expect("an id").to_owned();
        for (method, path) in [
            ("GET", "/app/shop".to_owned()),
            ("DELETE", format!("/app/{app}")),
            ("POST", format!("/app/{app}/msg")),
            ("GET", format!("/app/{app}/endpoint/{endpoint}/secret")),
            ("DELETE", format!("/app/{app}/endpoint/{endpoint}")),
            ("POST", "/dispatch/pause".to_owned()),
        ] {
            let body = json!({ "eventType": "order.paid", "payload": {} });
            let answer = api.call(method, &path, &body).await;
            assert!(matches!(answer.status, 403 | 404), "{method} {path}: {answer:?}");
        }
    }
    shop.unharmed().await;
}
