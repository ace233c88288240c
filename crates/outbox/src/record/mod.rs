//! What the journal holds: one record for each thing that happened.
//!
//! A record is written once and never changed. Everything that Postrider knows
//! is what [`crate::state::State::apply`] makes of the records in their order.

mod codec;
#[cfg(test)]
pub(crate) mod tests;

pub(crate) use codec::{
    CONFIG, DecodeError, Encoder, beginning_of_bincode, decode, erase, from_checked_bincode, to_bincode,
};

use bytes::Bytes;
use postrider_model::audit::Entry;
use postrider_model::config::ConfigChange;
use postrider_model::delivery::{DeadReason, DeliveryEvent, DeliveryKey, DeliveryState, Next, Scheduled, Trigger};
use postrider_model::id::{AppId, AttemptId, EndpointId, MessageId, TaskId};
use postrider_model::job::FailureKind;
use postrider_model::position::Position;
use postrider_model::resend::{Before, Resending};
use postrider_model::task::TaskWork;
use postrider_model::time::UnixMs;
use serde::{Deserialize, Serialize};

/// What lies beside the meta part: a message's body, an answer's body. `None`
/// once it was expunged.
pub(crate) type Content = Option<Bytes>;

/// One record, decoded.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Record {
    /// A message was accepted, with its deliveries (W2).
    Accepted(Accepted, Content),
    /// An attempt has ended.
    Outcome(Outcome, Content),
    /// The configuration changed.
    Config(ConfigChange),
    /// The same as it lies on disk where there may be secrets in it: sealed by
    /// [`crate::seal::Sealer`].
    SealedConfig(Bytes),
    /// A person or a rule changed deliveries.
    Deliveries(Deliveries),
    /// A task began.
    TaskStarted(TaskStarted),
    /// A task has done all that it was to.
    TaskFinished(TaskFinished),
    /// A message, copied out of a segment that is about to go.
    Carried(Carried, Content),
    /// A person removed the content of another record.
    Expunged(Expunged),
    /// What a request with an idempotency key came to; the bytes are sealed.
    Answered(Answered, Bytes),
    /// An entry of the audit log, beside what it tells of, or carried.
    Audit(Box<Entry>),
}

/// The message's record without its body.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Accepted {
    pub(crate) id: MessageId,
    pub(crate) app: AppId,
    /// The version of the application's endpoints that `endpoints` was computed against.
    pub(crate) config_version: u64,
    pub(crate) event_type: String,
    /// `None` means JSON.
    pub(crate) content_type: Option<String>,
    pub(crate) event_id: Option<String>,
    pub(crate) channels: Vec<String>,
    pub(crate) tags: Vec<String>,
    /// Looked up by the committer: see [`crate::keys`].
    pub(crate) idempotency: Option<IdempotencyKey>,
    pub(crate) order_key: u64,
    pub(crate) endpoints: Vec<EndpointId>,
    /// For each of them the hash of the order key that it finds in the payload, or
    /// 0; empty if none looks there.
    pub(crate) orders: Vec<u64>,
    /// From then on the body is not shown and not sent.
    pub(crate) payload_until: Option<UnixMs>,
}

/// What a request with an idempotency key came to, for a retry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Answered {
    pub(crate) once: IdempotencyKey,
    pub(crate) at: UnixMs,
    pub(crate) kept: Kept,
}

/// What is kept for a retry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Kept {
    /// The change is in the same frame; the raw bytes are the reply to it in
    /// JSON, out of which the answer can be made again.
    Reply,
    /// The answer; the raw bytes are its body.
    Answer { status: u16 },
}

/// Hashes of an idempotency key and of what came with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct IdempotencyKey {
    pub(crate) key: [u8; 16],
    pub(crate) content: [u8; 16],
}

/// Everything that has to be known of a delivery to put it back among the live ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct DeliveryRef {
    pub(crate) app: AppId,
    pub(crate) endpoint: EndpointId,
    pub(crate) message: MessageId,
    /// Where the message was first accepted.
    pub(crate) sequence: Position,
    /// Where its record lies now.
    pub(crate) position: Position,
    pub(crate) order_key: u64,
    /// The message's record does not name the endpoint: a replay added it.
    pub(crate) added: bool,
}

impl DeliveryRef {
    /// When the message was accepted: its id tells.
    pub(crate) fn accepted(&self) -> UnixMs {
        self.message.0.time()
    }

    pub(crate) const fn key(&self) -> DeliveryKey {
        DeliveryKey { endpoint: self.endpoint, message: self.sequence }
    }
}

/// The record of an attempt without the answer's body.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Outcome {
    pub(crate) id: AttemptId,
    pub(crate) delivery: DeliveryRef,
    /// What the delivery was waiting for when the attempt began.
    pub(crate) ended: Scheduled,
    pub(crate) trigger: Trigger,
    pub(crate) started: UnixMs,
    pub(crate) duration_ms: u32,
    pub(crate) url: String,
    pub(crate) status: Option<u16>,
    pub(crate) failure: Option<FailureKind>,
    pub(crate) next: Next,
    /// It came too late to change anything (W6).
    pub(crate) stale: bool,
}

impl Outcome {
    /// Whether the endpoint confirmed; `None` if the attempt says nothing of the endpoint:
    /// it failed on our side, or one message of a batch was not taken by an endpoint that works.
    pub(crate) fn succeeded(&self) -> Option<bool> {
        let says_nothing =
            matches!(self.failure, Some(FailureKind::Internal | FailureKind::Token | FailureKind::BatchItem));
        (!says_nothing).then_some(matches!(self.status, Some(200..=299)) && self.failure.is_none())
    }
}

/// A change of deliveries that is no attempt.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Deliveries {
    pub(crate) at: UnixMs,
    pub(crate) what: DeliveryChange,
    pub(crate) deliveries: Vec<DeliveryRef>,
    /// The task that this is a batch of, and how far it is with it.
    pub(crate) task: Option<(TaskId, DeliveryKey)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum DeliveryChange {
    Cancelled,
    Expired(DeadReason),
    /// Dead letters that are past their retention (W10).
    Forgotten,
    /// Scheduled again; the number of the last attempt for those of which nothing is known any more.
    Replayed {
        attempts_made: u16,
    },
    /// One attempt more, beside the schedule; with what the delivery was, should
    /// it be neither live nor a dead letter.
    Resent {
        ended: Option<DeliveryState>,
    },
    /// The attempt more is not to be made.
    CalledOff,
    /// A person gave up dead letters (W10).
    Purged,
}

impl DeliveryChange {
    /// What happens to each delivery; `None` if that is no event but its end.
    pub(crate) const fn event(self, at: UnixMs) -> Option<DeliveryEvent> {
        Some(match self {
            Self::Cancelled => DeliveryEvent::Cancelled { at },
            Self::Expired(reason) => DeliveryEvent::Expired { at, reason },
            Self::Forgotten => return None,
            Self::Replayed { .. } => DeliveryEvent::Replayed { at },
            Self::Resent { .. } => DeliveryEvent::Resent { at },
            Self::CalledOff => DeliveryEvent::CalledOff,
            Self::Purged => DeliveryEvent::Purged { at },
        })
    }

    /// What a delivery was of which nothing is known any more, since it is
    /// neither live nor a dead letter.
    pub(crate) const fn assumes(self, at: UnixMs) -> Option<DeliveryState> {
        match self {
            Self::Replayed { attempts_made } => Some(DeliveryState::Delivered { at, attempt: attempts_made }),
            Self::Resent { ended } => ended,
            Self::Cancelled | Self::Expired(_) | Self::Forgotten | Self::CalledOff | Self::Purged => None,
        }
    }

    /// The same with at least so many attempts of a delivery of which nothing is known any more.
    pub(crate) fn with_attempts_made(self, attempt: u16) -> Self {
        match self {
            Self::Replayed { attempts_made } => Self::Replayed { attempts_made: attempts_made.max(attempt) },
            Self::Resent { ended: Some(ended) } => {
                Self::Resent { ended: Some(ended.with_attempts_made(ended.attempts_made().max(attempt))) }
            }
            other => other,
        }
    }

    /// The change that is meant for a delivery in this state. What ends one that
    /// waits only calls off the resend of one that has ended: it stays what it is.
    pub(crate) const fn meant_for(self, state: &DeliveryState) -> Self {
        let DeliveryState::Resending(Resending { before, .. }) = state else { return self };
        match (self, before) {
            (Self::Cancelled | Self::Expired(DeadReason::HeldTooLong), Before::Dead { .. })
            | (Self::Cancelled | Self::Expired(_), Before::Delivered { .. } | Before::Cancelled { .. }) => {
                Self::CalledOff
            }
            _ => self,
        }
    }
}

/// The beginning of a task.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct TaskStarted {
    pub(crate) id: TaskId,
    pub(crate) work: TaskWork,
    pub(crate) created: UnixMs,
}

/// The end of a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct TaskFinished {
    pub(crate) id: TaskId,
    pub(crate) at: UnixMs,
}

/// A message in its new place, with the states of its deliveries.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Carried {
    pub(crate) message: Accepted,
    pub(crate) sequence: Position,
    pub(crate) states: Vec<(EndpointId, DeliveryState)>,
}

/// The removal of a payload or of an answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Expunged {
    pub(crate) at: UnixMs,
    pub(crate) app: AppId,
    pub(crate) what: ExpungedContent,
    /// The message's deliveries that waited, and are dead letters by it.
    pub(crate) waiting: Vec<DeliveryRef>,
    /// Those that were dead letters before, and cannot be replayed any more.
    pub(crate) dead: Vec<DeliveryRef>,
}

/// Which content.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum ExpungedContent {
    /// The body of a message, in all places to which it was carried.
    Payload { message: MessageId, sequence: Position },
    /// The answer to an attempt, in the record of its outcome.
    Response { attempt: AttemptId, position: Position },
}

impl ExpungedContent {
    /// Where the content was first recorded: no other has this position.
    pub(crate) const fn position(&self) -> Position {
        match *self {
            Self::Payload { sequence, .. } => sequence,
            Self::Response { position, .. } => position,
        }
    }
}

impl Accepted {
    /// When the message was accepted: its id tells.
    pub(crate) fn at(&self) -> UnixMs {
        self.id.0.time()
    }

    /// Whether the body's own retention is over.
    pub(crate) fn payload_is_over(&self, now: UnixMs) -> bool {
        self.payload_until.is_some_and(|until| until <= now)
    }

    /// The delivery to an endpoint, whether or not the message names it.
    pub(crate) fn delivery(&self, endpoint: EndpointId, sequence: Position, position: Position) -> DeliveryRef {
        let added = !self.endpoints.contains(&endpoint);
        DeliveryRef { added, ..self.named_delivery(endpoint, sequence, position) }
    }

    /// The hash of the order key that counts for an endpoint, or 0: the message's
    /// own where the endpoint does not look into the payload.
    fn order_of(&self, endpoint: EndpointId) -> u64 {
        if self.orders.is_empty() {
            return self.order_key;
        }
        let named = self.endpoints.iter().zip(&self.orders).find(|(named, _)| **named == endpoint);
        named.map_or(self.order_key, |(_, order)| *order)
    }

    /// The delivery to an endpoint that the message names.
    pub(crate) fn named_delivery(&self, endpoint: EndpointId, sequence: Position, position: Position) -> DeliveryRef {
        let Self { app, id, .. } = *self;
        let order_key = self.order_of(endpoint);
        DeliveryRef { app, endpoint, message: id, sequence, position, order_key, added: false }
    }
}
