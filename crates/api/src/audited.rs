//! Who changes what goes into the audit log.
//!
//! ```text
//!   request --> which operation? -- it changes nothing ----------------> handler
//!                   | it may change something                              |
//!                   v                                                      v
//!     who, from where, about what --> ports that tell of the call --> 401, 403? --> an entry by itself
//!                                                                     2xx, and the store was not changed?
//!                                                                         --> an entry by itself, then the answer
//! ```
//!
//! No handler knows of it: the entry goes on record in the frame of the first change that
//! the handler asks of the ports. Sending messages is no such operation, and costs nothing here.

use std::collections::HashMap;
use std::fmt;
use std::num::NonZeroU32;
use std::sync::Arc;

use axum::extract::{FromRequestParts as _, MatchedPath, RawPathParams, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use metrics::counter;
use postrider_model::audit::{Call, MAX_REQUEST_ID_BYTES, Target, Told};
use utoipa::openapi::OpenApi;

use crate::Context;
use crate::auth::{Caller, Door, door};
use crate::error::ApiError;
use crate::rate_limit::{RateLimit, RequestRate};

/// What a client, or a proxy, calls a request.
const REQUEST_ID: &str = "x-request-id";
/// Operations that are no `GET` and change nothing of the configuration or of deliveries. What
/// they send is a message, which has a record of its own.
const NO_CHANGES: [&str; 6] = [
    "v1.message.create",
    "v1.message.create-batch",
    "v1.message.precheck",
    "v1.message.dry-run",
    "v1.endpoint.send-example",
    "logout_api_v1_auth_logout__post",
];
/// Refusals of one token, or of one user of the socket, that are told of.
const REFUSALS: RequestRate = RequestRate {
    per_second: NonZeroU32::new(1).expect("one is not zero"),
    burst: NonZeroU32::new(20).expect("twenty is not zero"),
};
const UNTOLD: &str = "postrider_audit_refusals_untold_total";

/// One operation of the API.
#[derive(Clone, Debug)]
struct Operation {
    id: Arc<str>,
    /// What it answers if it succeeds, and if something new came of it.
    status: u16,
    status_if_created: u16,
    changes: bool,
}

/// What is needed to tell of calls; a cheap copy.
#[derive(Clone)]
pub(crate) struct Telling(Arc<Parts>);

struct Parts {
    context: Context,
    /// By path and method.
    operations: HashMap<String, HashMap<Method, Operation>>,
    refusals: RateLimit<[u8; 32]>,
}

impl fmt::Debug for Telling {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Telling").finish_non_exhaustive()
    }
}

/// Lets a request that may change something leave an entry, and one that is refused.
pub(crate) async fn tell(State(telling): State<Telling>, request: Request, next: Next) -> Response {
    let matched = request.extensions().get::<MatchedPath>().cloned();
    let found = matched.and_then(|path| telling.operation(path.as_str(), request.method()).cloned());
    let Some(operation) = found else { return next.run(request).await };
    let (mut parts, body) = request.into_parts();
    let names = RawPathParams::from_request_parts(&mut parts, &()).await.ok();
    let asked = Asked {
        door: door(&parts),
        authorization: parts.headers.get(AUTHORIZATION).cloned(),
        request_id: request_id(&parts.headers),
        names: names.iter().flatten().map(|(name, value)| (name.to_owned(), value.to_owned())).collect(),
    };
    let asking = Request::from_parts(parts, body);
    let answered = match operation.changes {
        true => telling.carry_out(&operation, &asked, asking, next).await.unwrap_or_else(ApiError::into_response),
        false => next.run(asking).await,
    };
    telling.refused(&operation, &asked, answered.status()).await;
    answered
}

/// What is known of a request before it is answered.
pub(crate) struct Asked {
    door: Door,
    authorization: Option<HeaderValue>,
    request_id: Option<String>,
    /// The names in the path.
    names: Vec<(String, String)>,
}

impl Asked {
    /// A message that was sent to an application.
    pub(crate) fn message(door: Door, headers: &HeaderMap, app: String) -> Self {
        let authorization = headers.get(AUTHORIZATION).cloned();
        Self { door, authorization, request_id: request_id(headers), names: vec![("app_id".to_owned(), app)] }
    }
}

fn request_id(headers: &HeaderMap) -> Option<String> {
    let text = headers.get(REQUEST_ID)?.to_str().ok()?;
    (1..=MAX_REQUEST_ID_BYTES).contains(&text.len()).then(|| text.to_owned())
}

impl Telling {
    pub(crate) fn new(context: Context, document: &OpenApi) -> Self {
        let mut operations: HashMap<String, HashMap<Method, Operation>> = HashMap::new();
        for (path, item) in &document.paths.paths {
            let methods = [
                (Method::GET, &item.get),
                (Method::PUT, &item.put),
                (Method::POST, &item.post),
                (Method::PATCH, &item.patch),
                (Method::DELETE, &item.delete),
            ];
            for (method, described) in methods {
                let Some(described) = described else { continue };
                let statuses = described.responses.responses.keys().filter_map(|status| status.parse::<u16>().ok());
                let good: Vec<u16> = statuses.filter(|status| (200..300).contains(status)).collect();
                let id: Arc<str> = described.operation_id.as_deref().unwrap_or_default().into();
                let changes = method != Method::GET && !NO_CHANGES.contains(&&*id);
                let usual = good.first().copied().unwrap_or(200);
                let status_if_created = if good.contains(&201) { 201 } else { usual };
                let operation = Operation { id, status: usual, status_if_created, changes };
                operations.entry(path.clone()).or_default().insert(method, operation);
            }
        }
        let refusals = RateLimit::new(REFUSALS, Arc::clone(&context.clock));
        Self(Arc::new(Parts { context, operations, refusals }))
    }

    fn operation(&self, path: &str, method: &Method) -> Option<&Operation> {
        self.0.operations.get(path)?.get(method)
    }

    /// Answers over ports whose first change tells of the call.
    async fn carry_out(
        &self,
        operation: &Operation,
        asked: &Asked,
        request: Request,
        next: Next,
    ) -> Result<Response, ApiError> {
        let (mut parts, body) = request.into_parts();
        // One that is bound to an idempotency key stays so.
        let context = parts.extensions.get::<Context>().unwrap_or(&self.0.context).clone();
        let caller = Caller::from_request_parts(&mut parts, &context).await?;
        let call = self.call(operation, asked, &caller);
        let told = Arc::new(Told::not_yet(call));
        parts.extensions.insert(caller);
        parts.extensions.insert(context.telling_of(&told));
        let answered = next.run(Request::from_parts(parts, body)).await;
        if answered.status().is_success() && told.tell() {
            // The store was not changed, but whoever asked has got something, or asked for nothing new.
            let status = answered.status().as_u16();
            let made = answered.extensions().get::<MadeToken>().map(|MadeToken(fingerprint)| fingerprint.clone());
            let target = Target { token: made, ..told.call.target.clone() };
            self.0.context.ports.audit.note(Call { status, target, ..told.call.clone() }).await?;
        }
        Ok(answered)
    }

    /// Tells of a refusal of somebody who is known. Nobody waits for the change of a refusal, so what
    /// cannot be told of is only counted.
    async fn refused(&self, operation: &Operation, asked: &Asked, status: StatusCode) {
        if !matches!(status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) {
            return;
        }
        let context = &self.0.context;
        let Some(caller) = Caller::known(context, asked.door, asked.authorization.as_ref()) else { return };
        let is_within = self.0.refusals.take(caller.known_by()).is_ok();
        let call = Call { status: status.as_u16(), ..self.call(operation, asked, &caller) };
        if !is_within || context.ports.audit.note(call).await.is_err() {
            counter!(UNTOLD).increment(1);
        }
    }

    /// The same of a message that came the short way.
    pub(crate) async fn refused_message(&self, path: &str, asked: &Asked, status: StatusCode) {
        if let Some(operation) = self.operation(path, &Method::POST) {
            self.refused(operation, asked, status).await;
        }
    }

    fn call(&self, operation: &Operation, asked: &Asked, caller: &Caller) -> Call {
        Call {
            operation: operation.id.to_string(),
            request_id: asked.request_id.clone(),
            target: target(&self.0.context, caller, &asked.names),
            status: operation.status,
            status_if_created: operation.status_if_created,
            ..caller.call(&operation.id)
        }
    }
}

/// What the path names, as far as it is there and the caller's.
fn target(context: &Context, caller: &Caller, names: &[(String, String)]) -> Target {
    let named = |wanted: &str| names.iter().find(|(name, _)| name == wanted).map(|(_, value)| value.as_str());
    let mut target = Target {
        message: named("msg_id").and_then(|text| text.parse().ok()),
        attempt: named("attempt_id").and_then(|text| text.parse().ok()),
        task: named("task_id").and_then(|text| text.parse().ok()),
        event_type: named("event_type_name")
            .filter(|name| postrider_model::validate::event_type(name).is_ok())
            .map(str::to_owned),
        ..Target::default()
    };
    if let Some(app) = named("app_id") {
        let endpoint = named("endpoint_id");
        let found = caller.app(context, app, |entry| {
            let endpoint = endpoint.and_then(|name| entry.find_endpoint(name));
            (entry.app.id, endpoint.map(|endpoint| endpoint.id))
        });
        if let Ok((app, endpoint)) = found {
            (target.app, target.endpoint) = (Some(app), endpoint);
        }
    }
    target
}

/// The fingerprint of the token that an answer holds; put beside the answer by whoever makes one.
#[derive(Clone, Debug)]
pub(crate) struct MadeToken(pub(crate) String);
