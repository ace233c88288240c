//! Where a delivery stands, as it is seen from outside, and where it may stand after
//! something has happened to it: the simulation's own idea of the rule W3. It is
//! written from what the documentation promises and shares no code with the product.
//!
//! Numbers of attempts only grow. A delivery that waits, waits for the attempt after
//! the last one made; so does one that is resent.

use postrider_model::delivery::{DeliveryState, Scheduled, Trigger};
use postrider_model::resend::Before;

/// What can be read of a delivery, without its times and reasons.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Standing {
    pub(crate) place: Place,
    /// The number of the last attempt made.
    pub(crate) made: u16,
    /// A person has asked for one attempt more.
    pub(crate) resent: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Place {
    Waits {
        /// Of the retry schedule, from 0.
        step: u16,
        /// Since a person has replayed it.
        replayed: bool,
    },
    Delivered,
    Dead,
    Cancelled,
}

/// An attempt, as the dispatcher is given it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Begun {
    pub(crate) number: u16,
    pub(crate) trigger: Cause,
    pub(crate) step: u16,
}

/// What has made an attempt happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Cause {
    Schedule,
    Replay,
    Resend,
}

/// How an attempt has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct End {
    pub(crate) number: u16,
    /// It was one beside the schedule.
    pub(crate) resend: bool,
    pub(crate) success: bool,
    /// Attempts of the schedule in force: at least, and at most.
    pub(crate) attempts: (u16, u16),
}

/// What a person does to a delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Deed {
    Cancel,
    Replay,
    Resend,
    Purge,
    /// A replay if it is a dead letter, by a task.
    ReplayIfDead,
}

/// Which numbers of attempts are used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Numbers {
    /// The last one on record that counted.
    pub(crate) counted: u16,
    /// The highest that was begun: at least, and at most.
    pub(crate) begun: (u16, u16),
}

impl Begun {
    /// As the job of an attempt has it.
    pub(crate) const fn of(scheduled: &Scheduled) -> Self {
        let trigger = match scheduled.trigger {
            Trigger::Scheduled => Cause::Schedule,
            Trigger::Manual => Cause::Replay,
            Trigger::Resent => Cause::Resend,
        };
        Self { number: scheduled.attempt, trigger, step: scheduled.step }
    }
}

impl Standing {
    /// Of a message that was just accepted.
    pub(crate) const FIRST: Self = Self { place: Place::Waits { step: 0, replayed: false }, made: 0, resent: false };

    /// What the store says.
    pub(crate) fn of(state: &DeliveryState) -> Self {
        let waits = |step, trigger| Place::Waits { step, replayed: trigger == Trigger::Manual };
        let (place, made, resent) = match *state {
            DeliveryState::Scheduled(waiting) => {
                (waits(waiting.step, waiting.trigger), waiting.attempt.wrapping_sub(1), false)
            }
            DeliveryState::Delivered { attempt, .. } => (Place::Delivered, attempt, false),
            DeliveryState::Dead { attempt, .. } => (Place::Dead, attempt, false),
            DeliveryState::Cancelled { attempt, .. } => (Place::Cancelled, attempt, false),
            DeliveryState::Resending(resending) => {
                let place = match resending.before {
                    Before::Scheduled(waiting) => waits(waiting.step, waiting.trigger),
                    Before::Delivered { .. } => Place::Delivered,
                    Before::Dead { .. } => Place::Dead,
                    Before::Cancelled { .. } => Place::Cancelled,
                };
                (place, resending.scheduled.attempt.wrapping_sub(1), true)
            }
        };
        Self { place, made, resent }
    }

    /// The attempt that it waits for, if it does.
    pub(crate) const fn next(self) -> Option<Begun> {
        let number = self.made.wrapping_add(1);
        match self.place {
            // Its step is of no meaning.
            _ if self.resent => Some(Begun { number, trigger: Cause::Resend, step: 0 }),
            Place::Waits { step, replayed } => {
                let trigger = if replayed { Cause::Replay } else { Cause::Schedule };
                Some(Begun { number, trigger, step })
            }
            Place::Delivered | Place::Dead | Place::Cancelled => None,
        }
    }

    /// Where it may stand after an attempt has ended; `None` if that is none that it
    /// waits for, so that it stays where it is (W6).
    pub(crate) fn after(self, end: &End) -> Option<Vec<Self>> {
        let made = end.number;
        if made != self.made.wrapping_add(1) {
            return None;
        }
        if end.resend {
            let place = if end.success { Place::Delivered } else { self.place };
            return self.resent.then(|| vec![Self { place, made, resent: false }]);
        }
        // One of the schedule that was under way when somebody asked for a resend ends as
        // it would have ended.
        let Place::Waits { step, replayed } = self.place else { return None };
        let to = |place| Self { place, made, resent: self.resent };
        if end.success {
            return Some(vec![to(Place::Delivered)]);
        }
        let (least, most) = end.attempts;
        let mut after = Vec::new();
        if step + 1 < most {
            after.push(to(Place::Waits { step: step + 1, replayed }));
        }
        if step + 1 >= least {
            after.push(to(Place::Dead));
        }
        Some(after)
    }

    /// Where a delivery, or none, may stand after what a person has done; nowhere if that
    /// cannot be done.
    pub(crate) fn after_deed(before: Option<Self>, deed: Deed, numbers: Numbers) -> Vec<Self> {
        let Some(now) = before else {
            // There is none: the message did not match its endpoint. One is made.
            let first = Self { place: Place::Waits { step: 0, replayed: true }, ..Self::FIRST };
            return if matches!(deed, Deed::Replay | Deed::Resend) { vec![first] } else { vec![] };
        };
        let ended = |place| Self { place, made: numbers.counted, resent: false };
        let used = if now.resent { now.made + 1 } else { now.made };
        let is_dead = now.place == Place::Dead;
        let waits = matches!(now.place, Place::Waits { .. });
        let begun = if is_dead || now.resent { used..=used } else { numbers.begun.0..=numbers.begun.1 };
        match deed {
            Deed::Cancel if waits => vec![ended(Place::Cancelled)],
            // Only the resend is called off, and its number is used up where it is remembered.
            Deed::Cancel if now.resent && is_dead => vec![Self { made: used, resent: false, ..now }],
            Deed::Cancel if now.resent => vec![ended(now.place)],
            Deed::Replay if waits => vec![],
            Deed::ReplayIfDead if !is_dead => vec![],
            Deed::Replay | Deed::ReplayIfDead => {
                let replayed = |made| Self { place: Place::Waits { step: 0, replayed: true }, made, resent: false };
                begun.map(replayed).collect()
            }
            Deed::Resend if now.resent => vec![now],
            Deed::Resend if waits => vec![Self { resent: true, ..now }],
            Deed::Resend => begun.map(|made| Self { made, resent: true, ..now }).collect(),
            Deed::Purge if is_dead => vec![ended(Place::Cancelled)],
            Deed::Cancel | Deed::Purge => vec![],
        }
    }
}
