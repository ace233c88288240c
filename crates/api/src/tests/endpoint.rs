use http::{Method, StatusCode};
use serde_json::json;

use super::client::{ENDPOINT, LIST, World, has_shape};
use super::fake::org;

const SECRET: &str = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";
const PAIR: &str = "whsk_6Xb/dCcHpPea21PS1N9VY/NZW723CEc77N4rJCubMbfVKIDij2HKpMKkioLlX0dRqSKJp4AJ6p9lMicMFs6Kvg==";
const PUBLIC: &str = "whpk_1SiA4o9hyqTCpIqC5V9HUakiiaeACeqfZTInDBbOir4=";

#[tokio::test]
async fn an_endpoint_is_created_read_changed_and_deleted() {
    let world = World::new();
    world.app("shop").await;
    let body = json!({
        "url": "https://user:pass@example.com/hook", "uid": "main", "description": "d", "eventTypes": ["order.paid"],
        "channels": ["a"], "throttleRate": 3, "metadata": {"k": "v"}, "disabled": true, "version": 7,
        "headers": {"x-one": "1"}, "timeoutMs": 5000,
    });
    let made = world.post("/api/v1/app/shop/endpoint", body).await.is(StatusCode::CREATED);
    has_shape(&made, ENDPOINT);
    assert_eq!(made["filterTypes"], json!(["order.paid"]));
    assert_eq!((&made["rateLimit"], &made["version"], &made["disabled"]), (&json!(3), &json!(1), &json!(true)));
    assert_eq!(made["url"], "https://***@example.com/hook");
    let id = made["id"].as_str().unwrap();
    for name in ["main", id] {
        assert_eq!(world.get(&format!("/api/v1/app/shop/endpoint/{name}")).await.is(StatusCode::OK), made);
    }
    let list = world.get("/api/v1/app/shop/endpoint").await.is(StatusCode::OK);
    has_shape(&list, LIST);
    assert_eq!(list["data"], json!([made]));

    let path = format!("/api/v1/app/shop/endpoint/{id}");
    let patched = world.patch(&path, json!({"filterTypes": null, "disabled": false})).await.is(StatusCode::OK);
    assert_eq!((&patched["eventTypes"], &patched["disabled"]), (&json!(null), &json!(false)));
    assert_eq!((&patched["channels"], &patched["throttleRate"]), (&json!(["a"]), &json!(3)));

    let replaced = world.put(&path, json!({"url": "https://example.com/2"})).await.is(StatusCode::OK);
    assert_eq!((&replaced["uid"], &replaced["channels"]), (&json!(null), &json!(null)));
    // What Svix's operation does not know stays unless it is named.
    assert_eq!(replaced["timeoutMs"], 5000);
    let headers = world.get(&format!("{path}/headers")).await.is(StatusCode::OK);
    assert_eq!(headers["headers"], json!({"x-one": "1"}));

    world.delete(&path).await.is_empty();
    world.get(&path).await.is_error(StatusCode::NOT_FOUND, "not_found");
}

#[tokio::test]
async fn put_creates_an_endpoint_under_its_uid() {
    let world = World::new();
    world.app("shop").await;
    let body = json!({"url": "https://example.com"});
    let path = "/api/v1/app/shop/endpoint/main";
    let made = world.put(path, body.clone()).await.is(StatusCode::CREATED);
    assert_eq!(made["uid"], "main");
    assert_eq!(world.put(path, body.clone()).await.is(StatusCode::OK)["id"], made["id"]);
    let conflict = json!({"url": "https://example.com", "uid": "main"});
    world.post("/api/v1/app/shop/endpoint", conflict).await.is_error(StatusCode::CONFLICT, "conflict");
    let unknown = format!("/api/v1/app/shop/endpoint/ep_{}", "0".repeat(27));
    world.put(&unknown, body).await.is_error(StatusCode::NOT_FOUND, "not_found");
}

#[tokio::test]
async fn user_name_and_password_of_a_url_are_never_shown_and_stay_while_their_place_does() {
    let world = World::new();
    world.app("shop").await;
    let (list, path) = ("/api/v1/app/shop/endpoint", "/api/v1/app/shop/endpoint/main");
    let stored = || {
        let state = world.fake.state();
        let app = state.config.find_app(org(1), "shop").expect("it is there");
        app.find_endpoint("main").expect("it is there").fields.url.clone()
    };
    let body = json!({"url": "https://us%2Fer:p%40ss@example.com/hook", "uid": "main"});
    let made = world.post(list, body).await.is(StatusCode::CREATED);
    assert_eq!(made["url"], "https://***@example.com/hook");
    assert_eq!(world.get(path).await.is(StatusCode::OK)["url"], made["url"]);
    assert_eq!(world.get(list).await.is(StatusCode::OK)["data"][0]["url"], made["url"]);

    // What was shown may be written back.
    assert_eq!(world.put(path, json!({"url": made["url"]})).await.is(StatusCode::OK)["url"], made["url"]);
    assert_eq!(stored(), "https://us%2Fer:p%40ss@example.com/hook");
    world.patch(path, json!({"url": "https://***@example.com/other"})).await.is(StatusCode::OK);
    assert_eq!(stored(), "https://us%2Fer:p%40ss@example.com/other");
    // To another place they do not go along.
    for url in ["https://***@example.net/", "https://***@example.com:8443/", "http://***@example.com/"] {
        let body = json!({ "url": url }).to_string();
        let cases: &[(&str, &[&str])] = &[(&body, &["body", "url"])];
        world.refuses(Method::PATCH, path, cases).await;
        world.refuses(Method::PUT, path, cases).await;
    }
    // Without the mask there are none any more.
    world.patch(path, json!({"url": "https://example.com/other"})).await.is(StatusCode::OK);
    assert_eq!(stored(), "https://example.com/other");
}

#[tokio::test]
async fn a_secret_is_shown_and_rotated() {
    let world = World::new();
    world.app("shop").await;
    let body = json!({"url": "https://example.com", "secret": SECRET, "uid": "main"});
    world.post("/api/v1/app/shop/endpoint", body).await.is(StatusCode::CREATED);
    let path = "/api/v1/app/shop/endpoint/main/secret";
    assert_eq!(world.get(path).await.is(StatusCode::OK), json!({"key": SECRET}));
    let answer = world.post(&format!("{path}/rotate"), json!({})).await.is(StatusCode::OK);
    assert_eq!(world.get(path).await.is(StatusCode::OK), answer);
    let made = answer["key"].as_str().unwrap();
    assert!(made.starts_with("whsec_") && made != SECRET);
    // The prefix may be left out.
    let body = json!({"key": &SECRET[6..], "gracePeriodSeconds": 0});
    assert_eq!(world.post(&format!("{path}/rotate"), body).await.is(StatusCode::OK), json!({"key": SECRET}));
    assert_eq!(world.get(path).await.is(StatusCode::OK), json!({"key": SECRET}));
    // Of a key pair only the public half is shown.
    let answer = world.post(&format!("{path}/rotate"), json!({"key": PAIR})).await.is(StatusCode::OK);
    assert_eq!(answer, json!({"key": PUBLIC}));
    assert_eq!(world.get(path).await.is(StatusCode::OK), json!({"key": PUBLIC}));

    let public = json!({ "key": PUBLIC }).to_string();
    let halves = json!({ "key": format!("whsk_{}{}", "A".repeat(43), &PAIR[48..]) }).to_string();
    let cases: &[(&str, &[&str])] = &[
        (r#"{"key": "whsec_%"}"#, &["body", "key"]),
        (r#"{"key": "w"}"#, &["body", "key"]),
        (r#"{"key": "whsk_6Xb/dCcHpPea21PS1N9VY/NZW723CEc77N4rJCubMbc="}"#, &["body", "key"]),
        (&public, &["body", "key"]),
        (&halves, &["body", "key"]),
        (r#"{"key": "hwsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"}"#, &["body", "key"]),
        (r#"{"gracePeriodSeconds": 604801}"#, &["body", "gracePeriodSeconds"]),
        (r#"{"gracePeriodSeconds": -1}"#, &["body", "gracePeriodSeconds"]),
    ];
    world.refuses(Method::POST, &format!("{path}/rotate"), cases).await;
}

#[tokio::test]
async fn at_most_ten_old_secrets_sign_at_once() {
    let world = World::new();
    world.app("shop").await;
    world.endpoint("shop", "main").await;
    let path = "/api/v1/app/shop/endpoint/main/secret";
    for _ in 0..10 {
        world.post(&format!("{path}/rotate"), json!({})).await.is(StatusCode::OK);
    }
    let last = world.get(path).await.is(StatusCode::OK);
    world.post(&format!("{path}/rotate"), json!({})).await.is_error(StatusCode::CONFLICT, "limit_reached");
    assert_eq!(world.get(path).await.is(StatusCode::OK), last);
    // Without a grace period all old ones end, so there is always a way out.
    world.post(&format!("{path}/rotate"), json!({"gracePeriodSeconds": 0})).await.is(StatusCode::OK);
    world.post(&format!("{path}/rotate"), json!({})).await.is(StatusCode::OK);
}

#[tokio::test]
async fn a_name_that_does_not_resolve_is_taken_and_a_uid_that_looks_like_an_id_is_not() {
    let world = World::new();
    world.app("shop").await;
    let list = "/api/v1/app/shop/endpoint";
    world.post(list, json!({"url": "https://nowhere.invalid/hook"})).await.is(StatusCode::CREATED);
    let cases: &[(&str, &[&str])] = &[(r#"{"url": "https://nowhere.invalid/", "uid": "ep_mine"}"#, &["body", "uid"])];
    world.refuses(Method::POST, list, cases).await;
    let cases: &[(&str, &[&str])] = &[(r#"{"name": "shop", "uid": "app_mine"}"#, &["body", "uid"])];
    world.refuses(Method::POST, "/api/v1/app", cases).await;
}

#[tokio::test]
async fn headers_are_set_merged_and_shown_without_credentials() {
    let world = World::new();
    world.app("shop").await;
    world.endpoint("shop", "main").await;
    let path = "/api/v1/app/shop/endpoint/main/headers";
    world.put(path, json!({"headers": {"Authorization": "Bearer x", "X-One": "1"}})).await.is_empty();
    let shown = world.get(path).await.is(StatusCode::OK);
    assert_eq!(shown, json!({"headers": {"X-One": "1"}, "sensitive": ["Authorization"]}));
    world.patch(path, json!({"headers": {"x-one": "2", "authorization": null, "x-two": "3"}})).await.is_empty();
    let shown = world.get(path).await.is(StatusCode::OK);
    assert_eq!(shown, json!({"headers": {"x-one": "2", "x-two": "3"}, "sensitive": []}));
    let cases: &[(&str, &[&str])] = &[
        ("{}", &["body", "headers"]),
        (r#"{"headers": {"Host": "x"}}"#, &["body", "headers"]),
        (r#"{"headers": {"webhook-id": "x"}}"#, &["body", "headers"]),
        (r#"{"headers": {"x": 1}}"#, &["body", "headers", "x"]),
        (r#"{"headers": {"x": "a\nb"}}"#, &["body", "headers"]),
    ];
    world.refuses(Method::PUT, path, cases).await;
    world.refuses(Method::PATCH, path, cases).await;
}

#[tokio::test]
async fn bad_fields_are_named_and_nothing_is_stored() {
    let world = World::new();
    world.app("shop").await;
    let with = |rest: &str| format!(r#"{{"url": "https://example.com", {rest}}}"#);
    let bodies = [
        (with(r#""eventTypes": ["a b"]"#), "eventTypes"),
        (with(r#""filterTypes": []"#), "filterTypes"),
        (with(r#""channels": []"#), "channels"),
        (with(r#""throttleRate": 65536"#), "throttleRate"),
        (with(r#""uid": "ep_x""#), "uid"),
        (with(r#""headers": {"content-length": "1"}"#), "headers"),
        (with(r#""timeoutMs": 999"#), "timeoutMs"),
        (with(r#""disabled": "yes""#), "disabled"),
        (r#"{"url": "https://127.0.0.1/x"}"#.to_owned(), "url"),
        (r#"{"url": "ftp://example.com"}"#.to_owned(), "url"),
        (r#"{"url": "http:///x"}"#.to_owned(), "url"),
        (r#"{"url": "http://example.com:0/"}"#.to_owned(), "url"),
        (r#"{"url": "example.com"}"#.to_owned(), "url"),
        (r#"{"url": "https://***@example.com/"}"#.to_owned(), "url"),
        (r#"{"url": ""}"#.to_owned(), "url"),
        (r#"{}"#.to_owned(), "url"),
    ];
    for (body, field) in &bodies {
        let cases: &[(&str, &[&str])] = &[(body, &["body", field])];
        world.refuses(Method::POST, "/api/v1/app/shop/endpoint", cases).await;
        world.refuses(Method::PUT, "/api/v1/app/shop/endpoint/main", cases).await;
    }
    let secret = with(r#""secret": "whsec_d3Jvbmc=""#);
    world.refuses(Method::POST, "/api/v1/app/shop/endpoint", &[(&secret, &["body", "secret"])]).await;
    world.endpoint("shop", "main").await;
    let cases: &[(&str, &[&str])] = &[
        (r#"{"url": "http://127.0.0.1"}"#, &["body", "url"]),
        (r#"{"url": null}"#, &["body", "url"]),
        (r#"{"description": null}"#, &["body", "description"]),
        (r#"{"eventTypes": []}"#, &["body", "eventTypes"]),
        (r#"{"headers": {"x-a": "1", "X-A": "2"}}"#, &["body", "headers"]),
    ];
    world.refuses(Method::PATCH, "/api/v1/app/shop/endpoint/main", cases).await;
}

#[tokio::test]
async fn a_secret_is_not_changed_by_put_or_patch() {
    let world = World::new();
    world.app("shop").await;
    let body = json!({"url": "https://example.com", "secret": SECRET, "uid": "main"});
    world.post("/api/v1/app/shop/endpoint", body).await.is(StatusCode::CREATED);
    let path = "/api/v1/app/shop/endpoint/main";
    let body = json!({"url": "https://example.com", "secret": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"}).to_string();
    let cases: &[(&str, &[&str])] = &[(&body, &["body", "secret"])];
    world.refuses(Method::PATCH, path, cases).await;
    world.refuses(Method::PUT, path, cases).await;
    world.refuses(Method::PUT, "/api/v1/app/shop/endpoint/other", cases).await;
    assert_eq!(world.get(&format!("{path}/secret")).await.is(StatusCode::OK), json!({"key": SECRET}));
    // What is not there is not refused.
    world.patch(path, json!({"secret": null})).await.is(StatusCode::OK);
}

#[tokio::test]
async fn an_endpoint_is_paused_and_goes_on() {
    let world = World::new();
    world.app("shop").await;
    world.endpoint("shop", "main").await;
    let path = "/api/v1/app/shop/endpoint/main";
    assert_eq!(world.post(&format!("{path}/pause"), json!({})).await.is(StatusCode::OK)["paused"], true);
    assert_eq!(world.get(path).await.is(StatusCode::OK)["paused"], true);
    let status = world.get("/api/v1/status").await.is(StatusCode::OK);
    assert_eq!((&status["endpoints"], &status["endpointsPaused"]), (&json!(1), &json!(1)));
    assert_eq!(world.post(&format!("{path}/resume"), json!({})).await.is(StatusCode::OK)["paused"], false);
}

/// The scheduler hears of an endpoint a moment after its creation was answered.
#[tokio::test]
async fn an_endpoint_that_the_scheduler_has_not_heard_of_has_its_flow_all_the_same() {
    let world = World::new();
    world.app("shop").await;
    for (disabled, held) in [(false, json!(null)), (true, json!("endpoint_disabled"))] {
        let body = json!({"url": "https://example.com/hook", "disabled": disabled});
        let made = world.post("/api/v1/app/shop/endpoint", body).await.is(StatusCode::CREATED);
        let id = made["id"].as_str().unwrap();
        let flow = world.get(&format!("/api/v1/app/shop/endpoint/{id}/flow")).await.is(StatusCode::OK);
        let expected = json!({
            "held": held, "breaker": "closed", "openUntil": null, "inFlight": 0, "allowedInFlight": 1,
            "waiting": 0, "waits": null, "failingSince": null,
        });
        assert_eq!(flow, expected);
    }
}
