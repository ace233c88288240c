//! Deliveries: what waits, why, and how to end it.

use http::StatusCode;
use postrider_model::delivery::{DeliveryState, Trigger};
use postrider_model::explain::{Explain, Wait};
use postrider_model::id::{AppId, EndpointId, MessageId};
use postrider_model::query::{Delivery, DeliveryFilter};
use serde::Serialize;
use utoipa::ToSchema;

use crate::auth::Caller;
use crate::error::ApiError;
use crate::extract::{Json, Params, Path, State};
use crate::filter::{self, Listed, OfParams, PendingIn, Shown, StateParams};
use crate::page::{Cursor, List, Order, PageParams, PageQuery, TimeParams, TypeParams};
use crate::{Context, message, time};

/// A delivery as it is shown.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct DeliveryOut {
    #[schema(value_type = String)]
    app_id: AppId,
    #[schema(value_type = String)]
    msg_id: MessageId,
    #[schema(value_type = String)]
    endpoint_id: EndpointId,
    event_type: String,
    #[schema(format = DateTime)]
    accepted_at: String,
    /// `scheduled`, `delivered`, `dead` or `cancelled`.
    state: &'static str,
    /// The attempt that it waits for, or the last one made; 0 if none was.
    attempt: u16,
    /// When the next attempt is due, if it waits for one.
    #[schema(format = DateTime)]
    due_at: Option<String>,
    /// `scheduled` or `manual`, if it waits.
    trigger: Option<&'static str>,
    /// When it ended, if it has.
    #[schema(format = DateTime)]
    ended_at: Option<String>,
    /// Why it is dead, if it is.
    reason: Option<&'static str>,
    /// Why it waits, if it does and that is known.
    waits: Option<WaitOut>,
    /// It waits for an attempt beside the schedule, whatever its state.
    resending: bool,
}

/// Why a delivery is not in flight, and until when if that is known.
#[derive(Serialize, ToSchema)]
#[schema(as = DeliveryWaitOut)]
#[serde(rename_all = "camelCase")]
pub(crate) struct WaitOut {
    /// `in_flight`; `not_due`: its next attempt comes later; `rate_limited` or `application_rate_limited`; `breaker_open` or
    /// `breaker_half_open`: its endpoint has failed too often; `lane_paused`: its endpoint asked for that; `no_token`: there is no token for its endpoint's
    /// requests, and one is asked for again later; `lane_busy` or
    /// `application_busy`: as many requests are in flight as may be; `behind`: an earlier one goes first; `behind_dead_letter`: an
    /// earlier one is dead, and the endpoint wants what follows to wait; `batch`: its batch gathers others;
    /// `turn`: others' turns come first; `behind_window`: very many wait before it; `endpoint_disabled`,
    /// `endpoint_disabled_by_410`, `endpoint_disabled_by_failures`, `endpoint_paused`, `endpoint_unverified` or
    /// `dispatch_paused`.
    reason: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(format = DateTime)]
    until: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    in_flight: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    limit: Option<u32>,
    /// The message that goes first, of `behind` and `behind_dead_letter` of one delivery.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    message_id: Option<MessageId>,
}

impl From<Wait> for WaitOut {
    fn from(wait: Wait) -> Self {
        let (in_flight, limit) = match wait {
            Wait::LaneBusy { in_flight, limit } | Wait::ApplicationBusy { in_flight, limit } => {
                (Some(in_flight), Some(limit))
            }
            _ => (None, None),
        };
        let message_id = match wait {
            Wait::Behind { message } | Wait::BehindDeadLetter { message } => message,
            _ => None,
        };
        Self { reason: wait.reason(), until: wait.until().map(time::text), in_flight, limit, message_id }
    }
}

impl DeliveryOut {
    pub(crate) fn new(delivery: &Delivery, explain: &dyn Explain) -> Self {
        let state = delivery.state.without_resend();
        let waits_for = delivery.state.waits_for();
        let why = |attempt| match (explain.why(delivery.key, attempt), delivery.held) {
            (Some(Wait::InFlight), _) => Some(Wait::InFlight),
            // The scheduler is told of holds later than the store.
            (why, held) => held.map(Wait::Held).or_else(|| why.filter(|wait| !matches!(wait, Wait::Held(_)))),
        };
        let wait = waits_for.and_then(|scheduled| why(scheduled.attempt));
        let (ended, reason) = match state {
            DeliveryState::Scheduled(_) | DeliveryState::Resending(_) => (None, None),
            DeliveryState::Delivered { at, .. } | DeliveryState::Cancelled { at, .. } => (Some(at), None),
            DeliveryState::Dead { at, reason, .. } => (Some(at), Some(reason.as_str())),
        };
        let attempt = if let DeliveryState::Scheduled(next) = state { next.attempt } else { state.attempts_made() };
        Self {
            app_id: delivery.app,
            msg_id: delivery.message,
            endpoint_id: delivery.key.endpoint,
            event_type: delivery.event_type.clone(),
            accepted_at: time::text(delivery.accepted),
            state: state.name(),
            attempt,
            due_at: waits_for.map(|scheduled| time::text(scheduled.due)),
            trigger: waits_for.map(|scheduled| match scheduled.trigger {
                Trigger::Scheduled => "scheduled",
                Trigger::Manual | Trigger::Resent => "manual",
            }),
            ended_at: ended.map(time::text),
            reason,
            waits: wait.map(WaitOut::from),
            resending: matches!(delivery.state, DeliveryState::Resending(_)),
        }
    }
}

/// Lists deliveries, and why they wait
#[utoipa::path(
    get,
    path = "/app/{app_id}/delivery",
    operation_id = "v1.delivery.list",
    tag = "Delivery",
    params(PageParams, TypeParams, TimeParams, OfParams, StateParams),
    responses((status = 200, body = List<DeliveryOut>)),
)]
pub(crate) async fn list(
    State(context): State<Context>,
    caller: Caller,
    Path(app): Path<String>,
    params: Params,
) -> Result<axum::Json<List<DeliveryOut>>, ApiError> {
    let shown = Shown::read(&params)?;
    let filter = filter::of_params(&context, &caller, &app, &params).await?;
    page_of(&context, &params, shown.state, shown.onto(filter)).await
}

/// Lists the deliveries of all applications of the tenant
#[utoipa::path(
    get,
    path = "/delivery",
    operation_id = "v1.delivery.list-all",
    tag = "Delivery",
    params(PageParams, TypeParams, TimeParams, StateParams),
    responses((status = 200, body = List<DeliveryOut>)),
)]
pub(crate) async fn list_all(
    State(context): State<Context>,
    caller: Caller,
    params: Params,
) -> Result<axum::Json<List<DeliveryOut>>, ApiError> {
    let org = caller.whole_org()?;
    let shown = Shown::read(&params)?;
    page_of(&context, &params, shown.state, shown.onto(filter::of_tenant(org, &params)?)).await
}

/// A page of deliveries.
pub(crate) async fn page_of(
    context: &Context,
    params: &Params,
    listed: Listed,
    filter: DeliveryFilter,
) -> Result<axum::Json<List<DeliveryOut>>, ApiError> {
    let query = PageQuery::read(params, Cursor::Opaque, Order::Descending)?;
    let request = query.request.clone();
    let page = context.read(move |store| {
        Ok(match listed {
            Listed::Scheduled => store.pending(&filter, &request)?,
            Listed::InFlight => store.in_flight(&filter, &request)?,
            Listed::Dead => store.dead_letters(&filter, &request)?,
        })
    });
    let page = page.await?;
    let explain = &*context.ports.explain;
    Ok(axum::Json(query.answer(&page, |found| Some(found.page_key()), |found| DeliveryOut::new(found, explain))))
}

/// Lists where a message stands with each of its endpoints, in one page
#[utoipa::path(
    get,
    path = "/app/{app_id}/msg/{msg_id}/delivery",
    operation_id = "v1.delivery.list-by-msg",
    tag = "Delivery",
    responses((status = 200, body = List<DeliveryOut>)),
)]
pub(crate) async fn list_of_message(
    State(context): State<Context>,
    caller: Caller,
    Path((app, message)): Path<(String, String)>,
) -> Result<axum::Json<List<DeliveryOut>>, ApiError> {
    let app = caller.app_id(&context, &app)?;
    let deliveries = context.read(move |store| {
        let message = message::find(store, app, &message)?.id;
        Ok(store.deliveries_of(app, message)?)
    });
    let explain = &*context.ports.explain;
    let deliveries = deliveries.await?;
    Ok(axum::Json(List::whole(deliveries.iter().map(|delivery| DeliveryOut::new(delivery, explain)).collect())))
}

/// Cancels a delivery that waits
#[utoipa::path(
    post,
    path = "/app/{app_id}/msg/{msg_id}/delivery/{endpoint_id}/cancel",
    operation_id = "v1.delivery.cancel",
    tag = "Delivery",
    responses((status = 204)),
)]
pub(crate) async fn cancel(
    State(context): State<Context>,
    caller: Caller,
    Path(path): Path<(String, String, String)>,
) -> Result<StatusCode, ApiError> {
    caller.whole_org()?;
    let (app, message, endpoint) = names(&context, &caller, path).await?;
    context.ports.control.cancel(app, message, endpoint).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Starts a delivery that has ended anew, with a fresh schedule
#[utoipa::path(
    post,
    path = "/app/{app_id}/msg/{msg_id}/delivery/{endpoint_id}/replay",
    operation_id = "v1.delivery.replay",
    tag = "Delivery",
    responses((status = 204)),
)]
pub(crate) async fn replay(
    State(context): State<Context>,
    caller: Caller,
    Path(path): Path<(String, String, String)>,
) -> Result<StatusCode, ApiError> {
    let (app, message, endpoint) = names(&context, &caller, path).await?;
    context.ports.control.replay(app, message, endpoint).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// An answer that says nothing but that.
#[derive(Serialize, ToSchema)]
#[schema(as = EmptyResponse)]
pub(crate) struct Empty {}

/// Sends a message to an endpoint once more, beside the retry schedule
#[utoipa::path(
    post,
    path = "/app/{app_id}/msg/{msg_id}/endpoint/{endpoint_id}/resend",
    operation_id = "v1.message-attempt.resend",
    tag = "Message Attempt",
    responses((status = 202, body = Empty)),
)]
pub(crate) async fn resend(
    State(context): State<Context>,
    caller: Caller,
    Path(path): Path<(String, String, String)>,
) -> Result<(StatusCode, axum::Json<Empty>), ApiError> {
    let (app, message, endpoint) = names(&context, &caller, path).await?;
    context.ports.control.resend(app, message, endpoint).await?;
    Ok((StatusCode::ACCEPTED, axum::Json(Empty {})))
}

pub(crate) async fn names(
    context: &Context,
    caller: &Caller,
    (app, message, endpoint): (String, String, String),
) -> Result<(AppId, MessageId, EndpointId), ApiError> {
    let (app, endpoint) = caller.endpoint(context, &app, &endpoint, |found| (found.app, found.id))?;
    Ok((app, message::find_id(context, app, message).await?, endpoint))
}

/// How many deliveries were cancelled.
#[derive(Serialize, ToSchema)]
#[schema(as = CancelledOut)]
pub(crate) struct Cancelled {
    cancelled: u64,
}

/// Cancels all deliveries that wait and match
#[utoipa::path(
    post,
    path = "/app/{app_id}/delivery/cancel",
    operation_id = "v1.delivery.cancel-where",
    tag = "Delivery",
    request_body = PendingIn,
    responses((status = 200, body = Cancelled)),
)]
pub(crate) async fn cancel_where(
    State(context): State<Context>,
    caller: Caller,
    Path(app): Path<String>,
    Json(filter): Json<PendingIn>,
) -> Result<axum::Json<Cancelled>, ApiError> {
    caller.whole_org()?;
    let filter = filter.resolve(&context, &caller, &app).await?;
    let cancelled = context.ports.control.cancel_where(filter).await?;
    Ok(axum::Json(Cancelled { cancelled }))
}
