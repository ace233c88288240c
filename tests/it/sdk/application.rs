//! `svix.application()`.

use std::collections::HashMap;

use svix::api::{ApplicationIn, ApplicationListOptions, ApplicationPatch, Ordering};

use super::{World, ok, refused};

fn named(uid: &str) -> ApplicationIn {
    ApplicationIn { uid: Some(uid.into()), ..ApplicationIn::new(format!("the shop {uid}")) }
}

#[tokio::test]
async fn an_application_is_made_read_changed_and_deleted() {
    let world = World::start().await;
    let applications = world.client.application();
    let app = ApplicationIn {
        metadata: Some(HashMap::from([("plan".into(), "gold".into())])),
        rate_limit: Some(20),
        ..named("shop")
    };
    let made = ok("create", applications.create(app.clone(), None)).await;
    assert!(made.id.starts_with("app_"), "{made:?}");
    assert_eq!((made.name.as_str(), made.uid.as_deref(), made.rate_limit), ("the shop shop", Some("shop"), Some(20)));
    assert_eq!(Some(&made.metadata), app.metadata.as_ref());

    assert_eq!(ok("get by id", applications.get(made.id.clone())).await, made);
    assert_eq!(ok("get by uid", applications.get("shop".into())).await, made);
    assert_eq!(ok("get or create", applications.get_or_create(app.clone(), None)).await, made);
    assert_eq!(refused("the uid again", applications.create(app, None)).await, (409, "conflict".into()));

    let patch = ApplicationPatch { name: Some("renamed".into()), ..ApplicationPatch::new() };
    let patched = ok("patch", applications.patch("shop".into(), patch)).await;
    assert_eq!((patched.name.as_str(), patched.rate_limit), ("renamed", Some(20)), "only what is named");
    let upserted = ok("upsert what is there", applications.update("shop".into(), named("shop"))).await;
    assert_eq!((upserted.id.as_str(), upserted.rate_limit), (made.id.as_str(), None), "the whole is replaced");
    let other = ok("upsert what is not there", applications.update("other".into(), named("other"))).await;
    assert_ne!(other.id, made.id);

    ok("delete", applications.delete("shop".into())).await;
    assert_eq!(refused("get", applications.get("shop".into())).await, (404, "not_found".into()));
}

#[tokio::test]
async fn a_list_of_applications_is_walked_both_ways() {
    let world = World::start().await;
    for n in 0..5 {
        world.app(&format!("app-{n}")).await;
    }
    let page = async |iterator, order| {
        let options = ApplicationListOptions { limit: Some(2), iterator, order };
        let page = ok("a page", world.client.application().list(Some(options))).await;
        let uids: Vec<String> = page.data.iter().filter_map(|app| app.uid.clone()).collect();
        (uids, page)
    };
    let (first, page_1) = page(None, None).await;
    let (second, page_2) = page(page_1.iterator, None).await;
    let (third, page_3) = page(page_2.iterator, None).await;
    assert_eq!([first.clone(), second.clone(), third].concat(), ["app-0", "app-1", "app-2", "app-3", "app-4"]);
    assert!(!page_1.done && !page_2.done && page_3.done);
    let (back, page_back) = page(page_3.prev_iterator, None).await;
    assert_eq!(back, second);
    assert_eq!(page(page_back.prev_iterator, None).await.0, first);
    assert_eq!(page(None, Some(Ordering::Descending)).await.0, ["app-4", "app-3"]);
}

#[tokio::test]
async fn a_tenant_sees_its_own_applications_only() {
    let world = World::start().await;
    let made = ok("create", world.client.application().create(named("shop"), None)).await;
    let stranger = world.stranger();
    assert_eq!(refused("get", stranger.application().get(made.id.clone())).await, (404, "not_found".into()));
    assert_eq!(ok("list", stranger.application().list(None)).await.data, []);
    assert_ne!(ok("the same uid", stranger.application().create(named("shop"), None)).await.id, made.id);
}

#[tokio::test]
async fn what_is_wrong_is_named() {
    let world = World::start().await;
    let applications = world.client.application();
    let nameless = ApplicationIn::new(String::new());
    assert_eq!(refused("no name", applications.create(nameless, None)).await, (422, "body.name".into()));
    let spaced = named("with space");
    assert_eq!(refused("a uid", applications.create(spaced, None)).await, (422, "body.uid".into()));
    let many = ApplicationListOptions { limit: Some(251), ..ApplicationListOptions::default() };
    assert_eq!(refused("a limit", applications.list(Some(many))).await, (422, "query.limit".into()));
}
