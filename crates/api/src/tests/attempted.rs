use http::{Method, StatusCode};
use postrider_model::delivery::{DeadReason, DeliveryState};
use postrider_model::explain::Wait;
use serde_json::{Value, json};

use super::client::{LIST, World, has_shape, token_of};
use super::fake::{START, org};

const ENDPOINT_MESSAGE: &str = "channels:array eventId:string eventType!string id!string nextAttempt:date-time \
     payload!object status!integer statusText!string timestamp!date-time";
const MESSAGE_ENDPOINT: &str = "channels:array createdAt!date-time description!string disabled:boolean \
     eventTypes:array id!string nextAttempt:date-time status!integer statusText!string throttleRate:integer \
     uid:string updatedAt!date-time url!string";
const STATS: &str = "canceled!integer fail!integer pending!integer sending!integer success!integer";

/// Five messages that wait, are in flight, were delivered, are dead, and were cancelled.
async fn five() -> (World, Vec<String>) {
    let world = World::new();
    world.app("shop").await;
    world.endpoint("shop", "main").await;
    let mut ids = vec![];
    for event_type in ["a", "b", "c", "d", "e"] {
        ids.push(world.message("shop", event_type).await);
    }
    let mut state = world.fake.state();
    let key = state.deliveries[1].key;
    state.waits.insert(key, Wait::InFlight);
    state.deliveries[2].state = DeliveryState::Delivered { at: START, attempt: 1 };
    state.deliveries[3].state = DeliveryState::Dead { at: START, reason: DeadReason::AttemptsExhausted, attempt: 9 };
    state.deliveries[4].state = DeliveryState::Cancelled { at: START, attempt: 0 };
    drop(state);
    (world, ids)
}

fn names(list: &Value) -> String {
    list["data"].as_array().unwrap().iter().map(|message| message["eventType"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn the_messages_of_an_endpoint_say_where_they_stand() {
    let (world, ids) = five().await;
    let base = "/api/v1/app/shop/endpoint/main/msg";
    let list = world.get(base).await.is(StatusCode::OK);
    has_shape(&list, LIST);
    for message in list["data"].as_array().unwrap() {
        has_shape(message, ENDPOINT_MESSAGE);
    }
    let messages = list["data"].as_array().unwrap().iter();
    let statuses: Vec<_> = messages.map(|message| json!([message["status"], message["statusText"]])).collect();
    let expected = json!([[0, "success"], [2, "fail"], [0, "success"], [3, "sending"], [1, "pending"]]);
    assert_eq!(Value::from(statuses), expected);
    assert_eq!(list["data"][4]["nextAttempt"], list["data"][4]["timestamp"]);
    for ended in 0..4 {
        assert_eq!(list["data"][ended]["nextAttempt"], Value::Null);
    }
    assert_eq!((&list["data"][4]["id"], &list["data"][4]["payload"]), (&json!(ids[0]), &json!({"n": 1})));

    for (query, expected) in [
        ("", "edcba"),
        ("order=ascending", "abcde"),
        ("status=0", "ec"),
        ("status=1", "a"),
        ("status=2", "d"),
        ("status=3", "b"),
        ("status=4", "e"),
        ("status=0&expanded_statuses=true", "c"),
        ("event_types=a,d", "da"),
        ("channel=x", ""),
        ("tag=x", ""),
        ("before=2000-01-01T00:00:00Z", ""),
        ("after=2000-01-01T00:00:00Z", "edcba"),
        ("limit=2", "ed"),
        ("with_content=false&status=1", "a"),
    ] {
        let list = world.get(&format!("{base}?{query}")).await.is(StatusCode::OK);
        assert_eq!(names(&list), expected, "{query}");
    }
    let page = world.get(&format!("{base}?limit=2")).await.is(StatusCode::OK);
    let next = world.get(&format!("{base}?limit=2&iterator={}", page["iterator"].as_str().unwrap())).await;
    let next = next.is(StatusCode::OK);
    assert_eq!(names(&next), "cb");
    let back = world.get(&format!("{base}?limit=2&iterator={}", next["prevIterator"].as_str().unwrap())).await;
    assert_eq!(names(&back.is(StatusCode::OK)), "ed");
    let all = world.get(&format!("{base}?expanded_statuses=true&limit=1")).await.is(StatusCode::OK);
    assert_eq!((&all["data"][0]["status"], &all["data"][0]["statusText"]), (&json!(4), &json!("canceled")));
    let bare = world.get(&format!("{base}?with_content=false&limit=1")).await.is(StatusCode::OK);
    assert_eq!(bare["data"][0]["payload"], json!({}));
    for (query, name) in [("status=5", "status"), ("status=x", "status"), ("expanded_statuses=1", "expanded_statuses")]
    {
        world.get(&format!("{base}?{query}")).await.is_invalid(&["query", name], query);
    }
    world.get("/api/v1/app/shop/endpoint/other/msg").await.is_error(StatusCode::NOT_FOUND, "not_found");
    let stranger = world.with_token(token_of(org(2)));
    stranger.get(base).await.is_error(StatusCode::NOT_FOUND, "not_found");
}

#[tokio::test]
async fn the_endpoints_of_a_message_say_where_it_stands() {
    let world = World::new();
    world.app("shop").await;
    let ids = [world.endpoint("shop", "one").await, world.endpoint("shop", "two").await];
    let message = world.message("shop", "a").await;
    world.fake.state().deliveries[0].state = DeliveryState::Delivered { at: START, attempt: 1 };
    let base = format!("/api/v1/app/shop/msg/{message}/endpoint");
    let list = world.get(&base).await.is(StatusCode::OK);
    has_shape(&list, LIST);
    has_shape(&list["data"][0], MESSAGE_ENDPOINT);
    let shown = |list: &Value| -> Vec<(Value, Value)> {
        list["data"]
            .as_array()
            .unwrap()
            .iter()
            .map(|found| (found["id"].clone(), found["statusText"].clone()))
            .collect()
    };
    let (one, two) = ((json!(ids[0]), json!("success")), (json!(ids[1]), json!("pending")));
    assert_eq!(shown(&list), [two.clone(), one.clone()]);
    assert_eq!(list["data"][0]["nextAttempt"].as_str().map(str::len), Some(24));
    let page = world.get(&format!("{base}?limit=1")).await.is(StatusCode::OK);
    assert_eq!((shown(&page), &page["done"]), (vec![two.clone()], &json!(false)));
    let next = world.get(&format!("{base}?limit=1&iterator={}", page["iterator"].as_str().unwrap())).await;
    let next = next.is(StatusCode::OK);
    assert_eq!((shown(&next), &next["done"]), (vec![one], &json!(true)));

    world.delete("/api/v1/app/shop/endpoint/one").await.is_empty();
    assert_eq!(shown(&world.get(&base).await.is(StatusCode::OK)), [two]);
    world.get("/api/v1/app/shop/msg/none/endpoint").await.is_error(StatusCode::NOT_FOUND, "not_found");
}

#[tokio::test]
async fn stats_count_deliveries_by_their_state() {
    let (world, _) = five().await;
    let base = "/api/v1/app/shop/endpoint/main/stats";
    let stats = world.get(base).await.is(StatusCode::OK);
    has_shape(&stats, STATS);
    let expected =
        json!({"success": 1, "pending": 2, "sending": 0, "fail": 1, "canceled": 1, "filtered": 0, "since": null});
    assert_eq!(stats, expected);
    let since = world.get(&format!("{base}?since=2027-01-01T00:00:00Z&until=2027-01-02T00:00:00Z")).await;
    assert_eq!(since.is(StatusCode::OK)["since"], "2027-01-01T00:00:00.000Z");
    for (query, name) in [
        ("since=yesterday", "since"),
        ("until=", "until"),
        ("since=2027-01-02T00:00:00Z&until=2027-01-01T00:00:00Z", "until"),
    ] {
        world.get(&format!("{base}?{query}")).await.is_invalid(&["query", name], query);
    }
    world.get("/api/v1/app/shop/endpoint/other/stats").await.is_error(StatusCode::NOT_FOUND, "not_found");
    let answer = world.raw(Method::POST, base, &[], "").await;
    answer.is_error(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed");
}
