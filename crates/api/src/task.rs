//! Tasks: what goes on in the background.

use axum::extract::State;
use postrider_model::id::TaskId;
use postrider_model::ports::Task;
use serde::Serialize;
use utoipa::ToSchema;

use crate::auth::Caller;
use crate::error::ApiError;
use crate::extract::Path;
use crate::{Context, time};

/// A task as it is shown, in the shape of Svix's background tasks.
#[derive(Serialize, ToSchema)]
#[schema(as = BackgroundTaskOut)]
#[serde(rename_all = "camelCase")]
pub(crate) struct TaskOut {
    #[schema(value_type = String, example = "qtask_0ERdjvfivTenaV7Rk2fIMTFz27h")]
    id: TaskId,
    /// `running` or `finished`.
    status: &'static str,
    task: &'static str,
    data: Progress,
    #[schema(format = DateTime)]
    created_at: String,
}

#[derive(Serialize, ToSchema)]
#[schema(as = BackgroundTaskProgress)]
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

/// Gets a task, and how far it is
#[utoipa::path(
    get,
    path = "/task/{task_id}",
    operation_id = "v1.task.get",
    tag = "Task",
    responses((status = 200, body = TaskOut)),
)]
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
