//! Where messages stand: those of one endpoint, and the endpoints of one message.

use std::sync::Arc;

use axum::response::{IntoResponse as _, Response};
use postrider_model::delivery::DeliveryState;
use postrider_model::endpoint::Endpoint;
use postrider_model::explain::Wait;
use postrider_model::id::EndpointId;
use postrider_model::query::{Delivery, EndpointMessage, MessageFilter};
use postrider_model::status::MessageStatus;
use serde::Serialize;
use utoipa::{IntoParams, ToSchema};

use crate::auth::Caller;
use crate::endpoint_out::EndpointOut;
use crate::error::ApiError;
use crate::extract::{Params, Path, State};
use crate::message::{self, MessageOut};
use crate::page::{Cursor, List, Order, PageParams, PageQuery, TimeParams, TypeParams};
use crate::schema::{Channel, WithContent};
use crate::{Context, time};

/// Where a message stands with an endpoint, as it is shown.
#[derive(Clone, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct StandingOut {
    /// 0 is success, 1 pending, 2 fail, 3 sending, 4 canceled.
    #[schema(minimum = 0, maximum = 4)]
    status: u8,
    status_text: &'static str,
    /// When the next attempt is due, if one is to come.
    #[schema(format = DateTime)]
    next_attempt: Option<String>,
}

impl StandingOut {
    fn new(state: &DeliveryState, status: Shown, in_flight: bool) -> Self {
        let status = status.of(MessageStatus::of(state, in_flight));
        let next_attempt = state.waits_for().filter(|_| !in_flight).map(|scheduled| time::text(scheduled.due));
        Self { status: status.code(), status_text: status.as_str(), next_attempt }
    }
}

/// How a cancelled delivery is shown: Svix shows one as `success` to those that
/// did not say by `expanded_statuses` that they know `canceled`.
#[derive(Clone, Copy)]
struct Shown {
    canceled: bool,
}

impl Shown {
    fn read(params: &Params) -> Result<Self, ApiError> {
        Ok(Self { canceled: params.flag("expanded_statuses", false)? })
    }

    fn of(self, status: MessageStatus) -> MessageStatus {
        if status == MessageStatus::Canceled && !self.canceled { MessageStatus::Success } else { status }
    }

    /// The statuses that are shown as this one.
    fn behind(self, asked: MessageStatus) -> Vec<MessageStatus> {
        match asked {
            MessageStatus::Success if !self.canceled => vec![MessageStatus::Success, MessageStatus::Canceled],
            status => vec![status],
        }
    }
}

/// The parameter `status`.
pub(crate) fn status(params: &Params) -> Result<Option<MessageStatus>, ApiError> {
    params.parsed("status", "0, 1, 2, 3 or 4", |text| MessageStatus::from_code(text.parse().ok()?))
}

/// A message of an endpoint as it is shown.
#[derive(Serialize, ToSchema)]
struct EndpointMessageOut<'a> {
    #[schema(value_type = MessageOut<'static>)]
    #[serde(flatten)]
    message: MessageOut<'a>,
    #[serde(flatten)]
    status: StandingOut,
}

/// Filters of lists of messages by where they stand.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "this only describes what handlers read")]
pub(crate) struct StatusParams {
    /// Only those with this status: 0 is success, 1 pending, 2 fail, 3 sending, 4 canceled.
    #[param(minimum = 0, maximum = 4)]
    status: Option<u8>,
    /// Show `canceled`, which is `success` otherwise.
    #[param(default = false)]
    expanded_statuses: Option<bool>,
    /// Only those sent to this channel.
    #[param(inline)]
    channel: Option<Channel>,
    /// Only those with this tag.
    #[param(inline)]
    tag: Option<Channel>,
}

/// Lists the messages that went to an endpoint with where they stand, newest first
#[utoipa::path(
    get,
    path = "/app/{app_id}/endpoint/{endpoint_id}/msg",
    operation_id = "v1.message-attempt.list-attempted-messages",
    tag = "Message Attempt",
    params(PageParams, WithContent, TypeParams, TimeParams, StatusParams),
    responses((status = 200, body = List<EndpointMessageOut<'static>>)),
)]
pub(crate) async fn messages(
    State(context): State<Context>,
    caller: Caller,
    Path((app, endpoint)): Path<(String, String)>,
    params: Params,
) -> Result<Response, ApiError> {
    let query = PageQuery::read(&params, Cursor::Message, Order::Descending)?;
    let with_content = params.flag("with_content", true)?;
    let shown = Shown::read(&params)?;
    let statuses = status(&params)?.map(|status| shown.behind(status));
    let filter = MessageFilter { unmatched: false, ..message::filter(&params)? };
    let (app, endpoint) = caller.endpoint(&context, &app, &endpoint, |found| (found.app, found.id))?;
    let request = query.request.clone();
    let read = context
        .read(move |store| Ok(store.messages_of_endpoint(app, endpoint, &filter, statuses.as_deref(), &request)?));
    let page = read.await?;
    let key = |found: &EndpointMessage| Some(found.message.id.as_bytes().to_vec());
    let list = query.answer(&page, key, |found| {
        let message = MessageOut::read(&found.message, with_content)?;
        Ok::<_, ApiError>(EndpointMessageOut {
            message,
            status: StandingOut::new(&found.state, shown, found.in_flight),
        })
    });
    Ok(axum::Json(list.transpose()?).into_response())
}

/// An endpoint of a message as it is shown.
#[derive(Serialize, ToSchema)]
pub(crate) struct MessageEndpointOut {
    #[serde(flatten)]
    endpoint: EndpointOut,
    #[serde(flatten)]
    status: StandingOut,
}

/// Lists the endpoints that a message went to with where it stands, newest first
#[utoipa::path(
    get,
    path = "/app/{app_id}/msg/{msg_id}/endpoint",
    operation_id = "v1.message-attempt.list-attempted-destinations",
    tag = "Message Attempt",
    params(
        PageParams,
        ("expanded_statuses" = Option<bool>, Query, description = "Show `canceled`, which is `success` otherwise"),
    ),
    responses((status = 200, body = List<MessageEndpointOut>)),
)]
pub(crate) async fn destinations(
    State(context): State<Context>,
    caller: Caller,
    Path((app_name, message)): Path<(String, String)>,
    params: Params,
) -> Result<axum::Json<List<MessageEndpointOut>>, ApiError> {
    let query = PageQuery::read(&params, Cursor::Endpoint, Order::Descending)?;
    let shown = Shown::read(&params)?;
    let app = caller.app_id(&context, &app_name)?;
    let deliveries = context.read(move |store| {
        let message = message::find(store, app, &message)?.id;
        Ok(store.deliveries_of(app, message)?)
    });
    let mut deliveries = deliveries.await?;
    deliveries.sort_unstable_by_key(|delivery| delivery.key.endpoint);
    // Asked before the configuration is looked at, which nothing else may be done under.
    let why = |delivery: &Delivery| context.ports.explain.why(delivery.key, delivery.state.waits_for()?.attempt);
    let in_flight = |delivery: &Delivery| why(delivery) == Some(Wait::InFlight);
    let statuses: Vec<_> = deliveries
        .iter()
        .map(|delivery| (delivery.key.endpoint, StandingOut::new(&delivery.state, shown, in_flight(delivery))))
        .collect();
    let list = caller.app(&context, &app_name, |entry| {
        // An endpoint that was deleted has nothing left to show.
        let there = statuses.iter().filter_map(|(id, status)| Some((entry.endpoint(*id)?, status)));
        let key = |id: EndpointId| id.as_bytes().to_vec();
        let page = query.cut(there.collect::<Vec<_>>().into_iter(), |(endpoint, _)| key(endpoint.id));
        let out = |(endpoint, status): &(&Arc<Endpoint>, &StandingOut)| MessageEndpointOut {
            endpoint: EndpointOut::from(&***endpoint),
            status: (*status).clone(),
        };
        query.answer(&page, |(endpoint, _)| Some(key(endpoint.id)), out)
    })?;
    Ok(axum::Json(list))
}
