//! `postrider endpoint send-example`: what an event looks like.

use clap::Args;
use serde_json::json;

use super::Context;
use super::app::without_nulls;
use super::endpoint::Which;
use crate::client::Client;
use crate::exit::Failure;
use crate::output::field;

/// Which endpoint, and which example.
#[derive(Args, Debug)]
pub(crate) struct SendExample {
    #[command(flatten)]
    which: Which,
    /// The event type, whose schema says what an example looks like
    #[arg(long = "type", value_name = "TYPE")]
    event_type: String,
    /// Which of the examples that the schema brings along, from 0
    #[arg(long, value_name = "NUMBER")]
    index: Option<u16>,
}

impl SendExample {
    /// Does it.
    ///
    /// # Errors
    /// The server is not there, or refuses.
    pub(super) async fn run(self, context: &Context, client: &Client) -> Result<(), Failure> {
        let body = without_nulls(json!({ "eventType": self.event_type, "exampleIndex": self.index }));
        let answer = client.post(self.which.path(&["send-example"])?, &body).await?;
        context.output.answer(&answer, |message| format!("{}\n", field(message, "id")))
    }
}
