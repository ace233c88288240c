//! Whether the service is alive and ready. Nobody needs a token for it.

use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use http::StatusCode;
use postrider_model::ports::Health;
use serde::Serialize;
use utoipa::ToSchema;

/// How the service is.
#[derive(Serialize, ToSchema)]
#[schema(as = HealthOut)]
struct Report {
    /// `live`, `ready` or `not_ready`.
    status: &'static str,
    problems: Vec<String>,
}

/// Says that the process runs
#[utoipa::path(
    get,
    path = "/health/live",
    operation_id = "health.live",
    tag = "Health",
    security(()),
    responses((status = 200, body = Report)),
)]
pub(crate) async fn live() -> Response {
    axum::Json(Report { status: "live", problems: vec![] }).into_response()
}

/// Says whether messages can be accepted and delivered, or what keeps them from it
#[utoipa::path(
    get,
    path = "/health/ready",
    operation_id = "health.ready",
    tag = "Health",
    security(()),
    responses((status = 200, body = Report), (status = 503, body = Report)),
)]
pub(crate) async fn ready(State(health): State<Arc<dyn Health>>) -> Response {
    let problems = health.readiness().problems;
    let (code, status) = match problems.is_empty() {
        true => (StatusCode::OK, "ready"),
        false => (StatusCode::SERVICE_UNAVAILABLE, "not_ready"),
    };
    (code, axum::Json(Report { status, problems })).into_response()
}

/// Says that the API answers
#[utoipa::path(
    get,
    path = "/health",
    operation_id = "v1.health.get",
    tag = "Health",
    security(()),
    responses((status = 204)),
)]
pub(crate) async fn get() -> StatusCode {
    StatusCode::NO_CONTENT
}

/// Says that the API answers
#[utoipa::path(
    get,
    path = "/health/ping",
    operation_id = "v1.health.ping",
    tag = "Health",
    security(()),
    responses((status = 204)),
)]
pub(crate) async fn ping() -> StatusCode {
    StatusCode::NO_CONTENT
}
