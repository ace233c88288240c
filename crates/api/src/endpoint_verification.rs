//! How an endpoint shows that it wants what is sent to it, and that it is asked to now.

use http::StatusCode;
use postrider_model::verification::{Unverified, Verification};
use serde::{Deserialize, Deserializer, Serialize};
use utoipa::ToSchema;

use crate::auth::Caller;
use crate::endpoint_out::EndpointOut;
use crate::error::ApiError;
use crate::extract::{Path, State};
use crate::input::word;
use crate::{Context, time};

/// A way of verification, as a request gives it.
#[derive(Clone, Copy)]
pub(crate) struct Kind(pub(crate) Verification);

impl<'de> Deserialize<'de> for Kind {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        word(deserializer, Verification::WORDS).map(Self)
    }
}

/// A verification that was not passed.
#[derive(Serialize, ToSchema)]
#[schema(as = VerificationFailure)]
#[serde(rename_all = "camelCase")]
pub(crate) struct FailureOut {
    #[schema(format = DateTime)]
    at: String,
    /// `status`, `wrong_challenge`, `origin_not_allowed`, `no_rate`, `no_origin`, `address_refused`, `dns`, `connect`, `tls`,
    /// `timeout`, `protocol`, `proxy`, `token` or `internal`.
    reason: &'static str,
    /// The same in a sentence.
    detail: String,
    /// When it is tried again by itself, if it is.
    #[schema(format = DateTime)]
    next_try_at: Option<String>,
}

impl FailureOut {
    /// Of an endpoint that failed to verify, if it did.
    pub(crate) fn of(unverified: Option<&Unverified>) -> Option<Self> {
        let unverified = unverified?;
        let failed = unverified.failed?;
        Some(Self {
            at: time::text(failed.at),
            reason: failed.why.reason(),
            detail: failed.why.text(),
            next_try_at: unverified.next.map(time::text),
        })
    }
}

/// Verifies an endpoint now and waits for the result; one that needs no verification stays as it is
#[utoipa::path(
    post,
    path = "/app/{app_id}/endpoint/{endpoint_id}/verify",
    operation_id = "v1.endpoint.verify",
    tag = "Endpoint",
    responses((status = 200, body = EndpointOut)),
)]
pub(crate) async fn verify(
    State(context): State<Context>,
    caller: Caller,
    Path((app, endpoint)): Path<(String, String)>,
) -> Result<axum::Json<EndpointOut>, ApiError> {
    let (id, paused) = caller.endpoint(&context, &app, &endpoint, |found| (found.id, found.paused.is_some()))?;
    let mut all_paused = false;
    context.ports.configure.with_config(&mut |config| all_paused = config.dispatch_paused().is_some());
    if paused || all_paused {
        let (code, what) =
            if paused { ("endpoint_paused", "the endpoint") } else { ("dispatch_paused", "all dispatch") };
        return Err(ApiError::new(StatusCode::CONFLICT, code, format!("{what} is paused: nothing is sent")));
    }
    let endpoint = context.ports.verify.verify(id).await?;
    Ok(axum::Json(EndpointOut::from(&*endpoint)))
}
