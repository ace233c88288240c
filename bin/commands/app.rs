//! `postrider app`: your customers.

use clap::Subcommand;
use serde_json::{Value, json};

use super::{Context, PageArgs};
use crate::cli::pair;
use crate::client::Path;
use crate::exit::Failure;
use crate::output::{Table, card, data, field, more, time, with_unit};

/// Applications: your customers, each with its own endpoints
#[derive(Debug, Subcommand)]
pub(crate) enum App {
    /// Creates an application
    #[command(after_help = "Example:\n  postrider app create --name 'Corner shop' --uid shop")]
    Create {
        /// A name for people
        #[arg(long)]
        name: String,
        /// Your own id for it; every command takes it in place of the id
        #[arg(long)]
        uid: Option<String>,
        /// Messages per second that its endpoints get in all
        #[arg(long, value_name = "PER_SECOND")]
        throttle: Option<u32>,
        /// Free for you; may be given many times
        #[arg(long, value_name = "KEY=VALUE", value_parser = pair)]
        metadata: Vec<(String, String)>,
        /// Show the one with this uid if it is there already
        #[arg(long)]
        get_if_exists: bool,
    },
    /// Lists applications
    #[command(after_help = "Example:\n  postrider app list")]
    List {
        #[command(flatten)]
        page: PageArgs,
    },
    /// Shows an application
    #[command(after_help = "Example:\n  postrider app get shop")]
    Get {
        /// Its id or uid
        app: String,
    },
    /// Deletes an application with all of its endpoints; what they wait for is cancelled
    #[command(after_help = "Example:\n  postrider app delete shop")]
    Delete {
        /// Its id or uid
        app: String,
    },
}

impl App {
    /// Does it.
    ///
    /// # Errors
    /// The server is not there, or refuses.
    pub(crate) async fn run(self, context: &Context) -> Result<(), Failure> {
        let client = context.client()?;
        match self {
            Self::Create { name, uid, throttle, metadata, get_if_exists } => {
                let path = Path::new(["app"])?.query("get_if_exists", get_if_exists.then_some(true));
                let body = without_nulls(json!({
                    "name": name,
                    "uid": uid,
                    "throttleRate": throttle,
                    "metadata": metadata.into_iter().collect::<std::collections::BTreeMap<_, _>>(),
                }));
                context.output.answer(&client.post(path, &body).await?, show)
            }
            Self::List { page } => {
                let answer = client.get(page.onto(Path::new(["app"])?)).await?;
                context.output.answer(&answer, list)
            }
            Self::Get { app } => context.output.answer(&client.get(Path::new(["app", &app])?).await?, show),
            Self::Delete { app } => {
                client.delete(Path::new(["app", &app])?).await?;
                context.output.done(&json!({ "app": app, "deleted": true }), format!("deleted application {app}"))
            }
        }
    }
}

/// An object without the members that were not given.
pub(crate) fn without_nulls(mut object: Value) -> Value {
    if let Some(members) = object.as_object_mut() {
        members.retain(|_, value| !value.is_null());
    }
    object
}

fn show(app: &Value) -> String {
    card(&[
        ("id", field(app, "id")),
        ("uid", field(app, "uid")),
        ("name", field(app, "name")),
        ("throttle", with_unit(app, "throttleRate", "a second")),
        ("metadata", field(app, "metadata")),
        ("created", time(app, "createdAt")),
        ("updated", time(app, "updatedAt")),
    ])
}

fn list(answer: &Value) -> String {
    let mut table = Table::new(["id", "uid", "name", "created"]);
    for app in data(answer) {
        table.row([field(app, "id"), field(app, "uid"), field(app, "name"), time(app, "createdAt")]);
    }
    format!("{table}{}", more(answer))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_shows_a_row_for_each_application() {
        let answer = json!({
            "data": [{ "id": "app_1", "uid": "shop", "name": "Shop", "createdAt": "2026-01-02T03:04:05.6Z" }],
            "done": true, "iterator": null,
        });
        let expected = "ID     UID   NAME  CREATED\napp_1  shop  Shop  2026-01-02 03:04:05Z\n";
        assert_eq!(list(&answer), expected);
    }

    #[test]
    fn what_was_not_given_is_not_sent() {
        assert_eq!(without_nulls(json!({ "a": 1, "b": null })), json!({ "a": 1 }));
    }
}
