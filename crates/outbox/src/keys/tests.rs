//! Hashes lie in the journal and in the index: what gives one in a release gives it in every later one.

use std::collections::BTreeSet;
use std::time::Duration;

use bytes::Bytes;
use postrider_model::id::{EndpointId, RawId};

use super::*;

const ORG: OrgId = OrgId(RawId::from_bytes([3; 20]));
const OTHER_ORG: OrgId = OrgId(RawId::from_bytes([4; 20]));
const APP: AppId = AppId(RawId::from_bytes([1; 20]));
const OTHER_APP: AppId = AppId(RawId::from_bytes([2; 20]));

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn keyed() -> KeyedRequest {
    KeyedRequest {
        org: ORG,
        app: None,
        route: "/api/v1/app".to_owned(),
        key: "key".to_owned(),
        query: String::new(),
        body: Bytes::from_static(b"{}"),
    }
}

fn message() -> NewMessage {
    NewMessage::new(ORG, "shop", "order.paid", Bytes::from_static(b"{}"))
}

#[test]
fn a_hash_is_what_it_was() {
    assert_eq!(hex(&idempotency(ORG, APP, "key")), "0ea4bb2960599fd8fe9456c910693a04");
    assert_eq!(hex(&event_id(APP, "event-17")), "7dcf2e2b3e08000e78d520a5e43ebd6a");
    assert_eq!(order_key(Some("customer-5")), 0xc584_e7e1_8dcb_7d8f);
    assert_eq!(event_type("order.paid"), 0x5c95_d9cb_233f_ee3b);
    let tenants = request(&keyed());
    assert_eq!(hex(&tenants.key), "0818cf5eb1dd61e000d31ade44803ecf");
    assert_eq!(hex(&tenants.content), "fef48a9ba0db0017c25eb9fcdec8eeaf");
    let of_app = request(&KeyedRequest { app: Some(APP), ..keyed() });
    assert_eq!(hex(&of_app.key), "8698f44d48df8ac16875f16d1df567b6");
    assert_eq!(hex(&content(&message())), "9b8830af4dd51bbee9f728c53b2502e8");
}

/// How many different ones there are.
fn different<T: Ord>(hashes: impl IntoIterator<Item = T>) -> usize {
    hashes.into_iter().collect::<BTreeSet<_>>().len()
}

#[test]
fn a_key_is_bound_to_tenant_and_application_and_an_event_id_to_its_application() {
    let keys = [(ORG, APP, "a"), (OTHER_ORG, APP, "a"), (ORG, OTHER_APP, "a"), (ORG, APP, "b"), (ORG, APP, "")];
    assert_eq!(different(keys.map(|(org, app, key)| idempotency(org, app, key))), keys.len());
    let ids = [(APP, "a"), (OTHER_APP, "a"), (APP, "b"), (APP, "")];
    assert_eq!(different(ids.map(|(app, id)| event_id(app, id))), ids.len());
    assert_ne!(idempotency(ORG, APP, "a"), event_id(APP, "a"));
}

#[test]
fn a_request_is_known_by_who_asks_where_and_differs_by_what_comes_with_it() {
    let same_place = [
        keyed(),
        KeyedRequest { query: "limit=1".to_owned(), ..keyed() },
        KeyedRequest { body: Bytes::from_static(b"{ }"), ..keyed() },
        KeyedRequest { query: "{}".to_owned(), body: Bytes::new(), ..keyed() },
    ]
    .map(|keyed| request(&keyed));
    assert_eq!(different(same_place.iter().map(|hashes| hashes.key)), 1);
    assert_eq!(different(same_place.iter().map(|hashes| hashes.content)), 4);
    let elsewhere = [
        keyed(),
        KeyedRequest { org: OTHER_ORG, ..keyed() },
        KeyedRequest { app: Some(APP), ..keyed() },
        KeyedRequest { route: "/api/v1/ap".to_owned(), ..keyed() },
        KeyedRequest { key: "kez".to_owned(), ..keyed() },
        KeyedRequest { route: "/api/v1/appk".to_owned(), key: "ey".to_owned(), ..keyed() },
    ]
    .map(|keyed| request(&keyed));
    assert_eq!(different(elsewhere.iter().map(|hashes| hashes.key)), 6);
    assert_eq!(different(elsewhere.iter().map(|hashes| hashes.content)), 1);
}

/// Another message with the same key is a mistake, not a retry.
#[test]
fn messages_that_differ_in_anything_have_another_content() {
    let text = |text: &str| Some(text.to_owned());
    let set = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect::<BTreeSet<_>>();
    let messages = [
        message(),
        NewMessage { event_type: "order.pai".to_owned(), ..message() },
        NewMessage { body: Bytes::from_static(b"{ }"), ..message() },
        NewMessage { content_type: text("a"), ..message() },
        NewMessage { event_id: text("a"), ..message() },
        NewMessage { order_key: text("a"), ..message() },
        NewMessage { channels: set(&["a"]), ..message() },
        NewMessage { channels: set(&["a", "b"]), ..message() },
        NewMessage { channels: set(&["ab"]), ..message() },
        NewMessage { tags: set(&["a"]), ..message() },
        NewMessage { tags: set(&["a", "b"]), ..message() },
        NewMessage { only: Some(EndpointId(RawId::from_bytes([5; 20]))), ..message() },
        NewMessage { payload_retention: Some(Duration::from_secs(60)), ..message() },
        NewMessage { payload_retention: Some(Duration::from_secs(61)), ..message() },
    ];
    assert_eq!(different(messages.iter().map(content)), messages.len());
    let retried = NewMessage { idempotency_key: text("key"), create_app: text("name"), place: 3, ..message() };
    assert_eq!(content(&retried), content(&message()), "how it came is no part of it");
}

/// 0 would put a message in no order at all.
#[test]
fn each_order_key_has_a_number_and_no_key_has_none() {
    assert_eq!(order_key(None), 0);
    let keys: Vec<_> = (0..100).map(|n| format!("customer-{n}")).collect();
    let numbers: BTreeSet<_> = keys.iter().map(|key| order_key(Some(key))).collect();
    assert_eq!(numbers.len(), keys.len());
    assert!(!numbers.contains(&0) && order_key(Some("")) != 0);
    assert_eq!(different(keys.iter().map(|name| event_type(name))), keys.len());
}
