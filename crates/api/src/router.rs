//! All routes, in one table.

use std::sync::Arc;
use std::time::Instant;

use axum::Router;
use axum::extract::{MatchedPath, Request, State};
use axum::middleware::{Next, from_fn};
use axum::response::Response;
use axum::routing::{get, post};
use http::StatusCode;
use http::header::{CONTENT_TYPE, HeaderValue};
use postrider_model::ports::Health;

use crate::error::ApiError;
use crate::{
    Api, Context, RenderMetrics, application, attempt, dead_letter, delivery, dispatch, endpoint, endpoint_headers,
    endpoint_secret, event_type, health, message, task,
};

/// The whole API with its health checks. Requests carry their [`crate::Door`]
/// as an extension.
pub fn router(api: Api) -> Router {
    let health = Arc::clone(&api.ports.health);
    Router::new()
        .nest("/api/v1", tenant_routes().merge(app_routes()))
        .with_state(Context::new(api))
        .merge(health_routes(health))
        .method_not_allowed_fallback(method_not_allowed)
        .fallback(unknown_route)
        .layer(from_fn(count))
}

/// What concerns the tenant or all applications.
fn tenant_routes() -> Router<Context> {
    Router::new()
        .route("/health", get(health::ping))
        .route("/health/ping", get(health::ping))
        .route("/app", get(application::list).post(application::create))
        .route("/event-type", get(event_type::list).post(event_type::create))
        .route(
            "/event-type/{event_type_name}",
            get(event_type::get).put(event_type::put).patch(event_type::patch).delete(event_type::delete),
        )
        .route("/dead-letter", get(dead_letter::list_all))
        .route("/task/{task_id}", get(task::get))
        .route("/dispatch/pause", post(dispatch::pause))
        .route("/dispatch/resume", post(dispatch::resume))
        .route("/status", get(dispatch::status))
}

/// What concerns one application.
fn app_routes() -> Router<Context> {
    let app = Router::new()
        .route("/endpoint", get(endpoint::list).post(endpoint::create))
        .nest("/endpoint/{endpoint_id}", endpoint_routes())
        .route("/msg", get(message::list).post(message::create))
        .route("/msg/{msg_id}", get(message::get))
        .route("/msg/{msg_id}/attempt/{attempt_id}", get(attempt::get))
        .route("/msg/{msg_id}/delivery", get(delivery::list_of_message))
        .route("/msg/{msg_id}/delivery/{endpoint_id}/cancel", post(delivery::cancel))
        .route("/msg/{msg_id}/delivery/{endpoint_id}/replay", post(delivery::replay))
        .route("/attempt/endpoint/{endpoint_id}", get(attempt::list_by_endpoint))
        .route("/attempt/msg/{msg_id}", get(attempt::list_by_message))
        .route("/delivery", get(delivery::list))
        .route("/delivery/cancel", post(delivery::cancel_where))
        .route("/dead-letter", get(dead_letter::list))
        .route("/dead-letter/replay", post(dead_letter::replay_where));
    let own = get(application::get).put(application::put).patch(application::patch).delete(application::delete);
    Router::new().route("/app/{app_id}", own).nest("/app/{app_id}", app)
}

fn endpoint_routes() -> Router<Context> {
    Router::new()
        .route("/", get(endpoint::get).put(endpoint::put).patch(endpoint::patch).delete(endpoint::delete))
        .route("/secret", get(endpoint_secret::get))
        .route("/secret/rotate", post(endpoint_secret::rotate))
        .route("/headers", get(endpoint_headers::get).put(endpoint_headers::put).patch(endpoint_headers::patch))
        .route("/pause", post(endpoint::pause))
        .route("/resume", post(endpoint::resume))
}

/// The metrics and the health checks, for a listener of their own.
pub fn metrics_router(render: RenderMetrics, health: Arc<dyn Health>) -> Router {
    let metrics = get(async |State(render): State<RenderMetrics>| {
        ([(CONTENT_TYPE, HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8"))], render())
    });
    Router::new()
        .route("/metrics", metrics)
        .with_state(render)
        .merge(health_routes(health))
        .method_not_allowed_fallback(method_not_allowed)
        .fallback(unknown_route)
}

fn health_routes(health: Arc<dyn Health>) -> Router {
    Router::new()
        .route("/health/live", get(health::live))
        .route("/health/ready", get(async |State(health): State<Arc<dyn Health>>| health::ready(&health)))
        .with_state(health)
}

async fn unknown_route() -> ApiError {
    ApiError::not_found("route")
}

async fn method_not_allowed() -> ApiError {
    ApiError::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", "the route does not know this method")
}

/// Counts requests. The route is the pattern, so the labels are few.
async fn count(request: Request, next: Next) -> Response {
    let began = Instant::now();
    let route = request.extensions().get::<MatchedPath>().map_or("unknown", MatchedPath::as_str).to_owned();
    // Methods are free text, too.
    let method = match request.method().as_str() {
        known @ ("GET" | "HEAD" | "POST" | "PUT" | "PATCH" | "DELETE") => known.to_owned(),
        _ => "other".to_owned(),
    };
    let response = next.run(request).await;
    let status = response.status().as_u16().to_string();
    metrics::counter!("postrider_http_requests_total", "route" => route.clone(), "method" => method, "status" => status)
        .increment(1);
    metrics::histogram!("postrider_http_request_seconds", "route" => route).record(began.elapsed().as_secs_f64());
    response
}
