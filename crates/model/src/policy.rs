//! How an endpoint is delivered to: what its owner says of retries, pace and
//! order. What a policy leaves open is the server's setting, and where that is
//! silent too, a value of [`Rules`].
//!
//! ```text
//!   Policy (endpoint's own)  --+
//!                              +--> Rules, nothing left open, for one lane
//!   Policy (server's setting) -+
//! ```

use std::collections::BTreeSet;
use std::ops::RangeInclusive;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::batch::BatchRule;
use crate::bounds::{Bounds, bounds, within};
use crate::job::Verdict;
use crate::order::OrderRule;
use crate::rate::{Rate, RateBurst};
use crate::retry::{Jitter, RetrySchedule};
use crate::status_pattern::StatusPattern;
use crate::validate::FieldErrors;

bounds! {
    /// By how many percent of itself a delay may differ.
    JitterPercent: 0..=100;
    /// Seconds after which a delivery may be given up.
    MaxAgeS: 60..=365 * 86_400;
    /// Requests in flight to one endpoint.
    MaxInFlight: 1..=4_096;
    /// Failures in a row that open the breaker.
    BreakerFailures: 1..=1_000;
    /// The breaker's pauses, in milliseconds.
    BreakerPauseMs: 100..=86_400_000;
}

/// Seconds of nothing but failure after which an endpoint may be disabled; 0 is never.
#[derive(Clone, Copy, Debug)]
pub enum DisableAfterS {}

impl Bounds for DisableAfterS {
    const RANGE: RangeInclusive<u32> = 60..=365 * 86_400;

    fn allowed() -> String {
        format!("0 (never), or {} to {} are allowed", Self::RANGE.start(), Self::RANGE.end())
    }
}

/// Members of the list of final statuses.
pub const MAX_FINAL_STATUSES: usize = 100;

/// What an endpoint's owner, or the server's setting, says of delivery. `None`
/// leaves it open.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Policy {
    /// The delays before each attempt.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry_schedule: Option<RetrySchedule>,
    /// By how many percent of itself a delay may differ, 0 to 100.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry_jitter_percent: Option<u32>,
    /// From this age on a delivery gets one attempt more, in seconds since its
    /// message was accepted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_age_s: Option<u32>,
    /// Answers after which there is no further attempt.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub final_statuses: Option<BTreeSet<StatusPattern>>,
    /// How many attempts may start in what time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rate: Option<Rate>,
    /// Requests in flight at most.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_in_flight: Option<u32>,
    /// When to leave the endpoint alone for a while.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub breaker: Option<BreakerPolicy>,
    /// Seconds of nothing but failure after which the endpoint is disabled; 0 is never.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub disable_after_s: Option<u32>,
    /// In which order it gets its messages.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub order: Option<OrderRule>,
    /// What the receiver allowed when it was verified: no rate of whoever counts above it.
    /// Not its owner's to say.
    #[serde(skip)]
    pub allowed_rate: Option<Rate>,
    /// How many messages go in one request; `None` is one, by itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub batch: Option<BatchRule>,
}

/// What an endpoint's owner says of its breaker. `None` leaves it open.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct BreakerPolicy {
    /// See [`BreakerRule::failures`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failures: Option<u32>,
    /// See [`BreakerRule::pause_min_ms`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pause_min_ms: Option<u32>,
    /// See [`BreakerRule::pause_max_ms`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pause_max_ms: Option<u32>,
}

/// When the breaker opens, and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BreakerRule {
    /// Failures in a row that open it.
    pub failures: u32,
    /// Its first pause, in milliseconds; doubled with every probe that fails.
    pub pause_min_ms: u32,
    /// Its longest pause, in milliseconds.
    pub pause_max_ms: u32,
}

impl Default for BreakerRule {
    fn default() -> Self {
        Self { failures: 5, pause_min_ms: 1_000, pause_max_ms: 60_000 }
    }
}

impl BreakerRule {
    /// This rule, where `policy` says nothing else. What it leaves open gives way
    /// if it does not fit the rest.
    fn with(self, policy: BreakerPolicy) -> Self {
        let BreakerPolicy { failures, pause_min_ms, pause_max_ms } = policy;
        let min = pause_min_ms.unwrap_or_else(|| self.pause_min_ms.min(pause_max_ms.unwrap_or(u32::MAX)));
        let max = pause_max_ms.unwrap_or(self.pause_max_ms).max(min);
        Self { failures: failures.unwrap_or(self.failures), pause_min_ms: min, pause_max_ms: max }
    }
}

impl Policy {
    /// Checks every value; fields are named as the API has them, below `policy`.
    ///
    /// # Errors
    /// Some field has a value that is not allowed.
    pub fn validate(&self) -> Result<(), FieldErrors> {
        let mut errors = FieldErrors::default();
        self.check(&mut errors);
        errors.finish()
    }

    pub(crate) fn check(&self, errors: &mut FieldErrors) {
        range::<JitterPercent>(errors, "policy.retryJitterPercent", self.retry_jitter_percent);
        range::<MaxAgeS>(errors, "policy.maxAgeS", self.max_age_s);
        range::<MaxInFlight>(errors, "policy.maxInFlight", self.max_in_flight);
        range::<DisableAfterS>(errors, "policy.disableAfterS", self.disable_after_s.filter(|after| *after != 0));
        if let Some(rule) = self.breaker {
            range::<BreakerFailures>(errors, "policy.breaker.failures", rule.failures);
            range::<BreakerPauseMs>(errors, "policy.breaker.pauseMinMs", rule.pause_min_ms);
            // A shortest pause that is not allowed says nothing of the longest.
            let (shortest, longest) = BreakerPauseMs::RANGE.into_inner();
            let min = rule.pause_min_ms.filter(|min| BreakerPauseMs::RANGE.contains(min)).unwrap_or(shortest);
            let max = rule.pause_max_ms.map_or(Ok(()), |max| within(max, &(min..=longest)));
            errors.check("policy.breaker.pauseMaxMs", max);
        }
        if let Some(rate) = self.rate {
            errors.check("policy.rate.count", within(rate.count, &rate.per.count_range()));
            errors.check("policy.rate.burst", within(rate.burst, &RateBurst::range(rate.count)));
        }
        if let Some(order) = &self.order {
            errors.check("policy.order.pointer", order.check_pointer());
        }
        if let Some(batch) = self.batch {
            batch.check(self.order.as_ref(), errors);
        }
        let finals = self.final_statuses.as_ref().map_or(0, BTreeSet::len);
        if finals > MAX_FINAL_STATUSES {
            let problem = format!("has {finals} members, at most {MAX_FINAL_STATUSES} are allowed");
            errors.check("policy.finalStatuses", Err(problem));
        }
    }
}

fn range<B: Bounds>(errors: &mut FieldErrors, field: &'static str, value: Option<u32>) {
    errors.check(field, value.map_or(Ok(()), B::check));
}

/// A policy with nothing left open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rules {
    /// The delays before each attempt.
    pub schedule: RetrySchedule,
    /// How far a delay may differ.
    pub jitter: Jitter,
    /// From this age on a delivery gets one attempt more.
    pub max_age: Option<Duration>,
    /// Answers after which there is no further attempt.
    pub final_statuses: BTreeSet<StatusPattern>,
    /// How many attempts may start in what time.
    pub rate: Option<Rate>,
    /// Requests in flight at most.
    pub max_in_flight: u32,
    /// When to leave the endpoint alone for a while.
    pub breaker: BreakerRule,
    /// After so long a time of nothing but failure the endpoint is disabled.
    pub disable_after: Option<Duration>,
    /// In which order the endpoint gets its messages.
    pub order: OrderRule,
    /// How many messages go in one request, if that may be more than one.
    pub batch: Option<BatchRule>,
}

/// What counts where nobody says anything.
impl Default for Rules {
    fn default() -> Self {
        Self {
            schedule: RetrySchedule::default(),
            jitter: Jitter::Standard,
            max_age: None,
            final_statuses: BTreeSet::new(),
            rate: None,
            max_in_flight: 32,
            breaker: BreakerRule::default(),
            disable_after: Some(Duration::from_secs(5 * 86_400)),
            order: OrderRule::default(),
            batch: None,
        }
    }
}

impl Rules {
    /// These rules, where `policy` says nothing else.
    #[must_use]
    pub fn with(&self, policy: &Policy) -> Self {
        let seconds = |s: u32| Duration::from_secs(u64::from(s));
        let order = policy.order.as_ref().unwrap_or(&self.order);
        Self {
            schedule: policy.retry_schedule.clone().unwrap_or_else(|| self.schedule.clone()),
            jitter: policy.retry_jitter_percent.map_or(self.jitter, |percent| Jitter::Percent(percent.min(100) as u8)),
            max_age: policy.max_age_s.map(seconds).or(self.max_age),
            final_statuses: policy.final_statuses.clone().unwrap_or_else(|| self.final_statuses.clone()),
            rate: Rate::stricter(policy.rate.or(self.rate), policy.allowed_rate),
            max_in_flight: policy.max_in_flight.unwrap_or(self.max_in_flight).max(1),
            breaker: self.breaker.with(policy.breaker.unwrap_or_default()),
            batch: policy.batch.map(|rule| rule.beside(order)),
            order: order.clone(),
            disable_after: policy.disable_after_s.map_or(self.disable_after, |s| (s != 0).then(|| seconds(s))),
        }
    }

    /// Whether an answer with this status ends the attempts. A success is no
    /// failure, and an endpoint that has too much to do has said nothing final.
    #[must_use]
    pub fn is_final(&self, status: Option<u16>, verdict: Verdict) -> bool {
        let Some(status) = status.filter(|_| matches!(verdict, Verdict::Failure)) else { return false };
        self.final_statuses.iter().any(|pattern| pattern.matches(status))
    }
}

#[cfg(test)]
mod tests;
