//! How it stands with the deliveries to an endpoint as a whole.

use postrider_model::explain::{BreakerState, Flow};
use serde::Serialize;
use utoipa::ToSchema;

use crate::auth::Caller;
use crate::delivery::WaitOut;
use crate::error::ApiError;
use crate::extract::{Path, State};
use crate::{Context, time};

/// How it stands with the deliveries to an endpoint.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct FlowOut {
    /// Why it gets nothing at present, if so: `endpoint_disabled`, `endpoint_disabled_by_410`,
    /// `endpoint_disabled_by_failures`, `endpoint_paused`, `endpoint_unverified` or `dispatch_paused`.
    held: Option<&'static str>,
    /// `closed`, `open` or `half_open`.
    breaker: &'static str,
    /// When an open breaker lets a probe through.
    #[schema(format = DateTime)]
    open_until: Option<String>,
    /// Attempts in flight.
    in_flight: u32,
    /// Attempts that may be in flight at present. Grows while answers are good and fast, shrinks when there are too many.
    allowed_in_flight: u32,
    /// Deliveries that wait for an attempt.
    waiting: u64,
    /// What they wait for, as a whole.
    waits: Option<WaitOut>,
    /// Since when it has had nothing but failures, if it has.
    #[schema(format = DateTime)]
    failing_since: Option<String>,
}

impl From<Flow> for FlowOut {
    fn from(flow: Flow) -> Self {
        let (breaker, open_until) = match flow.breaker {
            BreakerState::Closed => ("closed", None),
            BreakerState::Open { until } => ("open", Some(until)),
            BreakerState::HalfOpen => ("half_open", None),
        };
        Self {
            held: flow.hold.map(|hold| hold.as_str()),
            breaker,
            open_until: open_until.map(time::text),
            in_flight: flow.in_flight,
            allowed_in_flight: flow.allowed_in_flight,
            waiting: flow.waiting,
            waits: flow.waits.map(WaitOut::from),
            failing_since: flow.failing_since.map(time::text),
        }
    }
}

/// Shows how it stands with the deliveries to an endpoint
#[utoipa::path(
    get,
    path = "/app/{app_id}/endpoint/{endpoint_id}/flow",
    operation_id = "v1.endpoint.get-flow",
    tag = "Endpoint",
    responses((status = 200, body = FlowOut)),
)]
pub(crate) async fn get(
    State(context): State<Context>,
    caller: Caller,
    Path((app, endpoint)): Path<(String, String)>,
) -> Result<axum::Json<FlowOut>, ApiError> {
    let (id, hold) = caller.endpoint(&context, &app, &endpoint, |found| (found.id, found.hold()))?;
    // The scheduler hears of a new endpoint a moment after its creation was answered.
    let flow = context.ports.explain.flow(id).unwrap_or_else(|| Flow::of_new(hold.map(|(hold, _)| hold)));
    Ok(axum::Json(flow.into()))
}
