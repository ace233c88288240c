//! Tasks: what goes on in the background. Svix calls them background tasks.

use http::StatusCode;
use postrider_model::id::{AppId, EndpointId, TaskId};
use postrider_model::task::{Task, TaskKind, TaskWork};
use serde::Serialize;
use utoipa::{IntoParams, ToSchema};

use crate::auth::Caller;
use crate::error::ApiError;
use crate::extract::{Params, Path, State};
use crate::page::{Cursor, List, Order, PageParams, PageQuery};
use crate::schema::{TaskKindName, TaskStatus};
use crate::{Context, time};

/// A task as it is shown, in the shape of Svix's background tasks.
#[derive(Serialize, ToSchema)]
#[schema(as = BackgroundTaskOut)]
#[serde(rename_all = "camelCase")]
pub(crate) struct TaskOut {
    #[schema(value_type = String, example = "qtask_0ERdjvfivTenaV7Rk2fIMTFz27h")]
    id: TaskId,
    // What it means is said beside the type: a description here would become a second type.
    #[schema(value_type = TaskStatus, inline)]
    status: &'static str,
    #[schema(value_type = TaskKindName, inline)]
    task: &'static str,
    data: Progress,
    #[schema(format = DateTime)]
    created_at: String,
    #[schema(format = DateTime)]
    updated_at: String,
}

#[derive(Serialize, ToSchema)]
#[schema(as = BackgroundTaskProgress)]
#[serde(rename_all = "camelCase")]
struct Progress {
    /// Messages that it has sent on their way so far.
    messages_sent: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    app_id: Option<AppId>,
    /// The one endpoint that it is about, if there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    endpoint_id: Option<EndpointId>,
}

impl From<&Task> for TaskOut {
    fn from(task: &Task) -> Self {
        Self {
            id: task.id,
            status: status(task),
            task: task.work.kind().as_str(),
            data: Progress { messages_sent: task.sent, app_id: task.work.app(), endpoint_id: task.work.endpoint() },
            created_at: time::text(task.created),
            updated_at: time::text(task.updated),
        }
    }
}

const fn status(task: &Task) -> &'static str {
    if task.finished { "finished" } else { "running" }
}

impl Caller {
    /// A task is its application's: who may not reach that does not see it.
    fn sees(&self, context: &Context, task: &Task) -> bool {
        task.work.app().is_some_and(|app| self.app_id(context, &app.to_string()).is_ok())
    }
}

/// Begins a task.
pub(crate) async fn start(context: &Context, work: TaskWork) -> Result<(StatusCode, axum::Json<TaskOut>), ApiError> {
    let task = context.ports.control.start_task(work).await?;
    Ok((StatusCode::ACCEPTED, axum::Json(TaskOut::from(&task))))
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
    let task = task.filter(|task| caller.sees(&context, task));
    task.map(|task| axum::Json(TaskOut::from(&task))).ok_or_else(|| ApiError::not_found("task"))
}

/// Gets a task, and how far it is
#[utoipa::path(
    get,
    path = "/background-task/{task_id}",
    operation_id = "v1.background-task.get",
    tag = "Task",
    responses((status = 200, body = TaskOut)),
)]
pub(crate) async fn get_background(
    state: State<Context>,
    caller: Caller,
    path: Path<String>,
) -> Result<axum::Json<TaskOut>, ApiError> {
    get(state, caller, path).await
}

/// Which tasks.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "this only describes what `answer` reads")]
pub(crate) struct TaskParams {
    /// Only those that are in this state. None fails.
    #[param(value_type = Option<TaskStatus>, inline)]
    status: Option<String>,
    /// Only those of this kind.
    #[param(value_type = Option<TaskKindName>, inline)]
    task: Option<String>,
}

/// Lists tasks of every kind
#[utoipa::path(
    get,
    path = "/task",
    operation_id = "v1.task.list",
    tag = "Task",
    params(PageParams, TaskParams),
    responses((status = 200, body = List<TaskOut>)),
)]
pub(crate) async fn list(
    State(context): State<Context>,
    caller: Caller,
    params: Params,
) -> Result<axum::Json<List<TaskOut>>, ApiError> {
    answer(&context, &caller, &params, |_| true)
}

/// Lists tasks of the kinds that Svix knows, and of another one only if it is asked for
///
/// Svix's SDKs refuse a list with a kind in it that they do not know.
#[utoipa::path(
    get,
    path = "/background-task",
    operation_id = "v1.background-task.list",
    tag = "Task",
    params(PageParams, TaskParams),
    responses((status = 200, body = List<TaskOut>)),
)]
pub(crate) async fn list_background(
    State(context): State<Context>,
    caller: Caller,
    params: Params,
) -> Result<axum::Json<List<TaskOut>>, ApiError> {
    answer(&context, &caller, &params, |kind| kind != TaskKind::ReplayDeadLetters)
}

fn answer(
    context: &Context,
    caller: &Caller,
    params: &Params,
    by_itself: impl Fn(TaskKind) -> bool,
) -> Result<axum::Json<List<TaskOut>>, ApiError> {
    let query = PageQuery::read(params, Cursor::Task, Order::Descending)?;
    let wanted_status = params.parsed("status", "`running`, `finished` or `failed`", |text| {
        ["running", "finished", "failed"].into_iter().find(|known| *known == text)
    })?;
    let wanted_kind = params.parsed("task", &format!("one of {}", names()), |text| {
        TaskKind::ALL.into_iter().find(|kind| kind.as_str() == text)
    })?;
    let is_wanted = |task: &Task| {
        let kind = task.work.kind();
        wanted_kind.map_or_else(|| by_itself(kind), |wanted| kind == wanted)
            && wanted_status.is_none_or(|wanted| status(task) == wanted)
            && caller.sees(context, task)
    };
    let mut tasks = context.ports.control.tasks();
    tasks.retain(is_wanted);
    let key = |task: &Task| task.id.as_bytes().to_vec();
    let page = query.cut(tasks.into_iter(), key);
    Ok(axum::Json(query.answer(&page, |task| Some(key(task)), TaskOut::from)))
}

fn names() -> String {
    TaskKind::ALL.map(|kind| format!("`{kind}`")).join(", ")
}
