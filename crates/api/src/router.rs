//! All routes, in one table.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::middleware::from_fn_with_state;
use axum::routing::get;
use http::StatusCode;
use http::header::{CONTENT_TYPE, HeaderValue};
use postrider_model::ports::Health;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::audited::Telling;
use crate::error::ApiError;
use crate::meters::Meters;
use crate::routes::Routes;
use crate::{
    Api, Context, RenderMetrics, application, attempt, attempted, audit, audited, batch, catalogue, dead_letter,
    delivery, dispatch, docs, dry_run, endpoint, endpoint_headers, endpoint_replay, endpoint_secret, endpoint_stats,
    endpoint_verification, event_type, example, expunge, flow, health, message, meters, once, openapi, poller, portal,
    precheck, task,
};

/// The whole API with its health checks.
pub fn router(api: Api) -> Routes {
    let health = Arc::clone(&api.ports.health);
    let context = Context::new(api);
    let (routes, document) = operations().split_for_parts();
    let telling = Telling::new(context.clone(), &document);
    let meters = Meters::default();
    let router = routes
        .method_not_allowed_fallback(method_not_allowed)
        .with_state(context.clone())
        .layer(from_fn_with_state(telling.clone(), audited::tell))
        .layer(from_fn_with_state(context.clone(), once::once))
        .merge(Router::from(health_operations()).with_state(health))
        .method_not_allowed_fallback(method_not_allowed)
        .fallback(unknown_route)
        .layer(from_fn_with_state(meters.clone(), meters::count));
    Routes::new(router, context, telling, meters)
}

/// All operations, as routes and as their description: what is not described
/// cannot be reached.
pub(crate) fn operations() -> OpenApiRouter<Context> {
    OpenApiRouter::new().nest("/api/v1", tenant_routes().merge(app_routes())).routes(routes!(docs::get))
}

/// What concerns the tenant or all applications.
fn tenant_routes() -> OpenApiRouter<Context> {
    OpenApiRouter::new()
        .routes(routes!(health::get))
        .routes(routes!(health::ping))
        .routes(routes!(openapi::get))
        .routes(routes!(application::list, application::create))
        .routes(routes!(event_type::list, event_type::create))
        .routes(routes!(event_type::get, event_type::put, event_type::patch, event_type::delete))
        .routes(routes!(catalogue::import))
        .routes(routes!(catalogue::export))
        .routes(routes!(portal::access))
        .routes(routes!(portal::logout))
        .routes(routes!(delivery::list_all))
        .routes(routes!(dead_letter::list_all))
        .routes(routes!(task::list))
        .routes(routes!(task::get))
        .routes(routes!(task::list_background))
        .routes(routes!(task::get_background))
        .routes(routes!(dispatch::pause))
        .routes(routes!(dispatch::resume))
        .routes(routes!(dispatch::status))
        .routes(routes!(audit::list))
}

/// What concerns one application.
fn app_routes() -> OpenApiRouter<Context> {
    OpenApiRouter::new()
        .routes(routes!(application::get, application::put, application::patch, application::delete))
        .routes(routes!(endpoint::list, endpoint::create))
        .routes(routes!(message::list, message::create))
        .routes(routes!(batch::create))
        .routes(routes!(precheck::active))
        .routes(routes!(dry_run::dry_run))
        .routes(routes!(message::get))
        .routes(routes!(attempted::destinations))
        .routes(routes!(poller::poll))
        .routes(routes!(expunge::payload))
        .routes(routes!(attempt::get))
        .routes(routes!(expunge::response))
        .routes(routes!(attempt::list_by_endpoint))
        .routes(routes!(attempt::list_by_message))
        .routes(routes!(delivery::list))
        .routes(routes!(delivery::list_of_message))
        .routes(routes!(delivery::cancel))
        .routes(routes!(delivery::cancel_where))
        .routes(routes!(delivery::replay))
        .routes(routes!(delivery::resend))
        .routes(routes!(dead_letter::list))
        .routes(routes!(dead_letter::get, dead_letter::purge))
        .routes(routes!(dead_letter::replay_where))
        .merge(endpoint_routes())
}

/// What concerns one endpoint.
fn endpoint_routes() -> OpenApiRouter<Context> {
    OpenApiRouter::new()
        .routes(routes!(endpoint::get, endpoint::put, endpoint::patch, endpoint::delete))
        .routes(routes!(endpoint_secret::get))
        .routes(routes!(endpoint_secret::rotate))
        .routes(routes!(endpoint_headers::get, endpoint_headers::put, endpoint_headers::patch))
        .routes(routes!(attempted::messages))
        .routes(routes!(endpoint_stats::get))
        .routes(routes!(flow::get))
        .routes(routes!(example::send))
        .routes(routes!(endpoint_replay::recover))
        .routes(routes!(endpoint_replay::replay_missing))
        .routes(routes!(endpoint_replay::bulk_replay))
        .routes(routes!(endpoint::pause))
        .routes(routes!(endpoint::resume))
        .routes(routes!(endpoint_verification::verify))
}

/// The metrics and the health checks, for a listener of their own.
pub fn metrics_router(render: RenderMetrics, health: Arc<dyn Health>) -> Routes {
    let metrics = get(async |State(render): State<RenderMetrics>| {
        ([(CONTENT_TYPE, HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8"))], render())
    });
    Router::new()
        .route("/metrics", metrics)
        .with_state(render)
        .merge(Router::from(health_operations()).with_state(health))
        .method_not_allowed_fallback(method_not_allowed)
        .fallback(unknown_route)
        .into()
}

/// The health checks, which need nothing but this.
pub(crate) fn health_operations() -> OpenApiRouter<Arc<dyn Health>> {
    OpenApiRouter::new().routes(routes!(health::live)).routes(routes!(health::ready))
}

async fn unknown_route() -> ApiError {
    ApiError::not_found("route")
}

async fn method_not_allowed() -> ApiError {
    ApiError::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", "the route does not know this method")
}
