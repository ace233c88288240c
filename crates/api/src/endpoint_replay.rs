//! What an endpoint gets again: tasks over the messages of a span of time.

use http::StatusCode;
use postrider_model::status::MessageStatus;
use postrider_model::task::{BulkReplay, EndpointSpan, TaskWork};
use postrider_model::time::UnixMs;
use postrider_model::validate;
use serde::Deserialize;
use utoipa::ToSchema;

use crate::auth::Caller;
use crate::error::ApiError;
use crate::extract::{Json, Path, State};
use crate::input::{Field, Problems};
use crate::schema::{Channel, EndedStatus, EventTypeName, StatusCodeClass};
use crate::task::TaskOut;
use crate::{Context, filter, task, time};

type Started = Result<(StatusCode, axum::Json<TaskOut>), ApiError>;

/// A span of time. A field that we do not know could only be meant to narrow
/// what is sent, so it is refused.
#[derive(Default, Deserialize, ToSchema)]
#[schema(as = RecoverIn)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub(crate) struct SpanIn {
    /// Messages that were accepted then or later. Not in the future.
    #[schema(value_type = String, format = DateTime, required)]
    since: Field<String>,
    /// Messages that were accepted before this.
    #[schema(value_type = Option<String>, format = DateTime)]
    until: Field<String>,
}

impl SpanIn {
    fn span(self, context: &Context, caller: &Caller, path: &(String, String)) -> Result<EndpointSpan, ApiError> {
        let mut problems = Problems::default();
        let times = Times::read(self.since, self.until, context.clock.now(), &mut problems);
        problems.finish()?;
        span(context, caller, path, times)
    }
}

/// Which messages an endpoint gets again.
#[derive(Default, Deserialize, ToSchema)]
#[schema(as = BulkReplayIn)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub(crate) struct BulkReplayIn {
    /// Messages that were accepted then or later. Not in the future.
    #[schema(value_type = String, format = DateTime, required)]
    since: Field<String>,
    /// Messages that were accepted before this.
    #[schema(value_type = Option<String>, format = DateTime)]
    until: Field<String>,
    /// Messages with one of these event types.
    #[schema(value_type = Option<Vec<EventTypeName>>, min_items = 1)]
    event_types: Field<Vec<String>>,
    /// Messages that were sent to this channel.
    #[schema(value_type = Option<Channel>)]
    channel: Field<String>,
    /// Messages with this tag.
    #[schema(value_type = Option<Channel>)]
    tag: Field<String>,
    /// Where they stand with the endpoint: delivered (0), failed (2) or cancelled
    /// (4). Left out, it means both of the first two. What waits cannot be asked for.
    #[schema(value_type = Option<EndedStatus>)]
    status: Field<u64>,
    /// The class of the status of the last answer; 0 if there was none.
    #[schema(value_type = Option<StatusCodeClass>)]
    status_code_class: Field<u64>,
}

impl BulkReplayIn {
    /// The work, once the endpoint is known.
    fn read(self, now: UnixMs, problems: &mut Problems) -> (Times, impl FnOnce(EndpointSpan) -> BulkReplay + use<>) {
        let times = Times::read(self.since, self.until, now, problems);
        let event_types = filter::event_types(self.event_types, problems);
        let (channel, tag) = (self.channel.nullable(), self.tag.nullable());
        for (name, label) in [("channel", &channel), ("tag", &tag)] {
            let one = label.iter().cloned().collect();
            problems.check(name, label.as_ref().map_or(Ok(()), |_| validate::channels(Some(&one))));
        }
        let status = self.status.nullable().and_then(|code| {
            let ended = u8::try_from(code).ok().and_then(MessageStatus::from_code);
            let ended = ended.filter(|status| !matches!(status, MessageStatus::Pending | MessageStatus::Sending));
            let problem = || "must be 0, 2 or 4: what waits comes by its own schedule".to_owned();
            problems.check("status", ended.map(drop).ok_or_else(problem));
            ended
        });
        let status_class = self.status_code_class.nullable().and_then(|class| {
            let known = [0u16, 100, 200, 300, 400, 500].into_iter().find(|known| u64::from(*known) == class);
            let problem = || "must be 0, 100, 200, 300, 400 or 500".to_owned();
            problems.check("statusCodeClass", known.map(drop).ok_or_else(problem));
            known.map(|known| known / 100)
        });
        (times, move |span| BulkReplay { span, event_types, channel, tag, status, status_class })
    }
}

/// From the first moment on, and up to the other one.
struct Times {
    since: UnixMs,
    until: Option<UnixMs>,
}

impl Times {
    fn read(since: Field<String>, until: Field<String>, now: UnixMs, problems: &mut Problems) -> Self {
        let since = match since {
            Field::Value(text) => moment("since", &text, problems),
            missing => {
                missing.required("since", problems);
                UnixMs(0)
            }
        };
        let until = until.nullable().map(|until| moment("until", &until, problems));
        if since > now {
            problems.check("since", Err("must not be in the future".to_owned()));
        }
        if until.is_some_and(|until| until < since) {
            problems.check("until", Err("must not be before `since`".to_owned()));
        }
        Self { since, until }
    }
}

/// Our times are whole milliseconds: from a moment between two of them on, and
/// before it, are the same as with the later one.
fn moment(name: &'static str, text: &str, problems: &mut Problems) -> UnixMs {
    time::parse_before(text).unwrap_or_else(|| {
        problems.check(name, Err("must be a time by RFC 3339".to_owned()));
        UnixMs(0)
    })
}

fn span(
    context: &Context,
    caller: &Caller,
    (app, endpoint): &(String, String),
    Times { since, until }: Times,
) -> Result<EndpointSpan, ApiError> {
    caller.endpoint(context, app, endpoint, |found| EndpointSpan { app: found.app, endpoint: found.id, since, until })
}

/// Sends an endpoint its dead letters of a span of time again
#[utoipa::path(
    post,
    path = "/app/{app_id}/endpoint/{endpoint_id}/recover",
    operation_id = "v1.endpoint.recover",
    tag = "Endpoint",
    request_body = SpanIn,
    responses((status = 202, body = TaskOut)),
)]
pub(crate) async fn recover(
    State(context): State<Context>,
    caller: Caller,
    Path(path): Path<(String, String)>,
    Json(input): Json<SpanIn>,
) -> Started {
    task::start(&context, TaskWork::Recover(input.span(&context, &caller, &path)?)).await
}

/// Sends an endpoint the messages of a span of time that never went to it
///
/// Those that its filters let through as they are now; Svix names the task
/// `endpoint.replay`.
#[utoipa::path(
    post,
    path = "/app/{app_id}/endpoint/{endpoint_id}/replay-missing",
    operation_id = "v1.endpoint.replay-missing",
    tag = "Endpoint",
    request_body = SpanIn,
    responses((status = 202, body = TaskOut)),
)]
pub(crate) async fn replay_missing(
    State(context): State<Context>,
    caller: Caller,
    Path(path): Path<(String, String)>,
    Json(input): Json<SpanIn>,
) -> Started {
    task::start(&context, TaskWork::ReplayMissing(input.span(&context, &caller, &path)?)).await
}

/// Sends an endpoint messages of a span of time again, also those that were delivered
#[utoipa::path(
    post,
    path = "/app/{app_id}/endpoint/{endpoint_id}/bulk-replay",
    operation_id = "v1.endpoint.bulk-replay",
    tag = "Endpoint",
    request_body = BulkReplayIn,
    responses((status = 202, body = TaskOut)),
)]
pub(crate) async fn bulk_replay(
    State(context): State<Context>,
    caller: Caller,
    Path(path): Path<(String, String)>,
    Json(input): Json<BulkReplayIn>,
) -> Started {
    let mut problems = Problems::default();
    let (times, of) = input.read(context.clock.now(), &mut problems);
    problems.finish()?;
    task::start(&context, TaskWork::BulkReplay(of(span(&context, &caller, &path, times)?))).await
}
