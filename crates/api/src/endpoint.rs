//! Endpoints.

use axum::response::{IntoResponse as _, Response};
use http::StatusCode;
use postrider_model::command::{Command, Reply, Write};
use postrider_model::endpoint::Endpoint;
use postrider_model::id::EndpointId;

use crate::Context;
use crate::application::created_or_ok;
use crate::auth::Caller;
use crate::endpoint_body::{Asked, EndpointIn, EndpointPatch, EndpointUpdate};
use crate::endpoint_out::EndpointOut;
use crate::error::ApiError;
use crate::extract::{Json, Params, Path, State};
use crate::input::Problems;
use crate::page::{Cursor, List, Order, PageParams, PageQuery};

impl Caller {
    /// Shows an endpoint to `look`, if the caller may reach it.
    pub(crate) fn endpoint<T>(
        &self,
        context: &Context,
        app: &str,
        id_or_uid: &str,
        mut look: impl FnMut(&Endpoint) -> T,
    ) -> Result<T, ApiError> {
        let found = self.app(context, app, |entry| entry.find_endpoint(id_or_uid).map(|found| look(found)))?;
        found.ok_or_else(|| ApiError::not_found("endpoint"))
    }
}

/// Lists the endpoints of an application
#[utoipa::path(
    get,
    path = "/app/{app_id}/endpoint",
    operation_id = "v1.endpoint.list",
    tag = "Endpoint",
    params(PageParams),
    responses((status = 200, body = List<EndpointOut>)),
)]
pub(crate) async fn list(
    State(context): State<Context>,
    caller: Caller,
    Path(app): Path<String>,
    params: Params,
) -> Result<axum::Json<List<EndpointOut>>, ApiError> {
    let query = PageQuery::read(&params, Cursor::Endpoint, Order::Ascending)?;
    let list = caller.app(&context, &app, |entry| {
        let key = |endpoint: &&std::sync::Arc<Endpoint>| endpoint.id.as_bytes().to_vec();
        let page = query.cut(entry.endpoints(), key);
        query.answer(&page, |endpoint| Some(key(endpoint)), |endpoint| EndpointOut::from(&***endpoint))
    });
    list.map(axum::Json)
}

/// Creates an endpoint
#[utoipa::path(
    post,
    path = "/app/{app_id}/endpoint",
    operation_id = "v1.endpoint.create",
    tag = "Endpoint",
    request_body = EndpointIn,
    responses((status = 201, body = EndpointOut)),
)]
pub(crate) async fn create(
    State(context): State<Context>,
    caller: Caller,
    Path(app): Path<String>,
    Json(input): Json<EndpointIn>,
) -> Result<Response, ApiError> {
    let asked = input.whole(None, &context)?;
    execute(&context, &caller, &app, String::new(), Write::Create, asked).await
}

/// Gets an endpoint
#[utoipa::path(
    get,
    path = "/app/{app_id}/endpoint/{endpoint_id}",
    operation_id = "v1.endpoint.get",
    tag = "Endpoint",
    responses((status = 200, body = EndpointOut)),
)]
pub(crate) async fn get(
    State(context): State<Context>,
    caller: Caller,
    Path((app, endpoint)): Path<(String, String)>,
) -> Result<axum::Json<EndpointOut>, ApiError> {
    caller.endpoint(&context, &app, &endpoint, |found| EndpointOut::from(found)).map(axum::Json)
}

/// Replaces an endpoint, or creates it if the path names a uid that is not taken
#[utoipa::path(
    put,
    path = "/app/{app_id}/endpoint/{endpoint_id}",
    operation_id = "v1.endpoint.update",
    tag = "Endpoint",
    request_body = EndpointUpdate,
    responses((status = 200, body = EndpointOut), (status = 201, body = EndpointOut)),
)]
pub(crate) async fn put(
    State(context): State<Context>,
    caller: Caller,
    Path((app, endpoint)): Path<(String, String)>,
    Json(input): Json<EndpointIn>,
) -> Result<Response, ApiError> {
    let is_id = endpoint.starts_with(EndpointId::PREFIX);
    if is_id {
        // An id is made by us, so none can be created by naming it.
        caller.endpoint(&context, &app, &endpoint, |_| ())?;
    }
    let mut problems = Problems::default();
    input.refuse_secret(&mut problems);
    problems.finish()?;
    let path = Some(endpoint.clone()).filter(|_| !is_id);
    let is_named_by_path = path.is_some() && !input.names_uid();
    let asked = input.whole(path, &context)?;
    let put = execute(&context, &caller, &app, endpoint, Write::Upsert, asked).await;
    put.map_err(|error| if is_named_by_path { error.in_path("uid", "endpoint_id") } else { error })
}

/// Changes the fields of an endpoint that are named
#[utoipa::path(
    patch,
    path = "/app/{app_id}/endpoint/{endpoint_id}",
    operation_id = "patch_endpoint",
    tag = "Endpoint",
    request_body = EndpointPatch,
    responses((status = 200, body = EndpointOut)),
)]
pub(crate) async fn patch(
    State(context): State<Context>,
    caller: Caller,
    Path((app, endpoint)): Path<(String, String)>,
    Json(input): Json<EndpointIn>,
) -> Result<Response, ApiError> {
    let asked = input.patch(&context.url_guard)?;
    execute(&context, &caller, &app, endpoint, Write::Update, asked).await
}

/// Deletes an endpoint; what waits for delivery to it is cancelled
#[utoipa::path(
    delete,
    path = "/app/{app_id}/endpoint/{endpoint_id}",
    operation_id = "v1.endpoint.delete",
    tag = "Endpoint",
    responses((status = 204)),
)]
pub(crate) async fn delete(
    State(context): State<Context>,
    caller: Caller,
    Path((app, endpoint)): Path<(String, String)>,
) -> Result<StatusCode, ApiError> {
    let app = caller.app_id(&context, &app)?.to_string();
    let command = Command::DeleteEndpoint { org: caller.org(), app, endpoint };
    context.ports.configure.execute(command).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Pauses an endpoint: its deliveries wait
#[utoipa::path(
    post,
    path = "/app/{app_id}/endpoint/{endpoint_id}/pause",
    operation_id = "v1.endpoint.pause",
    tag = "Endpoint",
    responses((status = 200, body = EndpointOut)),
)]
pub(crate) async fn pause(
    state: State<Context>,
    caller: Caller,
    path: Path<(String, String)>,
) -> Result<axum::Json<EndpointOut>, ApiError> {
    set_paused(state, caller, path, true).await
}

/// Lets the deliveries of an endpoint go on
#[utoipa::path(
    post,
    path = "/app/{app_id}/endpoint/{endpoint_id}/resume",
    operation_id = "v1.endpoint.resume",
    tag = "Endpoint",
    responses((status = 200, body = EndpointOut)),
)]
pub(crate) async fn resume(
    state: State<Context>,
    caller: Caller,
    path: Path<(String, String)>,
) -> Result<axum::Json<EndpointOut>, ApiError> {
    set_paused(state, caller, path, false).await
}

async fn set_paused(
    State(context): State<Context>,
    caller: Caller,
    Path((app, endpoint)): Path<(String, String)>,
    paused: bool,
) -> Result<axum::Json<EndpointOut>, ApiError> {
    let org = caller.whole_org()?;
    let command = Command::PauseEndpoint { org, app, endpoint, paused };
    let (endpoint, _) = written(context.ports.configure.execute(command).await?)?;
    Ok(axum::Json(endpoint))
}

async fn execute(
    context: &Context,
    caller: &Caller,
    app: &str,
    endpoint: String,
    write: Write,
    asked: Asked,
) -> Result<Response, ApiError> {
    let app = caller.app_id(context, app)?.to_string();
    let Asked { edit, disabled, secret, event_types_name } = asked;
    let command = Command::Endpoint { org: caller.org(), app, endpoint, write, secret, disabled, edit };
    let reply = context.ports.configure.execute(command).await;
    let reply = reply.map_err(|error| ApiError::from(error).renamed("filterTypes", event_types_name))?;
    let (endpoint, created) = written(reply)?;
    Ok((created_or_ok(created), axum::Json(endpoint)).into_response())
}

fn written(reply: Reply) -> Result<(EndpointOut, bool), ApiError> {
    match reply {
        Reply::Endpoint { endpoint, created } => Ok((EndpointOut::from(&*endpoint), created)),
        other => Err(ApiError::internal(&format_args!("an endpoint was expected, not {other:?}"))),
    }
}
