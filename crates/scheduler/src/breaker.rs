//! The circuit breaker of a lane: closed, open, half-open.
//!
//! It opens after a run of failures with no sign of life between them. While it
//! is open deliveries wait; they cost no sockets and burn no attempt. After the
//! pause it is half-open: one probe is sent. A sign of life closes it, a failure
//! opens it again for twice the time.

use std::time::Duration;

use postrider_model::policy::BreakerRule;

use crate::pace::Signal;

/// By how much a pause differs from the rule on either side, so that lanes which
/// opened together do not probe together.
const SPREAD: f64 = 0.2;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Breaker {
    Closed { failures: u32 },
    Open { until: Duration, doublings: u32 },
    HalfOpen { doublings: u32 },
}

impl Breaker {
    pub(crate) const CLOSED: Self = Self::Closed { failures: 0 };

    /// The end of its pause, if it is open.
    pub(crate) fn open_until(self) -> Option<Duration> {
        if let Self::Open { until, .. } = self { Some(until) } else { None }
    }

    /// An attempt starts after the pause; true if it is the probe.
    pub(crate) fn started(&mut self) -> bool {
        let Self::Open { doublings, .. } = *self else { return false };
        *self = Self::HalfOpen { doublings };
        true
    }

    /// The probe was not made after all.
    pub(crate) fn withdrawn(&mut self, monotonic: Duration) {
        if let Self::HalfOpen { doublings } = *self {
            *self = Self::Open { until: monotonic, doublings };
        }
    }

    /// What it is after an attempt has ended. `random` in 0..1 spreads the pause.
    pub(crate) fn after(
        self,
        signal: Signal,
        probe: bool,
        rule: &BreakerRule,
        monotonic: Duration,
        random: f64,
    ) -> Self {
        let opened = |doublings| Self::Open { until: monotonic + pause(rule, doublings, random), doublings };
        match (signal, self) {
            (Signal::Success | Signal::Slow | Signal::Alive, _) => Self::CLOSED,
            (Signal::Overload | Signal::Down, Self::Closed { failures }) if failures + 1 < rule.failures => {
                Self::Closed { failures: failures + 1 }
            }
            (Signal::Overload | Signal::Down, Self::Closed { .. }) => opened(0),
            (Signal::Overload | Signal::Down, Self::HalfOpen { doublings }) if probe => {
                opened(doublings.saturating_add(1))
            }
            (Signal::Unknown, Self::HalfOpen { doublings }) if probe => opened(doublings),
            // Attempts from before it opened say nothing new; else they would
            // prolong the pause one after the other.
            (_, unchanged) => unchanged,
        }
    }
}

fn pause(rule: &BreakerRule, doublings: u32, random: f64) -> Duration {
    let doubled = u64::from(rule.pause_min_ms) << doublings.min(30);
    let pause = Duration::from_millis(doubled.min(rule.pause_max_ms.into()));
    pause.mul_f64(1.0 - SPREAD + 2.0 * SPREAD * random.clamp(0.0, 1.0))
}
