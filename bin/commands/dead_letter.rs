//! `postrider dead-letter`: what was given up, and how it goes out again or goes away.

use clap::Subcommand;
use serde_json::{Value, json};

use super::delivery::{Filter, Only, Which, attempts_made, last_attempt, one_or_all, show, standing};
use super::endpoint::merged;
use super::{Context, PageArgs, task};
use crate::client::Path;
use crate::exit::Failure;
use crate::output::{Table, data, field, more, time};

/// Dead letters: deliveries that were given up; each stays until someone replays or purges it, or for `retention.dead_letters`
#[derive(Debug, Subcommand)]
pub(crate) enum DeadLetter {
    /// Lists dead letters, of one application or of all
    #[command(after_help = "Examples:\n  postrider dead-letter list\n  \
                            postrider dead-letter list --app shop --endpoint main")]
    List {
        /// The application, by id or uid
        #[arg(long)]
        app: Option<String>,
        #[command(flatten)]
        only: Only,
        #[command(flatten)]
        page: PageArgs,
    },
    /// Shows one dead letter, with what came of its last attempt
    #[command(after_help = "Example:\n  postrider dead-letter show --app shop msg_2ZJ8xkXbM0YvWq5n3cLrT7dHfGa main")]
    Show(Which),
    /// Gives up one dead letter for good: the delivery is cancelled
    #[command(after_help = "Example:\n  postrider dead-letter purge --app shop msg_2ZJ8xkXbM0YvWq5n3cLrT7dHfGa main")]
    Purge(Which),
    /// Sends one dead letter again, or all that match, each with a fresh retry schedule
    #[command(
        after_help = "Examples:\n  postrider dead-letter replay --app shop msg_2ZJ8xkXbM0YvWq5n3cLrT7dHfGa main\n  \
                            postrider dead-letter replay --app shop --endpoint main --all"
    )]
    Replay {
        /// The message; without it, all that match are meant
        #[arg(requires = "to")]
        message: Option<String>,
        /// The endpoint, by id or uid
        #[arg(value_name = "ENDPOINT")]
        to: Option<String>,
        #[command(flatten)]
        filter: Filter,
        /// Really all that match: needed where no message and endpoint are named
        #[arg(long, conflicts_with = "message")]
        all: bool,
        /// Do not wait until all are on their way
        #[arg(long)]
        no_wait: bool,
    },
}

impl DeadLetter {
    /// Does it.
    ///
    /// # Errors
    /// The server is not there, or refuses.
    pub(crate) async fn run(self, context: &Context) -> Result<(), Failure> {
        let client = context.client()?;
        match self {
            Self::List { app, only, page } => {
                let path = match &app {
                    Some(app) => Path::new(["app", app, "dead-letter"])?,
                    None => Path::new(["dead-letter"])?,
                };
                context.output.answer(&client.get(only.onto(page.onto(path))).await?, list)
            }
            Self::Show(Which { app, message, endpoint }) => {
                let letter = client.get(Path::new(["app", &app, "dead-letter", &message, &endpoint])?).await?;
                let attempt = last_attempt(&client, &app, &message, &endpoint).await?;
                context.output.answer(&merged((*letter).clone(), json!({ "lastAttempt": attempt })).into(), show)
            }
            Self::Purge(Which { app, message, endpoint }) => {
                client.delete(Path::new(["app", &app, "dead-letter", &message, &endpoint])?).await?;
                let told = json!({ "app": app, "message": message, "endpoint": endpoint, "purged": true });
                context.output.done(&told, format!("purged the dead letter of {message} to {endpoint}"))
            }
            Self::Replay { message: Some(message), to: Some(to), filter, .. } => {
                let path = Path::new(["app", &filter.app, "msg", &message, "delivery", &to, "replay"])?;
                client.post(path, &json!({})).await?;
                let told = json!({ "app": filter.app, "message": message, "endpoint": to, "replayed": true });
                context.output.done(&told, format!("{message} goes out to {to} again"))
            }
            Self::Replay { all: false, .. } => Err(one_or_all()),
            Self::Replay { filter, no_wait, .. } => {
                let path = Path::new(["app", &filter.app, "dead-letter", "replay"])?;
                let task = client.post(path, &filter.only.body()).await?;
                task::begun(context, &client, task, no_wait).await
            }
        }
    }
}

fn list(answer: &Value) -> String {
    let mut table = Table::new(["message", "endpoint", "event type", "died", "attempts", "state"]);
    for letter in data(answer) {
        table.row([
            field(letter, "msgId"),
            field(letter, "endpointId"),
            field(letter, "eventType"),
            time(letter, "endedAt"),
            attempts_made(letter),
            standing(letter),
        ]);
    }
    format!("{table}{}", more(answer))
}
