//! The HTTP API: parses, authorises and calls the ports; nothing more.
//!
//! ```text
//!   TCP, Unix socket          one table          one file a resource
//!   serve  ---- Door ---->  routes, router --- Caller, ---->  application, endpoint, ...
//!   (limits, deadlines)                     Params, Json             |
//!                                                                    v  ports (injected)
//!                                accept · configure · query · control · expunge · explain · health
//! ```
//!
//! # Svix's dialect
//!
//! Paths, ids, field names, status codes, bodies, defaults and limits are those
//! of Svix's API, so that its SDKs work. Errors are `{"code","detail"}`; values
//! that are not allowed are 422 with `{"detail":[{"loc","msg","type"}]}`, and
//! malformed JSON is one of those. Unknown fields are ignored, except
//! `deliverAt` and `transformationsParams` of a message, which would change its
//! delivery. The older names `filterTypes`, `rateLimit` and `version` stand
//! beside the newer ones in answers and are understood in requests.
//!
//! Beyond it, the same operations understand `headers` and `timeoutMs` (1,000 to
//! 30,000, the endpoint's own deadline) in an endpoint, `orderKey` in a message,
//! and show `timeoutMs` and `paused` of an endpoint. `PUT` leaves `headers` and
//! `timeoutMs` alone where they are not named. A payload that is not JSON, which
//! only the ingest socket takes, is shown as `{"base64","contentType"}`; one
//! that was expunged as `{"expired":true}`.
//!
//! `payloadRetentionPeriod` and `payloadRetentionHours` say for how long a payload
//! is shown and sent; how long messages are kept is the operator's setting.
//!
//! `idempotency-key` is honoured by every `POST`: see `once.rs`. One used again
//! with other content is 422 and names the header; an `eventId` that is taken is 409.
//!
//! # Our own operations
//!
//! All lie under `/api/v1` and reach the token's tenant only. Unknown fields of
//! their bodies are refused.
//!
//! | operation | what it does |
//! |---|---|
//! | `POST app/{app}/msg/batch` | many messages with one sync; 202, or 207 if some were refused |
//! | `GET app/{app}/delivery` | deliveries that wait; `endpoint_id`, `msg_id`, `event_types`, `before`, `after` |
//! | `GET app/{app}/msg/{msg}/delivery` | the deliveries of one message, each with its state |
//! | `POST app/{app}/msg/{msg}/delivery/{endpoint}/cancel` | cancels one; 204 |
//! | `POST app/{app}/delivery/cancel` | cancels those that match `{"endpointId","msgId","eventTypes","before","after"}`; `{"cancelled": n}` |
//! | `POST app/{app}/msg/{msg}/delivery/{endpoint}/replay` | schedules one again; 204 |
//! | `GET app/{app}/dead-letter` | dead letters; filters as above, times are those of death |
//! | `GET dead-letter` | those of all applications of the tenant |
//! | `POST app/{app}/dead-letter/replay` | replays those that match; 202 with the task |
//! | `GET task/{task}` | how far a task is |
//! | `GET task` | tasks of every kind; `status`, `task` |
//! | `POST app/{app}/endpoint/{endpoint}/pause`, `.../resume` | the endpoint gets nothing, or goes on |
//! | `POST app/{app}/endpoint/{endpoint}/verify` | verifies the endpoint now and waits for the result |
//! | `POST dispatch/pause`, `dispatch/resume` | nobody gets anything, or all go on; the operator's; 204 |
//! | `GET audit` | who changed what, when and from where; the operator's; `app_id`, `actor`, `operation`, `before`, `after` |
//! | `GET status` | what is configured and what is wrong |
//!
//! `GET /health/live` is 200 while the process runs; `GET /health/ready` is 503
//! with the problems while something could not be accepted or delivered.
//!
//! # Who may do what
//!
//! A token whose subject is `org_...` speaks for that tenant. One with `org` and
//! a subject `app_...` reaches that application only: it reads it, manages its
//! endpoints, replays and sends examples, but neither sends nor cancels messages
//! nor changes the application. Everything of somebody else is 404. The *operator* is who speaks for the
//! default tenant: the Unix socket's trusted users, and its own tokens.

mod activity;
mod answer;
mod application;
mod attempt;
mod attempted;
mod audit;
mod audited;
mod auth;
mod batch;
mod catalogue;
mod context;
mod dead_letter;
mod delivery;
mod dispatch;
mod docs;
mod dry_run;
mod endpoint;
mod endpoint_auth;
mod endpoint_body;
mod endpoint_form;
mod endpoint_headers;
mod endpoint_out;
mod endpoint_replay;
mod endpoint_secret;
mod endpoint_stats;
mod endpoint_tls;
mod endpoint_verification;
mod error;
mod event_type;
mod example;
mod expunge;
mod extract;
mod filter;
mod flow;
#[cfg(test)]
mod fuzzing;
mod health;
mod input;
mod known_tokens;
mod message;
mod meters;
mod once;
mod openapi;
mod page;
mod policy;
mod poller;
mod portal;
mod precheck;
mod rate_limit;
mod request_limits;
mod router;
mod routes;
mod schema;
mod schema_example;
mod serve;
mod task;
#[cfg(test)]
mod tests;
mod time;
pub mod tls;
pub mod token;
mod unread;

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use postrider_model::ports::Ports;
use postrider_model::signature::Signature;
use postrider_model::time::Clock;
use url::Url;

pub use auth::{Door, Peer, Scheme};
pub use openapi::openapi_json;
pub use rate_limit::RequestRate;
pub use router::{metrics_router, router};
pub use routes::Routes;
pub use serve::{Listener, Options, Service, TrustedUsers};
pub use token::TokenSecret;

use context::Context;

/// Says why a URL must not be an endpoint's, if the address guard can tell from
/// the URL alone. A name that does not resolve is no reason.
pub type UrlGuard = Arc<dyn Fn(&Url) -> Option<String> + Send + Sync>;

/// Gives the metrics in the text format of Prometheus.
pub type RenderMetrics = Arc<dyn Fn() -> String + Send + Sync>;

/// All that the handlers need.
#[derive(Clone)]
pub struct Api {
    /// The ways to the rest of the service.
    pub ports: Ports,
    /// Signs and verifies tokens.
    pub token_secret: TokenSecret,
    /// Refuses URLs when an endpoint is created or changed.
    pub url_guard: UrlGuard,
    /// The scheme of new endpoints that name none, `dispatch.signature`: their secrets are read by it.
    pub signature: Signature,
    /// The time by which tokens expire.
    pub clock: Arc<dyn Clock>,
    /// What a request may cost.
    pub limits: Limits,
}

/// What a request may cost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of a message's payload, `limits.body_bytes`.
    pub body_bytes: usize,
    /// Bytes of a request's body beside the payload.
    pub envelope_bytes: usize,
    /// Bytes of the body of a batch of messages; never less than those of one.
    pub batch_bytes: usize,
    /// Bytes of all bodies that are being read or carried out at once (W9), in
    /// all doors together; further requests wait before their bodies are read.
    pub bodies_bytes: usize,
    /// How long a request's body may take to come in.
    pub body_read_timeout: Duration,
    /// Reads from the store at once; further ones wait.
    pub queries: usize,
    /// Requests of one token over TCP; further ones are refused.
    pub requests_per_token: Option<RequestRate>,
    /// Requests of one address over TCP, but for those about health; further ones are refused.
    pub requests_per_address: Option<RequestRate>,
    /// Requests of one address over TCP without a good token; further ones are answered
    /// that there were too many, while a good token is never refused for them.
    pub refusals_per_address: Option<RequestRate>,
}

/// Little for who asks in vain all the time, and plenty for who has forgotten a header.
const REFUSALS: RequestRate = RequestRate {
    per_second: NonZeroU32::new(10).expect("ten is not zero"),
    burst: NonZeroU32::new(50).expect("fifty is not zero"),
};

impl Default for Limits {
    fn default() -> Self {
        Self {
            body_bytes: 1 << 20,
            envelope_bytes: 64 << 10,
            batch_bytes: 8 << 20,
            bodies_bytes: 256 << 20,
            body_read_timeout: Duration::from_secs(20),
            queries: 32,
            requests_per_token: None,
            requests_per_address: None,
            refusals_per_address: Some(REFUSALS),
        }
    }
}

impl Limits {
    /// Bytes of a request's body at most.
    #[must_use]
    pub const fn request_bytes(&self) -> usize {
        self.body_bytes.saturating_add(self.envelope_bytes)
    }

    /// Bytes of the body of a batch at most.
    fn batch_bytes(&self) -> usize {
        self.batch_bytes.max(self.request_bytes())
    }
}
