//! `svix.endpoint()`.

use std::collections::HashMap;

use serde_json::json;
use svix::api::EndpointListOptions;
use svix::api::{
    EndpointHeadersIn, EndpointHeadersPatchIn, EndpointIn, EndpointPatch, EndpointSecretRotateIn, EndpointUpdate,
};

use super::{World, ok, refused};

fn map<const N: usize>(entries: [(&str, &str); N]) -> HashMap<String, String> {
    entries.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

fn set<const N: usize>(names: [&str; N]) -> Vec<String> {
    names.into_iter().map(str::to_owned).collect()
}

#[tokio::test]
async fn an_endpoint_is_made_read_changed_and_deleted() {
    let world = World::start().await;
    world.app("shop").await;
    let endpoints = world.client.endpoint();
    let endpoint = EndpointIn {
        description: Some("the till".into()),
        uid: Some("till".into()),
        rate_limit: Some(50),
        filter_types: Some(set(["order.paid", "order.sent"])),
        channels: Some(set(["north"])),
        metadata: Some(map([("owner", "ann")])),
        headers: Some(map([("x-shop", "7")])),
        secret: Some("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".into()),
        ..EndpointIn::new(world.receiver.url())
    };
    let made = ok("create", endpoints.create("shop".into(), endpoint.clone(), None)).await;
    assert!(made.id.starts_with("ep_"), "{made:?}");
    assert_eq!((made.url.as_str(), made.uid.as_deref()), (endpoint.url.as_str(), Some("till")));
    assert_eq!((made.rate_limit, made.disabled), (Some(50), Some(false)));
    assert_eq!((&made.filter_types, &made.channels), (&endpoint.filter_types, &endpoint.channels));
    assert_eq!(Some(&made.metadata), endpoint.metadata.as_ref());

    assert_eq!(ok("get by id", endpoints.get("shop".into(), made.id.clone())).await, made);
    assert_eq!(ok("get by uid", endpoints.get("shop".into(), "till".into())).await, made);
    assert_eq!(
        ok("the secret", endpoints.get_secret("shop".into(), "till".into())).await.key,
        "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
    );
    let again = refused("the uid again", endpoints.create("shop".into(), endpoint, None)).await;
    assert_eq!(again, (409, "conflict".into()));

    let patch = EndpointPatch { disabled: Some(true), ..EndpointPatch::new() };
    let patched = ok("patch", endpoints.patch("shop".into(), "till".into(), patch)).await;
    assert_eq!((patched.disabled, patched.rate_limit), (Some(true), Some(50)), "only what is named");
    let upsert = EndpointUpdate { uid: Some("till".into()), ..EndpointUpdate::new(world.receiver.url()) };
    let upserted = ok("upsert", endpoints.update("shop".into(), "till".into(), upsert)).await;
    assert_eq!((upserted.id.as_str(), upserted.disabled), (made.id.as_str(), Some(false)), "the whole is replaced");
    assert_eq!((upserted.rate_limit, upserted.filter_types), (None, None));

    ok("delete", endpoints.delete("shop".into(), "till".into())).await;
    let gone = refused("get", endpoints.get("shop".into(), made.id)).await;
    assert_eq!(gone, (404, "not_found".into()));
}

#[tokio::test]
async fn a_list_of_endpoints_is_walked_both_ways() {
    let world = World::start().await;
    world.app("shop").await;
    let mut made = vec![];
    for _ in 0..5 {
        made.push(world.endpoint("shop").await.id);
    }
    let page = async |iterator| {
        let options = EndpointListOptions { limit: Some(2), iterator, order: None };
        let page = ok("a page", world.client.endpoint().list("shop".into(), Some(options))).await;
        let ids: Vec<String> = page.data.iter().map(|endpoint| endpoint.id.clone()).collect();
        (ids, page)
    };
    let (first, page_1) = page(None).await;
    let (second, page_2) = page(page_1.iterator).await;
    let (third, page_3) = page(page_2.iterator).await;
    assert!(!page_1.done && !page_2.done && page_3.done);
    assert_eq!([first.clone(), second.clone(), third].concat(), made);
    let (back, page_back) = page(page_3.prev_iterator).await;
    assert_eq!(back, second);
    assert_eq!(page(page_back.prev_iterator).await.0, first);
}

#[tokio::test]
async fn headers_go_along_and_credentials_are_not_shown_again() {
    let world = World::start().await;
    world.app("shop").await;
    let endpoint = world.endpoint("shop").await;
    let endpoints = world.client.endpoint();
    let (app, id) = (|| "shop".to_owned(), || endpoint.id.clone());
    let headers = EndpointHeadersIn::new(map([("x-shop", "7"), ("authorization", "Bearer open-sesame")]));
    ok("set", endpoints.update_headers(app(), id(), headers)).await;
    let shown = ok("get", endpoints.get_headers(app(), id())).await;
    assert_eq!((shown.headers, shown.sensitive), (map([("x-shop", "7")]), vec!["authorization".to_owned()]));

    let patch = EndpointHeadersPatchIn::new(map([("x-till", "2")]));
    ok("patch", endpoints.patch_headers(app(), id(), patch)).await;
    assert_eq!(ok("get", endpoints.get_headers(app(), id())).await.headers, map([("x-shop", "7"), ("x-till", "2")]));

    world.send("shop", "order.paid").await;
    let [arrival] = &world.receiver.expect(1).await[..] else { panic!("one event, one request") };
    assert_eq!((arrival.header("x-till"), arrival.header("authorization")), ("2", "Bearer open-sesame"));
    let forbidden = EndpointHeadersIn::new(map([("webhook-id", "mine")]));
    let (status, _) = refused("a header of ours", endpoints.update_headers(app(), id(), forbidden)).await;
    assert_eq!(status, 422);
}

#[tokio::test]
async fn after_a_rotation_both_secrets_verify() {
    let world = World::start().await;
    world.app("shop").await;
    let endpoint = world.endpoint("shop").await;
    let endpoints = world.client.endpoint();
    let secret = async || ok("get", endpoints.get_secret("shop".into(), endpoint.id.clone())).await.key;
    let old = secret().await;
    let rotate = async || {
        let asked = EndpointSecretRotateIn::new();
        ok("rotate", endpoints.rotate_secret("shop".into(), endpoint.id.clone(), asked, None)).await;
    };
    rotate().await;
    let new = secret().await;
    assert_ne!(old, new);

    world.send("shop", "order.paid").await;
    let [arrival] = &world.receiver.expect(1).await[..] else { panic!("one event, one request") };
    let verifies = |secret: &str| {
        let webhook = svix::webhooks::Webhook::new(secret).expect("a secret that Svix's library reads");
        webhook.verify(&arrival.body, &arrival.headers).is_ok() && arrival.is_signed_with(secret)
    };
    assert!(verifies(&old) && verifies(&new), "{arrival:?}");
    assert!(!verifies("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"), "the check itself must be able to fail");
    assert_eq!(arrival.body, json!({ "n": 1 }).to_string());

    let wrong = EndpointSecretRotateIn { key: Some("whsec_%".into()) };
    let refused = refused("no secret", endpoints.rotate_secret("shop".into(), endpoint.id.clone(), wrong, None)).await;
    assert_eq!(refused, (422, "body.key".into()));
}
