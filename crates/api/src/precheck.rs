//! Whether a message would go anywhere.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::Context;
use crate::auth::Caller;
use crate::error::ApiError;
use crate::extract::{Json, Path, State};
use crate::input::{Field, Problems};
use crate::message;
use crate::schema::{Channel, EventTypeName};

/// The message that might be sent.
#[derive(Default, Deserialize, ToSchema)]
#[schema(as = MessagePrecheckIn)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct PrecheckIn {
    #[schema(value_type = EventTypeName, required)]
    event_type: Field<String>,
    #[schema(value_type = Option<Vec<Channel>>, min_items = 1, max_items = 5)]
    channels: Field<BTreeSet<String>>,
}

/// Whether it would go anywhere.
#[derive(Serialize, ToSchema)]
#[schema(as = MessagePrecheckOut)]
pub(crate) struct PrecheckOut {
    /// An endpoint that is not disabled asked for such messages. There is no payload that its filter could be asked of.
    active: bool,
}

/// Says whether an endpoint that is not disabled asked for such messages
#[utoipa::path(
    post,
    path = "/app/{app_id}/msg/precheck/active",
    operation_id = "v1.message.precheck",
    tag = "Message",
    request_body = PrecheckIn,
    responses((status = 200, body = PrecheckOut)),
)]
pub(crate) async fn active(
    State(context): State<Context>,
    caller: Caller,
    Path(app): Path<String>,
    Json(input): Json<PrecheckIn>,
) -> Result<axum::Json<PrecheckOut>, ApiError> {
    let mut problems = Problems::default();
    let (event_type, channels) = message::kind(input.event_type, input.channels, &mut problems);
    problems.finish()?;
    let wants = |entry: &postrider_model::config::AppEntry| {
        let mut enabled = entry.endpoints().filter(|endpoint| endpoint.disabled.is_none());
        enabled.any(|endpoint| endpoint.fields.may_want(&event_type, &channels))
    };
    Ok(axum::Json(PrecheckOut { active: caller.app(&context, &app, wants)? }))
}
