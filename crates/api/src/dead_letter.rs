//! Dead letters: what was given up, to be seen, replayed or purged.

use http::StatusCode;
use postrider_model::ports::ControlError;
use postrider_model::task::TaskWork;

use crate::Context;
use crate::auth::Caller;
use crate::delivery::{DeliveryOut, names, page_of};
use crate::error::ApiError;
use crate::extract::{Json, Params, Path, State};
use crate::filter::{self, FilterIn, Listed, OfParams};
use crate::page::{List, PageParams, TimeParams, TypeParams};
use crate::task::{self, TaskOut};

/// Lists the dead letters of an application
#[utoipa::path(
    get,
    path = "/app/{app_id}/dead-letter",
    operation_id = "v1.dead-letter.list",
    tag = "Dead Letter",
    params(PageParams, TypeParams, TimeParams, OfParams),
    responses((status = 200, body = List<DeliveryOut>)),
)]
pub(crate) async fn list(
    State(context): State<Context>,
    caller: Caller,
    Path(app): Path<String>,
    params: Params,
) -> Result<axum::Json<List<DeliveryOut>>, ApiError> {
    let filter = filter::of_params(&context, &caller, &app, &params).await?;
    page_of(&context, &params, Listed::Dead, filter).await
}

/// Lists the dead letters of all applications of the tenant
#[utoipa::path(
    get,
    path = "/dead-letter",
    operation_id = "v1.dead-letter.list-all",
    tag = "Dead Letter",
    params(PageParams, TypeParams, TimeParams),
    responses((status = 200, body = List<DeliveryOut>)),
)]
pub(crate) async fn list_all(
    State(context): State<Context>,
    caller: Caller,
    params: Params,
) -> Result<axum::Json<List<DeliveryOut>>, ApiError> {
    let org = caller.whole_org()?;
    page_of(&context, &params, Listed::Dead, filter::of_tenant(org, &params)?).await
}

/// Shows a dead letter
#[utoipa::path(
    get,
    path = "/app/{app_id}/dead-letter/{msg_id}/{endpoint_id}",
    operation_id = "v1.dead-letter.get",
    tag = "Dead Letter",
    responses((status = 200, body = DeliveryOut)),
)]
pub(crate) async fn get(
    State(context): State<Context>,
    caller: Caller,
    Path(path): Path<(String, String, String)>,
) -> Result<axum::Json<DeliveryOut>, ApiError> {
    let (app, message, endpoint) = names(&context, &caller, path).await?;
    let letter = context.read(move |store| {
        let letter = store.dead_letter(app, message, endpoint)?;
        Ok(letter.ok_or(ControlError::NotFound { kind: "dead letter" })?)
    });
    Ok(axum::Json(DeliveryOut::new(&letter.await?, &*context.ports.explain)))
}

/// Gives up a dead letter for good: the delivery is cancelled
#[utoipa::path(
    delete,
    path = "/app/{app_id}/dead-letter/{msg_id}/{endpoint_id}",
    operation_id = "v1.dead-letter.purge",
    tag = "Dead Letter",
    responses((status = 204)),
)]
pub(crate) async fn purge(
    State(context): State<Context>,
    caller: Caller,
    Path(path): Path<(String, String, String)>,
) -> Result<StatusCode, ApiError> {
    caller.whole_org()?;
    let (app, message, endpoint) = names(&context, &caller, path).await?;
    context.ports.control.purge(app, message, endpoint).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Replays all dead letters that match, as a task
#[utoipa::path(
    post,
    path = "/app/{app_id}/dead-letter/replay",
    operation_id = "v1.dead-letter.replay-where",
    tag = "Dead Letter",
    request_body = FilterIn,
    responses((status = 202, body = TaskOut)),
)]
pub(crate) async fn replay_where(
    State(context): State<Context>,
    caller: Caller,
    Path(app): Path<String>,
    Json(filter): Json<FilterIn>,
) -> Result<(StatusCode, axum::Json<TaskOut>), ApiError> {
    let filter = filter.resolve(&context, &caller, &app).await?;
    task::start(&context, TaskWork::ReplayDeadLetters(filter)).await
}
