//! The signing secrets of endpoints.

use std::time::Duration;

use axum::extract::State;
use http::StatusCode;
use postrider_model::command::Command;
use postrider_model::secret::{SECRET_PREFIX, Secret};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

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

/// A signing secret.
#[derive(Serialize, ToSchema)]
#[schema(as = EndpointSecretOut)]
pub(crate) struct SecretOut {
    #[schema(example = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD")]
    key: String,
}

/// Gets the secret by which requests to an endpoint are signed
#[utoipa::path(
    get,
    path = "/app/{app_id}/endpoint/{endpoint_id}/secret",
    operation_id = "v1.endpoint.get-secret",
    tag = "Endpoint",
    responses((status = 200, body = SecretOut)),
)]
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

/// The new secret.
#[derive(Default, Deserialize, ToSchema)]
#[schema(as = EndpointSecretRotateIn)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct RotateIn {
    /// `whsec_` and 24 to 75 bytes in base64; one is made if it is left out.
    #[schema(value_type = Option<String>, max_length = 256, example = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD")]
    key: Field<String>,
    /// How long the old secret signs on, in seconds.
    #[schema(value_type = Option<u64>, maximum = 604_800, default = 86_400)]
    grace_period_seconds: Field<u64>,
}

/// Gives an endpoint a new secret; the old one goes on signing for a while
#[utoipa::path(
    post,
    path = "/app/{app_id}/endpoint/{endpoint_id}/secret/rotate",
    operation_id = "v1.endpoint.rotate-secret",
    tag = "Endpoint",
    request_body = RotateIn,
    responses((status = 204)),
)]
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
