use http::{Method, StatusCode};
use postrider_model::delivery::{DeadReason, DeliveryState};
use postrider_model::endpoint::Hold;
use postrider_model::explain::Wait;
use postrider_model::task::TaskWork;
use postrider_model::time::UnixMs;
use serde_json::{Value, json};

use super::client::{LIST, World, has_shape, token_of};
use super::fake::{START, org};

const DELIVERY: &str = "appId!string msgId!string endpointId!string eventType!string acceptedAt!date-time \
     state!string attempt!integer dueAt:date-time trigger:string endedAt:date-time reason:string waits:object \
     resending!boolean";

async fn two_messages() -> (World, [String; 2]) {
    let world = World::new();
    world.app("shop").await;
    world.endpoint("shop", "main").await;
    let messages = [world.message("shop", "a").await, world.message("shop", "b").await];
    (world, messages)
}

fn kill(world: &World, index: usize, at: UnixMs) {
    world.fake.state().deliveries[index].state =
        DeliveryState::Dead { at, reason: DeadReason::AttemptsExhausted, attempt: 10 };
}

fn messages(list: &Value) -> Vec<&str> {
    list["data"].as_array().unwrap().iter().map(|delivery| delivery["msgId"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn what_waits_is_listed_with_its_reason() {
    let (world, [first, second]) = two_messages().await;
    {
        let mut state = world.fake.state();
        let key = state.deliveries[0].key;
        state.waits.insert(key, Wait::LaneBusy { in_flight: 3, limit: 4 });
        state.deliveries[1].held = Some(Hold::Paused);
    }
    let list = world.get("/api/v1/app/shop/delivery").await.is(StatusCode::OK);
    has_shape(&list, LIST);
    has_shape(&list["data"][0], DELIVERY);
    assert_eq!(messages(&list), [&second, &first]);
    assert_eq!(list["data"][0]["waits"], json!({"reason": "endpoint_paused"}));
    assert_eq!(list["data"][1]["waits"], json!({"reason": "lane_busy", "inFlight": 3, "limit": 4}));
    assert_eq!((&list["data"][0]["state"], &list["data"][0]["attempt"]), (&json!("scheduled"), &json!(1)));
    assert_eq!(list["data"][0]["dueAt"], list["data"][0]["acceptedAt"]);

    for (query, expected) in [
        (format!("msg_id={first}"), vec![&first]),
        ("event_types=b".to_owned(), vec![&second]),
        ("endpoint_id=main".to_owned(), vec![&second, &first]),
        ("before=2000-01-01T00:00:00Z".to_owned(), vec![]),
        ("after=2000-01-01T00:00:00Z".to_owned(), vec![&second, &first]),
        ("due_before=2000-01-01T00:00:00Z".to_owned(), vec![]),
        ("due_after=2000-01-01T00:00:00Z".to_owned(), vec![&second, &first]),
        ("state=scheduled&order=ascending".to_owned(), vec![&first, &second]),
        ("state=dead".to_owned(), vec![]),
    ] {
        let list = world.get(&format!("/api/v1/app/shop/delivery?{query}")).await.is(StatusCode::OK);
        assert_eq!(messages(&list), expected, "{query}");
    }
    let page = world.get("/api/v1/app/shop/delivery?limit=1").await.is(StatusCode::OK);
    let next = format!("/api/v1/app/shop/delivery?limit=1&iterator={}", page["iterator"].as_str().unwrap());
    assert_eq!(messages(&world.get(&next).await.is(StatusCode::OK)), [&first]);
    let last = world.get(&next).await.is(StatusCode::OK);
    let back = last["prevIterator"].as_str().unwrap();
    let back = world.get(&format!("/api/v1/app/shop/delivery?limit=1&iterator={back}")).await.is(StatusCode::OK);
    assert_eq!(messages(&back), [&second], "it goes back");
    for (query, name) in [
        ("state=waiting", "state"),
        ("due_before=soon", "due_before"),
        ("due_after=soon", "due_after"),
        ("state=dead&due_before=2000-01-01T00:00:00Z", "due_before"),
        ("state=dead&due_after=2000-01-01T00:00:00Z", "due_after"),
    ] {
        for path in ["/api/v1/app/shop/delivery", "/api/v1/delivery"] {
            world.get(&format!("{path}?{query}")).await.is_invalid(&["query", name], query);
        }
    }
    world.get("/api/v1/app/shop/delivery?iterator=xyz").await.is_invalid(&["query", "iterator"], "xyz");
    world.get("/api/v1/app/shop/delivery?endpoint_id=no").await.is_error(StatusCode::NOT_FOUND, "not_found");
}

#[tokio::test]
async fn deliveries_are_cancelled_and_replayed_one_by_one() {
    let (world, [first, _]) = two_messages().await;
    let path = format!("/api/v1/app/shop/msg/{first}/delivery");
    world.post(&format!("{path}/main/cancel"), json!({})).await.is_empty();
    let list = world.get(&path).await.is(StatusCode::OK);
    assert_eq!((&list["data"][0]["state"], &list["done"]), (&json!("cancelled"), &json!(true)));
    world.post(&format!("{path}/main/cancel"), json!({})).await.is_error(StatusCode::CONFLICT, "conflict");
    world.post(&format!("{path}/main/replay"), json!({})).await.is_empty();
    let list = world.get(&path).await.is(StatusCode::OK);
    assert_eq!((&list["data"][0]["state"], &list["data"][0]["trigger"]), (&json!("scheduled"), &json!("manual")));
    let unknown = format!("/api/v1/app/shop/msg/msg_{}/delivery/main/replay", "0".repeat(27));
    world.post(&unknown, json!({})).await.is_error(StatusCode::NOT_FOUND, "not_found");
    world.post(&format!("{path}/nowhere/cancel"), json!({})).await.is_error(StatusCode::NOT_FOUND, "not_found");
}

#[tokio::test]
async fn a_resend_changes_nothing_but_that_it_is_shown() {
    let (world, [first, _]) = two_messages().await;
    kill(&world, 0, START);
    let path = format!("/api/v1/app/shop/msg/{first}/endpoint/main/resend");
    for _ in 0..2 {
        assert_eq!(world.post(&path, json!({})).await.is(StatusCode::ACCEPTED), json!({}));
    }
    let list = world.get("/api/v1/app/shop/dead-letter").await.is(StatusCode::OK);
    let letter = &list["data"][0];
    has_shape(letter, DELIVERY);
    assert_eq!((&letter["msgId"], &letter["state"], &letter["attempt"]), (&json!(first), &json!("dead"), &json!(10)));
    assert_eq!((&letter["resending"], &letter["trigger"]), (&json!(true), &json!("manual")));
    assert_eq!((&letter["reason"], &letter["dueAt"]), (&json!("attempts_exhausted"), &letter["endedAt"]));
    for unknown in [
        format!("/api/v1/app/shop/msg/msg_{}/endpoint/main/resend", "0".repeat(27)),
        format!("/api/v1/app/shop/msg/{first}/endpoint/nowhere/resend"),
        format!("/api/v1/app/nobody/msg/{first}/endpoint/main/resend"),
    ] {
        world.post(&unknown, json!({})).await.is_error(StatusCode::NOT_FOUND, "not_found");
    }
}

#[tokio::test]
async fn deliveries_are_cancelled_by_filter() {
    let (world, _) = two_messages().await;
    let path = "/api/v1/app/shop/delivery/cancel";
    let cases: &[(&str, &[&str])] = &[
        (r#"{"eventType": "a"}"#, &["body", "eventType"]),
        (r#"{"eventTypes": "a"}"#, &["body", "eventTypes"]),
        (r#"{"eventTypes": []}"#, &["body", "eventTypes"]),
        (r#"{"eventTypes": ["a b"]}"#, &["body", "eventTypes"]),
        (r#"{"before": "soon"}"#, &["body", "before"]),
        (r#"{"dueBefore": "soon"}"#, &["body", "dueBefore"]),
        (r#"{"dueAfter": "soon"}"#, &["body", "dueAfter"]),
    ];
    world.refuses(Method::POST, path, cases).await;
    let past = json!({"dueBefore": "2000-01-01T00:00:00Z"});
    assert_eq!(world.post(path, past).await.is(StatusCode::OK), json!({"cancelled": 0}));
    assert_eq!(world.post(path, json!({"eventTypes": ["a"]})).await.is(StatusCode::OK), json!({"cancelled": 1}));
    assert_eq!(world.post(path, json!({"endpointId": "main"})).await.is(StatusCode::OK), json!({"cancelled": 1}));
    assert_eq!(world.post(path, json!({})).await.is(StatusCode::OK), json!({"cancelled": 0}));
}

#[tokio::test]
async fn dead_letters_are_listed_and_replayed_as_a_task() {
    let (world, [first, second]) = two_messages().await;
    kill(&world, 0, START);
    let list = world.get("/api/v1/app/shop/dead-letter").await.is(StatusCode::OK);
    has_shape(&list["data"][0], DELIVERY);
    assert_eq!(messages(&list), [&first]);
    assert_eq!((&list["data"][0]["reason"], &list["data"][0]["attempt"]), (&json!("attempts_exhausted"), &json!(10)));
    assert_eq!(list["data"][0]["endedAt"], "2027-01-15T08:00:00.000Z");
    let pending = world.get("/api/v1/app/shop/delivery").await.is(StatusCode::OK);
    assert_eq!(messages(&pending), [&second]);

    let path = "/api/v1/app/shop/dead-letter/replay";
    let none_named = (r#"{"eventTypes": []}"#, &["body", "eventTypes"][..]);
    world.refuses(Method::POST, path, &[(r#"{"all": true}"#, &["body", "all"]), none_named]).await;
    let filter = json!({"endpointId": "main", "msgId": first, "after": "2026-01-01T00:00:00Z"});
    let task = world.post(path, filter).await.is(StatusCode::ACCEPTED);
    has_shape(&task, "id!string status!string task!string data!object createdAt!date-time updatedAt!date-time");
    assert!(task["id"].as_str().unwrap().starts_with("qtask_"));
    let path = format!("/api/v1/task/{}", task["id"].as_str().unwrap());
    world.fake.state().tasks[0].finished = true;
    world.fake.state().tasks[0].sent = 1;
    let done = world.get(&path).await.is(StatusCode::OK);
    assert_eq!((&done["status"], &done["data"]["messagesSent"]), (&json!("finished"), &json!(1)));
    let stranger = world.with_token(token_of(org(2)));
    for path in [path.as_str(), "/api/v1/task/qtask_x"] {
        stranger.get(path).await.is_error(StatusCode::NOT_FOUND, "not_found");
    }
    let TaskWork::ReplayDeadLetters(filter) = world.fake.state().tasks[0].work.clone() else { panic!("{task}") };
    assert_eq!(filter.message.map(|id| id.to_string()), Some(first));
    assert!(filter.app.is_some() && filter.endpoint.is_some() && filter.after.is_some());
}

#[tokio::test]
async fn a_dead_letter_is_shown_and_purged_by_name() {
    let (world, [first, second]) = two_messages().await;
    kill(&world, 0, START);
    let path = format!("/api/v1/app/shop/dead-letter/{first}/main");
    let letter = world.get(&path).await.is(StatusCode::OK);
    has_shape(&letter, DELIVERY);
    assert_eq!((&letter["msgId"], &letter["state"]), (&json!(first), &json!("dead")));
    let none = [
        format!("/api/v1/app/shop/dead-letter/{second}/main"),
        format!("/api/v1/app/shop/dead-letter/{first}/nowhere"),
        format!("/api/v1/app/shop/dead-letter/msg_{}/main", "0".repeat(27)),
    ];
    for path in &none {
        world.get(path).await.is_error(StatusCode::NOT_FOUND, "not_found");
        world.delete(path).await.is_error(StatusCode::NOT_FOUND, "not_found");
    }
    world.delete(&path).await.is_empty();
    world.get(&path).await.is_error(StatusCode::NOT_FOUND, "not_found");
    world.delete(&path).await.is_error(StatusCode::NOT_FOUND, "not_found");
    let of_message = world.get(&format!("/api/v1/app/shop/msg/{first}/delivery")).await.is(StatusCode::OK);
    assert_eq!(of_message["data"][0]["state"], "cancelled");
}

#[tokio::test]
async fn what_is_in_flight_is_listed_for_the_whole_tenant() {
    let (world, [first, second]) = two_messages().await;
    {
        let mut state = world.fake.state();
        let key = state.deliveries[0].key;
        state.waits.insert(key, Wait::InFlight);
    }
    for path in ["/api/v1/delivery", "/api/v1/app/shop/delivery"] {
        let list = world.get(&format!("{path}?state=in_flight")).await.is(StatusCode::OK);
        assert_eq!(messages(&list), [&first]);
        assert_eq!(list["data"][0]["waits"], json!({"reason": "in_flight"}));
        assert_eq!(messages(&world.get(path).await.is(StatusCode::OK)), [&second, &first]);
    }
    let stranger = world.with_token(token_of(org(2)));
    assert_eq!(stranger.get("/api/v1/delivery").await.is(StatusCode::OK)["data"], json!([]));
}

#[tokio::test]
async fn dead_letters_of_all_applications_are_those_of_the_tenant() {
    let (world, [first, _]) = two_messages().await;
    let stranger = world.with_token(token_of(org(2)));
    stranger.app("theirs").await;
    stranger.endpoint("theirs", "main").await;
    let theirs = stranger.message("theirs", "a").await;
    for index in [0, 2] {
        kill(&world, index, START);
    }
    let list = world.get("/api/v1/dead-letter").await.is(StatusCode::OK);
    assert_eq!(messages(&list), [&first]);
    let list = stranger.get("/api/v1/dead-letter").await.is(StatusCode::OK);
    assert_eq!(messages(&list), [&theirs]);
    let page = world.get("/api/v1/dead-letter?limit=1").await.is(StatusCode::OK);
    assert_eq!((messages(&page), &page["done"]), (vec![first.as_str()], &json!(true)), "{page}");
}
