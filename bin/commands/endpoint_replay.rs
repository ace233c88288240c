//! `postrider endpoint recover` and the like: what an endpoint gets again.

use clap::Args;
use serde_json::{Value, json};

use super::app::without_nulls;
use super::endpoint::Which;
use super::{Context, task};
use crate::client::Client;
use crate::exit::Failure;

/// Which endpoint, and which messages by their time.
#[derive(Args, Debug)]
struct Span {
    #[command(flatten)]
    which: Which,
    /// Accepted then or later, such as 2026-01-31T12:00:00Z
    #[arg(long, value_name = "TIME")]
    since: jiff::Timestamp,
    /// Accepted before this
    #[arg(long, value_name = "TIME")]
    until: Option<jiff::Timestamp>,
    /// Do not wait until all are on their way
    #[arg(long)]
    no_wait: bool,
}

impl Span {
    fn body(&self) -> Value {
        json!({ "since": self.since.to_string(), "until": self.until.map(|until| until.to_string()) })
    }

    async fn begin(
        &self,
        context: &Context,
        client: &Client,
        operation: &'static str,
        body: Value,
    ) -> Result<(), Failure> {
        let answer = client.post(self.which.path(&[operation])?, &without_nulls(body)).await?;
        task::begun(context, client, answer, self.no_wait).await
    }
}

/// Which dead letters.
#[derive(Args, Debug)]
pub(crate) struct Recover {
    #[command(flatten)]
    span: Span,
}

impl Recover {
    /// Does it.
    ///
    /// # Errors
    /// The server is not there, or refuses.
    pub(super) async fn run(self, context: &Context, client: &Client) -> Result<(), Failure> {
        self.span.begin(context, client, "recover", self.span.body()).await
    }
}

/// Which messages.
#[derive(Args, Debug)]
pub(crate) struct ReplayMissing {
    #[command(flatten)]
    span: Span,
}

impl ReplayMissing {
    /// Does it.
    ///
    /// # Errors
    /// The server is not there, or refuses.
    pub(super) async fn run(self, context: &Context, client: &Client) -> Result<(), Failure> {
        self.span.begin(context, client, "replay-missing", self.span.body()).await
    }
}

/// Which messages, in more words.
#[derive(Args, Debug)]
pub(crate) struct BulkReplay {
    #[command(flatten)]
    span: Span,
    /// Only this event type; may be repeated
    #[arg(long = "type", value_name = "TYPE")]
    types: Vec<String>,
    /// Only what was sent to this channel
    #[arg(long)]
    channel: Option<String>,
    /// Only what bears this tag
    #[arg(long)]
    tag: Option<String>,
    /// Only what stands so with the endpoint; without it what was delivered and what is a dead letter
    #[arg(long)]
    status: Option<Ended>,
    /// Only what was last answered with a status of this class, such as 500; 0 for no answer
    #[arg(long, value_name = "CLASS")]
    status_code_class: Option<u16>,
}

/// How a delivery has ended, in Svix's words.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Ended {
    Success,
    Fail,
    Canceled,
}

impl BulkReplay {
    /// Does it.
    ///
    /// # Errors
    /// The server is not there, or refuses.
    pub(super) async fn run(self, context: &Context, client: &Client) -> Result<(), Failure> {
        let status = self.status.map(|status| match status {
            Ended::Success => 0,
            Ended::Fail => 2,
            Ended::Canceled => 4,
        });
        let types = (!self.types.is_empty()).then_some(&self.types);
        let narrowing = json!({
            "eventTypes": types,
            "channel": self.channel,
            "tag": self.tag,
            "status": status,
            "statusCodeClass": self.status_code_class,
        });
        let mut body = self.span.body();
        if let (Some(body), Value::Object(narrowing)) = (body.as_object_mut(), narrowing) {
            body.extend(narrowing);
        }
        self.span.begin(context, client, "bulk-replay", body).await
    }
}
