//! The header `idempotency-key` of requests that are no messages.
//!
//! ```text
//!   POST with a key --> was it answered before? -- yes --> the same answer, byte for byte
//!                          | no
//!                          v
//!   the same handler over ports that are bound to the key --> their answer is kept, and given
//! ```
//!
//! No handler knows of it. What they ask of the ports goes on record together
//! with the key, so that a retry after a crash does not do it again. Only
//! success is kept: what was refused may be tried again.

use std::sync::Arc;

use axum::extract::{FromRequest as _, FromRequestParts as _, MatchedPath, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, Method, StatusCode};
use http_body_util::BodyExt as _;
use postrider_model::once::{Answered, KeyedRequest};
use postrider_model::ports::ControlError;
use postrider_model::validate;

use crate::auth::Caller;
use crate::error::ApiError;
use crate::extract::{BatchBody, RawBody};
use crate::routes::MESSAGES;
use crate::{Context, answer};

const HEADER: &str = "idempotency-key";
/// Makes one message and answers with its payload. That may be expunged, so no
/// answer is kept: the message's key is enough to give it again.
const EXAMPLE: &str = "/api/v1/app/{app_id}/endpoint/{endpoint_id}/send-example";
/// Its body may be larger than others.
const BATCH: &str = "/api/v1/app/{app_id}/msg/batch";

/// The key of a request, if it has one.
pub(crate) fn key(headers: &HeaderMap) -> Result<Option<String>, ApiError> {
    let mut values = headers.get_all(HEADER).iter();
    let Some(value) = values.next() else { return Ok(None) };
    let invalid = |problem| ApiError::invalid("header", HEADER, problem);
    // Which of two is meant nobody knows, and the wrong one would make the request new.
    if values.next().is_some() {
        return Err(invalid("must be given once".to_owned()));
    }
    let text = value.to_str().map_err(|_| invalid("must be visible ASCII".to_owned()))?;
    validate::key(text).map_err(invalid)?;
    Ok(Some(text.to_owned()))
}

/// Lets a request with a key have its effect once.
pub(crate) async fn once(State(context): State<Context>, request: Request, next: Next) -> Response {
    let has_key = request.method() == Method::POST && request.headers().contains_key(HEADER);
    let route = request.extensions().get::<MatchedPath>().map(MatchedPath::as_str);
    // Messages have keys of their own, which the ingest socket shares.
    if !has_key || route.is_none_or(|route| route == MESSAGES) {
        return next.run(request).await;
    }
    answer_once(context, request, next).await.unwrap_or_else(ApiError::into_response)
}

async fn answer_once(context: Context, request: Request, next: Next) -> Result<Response, ApiError> {
    let (mut parts, body) = request.into_parts();
    let caller = Caller::from_request_parts(&mut parts, &context).await?;
    let key = key(&parts.headers)?.unwrap_or_default();
    let is_at = |route| parts.extensions.get::<MatchedPath>().is_some_and(|matched| matched.as_str() == route);
    let (is_batch, is_example) = (is_at(BATCH), is_at(EXAMPLE));
    let body = Request::new(body);
    let body = match is_batch {
        true => BatchBody::from_request(body, &context).await?.0,
        false => RawBody::from_request(body, &context).await?,
    };
    let _room = Arc::clone(&body.room);
    let request = KeyedRequest {
        org: caller.org(),
        app: caller.only(),
        route: parts.uri.path().to_owned(),
        key,
        query: parts.uri.query().unwrap_or_default().to_owned(),
        body: body.bytes.clone(),
    };
    let asked = request.clone();
    if let Some(answered) = context.blocking(move |ports| Ok(ports.once.answered(&asked)?)).await? {
        return Ok(given(answered));
    }
    parts.extensions.insert(body);
    parts.extensions.insert(caller);
    parts.extensions.insert(context.bound_to(&request));
    let response = next.run(Request::from_parts(parts, axum::body::Body::empty())).await;
    // Of a batch that was taken in part, a retry takes in the rest.
    let is_partial = response.status() == StatusCode::MULTI_STATUS;
    if !response.status().is_success() || is_partial || is_example {
        return Ok(response);
    }
    let status = response.status().as_u16();
    let body = response.into_body().collect().await.map_err(|error| ApiError::internal(&error))?.to_bytes();
    let answered = Answered { status, body };
    match context.ports.once.keep(&request, answered.clone()).await {
        Ok(kept) => Ok(given(kept)),
        Err(ControlError::KeyReused) => Err(ControlError::KeyReused.into()),
        Err(error) => {
            // What was changed is on record with its reply, out of which a retry makes the same.
            tracing::warn!(%error, "an answer could not be kept for a retry");
            Ok(given(answered))
        }
    }
}

/// An answer, as it was given the first time.
pub(crate) fn given(answered: Answered) -> Response {
    let status = status(&answered);
    if answered.body.is_empty() {
        return status.into_response();
    }
    answer::json(status, answered.body)
}

/// The status of an answer.
pub(crate) fn status(answered: &Answered) -> StatusCode {
    StatusCode::from_u16(answered.status).unwrap_or(StatusCode::OK)
}
