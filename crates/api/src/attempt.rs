//! Attempts.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use axum::response::{IntoResponse as _, Response};
use postrider_model::attempt::Attempt;
use postrider_model::delivery::Trigger;
use postrider_model::id::{AppId, AttemptId, EndpointId, MessageId};
use postrider_model::message::Message;
use postrider_model::query::{AttemptFilter, AttemptsOf, Page, Query};
use postrider_model::status::MessageStatus;
use serde::Serialize;
use utoipa::{IntoParams, ToSchema};

use crate::auth::Caller;
use crate::error::ApiError;
use crate::extract::{Params, Path, State};
use crate::message::MessageOut;
use crate::page::{Cursor, List, Order, PageParams, PageQuery, TimeParams, TypeParams};
use crate::schema::{Channel, StatusCodeClass, WithContent};
use crate::{Context, attempted, message, time};

/// What stands for an answer that was expunged, as in Svix's server.
const EXPUNGED: &str = "EXPUNGED";

/// An attempt as it is shown. The numbers are Svix's.
#[derive(Serialize, ToSchema)]
#[schema(as = MessageAttemptOut)]
#[serde(rename_all = "camelCase")]
pub(crate) struct AttemptOut<'a> {
    #[schema(value_type = String, example = "atmpt_0ERdjjOQTOvW0FDAEl4qOc78ayq")]
    id: AttemptId,
    #[schema(value_type = String)]
    msg_id: MessageId,
    #[schema(value_type = String)]
    endpoint_id: EndpointId,
    /// Where the request went.
    url: String,
    /// What the endpoint answered, or the class of the failure.
    response: String,
    /// 0 if there was no answer.
    response_status_code: u16,
    response_duration_ms: u32,
    /// 0 is success, 2 fail.
    #[schema(minimum = 0, maximum = 4)]
    status: u8,
    status_text: &'static str,
    /// 0 by the schedule, 1 by hand.
    #[schema(minimum = 0, maximum = 1)]
    trigger_type: u8,
    /// When it ended.
    #[schema(format = DateTime)]
    timestamp: String,
    /// The message without its payload, if it was asked for.
    #[schema(value_type = Option<MessageOut<'static>>)]
    #[serde(skip_serializing_if = "Option::is_none")]
    msg: Option<MessageOut<'a>>,
}

impl<'a> AttemptOut<'a> {
    fn new(attempt: &Attempt, with_content: bool, msg: Option<MessageOut<'a>>) -> Self {
        // Without an answer the class of the failure is shown; the sentence kept
        // for the operator may name addresses of our own network.
        let response = match (attempt.failure, &attempt.response) {
            (Some(failure), _) => failure.as_str().to_owned(),
            (None, Some(body)) if with_content => String::from_utf8_lossy(body).into_owned(),
            (None, None) if with_content => EXPUNGED.to_owned(),
            (None, _) => String::new(),
        };
        let status = if attempt.succeeded() { MessageStatus::Success } else { MessageStatus::Fail };
        let ended = attempt.started + Duration::from_millis(u64::from(attempt.duration_ms));
        Self {
            id: attempt.id,
            msg_id: attempt.message,
            endpoint_id: attempt.endpoint,
            url: attempt.url.clone(),
            response,
            response_status_code: attempt.status.unwrap_or(0),
            response_duration_ms: attempt.duration_ms,
            status: status.code(),
            status_text: status.as_str(),
            trigger_type: match attempt.trigger {
                Trigger::Scheduled => 0,
                Trigger::Manual | Trigger::Resent => 1,
            },
            timestamp: time::text(ended),
            msg,
        }
    }
}

/// Filters of lists of attempts.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "this only describes what `wanted` reads")]
pub(crate) struct AttemptParams {
    /// 0 is success, 2 fail; none is found for 1 pending, 3 sending and 4 canceled.
    #[param(minimum = 0, maximum = 4)]
    status: Option<u8>,
    /// The class of the answer's status; 0 is no answer.
    #[param(inline)]
    status_code_class: Option<StatusCodeClass>,
    /// Only those of messages sent to this channel.
    #[param(inline)]
    channel: Option<Channel>,
    /// Only those of messages with this tag.
    #[param(inline)]
    tag: Option<Channel>,
    /// Show the messages, too, without their payloads.
    #[param(default = false)]
    with_msg: Option<bool>,
}

/// Which attempts a list asks for.
struct Wanted {
    filter: AttemptFilter,
    channel: Option<String>,
    tag: Option<String>,
    /// The status asked for is one that no attempt has.
    none: bool,
    with_content: bool,
    with_msg: bool,
}

/// A page of attempts, with their messages if these are needed.
struct Read {
    page: Page<Attempt>,
    messages: HashMap<MessageId, Message>,
}

fn wanted(params: &Params) -> Result<Wanted, ApiError> {
    let status = attempted::status(params)?;
    let class = params.parsed("status_code_class", "0, 100, 200, 300, 400 or 500", |text| match text {
        "0" | "100" | "200" | "300" | "400" | "500" => text.parse::<u16>().ok(),
        _ => None,
    })?;
    let filter = AttemptFilter {
        before: params.before()?,
        after: params.after()?,
        endpoint: None,
        succeeded: status.map(|status| status == MessageStatus::Success),
        status_class: class.map(|class| class / 100),
        event_types: params.event_types()?,
    };
    Ok(Wanted {
        filter,
        channel: params.label("channel")?,
        tag: params.label("tag")?,
        // What is listed here has ended, and was not cancelled.
        none: status.is_some_and(|status| !matches!(status, MessageStatus::Success | MessageStatus::Fail)),
        with_content: params.flag("with_content", true)?,
        with_msg: params.flag("with_msg", false)?,
    })
}

/// Lists the attempts at an endpoint, newest first
#[utoipa::path(
    get,
    path = "/app/{app_id}/attempt/endpoint/{endpoint_id}",
    operation_id = "v1.message-attempt.list-by-endpoint",
    tag = "Message Attempt",
    params(PageParams, WithContent, TypeParams, TimeParams, AttemptParams),
    responses((status = 200, body = List<AttemptOut<'static>>)),
)]
pub(crate) async fn list_by_endpoint(
    State(context): State<Context>,
    caller: Caller,
    Path((app, endpoint)): Path<(String, String)>,
    params: Params,
) -> Result<Response, ApiError> {
    let query = PageQuery::read(&params, Cursor::Attempt, Order::Descending)?;
    let wanted = wanted(&params)?;
    let (app, endpoint) = caller.endpoint(&context, &app, &endpoint, |found| (found.app, found.id))?;
    list(&context, app, query, wanted, move |_| Ok(AttemptsOf::Endpoint(endpoint))).await
}

/// Lists the attempts to deliver a message, newest first
#[utoipa::path(
    get,
    path = "/app/{app_id}/attempt/msg/{msg_id}",
    operation_id = "v1.message-attempt.list-by-msg",
    tag = "Message Attempt",
    params(
        PageParams, WithContent, TypeParams, TimeParams, AttemptParams,
        ("endpoint_id" = Option<String>, Query, description = "Only those at this endpoint: its id or uid"),
    ),
    responses((status = 200, body = List<AttemptOut<'static>>)),
)]
pub(crate) async fn list_by_message(
    State(context): State<Context>,
    caller: Caller,
    Path((app_name, message)): Path<(String, String)>,
    params: Params,
) -> Result<Response, ApiError> {
    let query = PageQuery::read(&params, Cursor::Attempt, Order::Descending)?;
    let mut wanted = wanted(&params)?;
    let app = caller.app_id(&context, &app_name)?;
    if let Some(endpoint) = params.text("endpoint_id") {
        wanted.filter.endpoint = Some(caller.endpoint(&context, &app_name, endpoint, |found| found.id)?);
    }
    list(&context, app, query, wanted, move |store| Ok(AttemptsOf::Message(message::find(store, app, &message)?.id)))
        .await
}

async fn list<F>(context: &Context, app: AppId, query: PageQuery, wanted: Wanted, of: F) -> Result<Response, ApiError>
where
    F: FnOnce(&dyn Query) -> Result<AttemptsOf, ApiError> + Send + 'static,
{
    let (request, with_content, with_msg) = (query.request.clone(), wanted.with_content, wanted.with_msg);
    let read = context.read(move |store| {
        let of = of(store)?;
        if wanted.none {
            return Ok(Read { page: Page { items: vec![], next: None, done: true }, messages: HashMap::new() });
        }
        wanted.with_messages(store, app, store.attempts(app, of, &wanted.filter, &request)?)
    });
    let Read { page, messages } = read.await?;
    let key = |attempt: &Attempt| Some(attempt.id.as_bytes().to_vec());
    let list = query.answer(&page, key, |attempt| {
        let message = messages.get(&attempt.message).filter(|_| with_msg);
        let message = message.map(|message| MessageOut::read(message, false)).transpose()?;
        Ok::<_, ApiError>(AttemptOut::new(attempt, with_content, message))
    });
    Ok(axum::Json(list.transpose()?).into_response())
}

impl Wanted {
    /// Reads the messages of attempts, if something is asked of them, and keeps the
    /// attempts whose message was sent to the channel and bears the tag. The page
    /// may become shorter by that; it still says where to go on.
    fn with_messages(&self, store: &dyn Query, app: AppId, mut page: Page<Attempt>) -> Result<Read, ApiError> {
        let mut messages = HashMap::new();
        if !self.with_msg && self.channel.is_none() && self.tag.is_none() {
            return Ok(Read { page, messages });
        }
        let ids: BTreeSet<MessageId> = page.items.iter().map(|attempt| attempt.message).collect();
        for id in ids {
            messages.extend(store.message(app, id)?.map(|message| (id, message)));
        }
        if page.next.is_none() && !page.done {
            page.next = page.items.last().map(|attempt| attempt.id.as_bytes().to_vec());
        }
        let is_in = |texts: &BTreeSet<String>, text: &Option<String>| text.as_ref().is_none_or(|t| texts.contains(t));
        page.items.retain(|attempt| match messages.get(&attempt.message) {
            Some(message) => is_in(&message.channels, &self.channel) && is_in(&message.tags, &self.tag),
            None => self.channel.is_none() && self.tag.is_none(),
        });
        Ok(Read { page, messages })
    }
}

/// Gets an attempt
#[utoipa::path(
    get,
    path = "/app/{app_id}/msg/{msg_id}/attempt/{attempt_id}",
    operation_id = "v1.message-attempt.get",
    tag = "Message Attempt",
    responses((status = 200, body = AttemptOut<'static>)),
)]
pub(crate) async fn get(
    State(context): State<Context>,
    caller: Caller,
    Path((app, message, attempt)): Path<(String, String, String)>,
) -> Result<axum::Json<AttemptOut<'static>>, ApiError> {
    let app = caller.app_id(&context, &app)?;
    let found = context.read(move |store| {
        let message = message::find(store, app, &message)?.id;
        let id = attempt.parse::<AttemptId>().map_err(|_| ApiError::not_found("attempt"))?;
        let found = store.attempt(app, id)?.filter(|found| found.message == message);
        found.ok_or_else(|| ApiError::not_found("attempt"))
    });
    Ok(axum::Json(AttemptOut::new(&found.await?, true, None)))
}
