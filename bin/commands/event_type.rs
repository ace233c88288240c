//! `postrider event-type`: what kinds of things happen.

use clap::Subcommand;
use serde_json::{Value, json};

use super::{Context, PageArgs};
use crate::client::Path;
use crate::exit::Failure;
use crate::output::{Table, card, data, field, more, time};

/// Event types: the catalogue of what can happen, for people and tools
#[derive(Debug, Subcommand)]
pub(crate) enum EventType {
    /// Adds an event type
    #[command(after_help = "Example:\n  postrider event-type create order.paid --description 'An order was paid'")]
    Create {
        /// Its name: letters, digits, `-`, `_`, and dots between the levels
        name: String,
        /// What it means
        #[arg(long, default_value = "")]
        description: String,
    },
    /// Lists event types
    #[command(after_help = "Example:\n  postrider event-type list")]
    List {
        #[command(flatten)]
        page: PageArgs,
    },
    /// Shows an event type
    #[command(after_help = "Example:\n  postrider event-type get order.paid")]
    Get {
        /// Its name
        name: String,
    },
    /// Archives an event type; messages of it still pass
    #[command(after_help = "Example:\n  postrider event-type delete order.paid")]
    Delete {
        /// Its name
        name: String,
    },
}

impl EventType {
    /// Does it.
    ///
    /// # Errors
    /// The server is not there, or refuses.
    pub(crate) async fn run(self, context: &Context) -> Result<(), Failure> {
        let client = context.client()?;
        match self {
            Self::Create { name, description } => {
                let body = json!({ "name": name, "description": description });
                context.output.answer(&client.post(Path::new(["event-type"])?, &body).await?, show)
            }
            Self::List { page } => {
                let answer = client.get(page.onto(Path::new(["event-type"])?)).await?;
                context.output.answer(&answer, list)
            }
            Self::Get { name } => context.output.answer(&client.get(Path::new(["event-type", &name])?).await?, show),
            Self::Delete { name } => {
                client.delete(Path::new(["event-type", &name])?).await?;
                context.output.note(format!("archived event type {name}"));
                Ok(())
            }
        }
    }
}

fn show(event_type: &Value) -> String {
    card(&[
        ("name", field(event_type, "name")),
        ("description", field(event_type, "description")),
        ("archived", field(event_type, "archived")),
        ("created", time(event_type, "createdAt")),
    ])
}

fn list(answer: &Value) -> String {
    let mut table = Table::new(["name", "description"]);
    for event_type in data(answer) {
        table.row([field(event_type, "name"), field(event_type, "description")]);
    }
    format!("{table}{}", more(answer))
}
