//! A task: a long-running job that a person asked for, such as a recover. It is
//! on record, so it goes on after a restart where it was.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::id::{AppId, EndpointId, TaskId};
use crate::query::DeliveryFilter;
use crate::status::MessageStatus;
use crate::time::UnixMs;

/// Tasks of one application that may run at once.
pub const MAX_RUNNING_TASKS: usize = 100;

/// A task as it is shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Task {
    /// Its id.
    pub id: TaskId,
    /// What it does.
    pub work: TaskWork,
    /// Deliveries that it has scheduled so far.
    pub sent: u64,
    /// It has done all that it was to.
    pub finished: bool,
    /// When it was asked for.
    pub created: UnixMs,
    /// When its last step was recorded.
    pub updated: UnixMs,
}

/// What a task does. Each takes what was there when it was asked for, and
/// leaves alone what has changed so that it is not meant any more.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum TaskWork {
    /// Schedules the dead letters that match again.
    ReplayDeadLetters(DeliveryFilter),
    /// Schedules an endpoint's dead letters again whose messages were accepted
    /// in a span of time.
    Recover(EndpointSpan),
    /// Schedules the messages of a span of time that an endpoint's filters let
    /// through, as they are at that moment, and that never went to it.
    ReplayMissing(EndpointSpan),
    /// Schedules messages of a span of time again that went to an endpoint and
    /// wait no more: also those that were delivered.
    BulkReplay(BulkReplay),
}

/// Which messages an endpoint gets again. What is `None` does not restrict.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BulkReplay {
    /// Of which endpoint, and by their time.
    pub span: EndpointSpan,
    /// One of these event types.
    pub event_types: Option<Vec<String>>,
    /// Sent to this channel.
    pub channel: Option<String>,
    /// Bearing this label.
    pub tag: Option<String>,
    /// Where they stand with the endpoint; `None`: delivered or dead letters.
    pub status: Option<MessageStatus>,
    /// The last attempt was answered with a status from this hundred, 2 for 2xx;
    /// 0: without an answer.
    pub status_class: Option<u16>,
}

impl BulkReplay {
    /// Whether a message that stands so is meant. What waits comes by its own
    /// schedule, and what a person cancelled is sent only if that is asked for.
    #[must_use]
    pub fn means(&self, status: MessageStatus) -> bool {
        match status {
            MessageStatus::Success | MessageStatus::Fail => self.status.is_none_or(|wanted| wanted == status),
            MessageStatus::Canceled => self.status == Some(status),
            MessageStatus::Pending | MessageStatus::Sending => false,
        }
    }
}

/// The messages for one endpoint that were accepted in a span of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EndpointSpan {
    /// The endpoint's application.
    pub app: AppId,
    /// The endpoint.
    pub endpoint: EndpointId,
    /// Accepted then or later.
    pub since: UnixMs,
    /// Accepted before this; `None`: before the task was asked for.
    pub until: Option<UnixMs>,
}

impl EndpointSpan {
    /// Whether a message that was accepted then is meant.
    #[must_use]
    pub fn holds(&self, accepted: UnixMs) -> bool {
        accepted >= self.since && self.until.is_none_or(|until| accepted < until)
    }
}

/// The kind of a task's work, by the name that Svix's API gives it where it has one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TaskKind {
    /// [`TaskWork::ReplayDeadLetters`]; Svix has no such task.
    ReplayDeadLetters,
    /// [`TaskWork::Recover`].
    Recover,
    /// [`TaskWork::ReplayMissing`].
    ReplayMissing,
    /// [`TaskWork::BulkReplay`].
    BulkReplay,
}

impl TaskKind {
    /// All kinds.
    pub const ALL: [Self; 4] = [Self::ReplayDeadLetters, Self::Recover, Self::ReplayMissing, Self::BulkReplay];

    /// The kind as the API spells it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ReplayDeadLetters => "dead_letter.replay",
            Self::Recover => "endpoint.recover",
            Self::ReplayMissing => "endpoint.replay",
            Self::BulkReplay => "endpoint.bulk-replay",
        }
    }
}

impl fmt::Display for TaskKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl TaskWork {
    /// Its kind.
    #[must_use]
    pub const fn kind(&self) -> TaskKind {
        match self {
            Self::ReplayDeadLetters(_) => TaskKind::ReplayDeadLetters,
            Self::Recover(_) => TaskKind::Recover,
            Self::ReplayMissing(_) => TaskKind::ReplayMissing,
            Self::BulkReplay(_) => TaskKind::BulkReplay,
        }
    }

    /// The application whose task it is.
    #[must_use]
    pub const fn app(&self) -> Option<AppId> {
        match self {
            Self::ReplayDeadLetters(filter) => filter.app,
            Self::Recover(span) | Self::ReplayMissing(span) => Some(span.app),
            Self::BulkReplay(bulk) => Some(bulk.span.app),
        }
    }

    /// The one endpoint that it is about, if there is one.
    #[must_use]
    pub const fn endpoint(&self) -> Option<EndpointId> {
        match self {
            Self::ReplayDeadLetters(filter) => filter.endpoint,
            Self::Recover(span) | Self::ReplayMissing(span) => Some(span.endpoint),
            Self::BulkReplay(bulk) => Some(bulk.span.endpoint),
        }
    }
}
