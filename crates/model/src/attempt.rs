//! An attempt: one HTTP request, as it is kept in the history.

use bytes::Bytes;

use crate::delivery::Trigger;
use crate::id::{AppId, AttemptId, EndpointId, MessageId};
use crate::job::FailureKind;
use crate::position::Position;
use crate::time::UnixMs;

/// Bytes kept of the answer to a successful attempt.
pub const SUCCESS_RESPONSE_KEPT_BYTES: usize = 1_024;
/// Bytes kept of the answer to a failed attempt.
pub const FAILURE_RESPONSE_KEPT_BYTES: usize = 16 * 1_024;

/// One HTTP request and its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// Its id; ids sort as the attempts ended.
    pub id: AttemptId,
    /// The application.
    pub app: AppId,
    /// The endpoint.
    pub endpoint: EndpointId,
    /// The message.
    pub message: MessageId,
    /// The message's sequence.
    pub message_sequence: Position,
    /// The number of the attempt, from 1.
    pub number: u16,
    /// The URL that was asked.
    pub url: String,
    /// When it began.
    pub started: UnixMs,
    /// How long it took, in milliseconds.
    pub duration_ms: u32,
    /// The status code, if there was an answer.
    pub status: Option<u16>,
    /// The class of failure, if there was no answer or that is not why it failed.
    pub failure: Option<FailureKind>,
    /// The beginning of the answer's body, or the failure's sentence; `None` when
    /// it was expunged.
    pub response: Option<Bytes>,
    /// What made it happen.
    pub trigger: Trigger,
    /// It came too late to change anything (W6).
    pub stale: bool,
}

impl Attempt {
    /// Whether the endpoint confirmed.
    #[must_use]
    pub const fn succeeded(&self) -> bool {
        matches!(self.status, Some(200..=299)) && self.failure.is_none()
    }
}
