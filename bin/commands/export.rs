//! `postrider export`: what a server knows, as lines of JSON.

use std::io::{self, BufWriter, Stdout, Write as _};

use clap::{Args, ValueEnum};
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};

use super::Context;
use crate::client::{Client, ClientError, Path};
use crate::exchange::{FORMAT, Pages};
use crate::exit::Failure;
use crate::output::field;
use crate::progress::Progress;

/// Members of a page of lists without payloads.
const PAGE: u16 = 250;
/// Messages of a page: each may have a payload of a megabyte.
const MESSAGES: u16 = 50;

/// Writes what a running server knows as lines of JSON, which `import` reads
///
/// Applications and their endpoints are always there, since all else refers to them. It is
/// no snapshot: what changes meanwhile may be there as it was or as it is.
#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  postrider export > all.ndjson\n  \
                  postrider export --what dead-letters --app shop > dead.ndjson\n\n\
                  docs/exchange.md has the lines and their fields.")]
pub(crate) struct Export {
    /// What to write
    #[arg(long, value_enum, default_value_t = What::All)]
    what: What,
    /// Only this application, by id or uid; may be given many times
    #[arg(long = "app", value_name = "APP")]
    apps: Vec<String>,
    /// Only messages accepted after this time, and dead letters dead after it, such as 2026-11-23T18:00:00Z
    #[arg(long)]
    after: Option<jiff::Timestamp>,
    /// Only messages accepted before this time, and dead letters dead before it [default: now]
    #[arg(long)]
    before: Option<jiff::Timestamp>,
    /// Write the endpoints' signing secrets, too
    #[arg(long)]
    with_secrets: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum What {
    /// Event types, applications and endpoints
    Config,
    /// Messages, and where each delivery stands
    Messages,
    /// Dead letters, with their messages
    DeadLetters,
    /// All of it
    All,
}

impl What {
    fn has_event_types(self) -> bool {
        matches!(self, Self::Config | Self::All)
    }

    fn has_messages(self) -> bool {
        matches!(self, Self::Messages | Self::All)
    }

    fn has_dead_letters(self) -> bool {
        matches!(self, Self::DeadLetters | Self::All)
    }
}

impl Export {
    /// Does it.
    ///
    /// # Errors
    /// The server is not there, or refuses; standard output cannot be written.
    pub(crate) async fn run(self, context: &Context) -> Result<(), Failure> {
        if self.with_secrets {
            context.output.note("the file holds signing secrets: whoever reads it can sign in their name");
        }
        // What is accepted meanwhile would go on for ever.
        let before = self.before.unwrap_or_else(jiff::Timestamp::now);
        let client = context.client()?;
        let mut exporter = Exporter {
            before: before.to_string(),
            client: &client,
            wanted: &self,
            out: Lines { out: BufWriter::new(io::stdout()), lines: 0 },
            progress: Progress::start(context.output, "applications"),
            left_out: 0,
        };
        let done = exporter.export().await;
        let Exporter { out, progress, left_out, .. } = exporter;
        progress.end();
        done?;
        let lines = out.finish()?;
        context.output.note(format!("exported {lines} lines"));
        if left_out > 0 {
            context.output.note(format!("left out {left_out} that were deleted meanwhile or are damaged"));
        }
        Ok(())
    }
}

/// Standard output.
struct Lines {
    out: BufWriter<Stdout>,
    lines: u64,
}

impl Lines {
    fn write(&mut self, line: &str) -> Result<(), Failure> {
        self.lines += 1;
        written(writeln!(self.out, "{line}"))
    }

    fn finish(mut self) -> Result<u64, Failure> {
        written(self.out.flush()).map(|()| self.lines)
    }
}

fn written(result: io::Result<()>) -> Result<(), Failure> {
    result.map_err(|error| match error.kind() {
        // Half a file would be taken for a whole one.
        io::ErrorKind::BrokenPipe => Failure::runtime("standard output was closed before all was written"),
        _ => Failure::system("failed to write to standard output", &error),
    })
}

struct Exporter<'a> {
    client: &'a Client,
    wanted: &'a Export,
    before: String,
    out: Lines,
    progress: Progress,
    /// Endpoints, messages and rests of applications that were gone when they were asked for, or are damaged.
    left_out: u64,
}

impl Exporter<'_> {
    async fn export(&mut self) -> Result<(), Failure> {
        let Export { what, with_secrets, .. } = *self.wanted;
        self.out.write(&header(what, with_secrets).to_string())?;
        if what.has_event_types() {
            let path =
                Path::new(["event-type"])?.query("include_archived", Some(true)).query("with_content", Some(true));
            let mut pages = Pages::new(self.client, path, PAGE);
            while let Some(page) = pages.next().await? {
                for event_type in page {
                    self.out.write(&line("eventType", &[], &event_type, &[])?)?;
                }
            }
        }
        let apps = self.applications().await?;
        for (done, app) in apps.iter().enumerate() {
            self.progress.set(done as u64, apps.len() as u64);
            self.application(app).await?;
        }
        let end = json!({ "kind": "end", "lines": self.out.lines });
        self.out.write(&end.to_string())
    }

    async fn applications(&self) -> Result<Vec<Value>, Failure> {
        let mut apps = vec![];
        for app in &self.wanted.apps {
            apps.push((*self.client.get(Path::new(["app", app])?).await?).clone());
        }
        if self.wanted.apps.is_empty() {
            let mut pages = Pages::new(self.client, Path::new(["app"])?, PAGE);
            while let Some(page) = pages.next().await? {
                for app in page {
                    apps.push(serde_json::from_str(app.get())?);
                }
            }
        }
        Ok(apps)
    }

    async fn application(&mut self, app: &Value) -> Result<(), Failure> {
        let id = field(app, "id");
        self.out.write(&line("application", &[], &raw(app)?, &[])?)?;
        let mut pages = Pages::new(self.client, Path::new(["app", &id, "endpoint"])?, PAGE);
        while let Some(page) = self.there(pages.next().await)?.flatten() {
            for endpoint in page {
                self.endpoint(&id, &endpoint).await?;
            }
        }
        if self.wanted.what.has_messages() {
            let path = Path::new(["app", &id, "msg"])?.query("with_content", Some(true));
            let mut pages = Pages::new(self.client, self.between(path), MESSAGES);
            while let Some(page) = self.there(pages.next().await)?.flatten() {
                for message in page {
                    self.message(&id, &message).await?;
                }
                self.progress.say(format!("applications, {} lines written", self.out.lines));
            }
        }
        if self.wanted.what.has_dead_letters() {
            let path = Path::new(["app", &id, "dead-letter"])?;
            let mut pages = Pages::new(self.client, self.between(path), PAGE);
            while let Some(page) = self.there(pages.next().await)?.flatten() {
                for letter in page {
                    self.dead_letter(&id, &letter).await?;
                }
                self.progress.say(format!("applications, {} lines written", self.out.lines));
            }
        }
        Ok(())
    }

    /// What was deleted since it was listed, or is damaged, is left out: it must not end the export.
    fn there<T>(&mut self, found: Result<T, ClientError>) -> Result<Option<T>, Failure> {
        match found {
            Err(error) if error.is_gone_or_damaged() => {
                self.left_out += 1;
                Ok(None)
            }
            found => Ok(Some(found?)),
        }
    }

    /// Oldest first, within the times that are wanted.
    fn between(&self, path: Path) -> Path {
        path.query("order", Some("ascending")).query("before", Some(&self.before)).query("after", self.wanted.after)
    }

    async fn endpoint(&mut self, app: &str, endpoint: &RawValue) -> Result<(), Failure> {
        let shown: Value = serde_json::from_str(endpoint.get())?;
        let id = field(&shown, "id");
        let headers = self.client.get(Path::new(["app", app, "endpoint", &id, "headers"])?).await;
        let Some(headers) = self.there(headers)? else { return Ok(()) };
        let member = |name| headers.get(name).cloned().unwrap_or_default();
        let mut more = vec![("headers", raw(&member("headers"))?), ("sensitiveHeaders", raw(&member("sensitive"))?)];
        if self.wanted.with_secrets {
            let secret = self.client.get(Path::new(["app", app, "endpoint", &id, "secret"])?).await;
            let Some(secret) = self.there(secret)? else { return Ok(()) };
            more.push(("secret", raw(secret.get("key").unwrap_or(&Value::Null))?));
        }
        self.out.write(&line("endpoint", &[("appId", raw(&json!(app))?)], endpoint, &more)?)
    }

    async fn message(&mut self, app: &str, message: &RawValue) -> Result<(), Failure> {
        let id = id_of(message)?;
        let found = self.client.get(Path::new(["app", app, "msg", &id, "delivery"])?).await;
        let Some(found) = self.there(found)? else { return Ok(()) };
        let deliveries = found.get("data").and_then(Value::as_array).into_iter().flatten().map(delivery);
        let more = [("deliveries", raw(&deliveries.collect::<Vec<_>>().into())?)];
        self.out.write(&line("message", &[("appId", raw(&json!(app))?)], &one_line(message)?, &more)?)
    }

    async fn dead_letter(&mut self, app: &str, letter: &RawValue) -> Result<(), Failure> {
        let letter: Value = serde_json::from_str(letter.get())?;
        let id = field(&letter, "msgId");
        let found = self.client.get(Path::new(["app", app, "msg", &id])?.query("with_content", Some(true))).await;
        // One that is expunged or damaged is listed all the same.
        let message = match found {
            Ok(answer) => one_line(&RawValue::from_string(answer.text)?)?,
            Err(error) if error.is_gone_or_damaged() => raw(&Value::Null)?,
            Err(error) => return Err(error.into()),
        };
        let kept = members(
            &letter,
            &["appId", "msgId", "endpointId", "eventType", "acceptedAt", "attempt", "endedAt", "reason"],
        );
        self.out.write(&line("deadLetter", &[], &raw(&kept)?, &[("message", message)])?)
    }
}

fn header(what: What, with_secrets: bool) -> Value {
    let what = what.to_possible_value().map(|value| value.get_name().to_owned());
    json!({
        "kind": "header", "format": FORMAT, "postrider": env!("CARGO_PKG_VERSION"),
        "exportedAt": format!("{:.3}", jiff::Timestamp::now()), "what": what, "withSecrets": with_secrets,
    })
}

/// Where a delivery stands, without why it waits, which is over when somebody reads it.
fn delivery(shown: &Value) -> Value {
    members(shown, &["endpointId", "state", "attempt", "dueAt", "endedAt", "reason", "resending"])
}

fn members(object: &Value, names: &[&str]) -> Value {
    let kept = names.iter().filter_map(|name| Some(((*name).to_owned(), object.get(*name)?.clone())));
    kept.collect::<Map<_, _>>().into()
}

fn raw(value: &Value) -> Result<Box<RawValue>, Failure> {
    Ok(RawValue::from_string(value.to_string())?)
}

fn id_of(object: &RawValue) -> Result<String, Failure> {
    #[derive(Deserialize)]
    struct Named {
        id: String,
    }
    let Named { id } = serde_json::from_str(object.get())?;
    Ok(id)
}

/// A message as one line. A payload that has line breaks between its parts goes encoded, so
/// that its bytes stay what they are.
fn one_line(message: &RawValue) -> Result<Box<RawValue>, Failure> {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;

    if !message.get().contains(['\n', '\r']) {
        return Ok(message.to_owned());
    }
    let members: std::collections::BTreeMap<String, &RawValue> = serde_json::from_str(message.get())?;
    let mut parts = vec![];
    for (name, value) in members {
        parts.push(match name.as_str() {
            "payload" => format!("\"payloadBase64\":\"{}\"", STANDARD.encode(value.get())),
            _ => format!("{}:{}", json!(name), value.get()),
        });
    }
    Ok(RawValue::from_string(format!("{{{}}}", parts.join(",")))?)
}

/// An object with its kind, members before those that it has, and members behind them. What
/// the server wrote stays as it wrote it.
fn line(
    kind: &str,
    before: &[(&str, Box<RawValue>)],
    object: &RawValue,
    behind: &[(&str, Box<RawValue>)],
) -> Result<String, Failure> {
    let inner = object.get().trim().strip_prefix('{').and_then(|rest| rest.strip_suffix('}'));
    let inner = inner
        .ok_or_else(|| Failure::runtime("failed to read the server's answer: a list has a member that is no object"))?;
    let member = |(name, value): &(&str, Box<RawValue>)| format!("\"{name}\":{}", value.get());
    let kind = format!("\"kind\":\"{kind}\"");
    let inner = Some(inner.trim().to_owned()).filter(|inner| !inner.is_empty());
    let parts = [kind].into_iter().chain(before.iter().map(member)).chain(inner).chain(behind.iter().map(member));
    Ok(format!("{{{}}}", parts.collect::<Vec<_>>().join(",")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn boxed(text: &str) -> Box<RawValue> {
        RawValue::from_string(text.to_owned()).expect("it is JSON")
    }

    #[test]
    fn what_the_server_wrote_stays_as_it_is() {
        let written =
            line("message", &[("appId", boxed("\"a\""))], &boxed("{\"payload\":{\"b\": 1.00}}"), &[("x", boxed("[]"))]);
        let written = written.map_err(|failure| failure.error);
        assert_eq!(written, Ok(r#"{"kind":"message","appId":"a","payload":{"b": 1.00},"x":[]}"#.to_owned()));
        let empty = line("end", &[], &boxed("{}"), &[]).map_err(|failure| failure.error);
        assert_eq!(empty, Ok(r#"{"kind":"end"}"#.to_owned()));
    }

    #[test]
    fn a_payload_of_several_lines_goes_encoded() {
        let message = one_line(&boxed("{\"id\":\"m\",\"payload\":{\n}}")).map_err(|failure| failure.error);
        let message = message.expect("it is an object");
        assert_eq!(message.get(), r#"{"id":"m","payloadBase64":"ewp9"}"#);
    }
}
