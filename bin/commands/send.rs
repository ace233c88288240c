//! `postrider send`: one event through the ingest socket.

use std::io::Read as _;
use std::path::Path;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use clap::Args;
use serde::Serialize;
use serde_json::Value;
use serde_json::value::RawValue;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::UnixStream;

use super::Context;
use crate::client::not_running;
use crate::exit::{DISK_FULL_HINT, Failure};
use crate::output::{field, printable};

/// The longest wait for the answer.
const TIMEOUT: Duration = Duration::from_secs(30);

/// Sends one event and prints its message id, once it is on disk
#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  postrider send --app shop --type order.paid --payload '{\"order\": 7}'\n  \
                        cat order.json | postrider send --app shop --type order.paid --payload -")]
pub(crate) struct Send {
    /// The application, by id or uid
    #[arg(long)]
    app: String,
    /// The event type, such as order.paid
    #[arg(long = "type", value_name = "TYPE")]
    event_type: String,
    /// The payload, forwarded byte for byte; `-` reads standard input
    #[arg(long)]
    payload: String,
    /// A second event with the same key gets the id of the first
    #[arg(long)]
    key: Option<String>,
    /// Your own id for the event
    #[arg(long)]
    event_id: Option<String>,
    /// Goes to endpoints of this channel; may be given many times
    #[arg(long = "channel", value_name = "CHANNEL")]
    channels: Vec<String>,
    /// Events with the same order key reach an endpoint one after the other
    #[arg(long)]
    order_key: Option<String>,
    /// The payload's media type, if it is not JSON
    #[arg(long)]
    content_type: Option<String>,
    /// Makes the application, with this name, if there is none
    #[arg(long, value_name = "NAME")]
    create_app: Option<String>,
}

/// A line of the ingest socket.
#[derive(Serialize)]
struct Line<'a> {
    app: &'a str,
    r#type: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    payload: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    payload_base64: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    content_type: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    event_id: Option<&'a str>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    channels: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    order_key: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    create_app: Option<&'a str>,
}

impl Send {
    /// Does it.
    ///
    /// # Errors
    /// The server is not there, or refuses.
    pub(crate) async fn run(self, context: &Context) -> Result<(), Failure> {
        let socket = context.load()?.config.ingest_socket();
        let payload = payload(&self.payload)?;
        let line = self.line(&payload)?;
        let answer = match tokio::time::timeout(TIMEOUT, exchange(&socket, &line)).await {
            Ok(answer) => answer?,
            Err(_) => {
                return Err(Failure::runtime(format!("no answer within {} s", TIMEOUT.as_secs()))
                    .hint("the event may have been accepted all the same; send it again with the same --key"));
            }
        };
        if let Some(error) = answer.get("error") {
            return Err(refused(error, &self.app));
        }
        context.output.answer(&answer.into(), |answer| format!("{}\n", field(answer, "id")))
    }

    fn line(&self, payload: &[u8]) -> Result<Vec<u8>, Failure> {
        let (mut raw, mut encoded, mut content_type) = (None, None, self.content_type.as_deref());
        if content_type.is_none() {
            let json: &RawValue = serde_json::from_slice(payload).map_err(|error| {
                Failure::usage(format!("the payload is not JSON: {error}"))
                    .hint("for other bodies name their type, such as `--content-type text/plain`")
            })?;
            // A line ends at the first line feed, so a payload of several lines travels encoded.
            if json.get().contains('\n') {
                encoded = Some(STANDARD.encode(json.get()));
                content_type = Some(postrider_model::message::JSON);
            } else {
                raw = Some(json);
            }
        } else {
            encoded = Some(STANDARD.encode(payload));
        }
        let mut line = serde_json::to_vec(&Line {
            app: &self.app,
            r#type: &self.event_type,
            payload: raw,
            payload_base64: encoded,
            content_type,
            key: self.key.as_deref(),
            event_id: self.event_id.as_deref(),
            channels: &self.channels,
            order_key: self.order_key.as_deref(),
            create_app: self.create_app.as_deref(),
        })?;
        line.push(b'\n');
        Ok(line)
    }
}

/// A payload as a flag gives it: itself, or `-` for what standard input has.
///
/// # Errors
/// Standard input cannot be read.
pub(crate) fn payload(given: &str) -> Result<Vec<u8>, Failure> {
    if given != "-" {
        return Ok(given.as_bytes().to_vec());
    }
    let mut bytes = vec![];
    let read = std::io::stdin().lock().read_to_end(&mut bytes);
    read.map_err(|error| Failure::runtime(format!("failed to read standard input: {error}")))?;
    Ok(bytes)
}

/// Sends one line and reads the answer.
async fn exchange(socket: &Path, line: &[u8]) -> Result<Value, Failure> {
    let mut stream = UnixStream::connect(socket).await.map_err(|error| not_running(socket, &error))?;
    let broken = |error: std::io::Error| {
        Failure::runtime(format!("the connection to the server broke: {error}"))
            .hint("the event may have been accepted all the same; send it again with the same --key")
    };
    // A server that refuses the connection says why before it reads.
    let written = stream.write_all(line).await;
    let mut answer = String::new();
    let read = BufReader::new(&mut stream).read_line(&mut answer).await;
    if answer.is_empty() {
        written.and(read).map_err(broken)?;
        return Err(broken(std::io::ErrorKind::UnexpectedEof.into()));
    }
    Ok(serde_json::from_str(&answer)?)
}

fn refused(error: &Value, app: &str) -> Failure {
    let text = |name| error.get(name).and_then(Value::as_str).unwrap_or_default();
    let place = if text("field").is_empty() { String::new() } else { format!("{}: ", text("field")) };
    let failure = Failure::runtime(printable(&format!("{place}{} ({})", text("detail"), text("code"))));
    match (text("code"), error.get("retry_after_ms").and_then(Value::as_u64)) {
        ("unknown_application", _) => failure
            .hint("`postrider app list` shows the applications")
            .hint(format!("`--create-app NAME` makes the application `{app}` with the event")),
        ("disk_full", _) => failure.hint(DISK_FULL_HINT),
        (_, Some(wait_ms)) => failure.hint(format!("try again in {} s", wait_ms.div_ceil(1_000))),
        _ => failure,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn send(payload: &str, content_type: Option<&str>) -> Send {
        Send {
            app: "shop".into(),
            event_type: "a.b".into(),
            payload: payload.into(),
            key: None,
            event_id: None,
            channels: vec![],
            order_key: None,
            content_type: content_type.map(str::to_owned),
            create_app: None,
        }
    }

    fn line(payload: &str, content_type: Option<&str>) -> String {
        let send = send(payload, content_type);
        let line = send.line(payload.as_bytes()).expect("a payload that can be sent");
        String::from_utf8(line).expect("lines are UTF-8")
    }

    #[test]
    fn the_payload_travels_as_it_was_written() {
        let expected = "{\"app\":\"shop\",\"type\":\"a.b\",\"payload\":{\"b\": 1.00,  \"a\":[ ]}}\n";
        assert_eq!(line("  {\"b\": 1.00,  \"a\":[ ]}\n", None), expected);
    }

    #[test]
    fn what_does_not_fit_into_a_line_travels_encoded() {
        let sent: Value = serde_json::from_str(&line("{\n}", None)).expect("a line is JSON");
        let expected = json!({
            "app": "shop", "type": "a.b", "payload_base64": STANDARD.encode("{\n}"), "content_type": "application/json",
        });
        assert_eq!(sent, expected);
        let sent: Value = serde_json::from_str(&line("hi\n", Some("text/plain"))).expect("a line is JSON");
        assert_eq!(field(&sent, "payload_base64"), STANDARD.encode("hi\n"));
        assert_eq!(field(&sent, "content_type"), "text/plain");
    }

    #[test]
    fn a_payload_that_is_no_json_needs_a_type() {
        let failure = send("hello", None).line(b"hello").expect_err("no JSON");
        assert_eq!(failure.exit, crate::exit::Exit::Usage);
        assert!(failure.report().contains("hint: "), "{}", failure.report());
    }

    #[test]
    fn refusals_say_what_to_do() {
        let error = json!({ "code": "unknown_application", "detail": "application not found", "field": "app" });
        let report = refused(&error, "shop").report();
        assert!(report.starts_with("error: app: application not found (unknown_application)\nhint: "), "{report}");
        let error = json!({ "code": "overloaded", "detail": "overloaded", "retry_after_ms": 1_500 });
        assert_eq!(refused(&error, "shop").report(), "error: overloaded (overloaded)\nhint: try again in 2 s\n");
    }
}
