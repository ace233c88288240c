//! What an endpoint's owner may choose, as flags.

use clap::Args;
use serde_json::{Value, json};

use super::endpoint_auth::Credentials;
use super::given::{self, or_taken_away};
use crate::cli::{object, pair};

/// What an endpoint's owner may choose.
#[derive(Args, Default)]
pub(crate) struct Fields {
    /// Your own id for it; an empty one takes it away
    #[arg(long)]
    uid: Option<String>,
    /// For people
    #[arg(long)]
    description: Option<String>,
    /// Gets only this event type, `order.*` for all below it; may be given many times. An empty one alone stands for all
    #[arg(long = "event-type", value_name = "TYPE")]
    event_types: Vec<String>,
    /// Gets only messages of this channel; may be given many times. An empty one alone stands for all
    #[arg(long = "channel", value_name = "CHANNEL")]
    channels: Vec<String>,
    /// Gets only messages whose payload this lets through, such as '@.amount > 100'; an empty one takes it away
    #[arg(long, value_name = "EXPRESSION")]
    filter: Option<String>,
    /// Messages per second at most
    #[arg(long, value_name = "PER_SECOND")]
    throttle: Option<u32>,
    /// Removes that
    #[arg(long, conflicts_with = "throttle")]
    no_throttle: bool,
    /// Sent with each request, in the place of all that were; may be given many times
    #[arg(long = "header", value_name = "NAME=VALUE", value_parser = pair)]
    headers: Vec<(String, String)>,
    /// Removes all of them
    #[arg(long, conflicts_with = "headers")]
    no_header: bool,
    /// Free for you, in the place of all that was; may be given many times
    #[arg(long, value_name = "KEY=VALUE", value_parser = pair)]
    metadata: Vec<(String, String)>,
    /// Removes all of it
    #[arg(long, conflicts_with = "metadata")]
    no_metadata: bool,
    /// The deadline of an attempt in milliseconds, 1000 to 30000
    #[arg(long, value_name = "MS")]
    timeout_ms: Option<u32>,
    /// Leaves that to the server
    #[arg(long, conflicts_with = "timeout_ms")]
    no_timeout_ms: bool,
    /// Its own rules of delivery, such as '{"maxInFlight": 2, "retrySchedule": [0, 5, 60]}'; `null` for a member leaves
    /// that to the server
    #[arg(long, value_name = "JSON", value_parser = object)]
    policy: Option<Value>,
    /// Leaves all of them to the server
    #[arg(long, conflicts_with = "policy")]
    no_policy: bool,
    /// What requests carry: `payload`, `standard`, `cloudevents-binary` or `cloudevents-structured`; an empty one leaves
    /// that to the server
    #[arg(long)]
    format: Option<String>,
    #[command(flatten)]
    credentials: Credentials,
    /// By which scheme requests are signed: `standard`, `github`, `stripe` or `http-message-signatures`
    #[arg(long)]
    signature: Option<String>,
    /// How it shows that it wants what is sent to it: `none`, `challenge` or `cloudevents`
    #[arg(long, value_name = "KIND")]
    verification: Option<String>,
}

impl Fields {
    /// The body of a request that asks for what was given, and for nothing else.
    pub(super) fn body(self) -> Value {
        let throttle = self.throttle.map(Value::from);
        let timeout_ms = self.timeout_ms.map(Value::from);
        let body = given::body([
            ("uid", given::text(self.uid)),
            ("description", self.description.map(Value::from)),
            ("eventTypes", given::texts(self.event_types)),
            ("channels", given::texts(self.channels)),
            ("filter", given::text(self.filter)),
            ("throttleRate", or_taken_away(throttle, self.no_throttle, Value::Null)),
            ("headers", or_taken_away(given::pairs(self.headers), self.no_header, json!({}))),
            ("metadata", or_taken_away(given::pairs(self.metadata), self.no_metadata, json!({}))),
            ("timeoutMs", or_taken_away(timeout_ms, self.no_timeout_ms, Value::Null)),
            ("policy", or_taken_away(self.policy, self.no_policy, Value::Null)),
            ("format", given::text(self.format)),
            ("signature", self.signature.map(Value::from)),
            ("verification", self.verification.map(Value::from)),
        ]);
        self.credentials.onto(body)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::endpoint::merged;

    #[test]
    fn only_what_was_given_is_changed() {
        let fields = Fields { event_types: vec!["a.b".into()], timeout_ms: Some(2_000), ..Fields::default() };
        let body = merged(fields.body(), json!({ "url": "https://a" }));
        assert_eq!(body, json!({ "eventTypes": ["a.b"], "timeoutMs": 2000, "url": "https://a" }));
        assert_eq!(Fields::default().body(), json!({}));
    }

    #[test]
    fn what_is_there_can_be_taken_away() {
        let fields = Fields {
            uid: Some(String::new()),
            event_types: vec![String::new()],
            format: Some(String::new()),
            no_header: true,
            no_timeout_ms: true,
            no_policy: true,
            ..Fields::default()
        };
        let expected = json!({ "uid": null, "eventTypes": null, "format": null, "headers": {}, "timeoutMs": null, "policy": null });
        assert_eq!(fields.body(), expected);
    }
}
