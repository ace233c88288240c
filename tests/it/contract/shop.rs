//! Something to ask for: two applications of one tenant, and one of another.

use serde_json::{Value, json};

use super::document::Operation;
use crate::support::{Api, Metrics, Receiver, Server, Setup};

/// A server with applications, endpoints, an event type, messages that were
/// delivered, a dead letter that was replayed by a task, and nothing going on.
pub(super) struct Shop {
    server: Server,
    _receiver: Receiver,
    /// Speaks for another tenant.
    stranger: Api,
    /// Speaks for the first application.
    owner: Api,
    pub(super) own: Names,
    /// Names of another application of the tenant.
    pub(super) other: Names,
    /// Names of another tenant.
    pub(super) strange: Names,
}

/// What the parts of a path in braces may be.
#[derive(Clone, Debug)]
pub(super) struct Names(Vec<(&'static str, String)>);

impl Names {
    pub(super) fn get(&self, name: &str) -> &str {
        let found = self.0.iter().find(|(known, _)| *known == name);
        &found.unwrap_or_else(|| panic!("the tests have nothing for {{{name}}}")).1
    }

    /// These names, but one of them as another has it.
    pub(super) fn with(&self, name: &str, value: &str) -> Self {
        let replaced =
            self.0.iter().map(|(known, old)| (*known, if *known == name { value.to_owned() } else { old.clone() }));
        Self(replaced.collect())
    }

    /// The path of an operation.
    pub(super) fn path(&self, operation: &Operation) -> String {
        let parts = operation.path.split('/').map(|part| {
            part.strip_prefix('{').and_then(|name| name.strip_suffix('}')).map_or(part, |name| self.get(name))
        });
        parts.collect::<Vec<_>>().join("/")
    }
}

impl Shop {
    pub(super) async fn open() -> Self {
        // Every operation is asked without a token and is to say why it is refused.
        let setup = Setup::new()
            .set("limits.body_bytes", "8192")
            .set("retry.schedule", "0")
            .set("api.refusals_per_second_per_address", "0");
        let (server, receiver) = (setup.start().await, Receiver::start().await);
        let api = server.api();
        let token = server.run(&["token", "create", "--org", "org_0ERdjjO8mz4LTB1vMSiOjvaTlO7"]).json();
        let stranger = server.api_over_tcp(token["token"].as_str());
        let own = stock(&api, "shop", &receiver).await;
        let other = stock(&api, "other", &receiver).await;
        let strange = stock(&stranger, "strange", &receiver).await;
        let token = server.run(&["token", "create", "--app", own.get("app_id")]).json();
        let owner = server.api_over_tcp(token["token"].as_str());
        Self { server, _receiver: receiver, stranger, owner, own, other, strange }
    }

    /// The owner's client.
    pub(super) fn api(&self) -> Api {
        self.server.api()
    }

    /// The client of who owns the first application.
    pub(super) fn owner(&self) -> &Api {
        &self.owner
    }

    pub(super) fn without_token(&self) -> Api {
        self.server.api_over_tcp(None)
    }

    /// All that the two tenants have, and how much was ever written.
    pub(super) async fn everything(&self) -> Vec<String> {
        let api = self.api();
        let mut all = self.of_tenant(&api, &["shop", "other"]).await;
        all.extend(self.of_tenant(&self.stranger, &["strange"]).await);
        let metrics: Metrics = self.server.metrics().await;
        all.push(format!("{} frames in the journal", metrics.sum("postrider_journal_frames_total", "")));
        all
    }

    async fn of_tenant(&self, api: &Api, apps: &[&str]) -> Vec<String> {
        let mut lists = vec![
            "/app".to_owned(),
            "/event-type?include_archived=true&with_content=true".into(),
            "/dead-letter".into(),
            "/status".into(),
        ];
        for app in apps {
            let own = ["endpoint", "msg", "delivery", "dead-letter", "endpoint/main/secret", "endpoint/main/headers"];
            lists.extend(own.iter().map(|list| format!("/app/{app}/{list}")));
        }
        let mut all = Vec::new();
        for list in lists {
            // Whatever it is: after a request that stored something it may be an error.
            let answer = api.call("GET", &list, &Value::Null).await;
            all.push(format!("{list}: {} {}", answer.status, String::from_utf8_lossy(&answer.body)));
        }
        all
    }
}

/// Fills an application.
async fn stock(api: &Api, app: &str, receiver: &Receiver) -> Names {
    api.app(app).await;
    api.post("/event-type", json!({ "name": format!("{app}.paid"), "description": "" })).await;
    let endpoint = api.endpoint(app, receiver, json!({ "uid": "main", "headers": { "x-shop": app } })).await;
    let message = api.send(app, "order.paid", json!({ "n": 1 })).await;
    api.until_state(&endpoint, &message, "delivered").await;
    let attempt = api.attempts(app, &message).await[0]["id"].as_str().expect("an id").to_owned();
    let task = api.post(&format!("/app/{app}/dead-letter/replay"), json!({})).await;
    let task = task["id"].as_str().expect("an id").to_owned();
    crate::support::until("the task to end", async || {
        let task: Value = api.get(&format!("/task/{task}")).await;
        (task["status"] == "finished").then_some(())
    })
    .await;
    Names(vec![
        ("app_id", api.get(&format!("/app/{app}")).await["id"].as_str().expect("an id").to_owned()),
        ("endpoint_id", endpoint.id),
        ("msg_id", message),
        ("attempt_id", attempt),
        ("event_type_name", format!("{app}.paid")),
        ("task_id", task),
    ])
}
