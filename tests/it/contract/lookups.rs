//! Names in queries and bodies: what they lead to is there and the caller's own,
//! or the answer is that of a name that leads nowhere.

use serde_json::json;

use super::document::Operation;
use super::names::nobodys;
use super::shop::Shop;
use super::values::{VERY_LONG, bytes};
use crate::support::Answer;

const JSON: (&str, &str) = ("content-type", "application/json");
/// Parameters and fields that are names, and what the same is called in paths.
const LOOKED_UP: [(&str, &str); 4] =
    [("endpoint_id", "endpoint_id"), ("endpointId", "endpoint_id"), ("msg_id", "msg_id"), ("msgId", "msg_id")];
/// Its list is by names, and any text has its place in the alphabet.
const BY_NAME: &str = "/api/v1/event-type";

/// Where in a request a name stands.
#[derive(Clone, Copy)]
enum Place {
    Query,
    Body,
}

/// Asks with a name at a place of a request that is right otherwise.
async fn ask(shop: &Shop, operation: &Operation, place: Place, name: &str, value: &str) -> Answer {
    let (mut path, mut body) = (shop.own.path(operation), operation.good_body());
    match place {
        Place::Query => {
            let value: String = url::form_urlencoded::byte_serialize(value.as_bytes()).collect();
            path = format!("{path}?{name}={value}");
        }
        Place::Body => body[name] = json!(value),
    }
    shop.api().ask(&operation.method, &path, &[JSON], bytes(&body)).await
}

/// The names that an operation looks up, with what they are called in paths.
fn looked_up(operation: &Operation) -> Vec<(Place, String, &'static str)> {
    let query = operation.parameters_in("query").map(|parameter| (Place::Query, parameter.name.clone()));
    let fields = operation.body.iter().flat_map(|body| body.fields()).map(|(name, _)| (Place::Body, name));
    let called = |name: &str| LOOKED_UP.iter().find(|(known, _)| *known == name).map(|(_, called)| *called);
    query.chain(fields).filter_map(|(place, name)| called(&name).map(|called| (place, name, called))).collect()
}

#[tokio::test]
async fn a_name_of_another_or_of_nobody_is_404_and_nonsense_is_refused() {
    let (shop, document) = super::shop().await;
    let (mut asked, mut wrong) = (0, Vec::new());
    for operation in &document.operations {
        let before = shop.everything().await;
        for (place, name, called) in looked_up(operation) {
            asked += 1;
            let of = |value: String| {
                let (shop, name) = (&shop, name.clone());
                async move { ask(shop, operation, place, &name, &value).await }
            };
            let nobodys = of(nobodys(shop.own.get(called))).await;
            for others in [&shop.other, &shop.strange] {
                let answer = of(others.get(called).to_owned()).await;
                if answer.status != 404 || answer.json()["code"] != "not_found" || answer.body != nobodys.body {
                    wrong.push(format!("{} {name} of another: {answer:?}, of nobody: {nobodys:?}", operation.name()));
                }
            }
            for nonsense in [String::new(), "a b\u{7}".to_owned(), "a".repeat(VERY_LONG)] {
                let answer = of(nonsense).await;
                if !matches!(answer.status, 404 | 422) {
                    wrong.push(format!("{} {name} that is nonsense: {answer:?}", operation.name()));
                }
            }
        }
        assert_eq!(shop.everything().await, before, "{} did something", operation.name());
    }
    assert!(asked > 5, "{asked} names");
    assert!(wrong.is_empty(), "{}:\n{}", wrong.len(), wrong.join("\n"));
}

#[tokio::test]
async fn an_iterator_that_no_answer_gave_is_refused() {
    let (shop, document) = super::shop().await;
    let mut asked = 0;
    for operation in &document.operations {
        let mut parameters = operation.parameters_in("query");
        if operation.path == BY_NAME || !parameters.any(|parameter| parameter.name == "iterator") {
            continue;
        }
        asked += 1;
        for iterator in ["nonsense!".to_owned(), "0".repeat(VERY_LONG)] {
            let answer = ask(&shop, operation, Place::Query, "iterator", &iterator).await;
            assert_eq!(answer.status, 422, "{}: {answer:?}", operation.name());
            assert_eq!(answer.json()["detail"][0]["loc"], json!(["query", "iterator"]), "{}", operation.name());
        }
    }
    assert!(asked > 10, "{asked} lists");
}

/// Whoever owns one application learns nothing of the others, not even whether
/// they are there.
#[tokio::test]
async fn an_owner_gets_the_same_answer_for_another_application_and_for_none() {
    let (shop, document) = super::shop().await;
    let owner = shop.owner();
    let mut asked = 0;
    for operation in document.operations.iter().filter(|operation| operation.path.contains("{app_id}")) {
        asked += 1;
        let body = bytes(&operation.good_body());
        let nobody = shop.own.with("app_id", &nobodys(shop.own.get("app_id"))).path(operation);
        let nobodys = owner.ask(&operation.method, &nobody, &[JSON], body.clone()).await;
        for names in [&shop.other, &shop.strange] {
            let path = names.path(operation);
            let answer = owner.ask(&operation.method, &path, &[JSON], body.clone()).await;
            assert!(matches!(answer.status, 403 | 404), "{}: {answer:?}", operation.name());
            assert_eq!((answer.status, &answer.body), (nobodys.status, &nobodys.body), "{}", operation.name());
        }
    }
    assert!(asked > 30, "{asked} operations");
}
