//! What an endpoint gets again: tasks over the messages of a span of time.

use axum::extract::State;
use http::StatusCode;
use postrider_model::task::{EndpointSpan, TaskWork};
use postrider_model::time::UnixMs;
use serde::Deserialize;
use utoipa::ToSchema;

use crate::auth::Caller;
use crate::error::ApiError;
use crate::extract::{Json, Path};
use crate::input::{Field, Problems};
use crate::task::TaskOut;
use crate::{Context, task, time};

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
    let mut problems = Problems::default();
    let times = Times::read(input.since, input.until, context.clock.now(), &mut problems);
    problems.finish()?;
    task::start(&context, TaskWork::Recover(span(&context, &caller, &path, times)?)).await
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
    let mut problems = Problems::default();
    let times = Times::read(input.since, input.until, context.clock.now(), &mut problems);
    problems.finish()?;
    task::start(&context, TaskWork::ReplayMissing(span(&context, &caller, &path, times)?)).await
}
