//! `postrider task`: what goes on in the background, and how far it is.

use std::time::Duration;

use clap::Subcommand;
use serde_json::Value;

use super::{Context, PageArgs};
use crate::client::{Answer, Client, Path};
use crate::exit::Failure;
use crate::output::{Table, card, data, field, more, time};

/// How often the progress of a task is asked for.
const PROGRESS_INTERVAL: Duration = Duration::from_millis(500);

/// Tasks: recovers and replays that go on in the background, also after a restart
#[derive(Debug, Subcommand)]
pub(crate) enum Task {
    /// Lists tasks, newest first: those that run, and the last 1,000 that have ended
    #[command(after_help = "Example:\n  postrider task list --status running")]
    List {
        /// Only those that are `running` or `finished`
        #[arg(long, value_parser = ["running", "finished"])]
        status: Option<String>,
        /// Only of this kind, such as endpoint.recover
        #[arg(long = "task", value_name = "KIND")]
        kind: Option<String>,
        #[command(flatten)]
        page: PageArgs,
    },
    /// Shows how far a task is
    #[command(after_help = "Example:\n  postrider task show qtask_2ZJ8xkXbM0YvWq5n3cLrT7dHfGa --wait")]
    Show {
        /// The task
        task: String,
        /// Wait until it has ended, and say how far it is meanwhile
        #[arg(long)]
        wait: bool,
    },
}

impl Task {
    /// Does it.
    ///
    /// # Errors
    /// The server is not there, or refuses.
    pub(crate) async fn run(self, context: &Context) -> Result<(), Failure> {
        let client = context.client()?;
        match self {
            Self::List { status, kind, page } => {
                let path = page.onto(Path::new(["task"])?).query("status", status).query("task", kind);
                context.output.answer(&client.get(path).await?, list)
            }
            Self::Show { task, wait } => {
                let task = client.get(Path::new(["task", &task])?).await?;
                let task = if wait { finished(context, &client, task).await? } else { task };
                context.output.answer(&task, show)
            }
        }
    }
}

/// Prints a task that was just begun, once it has ended if that is waited for.
///
/// # Errors
/// The server has gone away.
pub(super) async fn begun(context: &Context, client: &Client, task: Answer, no_wait: bool) -> Result<(), Failure> {
    let task = if no_wait { task } else { finished(context, client, task).await? };
    context
        .output
        .answer(&task, |task| format!("task {} sent {} ({})\n", field(task, "id"), sent(task), field(task, "status")))
}

/// Waits for the end of a task and says how far it is. Interrupting this
/// command does not end the task.
async fn finished(context: &Context, client: &Client, mut task: Answer) -> Result<Answer, Failure> {
    let id = field(&task, "id");
    let mut said = String::new();
    while field(&task, "status") == "running" {
        tokio::time::sleep(PROGRESS_INTERVAL).await;
        task = client.get(Path::new(["task", &id])?).await?;
        let so_far = sent(&task);
        if so_far != said {
            context.output.note(format!("sent {so_far} so far"));
            said = so_far;
        }
    }
    Ok(task)
}

fn sent(task: &Value) -> String {
    of_data(task, "messagesSent")
}

fn of_data(task: &Value, name: &str) -> String {
    task.get("data").map(|data| field(data, name)).unwrap_or_default()
}

fn show(task: &Value) -> String {
    card(&[
        ("id", field(task, "id")),
        ("task", field(task, "task")),
        ("status", field(task, "status")),
        ("sent", sent(task)),
        ("application", of_data(task, "appId")),
        ("endpoint", of_data(task, "endpointId")),
        ("created", time(task, "createdAt")),
        ("updated", time(task, "updatedAt")),
    ])
}

fn list(answer: &Value) -> String {
    let mut table = Table::new(["id", "task", "status", "sent", "endpoint", "created"]);
    for task in data(answer) {
        table.row([
            field(task, "id"),
            field(task, "task"),
            field(task, "status"),
            sent(task),
            of_data(task, "endpointId"),
            time(task, "createdAt"),
        ]);
    }
    format!("{table}{}", more(answer))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_list_says_how_far_each_task_is() {
        let answer = json!({ "done": true, "data": [
            { "id": "qtask_1", "task": "endpoint.recover", "status": "running", "createdAt": "2026-01-02T03:04:05Z",
              "data": { "messagesSent": 7, "endpointId": "ep_1" } },
        ]});
        let expected = "ID       TASK              STATUS   SENT  ENDPOINT  CREATED\n\
                        qtask_1  endpoint.recover  running  7     ep_1      2026-01-02 03:04:05Z\n";
        assert_eq!(list(&answer), expected);
    }
}
