//! By which scheme an endpoint's requests are signed.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use ring::signature::{ED25519, UnparsedPublicKey};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::support::{Arrival, Endpoint, Receiver, Server, Setup, run};

const TEXT: &str = "It's a Secret to Everybody";
const OURS: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const PAIR: &str = "whsk_6Xb/dCcHpPea21PS1N9VY/NZW723CEc77N4rJCubMbfVKIDij2HKpMKkioLlX0dRqSKJp4AJ6p9lMicMFs6Kvg==";

fn hmac(key: &[u8], parts: &[&[u8]]) -> Vec<u8> {
    let hmac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of every length");
    parts.iter().fold(hmac, |hmac, part| hmac.chain_update(part)).finalize().into_bytes().to_vec()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The header by which a receiver of GitHub's webhooks knows its sender.
fn by_github(secret: &str, arrival: &Arrival) -> String {
    format!("sha256={}", hex(&hmac(secret.as_bytes(), &[&arrival.body])))
}

fn by_stripe(secrets: &[&str], arrival: &Arrival) -> String {
    let timestamp = arrival.header("webhook-timestamp");
    let one = |secret: &&str| hex(&hmac(secret.as_bytes(), &[timestamp.as_bytes(), b".", &arrival.body]));
    let signatures = secrets.iter().map(|secret| format!(",v1={}", one(secret))).collect::<String>();
    format!("t={timestamp}{signatures}")
}

/// A shop with one endpoint.
async fn shop(server: &Server, receiver: &Receiver, more: Value) -> Endpoint {
    server.api().app("shop").await;
    server.api().endpoint("shop", receiver, more).await
}

async fn arrival(server: &Server, receiver: &Receiver) -> Arrival {
    let before = receiver.arrivals().len();
    let id = server.api().send("shop", "order.paid", json!({ "n": before })).await;
    let arrival = receiver.expect(before + 1).await.pop().expect("it is there");
    assert_eq!(arrival.id(), id);
    assert!(arrival.header("webhook-timestamp").parse::<u64>().is_ok());
    arrival
}

#[tokio::test]
async fn a_receiver_of_githubs_webhooks_keeps_its_secret() {
    let (server, receiver) = (Server::start().await, Receiver::start().await);
    let endpoint = shop(&server, &receiver, json!({ "signature": "github", "secret": TEXT })).await;
    assert_eq!(endpoint.secret, TEXT);
    let first = arrival(&server, &receiver).await;
    assert_eq!(first.header("x-hub-signature-256"), by_github(TEXT, &first));
    for other in ["webhook-signature", "x-github-event", "signature", "stripe-signature"] {
        assert!(first.headers.get(other).is_none(), "{first:?}");
    }
    // There is one signature: that of the newest secret, also after a restart.
    let path = format!("/app/shop/endpoint/{}/secret", endpoint.id);
    let new = server.api().post(&format!("{path}/rotate"), json!({ "key": "a text of mine" })).await;
    assert_eq!(new["key"], "a text of mine");
    let server = server.stop().await.start().await;
    assert_eq!(server.api().get(&path).await["key"], "a text of mine");
    let second = arrival(&server, &receiver).await;
    assert_eq!(second.header("x-hub-signature-256"), by_github("a text of mine", &second));
    // One that we make is in our form, and its whole text is the key.
    let made = server.run(&["endpoint", "rotate", "--app", "shop", &endpoint.id]).json();
    let made = made["key"].as_str().expect("it has one").to_owned();
    assert!(made.starts_with("whsec_"), "{made}");
    let third = arrival(&server, &receiver).await;
    assert_eq!(third.header("x-hub-signature-256"), by_github(&made, &third));
}

#[tokio::test]
async fn stripes_scheme_has_a_signature_for_each_secret() {
    // Where key pairs are the rule, a scheme that knows none gets a shared secret.
    let setup = Setup::new().set("dispatch.default_signature", "ed25519").set("dispatch.signature_headers", "both");
    let (server, receiver) = (setup.start().await, Receiver::start().await);
    server.api().app("shop").await;
    let url = receiver.url();
    let made =
        server.run(&["endpoint", "create", "--app", "shop", "--uid", "main", "--url", &url, "--signature", "stripe"]);
    let made = made.json();
    let old = made["secret"].as_str().expect("it has one").to_owned();
    assert!(old.starts_with("whsec_") && made["signature"] == "stripe", "{made}");
    let first = arrival(&server, &receiver).await;
    assert_eq!(first.header("stripe-signature"), by_stripe(&[&old], &first));
    server.run(&["endpoint", "rotate", "--app", "shop", "main", "--secret", "whsec_of_another_form"]).ok();
    let second = arrival(&server, &receiver).await;
    assert_eq!(second.header("stripe-signature"), by_stripe(&["whsec_of_another_form", &old], &second));
    assert!(second.headers.keys().all(|name| !name.as_str().starts_with("svix-")), "{second:?}");
}

const QUERY: &str = "x=1&y=%20";

/// What is signed by RFC 9421, put together from what arrived.
fn base(arrival: &Arrival, parameters: &str) -> String {
    let header = |name| arrival.header(name);
    format!(
        "\"@method\": {}\n\"@authority\": {}\n\"@path\": {}\n\"@query\": ?{QUERY}\n\"content-digest\": {}\n\
         \"content-type\": {}\n\"webhook-id\": {}\n\"@signature-params\": {parameters}",
        arrival.method,
        header("host"),
        arrival.path,
        header("content-digest"),
        header("content-type"),
        header("webhook-id"),
    )
}

#[tokio::test]
async fn http_message_signatures_cover_request_and_body() {
    let (server, receiver) = (Server::start().await, Receiver::start().await);
    let url = format!("{}?{QUERY}", receiver.url());
    let more = json!({ "url": url, "signature": "http-message-signatures", "secret": OURS, "format": "cloudevents-structured" });
    let endpoint = shop(&server, &receiver, more).await;
    let public = server.run(&["endpoint", "rotate", "--app", "shop", &endpoint.id, "--secret", PAIR]).json();
    let public = public["key"].as_str().expect("it has one").to_owned();
    let arrival = arrival(&server, &receiver).await;
    assert_eq!(arrival.header("content-type"), "application/cloudevents+json; charset=utf-8");
    assert_eq!(
        arrival.header("content-digest"),
        format!("sha-256=:{}:", STANDARD.encode(Sha256::digest(&arrival.body)))
    );
    let (inputs, signatures) = (arrival.header("signature-input"), arrival.header("signature"));
    assert_eq!((inputs.split(", ").count(), signatures.split(", ").count()), (2, 2), "{inputs} {signatures}");
    let created = arrival.header("webhook-timestamp");
    for (text, algorithm) in [(OURS, "hmac-sha256"), (public.as_str(), "ed25519")] {
        let key_id = &hex(&Sha256::digest(text))[..16];
        let find = |of: &str| {
            let found = of.split(", ").find_map(|one| one.strip_prefix(&format!("sig-{key_id}=")));
            found.unwrap_or_else(|| panic!("none of {key_id}: {of}")).to_owned()
        };
        let parameters = find(inputs);
        assert!(
            parameters.ends_with(&format!(r#";created={created};keyid="{key_id}";alg="{algorithm}";tag="postrider""#)),
            "{parameters}"
        );
        let signature = STANDARD.decode(find(signatures).trim_matches(':')).expect("it is base64");
        let base = base(&arrival, &parameters);
        if algorithm == "ed25519" {
            let key = STANDARD.decode(public.trim_start_matches("whpk_")).expect("base64");
            UnparsedPublicKey::new(&ED25519, key).verify(base.as_bytes(), &signature).expect(&base);
        } else {
            let key = STANDARD.decode(OURS.trim_start_matches("whsec_")).expect("base64");
            assert_eq!(hmac(&key, &[base.as_bytes()]), signature, "{base}");
        }
    }
}

/// Refuses and leaves everything as it is.
async fn is_refused(
    server: &Server,
    endpoint: &Endpoint,
    (method, rest, body): (&str, &str, Value),
    place: &str,
    says: &str,
) {
    let path = format!("/app/shop/endpoint/{}", endpoint.id);
    let before = (server.api().get(&path).await, server.api().get(&format!("{path}/secret")).await);
    let asked =
        if method == "POST" && rest.is_empty() { "/app/shop/endpoint".to_owned() } else { format!("{path}{rest}") };
    let answer = server.api().call(method, &asked, &body).await;
    assert_eq!(answer.status, 422, "{method} {asked} {body}: {answer:?}");
    let problem = &answer.json()["detail"][0];
    assert_eq!(problem["loc"], json!(["body", place]), "{body}: {answer:?}");
    assert!(problem["msg"].as_str().is_some_and(|msg| msg.contains(says)), "{says}: {answer:?}");
    assert_eq!((server.api().get(&path).await, server.api().get(&format!("{path}/secret")).await), before);
}

#[tokio::test]
async fn what_a_scheme_cannot_sign_with_is_refused_with_its_reason() {
    let (server, receiver) = (Server::start().await, Receiver::start().await);
    let url = receiver.url();
    let new = |more: Value| {
        let mut body = json!({ "url": url });
        body.as_object_mut().expect("it is one").extend(more.as_object().cloned().unwrap_or_default());
        ("POST", "", body)
    };
    let rotated = |key: &str| ("POST", "/secret/rotate", json!({ "key": key }));
    let schemes = "must be `standard`, `github`, `stripe` or `http-message-signatures`";
    let shared = "signs with a secret that is shared, not with an Ed25519 key pair";
    let printable = "has 8 to 256 printable ASCII characters";
    let standards = "begins with `whsec_` or `whsk_`";

    let text = shop(&server, &receiver, json!({ "signature": "github", "secret": TEXT })).await;
    for value in [json!("GitHub"), json!("hmac"), json!(""), json!(1), json!(["github"]), json!({})] {
        is_refused(&server, &text, new(json!({ "signature": value })), "signature", schemes).await;
        is_refused(&server, &text, ("PATCH", "", json!({ "signature": value })), "signature", schemes).await;
        is_refused(&server, &text, ("PUT", "", json!({ "url": url, "signature": value })), "signature", schemes).await;
    }
    for scheme in ["github", "stripe"] {
        let with = |secret: &str| new(json!({ "signature": scheme, "secret": secret }));
        is_refused(&server, &text, with(PAIR), "secret", shared).await;
        for secret in ["", "1234567", "schlüssel", "a\ttab here", &"x".repeat(257)] {
            is_refused(&server, &text, with(secret), "secret", printable).await;
        }
    }
    for scheme in ["standard", "http-message-signatures"] {
        is_refused(
            &server,
            &text,
            new(json!({ "signature": scheme, "secret": "a_text_of_mine" })),
            "secret",
            standards,
        )
        .await;
    }
    is_refused(&server, &text, rotated(PAIR), "key", shared).await;
    is_refused(&server, &text, rotated("short"), "key", printable).await;
    is_refused(&server, &text, ("PATCH", "", json!({ "secret": TEXT })), "secret", "secret/rotate").await;
    for scheme in ["standard", "http-message-signatures"] {
        let says = format!("is a text that is not in the form `whsec_...`, with which `{scheme}` cannot sign");
        is_refused(&server, &text, ("PATCH", "", json!({ "signature": scheme })), "signature", &says).await;
    }

    let pair = server.api().endpoint("shop", &receiver, json!({ "secret": PAIR })).await;
    let says = "its secret is an Ed25519 key pair, with which `stripe` cannot sign; rotate it";
    is_refused(&server, &pair, ("PATCH", "", json!({ "signature": "stripe" })), "signature", says).await;
    is_refused(&server, &pair, ("PUT", "", json!({ "url": url, "signature": "stripe" })), "signature", says).await;
    let path = format!("/app/shop/endpoint/{}", pair.id);
    // A pair that still signs beside the new secret is in the way as well, until it has ended.
    server.api().post(&format!("{path}/secret/rotate"), json!({ "key": OURS })).await;
    let says = "an older secret, which still signs, is an Ed25519 key pair";
    is_refused(&server, &pair, ("PATCH", "", json!({ "signature": "stripe" })), "signature", says).await;
    server.api().post(&format!("{path}/secret/rotate"), json!({ "key": OURS, "gracePeriodSeconds": 0 })).await;
    assert_eq!(server.api().patch(&path, json!({ "signature": "stripe" })).await["signature"], "stripe");
    // What is in our form fits every scheme.
    for scheme in ["github", "http-message-signatures", "standard"] {
        assert_eq!(server.api().patch(&path, json!({ "signature": scheme })).await["signature"], scheme);
    }
    let ran = server.run(&["endpoint", "update", "--app", "shop", &text.id, "--signature", "md5"]);
    assert!(ran.stderr.contains(&format!("signature: {schemes}")), "{ran:?}");
}

/// What an endpoint has stays: its receiver verifies by it.
#[tokio::test]
async fn a_new_endpoint_that_names_no_scheme_has_the_servers() {
    let (server, old) = (Server::start().await, Receiver::start().await);
    let before = shop(&server, &old, json!({})).await;
    let setup = server.stop().await.set("dispatch.signature", "github");
    let server = setup.set("dispatch.default_signature", "ed25519").start().await;
    let (api, new) = (server.api(), Receiver::start().await);
    let after = api.endpoint("shop", &new, json!({ "secret": TEXT })).await;
    let shown = async |id: &str| api.get(&format!("/app/shop/endpoint/{id}")).await["signature"].clone();
    assert_eq!((shown(&before.id).await, shown(&after.id).await), (json!("standard"), json!("github")));
    api.send("shop", "order.paid", json!({})).await;
    assert!(old.expect(1).await[0].is_signed_with(&before.secret));
    let arrival = new.expect(1).await.pop().expect("it is there");
    assert_eq!(arrival.header("x-hub-signature-256"), by_github(TEXT, &arrival));

    // The secret that is made fits it; one of another scheme is refused, as if that were named.
    let url = new.url();
    let create = |more: &[&str]| {
        let args = [&["endpoint", "create", "--app", "shop", "--url", &url], more].concat();
        server.run(&args)
    };
    let made = create(&["--uid", "made"]).json();
    assert!(made["secret"].as_str().is_some_and(|secret| secret.starts_with("whsec_")), "{made}");
    assert_eq!(made["signature"], "github");
    let pair = create(&["--secret", PAIR]);
    assert!(pair.stderr.contains("secret: `github` signs with a secret that is shared"), "{pair:?}");
    let put = api.call("PUT", "/app/shop/endpoint/put", &json!({ "url": url })).await;
    assert_eq!((put.status, &put.json()["signature"]), (201, &json!("github")), "{put:?}");
    // Whoever names one has that one.
    let named = api.endpoint("shop", &new, json!({ "signature": "stripe" })).await;
    let standard = api.endpoint("shop", &new, json!({ "signature": null })).await;
    assert_eq!((shown(&named.id).await, shown(&standard.id).await), (json!("stripe"), json!("standard")));

    // It goes, and stays with those that have it.
    let server = server.stop().await.set("dispatch.signature", "standard").start().await;
    assert_eq!(server.api().get("/app/shop/endpoint/made").await["signature"], "github");
    let refused = run(server.setup.home(), &["check-config", "--set", "dispatch.signature=md5"]);
    let says = "dispatch.signature: must be `standard`, `github`, `stripe` or `http-message-signatures`";
    assert!(refused.code != Some(0) && refused.stderr.contains(says), "{refused:?}");
}

/// A change counts from the next attempt on; `PUT` without it leaves it, `null` is the standard.
#[tokio::test]
async fn a_change_takes_effect_at_once() {
    let (server, receiver) = (Server::start().await, Receiver::start().await);
    let endpoint = shop(&server, &receiver, json!({ "secret": OURS })).await;
    let path = format!("/app/shop/endpoint/{}", endpoint.id);
    assert_eq!(server.api().get(&path).await["signature"], "standard");
    assert!(arrival(&server, &receiver).await.is_signed_with(OURS));
    server.api().patch(&path, json!({ "signature": "github" })).await;
    let by_text = arrival(&server, &receiver).await;
    assert_eq!(by_text.header("x-hub-signature-256"), by_github(OURS, &by_text));
    let put = server.api().call("PUT", &path, &json!({ "url": receiver.url() })).await;
    assert_eq!(put.json()["signature"], "github", "{put:?}");
    assert_eq!(server.api().patch(&path, json!({ "signature": null })).await["signature"], "standard");
    assert!(arrival(&server, &receiver).await.is_signed_with(OURS));
}
