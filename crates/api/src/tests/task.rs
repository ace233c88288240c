use http::{Method, StatusCode};
use postrider_model::id::{AppId, TaskId};
use postrider_model::status::MessageStatus;
use postrider_model::task::{BulkReplay, EndpointSpan, Task, TaskWork};
use postrider_model::time::UnixMs;
use serde_json::{Value, json};

use super::client::{LIST, World, has_shape, token_of};
use super::fake::{START, org};

const TASK: &str = "id!string status!string task!string data!object createdAt!date-time updatedAt!date-time";

/// What begins a task over a span of time and takes no more than that.
const SPANS: [&str; 2] = ["recover", "replay-missing"];

async fn shop() -> World {
    let world = World::new();
    world.app("shop").await;
    world.endpoint("shop", "main").await;
    world
}

fn ids(list: &Value) -> Vec<&str> {
    list["data"].as_array().unwrap().iter().map(|task| task["id"].as_str().unwrap()).collect()
}

fn span(world: &World, since: UnixMs, until: Option<UnixMs>) -> EndpointSpan {
    let state = world.fake.state();
    let found = state.config.find_app(org(1), "shop").and_then(|entry| entry.find_endpoint("main")).unwrap();
    EndpointSpan { app: found.app, endpoint: found.id, since, until }
}

#[tokio::test]
async fn a_recover_is_a_task_over_a_span_of_time() {
    let world = shop().await;
    let path = "/api/v1/app/shop/endpoint/main/recover";
    let task = world.post(path, json!({"since": "2027-01-15T07:00:00.0001Z"})).await.is(StatusCode::ACCEPTED);
    has_shape(&task, TASK);
    assert_eq!((&task["status"], &task["task"]), (&json!("running"), &json!("endpoint.recover")));
    assert_eq!(task["data"]["messagesSent"], 0);
    let body = json!({"since": "2027-01-15T07:00:00Z", "until": "2027-01-15T07:30:00Z"});
    world.post(path, body).await.is(StatusCode::ACCEPTED);
    let works: Vec<_> = world.fake.state().tasks.iter().map(|task| task.work.clone()).collect();
    let hour = 3_600_000;
    let from = UnixMs(START.as_u64() - hour);
    let until = UnixMs(START.as_u64() - hour / 2);
    assert_eq!(works[0], TaskWork::Recover(span(&world, UnixMs(from.as_u64() + 1), None)));
    assert_eq!(works[1], TaskWork::Recover(span(&world, from, Some(until))));
}

#[tokio::test]
async fn what_is_missing_is_replayed_over_a_span_of_time() {
    let world = shop().await;
    let path = "/api/v1/app/shop/endpoint/main/replay-missing";
    let body = json!({"since": "2027-01-15T07:00:00Z", "until": null});
    let task = world.post(path, body).await.is(StatusCode::ACCEPTED);
    has_shape(&task, TASK);
    assert_eq!(task["task"], "endpoint.replay", "Svix's name for it");
    let from = UnixMs(START.as_u64() - 3_600_000);
    let work = world.fake.state().tasks[0].work.clone();
    assert_eq!(work, TaskWork::ReplayMissing(span(&world, from, None)));
}

#[tokio::test]
async fn a_bulk_replay_is_narrowed_by_each_of_its_fields() {
    let world = shop().await;
    let path = "/api/v1/app/shop/endpoint/main/bulk-replay";
    let since = json!("2027-01-15T07:00:00Z");
    let task = world.post(path, json!({"since": since})).await.is(StatusCode::ACCEPTED);
    has_shape(&task, TASK);
    assert_eq!(task["task"], "endpoint.bulk-replay");
    let body = json!({
        "since": since, "eventTypes": ["order.paid"], "channel": "eu", "tag": "vip", "status": 2, "statusCodeClass": 500,
    });
    world.post(path, body).await.is(StatusCode::ACCEPTED);
    let works: Vec<_> = world.fake.state().tasks.iter().map(|task| task.work.clone()).collect();
    let span = span(&world, UnixMs(START.as_u64() - 3_600_000), None);
    let all = BulkReplay { span, event_types: None, channel: None, tag: None, status: None, status_class: None };
    assert_eq!(works[0], TaskWork::BulkReplay(all));
    let narrow = BulkReplay {
        span,
        event_types: Some(vec!["order.paid".to_owned()]),
        channel: Some("eu".to_owned()),
        tag: Some("vip".to_owned()),
        status: Some(MessageStatus::Fail),
        status_class: Some(5),
    };
    assert_eq!(works[1], TaskWork::BulkReplay(narrow));

    let cases: Vec<(String, [&str; 2])> = [
        (r#""eventTypes": []"#, "eventTypes"),
        (r#""eventTypes": ["no spaces"]"#, "eventTypes"),
        (r#""eventTypes": "order.paid""#, "eventTypes"),
        (r#""channel": """#, "channel"),
        (r#""channel": 7"#, "channel"),
        (r#""tag": "a b""#, "tag"),
        (r#""status": 1"#, "status"),
        (r#""status": 3"#, "status"),
        (r#""status": 5"#, "status"),
        (r#""status": -1"#, "status"),
        (r#""status": "2""#, "status"),
        (r#""statusCodeClass": 250"#, "statusCodeClass"),
        (r#""statusCodeClass": 600"#, "statusCodeClass"),
        (r#""until": "2027-01-15T06:59:59Z""#, "until"),
        (r#""limit": 7"#, "limit"),
    ]
    .map(|(field, name)| (format!(r#"{{"since": "2027-01-15T07:00:00Z", {field}}}"#), ["body", name]))
    .into();
    let cases: Vec<(&str, &[&str])> = cases.iter().map(|(body, loc)| (body.as_str(), loc.as_slice())).collect();
    world.refuses(Method::POST, path, &cases).await;
    world.refuses(Method::POST, path, &[("{}", &["body", "since"])]).await;
}

#[tokio::test]
async fn a_span_of_time_that_makes_no_sense_is_refused() {
    let world = shop().await;
    let cases: &[(&str, &[&str])] = &[
        ("{}", &["body", "since"]),
        (r#"{"since": null}"#, &["body", "since"]),
        (r#"{"since": ""}"#, &["body", "since"]),
        (r#"{"since": 7}"#, &["body", "since"]),
        (r#"{"since": "yesterday"}"#, &["body", "since"]),
        (r#"{"since": "2027-01-15T08:00:01Z"}"#, &["body", "since"]),
        (r#"{"since": "2027-01-15T07:00:00Z", "until": "2027-01-15T06:59:59Z"}"#, &["body", "until"]),
        (r#"{"since": "2027-01-15T07:00:00Z", "until": "then"}"#, &["body", "until"]),
        (r#"{"since": "2027-01-15T07:00:00Z", "eventTypes": []}"#, &["body", "eventTypes"]),
    ];
    for operation in SPANS {
        world.refuses(Method::POST, &format!("/api/v1/app/shop/endpoint/main/{operation}"), cases).await;
    }
}

#[tokio::test]
async fn a_span_is_of_an_endpoint_that_the_caller_may_reach() {
    let world = shop().await;
    world.app("other").await;
    let endpoint = span(&world, START, None).endpoint;
    let body = json!({"since": "2027-01-15T07:00:00Z"});
    let stranger = world.with_token(token_of(org(2)));
    for (caller, app, endpoint) in [
        (&world, "shop", "nowhere".to_owned()),
        (&world, "other", endpoint.to_string()),
        (&stranger, "shop", endpoint.to_string()),
    ] {
        for operation in SPANS.into_iter().chain(["bulk-replay"]) {
            let path = format!("/api/v1/app/{app}/endpoint/{endpoint}/{operation}");
            caller.post(&path, body.clone()).await.is_error(StatusCode::NOT_FOUND, "not_found");
        }
    }
}

#[tokio::test]
async fn tasks_are_listed_newest_first_to_those_who_may_reach_the_application() {
    let world = shop().await;
    let recover = "/api/v1/app/shop/endpoint/main/recover";
    let mut made = vec![];
    for _ in 0..3 {
        let task = world.post(recover, json!({"since": "2027-01-15T07:00:00Z"})).await.is(StatusCode::ACCEPTED);
        made.push(task["id"].as_str().unwrap().to_owned());
    }
    let ours = world.post("/api/v1/app/shop/dead-letter/replay", json!({})).await.is(StatusCode::ACCEPTED);
    world.fake.state().tasks[1].finished = true;

    let list = world.get("/api/v1/background-task").await.is(StatusCode::OK);
    has_shape(&list, LIST);
    has_shape(&list["data"][0], TASK);
    assert_eq!(ids(&list), [&made[2], &made[1], &made[0]], "only what Svix's SDKs can read");
    assert_eq!(ids(&world.get("/api/v1/task").await.is(StatusCode::OK)).len(), 4);
    for (query, expected) in [
        ("status=finished", vec![&made[1]]),
        ("status=running", vec![&made[2], &made[0]]),
        ("status=failed", vec![]),
        ("task=endpoint.recover&order=ascending", vec![&made[0], &made[1], &made[2]]),
    ] {
        let list = world.get(&format!("/api/v1/background-task?{query}")).await.is(StatusCode::OK);
        assert_eq!(ids(&list), expected, "{query}");
    }
    let list = world.get("/api/v1/background-task?task=dead_letter.replay").await.is(StatusCode::OK);
    assert_eq!(ids(&list), [ours["id"].as_str().unwrap()]);
    for (query, name) in [("status=done", "status"), ("task=sdk.generate", "task"), ("iterator=x", "iterator")] {
        world.get(&format!("/api/v1/background-task?{query}")).await.is_invalid(&["query", name], query);
    }
    let page = world.get("/api/v1/background-task?limit=2").await.is(StatusCode::OK);
    assert_eq!((ids(&page).len(), &page["done"]), (2, &json!(false)));
    let next = format!("/api/v1/background-task?limit=2&iterator={}", page["iterator"].as_str().unwrap());
    assert_eq!(ids(&world.get(&next).await.is(StatusCode::OK)), [&made[0]]);

    let one = format!("/api/v1/background-task/{}", made[0]);
    assert_eq!(world.get(&one).await.is(StatusCode::OK)["id"], made[0]);
    let stranger = world.with_token(token_of(org(2)));
    assert!(ids(&stranger.get("/api/v1/background-task").await.is(StatusCode::OK)).is_empty());
    stranger.get(&one).await.is_error(StatusCode::NOT_FOUND, "not_found");
}

#[tokio::test]
async fn a_task_of_an_application_that_is_gone_is_gone() {
    let world = shop().await;
    let id = TaskId(world.fake.state().new_id());
    let app = AppId(world.fake.state().new_id());
    let work = TaskWork::Recover(EndpointSpan { app, ..span(&world, START, None) });
    let task = Task { id, work, sent: 0, finished: false, created: START, updated: START };
    world.fake.state().tasks.push(task);
    world.get(&format!("/api/v1/task/{id}")).await.is_error(StatusCode::NOT_FOUND, "not_found");
    assert!(ids(&world.get("/api/v1/task").await.is(StatusCode::OK)).is_empty());
}
