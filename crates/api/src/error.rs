//! Errors as the API answers them: `{"code","detail"}`, and for values that
//! are not allowed 422 with `{"detail":[{"loc","msg","type"}]}`.

use std::time::Duration;

use axum::response::{IntoResponse, Response};
use http::header::{HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderMap, StatusCode};
use postrider_model::command::CommandError;
use postrider_model::once::Answered;
use postrider_model::ports::{AcceptError, ControlError, Unavailable};
use postrider_model::query::QueryError;
use postrider_model::validate::FieldErrors;
use serde::Serialize;
use utoipa::ToSchema;

use crate::once;

/// What is wrong with a request, or why it cannot be served.
#[derive(Debug)]
pub(crate) enum ApiError {
    /// One thing, with its own status.
    Problem { status: StatusCode, code: &'static str, detail: String, retry_after: Option<Duration> },
    /// Values that are not allowed, each with its place.
    Invalid(Vec<Item>),
    /// Nothing is wrong: the request was answered before, and is answered like that.
    Answered(Answered),
}

/// A value that is not allowed.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ValidationErrorItem)]
pub(crate) struct Item {
    /// Where it is: `body`, `query`, `path` or `header`, then the names that lead to it.
    pub(crate) loc: Vec<String>,
    /// What is wrong.
    pub(crate) msg: String,
    /// `value_error` and the like.
    #[serde(rename = "type")]
    pub(crate) kind: &'static str,
}

impl ApiError {
    pub(crate) fn new(status: StatusCode, code: &'static str, detail: impl Into<String>) -> Self {
        Self::Problem { status, code, detail: detail.into(), retry_after: None }
    }

    /// There is no such thing, or it is somebody else's: the answer is the same.
    pub(crate) fn not_found(kind: &str) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not_found", format!("{kind} not found"))
    }

    pub(crate) fn unauthorized(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "authentication_failed", detail)
    }

    pub(crate) fn forbidden(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, "insufficient_access", detail)
    }

    pub(crate) fn too_large(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "payload_too_large", detail)
    }

    /// One value that is not allowed.
    pub(crate) fn invalid(part: &str, field: &str, msg: impl Into<String>) -> Self {
        Self::Invalid(vec![Item { loc: vec![part.to_owned(), field.to_owned()], msg: msg.into(), kind: "value_error" }])
    }

    /// As draft-ietf-httpapi-idempotency-key-header, section 2.7, has it.
    fn key_reused(error: &dyn std::fmt::Display) -> Self {
        Self::invalid("header", "idempotency-key", error.to_string())
    }

    /// Our own fault; the cause goes to the log and not to the caller.
    pub(crate) fn internal(cause: &dyn std::fmt::Display) -> Self {
        tracing::error!(%cause, "request failed");
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal_error", "the request could not be completed")
    }

    /// Says that the fields lie within another one of the body.
    pub(crate) fn within(mut self, outer: &str) -> Self {
        if let Self::Invalid(items) = &mut self {
            for item in items.iter_mut().filter(|item| item.loc.first().is_some_and(|part| part == "body")) {
                item.loc.insert(1, outer.to_owned());
            }
        }
        self
    }

    /// Says that a field of the body came with the path, where it has this name.
    pub(crate) fn in_path(mut self, field: &str, name: &str) -> Self {
        if let Self::Invalid(items) = &mut self {
            for item in items.iter_mut().filter(|item| item.loc == ["body", field]) {
                item.loc = vec!["path".to_owned(), name.to_owned()];
            }
        }
        self
    }

    /// Renames a field of the body in the places of the errors.
    pub(crate) fn renamed(mut self, from: &str, to: &str) -> Self {
        if let Self::Invalid(items) = &mut self {
            for name in items.iter_mut().flat_map(|item| item.loc.iter_mut().skip(1)).filter(|name| *name == from) {
                to.clone_into(name);
            }
        }
        self
    }
}

/// The answer when something is wrong.
#[derive(Serialize, ToSchema)]
#[schema(as = HttpErrorOut)]
pub(crate) struct Body {
    /// What it is, for programs.
    #[schema(example = "not_found")]
    code: &'static str,
    /// What it is, for people.
    #[schema(example = "application not found")]
    detail: String,
}

/// The answer when values are not allowed.
#[derive(Serialize, ToSchema)]
#[schema(as = HTTPValidationError)]
pub(crate) struct InvalidBody {
    detail: Vec<Item>,
}

/// An error as it is answered.
#[derive(Serialize, ToSchema)]
#[serde(untagged)]
pub(crate) enum ErrorOut {
    /// One thing.
    Problem(Body),
    /// Values that are not allowed.
    Invalid(InvalidBody),
}

impl ApiError {
    /// The status that it is answered with.
    pub(crate) fn status(&self) -> StatusCode {
        match self {
            Self::Problem { status, .. } => *status,
            Self::Invalid(_) => StatusCode::UNPROCESSABLE_ENTITY,
            Self::Answered(answered) => once::status(answered),
        }
    }

    /// What is answered.
    pub(crate) fn into_body(self) -> ErrorOut {
        match self {
            Self::Problem { code, detail, .. } => ErrorOut::Problem(Body { code, detail }),
            Self::Invalid(detail) => ErrorOut::Invalid(InvalidBody { detail }),
            // It is given as it was, not inside of another answer.
            Self::Answered(_) => {
                let detail = "the request was answered before".to_owned();
                ErrorOut::Problem(Body { code: "conflict", detail })
            }
        }
    }

    /// The error of one message of a batch: what the message alone would have had
    /// in its body or in a header lies in this member.
    pub(crate) fn of_member(mut self, index: usize) -> Self {
        if let Self::Invalid(items) = &mut self {
            for item in items {
                let own = match item.loc.first().map(String::as_str) {
                    Some("header") => vec!["idempotencyKey".to_owned()],
                    Some("body") => item.loc.split_off(1),
                    _ => continue,
                };
                item.loc = vec!["body".to_owned(), "messages".to_owned(), index.to_string()];
                item.loc.extend(own);
            }
        }
        self
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        match self {
            Self::Answered(answered) => once::given(answered),
            Self::Invalid(detail) => {
                (StatusCode::UNPROCESSABLE_ENTITY, axum::Json(InvalidBody { detail })).into_response()
            }
            Self::Problem { status, code, detail, retry_after } => {
                let mut headers = HeaderMap::new();
                if let Some(wait) = retry_after {
                    // Whole seconds; half a second must not become "at once".
                    headers.insert(RETRY_AFTER, HeaderValue::from(wait.as_millis().div_ceil(1_000).max(1) as u64));
                }
                if status == StatusCode::UNAUTHORIZED {
                    headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
                }
                (status, headers, axum::Json(Body { code, detail })).into_response()
            }
        }
    }
}

/// The place of a field that the model names.
fn place(field: &'static str) -> Vec<String> {
    let names: &[&str] = match field {
        "app" => &["path", "app_id"],
        "create_app" => &["body", "application", "name"],
        "idempotency_key" => &["header", "idempotency-key"],
        "order_key" => &["body", "orderKey"],
        // A member of a member is named with dots.
        field => return std::iter::once("body").chain(field.split('.')).map(str::to_owned).collect(),
    };
    names.iter().map(|&name| name.to_owned()).collect()
}

impl From<FieldErrors> for ApiError {
    fn from(errors: FieldErrors) -> Self {
        let items = errors.0.into_iter();
        let items = items.map(|error| Item { loc: place(error.field), msg: error.problem, kind: "value_error" });
        Self::Invalid(items.collect())
    }
}

impl From<Unavailable> for ApiError {
    fn from(error: Unavailable) -> Self {
        // Too many pending is one application's matter, the others are everybody's.
        let status = match error {
            Unavailable::TooManyPending { .. } => StatusCode::TOO_MANY_REQUESTS,
            _ => StatusCode::SERVICE_UNAVAILABLE,
        };
        let retry_after = Some(error.retry_after());
        Self::Problem { status, code: error.code(), detail: error.to_string(), retry_after }
    }
}

impl From<QueryError> for ApiError {
    fn from(error: QueryError) -> Self {
        match error {
            QueryError::Unavailable(error) => error.into(),
            QueryError::Damaged { .. } => {
                tracing::error!(%error, "damaged record was asked for");
                Self::new(StatusCode::INTERNAL_SERVER_ERROR, "damaged", error.to_string())
            }
            QueryError::Failed(cause) => Self::internal(&cause),
        }
    }
}

impl From<CommandError> for ApiError {
    fn from(error: CommandError) -> Self {
        match error {
            CommandError::NotFound { kind } => Self::not_found(kind),
            CommandError::Conflict { .. } => Self::new(StatusCode::CONFLICT, "conflict", error.to_string()),
            CommandError::Limit { .. } => Self::new(StatusCode::CONFLICT, "limit_reached", error.to_string()),
            CommandError::Invalid(errors) => errors.into(),
        }
    }
}

impl From<ControlError> for ApiError {
    fn from(error: ControlError) -> Self {
        match error {
            ControlError::Command(error) => error.into(),
            ControlError::Transition(error) => Self::new(StatusCode::CONFLICT, "conflict", error.to_string()),
            ControlError::NotFound { kind } => Self::not_found(kind),
            ControlError::KeyReused => Self::key_reused(&error),
            ControlError::Answered(answered) => Self::Answered(answered),
            ControlError::Query(error) => error.into(),
            ControlError::Unavailable(error) => error.into(),
        }
    }
}

impl From<AcceptError> for ApiError {
    fn from(error: AcceptError) -> Self {
        match error {
            AcceptError::UnknownApplication => Self::not_found("application"),
            AcceptError::UnknownEndpoint => Self::not_found("endpoint"),
            AcceptError::Invalid(errors) => errors.into(),
            AcceptError::Mismatch(_) => Self::invalid("body", "payload", error.to_string()),
            AcceptError::TooLarge { .. } => Self::too_large(error.to_string()),
            AcceptError::EventIdTaken { existing } => {
                let detail = format!("eventId is already in use by {existing}");
                Self::new(StatusCode::CONFLICT, "conflict", detail)
            }
            AcceptError::KeyReused => Self::key_reused(&error),
            AcceptError::Unavailable(error) => error.into(),
        }
    }
}
