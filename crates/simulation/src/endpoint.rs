//! What the model knows of an endpoint.

use postrider_model::policy::{Policy, Rules};

/// What was asked of an endpoint and answered, in milliseconds of the run.
#[derive(Default)]
pub(crate) struct Known {
    pub(crate) create_asked: Option<u64>,
    pub(crate) created: Option<u64>,
    pub(crate) delete_asked: Option<u64>,
    pub(crate) deleted: Option<u64>,
    /// When a change of its schedule was asked for last: it hastens what waits.
    pub(crate) changed: Option<u64>,
    /// Since when it is surely paused.
    pub(crate) paused: Option<u64>,
}

impl Known {
    /// Whether a message that was asked for then, and answered then if it was, may
    /// have gone to it (W2).
    pub(crate) fn may_match(&self, asked: u64, answered: Option<u64>) -> bool {
        let there = self.create_asked.is_some_and(|at| answered.is_none_or(|answered| at <= answered));
        there && self.deleted.is_none_or(|at| asked <= at)
    }

    /// Whether it must have gone to it (W2).
    pub(crate) fn must_match(&self, asked: u64, answered: u64) -> bool {
        // Within one millisecond nobody knows which was first.
        self.created.is_some_and(|at| at < asked) && self.delete_asked.is_none_or(|at| at > answered)
    }
}

/// The least that any of an endpoint's policies makes a delivery wait before the
/// attempt of this step, in milliseconds.
pub(crate) fn least_delay_ms(policies: &[Policy; 2], step: u16) -> u64 {
    let least = policies.iter().map(|policy| {
        let rules = Rules::default().with(policy);
        let delay = rules.schedule.delay(step).unwrap_or_default();
        u64::try_from(rules.jitter.apply(delay, 0.0).as_millis()).unwrap_or(u64::MAX)
    });
    least.min().unwrap_or_default()
}

/// The most that any of them allows in flight.
pub(crate) fn most_in_flight(policies: &[Policy; 2]) -> usize {
    policies.iter().map(|policy| Rules::default().with(policy).max_in_flight as usize).max().unwrap_or_default()
}
