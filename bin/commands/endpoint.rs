//! `postrider endpoint`: where an application's webhooks go.

use clap::{Args, Subcommand};
use postrider_model::secret::{Secret, SignatureKind};
use serde_json::{Value, json};

use super::app::without_nulls;
use super::endpoint_fields::Fields;
use super::message::{newest, outcome};
use super::{
    Context, PageArgs, endpoint_auth, endpoint_example, endpoint_flow, endpoint_replay, endpoint_stats, endpoint_verify,
};
use crate::client::{Answer, Client, Path};
use crate::config::duration;
use crate::exit::Failure;
use crate::output::{Table, card, data, field, more, time, with_unit};
use crate::secrets::random_key;

/// Endpoints: the URLs that an application's webhooks go to
#[derive(Subcommand)]
pub(crate) enum EndpointCommand {
    /// Registers an endpoint and prints it with its signing secret
    #[command(after_help = "Example:\n  postrider endpoint create --app shop --url https://example.com/hook \
                            --event-type order.paid")]
    Create {
        /// The application, by id or uid
        #[arg(long)]
        app: String,
        /// Where to, `https://` or `http://`
        #[arg(long)]
        url: String,
        #[command(flatten)]
        secret: NewSecret,
        /// Register it switched off
        #[arg(long)]
        disabled: bool,
        #[command(flatten)]
        fields: Box<Fields>,
    },
    /// Lists an application's endpoints
    #[command(after_help = "Example:\n  postrider endpoint list --app shop")]
    List {
        /// The application, by id or uid
        #[arg(long)]
        app: String,
        #[command(flatten)]
        page: PageArgs,
    },
    /// Shows an endpoint
    #[command(after_help = "Example:\n  postrider endpoint get --app shop main")]
    Get(Which),
    /// Changes what is given, leaves the rest
    #[command(after_help = "Examples:\n  postrider endpoint update --app shop main --url https://example.com/new\n  \
                            postrider endpoint update --app shop main --event-type '' --format '' --no-throttle")]
    Update {
        #[command(flatten)]
        which: Which,
        /// The new URL
        #[arg(long)]
        url: Option<String>,
        #[command(flatten)]
        fields: Box<Fields>,
    },
    /// Deletes an endpoint; what waits for it is cancelled
    #[command(after_help = "Example:\n  postrider endpoint delete --app shop main")]
    Delete(Which),
    /// Prints what an endpoint verifies with: its signing secret, or the public key of its pair
    #[command(after_help = "Example:\n  postrider endpoint secret --app shop main")]
    Secret(Which),
    /// Gives an endpoint a new secret; the old one signs on for a day
    #[command(after_help = "Examples:\n  postrider endpoint rotate --app shop main\n  \
                            postrider endpoint rotate --app shop main --ed25519 --grace 1h")]
    Rotate {
        #[command(flatten)]
        which: Which,
        #[command(flatten)]
        secret: NewSecret,
        /// How long the old one signs on, such as 1h; at most 7d
        #[arg(long, value_parser = duration)]
        grace: Option<std::time::Duration>,
    },
    /// Sends an endpoint its dead letters of a span of time again
    #[command(after_help = "Example:\n  postrider endpoint recover --app shop main --since 2026-01-31T12:00:00Z")]
    Recover(endpoint_replay::Recover),
    /// Sends an endpoint the messages of a span of time that its filters let through and that never went to it
    #[command(
        after_help = "Example:\n  postrider endpoint replay-missing --app shop main --since 2026-01-31T12:00:00Z"
    )]
    ReplayMissing(endpoint_replay::ReplayMissing),
    /// Sends an endpoint messages of a span of time again, also those that were delivered
    #[command(
        after_help = "Examples:\n  postrider endpoint bulk-replay --app shop main --since 2026-01-31T12:00:00Z\n  \
                            postrider endpoint bulk-replay --app shop main --since 2026-01-31T12:00:00Z --type order.paid --status success"
    )]
    BulkReplay(endpoint_replay::BulkReplay),
    /// Counts an endpoint's deliveries by their state
    #[command(after_help = "Example:\n  postrider endpoint stats --app shop main --since 2026-01-31T12:00:00Z")]
    Stats(endpoint_stats::Stats),
    /// Sends an example of an event to an endpoint, whatever its filters
    #[command(after_help = "Example:\n  postrider endpoint send-example --app shop main --type order.paid")]
    SendExample(endpoint_example::SendExample),
    /// Shows how it stands with the deliveries to an endpoint: its breaker, what is in flight, what waits
    #[command(after_help = "Example:\n  postrider endpoint flow --app shop main")]
    Flow(Which),
    /// Asks an endpoint now to show that it wants what is sent to it, and waits for the result
    #[command(after_help = "Example:\n  postrider endpoint verify --app shop main")]
    Verify(Which),
    /// Switches an endpoint on; what waited for it goes out
    #[command(after_help = "Example:\n  postrider endpoint enable --app shop main")]
    Enable(Which),
    /// Switches an endpoint off; what comes for it waits
    #[command(after_help = "Example:\n  postrider endpoint disable --app shop main")]
    Disable(Which),
}

/// Which endpoint.
#[derive(Args, Debug)]
pub(crate) struct Which {
    /// The application, by id or uid
    #[arg(long)]
    app: String,
    /// The endpoint, by id or uid
    endpoint: String,
}

/// The secret that an endpoint gets.
#[derive(Args)]
pub(crate) struct NewSecret {
    /// The signing secret, `whsec_...` or `whsk_...`, for `github` and `stripe` any text; one is made if none is given
    #[arg(long)]
    secret: Option<String>,
    /// Makes an Ed25519 key pair, of which the endpoint gets the public key
    #[arg(long, conflicts_with = "secret")]
    ed25519: bool,
}

impl NewSecret {
    /// Its text; `None` leaves it to the server.
    fn text(self) -> Result<Option<String>, Failure> {
        if !self.ed25519 {
            return Ok(self.secret);
        }
        let pair = Secret::from_random(SignatureKind::Ed25519, &*random_key()?);
        Ok(Some(pair.expose_text().to_string()))
    }
}

impl Which {
    pub(super) fn path(&self, rest: &[&'static str]) -> Result<Path, Failure> {
        let base: [&str; 4] = ["app", &self.app, "endpoint", &self.endpoint];
        Path::new(base.into_iter().chain(rest.iter().copied()))
    }
}

impl EndpointCommand {
    /// Does it.
    ///
    /// # Errors
    /// The server is not there, or refuses.
    pub(crate) async fn run(self, context: &Context) -> Result<(), Failure> {
        let client = context.client()?;
        match self {
            Self::Create { app, url, secret, disabled, fields } => {
                let given = json!({ "url": url, "secret": secret.text()?, "disabled": disabled.then_some(true) });
                let body = merged(fields.body(), without_nulls(given));
                let answer = client.post(Path::new(["app", &app, "endpoint"])?, &body).await?;
                let answer = with_secret(&client, &app, answer).await?;
                context.output.answer(&answer, show)
            }
            Self::List { app, page } => {
                let answer = client.get(page.onto(Path::new(["app", &app, "endpoint"])?)).await?;
                context.output.answer(&answer, list)
            }
            Self::Get(which) => {
                let endpoint = client.get(which.path(&[])?).await?;
                let last = match context.output.json || !is(&endpoint, "disabled") {
                    true => Value::Null,
                    false => last_attempt(&client, &which).await?,
                };
                context.output.answer(&endpoint, |endpoint| format!("{}{}", show(endpoint), show_last(&last)))
            }
            Self::Update { which, url, fields } => {
                let body = merged(fields.body(), without_nulls(json!({ "url": url })));
                if body.as_object().is_none_or(serde_json::Map::is_empty) {
                    return Err(Failure::usage("nothing to change")
                        .hint("name what changes, such as `--url`; `postrider endpoint update --help` lists all"));
                }
                context.output.answer(&client.patch(which.path(&[])?, &body).await?, show)
            }
            Self::Delete(which) => {
                client.delete(which.path(&[])?).await?;
                let told = json!({ "app": which.app, "endpoint": which.endpoint, "deleted": true });
                context.output.done(&told, format!("deleted endpoint {}", which.endpoint))
            }
            Self::Secret(which) => {
                let answer = client.get(which.path(&["secret"])?).await?;
                context.output.answer(&answer, |answer| format!("{}\n", field(answer, "key")))
            }
            Self::Rotate { which, secret, grace } => {
                let grace_s = grace.map(|grace| grace.as_secs());
                let body = without_nulls(json!({ "key": secret.text()?, "gracePeriodSeconds": grace_s }));
                let answer = client.post(which.path(&["secret", "rotate"])?, &body).await?;
                context.output.answer(&answer, |answer| format!("{}\n", field(answer, "key")))
            }
            Self::Recover(command) => command.run(context, &client).await,
            Self::ReplayMissing(command) => command.run(context, &client).await,
            Self::BulkReplay(command) => command.run(context, &client).await,
            Self::Flow(which) => context.output.answer(&client.get(which.path(&["flow"])?).await?, endpoint_flow::show),
            Self::Stats(command) => command.run(context, &client).await,
            Self::SendExample(command) => command.run(context, &client).await,
            Self::Verify(which) => endpoint_verify::run(context, &client, &which).await,
            Self::Enable(which) => set_disabled(context, &client, &which, false).await,
            Self::Disable(which) => set_disabled(context, &client, &which, true).await,
        }
    }
}

async fn set_disabled(context: &Context, client: &Client, which: &Which, disabled: bool) -> Result<(), Failure> {
    let answer = client.patch(which.path(&[])?, &json!({ "disabled": disabled })).await?;
    context.output.answer(&answer, show)
}

/// Who registers an endpoint needs its secret next.
async fn with_secret(client: &Client, app: &str, endpoint: Answer) -> Result<Answer, Failure> {
    let path = Path::new(["app", app, "endpoint", &field(&endpoint, "id"), "secret"])?;
    let secret = client.get(path).await?;
    Ok(merged(endpoint.clone(), json!({ "secret": field(&secret, "key") })).into())
}

/// An object with the members of another one over its own.
pub(crate) fn merged(mut object: Value, more: Value) -> Value {
    if let (Some(members), Value::Object(more)) = (object.as_object_mut(), more) {
        members.extend(more);
    }
    object
}

pub(super) fn show(endpoint: &Value) -> String {
    let [auth, certificates, proxy] = endpoint_auth::shown(endpoint);
    card(&[
        ("id", field(endpoint, "id")),
        ("uid", field(endpoint, "uid")),
        ("url", field(endpoint, "url")),
        ("description", field(endpoint, "description")),
        ("secret", field(endpoint, "secret")),
        ("event types", field(endpoint, "eventTypes")),
        ("channels", field(endpoint, "channels")),
        ("filter", field(endpoint, "filter")),
        ("throttle", with_unit(endpoint, "throttleRate", "a second")),
        ("timeout", with_unit(endpoint, "timeoutMs", "ms")),
        ("policy", policy(endpoint)),
        ("format", field(endpoint, "format")),
        ("signature", signature(endpoint)),
        auth,
        certificates,
        proxy,
        ("verification", endpoint_verify::state(endpoint)),
        ("metadata", field(endpoint, "metadata")),
        ("state", state(endpoint)),
        ("created", time(endpoint, "createdAt")),
        ("updated", time(endpoint, "updatedAt")),
    ])
}

/// The scheme of its signatures, if it is not that of the standard.
fn signature(endpoint: &Value) -> String {
    Some(field(endpoint, "signature")).filter(|scheme| scheme != "standard").unwrap_or_default()
}

/// What it says of its deliveries, as it can be given again.
fn policy(endpoint: &Value) -> String {
    let policy = endpoint.get("policy").filter(|policy| policy.as_object().is_some_and(|members| !members.is_empty()));
    policy.map(Value::to_string).unwrap_or_default()
}

/// The last attempt to reach an endpoint; null if none is known. An answer 410
/// is what disables one.
async fn last_attempt(client: &Client, which: &Which) -> Result<Value, Failure> {
    newest(client, Path::new(["app", &which.app, "attempt", "endpoint", &which.endpoint])?).await
}

fn show_last(attempt: &Value) -> String {
    match attempt.is_null() {
        true => String::new(),
        false => format!("last attempt at {}: {}\n", time(attempt, "timestamp"), outcome(attempt)),
    }
}

fn is(endpoint: &Value, name: &str) -> bool {
    endpoint.get(name).and_then(Value::as_bool).unwrap_or(false)
}

fn state(endpoint: &Value) -> String {
    let reason = field(endpoint, "disabledReason");
    let disabled = if reason.is_empty() { "disabled".to_owned() } else { format!("disabled ({reason})") };
    match (is(endpoint, "disabled"), is(endpoint, "paused")) {
        (true, true) => format!("{disabled}, paused"),
        (true, false) => disabled,
        (false, true) => "paused".to_owned(),
        (false, false) if endpoint.get("verified") == Some(&Value::Bool(false)) => "unverified".to_owned(),
        (false, false) => "enabled".to_owned(),
    }
}

fn list(answer: &Value) -> String {
    let mut table = Table::new(["id", "uid", "state", "event types", "url"]);
    for endpoint in data(answer) {
        let types = field(endpoint, "eventTypes");
        table.row([
            field(endpoint, "id"),
            field(endpoint, "uid"),
            state(endpoint),
            if types.is_empty() { "all".to_owned() } else { types },
            field(endpoint, "url"),
        ]);
    }
    format!("{table}{}", more(answer))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disabled_endpoint_shows_what_it_answered_last() {
        let attempt = json!({ "timestamp": "2026-01-02T03:04:05Z", "responseStatusCode": 410, "response": "gone" });
        assert_eq!(show_last(&attempt), "last attempt at 2026-01-02 03:04:05Z: 410 gone\n");
        assert_eq!(show_last(&Value::Null), "");
        assert_eq!(state(&json!({ "disabled": true, "paused": true })), "disabled, paused");
    }

    #[test]
    fn numbers_have_units() {
        let shown = show(&json!({ "id": "ep_1", "throttleRate": 5, "timeoutMs": 2000 }));
        assert_eq!(shown, "id        ep_1\nthrottle  5 a second\ntimeout   2000 ms\nstate     enabled\n");
    }

    #[test]
    fn a_list_says_what_each_endpoint_gets() {
        let answer = json!({ "done": true, "data": [
            { "id": "ep_1", "uid": "main", "url": "https://a", "disabled": true, "disabledReason": "gone", "eventTypes": null },
            { "id": "ep_2", "uid": null, "url": "https://b", "disabled": false, "eventTypes": ["x", "y"] },
        ]});
        let expected = "ID    UID   STATE            EVENT TYPES  URL\n\
                        ep_1  main  disabled (gone)  all          https://a\n\
                        ep_2        enabled          x,y          https://b\n";
        assert_eq!(list(&answer), expected);
    }
}
