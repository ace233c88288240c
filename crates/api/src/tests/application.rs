use http::{Method, StatusCode};
use serde_json::json;

use super::client::{APPLICATION, LIST, World, has_shape};

#[tokio::test]
async fn an_application_is_created_read_changed_and_deleted() {
    let world = World::new();
    let body = json!({"name": "Shop", "uid": "shop", "throttleRate": 5, "metadata": {"a": "b"}, "unknown": 1});
    let made = world.post("/api/v1/app", body).await.is(StatusCode::CREATED);
    has_shape(&made, APPLICATION);
    assert_eq!(made["rateLimit"], 5);
    let id = made["id"].as_str().unwrap();
    assert!(id.starts_with("app_") && id.len() == 31);

    for name in ["shop", id] {
        assert_eq!(world.get(&format!("/api/v1/app/{name}")).await.is(StatusCode::OK), made);
    }
    let path = format!("/api/v1/app/{id}");
    let patched = world.patch(&path, json!({"throttleRate": null, "name": "New"})).await.is(StatusCode::OK);
    assert_eq!(patched["throttleRate"], json!(null));
    assert_eq!((&patched["name"], &patched["uid"]), (&json!("New"), &json!("shop")));
    assert_eq!(patched["metadata"], json!({"a": "b"}));

    let replaced = world.put(&path, json!({"name": "Bare", "rateLimit": 9})).await.is(StatusCode::OK);
    assert_eq!((&replaced["uid"], &replaced["metadata"]), (&json!(null), &json!({})));
    assert_eq!(replaced["throttleRate"], 9);

    world.delete(&path).await.is_empty();
    world.get(&path).await.is_error(StatusCode::NOT_FOUND, "not_found");
    world.delete(&path).await.is_error(StatusCode::NOT_FOUND, "not_found");
}

#[tokio::test]
async fn a_uid_is_taken_once_and_get_if_exists_changes_nothing() {
    let world = World::new();
    let id = world.app("shop").await;
    world.post("/api/v1/app", json!({"name": "x", "uid": "shop"})).await.is_error(StatusCode::CONFLICT, "conflict");
    let writes = world.writes();
    let body = json!({"name": "another name", "uid": "shop"});
    let found = world.post("/api/v1/app?get_if_exists=true", body).await.is(StatusCode::OK);
    assert_eq!((&found["id"], &found["name"]), (&json!(id), &json!("shop")));
    assert_eq!(world.writes(), writes);
    let body = json!({"name": "n", "uid": "new"});
    world.post("/api/v1/app?get_if_exists=true", body).await.is(StatusCode::CREATED);
    world.app("other").await;
    let taken = world.patch("/api/v1/app/other", json!({"uid": "shop"})).await;
    taken.is_error(StatusCode::CONFLICT, "conflict");
}

#[tokio::test]
async fn put_creates_under_the_uid_of_the_path_and_goes_on_leading_there() {
    let world = World::new();
    let made = world.put("/api/v1/app/shop", json!({"name": "a"})).await.is(StatusCode::CREATED);
    assert_eq!(made["uid"], "shop");
    let again = world.put("/api/v1/app/shop", json!({"name": "b"})).await.is(StatusCode::OK);
    assert_eq!((&again["id"], &again["uid"]), (&made["id"], &json!("shop")));
    let unknown = format!("/api/v1/app/app_{}", "0".repeat(27));
    world.put(&unknown, json!({"name": "a"})).await.is_error(StatusCode::NOT_FOUND, "not_found");
    world.patch("/api/v1/app/nowhere", json!({"name": "a"})).await.is_error(StatusCode::NOT_FOUND, "not_found");
}

#[tokio::test]
async fn bad_fields_are_named_and_nothing_is_stored() {
    let world = World::new();
    let long = format!(r#"{{"name": "{}"}}"#, "x".repeat(257));
    let cases: &[(&str, &[&str])] = &[
        ("{", &["body"]),
        ("", &["body"]),
        ("[]", &["body"]),
        ("{} x", &["body"]),
        ("{}", &["body", "name"]),
        (r#"{"name": null}"#, &["body", "name"]),
        (r#"{"name": ""}"#, &["body", "name"]),
        (r#"{"name": 5}"#, &["body", "name"]),
        (&long, &["body", "name"]),
        (r#"{"name": "a", "uid": "a b"}"#, &["body", "uid"]),
        (r#"{"name": "a", "uid": "app_x"}"#, &["body", "uid"]),
        (r#"{"name": "a", "throttleRate": 0}"#, &["body", "throttleRate"]),
        (r#"{"name": "a", "throttleRate": -1}"#, &["body", "throttleRate"]),
        (r#"{"name": "a", "metadata": {"k": 1}}"#, &["body", "metadata", "k"]),
        (r#"{"name": "a", "metadata": null}"#, &["body", "metadata"]),
    ];
    world.refuses(Method::POST, "/api/v1/app", cases).await;
    world.refuses(Method::PUT, "/api/v1/app/shop", cases).await;
    world.app("shop").await;
    let cases: &[(&str, &[&str])] =
        &[(r#"{"name": null}"#, &["body", "name"]), (r#"{"uid": "a b"}"#, &["body", "uid"])];
    world.refuses(Method::PATCH, "/api/v1/app/shop", cases).await;
    let not_utf8 = world.raw(Method::POST, "/api/v1/app", &[], &b"{\"name\": \"\xff\"}"[..]).await;
    not_utf8.is_invalid(&["body", "name"], "not UTF-8");
}

#[tokio::test]
async fn the_list_is_walked_in_both_directions() {
    let world = World::new();
    for n in 0..5 {
        world.app(&format!("app-{n}")).await;
    }
    let names = |list: &serde_json::Value| -> Vec<String> {
        list["data"].as_array().unwrap().iter().map(|app| app["uid"].as_str().unwrap()[4..].to_owned()).collect()
    };
    let first = world.get("/api/v1/app?limit=2").await.is(StatusCode::OK);
    has_shape(&first, LIST);
    assert_eq!((names(&first).concat(), &first["done"]), ("01".to_owned(), &json!(false)));
    let iterator = first["iterator"].as_str().unwrap();
    assert_eq!(iterator, first["data"][1]["id"]);
    let second = world.get(&format!("/api/v1/app?limit=2&iterator={iterator}")).await.is(StatusCode::OK);
    assert_eq!(names(&second).concat(), "23");
    let iterator = second["iterator"].as_str().unwrap();
    let third = world.get(&format!("/api/v1/app?limit=2&iterator={iterator}")).await.is(StatusCode::OK);
    assert_eq!((names(&third).concat(), &third["done"]), ("4".to_owned(), &json!(true)));
    let back = third["prevIterator"].as_str().unwrap();
    assert!(back.starts_with("-app_"));
    let back = world.get(&format!("/api/v1/app?limit=2&iterator={back}")).await.is(StatusCode::OK);
    assert_eq!((names(&back).concat(), &back["done"]), ("23".to_owned(), &json!(false)));
    assert_eq!(back["iterator"], second["iterator"]);
    let newest = world.get("/api/v1/app?limit=2&order=descending").await.is(StatusCode::OK);
    assert_eq!(names(&newest).concat(), "43");
}

#[tokio::test]
async fn bad_paging_is_refused_and_names_the_parameter() {
    let world = World::new();
    for (query, name) in [
        ("limit=251", "limit"),
        ("limit=0", "limit"),
        ("limit=-1", "limit"),
        ("limit=ten", "limit"),
        ("order=up", "order"),
        ("iterator=shop", "iterator"),
        ("iterator=%FF", "iterator"),
    ] {
        world.get(&format!("/api/v1/app?{query}")).await.is_invalid(&["query", name], query);
    }
    let all = world.get("/api/v1/app?limit=250").await.is(StatusCode::OK);
    assert_eq!(all, json!({"data": [], "iterator": null, "prevIterator": null, "done": true}));
    world.post("/api/v1/app?get_if_exists=1", json!({"name": "a"})).await.is_invalid(&["query", "get_if_exists"], "1");
}
