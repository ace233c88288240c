//! `svix.message()`.

use serde_json::json;
use svix::api::{ApplicationIn, MessageIn};
use svix::api::{MessageCreateOptions, MessageGetOptions, MessageListOptions};

use super::{World, ok, refused};

fn set<const N: usize>(names: [&str; N]) -> Vec<String> {
    names.into_iter().map(str::to_owned).collect()
}

#[tokio::test]
async fn a_message_is_accepted_delivered_and_read() {
    let world = World::start().await;
    world.app("shop").await;
    world.endpoint("shop").await;
    let messages = world.client.message();
    let message = MessageIn {
        event_id: Some("e-17".into()),
        channels: Some(set(["north"])),
        tags: Some(set(["vip"])),
        ..MessageIn::new("order.paid".into(), json!({ "order": 17 }))
    };
    let keyed = || Some(MessageCreateOptions { with_content: Some(true), idempotency_key: Some("k-17".into()) });
    let made = ok("create", messages.create("shop".into(), message.clone(), keyed())).await;
    assert!(made.id.starts_with("msg_"), "{made:?}");
    assert_eq!((made.event_type.as_str(), made.event_id.as_deref()), ("order.paid", Some("e-17")));
    assert_eq!((&made.channels, &made.tags, &made.payload), (&message.channels, &message.tags, &message.payload));
    assert_eq!(ok("again", messages.create("shop".into(), message.clone(), keyed())).await, made);
    let taken = refused("the event id again", messages.create("shop".into(), message, None)).await;
    assert_eq!(taken, (409, "conflict".into()));

    let [arrival] = &world.receiver.expect(1).await[..] else { panic!("one event, one request") };
    assert_eq!((arrival.id(), &arrival.body[..]), (made.id.as_str(), &br#"{"order":17}"#[..]));
    let with = |content| Some(MessageGetOptions { with_content: Some(content) });
    assert_eq!(ok("get", messages.get("shop".into(), made.id.clone(), with(true))).await, made);
    let bare = ok("get", messages.get("shop".into(), "e-17".into(), with(false))).await;
    assert_eq!((bare.id, bare.payload), (made.id, json!({})), "without content");
}

#[tokio::test]
async fn a_message_makes_its_application() {
    let world = World::start().await;
    let message = MessageIn {
        application: Some(ApplicationIn { uid: Some("new".into()), ..ApplicationIn::new("New".into()) }),
        ..MessageIn::new("order.paid".into(), json!({}))
    };
    ok("create", world.client.message().create("new".into(), message, None)).await;
    assert_eq!(ok("get", world.client.application().get("new".into())).await.name, "New");
}

#[tokio::test]
async fn a_list_of_messages_is_newest_first_walked_both_ways_and_filtered() {
    let world = World::start().await;
    world.app("shop").await;
    let mut sent = vec![];
    for n in 0..6 {
        let message = MessageIn {
            channels: (n == 2).then(|| set(["north"])),
            tags: (n == 3).then(|| set(["vip"])),
            ..MessageIn::new(if n % 2 == 0 { "order.paid" } else { "order.sent" }.into(), json!({ "n": n }))
        };
        let options = MessageCreateOptions { with_content: Some(true), idempotency_key: None };
        sent.push(ok("create", world.client.message().create("shop".into(), message, Some(options))).await);
    }
    let ids = |messages: &[svix::api::MessageOut]| messages.iter().map(|m| m.id.clone()).collect::<Vec<_>>();
    let newest_first: Vec<_> = ids(&sent).into_iter().rev().collect();
    let list = async |options| {
        let page = ok("a page", world.client.message().list("shop".into(), Some(options))).await;
        (ids(&page.data), page)
    };
    let page = |iterator| MessageListOptions { limit: Some(4), iterator, ..MessageListOptions::default() };
    let (first, page_1) = list(page(None)).await;
    let (second, page_2) = list(page(page_1.iterator)).await;
    assert_eq!([first.clone(), second].concat(), newest_first);
    assert!(!page_1.done && page_2.done);
    assert_eq!(list(page(page_2.prev_iterator)).await.0, first);

    let none = MessageListOptions::default;
    let paid = MessageListOptions { event_types: Some(set(["order.paid"])), ..none() };
    assert_eq!(list(paid).await.0, [sent[4].id.clone(), sent[2].id.clone(), sent[0].id.clone()]);
    let both = MessageListOptions { event_types: Some(set(["order.paid", "order.sent"])), ..none() };
    assert_eq!(list(both).await.0, newest_first);
    let north = MessageListOptions { channel: Some("north".into()), ..none() };
    assert_eq!(list(north).await.0, [sent[2].id.clone()]);
    let vip = MessageListOptions { tag: Some("vip".into()), ..none() };
    assert_eq!(list(vip).await.0, [sent[3].id.clone()]);
    let content = MessageListOptions { with_content: Some(true), limit: Some(1), ..none() };
    assert_eq!(list(content).await.1.data[0].payload, json!({ "n": 5 }));
    let before = MessageListOptions { before: Some(sent[3].timestamp.clone()), ..none() };
    let (earlier, _) = list(before).await;
    assert!(!earlier.contains(&sent[3].id) && !earlier.contains(&sent[4].id), "{earlier:?}");
    let after = MessageListOptions { after: Some(sent[3].timestamp.clone()), ..none() };
    let (later, _) = list(after).await;
    assert!(!later.contains(&sent[3].id) && !later.contains(&sent[0].id), "{later:?}");
}

#[tokio::test]
async fn what_would_change_delivery_and_is_not_there_is_refused() {
    let world = World::start().await;
    world.app("shop").await;
    let changed = MessageIn {
        transformations_params: Some(json!({ "url": "http://example.com/" })),
        ..MessageIn::new("order.paid".into(), json!({}))
    };
    let refusal = refused("a change", world.client.message().create("shop".into(), changed, None)).await;
    assert_eq!(refusal, (422, "body.transformationsParams".into()));
    let nowhere = MessageIn::new("order.paid".into(), json!({}));
    let refusal = refused("no such application", world.client.message().create("none".into(), nowhere, None)).await;
    assert_eq!(refusal, (404, "not_found".into()));
}
