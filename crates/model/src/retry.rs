//! The retry schedule, and what follows from the end of an attempt.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::delivery::{DeadReason, Next, Scheduled, Trigger};
use crate::job::Verdict;
use crate::time::UnixMs;

/// Delays before each attempt: the example of Standard Webhooks 1.0.0.
pub const DEFAULT_DELAYS_SECS: [u64; 10] = [0, 5, 300, 1_800, 7_200, 18_000, 36_000, 50_400, 72_000, 86_400];

/// Attempts that a schedule may have at most.
pub const MAX_ATTEMPTS: usize = 100;
/// The longest delay before one attempt.
pub const MAX_DELAY: Duration = Duration::from_secs(30 * 86_400);

/// Delays at or below this are spread widely: they are short, so that a narrow
/// spread would send all retries of an outage at one moment.
const EARLY: Duration = Duration::from_secs(600);
const EARLY_SPREAD: f64 = 0.5;
const LATE_SPREAD: f64 = 0.1;

/// The delays before each attempt. There is at least one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Vec<u64>", into = "Vec<u64>")]
pub struct RetrySchedule {
    delays: Vec<Duration>,
}

/// A list of delays that is no retry schedule.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidSchedule {
    /// No attempt at all, or too many.
    #[error("a retry schedule has 1 to {MAX_ATTEMPTS} attempts, not {0}")]
    Attempts(usize),
    /// One delay is too long.
    #[error("the delay of {0} s before an attempt is longer than 30 days")]
    Delay(u64),
}

impl RetrySchedule {
    /// A schedule with these delays before the first, second, ... attempt.
    ///
    /// # Errors
    /// There is none or more than [`MAX_ATTEMPTS`], or one exceeds [`MAX_DELAY`].
    pub fn try_new(delays: Vec<Duration>) -> Result<Self, InvalidSchedule> {
        if delays.is_empty() || delays.len() > MAX_ATTEMPTS {
            return Err(InvalidSchedule::Attempts(delays.len()));
        }
        match delays.iter().find(|delay| **delay > MAX_DELAY) {
            Some(long) => Err(InvalidSchedule::Delay(long.as_secs())),
            None => Ok(Self { delays }),
        }
    }

    /// The attempts of the schedule.
    #[must_use]
    pub fn attempts(&self) -> usize {
        self.delays.len()
    }

    /// The delay before attempt `step` (from 0); `None` after the last.
    #[must_use]
    pub fn delay(&self, step: u16) -> Option<Duration> {
        self.delays.get(usize::from(step)).copied()
    }

    /// The delay before attempt `step` with its jitter: `random` in 0..1
    /// chooses evenly within half of the delay on either side for the early,
    /// short delays, and within a tenth for the later ones, where the schedule
    /// itself is a promise.
    #[must_use]
    pub fn jittered_delay(&self, step: u16, random: f64) -> Option<Duration> {
        let delay = self.delay(step)?;
        let spread = if delay <= EARLY { EARLY_SPREAD } else { LATE_SPREAD };
        Some(delay.mul_f64(1.0 - spread + 2.0 * spread * random.clamp(0.0, 1.0)))
    }
}

impl Default for RetrySchedule {
    fn default() -> Self {
        Self { delays: DEFAULT_DELAYS_SECS.into_iter().map(Duration::from_secs).collect() }
    }
}

impl TryFrom<Vec<u64>> for RetrySchedule {
    type Error = InvalidSchedule;

    fn try_from(seconds: Vec<u64>) -> Result<Self, InvalidSchedule> {
        Self::try_new(seconds.into_iter().map(Duration::from_secs).collect())
    }
}

impl From<RetrySchedule> for Vec<u64> {
    fn from(schedule: RetrySchedule) -> Self {
        schedule.delays.iter().map(Duration::as_secs).collect()
    }
}

/// Decides what follows from an attempt that ended at `now`. `random` in 0..1
/// is the jitter; `retry_after` is already clamped.
#[must_use]
pub fn decide(
    schedule: &RetrySchedule,
    ended: &Scheduled,
    verdict: Verdict,
    retry_after: Option<Duration>,
    now: UnixMs,
    random: f64,
) -> Next {
    if verdict == Verdict::Success {
        return Next::Delivered;
    }
    if ended.trigger == Trigger::Resent {
        return Next::AsBefore;
    }
    match schedule.jittered_delay(ended.step.saturating_add(1), random) {
        Some(delay) => Next::Retry { due: now + delay.max(retry_after.unwrap_or_default()) },
        None => Next::Dead { reason: DeadReason::AttemptsExhausted },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const NOW: UnixMs = UnixMs(1_000_000);

    fn at_step(step: u16) -> Scheduled {
        Scheduled { step, ..Scheduled::first(NOW) }
    }

    #[test]
    fn the_default_is_the_example_of_standard_webhooks() {
        let schedule = RetrySchedule::default();
        assert_eq!(schedule.attempts(), 10);
        let total: u64 = Vec::<u64>::from(schedule).iter().sum();
        assert_eq!(total, 75 * 3600 + 35 * 60 + 5);
    }

    #[test]
    fn after_the_last_attempt_comes_the_dead_letter() {
        let schedule = RetrySchedule::default();
        let next = decide(&schedule, &at_step(9), Verdict::Failure, None, NOW, 0.5);
        assert_eq!(next, Next::Dead { reason: DeadReason::AttemptsExhausted });
        let next = decide(&schedule, &at_step(9), Verdict::Success, None, NOW, 0.5);
        assert_eq!(next, Next::Delivered);
    }

    #[test]
    fn the_later_of_schedule_and_retry_after_counts() {
        let schedule = RetrySchedule::default();
        let hour = Duration::from_secs(3600);
        let next = decide(&schedule, &at_step(0), Verdict::Failure, Some(hour), NOW, 0.5);
        assert_eq!(next, Next::Retry { due: NOW + hour });
        let next = decide(&schedule, &at_step(4), Verdict::Failure, Some(hour), NOW, 0.5);
        assert_eq!(next, Next::Retry { due: NOW + hour * 5 });
    }

    #[test]
    fn a_resend_consumes_no_step_of_the_schedule() {
        let schedule = RetrySchedule::default();
        for step in [0, 9, 200] {
            let resent = Scheduled { trigger: Trigger::Resent, ..at_step(step) };
            for verdict in [Verdict::Failure, Verdict::Overload, Verdict::Gone] {
                let hour = Some(Duration::from_secs(3600));
                assert_eq!(decide(&schedule, &resent, verdict, hour, NOW, 0.5), Next::AsBefore);
            }
            assert_eq!(decide(&schedule, &resent, Verdict::Success, None, NOW, 0.5), Next::Delivered);
        }
    }

    #[test]
    fn a_bad_schedule_is_refused() {
        assert_eq!(RetrySchedule::try_new(vec![]), Err(InvalidSchedule::Attempts(0)));
        assert!(RetrySchedule::try_new(vec![Duration::ZERO; 101]).is_err());
        assert!(RetrySchedule::try_from(vec![31 * 86_400]).is_err());
    }

    proptest! {
        #[test]
        fn jitter_stays_within_its_spread(step in 0u16..10, random in 0.0f64..1.0) {
            let schedule = RetrySchedule::default();
            let delay = schedule.delay(step).expect("ten steps").as_secs_f64();
            let jittered = schedule.jittered_delay(step, random).expect("ten steps").as_secs_f64();
            let spread = if delay <= 600.0 { 0.5 } else { 0.1 };
            prop_assert!((jittered - delay).abs() <= delay * spread + 1e-6);
        }
    }
}
