//! `postrider delivery`: one message on its way to one endpoint.

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::app::without_nulls;
use super::endpoint::merged;
use super::message::{newest, outcome};
use super::{Context, PageArgs};
use crate::client::{Client, Path};
use crate::exit::Failure;
use crate::output::{Table, card, data, field, more, time};

/// Deliveries: one message on its way to one endpoint
#[derive(Debug, Subcommand)]
pub(crate) enum Delivery {
    /// Lists what waits, of one application or of all, or where one message stands with each endpoint
    #[command(after_help = "Examples:\n  postrider delivery list --due-before 2026-01-31T12:00:00Z\n  \
                            postrider delivery list --app shop --endpoint main --in-flight\n  \
                            postrider delivery list --app shop --message msg_2ZJ8xkXbM0YvWq5n3cLrT7dHfGa")]
    List {
        /// The application, by id or uid
        #[arg(long)]
        app: Option<String>,
        #[command(flatten)]
        only: Only,
        #[command(flatten)]
        due: Due,
        /// Only what is being attempted now
        #[arg(long)]
        in_flight: bool,
        /// Of this message, whatever its state
        #[arg(long, requires = "app",
              conflicts_with_all = ["endpoint", "event_types", "before", "after", "due_before", "due_after", "in_flight"])]
        message: Option<String>,
        #[command(flatten)]
        page: PageArgs,
    },
    /// Says why a delivery has not arrived yet
    #[command(after_help = "Example:\n  postrider delivery why --app shop msg_2ZJ8xkXbM0YvWq5n3cLrT7dHfGa main")]
    Why(Which),
    /// Cancels one delivery, or all that wait and match
    #[command(
        after_help = "Examples:\n  postrider delivery cancel --app shop msg_2ZJ8xkXbM0YvWq5n3cLrT7dHfGa main\n  \
                            postrider delivery cancel --app shop --event-type order.paid --all"
    )]
    Cancel {
        /// The message; without it, all that match are meant
        #[arg(requires = "to")]
        message: Option<String>,
        /// The endpoint, by id or uid
        #[arg(value_name = "ENDPOINT")]
        to: Option<String>,
        #[command(flatten)]
        filter: Filter,
        #[command(flatten)]
        due: Due,
        /// Really all that wait and match: needed where no message and endpoint are named
        #[arg(long, conflicts_with = "message")]
        all: bool,
    },
}

/// Which delivery.
#[derive(Args, Debug)]
pub(crate) struct Which {
    /// The application, by id or uid
    #[arg(long)]
    pub(crate) app: String,
    /// The message
    pub(crate) message: String,
    /// The endpoint, by id or uid
    pub(crate) endpoint: String,
}

/// Which deliveries of an application.
#[derive(Args, Clone, Debug)]
pub(crate) struct Filter {
    /// The application, by id or uid
    #[arg(long)]
    pub(crate) app: String,
    #[command(flatten)]
    pub(crate) only: Only,
}

/// What narrows a list or an operation on many.
#[derive(Args, Clone, Debug)]
pub(crate) struct Only {
    /// Only to this endpoint, by id or uid
    #[arg(long, requires = "app")]
    pub(crate) endpoint: Option<String>,
    /// Only of this event type; may be given many times
    #[arg(long = "event-type", value_name = "TYPE")]
    pub(crate) event_types: Vec<String>,
    /// Accepted (dead letters: died) before this, such as 2026-01-31T12:00:00Z
    #[arg(long, value_name = "TIME")]
    pub(crate) before: Option<jiff::Timestamp>,
    /// Accepted (dead letters: died) after this, such as 2026-01-31T12:00:00Z
    #[arg(long, value_name = "TIME")]
    pub(crate) after: Option<jiff::Timestamp>,
}

/// When the next attempt is due.
#[derive(Args, Clone, Debug)]
pub(crate) struct Due {
    /// Due before this, such as 2026-01-31T12:00:00Z
    #[arg(long, value_name = "TIME", conflicts_with = "message")]
    due_before: Option<jiff::Timestamp>,
    /// Due after this, such as 2026-01-31T12:00:00Z
    #[arg(long, value_name = "TIME", conflicts_with = "message")]
    due_after: Option<jiff::Timestamp>,
}

impl Only {
    /// As query parameters.
    pub(crate) fn onto(&self, path: Path) -> Path {
        let types = Some(self.event_types.join(",")).filter(|types| !types.is_empty());
        path.query("endpoint_id", self.endpoint.as_ref())
            .query("event_types", types)
            .query("before", self.before)
            .query("after", self.after)
    }

    /// As the body of a request.
    pub(crate) fn body(&self) -> Value {
        let types = Some(&self.event_types).filter(|types| !types.is_empty());
        without_nulls(json!({
            "endpointId": self.endpoint,
            "eventTypes": types,
            "before": self.before.map(|time| time.to_string()),
            "after": self.after.map(|time| time.to_string()),
        }))
    }
}

impl Delivery {
    /// Does it.
    ///
    /// # Errors
    /// The server is not there, or refuses.
    pub(crate) async fn run(self, context: &Context) -> Result<(), Failure> {
        let client = context.client()?;
        match self {
            Self::List { app: Some(app), message: Some(message), .. } => {
                let answer = client.get(Path::new(["app", &app, "msg", &message, "delivery"])?).await?;
                context.output.answer(&answer, list)
            }
            Self::List { app, only, due, in_flight, page, .. } => {
                let path = match &app {
                    Some(app) => Path::new(["app", app, "delivery"])?,
                    None => Path::new(["delivery"])?,
                };
                let path = only.onto(page.onto(path)).query("state", in_flight.then_some("in_flight"));
                let path = path.query("due_before", due.due_before).query("due_after", due.due_after);
                context.output.answer(&client.get(path).await?, list)
            }
            Self::Why(Which { app, message, endpoint }) => {
                let found = find(&client, &app, &message, &endpoint).await?;
                let attempt = last_attempt(&client, &app, &message, &endpoint).await?;
                let found = merged(found, json!({ "lastAttempt": attempt }));
                context.output.answer(&found.into(), show)
            }
            Self::Cancel { message: Some(message), to: Some(to), filter, .. } => {
                let path = Path::new(["app", &filter.app, "msg", &message, "delivery", &to, "cancel"])?;
                if let Err(error) = client.post(path, &json!({})).await {
                    let failure = Failure::from(error);
                    return Err(match find(&client, &filter.app, &message, &to).await {
                        Ok(found) if field(&found, "state") != "scheduled" => {
                            failure.hint(format!("it is not pending, it is {}", standing(&found)))
                        }
                        _ => failure,
                    });
                }
                // As where all that match are cancelled, it says how many were.
                let told = json!({ "app": filter.app, "message": message, "endpoint": to, "cancelled": 1 });
                context.output.done(&told, format!("cancelled the delivery of {message} to {to}"))
            }
            Self::Cancel { all: false, .. } => Err(one_or_all()),
            Self::Cancel { filter, due: Due { due_before, due_after }, .. } => {
                let path = Path::new(["app", &filter.app, "delivery", "cancel"])?;
                let due = json!({
                    "dueBefore": due_before.map(|time| time.to_string()),
                    "dueAfter": due_after.map(|time| time.to_string()),
                });
                let body = merged(filter.only.body(), without_nulls(due));
                let answer = client.post(path, &body).await?;
                context.output.answer(&answer, |answer| format!("cancelled {}\n", field(answer, "cancelled")))
            }
        }
    }
}

/// Nothing says which are meant; all is too many for a guess.
pub(crate) fn one_or_all() -> Failure {
    Failure::usage("name a message and an endpoint, or give --all for all that match")
}

/// One message's delivery to one endpoint.
async fn find(client: &Client, app: &str, message: &str, endpoint: &str) -> Result<Value, Failure> {
    let answer = client.get(Path::new(["app", app, "msg", message, "delivery"])?).await?;
    let endpoint = client.get(Path::new(["app", app, "endpoint", endpoint])?).await?;
    let id = field(&endpoint, "id");
    let found = data(&answer).find(|delivery| field(delivery, "endpointId") == id);
    found.cloned().ok_or_else(|| {
        Failure::runtime(format!("message {message} did not go to endpoint {id}"))
            .hint("the endpoint's event types and channels decide at the moment of acceptance")
    })
}

/// The last attempt to deliver a message to an endpoint; null if there was none.
pub(crate) async fn last_attempt(client: &Client, app: &str, message: &str, endpoint: &str) -> Result<Value, Failure> {
    newest(client, Path::new(["app", app, "attempt", "msg", message])?.query("endpoint_id", Some(endpoint))).await
}

/// Where a delivery stands, in words.
pub(crate) fn standing(delivery: &Value) -> String {
    let reason = field(delivery, "reason");
    let state = field(delivery, "state");
    if reason.is_empty() { state } else { format!("{state}: {reason}") }
}

/// The attempts that were made.
pub(crate) fn attempts_made(delivery: &Value) -> String {
    let number = delivery.get("attempt").and_then(Value::as_u64).unwrap_or(0);
    // A delivery that waits names the attempt that it waits for.
    let waits = field(delivery, "state") == "scheduled";
    number.saturating_sub(u64::from(waits)).to_string()
}

/// Why a delivery, or a lane, waits, in words.
pub(crate) fn wait(delivery: &Value) -> String {
    let Some(wait) = delivery.get("waits").filter(|wait| !wait.is_null()) else { return String::new() };
    match field(wait, "reason").as_str() {
        "in_flight" => "nothing: it is on its way now".into(),
        "not_due" => format!("its time, {}", time(wait, "until")),
        "lane_paused" => format!("the pause that the endpoint asked for, until {}", time(wait, "until")),
        "no_token" => format!(
            "a token for the endpoint's requests, asked for again at {} (the server's log says what is wrong)",
            time(wait, "until")
        ),
        "rate_limited" => format!("the endpoint's rate limit, until {}", time(wait, "until")),
        "application_rate_limited" => format!("the application's rate limit, until {}", time(wait, "until")),
        "breaker_open" => format!("the endpoint's open breaker, until {}", time(wait, "until")),
        "breaker_half_open" => "the attempt that probes the endpoint".into(),
        "lane_busy" => format!("{} of {} requests in flight", field(wait, "inFlight"), field(wait, "limit")),
        "application_busy" => {
            format!("{} of {} requests of the application in flight", field(wait, "inFlight"), field(wait, "limit"))
        }
        "behind" => format!("an earlier one that goes first{}", which(wait)),
        "behind_dead_letter" => format!("an earlier one that is a dead letter{}", which(wait)),
        "batch" => format!("others for its batch, until {} at the latest", time(wait, "until")),
        "turn" => "its turn".into(),
        "behind_window" => "the many that came before it".into(),
        "endpoint_disabled" => "the endpoint, which is disabled (`postrider endpoint enable`)".into(),
        "endpoint_disabled_by_410" => {
            "the endpoint, disabled by its own answer 410 (`postrider endpoint enable`)".into()
        }
        "endpoint_disabled_by_failures" => {
            "the endpoint, disabled after a long time of nothing but failure (`postrider endpoint enable`)".into()
        }
        "endpoint_paused" => "the endpoint, which is paused (`postrider resume --app ... --endpoint ...`)".into(),
        "endpoint_unverified" => {
            "the endpoint, which has not shown yet that it wants it (`postrider endpoint verify`)".into()
        }
        "dispatch_paused" => "all dispatch, which is paused (`postrider resume`)".into(),
        other => other.to_owned(),
    }
}

/// The message that goes first, if it is known.
fn which(wait: &Value) -> String {
    let id = field(wait, "messageId");
    if id.is_empty() { id } else { format!(", {id}") }
}

/// Deliveries in a table.
pub(crate) fn list(answer: &Value) -> String {
    let mut table = Table::new(["message", "endpoint", "event type", "state", "attempts", "waits for"]);
    for delivery in data(answer) {
        table.row([
            field(delivery, "msgId"),
            field(delivery, "endpointId"),
            field(delivery, "eventType"),
            standing(delivery),
            attempts_made(delivery),
            wait(delivery),
        ]);
    }
    format!("{table}{}", more(answer))
}

pub(crate) fn show(delivery: &Value) -> String {
    let last = delivery.get("lastAttempt").filter(|attempt| !attempt.is_null());
    card(&[
        ("message", field(delivery, "msgId")),
        ("endpoint", field(delivery, "endpointId")),
        ("event type", field(delivery, "eventType")),
        ("accepted", time(delivery, "acceptedAt")),
        ("state", standing(delivery)),
        ("attempts", attempts_made(delivery)),
        ("last attempt", last.map(|attempt| time(attempt, "timestamp")).unwrap_or_default()),
        ("outcome", last.map(outcome).unwrap_or_default()),
        ("due", time(delivery, "dueAt")),
        ("waits for", wait(delivery)),
        ("ended", time(delivery, "endedAt")),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_waits_says_for_what() {
        let answer = json!({ "done": true, "data": [
            { "msgId": "msg_1", "endpointId": "ep_1", "eventType": "a.b", "state": "scheduled", "attempt": 2,
              "reason": null, "waits": { "reason": "not_due", "until": "2026-01-02T03:04:05.5Z" } },
            { "msgId": "msg_2", "endpointId": "ep_1", "eventType": "a.b", "state": "dead", "attempt": 10,
              "reason": "attempts_exhausted", "waits": null },
            { "msgId": "msg_3", "endpointId": "ep_1", "eventType": "a.b", "state": "scheduled", "attempt": 1,
              "reason": null, "waits": { "reason": "behind", "messageId": "msg_1" } },
        ]});
        let expected = "\
            MESSAGE  ENDPOINT  EVENT TYPE  STATE                     ATTEMPTS  WAITS FOR\n\
            msg_1    ep_1      a.b         scheduled                 1         its time, 2026-01-02 03:04:05Z\n\
            msg_2    ep_1      a.b         dead: attempts_exhausted  10\n\
            msg_3    ep_1      a.b         scheduled                 0         an earlier one that goes first, msg_1\n";
        assert_eq!(list(&answer), expected);
    }

    #[test]
    fn why_shows_what_came_of_the_last_attempt() {
        let mut delivery = json!({ "msgId": "msg_1", "state": "dead", "attempt": 3, "reason": "attempts_exhausted" });
        assert!(!show(&delivery).contains("outcome"), "{}", show(&delivery));
        delivery["lastAttempt"] =
            json!({ "timestamp": "2026-01-02T03:04:05.6Z", "responseStatusCode": 503, "response": "down" });
        let expected = "\
            message       msg_1\n\
            state         dead: attempts_exhausted\n\
            attempts      3\n\
            last attempt  2026-01-02 03:04:05Z\n\
            outcome       503 down\n";
        assert_eq!(show(&delivery), expected);
    }

    #[test]
    fn a_filter_restricts_by_what_was_given() {
        let only = Only {
            endpoint: Some("main".into()),
            event_types: vec!["a.b".into()],
            before: None,
            after: Some(jiff::Timestamp::UNIX_EPOCH),
        };
        let expected = json!({ "endpointId": "main", "eventTypes": ["a.b"], "after": "1970-01-01T00:00:00Z" });
        assert_eq!(only.body(), expected);
    }
}
