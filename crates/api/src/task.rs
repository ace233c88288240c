//! Tasks: what goes on in the background.

use axum::extract::State;
use postrider_model::id::TaskId;
use postrider_model::ports::Task;
use serde::Serialize;

use crate::auth::Caller;
use crate::error::ApiError;
use crate::extract::Path;
use crate::{Context, time};

/// A task as it is shown, in the shape of Svix's background tasks.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct TaskOut {
    id: TaskId,
    /// `running` or `finished`.
    status: &'static str,
    task: &'static str,
    data: Progress,
    created_at: String,
}

#[derive(Serialize)]
struct Progress {
    /// Deliveries replayed so far.
    replayed: u64,
}

impl From<Task> for TaskOut {
    fn from(task: Task) -> Self {
        Self {
            id: task.id,
            status: if task.finished { "finished" } else { "running" },
            task: "dead_letter.replay",
            data: Progress { replayed: task.replayed },
            created_at: time::text(task.created),
        }
    }
}

pub(crate) async fn get(
    State(context): State<Context>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<axum::Json<TaskOut>, ApiError> {
    let task = id.parse().ok().and_then(|id| context.ports.control.task(id));
    // A task is its application's.
    let task = task.filter(|task| task.filter.app.is_some_and(|app| caller.app_id(&context, &app.to_string()).is_ok()));
    task.map(|task| axum::Json(TaskOut::from(task))).ok_or_else(|| ApiError::not_found("task"))
}
