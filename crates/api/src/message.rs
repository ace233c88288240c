//! Messages.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::time::Duration;

use axum::response::{IntoResponse as _, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use postrider_model::id::{AppId, MessageId, OrgId};
use postrider_model::json;
use postrider_model::message::{JSON, Message, NewMessage};
use postrider_model::query::{MessageFilter, Query};
use postrider_model::time::UnixMs;
use postrider_model::validate;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use utoipa::ToSchema;

use crate::application::{self, ApplicationIn};
use crate::auth::Caller;
use crate::error::ApiError;
use crate::extract::{self, Params, Path, RawBody, State};
use crate::input::{Field, Object, Problems};
use crate::page::{Cursor, List, Order, PageParams, PageQuery, TimeParams, TypeParams};
use crate::schema::{Channel, EventTypeName, WithContent};
use crate::{Context, answer, once, time};

/// Channels of one message.
const MAX_CHANNELS: usize = 5;
/// Days for which a payload may ask to be kept.
const RETENTION_DAYS: std::ops::RangeInclusive<i64> = 5..=90;
/// The same in hours.
const RETENTION_HOURS: std::ops::RangeInclusive<i64> = 1..=90 * 24;
const SECONDS_PER_HOUR: u64 = 3_600;
/// Bytes by which the answer to a message is usually longer than its request, at most.
const ANSWER_BYTES: usize = 256;

/// A message as it is asked for. The payload is left as it came.
#[derive(Default, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct MessageIn<'a> {
    #[schema(value_type = EventTypeName, required)]
    event_type: Field<String>,
    /// Forwarded byte for byte.
    #[schema(value_type = Object, required, example = json!({"order": 17}))]
    #[serde(borrow)]
    payload: Field<&'a RawValue>,
    /// Your own name for it, unique in the application for 24 hours.
    #[schema(value_type = Option<String>, min_length = 1, max_length = 256, pattern = r"^[^\x00-\x1f\x7f-\x9f]+$", example = "e-17")]
    event_id: Field<String>,
    /// Only endpoints without channels or with one of these get it.
    #[schema(value_type = Option<Vec<Channel>>, min_items = 1, max_items = 5)]
    channels: Field<BTreeSet<String>>,
    /// Kept and shown; lists can be filtered by them.
    #[schema(value_type = Option<Vec<Channel>>, min_items = 1, max_items = 10)]
    tags: Field<BTreeSet<String>>,
    /// Messages of the same key go to each endpoint one after the other.
    #[schema(value_type = Option<String>, min_length = 1, max_length = 256, pattern = r"^[^\x00-\x1f\x7f-\x9f]+$")]
    order_key: Field<String>,
    /// The application to make if there is none; its uid is the one in the path.
    #[schema(value_type = Option<ApplicationIn>)]
    application: Field<Box<Object<ApplicationIn>>>,
    /// For how long from acceptance the payload is shown and sent, in days.
    #[schema(value_type = Option<i64>, minimum = 5, maximum = 90)]
    payload_retention_period: Field<i64>,
    /// The same in hours, which go before days.
    #[schema(value_type = Option<i64>, minimum = 1, maximum = 2_160)]
    payload_retention_hours: Field<i64>,
    // In a batch only.
    #[schema(ignore)]
    idempotency_key: Field<String>,
    // Refused, since they would change the delivery.
    #[schema(ignore)]
    #[serde(borrow)]
    deliver_at: Field<&'a RawValue>,
    #[schema(ignore)]
    #[serde(borrow)]
    transformations_params: Field<&'a RawValue>,
}

/// A message, and the application to make if there is none.
pub(crate) type WithApplication = (NewMessage, Option<Box<Object<ApplicationIn>>>);

impl MessageIn<'_> {
    /// Its key, where the message has one of its own.
    pub(crate) fn take_key(&mut self) -> Option<String> {
        std::mem::take(&mut self.idempotency_key).nullable()
    }

    /// What is to be sent, and made for it.
    pub(crate) fn into_message(self, org: OrgId, app: String, body: &Bytes) -> Result<WithApplication, ApiError> {
        let mut problems = Problems::default();
        refuse_unsupported(&self, &mut problems);
        let event_type = self.event_type.required("eventType", &mut problems);
        let payload = payload(self.payload, body, &mut problems);
        let mut message = NewMessage::new(org, app, event_type, payload);
        message.event_id = self.event_id.nullable();
        message.channels = channels(self.channels, &mut problems);
        message.tags = non_empty("tags", self.tags, &mut problems);
        message.order_key = self.order_key.nullable();
        message.payload_retention =
            payload_retention(self.payload_retention_period, self.payload_retention_hours, &mut problems);
        problems.finish()?;
        Ok((message, self.application.nullable()))
    }
}

/// The payload as it stands in the body.
pub(crate) fn payload(payload: Field<&RawValue>, body: &Bytes, problems: &mut Problems) -> Bytes {
    match payload {
        Field::Value(raw) if raw.get().starts_with('{') => {
            let payload = raw.get().as_bytes();
            problems.check("payload", json::check_depth(payload));
            return body.slice_ref(payload);
        }
        Field::Value(_) | Field::Null => problems.note(&["payload"], "must be an object", "type_error.dict"),
        Field::Absent => problems.note(&["payload"], "field required", "value_error.missing"),
    }
    Bytes::new()
}

/// The event type and the channels of a message that is not sent; both are checked.
pub(crate) fn kind(
    event_type: Field<String>,
    channels: Field<BTreeSet<String>>,
    problems: &mut Problems,
) -> (String, BTreeSet<String>) {
    let event_type = event_type.given_or_missing("eventType", problems);
    if let Some(event_type) = &event_type {
        problems.check("eventType", validate::event_type(event_type));
    }
    let channels = self::channels(channels, problems);
    problems.check("channels", validate::channels(Some(&channels).filter(|channels| !channels.is_empty())));
    (event_type.unwrap_or_default(), channels)
}

/// The channels of a message.
fn channels(channels: Field<BTreeSet<String>>, problems: &mut Problems) -> BTreeSet<String> {
    let channels = non_empty("channels", channels, problems);
    if channels.len() > MAX_CHANNELS {
        let problem = format!("has {} members, at most {MAX_CHANNELS} are allowed", channels.len());
        problems.check("channels", Err(problem));
    }
    channels
}

/// A list that is left out or has members.
fn non_empty(name: &'static str, list: Field<BTreeSet<String>>, problems: &mut Problems) -> BTreeSet<String> {
    let list = list.nullable();
    if list.as_ref().is_some_and(BTreeSet::is_empty) {
        problems.check(name, Err("must not be an empty list".to_owned()));
    }
    list.unwrap_or_default()
}

/// Refuses what would be another delivery than the one that we make.
fn refuse_unsupported(input: &MessageIn<'_>, problems: &mut Problems) {
    for (name, field) in [("deliverAt", &input.deliver_at), ("transformationsParams", &input.transformations_params)] {
        if matches!(field, Field::Value(_)) {
            problems.check(name, Err("is not supported: it would change the delivery".to_owned()));
        }
    }
}

/// How long the payload is kept. Hours are more exact, so they go before days.
fn payload_retention(days: Field<i64>, hours: Field<i64>, problems: &mut Problems) -> Option<Duration> {
    let mut allowed = |name, number: Field<i64>, range: std::ops::RangeInclusive<i64>| {
        let number = number.nullable()?;
        if !range.contains(&number) {
            let (min, max) = range.into_inner();
            problems.check(name, Err(format!("is {number}, {min} to {max} are allowed")));
        }
        u64::try_from(number).ok()
    };
    let days = allowed("payloadRetentionPeriod", days, RETENTION_DAYS);
    let hours = allowed("payloadRetentionHours", hours, RETENTION_HOURS);
    let hours = hours.or_else(|| days.map(|days| days.saturating_mul(24)))?;
    Some(Duration::from_secs(hours.saturating_mul(SECONDS_PER_HOUR)))
}

/// A message as it is shown. The payload is written byte for byte.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct MessageOut<'a> {
    #[schema(value_type = String, example = "msg_0ERdjjOHO6ebyLkINZ4h5WmlnWc")]
    id: MessageId,
    event_type: &'a str,
    event_id: Option<&'a str>,
    #[schema(value_type = Option<Vec<String>>)]
    channels: Option<&'a BTreeSet<String>>,
    #[schema(value_type = Option<Vec<String>>)]
    tags: Option<&'a BTreeSet<String>>,
    #[schema(value_type = Object)]
    payload: Cow<'a, RawValue>,
    #[schema(format = DateTime)]
    timestamp: String,
}

impl<'a> MessageOut<'a> {
    pub(crate) fn read(message: &'a Message, with_content: bool) -> Result<Self, ApiError> {
        Ok(Self {
            id: message.id,
            event_type: &message.event_type,
            event_id: message.event_id.as_deref(),
            channels: Some(&message.channels).filter(|channels| !channels.is_empty()),
            tags: Some(&message.tags).filter(|tags| !tags.is_empty()),
            payload: shown_payload(message.body.as_deref(), &message.content_type, with_content)?,
            timestamp: time::text(message.at),
        })
    }

    pub(crate) fn accepted(message: &'a NewMessage, payload: Cow<'a, RawValue>, id: MessageId, at: UnixMs) -> Self {
        Self {
            id,
            event_type: &message.event_type,
            event_id: message.event_id.as_deref(),
            channels: Some(&message.channels).filter(|channels| !channels.is_empty()),
            tags: Some(&message.tags).filter(|tags| !tags.is_empty()),
            payload,
            timestamp: time::text(at),
        }
    }
}

/// The payload as JSON: as it is, or what stands for it.
pub(crate) fn shown_payload<'a>(
    body: Option<&'a [u8]>,
    content_type: &str,
    with_content: bool,
) -> Result<Cow<'a, RawValue>, ApiError> {
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Encoded<'a> {
        content_type: &'a str,
        base64: String,
    }
    let made = |json: String| RawValue::from_string(json).map(Cow::Owned).map_err(|error| ApiError::internal(&error));
    let Some(body) = body.filter(|_| with_content) else {
        return made(if with_content { r#"{"expired":true}"# } else { "{}" }.to_owned());
    };
    if content_type == JSON
        && let Ok(json) = serde_json::from_slice::<&RawValue>(body)
    {
        return Ok(Cow::Borrowed(json));
    }
    let encoded = Encoded { content_type, base64: STANDARD.encode(body) };
    made(serde_json::to_string(&encoded).map_err(|error| ApiError::internal(&error))?)
}

/// Sends a message: it is on disk when the answer comes, and is then delivered to every endpoint that matches
#[utoipa::path(
    post,
    path = "/app/{app_id}/msg",
    operation_id = "v1.message.create",
    tag = "Message",
    params(WithContent),
    request_body = MessageIn<'static>,
    responses((status = 202, body = MessageOut<'static>)),
)]
pub(crate) async fn create(
    State(context): State<Context>,
    caller: Caller,
    Path(app): Path<String>,
    params: Params,
    headers: HeaderMap,
    body: RawBody,
) -> Result<Response, ApiError> {
    take_in(&context, &caller, app, &params, &headers, &body).await
}

/// The same, once it is known who asks and the body has been read.
pub(crate) async fn take_in(
    context: &Context,
    caller: &Caller,
    app: String,
    params: &Params,
    headers: &HeaderMap,
    RawBody { bytes: body, .. }: &RawBody,
) -> Result<Response, ApiError> {
    let org = caller.whole_org()?;
    let with_content = params.flag("with_content", true)?;
    let key = once::key(headers)?;
    let input = extract::parse::<MessageIn<'_>>(body)?;
    let raw = input.payload.value().copied();
    let (mut message, application) = input.into_message(org, app, body)?;
    message.idempotency_key = key;
    message.validate()?;
    if let Some(Object(application)) = application.map(|boxed| *boxed) {
        // The message has been checked, so that nothing is made for a bad one.
        let limit_bytes = context.limits.body_bytes;
        if message.body.len() > limit_bytes {
            return Err(ApiError::too_large(format!("payload has more than {limit_bytes} bytes")));
        }
        application::ensure(context, caller, &message.app, application, "v1.message.create").await?;
    }
    // W1: the port answers when the message is on disk, and so do we.
    let accepted = context.ports.accept.accept(message.clone()).await?;
    let payload = match raw.filter(|_| with_content) {
        Some(raw) => Cow::Borrowed(raw),
        None => shown_payload(None, JSON, with_content)?,
    };
    let mut json = Vec::with_capacity(body.len() + ANSWER_BYTES);
    let out = MessageOut::accepted(&message, payload, accepted.id, accepted.at);
    serde_json::to_writer(&mut json, &out).map_err(|error| ApiError::internal(&error))?;
    Ok(answer::json(StatusCode::ACCEPTED, json))
}

/// Lists the messages of an application, newest first
#[utoipa::path(
    get,
    path = "/app/{app_id}/msg",
    operation_id = "v1.message.list",
    tag = "Message",
    params(
        PageParams, WithContent, TypeParams, TimeParams,
        ("channel" = Option<Channel>, Query, description = "Only those sent to this channel"),
        ("tag" = Option<Channel>, Query, description = "Only those with this tag"),
        ("unmatched" = Option<bool>, Query, description = "Only those that no endpoint asked for"),
    ),
    responses((status = 200, body = List<MessageOut<'static>>)),
)]
pub(crate) async fn list(
    State(context): State<Context>,
    caller: Caller,
    Path(app): Path<String>,
    params: Params,
) -> Result<Response, ApiError> {
    let query = PageQuery::read(&params, Cursor::Message, Order::Descending)?;
    let with_content = params.flag("with_content", true)?;
    let filter = filter(&params)?;
    let app = caller.app_id(&context, &app)?;
    let request = query.request.clone();
    let page = context.read(move |store| Ok(store.messages(app, &filter, &request)?)).await?;
    let key = |message: &Message| Some(message.id.as_bytes().to_vec());
    let list = query.answer(&page, key, |message| MessageOut::read(message, with_content));
    Ok(axum::Json(list.transpose()?).into_response())
}

/// Which messages a list asks for.
pub(crate) fn filter(params: &Params) -> Result<MessageFilter, ApiError> {
    Ok(MessageFilter {
        before: params.before()?,
        after: params.after()?,
        event_types: params.event_types()?,
        channel: params.label("channel")?,
        tag: params.label("tag")?,
        unmatched: params.flag("unmatched", false)?,
        wanted_by: None,
    })
}

/// Gets a message
#[utoipa::path(
    get,
    path = "/app/{app_id}/msg/{msg_id}",
    operation_id = "v1.message.get",
    tag = "Message",
    params(WithContent),
    responses((status = 200, body = MessageOut<'static>)),
)]
pub(crate) async fn get(
    State(context): State<Context>,
    caller: Caller,
    Path((app, message)): Path<(String, String)>,
    params: Params,
) -> Result<Response, ApiError> {
    let with_content = params.flag("with_content", true)?;
    let app = caller.app_id(&context, &app)?;
    let message = context.read(move |store| find(store, app, &message)).await?;
    Ok(axum::Json(MessageOut::read(&message, with_content)?).into_response())
}

/// A message by its id or event id, as paths name it.
pub(crate) fn find(store: &dyn Query, app: AppId, id_or_event_id: &str) -> Result<Message, ApiError> {
    let found = match id_or_event_id.parse() {
        Ok(id) => store.message(app, id)?,
        Err(_) => store.message_by_event_id(app, id_or_event_id)?,
    };
    found.ok_or_else(|| ApiError::not_found("message"))
}

/// The id of a message that a path names.
pub(crate) async fn find_id(context: &Context, app: AppId, id_or_event_id: String) -> Result<MessageId, ApiError> {
    match id_or_event_id.parse() {
        Ok(id) => Ok(id),
        Err(_) => context.read(move |store| Ok(find(store, app, &id_or_event_id)?.id)).await,
    }
}
