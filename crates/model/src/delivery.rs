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
//! ```
//!
//! [`transition`] is the only way from one state to the next (W3), live and in
//! recovery alike. "In flight" is no state: it is known in memory only, and
//! after a crash what is due is simply due again.

use serde::{Deserialize, Serialize};

use crate::id::EndpointId;
use crate::position::Position;
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
    /// A person, by resend or replay.
    Manual,
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
    /// It waited longer than `retention.held` on a disabled or paused endpoint.
    HeldTooLong,
    /// Its age limit passed, and the one more attempt that it got failed.
    TooOld,
    /// Its payload cannot be read from the journal any more.
    PayloadDamaged,
    /// Its payload was expunged, or its retention ended, before it was delivered.
    PayloadExpunged,
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
        (S::Scheduled(waiting), E::AttemptEnded { attempt, at, next }) => {
            if attempt != waiting.attempt {
                return Err(TransitionError::StaleAttempt { attempt, expected: waiting.attempt });
            }
            Ok(after_attempt(waiting, at, next))
        }
        (S::Scheduled(waiting), E::Cancelled { at }) => Ok(S::Cancelled { at, attempt: waiting.attempt - 1 }),
        (S::Scheduled(waiting), E::Expired { at, reason }) => Ok(S::Dead { at, reason, attempt: waiting.attempt - 1 }),
        // A dead letter whose payload is lost besides: when it died stays as it was.
        (S::Dead { at, reason: before, attempt }, E::Expired { reason, .. })
            if before.leaves_payload() && !reason.leaves_payload() =>
        {
            Ok(S::Dead { at, reason, attempt })
        }
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
        (state, event) => Err(TransitionError::Illegal { state: state.name(), event: event.name() }),
    }
}

fn after_attempt(waiting: Scheduled, at: UnixMs, next: Next) -> DeliveryState {
    match next {
        Next::Delivered => DeliveryState::Delivered { at, attempt: waiting.attempt },
        Next::Dead { reason } => DeliveryState::Dead { at, reason, attempt: waiting.attempt },
        Next::Retry { due } => DeliveryState::Scheduled(Scheduled {
            due,
            attempt: waiting.attempt.saturating_add(1),
            step: waiting.step.saturating_add(1),
            trigger: waiting.trigger,
        }),
    }
}

impl DeliveryState {
    /// The state as the API and the metrics spell it.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Scheduled(_) => "scheduled",
            Self::Delivered { .. } => "delivered",
            Self::Dead { .. } => "dead",
            Self::Cancelled { .. } => "cancelled",
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
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const T: UnixMs = UnixMs(1_000);

    fn any_next() -> impl Strategy<Value = Next> {
        prop_oneof![
            Just(Next::Delivered),
            (0u64..10_000).prop_map(|ms| Next::Retry { due: UnixMs(ms) }),
            Just(Next::Dead { reason: DeadReason::AttemptsExhausted }),
        ]
    }

    fn any_event() -> impl Strategy<Value = DeliveryEvent> {
        prop_oneof![
            (1u16..6, any_next()).prop_map(|(attempt, next)| DeliveryEvent::AttemptEnded { attempt, at: T, next }),
            Just(DeliveryEvent::Cancelled { at: T }),
            Just(DeliveryEvent::Expired { at: T, reason: DeadReason::HeldTooLong }),
            Just(DeliveryEvent::Expired { at: T, reason: DeadReason::PayloadExpunged }),
            Just(DeliveryEvent::Replayed { at: T }),
        ]
    }

    fn number(state: &DeliveryState) -> u16 {
        match *state {
            DeliveryState::Scheduled(s) => s.attempt - 1,
            DeliveryState::Delivered { attempt, .. }
            | DeliveryState::Dead { attempt, .. }
            | DeliveryState::Cancelled { attempt, .. } => attempt,
        }
    }

    proptest! {
        /// Attempts made never go down, go up by one at most, and only by the
        /// outcome of the attempt that was waited for.
        #[test]
        fn attempts_are_counted_exactly(events in prop::collection::vec(any_event(), 0..40)) {
            let mut state = DeliveryState::Scheduled(Scheduled::first(T));
            for event in events {
                let before = number(&state);
                match transition(&state, &event) {
                    Ok(after) => {
                        let counted = u16::from(matches!(event, DeliveryEvent::AttemptEnded { .. }));
                        prop_assert_eq!(number(&after), before + counted);
                        state = after;
                    }
                    Err(TransitionError::StaleAttempt { attempt, expected }) => {
                        let waiting = matches!(state, DeliveryState::Scheduled(_));
                        prop_assert!(!waiting || attempt != expected);
                    }
                    Err(TransitionError::Illegal { .. } | TransitionError::NoPayload) => {}
                }
            }
        }
    }

    #[test]
    fn replay_starts_the_schedule_again_but_not_the_numbers() {
        let dead = DeliveryState::Dead { at: T, reason: DeadReason::AttemptsExhausted, attempt: 10 };
        let state = transition(&dead, &DeliveryEvent::Replayed { at: UnixMs(5) });
        let expected = Scheduled { due: UnixMs(5), attempt: 11, step: 0, trigger: Trigger::Manual };
        assert_eq!(state, Ok(DeliveryState::Scheduled(expected)));
    }

    #[test]
    fn without_its_payload_a_dead_letter_says_so_and_is_not_replayed() {
        let dead = DeliveryState::Dead { at: T, reason: DeadReason::AttemptsExhausted, attempt: 10 };
        let expired = |reason| DeliveryEvent::Expired { at: UnixMs(5), reason };
        assert!(transition(&dead, &expired(DeadReason::HeldTooLong)).is_err());
        let reason = DeadReason::PayloadExpunged;
        let expunged = DeliveryState::Dead { at: T, reason, attempt: 10 };
        assert_eq!(transition(&dead, &expired(reason)), Ok(expunged));
        assert!(transition(&expunged, &expired(DeadReason::PayloadDamaged)).is_err());
        let replayed = transition(&expunged, &DeliveryEvent::Replayed { at: T });
        assert_eq!(replayed, Err(TransitionError::NoPayload));
    }

    #[test]
    fn a_dead_letter_cannot_be_cancelled_nor_a_waiting_one_replayed() {
        let dead = DeliveryState::Dead { at: T, reason: DeadReason::TooOld, attempt: 1 };
        assert!(matches!(
            transition(&dead, &DeliveryEvent::Cancelled { at: T }),
            Err(TransitionError::Illegal { state: "dead", .. })
        ));
        let waiting = DeliveryState::Scheduled(Scheduled::first(T));
        assert!(transition(&waiting, &DeliveryEvent::Replayed { at: T }).is_err());
    }
}
