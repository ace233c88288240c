//! Removing what should not have been sent, or answered.

use http::StatusCode;
use postrider_model::id::AttemptId;

use crate::Context;
use crate::auth::Caller;
use crate::error::ApiError;
use crate::extract::{Path, State};
use crate::message;

/// Removes a message's payload for good
#[utoipa::path(
    delete,
    path = "/app/{app_id}/msg/{msg_id}/content",
    operation_id = "v1.message.expunge-content",
    tag = "Message",
    responses((status = 204)),
)]
pub(crate) async fn payload(
    State(context): State<Context>,
    caller: Caller,
    Path((app, message)): Path<(String, String)>,
) -> Result<StatusCode, ApiError> {
    caller.whole_org()?;
    let app = caller.app_id(&context, &app)?;
    let message = message::find_id(&context, app, message).await?;
    context.ports.expunge.expunge_payload(app, message).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Removes what an endpoint answered to an attempt
#[utoipa::path(
    delete,
    path = "/app/{app_id}/msg/{msg_id}/attempt/{attempt_id}/content",
    operation_id = "v1.message-attempt.expunge-content",
    tag = "Message Attempt",
    responses((status = 204)),
)]
pub(crate) async fn response(
    State(context): State<Context>,
    caller: Caller,
    Path((app, message, attempt)): Path<(String, String, String)>,
) -> Result<StatusCode, ApiError> {
    caller.whole_org()?;
    let app = caller.app_id(&context, &app)?;
    let message = message::find_id(&context, app, message).await?;
    let attempt = attempt.parse::<AttemptId>().map_err(|_| ApiError::not_found("attempt"))?;
    context.ports.expunge.expunge_response(app, message, attempt).await?;
    Ok(StatusCode::NO_CONTENT)
}
