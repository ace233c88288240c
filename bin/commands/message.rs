//! `postrider message`: what was sent, and what became of it.

use clap::{Args, Subcommand};
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::endpoint::merged;
use super::{Context, PageArgs, delivery, dry_run};
use crate::client::{Client, Path};
use crate::exit::Failure;
use crate::output::{Table, card, data, field, more, printable, time};

/// Characters of an endpoint's answer that are shown.
const ANSWER_CHARS: usize = 60;

/// Messages: the events that were accepted
#[derive(Debug, Subcommand)]
pub(crate) enum Message {
    /// Lists an application's messages, newest first
    #[command(after_help = "Examples:\n  postrider message list --app shop --event-type order.paid\n  \
                            postrider message list --app shop --endpoint main --status fail")]
    List {
        /// The application, by id or uid
        #[arg(long)]
        app: String,
        /// Only those that went to this endpoint, by id or uid, with where they stand
        #[arg(long, value_name = "ENDPOINT")]
        endpoint: Option<String>,
        /// Only those that stand so with the endpoint
        #[arg(long, value_enum, requires = "endpoint")]
        status: Option<Status>,
        /// Only those that no endpoint asked for
        #[arg(long, conflicts_with = "endpoint")]
        unmatched: bool,
        /// Only this event type; may be given many times
        #[arg(long = "event-type", value_name = "TYPE")]
        event_types: Vec<String>,
        /// Accepted before this, such as 2026-01-31T12:00:00Z
        #[arg(long, value_name = "TIME")]
        before: Option<jiff::Timestamp>,
        /// Accepted after this, such as 2026-01-31T12:00:00Z
        #[arg(long, value_name = "TIME")]
        after: Option<jiff::Timestamp>,
        #[command(flatten)]
        page: PageArgs,
    },
    /// Shows a message with its payload
    #[command(after_help = "Example:\n  postrider message get --app shop msg_2ZJ8xkXbM0YvWq5n3cLrT7dHfGa")]
    Get(Which),
    /// Shows where a message stands with each of its endpoints, and why what waits does
    #[command(after_help = "Example:\n  postrider message show --app shop msg_2ZJ8xkXbM0YvWq5n3cLrT7dHfGa")]
    Show(Which),
    /// Says which endpoints a message would go to, and why not to the others; nothing is stored
    #[command(
        after_help = "Example:\n  postrider message dry-run --app shop --type order.paid --payload '{\"amount\": 170}'"
    )]
    DryRun(dry_run::DryRun),
    /// Removes a message's payload for good, or an endpoint's answer to one attempt
    #[command(after_help = "\
Examples:
  postrider message expunge --app shop msg_2ZJ8xkXbM0YvWq5n3cLrT7dHfGa
  postrider message expunge --app shop msg_2ZJ8xkXbM0YvWq5n3cLrT7dHfGa --attempt atmpt_2ZJ8xkXbM0YvWq5n3cLrT7dHfGa")]
    Expunge {
        #[command(flatten)]
        which: Which,
        /// Removes what was answered to this attempt, and leaves the payload
        #[arg(long, value_name = "ATTEMPT")]
        attempt: Option<String>,
    },
    /// Lists the attempts to deliver a message, newest first
    #[command(after_help = "Example:\n  postrider message attempts --app shop msg_2ZJ8xkXbM0YvWq5n3cLrT7dHfGa")]
    Attempts {
        #[command(flatten)]
        which: Which,
        #[command(flatten)]
        page: PageArgs,
    },
    /// Sends a message to an endpoint once more, beside the retry schedule: if it fails, nothing changes
    #[command(after_help = "Example:\n  postrider message resend --app shop msg_2ZJ8xkXbM0YvWq5n3cLrT7dHfGa main")]
    Resend {
        #[command(flatten)]
        which: Which,
        /// The endpoint, by id or uid
        endpoint: String,
    },
}

/// Where a message stands with an endpoint. The numbers are Svix's.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
pub(crate) enum Status {
    /// It was confirmed
    Success = 0,
    /// It waits for an attempt
    Pending = 1,
    /// It is a dead letter
    Fail = 2,
    /// It is on its way
    Sending = 3,
    /// It was cancelled
    Canceled = 4,
}

/// Which message.
#[derive(Args, Debug)]
pub(crate) struct Which {
    /// The application, by id or uid
    #[arg(long)]
    app: String,
    /// The message, by its id or the sender's event id
    message: String,
}

impl Message {
    /// Does it.
    ///
    /// # Errors
    /// The server is not there, or refuses.
    pub(crate) async fn run(self, context: &Context) -> Result<(), Failure> {
        let client = context.client()?;
        match self {
            Self::List { app, endpoint, status, unmatched, event_types, before, after, page } => {
                let types = Some(event_types.join(",")).filter(|types| !types.is_empty());
                let path = match &endpoint {
                    Some(endpoint) => Path::new(["app", &app, "endpoint", endpoint, "msg"])?
                        .query("expanded_statuses", Some(true))
                        .query("status", status.map(|status| status as u8)),
                    None => Path::new(["app", &app, "msg"])?.query("unmatched", unmatched.then_some(true)),
                };
                let path = page.onto(path);
                let path = path.query("event_types", types).query("before", before).query("after", after);
                let path = path.query("with_content", (!context.output.json).then_some(false));
                context.output.answer(&client.get(path).await?, list)
            }
            Self::Show(Which { app, message }) => {
                let path = Path::new(["app", &app, "msg", &message])?.query("with_content", Some(false));
                let found = client.get(path).await?;
                let deliveries = client.get(Path::new(["app", &app, "msg", &message, "delivery"])?).await?;
                let standing = merged(found.clone(), json!({ "deliveries": deliveries.get("data") }));
                let human = |_: &Value| format!("{}\n{}", show(&found, ""), delivery::list(&deliveries));
                context.output.answer(&standing.into(), human)
            }
            Self::DryRun(command) => command.run(context, &client).await,
            Self::Get(Which { app, message }) => {
                let answer = client.get(Path::new(["app", &app, "msg", &message])?).await?;
                let payload = payload(&answer.text)?;
                context.output.answer(&answer, |message| show(message, &payload))
            }
            Self::Expunge { which: Which { app, message }, attempt } => {
                let (path, what) = match &attempt {
                    Some(attempt) => (vec!["app", &app, "msg", &message, "attempt", attempt, "content"], "the answer"),
                    None => (vec!["app", &app, "msg", &message, "content"], "the payload"),
                };
                client.delete(Path::new(path)?).await?;
                let told = json!({ "app": app, "message": message, "attempt": attempt, "expunged": true });
                let note = format!("expunged {what}; it is gone from disk after `retention.expunge`");
                context.output.done(&told, note)
            }
            Self::Attempts { which: Which { app, message }, page } => {
                let path = page.onto(Path::new(["app", &app, "attempt", "msg", &message])?);
                context.output.answer(&client.get(path).await?, attempts)
            }
            Self::Resend { which: Which { app, message }, endpoint } => {
                let path = Path::new(["app", &app, "msg", &message, "endpoint", &endpoint, "resend"])?;
                let answer = client.post(path, &json!({})).await?;
                context.output.answer(&answer, |_| format!("{message} goes out to {endpoint} once more\n"))
            }
        }
    }
}

/// The payload as it was sent, not as a parsed value would be written.
fn payload(message: &str) -> Result<String, Failure> {
    #[derive(Deserialize)]
    struct Payload<'a> {
        #[serde(borrow)]
        payload: &'a RawValue,
    }
    Ok(serde_json::from_str::<Payload<'_>>(message)?.payload.get().to_owned())
}

fn show(message: &Value, payload: &str) -> String {
    card(&[
        ("id", field(message, "id")),
        ("event id", field(message, "eventId")),
        ("event type", field(message, "eventType")),
        ("channels", field(message, "channels")),
        ("accepted", time(message, "timestamp")),
        ("payload", printable(payload)),
    ])
}

fn list(answer: &Value) -> String {
    // Only messages of an endpoint stand somewhere.
    let with_status = data(answer).any(|message| message.get("statusText").is_some());
    let mut headings = vec!["id", "event type", "event id", "accepted"];
    headings.extend(with_status.then_some(["status", "next attempt"]).into_iter().flatten());
    let mut table = Table::new(headings);
    for message in data(answer) {
        let mut row = vec![
            field(message, "id"),
            field(message, "eventType"),
            field(message, "eventId"),
            time(message, "timestamp"),
        ];
        if with_status {
            row.extend([field(message, "statusText"), time(message, "nextAttempt")]);
        }
        table.row(row);
    }
    format!("{table}{}", more(answer))
}

/// The newest attempt of a list; null if there is none or it is not known yet.
pub(crate) async fn newest(client: &Client, attempts: Path) -> Result<Value, Failure> {
    let answer = match client.get(attempts.query("limit", Some(1))).await {
        // What is asked for besides is known all the same.
        Err(error) if error.is_rebuilding() => return Ok(Value::Null),
        answer => answer?,
    };
    Ok(data(&answer).next().cloned().unwrap_or_default())
}

/// What came of an attempt: the answer's status, or how it failed without an answer.
pub(crate) fn outcome(attempt: &Value) -> String {
    let said: String = field(attempt, "response").chars().take(ANSWER_CHARS).collect();
    match status(attempt) {
        Some(status) => format!("{status} {said}").trim_end().to_owned(),
        None => said,
    }
}

fn status(attempt: &Value) -> Option<i64> {
    attempt.get("responseStatusCode").and_then(Value::as_i64).filter(|status| *status > 0)
}

fn attempts(answer: &Value) -> String {
    let mut table = Table::new(["ended", "endpoint", "status", "took", "trigger", "answer"]);
    for attempt in data(answer) {
        // Svix: 0 is scheduled by the retry schedule, 1 by a person.
        let manual = attempt.get("triggerType").and_then(Value::as_i64) == Some(1);
        table.row([
            time(attempt, "timestamp"),
            field(attempt, "endpointId"),
            status(attempt).map_or_else(|| "none".to_owned(), |status| status.to_string()),
            format!("{} ms", field(attempt, "responseDurationMs")),
            if manual { "manual" } else { "schedule" }.to_owned(),
            field(attempt, "response").chars().take(ANSWER_CHARS).collect(),
        ]);
    }
    format!("{table}{}", more(answer))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_payload_is_shown_as_it_was_sent() {
        let text = r#"{"id":"msg_1","payload":{"b": 1.00,"a":[ ]},"timestamp":"x"}"#;
        assert_eq!(payload(text).expect("a message"), r#"{"b": 1.00,"a":[ ]}"#);
    }

    #[test]
    fn messages_of_an_endpoint_show_where_they_stand() {
        let mut answer = json!({ "done": true, "data": [{
            "id": "msg_1", "eventType": "a.b", "eventId": null, "timestamp": "2026-01-02T03:04:05Z",
        }]});
        let plain = "ID     EVENT TYPE  EVENT ID  ACCEPTED\nmsg_1  a.b                   2026-01-02 03:04:05Z\n";
        assert_eq!(list(&answer), plain);
        answer["data"][0]["statusText"] = json!("pending");
        answer["data"][0]["nextAttempt"] = json!("2026-01-02T03:05:00Z");
        let shown = list(&answer);
        let (heading, row) = shown.split_once('\n').expect("two lines");
        assert!(heading.ends_with("STATUS   NEXT ATTEMPT"), "{heading}");
        assert!(row.trim_end().ends_with("pending  2026-01-02 03:05:00Z"), "{row}");
    }

    #[test]
    fn attempts_show_what_the_endpoint_said() {
        let answer = json!({ "done": true, "data": [{
            "timestamp": "2026-01-02T03:04:05Z", "endpointId": "ep_1", "responseStatusCode": 500,
            "responseDurationMs": 12, "triggerType": 0, "response": "oh\nno",
        }, {
            "timestamp": "2026-01-02T03:04:00Z", "endpointId": "ep_1", "responseStatusCode": 0,
            "responseDurationMs": 3, "triggerType": 1, "response": "connect",
        }]});
        let expected = "\
            ENDED                 ENDPOINT  STATUS  TOOK   TRIGGER   ANSWER\n\
            2026-01-02 03:04:05Z  ep_1      500     12 ms  schedule  oh\\nno\n\
            2026-01-02 03:04:00Z  ep_1      none    3 ms   manual    connect\n";
        assert_eq!(attempts(&answer), expected);
        let outcomes: Vec<_> = data(&answer).map(outcome).collect();
        assert_eq!(outcomes, ["500 oh\\nno", "connect"]);
    }
}
