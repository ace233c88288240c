//! `svix.event_type()`.

use serde_json::json;
use svix::api::{EventTypeDeleteOptions, EventTypeListOptions};
use svix::api::{EventTypeIn, EventTypePatch, EventTypeUpdate};

use super::{World, ok, refused};

#[tokio::test]
async fn an_event_type_is_made_read_changed_archived_and_expunged() {
    let world = World::start().await;
    let types = world.client.event_type();
    let schemas = json!({ "1": { "type": "object", "properties": { "n": { "type": "integer" } } } });
    let event_type = EventTypeIn {
        schemas: Some(schemas.clone()),
        group_name: Some("orders".into()),
        ..EventTypeIn::new("an order was paid".into(), "order.paid".into())
    };
    let made = ok("create", types.create(event_type.clone(), None)).await;
    assert_eq!((made.name.as_str(), made.description.as_str()), ("order.paid", "an order was paid"));
    assert_eq!((made.archived, made.deprecated, made.group_name.as_deref()), (Some(false), false, Some("orders")));
    assert_eq!(made.schemas, Some(schemas));
    assert_eq!(ok("get", types.get("order.paid".into())).await, made);
    assert_eq!(refused("again", types.create(event_type, None)).await, (409, "conflict".into()));

    let patch = EventTypePatch { deprecated: Some(true), ..EventTypePatch::new() };
    let patched = ok("patch", types.patch("order.paid".into(), patch)).await;
    assert_eq!((patched.deprecated, patched.description.as_str()), (true, "an order was paid"));
    let upserted = ok("upsert", types.update("order.paid".into(), EventTypeUpdate::new("other".into()))).await;
    assert_eq!((upserted.deprecated, upserted.description.as_str()), (false, "other"));
    ok("upsert of a new one", types.update("order.sent".into(), EventTypeUpdate::new("sent".into()))).await;

    ok("archive", types.delete("order.paid".into(), None)).await;
    assert_eq!(ok("get", types.get("order.paid".into())).await.archived, Some(true));
    let expunge = EventTypeDeleteOptions { expunge: Some(true) };
    ok("expunge", types.delete("order.paid".into(), Some(expunge))).await;
    assert_eq!(refused("get", types.get("order.paid".into())).await, (404, "not_found".into()));
}

#[tokio::test]
async fn a_list_of_event_types_is_walked_both_ways() {
    let world = World::start().await;
    for name in ["a.a", "a.b", "a.c", "a.d", "a.e"] {
        ok("create", world.client.event_type().create(EventTypeIn::new("x".into(), name.into()), None)).await;
    }
    ok("archive", world.client.event_type().delete("a.e".into(), None)).await;
    let page = async |iterator, archived| {
        let options = EventTypeListOptions {
            limit: Some(2),
            iterator,
            include_archived: Some(archived),
            ..EventTypeListOptions::default()
        };
        let page = ok("a page", world.client.event_type().list(Some(options))).await;
        let names: Vec<String> = page.data.iter().map(|event_type| event_type.name.clone()).collect();
        (names, page)
    };
    let (first, page_1) = page(None, false).await;
    let (second, page_2) = page(page_1.iterator, false).await;
    assert_eq!([first.clone(), second].concat(), ["a.a", "a.b", "a.c", "a.d"]);
    assert!(!page_1.done && page_2.done);
    assert_eq!(page(page_2.prev_iterator, false).await.0, first);
    let (_, all_2) = page(page(None, true).await.1.iterator, true).await;
    let (rest, all_3) = page(all_2.iterator, true).await;
    assert_eq!((rest, all_3.done), (vec!["a.e".to_owned()], true));
}

#[tokio::test]
async fn what_is_wrong_is_named() {
    let world = World::start().await;
    let wrong = EventTypeIn::new("x".into(), "not a name".into());
    assert_eq!(refused("a name", world.client.event_type().create(wrong, None)).await, (422, "body.name".into()));
}
