//! Who may reach what: nobody without a token, and nothing of others.

use serde_json::Value;

use super::document::Operation;
use super::shop::Names;
use super::values::bytes;
use crate::support::Api;

const JSON: (&str, &str) = ("content-type", "application/json");

#[tokio::test]
async fn nothing_but_health_and_descriptions_is_answered_without_a_token() {
    let (shop, document) = super::shop().await;
    let nobody = shop.without_token();
    let mut open = Vec::new();
    let before = shop.everything().await;
    for operation in &document.operations {
        let answer = ask(&nobody, operation, &shop.own).await;
        if operation.needs_token {
            assert_eq!((answer.0, &answer.1["code"]), (401, &"authentication_failed".into()), "{}", operation.name());
        } else {
            assert!((200..300).contains(&answer.0), "{}: {answer:?}", operation.name());
            open.push(operation.path.as_str());
        }
    }
    assert_eq!(shop.everything().await, before);
    open.sort_unstable();
    let expected =
        ["/api/v1/health", "/api/v1/health/ping", "/api/v1/openapi.json", "/docs", "/health/live", "/health/ready"];
    assert_eq!(open, expected);
}

/// Ids of another application, or of another tenant, are answered as those of
/// nobody, to the byte.
#[tokio::test]
async fn what_is_anothers_is_not_there() {
    let (shop, document) = super::shop().await;
    let api = shop.api();
    let mut wrong = Vec::new();
    for operation in &document.operations {
        let before = shop.everything().await;
        for parameter in operation.parameters_in("path") {
            let name = parameter.name.as_str();
            let nobodys = shop.own.with(name, &nobodys(shop.own.get(name)));
            let others = [("another application", &shop.other), ("another tenant", &shop.strange)];
            // These belong to the tenant, or to one application that is not named in the path.
            let is_tenants = matches!(name, "app_id" | "event_type_name" | "task_id");
            for (whose, names) in others.into_iter().skip(usize::from(is_tenants)) {
                if makes_its_own(operation, name) {
                    continue;
                }
                let anothers = ask(&api, operation, &shop.own.with(name, names.get(name))).await;
                let nobodys = ask(&api, operation, &nobodys).await;
                if anothers.0 != 404 || anothers.1["code"] != "not_found" || anothers != nobodys {
                    wrong.push(format!(
                        "{} {{{name}}} of {whose}: {anothers:?}, of nobody: {nobodys:?}",
                        operation.name()
                    ));
                }
            }
        }
        let after = shop.everything().await;
        assert_eq!(before, after, "{} did something", operation.name());
    }
    assert!(wrong.is_empty(), "{}:\n{}", wrong.len(), wrong.join("\n"));
}

/// Event types are found by name, and each tenant has its own of the same name.
fn makes_its_own(operation: &Operation, name: &str) -> bool {
    operation.method == "PUT" && name == "event_type_name"
}

/// An id of the same kind that was never given to anything.
pub(super) fn nobodys(id: &str) -> String {
    let (prefix, digits) = id.split_once('_').unwrap_or(("", id));
    match prefix {
        "" => format!("never.{digits}"),
        prefix => format!("{prefix}_{}", digits.chars().rev().collect::<String>().replacen(|_| true, "0", 1)),
    }
}

async fn ask(api: &Api, operation: &Operation, names: &Names) -> (u16, Value) {
    let body = bytes(&operation.good_body());
    let answer = api.ask(&operation.method, &names.path(operation), &[JSON], body).await;
    let said = serde_json::from_slice(&answer.body).unwrap_or_default();
    (answer.status, said)
}
