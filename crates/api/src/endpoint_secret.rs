//! The signing secrets of endpoints.

use std::time::Duration;

use axum::extract::State;
use http::StatusCode;
use postrider_model::command::Command;
use postrider_model::secret::{SECRET_PREFIX, Secret};
use serde::{Deserialize, Serialize};

use crate::Context;
use crate::auth::Caller;
use crate::error::ApiError;
use crate::extract::{Json, Path};
use crate::input::{Field, Problems};

/// How long the old secrets go on signing, in seconds, if nothing is said.
const DEFAULT_GRACE_SECONDS: u64 = 86_400;
/// Seven days.
const MAX_GRACE_SECONDS: u64 = 604_800;

/// A secret from its text; the prefix may be left out, as Svix has it. The
/// text is never repeated.
pub(crate) fn parse_secret(name: &'static str, text: Option<String>, problems: &mut Problems) -> Option<Secret> {
    let text = text?;
    let parsed = match text.starts_with(SECRET_PREFIX) {
        true => Secret::parse(&text),
        false => Secret::parse(&format!("{SECRET_PREFIX}{text}")),
    };
    parsed.map_err(|error| problems.check(name, Err(error.to_string()))).ok()
}

#[derive(Serialize)]
pub(crate) struct SecretOut {
    key: String,
}

pub(crate) async fn get(
    State(context): State<Context>,
    caller: Caller,
    Path((app, endpoint)): Path<(String, String)>,
) -> Result<axum::Json<SecretOut>, ApiError> {
    let endpoint = caller.endpoint(&context, &app, &endpoint, Clone::clone)?;
    let secrets = context.ports.configure.secrets(&endpoint)?;
    let newest = secrets.first().ok_or_else(|| ApiError::internal(&"an endpoint has no secret"))?;
    Ok(axum::Json(SecretOut { key: newest.expose_text().to_string() }))
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct RotateIn {
    key: Field<String>,
    grace_period_seconds: Field<u64>,
}

pub(crate) async fn rotate(
    State(context): State<Context>,
    caller: Caller,
    Path((app, endpoint)): Path<(String, String)>,
    Json(input): Json<RotateIn>,
) -> Result<StatusCode, ApiError> {
    let mut problems = Problems::default();
    let secret = parse_secret("key", input.key.nullable(), &mut problems);
    let grace = input.grace_period_seconds.nullable().unwrap_or(DEFAULT_GRACE_SECONDS);
    if grace > MAX_GRACE_SECONDS {
        let problem = format!("is {grace}, at most {MAX_GRACE_SECONDS} are allowed");
        problems.check("gracePeriodSeconds", Err(problem));
    }
    problems.finish()?;
    let app = caller.app_id(&context, &app)?.to_string();
    let keep_old = Duration::from_secs(grace);
    let command = Command::RotateSecret { org: caller.org(), app, endpoint, secret, keep_old };
    context.ports.configure.execute(command).await?;
    Ok(StatusCode::NO_CONTENT)
}
