//! The operator's view of the whole: pause, resume, status.

use http::StatusCode;
use postrider_model::command::Command;
use postrider_model::restoration::Restoration;
use serde::Serialize;
use utoipa::ToSchema;

use crate::auth::Caller;
use crate::error::ApiError;
use crate::extract::State;
use crate::{Context, time};

/// Pauses all deliveries of all tenants
#[utoipa::path(
    post,
    path = "/dispatch/pause",
    operation_id = "v1.dispatch.pause",
    tag = "Operator",
    responses((status = 204)),
)]
pub(crate) async fn pause(State(context): State<Context>, caller: Caller) -> Result<StatusCode, ApiError> {
    set_paused(&context, caller, true).await
}

/// Lets all deliveries go on
#[utoipa::path(
    post,
    path = "/dispatch/resume",
    operation_id = "v1.dispatch.resume",
    tag = "Operator",
    responses((status = 204)),
)]
pub(crate) async fn resume(State(context): State<Context>, caller: Caller) -> Result<StatusCode, ApiError> {
    set_paused(&context, caller, false).await
}

async fn set_paused(context: &Context, caller: Caller, paused: bool) -> Result<StatusCode, ApiError> {
    caller.operator()?;
    context.ports.configure.execute(Command::PauseDispatch { paused }).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// What the tenant has, and what is wrong.
#[derive(Default, Serialize, ToSchema)]
#[schema(as = StatusOut)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Status {
    applications: usize,
    endpoints: usize,
    endpoints_disabled: usize,
    endpoints_paused: usize,
    /// Those that have not shown yet that they want what is sent to them.
    endpoints_unverified: usize,
    event_types: usize,
    /// Since when all dispatch is paused, if it is.
    #[schema(format = DateTime)]
    dispatch_paused_at: Option<String>,
    /// The store was restored from a backup, and dispatch is paused by that.
    restored: Option<Restored>,
    ready: bool,
    /// Empty for all but the operator.
    problems: Vec<String>,
}

/// That the store was restored from a backup; over when dispatch goes on.
#[derive(Serialize, ToSchema)]
#[schema(as = RestoredOut)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Restored {
    /// When it was restored.
    #[schema(format = DateTime)]
    at: String,
    /// When the backup was taken.
    #[schema(format = DateTime)]
    backup_at: String,
    /// The time of the last thing that was restored.
    #[schema(format = DateTime)]
    to: String,
}

impl From<Restoration> for Restored {
    fn from(restoration: Restoration) -> Self {
        let Restoration { at, backup_at, to } = restoration;
        Self { at: time::text(at), backup_at: time::text(backup_at), to: time::text(to) }
    }
}

/// Says what is configured and what is wrong
#[utoipa::path(
    get,
    path = "/status",
    operation_id = "v1.status.get",
    tag = "Operator",
    responses((status = 200, body = Status)),
)]
pub(crate) async fn status(State(context): State<Context>, caller: Caller) -> Result<axum::Json<Status>, ApiError> {
    let org = caller.whole_org()?;
    let problems = context.ports.health.readiness().problems;
    let mut status = Status { ready: problems.is_empty(), ..Status::default() };
    if caller.operator().is_ok() {
        status.problems = problems;
    }
    context.ports.configure.with_config(&mut |config| {
        for entry in config.apps().filter(|entry| entry.app.org == org) {
            status.applications += 1;
            status.endpoints += entry.endpoint_count();
            status.endpoints_disabled += entry.endpoints().filter(|endpoint| endpoint.disabled.is_some()).count();
            status.endpoints_paused += entry.endpoints().filter(|endpoint| endpoint.paused.is_some()).count();
            status.endpoints_unverified += entry.endpoints().filter(|endpoint| endpoint.unverified.is_some()).count();
        }
        status.event_types = config.event_types(org).count();
        status.dispatch_paused_at = config.dispatch_paused().map(time::text);
        status.restored = config.restoration().map(Restored::from);
    });
    Ok(axum::Json(status))
}
