//! The audit log, for the operator.

use postrider_model::audit::{Actor, AuditFilter, Entry, Origin};
use postrider_model::id::{AppId, AttemptId, AuditId, EndpointId, MessageId, OrgId, TaskId};
use serde::Serialize;
use utoipa::{IntoParams, ToSchema};

use crate::auth::Caller;
use crate::error::ApiError;
use crate::extract::{Params, State};
use crate::page::{Cursor, List, Order, PageParams, PageQuery, TimeParams};
use crate::{Context, openapi, time};

/// Who did what, when and from where.
#[derive(Serialize, ToSchema)]
#[schema(as = AuditEntryOut)]
#[serde(rename_all = "camelCase")]
pub(crate) struct EntryOut {
    #[schema(value_type = String, example = "audit_0ERdjjOHO6ebyLkINZ4h5WmlnWc")]
    id: AuditId,
    #[schema(value_type = String, format = DateTime)]
    timestamp: String,
    /// The operation, by its id in this document.
    #[schema(example = "v1.endpoint.create")]
    operation: String,
    actor: ActorOut,
    from: OriginOut,
    /// The tenant.
    #[schema(value_type = String)]
    org_id: OrgId,
    /// The header `x-request-id`, if there was one.
    #[serde(skip_serializing_if = "Option::is_none")]
    request_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    app_id: Option<AppId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    endpoint_id: Option<EndpointId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    msg_id: Option<MessageId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    attempt_id: Option<AttemptId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    task_id: Option<TaskId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    event_type: Option<String>,
    /// The fingerprint of the token that was made.
    #[serde(skip_serializing_if = "Option::is_none")]
    token: Option<String>,
    /// The names of the fields that have changed; of something new, those that are not the defaults. Never their values.
    fields: Vec<String>,
    /// How many deliveries were changed; where that took several steps, in the first.
    #[serde(skip_serializing_if = "Option::is_none")]
    deliveries: Option<u64>,
    /// What was answered: 401 and 403 where somebody who is known was refused.
    status: u16,
}

/// Who asked.
#[derive(Serialize, ToSchema)]
#[schema(as = AuditActorOut)]
#[serde(rename_all = "camelCase")]
struct ActorOut {
    /// `token`; `user`, of the Unix socket; `server`, as it was started.
    kind: &'static str,
    /// What the token speaks for: `org_...` or `app_...`.
    #[serde(skip_serializing_if = "Option::is_none")]
    subject: Option<String>,
    /// The first 16 hexadecimal digits of the token's SHA-256.
    #[serde(skip_serializing_if = "Option::is_none")]
    fingerprint: Option<String>,
    /// The number of the user.
    #[serde(skip_serializing_if = "Option::is_none")]
    uid: Option<u32>,
}

/// Where a request came from.
#[derive(Serialize, ToSchema)]
#[schema(as = AuditOriginOut)]
#[serde(rename_all = "camelCase")]
struct OriginOut {
    /// `tcp`, `unix` or `start`.
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    address: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    uid: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pid: Option<i32>,
}

impl From<&Actor> for ActorOut {
    fn from(actor: &Actor) -> Self {
        let (fingerprint, uid) = match actor {
            Actor::Token { fingerprint, .. } => (Some(fingerprint.clone()), None),
            Actor::User { uid } => (None, Some(*uid)),
            Actor::Server => (None, None),
        };
        Self { kind: actor.kind(), subject: actor.subject(), fingerprint, uid }
    }
}

impl From<Origin> for OriginOut {
    fn from(from: Origin) -> Self {
        match from {
            Origin::Tcp { address } => {
                Self { kind: "tcp", address: address.map(|address| address.to_string()), uid: None, pid: None }
            }
            Origin::Unix { uid, pid } => Self { kind: "unix", address: None, uid: Some(uid), pid },
            Origin::Start => Self { kind: "start", address: None, uid: None, pid: None },
        }
    }
}

impl From<&Entry> for EntryOut {
    fn from(entry: &Entry) -> Self {
        let target = entry.target.clone();
        Self {
            id: entry.id,
            timestamp: time::text(entry.at()),
            operation: entry.operation.clone(),
            actor: ActorOut::from(&entry.actor),
            from: entry.from.into(),
            org_id: entry.org,
            request_id: entry.request_id.clone(),
            app_id: target.app,
            endpoint_id: target.endpoint,
            msg_id: target.message,
            attempt_id: target.attempt,
            task_id: target.task,
            event_type: target.event_type,
            token: target.token,
            fields: entry.fields.clone(),
            deliveries: entry.deliveries,
            status: entry.status,
        }
    }
}

/// Which entries.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "this only describes what `filter` reads")]
pub(crate) struct AuditParams {
    /// Only those about this application, by its id, also if it is gone, or by its uid.
    app_id: Option<String>,
    /// Only those by this actor: the subject or the fingerprint of a token, `uid:` and the number of a user, or `server`.
    actor: Option<String>,
    /// Only those of this operation, by its id in this document.
    operation: Option<String>,
}

/// Lists who changed what, newest first
#[utoipa::path(
    get,
    path = "/audit",
    operation_id = "v1.audit.list",
    tag = "Operator",
    params(PageParams, TimeParams, AuditParams),
    responses((status = 200, body = List<EntryOut>)),
)]
pub(crate) async fn list(
    State(context): State<Context>,
    caller: Caller,
    params: Params,
) -> Result<axum::Json<List<EntryOut>>, ApiError> {
    caller.operator()?;
    let query = PageQuery::read(&params, Cursor::Audit, Order::Descending)?;
    let filter = filter(&context, &caller, &params)?;
    let request = query.request.clone();
    let page = context.blocking(move |ports| Ok(ports.audit.entries(&filter, &request)?)).await?;
    let key = |entry: &Entry| Some(entry.id.as_bytes().to_vec());
    Ok(axum::Json(query.answer(&page, key, EntryOut::from)))
}

fn filter(context: &Context, caller: &Caller, params: &Params) -> Result<AuditFilter, ApiError> {
    let app = match params.text("app_id") {
        None => None,
        Some(name) => match name.parse::<AppId>() {
            Ok(app) => Some(app),
            Err(_) => Some(caller.app_id(context, name)?),
        },
    };
    Ok(AuditFilter {
        app,
        actor: params.parsed("actor", Actor::NAMES, |text| Actor::is_name(text).then(|| text.to_owned()))?,
        operation: params.parsed("operation", "the id of an operation, as docs/openapi.json has it", |text| {
            openapi::has_operation(text).then(|| text.to_owned())
        })?,
        before: params.before()?,
        after: params.after()?,
    })
}
