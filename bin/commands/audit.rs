//! `postrider audit`: who changed what, when and from where.

use clap::Args;
use serde_json::Value;

use super::{Context, PageArgs};
use crate::client::Path;
use crate::exit::Failure;
use crate::output::{Table, data, field, more, time};

/// Who changed what, when and from where, newest first; also who was refused
#[derive(Args, Debug)]
#[command(
    after_help = "Examples:\n  postrider audit\n  postrider audit --app shop --operation v1.endpoint.rotate-secret\n  \
                        postrider audit --actor uid:1000 --after 2026-01-31T00:00:00Z --json"
)]
pub(crate) struct Audit {
    /// Only what concerns this application, by id or uid
    #[arg(long)]
    app: Option<String>,
    /// Only what this actor did: the subject or the fingerprint of a token, `uid:` and a user's number, or `server`
    #[arg(long)]
    actor: Option<String>,
    /// Only this operation, as docs/openapi.json names it
    #[arg(long)]
    operation: Option<String>,
    /// Only what was before this time, such as 2026-01-31T12:00:00Z
    #[arg(long, value_name = "TIME")]
    before: Option<String>,
    /// Only what was after this time
    #[arg(long, value_name = "TIME")]
    after: Option<String>,
    #[command(flatten)]
    page: PageArgs,
}

impl Audit {
    /// Does it.
    ///
    /// # Errors
    /// The server is not there, or refuses.
    pub(crate) async fn run(self, context: &Context) -> Result<(), Failure> {
        let path = self.page.onto(Path::new(["audit"])?).query("app_id", self.app).query("actor", self.actor);
        let path = path.query("operation", self.operation).query("before", self.before).query("after", self.after);
        context.output.answer(&context.client()?.get(path).await?, list)
    }
}

fn list(answer: &Value) -> String {
    let mut table = Table::new(["time", "status", "operation", "who", "from", "about", "fields"]);
    for entry in data(answer) {
        table.row([
            time(entry, "timestamp"),
            field(entry, "status"),
            field(entry, "operation"),
            who(entry),
            from(entry),
            about(entry),
            fields(entry),
        ]);
    }
    format!("{table}{}", more(answer))
}

fn who(entry: &Value) -> String {
    let actor = entry.get("actor").unwrap_or(&Value::Null);
    match (field(actor, "subject"), field(actor, "uid")) {
        (subject, _) if !subject.is_empty() => format!("{subject} ({})", field(actor, "fingerprint")),
        (_, uid) if !uid.is_empty() => format!("uid:{uid}"),
        _ => field(actor, "kind"),
    }
}

fn from(entry: &Value) -> String {
    let from = entry.get("from").unwrap_or(&Value::Null);
    match (field(from, "address"), field(from, "pid")) {
        (address, _) if !address.is_empty() => address,
        (_, pid) if !pid.is_empty() => format!("{} pid {pid}", field(from, "kind")),
        _ => field(from, "kind"),
    }
}

/// The most exact of what it is about.
fn about(entry: &Value) -> String {
    let names = ["attemptId", "msgId", "taskId", "endpointId", "eventType", "appId"];
    names.iter().map(|name| field(entry, name)).find(|text| !text.is_empty()).unwrap_or_default()
}

fn fields(entry: &Value) -> String {
    let names = entry.get("fields").and_then(Value::as_array).into_iter().flatten();
    names.filter_map(Value::as_str).collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_list_says_who_did_what() {
        let answer = json!({ "done": true, "data": [
            { "timestamp": "2026-01-02T03:04:05Z", "status": 200, "operation": "patch_endpoint", "fields": ["url", "headers"],
              "actor": { "kind": "token", "subject": "org_1", "fingerprint": "0f" }, "from": { "kind": "tcp", "address": "192.0.2.7" },
              "appId": "app_1", "endpointId": "ep_1" },
            { "timestamp": "2026-01-02T03:04:04Z", "status": 403, "operation": "v1.dispatch.pause", "fields": [],
              "actor": { "kind": "user", "uid": 7 }, "from": { "kind": "unix", "uid": 7, "pid": 17 } },
        ]});
        let expected = "\
            TIME                  STATUS  OPERATION          WHO         FROM         ABOUT  FIELDS\n\
            2026-01-02 03:04:05Z  200     patch_endpoint     org_1 (0f)  192.0.2.7    ep_1   url,headers\n\
            2026-01-02 03:04:04Z  403     v1.dispatch.pause  uid:7       unix pid 17\n";
        let shown: String = list(&answer).lines().map(|line| format!("{}\n", line.trim_end())).collect();
        assert_eq!(shown, expected);
    }
}
