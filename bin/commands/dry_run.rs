//! `postrider message dry-run`: whom a message would go to.

use clap::Args;
use serde::Serialize;
use serde_json::Value;
use serde_json::value::RawValue;

use super::Context;
use super::send::payload;
use crate::client::{Client, Path};
use crate::exit::Failure;
use crate::output::{Table, field};

/// The message that might be sent.
#[derive(Args, Debug)]
pub(crate) struct DryRun {
    /// The application, by id or uid
    #[arg(long)]
    app: String,
    /// The event type, such as order.paid
    #[arg(long = "type", value_name = "TYPE")]
    event_type: String,
    /// The payload, an object in JSON; `-` reads standard input
    #[arg(long)]
    payload: String,
    /// It would be sent to this channel; may be given many times
    #[arg(long = "channel", value_name = "CHANNEL")]
    channels: Vec<String>,
}

impl DryRun {
    /// Does it.
    ///
    /// # Errors
    /// The payload is not JSON; the server is not there, or refuses.
    pub(super) async fn run(self, context: &Context, client: &Client) -> Result<(), Failure> {
        let payload = payload(&self.payload)?;
        let body = serde_json::to_string(&self.body(&payload)?)?;
        let answer = client.post_text(Path::new(["app", &self.app, "msg", "precheck", "dry-run"])?, body).await?;
        context.output.answer(&answer, show)
    }

    fn body<'a>(&'a self, payload: &'a [u8]) -> Result<Body<'a>, Failure> {
        let payload = serde_json::from_slice(payload);
        let payload = payload.map_err(|error| Failure::usage(format!("the payload is not JSON: {error}")))?;
        Ok(Body { event_type: &self.event_type, payload, channels: &self.channels })
    }
}

/// As the API takes it, with the payload as it was given.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Body<'a> {
    event_type: &'a str,
    payload: &'a RawValue,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    channels: &'a [String],
}

fn show(answer: &Value) -> String {
    let mut table = Table::new(["endpoint", "uid", "gets it", "why not", "waits because of"]);
    for endpoint in answer.get("endpoints").and_then(Value::as_array).into_iter().flatten() {
        let gets_it = endpoint.get("matches").and_then(Value::as_bool).unwrap_or_default();
        table.row([
            field(endpoint, "endpointId"),
            field(endpoint, "endpointUid"),
            if gets_it { "yes" } else { "no" }.to_owned(),
            field(endpoint, "reason"),
            field(endpoint, "held"),
        ]);
    }
    match answer.get("mismatch").filter(|mismatch| mismatch.is_object()) {
        Some(mismatch) => {
            let (pointer, detail) = (field(mismatch, "pointer"), field(mismatch, "detail"));
            format!("{table}\nthe payload is not as its schema says, at {pointer:?}: {detail}\n")
        }
        None => table.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn each_endpoint_is_told_of() {
        let answer = json!({ "endpoints": [
            { "endpointId": "ep_1", "endpointUid": "main", "matches": true, "reason": null, "held": "endpoint_paused" },
            { "endpointId": "ep_2", "endpointUid": null, "matches": false, "reason": "filter", "held": null },
        ]});
        let expected = "\
            ENDPOINT  UID   GETS IT  WHY NOT  WAITS BECAUSE OF\n\
            ep_1      main  yes               endpoint_paused\n\
            ep_2            no       filter\n";
        assert_eq!(show(&answer), expected);
    }
}
