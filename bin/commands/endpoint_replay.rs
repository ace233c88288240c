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
