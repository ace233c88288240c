//! What requests are signed with and carry for the endpoint, and what is never shown of it.

use serde_json::{Value, json};

use crate::support::{Endpoint, Receiver, Reply, Server, Setup, until};

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("no text: {value}"))
}

#[tokio::test]
async fn a_secret_that_was_rotated_signs_beside_the_old_one() {
    let (server, receiver) = (Server::start().await, Receiver::start().await);
    let api = server.api();
    let endpoint = api.register("shop", &receiver).await;
    let path = format!("/app/shop/endpoint/{}/secret", endpoint.id);
    let answer = api.post(&format!("{path}/rotate"), json!({})).await;
    assert_eq!(answer, api.get(&path).await);
    let new = text(&answer["key"]);
    assert_ne!(new, endpoint.secret);
    api.send("shop", "order.paid", json!({})).await;
    let [arrival] = &receiver.expect(1).await[..] else { panic!("one event, one request") };
    assert!(arrival.is_signed_with(new) && arrival.is_signed_with(&endpoint.secret), "{arrival:?}");
}

#[tokio::test]
async fn an_endpoint_with_a_key_pair_verifies_with_its_public_half_also_after_a_restart() {
    let (server, receiver) = (Server::start().await, Receiver::start().await);
    server.api().app("shop").await;
    let url = receiver.url();
    let made = server.run(&["endpoint", "create", "--app", "shop", "--uid", "main", "--ed25519", "--url", &url]).json();
    let public = text(&made["secret"]).to_owned();
    assert!(public.starts_with("whpk_"), "{made}");

    let server = server.stop().await.start().await;
    server.api().send("shop", "order.paid", json!({"n": 1})).await;
    let [first] = &receiver.expect(1).await[..] else { panic!("one event, one request") };
    assert!(first.is_signed_with(&public), "{first:?}");
    assert!(!first.header("webhook-signature").contains(' '));

    // From a pair to a shared secret: for a while both sign.
    let rotated = server.run(&["endpoint", "rotate", "--app", "shop", "main"]).json();
    let shared = text(&rotated["key"]).to_owned();
    let server = server.stop().await.start().await;
    server.api().send("shop", "order.paid", json!({"n": 2})).await;
    let arrivals = receiver.expect(2).await;
    let second = &arrivals[1];
    assert!(second.is_signed_with(&shared) && second.is_signed_with(&public), "{second:?}");
    let other = Receiver::start().await;
    let stranger = server.api().endpoint("shop", &other, json!({})).await;
    assert!(!second.is_signed_with(&stranger.secret) && !first.is_signed_with(&shared));
}

#[tokio::test]
async fn new_secrets_and_headers_are_of_the_configured_kind() {
    let setup = Setup::new().set("dispatch.default_signature", "ed25519").set("dispatch.signature_headers", "both");
    let (server, receiver) = (setup.start().await, Receiver::start().await);
    let endpoint: Endpoint = server.api().register("shop", &receiver).await;
    assert!(endpoint.secret.starts_with("whpk_"), "{endpoint:?}");
    server.api().send("shop", "order.paid", json!({})).await;
    let [arrival] = &receiver.expect(1).await[..] else { panic!("one event, one request") };
    assert!(arrival.is_signed_with(&endpoint.secret), "{arrival:?}");
    for part in ["id", "timestamp", "signature"] {
        assert_eq!(arrival.header(&format!("svix-{part}")), arrival.header(&format!("webhook-{part}")));
    }
}

#[tokio::test]
async fn user_name_and_password_of_a_url_are_sent_as_basic_auth_and_shown_nowhere() {
    let (server, receiver) = (Server::start().await, Receiver::start().await);
    let api = server.api();
    api.app("shop").await;
    let with_both = receiver.url().replace("://", "://shop:hunter2%40home@");
    let endpoint = api.endpoint("shop", &receiver, json!({ "url": with_both })).await;
    // The attempt that fails is the one that says most.
    receiver.next([Reply::Status(500)]);
    let id = api.send("shop", "order.paid", json!({})).await;
    let [arrival] = &receiver.expect(1).await[..] else { panic!("one event, one request") };
    // RFC 7617, section 2: base64 of `shop:hunter2@home`.
    assert_eq!(arrival.header("authorization"), "Basic c2hvcDpodW50ZXIyQGhvbWU=");
    let attempts =
        until("its attempt is on record", async || Some(api.attempts("shop", &id).await).filter(|all| !all.is_empty()))
            .await;
    assert_eq!(attempts[0]["url"], receiver.url());

    let path = format!("/app/shop/endpoint/{}", endpoint.id);
    let shown = [
        api.get(&path).await,
        api.get("/app/shop/endpoint").await,
        api.get(&format!("/app/shop/msg/{id}/endpoint")).await,
        Value::Array(attempts),
    ];
    let told = server.run(&["endpoint", "get", "--app", "shop", &endpoint.id]).stdout;
    for text in [json!(shown).to_string(), told, server.log()] {
        assert!(!text.contains("hunter2") && !text.contains("c2hvcDpodW50ZXIyQGhvbWU"), "{text}");
    }

    // A header of the owner's takes their place; both do not go out.
    let headers = json!({"headers": {"authorization": "Bearer mine"}});
    assert!(api.call("PUT", &format!("{path}/headers"), &headers).await.status == 204);
    api.send("shop", "order.paid", json!({})).await;
    let arrivals = receiver.expect(2).await;
    assert_eq!(arrivals[1].header("authorization"), "Bearer mine");
}
