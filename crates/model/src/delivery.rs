//! The life of one delivery: one message on its way to one endpoint.
//!
//! ```text
//!              attempt failed, more to come
//!                 +--------------+
//!                 v              |
//!   accepted -> Scheduled -------+---> Delivered ---+
//!                 |  |  ^                           |
//!    cancelled by |  |  +--------- replayed --------+
//!    a person     |  |             |                |
//!                 v  +-> Dead -----+                |
//!              Cancelled ----------+----------------+
//!
//!   Dead -- purged by a person --> Cancelled
//!   any of them -- resent --> Resending --> Delivered, or what it was before
//! ```
//!
//! [`transition`] is the only way from one state to the next (W3), live and in
//! recovery alike. "In flight" is no state: it is known in memory only, and
//! after a crash what is due is simply due again.

use serde::{Deserialize, Serialize};

use crate::id::EndpointId;
use crate::position::Position;
use crate::resend::{self, Before, Resending};
use crate::time::UnixMs;

/// Which delivery: the endpoint, and the sequence under which its message was
/// first accepted. The sequence stays the same when the record is carried to
/// another place of the journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct DeliveryKey {
    /// The endpoint.
    pub endpoint: EndpointId,
    /// The message's sequence.
    pub message: Position,
}

/// What made an attempt happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Trigger {
    /// The retry schedule.
    Scheduled,
    /// A person, by replay.
    Manual,
    /// A person, by resend: one attempt beside the schedule.
    Resent,
}

/// Where a delivery stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum DeliveryState {
    /// Waits for its next attempt.
    Scheduled(Scheduled),
    /// The endpoint confirmed it.
    Delivered {
        /// When the confirming attempt ended.
        at: UnixMs,
        /// The number of the last attempt made.
        attempt: u16,
    },
    /// It will not be attempted again unless a person replays it.
    Dead {
        /// When it died.
        at: UnixMs,
        /// Why.
        reason: DeadReason,
        /// The number of the last attempt made, 0 if none was.
        attempt: u16,
    },
    /// A person cancelled it.
    Cancelled {
        /// When.
        at: UnixMs,
        /// The number of the last attempt made, 0 if none was.
        attempt: u16,
    },
    /// A person asked for one attempt more.
    Resending(Resending),
}

/// A delivery that waits for an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Scheduled {
    /// Not before this time.
    pub due: UnixMs,
    /// The number of the attempt it waits for. It starts at 1 and never goes
    /// back, not even by a replay: an answer to an older number is recognised.
    pub attempt: u16,
    /// The index in the retry schedule of the attempt it waits for, from 0.
    pub step: u16,
    /// What made it wait for an attempt.
    pub trigger: Trigger,
}

impl Scheduled {
    /// What every delivery is at the moment of acceptance.
    #[must_use]
    pub const fn first(accepted: UnixMs) -> Self {
        Self { due: accepted, attempt: 1, step: 0, trigger: Trigger::Scheduled }
    }
}

/// Why a delivery is a dead letter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum DeadReason {
    /// The last attempt of the retry schedule failed.
    AttemptsExhausted,
    /// It waited longer than `retention.held` on a disabled or paused endpoint, or for a token.
    HeldTooLong,
    /// Its age limit passed, and the one more attempt that it got failed.
    TooOld,
    /// Its payload cannot be read from the journal any more.
    PayloadDamaged,
    /// Its payload was expunged, or its retention ended, before it was delivered.
    PayloadExpunged,
    /// The endpoint gave an answer that its policy calls final.
    Refused,
}

impl DeadReason {
    /// The reason as the API and the metrics spell it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::AttemptsExhausted => "attempts_exhausted",
            Self::HeldTooLong => "held_too_long",
            Self::TooOld => "too_old",
            Self::PayloadDamaged => "payload_damaged",
            Self::PayloadExpunged => "payload_expunged",
            Self::Refused => "refused",
        }
    }

    /// Whether the message's payload can still be read, for all that is known.
    #[must_use]
    pub const fn leaves_payload(self) -> bool {
        !matches!(self, Self::PayloadDamaged | Self::PayloadExpunged)
    }
}

/// What can happen to a delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum DeliveryEvent {
    /// The attempt with this number has ended.
    AttemptEnded {
        /// The number of the attempt.
        attempt: u16,
        /// It was one that a person asked for beside the schedule.
        resend: bool,
        /// When it ended.
        at: UnixMs,
        /// What follows, decided by [`crate::retry::decide`].
        next: Next,
    },
    /// A person cancelled it.
    Cancelled {
        /// When.
        at: UnixMs,
    },
    /// It ended without a further attempt.
    Expired {
        /// When.
        at: UnixMs,
        /// Why.
        reason: DeadReason,
    },
    /// A person asked for it again, with a fresh schedule.
    Replayed {
        /// When.
        at: UnixMs,
    },
    /// A person asked for one attempt more, beside the schedule.
    Resent {
        /// When.
        at: UnixMs,
    },
    /// The attempt beside the schedule is not to be made any more.
    CalledOff,
    /// A person gave up the dead letter for good (W10).
    Purged {
        /// When.
        at: UnixMs,
    },
}

/// What follows from the end of an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Next {
    /// Nothing: the endpoint confirmed.
    Delivered,
    /// Another attempt, not before `due`.
    Retry {
        /// The time of the next attempt.
        due: UnixMs,
    },
    /// No further attempt.
    Dead {
        /// Why.
        reason: DeadReason,
    },
    /// What was to follow before a person asked for this attempt, which did not
    /// succeed.
    AsBefore,
}

/// An event that does not fit the state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TransitionError {
    /// The answer belongs to another attempt than the one that is waited for (W6):
    /// keep it in the history, change nothing.
    #[error("outcome of attempt {attempt} came while attempt {expected} was waited for")]
    StaleAttempt {
        /// The attempt that the outcome belongs to.
        attempt: u16,
        /// The attempt that the delivery waits for, or the last one made.
        expected: u16,
    },
    /// The message cannot be sent again.
    #[error("the message's payload was expunged or is past its retention, so it cannot be sent again")]
    NoPayload,
    /// The delivery is not in a state in which this can happen.
    #[error("{event} is not possible for a delivery that is {state}")]
    Illegal {
        /// The state's name.
        state: &'static str,
        /// The event's name.
        event: &'static str,
    },
}

/// The one function by which a delivery changes (W3).
///
/// # Errors
/// The event is not legal in this state, or belongs to another attempt; then
/// the state stays as it is.
pub fn transition(state: &DeliveryState, event: &DeliveryEvent) -> Result<DeliveryState, TransitionError> {
    use DeliveryEvent as E;
    use DeliveryState as S;
    match (*state, *event) {
        (S::Resending(resending), event) => resend::follow(resending, event),
        (S::Dead { reason: DeadReason::PayloadExpunged, .. }, E::Resent { .. }) => Err(TransitionError::NoPayload),
        (state, E::Resent { at }) => Ok(resend::begin(state, at)),
        (S::Scheduled(waiting), E::AttemptEnded { attempt, resend, at, next }) => {
            if attempt != waiting.attempt || resend {
                return Err(TransitionError::StaleAttempt { attempt, expected: waiting.attempt });
            }
            after_attempt(waiting, at, next)
        }
        (S::Scheduled(waiting), E::Cancelled { at }) => Ok(S::Cancelled { at, attempt: waiting.attempt - 1 }),
        (S::Scheduled(waiting), E::Expired { at, reason }) => Ok(S::Dead { at, reason, attempt: waiting.attempt - 1 }),
        // A dead letter whose payload is lost besides: when it died stays as it was.
        (S::Dead { at, reason: before, attempt }, E::Expired { reason, .. })
            if before.leaves_payload() && !reason.leaves_payload() =>
        {
            Ok(S::Dead { at, reason, attempt })
        }
        (S::Dead { attempt, .. }, E::Purged { at }) => Ok(S::Cancelled { at, attempt }),
        (S::Dead { reason: DeadReason::PayloadExpunged, .. }, E::Replayed { .. }) => Err(TransitionError::NoPayload),
        (S::Delivered { attempt, .. } | S::Dead { attempt, .. } | S::Cancelled { attempt, .. }, E::Replayed { at }) => {
            Ok(S::Scheduled(Scheduled {
                due: at,
                attempt: attempt.saturating_add(1),
                step: 0,
                trigger: Trigger::Manual,
            }))
        }
        // The attempt was still in flight when the delivery ended by other means.
        (
            S::Delivered { attempt: expected, .. }
            | S::Dead { attempt: expected, .. }
            | S::Cancelled { attempt: expected, .. },
            E::AttemptEnded { attempt, .. },
        ) => Err(TransitionError::StaleAttempt { attempt, expected }),
        (state, event) => Err(illegal(&state, &event)),
    }
}

pub(crate) const fn illegal(state: &DeliveryState, event: &DeliveryEvent) -> TransitionError {
    TransitionError::Illegal { state: state.name(), event: event.name() }
}

pub(crate) const fn after_attempt(
    waiting: Scheduled,
    at: UnixMs,
    next: Next,
) -> Result<DeliveryState, TransitionError> {
    match next {
        Next::Delivered => Ok(DeliveryState::Delivered { at, attempt: waiting.attempt }),
        Next::Dead { reason } => Ok(DeliveryState::Dead { at, reason, attempt: waiting.attempt }),
        Next::Retry { due } => Ok(DeliveryState::Scheduled(Scheduled {
            due,
            attempt: waiting.attempt.saturating_add(1),
            step: waiting.step.saturating_add(1),
            trigger: waiting.trigger,
        })),
        Next::AsBefore => {
            Err(TransitionError::Illegal { state: "scheduled", event: "the end of an attempt beside the schedule" })
        }
    }
}

impl DeliveryState {
    /// The state as the API and the metrics spell it. A resend is no state of
    /// its own there.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Scheduled(_) | Self::Resending(Resending { before: Before::Scheduled(_), .. }) => "scheduled",
            Self::Delivered { .. } | Self::Resending(Resending { before: Before::Delivered { .. }, .. }) => "delivered",
            Self::Dead { .. } | Self::Resending(Resending { before: Before::Dead { .. }, .. }) => "dead",
            Self::Cancelled { .. } | Self::Resending(Resending { before: Before::Cancelled { .. }, .. }) => "cancelled",
        }
    }

    /// The attempt that it waits for, if it waits for one.
    #[must_use]
    pub const fn waits_for(&self) -> Option<Scheduled> {
        match *self {
            Self::Scheduled(scheduled) | Self::Resending(Resending { scheduled, .. }) => Some(scheduled),
            Self::Delivered { .. } | Self::Dead { .. } | Self::Cancelled { .. } => None,
        }
    }

    /// Whether it waits by the schedule, be it resent meanwhile or not.
    #[must_use]
    pub fn is_pending(&self) -> bool {
        matches!(self.without_resend(), Self::Scheduled(_))
    }

    /// What it is unless a resend succeeds.
    #[must_use]
    pub fn without_resend(&self) -> Self {
        match *self {
            Self::Resending(resending) => resending.before.into(),
            state => state,
        }
    }

    /// Whether the outcome of an attempt changes it (W6).
    #[must_use]
    pub fn expects(&self, attempt: u16, resend: bool) -> bool {
        let of_schedule = |state: &Self| matches!(state, Self::Scheduled(waiting) if waiting.attempt == attempt);
        match self {
            Self::Resending(resending) if resend => resending.scheduled.attempt == attempt,
            state => !resend && of_schedule(&state.without_resend()),
        }
    }

    /// The same when `attempt` was the last attempt made.
    #[must_use]
    pub fn with_attempts_made(self, attempt: u16) -> Self {
        match self {
            Self::Scheduled(waiting) => Self::Scheduled(Scheduled { attempt: attempt.saturating_add(1), ..waiting }),
            Self::Delivered { at, .. } => Self::Delivered { at, attempt },
            Self::Dead { at, reason, .. } => Self::Dead { at, reason, attempt },
            Self::Cancelled { at, .. } => Self::Cancelled { at, attempt },
            Self::Resending(Resending { scheduled, before }) => {
                resend::begin(Self::from(before).with_attempts_made(attempt), scheduled.due)
            }
        }
    }

    /// The number of the last attempt made, 0 if none was.
    #[must_use]
    pub const fn attempts_made(&self) -> u16 {
        match *self {
            Self::Scheduled(scheduled) | Self::Resending(Resending { scheduled, .. }) => {
                scheduled.attempt.saturating_sub(1)
            }
            Self::Delivered { attempt, .. } | Self::Dead { attempt, .. } | Self::Cancelled { attempt, .. } => attempt,
        }
    }
}

impl DeliveryEvent {
    /// The event's name in errors.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::AttemptEnded { .. } => "the end of an attempt",
            Self::Cancelled { .. } => "cancelling",
            Self::Expired { .. } => "expiry",
            Self::Replayed { .. } => "replay",
            Self::Resent { .. } => "resend",
            Self::CalledOff => "calling off a resend",
            Self::Purged { .. } => "purging",
        }
    }
}

#[cfg(test)]
mod tests;
