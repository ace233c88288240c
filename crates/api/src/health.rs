//! Whether the service is alive and ready. Nobody needs a token for it.

use std::sync::Arc;

use axum::response::{IntoResponse as _, Response};
use http::StatusCode;
use postrider_model::ports::Health;
use serde::Serialize;

#[derive(Serialize)]
struct Report {
    status: &'static str,
    problems: Vec<String>,
}

/// The process runs.
pub(crate) async fn live() -> Response {
    axum::Json(Report { status: "live", problems: vec![] }).into_response()
}

/// Messages can be accepted and delivered, or what keeps them from it.
pub(crate) fn ready(health: &Arc<dyn Health>) -> Response {
    let problems = health.readiness().problems;
    let (code, status) = match problems.is_empty() {
        true => (StatusCode::OK, "ready"),
        false => (StatusCode::SERVICE_UNAVAILABLE, "not_ready"),
    };
    (code, axum::Json(Report { status, problems })).into_response()
}

/// The API answers.
pub(crate) async fn ping() -> StatusCode {
    StatusCode::NO_CONTENT
}
