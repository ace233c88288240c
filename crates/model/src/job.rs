//! What passes between scheduler and dispatcher: a [`Job`] there, an
//! [`Outcome`] back.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use url::Url;

use crate::delivery::{DeliveryKey, Scheduled};
use crate::id::MessageId;
use crate::position::Position;
use crate::target::Target;
use crate::time::UnixMs;

/// One HTTP request to make, or a part of one: everything that it needs, so that the dispatcher
/// asks nobody.
#[derive(Clone, Debug)]
pub struct Job {
    /// The delivery that this is an attempt of.
    pub key: DeliveryKey,
    /// What the delivery waits for, the number of this attempt in it.
    pub scheduled: Scheduled,
    /// Sent as `webhook-id`; the same in every attempt (W7).
    pub message: MessageId,
    /// The payload, from which the body is made: by default it is the body, byte for byte (W7).
    pub body: Bytes,
    /// The payload's media type; `None` means [`crate::message::JSON`].
    pub content_type: Option<Arc<str>>,
    /// What kind of thing happened.
    pub event_type: Arc<str>,
    /// Where to, as the endpoint is configured at this moment.
    pub target: Arc<Target>,
    /// The others that go in the same request, for an endpoint that gets batches; there
    /// may be none. They are of the same endpoint, and have no others of their own.
    pub others: Option<Vec<Job>>,
}

/// How an attempt ended.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The delivery.
    pub key: DeliveryKey,
    /// The number of the attempt.
    pub attempt: u16,
    /// When the attempt began, by the wall clock.
    pub started: UnixMs,
    /// How long it took, by the monotonic clock.
    pub duration: Duration,
    /// The URL that was asked.
    pub url: Arc<Url>,
    /// The answer, or why there is none.
    pub result: AttemptResult,
}

/// The answer to an attempt, or why there is none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AttemptResult {
    /// The endpoint answered.
    Answered(Response),
    /// No complete answer came.
    Failed {
        /// The class of the failure, for decisions and metrics.
        kind: FailureKind,
        /// One sentence for the operator's log. It may name addresses.
        detail: String,
    },
}

/// What is kept of an answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Response {
    /// The status code.
    pub status: u16,
    /// The value of `Retry-After` as it came.
    pub retry_after: Option<String>,
    /// The beginning of the body, at most `limits.response_read_bytes`.
    pub body: Bytes,
    /// The messages of a batch that the endpoint did not take although it answered with
    /// success, by their sequences.
    pub failed: Vec<Position>,
    /// These are all of the batch.
    pub took_none: bool,
}

/// The classes of failure without an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum FailureKind {
    /// The address guard refused every address of the host.
    AddressRefused,
    /// The name does not resolve.
    Dns,
    /// No connection.
    Connect,
    /// The TLS handshake failed, or the certificate is not valid.
    Tls,
    /// The deadline passed.
    Timeout,
    /// The connection ended or broke the protocol before the head of an answer was complete.
    /// The endpoint may have processed the request.
    Protocol,
    /// The attempt could not be made, for a reason on our side.
    Internal,
    /// The proxy cannot be reached, or does not let the request through.
    Proxy,
    /// No token could be had that the request would get in with, so it was not made.
    Token,
    /// The endpoint answered a batch with success, and named this message as one that it
    /// did not take. Here there is an answer.
    BatchItem,
    /// The same, and it took none of the others either.
    WholeBatch,
}

impl FailureKind {
    /// The class as the API and the metrics spell it. It tells an endpoint's
    /// owner nothing about the network that Postrider runs in.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::AddressRefused => "address_refused",
            Self::Dns => "dns",
            Self::Connect => "connect",
            Self::Tls => "tls",
            Self::Timeout => "timeout",
            Self::Protocol => "protocol",
            Self::Internal => "internal",
            Self::Proxy => "proxy",
            Self::Token => "token",
            Self::BatchItem | Self::WholeBatch => "batch_item",
        }
    }
}

/// What an attempt's end means for its delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// 2xx: the endpoint confirmed, all of it if it was a batch.
    Success,
    /// 410: the endpoint wants nothing more; it is disabled.
    Gone,
    /// 429 or 503, 502, 504, or a timeout: the endpoint has too much to do.
    Overload,
    /// Everything else, 3xx among it.
    Failure,
}

impl AttemptResult {
    /// What the result means (Standard Webhooks 1.0.0, "Delivery").
    #[must_use]
    pub const fn verdict(&self) -> Verdict {
        match self {
            Self::Answered(response) => match response.status {
                200..=299 if response.failed.is_empty() => Verdict::Success,
                410 => Verdict::Gone,
                429 | 502..=504 => Verdict::Overload,
                _ => Verdict::Failure,
            },
            Self::Failed { kind: FailureKind::Timeout, .. } => Verdict::Overload,
            Self::Failed { .. } => Verdict::Failure,
        }
    }

    /// Whether it says nothing of the endpoint, because no request was made.
    #[must_use]
    pub const fn says_nothing(&self) -> bool {
        matches!(self, Self::Failed { kind: FailureKind::Internal | FailureKind::Token, .. })
    }

    /// Whether no request was made because there was no token for it.
    #[must_use]
    pub const fn has_no_token(&self) -> bool {
        matches!(self, Self::Failed { kind: FailureKind::Token, .. })
    }

    /// The messages of a batch that the endpoint did not take although it answered with success.
    #[must_use]
    pub fn failed(&self) -> &[Position] {
        match self {
            Self::Answered(response) => &response.failed,
            Self::Failed { .. } => &[],
        }
    }

    /// The same for one message of the batch.
    #[must_use]
    pub fn of_member(&self, message: Position) -> Self {
        let mut result = self.clone();
        if let Self::Answered(response) = &mut result {
            response.failed.retain(|failed| *failed == message);
        }
        result
    }

    /// The status code, if there was an answer.
    #[must_use]
    pub const fn status(&self) -> Option<u16> {
        match self {
            Self::Answered(response) => Some(response.status),
            Self::Failed { .. } => None,
        }
    }
}

/// A [`Job`] and the way back for its [`Outcome`]. The way back holds a slot
/// that was reserved before the job was sent, so answering never waits. It must
/// be used; if it is dropped instead, it answers with
/// [`FailureKind::Internal`] by itself.
pub struct Assignment {
    /// The request to make.
    pub job: Job,
    /// Takes the outcome.
    pub reply: Box<dyn FnOnce(Outcome) + Send>,
}
