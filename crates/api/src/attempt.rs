//! Attempts.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::time::Duration;

use axum::extract::State;
use postrider_model::attempt::Attempt;
use postrider_model::delivery::Trigger;
use postrider_model::id::{AppId, AttemptId, EndpointId, MessageId};
use postrider_model::ports::{AttemptFilter, AttemptsOf, Page, Query};
use serde::Serialize;
use utoipa::{IntoParams, ToSchema};

use crate::auth::Caller;
use crate::error::ApiError;
use crate::extract::{Params, Path};
use crate::page::{Cursor, List, Order, PageParams, PageQuery, TimeParams, TypeParams};
use crate::schema::{Channel, StatusCodeClass, WithContent};
use crate::{Context, message, time};

/// An attempt as it is shown. The numbers are Svix's.
#[derive(Serialize, ToSchema)]
#[schema(as = MessageAttemptOut)]
#[serde(rename_all = "camelCase")]
pub(crate) struct AttemptOut {
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
    /// 0 is success, 1 pending, 2 fail, 3 sending.
    #[schema(minimum = 0, maximum = 3)]
    status: u8,
    status_text: &'static str,
    /// 0 by the schedule, 1 by hand.
    #[schema(minimum = 0, maximum = 1)]
    trigger_type: u8,
    /// When it ended.
    #[schema(format = DateTime)]
    timestamp: String,
}

impl AttemptOut {
    fn new(attempt: &Attempt, with_content: bool) -> Self {
        // Without an answer the class of the failure is shown; the sentence kept
        // for the operator may name addresses of our own network.
        let response = match attempt.failure {
            Some(failure) => failure.as_str().to_owned(),
            None if with_content => String::from_utf8_lossy(&attempt.response).into_owned(),
            None => String::new(),
        };
        let (status, status_text) = if attempt.succeeded() { (0, "success") } else { (2, "fail") };
        let ended = attempt.started + Duration::from_millis(u64::from(attempt.duration_ms));
        Self {
            id: attempt.id,
            msg_id: attempt.message,
            endpoint_id: attempt.endpoint,
            url: attempt.url.clone(),
            response,
            response_status_code: attempt.status.unwrap_or(0),
            response_duration_ms: attempt.duration_ms,
            status,
            status_text,
            trigger_type: match attempt.trigger {
                Trigger::Scheduled => 0,
                Trigger::Manual => 1,
            },
            timestamp: time::text(ended),
        }
    }
}

/// Filters of lists of attempts.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "this only describes what `wanted` reads")]
pub(crate) struct AttemptParams {
    /// 0 is success, 1 pending, 2 fail, 3 sending.
    #[param(minimum = 0, maximum = 3)]
    status: Option<u8>,
    /// The class of the answer's status; 0 is no answer.
    #[param(inline)]
    status_code_class: Option<StatusCodeClass>,
    /// Only those of messages sent to this channel.
    #[param(inline)]
    channel: Option<Channel>,
}

/// Which attempts a list asks for.
struct Wanted {
    filter: AttemptFilter,
    channel: Option<String>,
    /// The status asked for is one that no attempt has.
    none: bool,
    with_content: bool,
}

fn wanted(params: &Params) -> Result<Wanted, ApiError> {
    // 0 is success, 1 pending, 2 fail, 3 sending. What is listed here has ended.
    let status = params.parsed("status", "0, 1, 2 or 3", |text| text.parse().ok().filter(|n| *n <= 3u8))?;
    let class = params.parsed("status_code_class", "0, 100, 200, 300, 400 or 500", |text| match text {
        "0" | "100" | "200" | "300" | "400" | "500" => text.parse::<u16>().ok(),
        _ => None,
    })?;
    let filter = AttemptFilter {
        before: params.before()?,
        after: params.after()?,
        endpoint: None,
        succeeded: status.map(|status| status == 0),
        status_class: class.map(|class| class / 100),
        event_types: params.event_types()?,
    };
    let none = matches!(status, Some(1 | 3));
    Ok(Wanted { filter, channel: params.label("channel")?, none, with_content: params.flag("with_content", true)? })
}

/// Lists the attempts at an endpoint, newest first
#[utoipa::path(
    get,
    path = "/app/{app_id}/attempt/endpoint/{endpoint_id}",
    operation_id = "v1.message-attempt.list-by-endpoint",
    tag = "Message Attempt",
    params(PageParams, WithContent, TypeParams, TimeParams, AttemptParams),
    responses((status = 200, body = List<AttemptOut>)),
)]
pub(crate) async fn list_by_endpoint(
    State(context): State<Context>,
    caller: Caller,
    Path((app, endpoint)): Path<(String, String)>,
    params: Params,
) -> Result<axum::Json<List<AttemptOut>>, ApiError> {
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
    responses((status = 200, body = List<AttemptOut>)),
)]
pub(crate) async fn list_by_message(
    State(context): State<Context>,
    caller: Caller,
    Path((app_name, message)): Path<(String, String)>,
    params: Params,
) -> Result<axum::Json<List<AttemptOut>>, ApiError> {
    let query = PageQuery::read(&params, Cursor::Attempt, Order::Descending)?;
    let mut wanted = wanted(&params)?;
    let app = caller.app_id(&context, &app_name)?;
    if let Some(endpoint) = params.text("endpoint_id") {
        wanted.filter.endpoint = Some(caller.endpoint(&context, &app_name, endpoint, |found| found.id)?);
    }
    list(&context, app, query, wanted, move |store| Ok(AttemptsOf::Message(message::find(store, app, &message)?.id)))
        .await
}

async fn list<F>(
    context: &Context,
    app: AppId,
    query: PageQuery,
    wanted: Wanted,
    of: F,
) -> Result<axum::Json<List<AttemptOut>>, ApiError>
where
    F: FnOnce(&dyn Query) -> Result<AttemptsOf, ApiError> + Send + 'static,
{
    let Wanted { filter, channel, none, with_content } = wanted;
    let request = query.request.clone();
    let page = context.read(move |store| {
        let of = of(store)?;
        if none {
            return Ok(Page { items: vec![], next: None, done: true });
        }
        let page = store.attempts(app, of, &filter, &request)?;
        match channel {
            Some(channel) => of_channel(store, app, page, &channel),
            None => Ok(page),
        }
    });
    let page = page.await?;
    let key = |attempt: &Attempt| Some(attempt.id.as_bytes().to_vec());
    Ok(axum::Json(query.answer(&page, key, |attempt| AttemptOut::new(attempt, with_content))))
}

/// Keeps the attempts of messages that were sent to a channel. The page may
/// become shorter by that; it still says where to go on.
fn of_channel(
    store: &dyn Query,
    app: AppId,
    mut page: Page<Attempt>,
    channel: &str,
) -> Result<Page<Attempt>, ApiError> {
    let mut in_channel = HashMap::new();
    for id in page.items.iter().map(|attempt| attempt.message) {
        if let Entry::Vacant(unknown) = in_channel.entry(id) {
            let message = store.message(app, id)?;
            unknown.insert(message.is_some_and(|message| message.channels.contains(channel)));
        }
    }
    if page.next.is_none() && !page.done {
        page.next = page.items.last().map(|attempt| attempt.id.as_bytes().to_vec());
    }
    page.items.retain(|attempt| in_channel.get(&attempt.message).is_some_and(|is_in| *is_in));
    Ok(page)
}

/// Gets an attempt
#[utoipa::path(
    get,
    path = "/app/{app_id}/msg/{msg_id}/attempt/{attempt_id}",
    operation_id = "v1.message-attempt.get",
    tag = "Message Attempt",
    responses((status = 200, body = AttemptOut)),
)]
pub(crate) async fn get(
    State(context): State<Context>,
    caller: Caller,
    Path((app, message, attempt)): Path<(String, String, String)>,
) -> Result<axum::Json<AttemptOut>, ApiError> {
    let app = caller.app_id(&context, &app)?;
    let found = context.read(move |store| {
        let message = message::find(store, app, &message)?.id;
        let id = attempt.parse::<AttemptId>().map_err(|_| ApiError::not_found("attempt"))?;
        let found = store.attempt(app, id)?.filter(|found| found.message == message);
        found.ok_or_else(|| ApiError::not_found("attempt"))
    });
    Ok(axum::Json(AttemptOut::new(&found.await?, true)))
}
