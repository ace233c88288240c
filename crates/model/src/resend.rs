//! One attempt more, which a person asks for beside the schedule.
//!
//! ```text
//!   Scheduled, Delivered,      resent                 success
//!   Dead, Cancelled     ----------------> Resending ----------> Delivered
//!          ^                                  |
//!          +----------------------------------+
//!             any other end, or called off: as before, one attempt later
//! ```
//!
//! An attempt of the schedule that is in flight when the resend is asked for
//! ends as it would have ended; the resend comes after it.

use serde::{Deserialize, Serialize};

use crate::delivery::{
    DeadReason, DeliveryEvent, DeliveryState, Next, Scheduled, TransitionError, Trigger, after_attempt, illegal,
    transition,
};
use crate::time::UnixMs;

/// A delivery that waits for the one attempt more that a person asked for. If
/// it succeeds, the delivery is delivered; however else it ends, the delivery is
/// what it was before, with its due time, its step of the schedule or its reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resending {
    /// The attempt that was asked for, with [`Trigger::Resent`].
    pub scheduled: Scheduled,
    /// What it is unless that attempt succeeds.
    pub before: Before,
}

/// What a delivery was when a person asked for one attempt more: any state but
/// [`DeliveryState::Resending`], with the same members.
#[expect(missing_docs, reason = "the members are those of the states of the same names")]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Before {
    Scheduled(Scheduled),
    Delivered { at: UnixMs, attempt: u16 },
    Dead { at: UnixMs, reason: DeadReason, attempt: u16 },
    Cancelled { at: UnixMs, attempt: u16 },
}

/// What follows from an event for a delivery that is being resent.
///
/// However the resend ends, the number of its attempt is used up: it may be in
/// flight, and its outcome must fit nothing that comes later (W6).
pub(crate) fn follow(now: Resending, event: DeliveryEvent) -> Result<DeliveryState, TransitionError> {
    use Before as B;
    use DeliveryEvent as E;
    let Resending { scheduled, before } = now;
    let back = DeliveryState::from(before).with_attempts_made(scheduled.attempt);
    match (event, before) {
        // Two at once are one.
        (E::Resent { .. }, _) => Ok(DeliveryState::Resending(now)),
        (E::CalledOff, _) => Ok(back),
        (E::AttemptEnded { attempt, resend: true, at, next }, _) if attempt == scheduled.attempt => Ok(match next {
            Next::Delivered => DeliveryState::Delivered { at, attempt },
            Next::Dead { reason } if !reason.leaves_payload() => without_payload(back, at, reason),
            _ => back,
        }),
        // It was in flight when the resend was asked for; the resend comes after it.
        (E::AttemptEnded { attempt, resend: false, at, next }, B::Scheduled(waiting)) if attempt == waiting.attempt => {
            Ok(begin(after_attempt(waiting, at, next)?, scheduled.due))
        }
        (E::AttemptEnded { attempt, .. }, _) => {
            Err(TransitionError::StaleAttempt { attempt, expected: scheduled.attempt })
        }
        (E::Cancelled { .. } | E::Expired { .. }, B::Scheduled(_)) => transition(&back, &event),
        (E::Expired { at, reason }, _) if !reason.leaves_payload() => Ok(without_payload(back, at, reason)),
        (E::Replayed { .. }, B::Delivered { .. } | B::Dead { .. } | B::Cancelled { .. }) => transition(&back, &event),
        (E::Purged { .. }, B::Dead { .. }) => transition(&back, &event),
        (event, _) => Err(illegal(&before.into(), &event)),
    }
}

/// What a delivery is that cannot be sent any more; of one that was delivered or
/// cancelled only the resend ends.
fn without_payload(back: DeliveryState, at: UnixMs, reason: DeadReason) -> DeliveryState {
    transition(&back, &DeliveryEvent::Expired { at, reason }).unwrap_or(back)
}

/// The state with one attempt more, due at `at`, beside what it is.
pub(crate) fn begin(state: DeliveryState, at: UnixMs) -> DeliveryState {
    let (before, step) = match state {
        DeliveryState::Scheduled(waiting) => (Before::Scheduled(waiting), waiting.step),
        DeliveryState::Delivered { at, attempt } => (Before::Delivered { at, attempt }, 0),
        DeliveryState::Dead { at, reason, attempt } => (Before::Dead { at, reason, attempt }, 0),
        DeliveryState::Cancelled { at, attempt } => (Before::Cancelled { at, attempt }, 0),
        DeliveryState::Resending(_) => return state,
    };
    let attempt = state.attempts_made().saturating_add(1);
    let scheduled = Scheduled { due: at, attempt, step, trigger: Trigger::Resent };
    DeliveryState::Resending(Resending { scheduled, before })
}

impl From<Before> for DeliveryState {
    fn from(before: Before) -> Self {
        match before {
            Before::Scheduled(scheduled) => Self::Scheduled(scheduled),
            Before::Delivered { at, attempt } => Self::Delivered { at, attempt },
            Before::Dead { at, reason, attempt } => Self::Dead { at, reason, attempt },
            Before::Cancelled { at, attempt } => Self::Cancelled { at, attempt },
        }
    }
}
