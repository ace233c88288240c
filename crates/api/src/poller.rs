//! Messages for a receiver that would rather ask than be called.
//!
//! A poller is an endpoint: its filters, as they are now, say which messages it
//! is shown, oldest first. Nothing is kept of who has read how far; the iterator
//! knows. It is the id of the last message shown, or, before there was one, a time.

use std::sync::Arc;

use axum::response::{IntoResponse as _, Response};
use postrider_model::id::{MessageId, RawId};
use postrider_model::query::{MessageFilter, PageKey, PageRequest};
use postrider_model::time::UnixMs;
use serde::Serialize;
use utoipa::{IntoParams, ToSchema};

use crate::auth::Caller;
use crate::error::ApiError;
use crate::extract::{Params, Path, State};
use crate::message::MessageOut;
use crate::schema::{Channel, EventTypeName};
use crate::{Context, page, time};

/// A page as it is answered; unlike in lists there is always an iterator.
#[derive(Serialize, ToSchema)]
#[schema(as = PollingEndpointOut)]
struct PollOut<'a> {
    #[schema(value_type = Vec<PolledOut<'static>>)]
    data: Vec<PolledOut<'a>>,
    /// Where to read on, also when nothing follows yet.
    iterator: String,
    /// Nothing follows at present.
    done: bool,
}

/// A message as a poller is shown it.
#[derive(Serialize, ToSchema)]
#[schema(as = PollingEndpointMessageOut)]
struct PolledOut<'a> {
    #[schema(value_type = MessageOut<'static>)]
    #[serde(flatten)]
    message: MessageOut<'a>,
    /// Svix's headers of transformed messages; there are none here.
    #[schema(value_type = Option<Object>)]
    headers: Option<()>,
}

/// Where reading begins.
enum From {
    /// After this message.
    Message(MessageId),
    /// With what was accepted after this time.
    Time(UnixMs),
}

impl From {
    fn parse(text: &str) -> Option<Self> {
        text.parse().map(Self::Message).ok().or_else(|| time::parse_after(text).map(Self::Time))
    }
}

/// Which messages a poller asks for.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "this only describes what `poll` reads")]
pub(crate) struct PollParams {
    /// Messages at most.
    #[param(minimum = 1, maximum = 250, default = 50)]
    limit: Option<u16>,
    /// The `iterator` of an earlier answer.
    iterator: Option<String>,
    /// Only those of this event type.
    #[param(inline)]
    event_type: Option<EventTypeName>,
    /// Only those sent to this channel.
    #[param(inline)]
    channel: Option<Channel>,
    /// Only those accepted after this time, by RFC 3339.
    #[param(value_type = Option<String>, format = DateTime)]
    after: Option<String>,
}

/// Reads the messages that an endpoint asked for, oldest first
#[utoipa::path(
    get,
    path = "/app/{app_id}/poller/{endpoint_id}",
    operation_id = "v1.message.poller.poll",
    tag = "Message",
    params(PollParams),
    responses((status = 200, body = PollOut<'static>)),
)]
pub(crate) async fn poll(
    State(context): State<Context>,
    caller: Caller,
    Path((app, endpoint)): Path<(String, String)>,
    params: Params,
) -> Result<Response, ApiError> {
    let limit = page::limit(&params)?;
    let from = params.parsed("iterator", "an iterator from an earlier answer", From::parse)?;
    let (after_message, after_time) = match from {
        Some(From::Message(id)) => (Some(id), None),
        Some(From::Time(at)) => (None, Some(at)),
        None => (None, None),
    };
    let after = params.after()?.max(after_time);
    let endpoint = caller.endpoint(&context, &app, &endpoint, |found| Arc::new(found.clone()))?;
    let app = endpoint.app;
    let filter = MessageFilter {
        after,
        event_types: params.event_type()?.map(|name| vec![name]),
        channel: params.label("channel")?,
        wanted_by: Some(endpoint),
        ..MessageFilter::default()
    };
    let request = PageRequest { limit, after: after_message.map(|id| id.as_bytes().to_vec()), descending: false };
    let page = context.read(move |store| Ok(store.messages(app, &filter, &request)?)).await?;
    let last = page.next.as_ref().and_then(message_id).or_else(|| page.items.last().map(|message| message.id));
    let iterator = match last.or(after_message) {
        Some(id) => id.to_string(),
        None => time::text(after.unwrap_or_default()),
    };
    let data = page.items.iter().map(|message| {
        let message = MessageOut::read(message, true)?;
        Ok(PolledOut { message, headers: None })
    });
    let data = data.collect::<Result<_, ApiError>>()?;
    Ok(axum::Json(PollOut { data, iterator, done: page.done }).into_response())
}

fn message_id(key: &PageKey) -> Option<MessageId> {
    Some(MessageId(RawId::from_bytes(key.as_slice().try_into().ok()?)))
}
