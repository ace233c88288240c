//! The signing secrets of endpoints.

use std::time::Duration;

use postrider_model::command::{Command, Reply};
use postrider_model::endpoint::Endpoint;
use postrider_model::secret::{SECRET_PREFIX, Secret};
use postrider_model::signature::Signature;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::Context;
use crate::auth::Caller;
use crate::error::ApiError;
use crate::extract::{Json, Path, State};
use crate::input::{Field, Problems};

/// How long the old secrets go on signing, in seconds, if nothing is said.
const DEFAULT_GRACE_SECONDS: u64 = 86_400;
/// Seven days.
const MAX_GRACE_SECONDS: u64 = 604_800;

/// A secret for a scheme from its text. The prefix of a symmetric one may be left
/// out, as Svix has it, unless the text itself is the key: base64 has no `_`, so a
/// text without one has no prefix. The text is never repeated.
pub(crate) fn parse_secret(
    name: &'static str,
    text: Option<String>,
    signature: Signature,
    problems: &mut Problems,
) -> Option<Secret> {
    let text = text?;
    let parsed = match text.contains('_') || signature.takes_text() {
        true => signature.parse_secret(&text),
        false => signature.parse_secret(&format!("{SECRET_PREFIX}{text}")),
    };
    parsed.map_err(|error| problems.check(name, Err(error.to_string()))).ok()
}

/// What a receiver verifies with.
#[derive(Serialize, ToSchema)]
#[schema(as = EndpointSecretOut)]
pub(crate) struct SecretOut {
    /// The signing secret, `whsec_...` or as it was given, or the public key of the pair, `whpk_...`.
    #[schema(example = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD")]
    key: String,
}

/// Gets what an endpoint verifies with: its signing secret, or the public key of its pair
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
    newest(&context, &endpoint).map(axum::Json)
}

/// What receivers verify with from now on: of a key pair the public half.
fn newest(context: &Context, endpoint: &Endpoint) -> Result<SecretOut, ApiError> {
    let secrets = context.ports.configure.secrets(endpoint)?;
    let newest = secrets.first().ok_or_else(|| ApiError::internal(&"an endpoint has no secret"))?;
    Ok(SecretOut { key: newest.receivers_text().to_string() })
}

/// The new secret.
#[derive(Default, Deserialize, ToSchema)]
#[schema(as = EndpointSecretRotateIn)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct RotateIn {
    /// `whsec_` and 24 to 75 bytes in base64, or an Ed25519 pair, `whsk_` and 64 bytes; where the endpoint's `signature` is
    /// `github` or `stripe` no pair, but any 8 to 256 printable ASCII characters. One is made if it is left out.
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
    responses((status = 200, body = SecretOut)),
)]
pub(crate) async fn rotate(
    State(context): State<Context>,
    caller: Caller,
    Path((app, endpoint)): Path<(String, String)>,
    Json(input): Json<RotateIn>,
) -> Result<axum::Json<SecretOut>, ApiError> {
    let signature = caller.endpoint(&context, &app, &endpoint, |found| found.fields.signature)?;
    let mut problems = Problems::default();
    let secret = parse_secret("key", input.key.nullable(), signature, &mut problems);
    let grace = input.grace_period_seconds.nullable().unwrap_or(DEFAULT_GRACE_SECONDS);
    if grace > MAX_GRACE_SECONDS {
        let problem = format!("is {grace}, at most {MAX_GRACE_SECONDS} are allowed");
        problems.check("gracePeriodSeconds", Err(problem));
    }
    problems.finish()?;
    let app = caller.app_id(&context, &app)?.to_string();
    let keep_old = Duration::from_secs(grace);
    let command = Command::RotateSecret { org: caller.org(), app, endpoint, secret, keep_old };
    match context.ports.configure.execute(command).await? {
        Reply::Endpoint { endpoint, .. } => newest(&context, &endpoint).map(axum::Json),
        other => Err(ApiError::internal(&format_args!("an endpoint was expected, not {other:?}"))),
    }
}
