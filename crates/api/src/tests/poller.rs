use http::{Method, StatusCode};
use serde_json::{Value, json};

use super::client::{MESSAGE, World, has_shape};

const BASE: &str = "/api/v1/app/shop/poller/main";

async fn poll(world: &World, query: &str) -> (String, String, bool) {
    let page = world.get(&format!("{BASE}?{query}")).await.is(StatusCode::OK);
    let names = page["data"].as_array().unwrap().iter().map(|message| message["eventType"].as_str().unwrap()).collect();
    (names, page["iterator"].as_str().unwrap().to_owned(), page["done"].as_bool().unwrap())
}

#[tokio::test]
async fn a_poller_reads_on_from_its_iterator_by_the_endpoints_filters() {
    let world = World::new();
    world.app("shop").await;
    let (names, start, done) = {
        world.endpoint("shop", "main").await;
        world.patch("/api/v1/app/shop/endpoint/main", json!({"eventTypes": ["a", "c", "d"]})).await.is(StatusCode::OK);
        poll(&world, "").await
    };
    assert_eq!((names.as_str(), start.as_str(), done), ("", "1970-01-01T00:00:00.000Z", true));
    for name in ["a", "b", "c"] {
        world.message("shop", name).await;
    }
    let (names, iterator, done) = poll(&world, &format!("limit=1&iterator={start}")).await;
    assert_eq!((names.as_str(), done), ("a", false));
    let (names, iterator, done) = poll(&world, &format!("iterator={iterator}")).await;
    assert_eq!((names.as_str(), done), ("c", true));
    let (names, same, done) = poll(&world, &format!("iterator={iterator}")).await;
    assert_eq!((names.as_str(), &same, done), ("", &iterator, true));
    world.message("shop", "d").await;
    assert_eq!(poll(&world, &format!("iterator={iterator}")).await.0, "d");

    assert_eq!(poll(&world, "event_type=c").await.0, "c");
    assert_eq!(poll(&world, "event_type=b").await.0, "");
    assert_eq!(poll(&world, "channel=x").await.0, "");
    let after = "2030-01-01T00:00:00.000Z";
    assert_eq!(poll(&world, &format!("after={after}")).await, (String::new(), after.to_owned(), true));
    let page = world.get(BASE).await.is(StatusCode::OK);
    has_shape(&page["data"][0], MESSAGE);
    assert_eq!((&page["data"][0]["headers"], &page["data"][0]["payload"]), (&Value::Null, &json!({"n": 1})));

    for (query, name) in
        [("iterator=x", "iterator"), ("limit=0", "limit"), ("after=x", "after"), ("event_type=", "event_type")]
    {
        world.get(&format!("{BASE}?{query}")).await.is_invalid(&["query", name], query);
    }
    world.get("/api/v1/app/shop/poller/nobody").await.is_error(StatusCode::NOT_FOUND, "not_found");
}

#[tokio::test]
async fn a_precheck_says_whether_anybody_asked_for_such_a_message() {
    let world = World::new();
    world.app("shop").await;
    let path = "/api/v1/app/shop/msg/precheck/active";
    let active = async |body: Value| world.post(path, body).await.is(StatusCode::OK)["active"].as_bool().unwrap();
    assert!(!active(json!({"eventType": "a"})).await);
    world.endpoint("shop", "main").await;
    assert!(active(json!({"eventType": "a"})).await);
    let filters = json!({"eventTypes": ["a"], "channels": ["x"]});
    world.patch("/api/v1/app/shop/endpoint/main", filters).await.is(StatusCode::OK);
    assert!(active(json!({"eventType": "a", "channels": ["x", "y"]})).await);
    assert!(!active(json!({"eventType": "a"})).await);
    assert!(!active(json!({"eventType": "b", "channels": ["x"]})).await);
    world.patch("/api/v1/app/shop/endpoint/main", json!({"disabled": true})).await.is(StatusCode::OK);
    assert!(!active(json!({"eventType": "a", "channels": ["x"]})).await);
    world
        .refuses(
            Method::POST,
            path,
            &[
                ("{}", &["body", "eventType"]),
                (r#"{"eventType":"a b"}"#, &["body", "eventType"]),
                (r#"{"eventType":"a","channels":[]}"#, &["body", "channels"]),
                (r#"{"eventType":"a","channels":["a b"]}"#, &["body", "channels"]),
                (r#"{"eventType":"a","channels":["1","2","3","4","5","6"]}"#, &["body", "channels"]),
            ],
        )
        .await;
}
