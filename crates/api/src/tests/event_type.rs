use http::{Method, StatusCode};
use serde_json::json;

use super::client::{EVENT_TYPE, LIST, World, has_shape};

#[tokio::test]
async fn an_event_type_is_created_archived_and_made_anew() {
    let world = World::new();
    let body = json!({
        "name": "order.paid", "description": "d", "schemas": {"1": {"type": "object"}},
        "featureFlag": "beta", "groupName": "orders",
    });
    let made = world.post("/api/v1/event-type", body.clone()).await.is(StatusCode::CREATED);
    has_shape(&made, EVENT_TYPE);
    assert_eq!((&made["groupName"], &made["featureFlag"]), (&json!("orders"), &json!("beta")));
    world.post("/api/v1/event-type", body).await.is_error(StatusCode::CONFLICT, "conflict");

    let path = "/api/v1/event-type/order.paid";
    assert_eq!(world.get(path).await.is(StatusCode::OK), made);
    assert_eq!(made["featureFlags"], json!(["beta"]));
    let patched = world.patch(path, json!({"featureFlags": ["b", "a"]})).await.is(StatusCode::OK);
    assert_eq!((&patched["featureFlag"], &patched["featureFlags"]), (&json!("a"), &json!(["a", "b"])));
    let patched = world.patch(path, json!({"featureFlag": null, "deprecated": true})).await.is(StatusCode::OK);
    assert_eq!((&patched["featureFlag"], &patched["deprecated"]), (&json!(null), &json!(true)));
    assert_eq!(patched["featureFlags"], json!(null));
    assert_eq!((&patched["description"], &patched["schemas"]), (&made["description"], &made["schemas"]));

    world.delete(path).await.is_empty();
    assert_eq!(world.get(path).await.is(StatusCode::OK)["archived"], true);
    assert_eq!(world.get("/api/v1/event-type").await.is(StatusCode::OK)["data"], json!([]));
    let body = json!({"name": "order.paid", "description": "again"});
    let again = world.post("/api/v1/event-type", body).await.is(StatusCode::CREATED);
    assert_eq!((&again["archived"], &again["schemas"]), (&json!(false), &json!(null)));

    world.delete(&format!("{path}?expunge=true")).await.is_empty();
    world.get(path).await.is_error(StatusCode::NOT_FOUND, "not_found");
    world.delete(path).await.is_error(StatusCode::NOT_FOUND, "not_found");
}

#[tokio::test]
async fn put_creates_or_replaces() {
    let world = World::new();
    let path = "/api/v1/event-type/a.b";
    let body = json!({"description": "d", "deprecated": true});
    assert_eq!(world.put(path, body).await.is(StatusCode::CREATED)["name"], "a.b");
    let replaced = world.put(path, json!({"description": "e"})).await.is(StatusCode::OK);
    assert_eq!(replaced["deprecated"], false);
    let cases: &[(&str, &[&str])] = &[("{}", &["body", "description"])];
    world.refuses(Method::PUT, path, cases).await;
}

#[tokio::test]
async fn the_list_is_by_name_and_walks_past_names_that_begin_with_a_dash() {
    let world = World::new();
    for name in ["b", "-a", "c"] {
        world.post("/api/v1/event-type", json!({"name": name, "description": "", "schemas": {}})).await;
    }
    let mut seen = Vec::new();
    let mut path = "/api/v1/event-type?limit=1".to_owned();
    loop {
        let list = world.get(&path).await.is(StatusCode::OK);
        has_shape(&list, LIST);
        assert_eq!(list["data"][0]["schemas"], json!(null), "content was not asked for");
        seen.push(list["data"][0]["name"].as_str().unwrap().to_owned());
        if list["done"] == true {
            break;
        }
        path = format!("/api/v1/event-type?limit=1&iterator={}", list["iterator"].as_str().unwrap());
    }
    assert_eq!(seen, ["-a", "b", "c"]);
    let list = world.get("/api/v1/event-type?with_content=true").await.is(StatusCode::OK);
    assert_eq!(list["data"][0]["schemas"], json!({}));
}

#[tokio::test]
async fn bad_fields_are_named_and_nothing_is_stored() {
    let world = World::new();
    let cases: &[(&str, &[&str])] = &[
        (r#"{"description": "d"}"#, &["body", "name"]),
        (r#"{"name": "a"}"#, &["body", "description"]),
        (r#"{"name": "a..b", "description": "d"}"#, &["body", "name"]),
        (r#"{"name": "a", "description": "d", "archived": 1}"#, &["body", "archived"]),
        (r#"{"name": "a", "description": "d", "schemas": []}"#, &["body", "schemas"]),
        (r#"{"name": "a", "description": "d", "schemas": {"1": 2}}"#, &["body", "schemas", "1"]),
        (r#"{"name": "a", "description": "d", "featureFlag": "a b"}"#, &["body", "featureFlag"]),
        (r#"{"name": "a", "description": "d", "featureFlags": ["a b"]}"#, &["body", "featureFlags"]),
        (r#"{"name": "a", "description": "d", "featureFlags": "a"}"#, &["body", "featureFlags"]),
    ];
    world.refuses(Method::POST, "/api/v1/event-type", cases).await;
}
