//! The headers that an endpoint gets beside ours.

use std::collections::{BTreeMap, BTreeSet};

use http::StatusCode;
use postrider_model::command::{Command, Write};
use postrider_model::credentials;
use postrider_model::endpoint::EndpointFields;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::Context;
use crate::auth::Caller;
use crate::error::ApiError;
use crate::extract::{Json, Path, State};
use crate::input::{Field, Problems};

/// The headers as they are shown: of those in `sensitive` only the names.
#[derive(Serialize, ToSchema)]
#[schema(as = EndpointHeadersOut)]
pub(crate) struct HeadersOut {
    headers: BTreeMap<String, String>,
    sensitive: BTreeSet<String>,
}

/// Gets the headers that an endpoint adds to each request
#[utoipa::path(
    get,
    path = "/app/{app_id}/endpoint/{endpoint_id}/headers",
    operation_id = "v1.endpoint.get-headers",
    tag = "Endpoint",
    responses((status = 200, body = HeadersOut)),
)]
pub(crate) async fn get(
    State(context): State<Context>,
    caller: Caller,
    Path((app, endpoint)): Path<(String, String)>,
) -> Result<axum::Json<HeadersOut>, ApiError> {
    let all = caller.endpoint(&context, &app, &endpoint, |found| found.fields.headers.clone())?;
    let (sensitive, headers): (BTreeMap<_, _>, BTreeMap<_, _>) =
        all.into_iter().partition(|(name, _)| credentials::is_in_header(name));
    Ok(axum::Json(HeadersOut { headers, sensitive: sensitive.into_keys().collect() }))
}

/// All headers of an endpoint.
#[derive(Default, Deserialize, ToSchema)]
#[schema(as = EndpointHeadersIn)]
#[serde(default)]
pub(crate) struct HeadersIn {
    /// At most 32; values are printable ASCII of at most 4,096 bytes.
    #[schema(value_type = BTreeMap<String, String>, required, example = json!({"x-shop": "17"}))]
    headers: Field<BTreeMap<String, String>>,
}

/// Replaces the headers of an endpoint
#[utoipa::path(
    put,
    path = "/app/{app_id}/endpoint/{endpoint_id}/headers",
    operation_id = "v1.endpoint.update-headers",
    tag = "Endpoint",
    request_body = HeadersIn,
    responses((status = 204)),
)]
pub(crate) async fn put(
    State(context): State<Context>,
    caller: Caller,
    Path(path): Path<(String, String)>,
    Json(input): Json<HeadersIn>,
) -> Result<StatusCode, ApiError> {
    let mut problems = Problems::default();
    let headers = input.headers.required("headers", &mut problems);
    problems.finish()?;
    execute(&context, &caller, path, move |fields| fields.headers = headers).await
}

/// Changes of headers.
#[derive(Default, Deserialize, ToSchema)]
#[schema(as = EndpointHeadersPatchIn)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct HeadersPatch {
    /// To be set; `null` removes one.
    #[schema(value_type = BTreeMap<String, Option<String>>, required, example = json!({"x-shop": "17"}))]
    headers: Field<BTreeMap<String, Option<String>>>,
    /// To be removed before the others are set.
    #[schema(value_type = Option<Vec<String>>)]
    delete_headers: Field<BTreeSet<String>>,
}

/// Sets the headers of an endpoint that are named; `null` removes one
#[utoipa::path(
    patch,
    path = "/app/{app_id}/endpoint/{endpoint_id}/headers",
    operation_id = "v1.endpoint.patch-headers",
    tag = "Endpoint",
    request_body = HeadersPatch,
    responses((status = 204)),
)]
pub(crate) async fn patch(
    State(context): State<Context>,
    caller: Caller,
    Path(path): Path<(String, String)>,
    Json(input): Json<HeadersPatch>,
) -> Result<StatusCode, ApiError> {
    let mut problems = Problems::default();
    let changes = input.headers.required("headers", &mut problems);
    let deleted = input.delete_headers.nullable().unwrap_or_default();
    problems.finish()?;
    let changes: Vec<_> = deleted.into_iter().map(|name| (name, None)).chain(changes).collect();
    execute(&context, &caller, path, move |fields| {
        for (name, value) in changes {
            // Names of headers are the same in whatever case.
            fields.headers.retain(|present, _| !present.eq_ignore_ascii_case(&name));
            fields.headers.extend(value.map(|value| (name, value)));
        }
    })
    .await
}

async fn execute(
    context: &Context,
    caller: &Caller,
    (app, endpoint): (String, String),
    edit: impl FnOnce(&mut EndpointFields) + Send + 'static,
) -> Result<StatusCode, ApiError> {
    let app = caller.app_id(context, &app)?.to_string();
    let (org, edit) = (caller.org(), Box::new(edit));
    let command = Command::Endpoint { org, app, endpoint, write: Write::Update, secret: None, disabled: None, edit };
    context.ports.configure.execute(command).await?;
    Ok(StatusCode::NO_CONTENT)
}
