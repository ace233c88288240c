//! The retry schedule, and what follows from the end of an attempt.

use std::fmt;
use std::ops::RangeInclusive;
use std::time::Duration;

use serde::de::value::MapAccessDeserializer;
use serde::de::{self, Deserializer, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::bounds::{self, bounds};
use crate::delivery::{DeadReason, Next, Scheduled, Trigger};
use crate::job::Verdict;
use crate::policy::Rules;
use crate::time::UnixMs;

/// Delays before each attempt: the example of Standard Webhooks 1.0.0.
pub const DEFAULT_DELAYS_SECS: [u64; 10] = [0, 5, 300, 1_800, 7_200, 18_000, 36_000, 50_400, 72_000, 86_400];

/// Attempts that a schedule may have at most.
pub const MAX_ATTEMPTS: usize = 100;
/// The longest delay before one attempt.
pub const MAX_DELAY: Duration = Duration::from_secs(30 * 86_400);

bounds! {
    /// Attempts of a schedule.
    Attempts: 1..=MAX_ATTEMPTS as u32;
    /// A delay in a list, in seconds.
    DelayS: 0..=MAX_DELAY.as_secs() as u32;
    /// A delay of a rule, in milliseconds. Without one nothing would grow.
    DelayMs: 1..=MAX_DELAY.as_millis() as u32;
}

/// Delays at or below this are spread widely: they are short, so that a narrow
/// spread would send all retries of an outage at one moment.
const EARLY: Duration = Duration::from_secs(600);
const EARLY_SPREAD: f64 = 0.5;
const LATE_SPREAD: f64 = 0.1;

/// By what a rule's delays may grow.
const FACTORS: RangeInclusive<f64> = 1.0..=10.0;
const FACTOR_IS: &str = "must be a number, 1 to 10 are allowed";

/// The delays before each attempt. There is at least one. Written as a list of
/// seconds, or as the rule that gives it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(into = "Written")]
pub struct RetrySchedule {
    delays: Vec<Duration>,
    rule: Option<Exponential>,
}

/// Delays that grow: none before the first attempt, `base_ms` before the second,
/// and `factor` times the one before, but at most `cap_ms`, before each other.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Exponential {
    /// Before the second attempt, in milliseconds; see [`DelayMs`].
    #[serde(deserialize_with = "bounds::read::<DelayMs, _, _>")]
    pub base_ms: u64,
    /// 1 to 10; finite in a [`RetrySchedule`].
    #[serde(deserialize_with = "factor")]
    pub factor: f64,
    /// The longest, in milliseconds, not below the first; see [`DelayMs`].
    #[serde(deserialize_with = "bounds::read::<DelayMs, _, _>")]
    pub cap_ms: u64,
    /// Attempts in all; see [`Attempts`].
    #[serde(deserialize_with = "bounds::read::<Attempts, _, _>")]
    pub attempts: u16,
}

// In a schedule the factor is always a number.
impl Eq for Exponential {}

#[derive(Serialize)]
#[serde(untagged)]
enum Written {
    Delays(Vec<u64>),
    Rule(Exponential),
}

/// Something that is no retry schedule.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidSchedule {
    /// No attempt at all, or too many.
    #[error("a retry schedule has 1 to {MAX_ATTEMPTS} attempts, not {0}")]
    Attempts(usize),
    /// One delay is too long.
    #[error("a delay is {0} s, 0 to {max} are allowed", max = MAX_DELAY.as_secs())]
    Delay(u64),
    /// The first delay of a rule is none, or too long.
    #[error("`baseMs` is {0}, 1 to {max} are allowed", max = MAX_DELAY.as_millis())]
    Base(u64),
    /// The longest delay of a rule is too long, or shorter than the first.
    #[error("`capMs` is {cap}, {base} (`baseMs`) to {max} are allowed", max = MAX_DELAY.as_millis())]
    Cap {
        /// The longest.
        cap: u64,
        /// The first.
        base: u64,
    },
    /// It does not grow as it should.
    #[error("`factor` {}", FACTOR_IS)]
    Factor,
}

/// How far a delay may differ from the schedule, at random.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Jitter {
    /// By half of it for the early, short delays, and by a tenth for the later
    /// ones, where the schedule itself is a promise.
    #[default]
    Standard,
    /// By so many percent of it on either side, at most 100.
    Percent(u8),
}

impl Jitter {
    /// `delay` with its jitter: `random` in 0..1 chooses evenly.
    #[must_use]
    pub fn apply(self, delay: Duration, random: f64) -> Duration {
        let spread = match self {
            Self::Standard if delay <= EARLY => EARLY_SPREAD,
            Self::Standard => LATE_SPREAD,
            Self::Percent(percent) => f64::from(percent.min(100)) / 100.0,
        };
        delay.mul_f64(1.0 - spread + 2.0 * spread * random.clamp(0.0, 1.0))
    }
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
            None => Ok(Self { delays, rule: None }),
        }
    }

    /// A schedule whose delays grow.
    ///
    /// # Errors
    /// As [`Self::try_new`], or what it says of delays is out of bounds.
    pub fn exponential(rule: Exponential) -> Result<Self, InvalidSchedule> {
        if !FACTORS.contains(&rule.factor) {
            return Err(InvalidSchedule::Factor);
        }
        let longest = MAX_DELAY.as_millis() as u64;
        if !(1..=longest).contains(&rule.base_ms) {
            return Err(InvalidSchedule::Base(rule.base_ms));
        }
        if !(rule.base_ms..=longest).contains(&rule.cap_ms) {
            return Err(InvalidSchedule::Cap { cap: rule.cap_ms, base: rule.base_ms });
        }
        let attempts = usize::from(rule.attempts);
        if attempts > MAX_ATTEMPTS {
            return Err(InvalidSchedule::Attempts(attempts));
        }
        let cap = Duration::from_millis(rule.cap_ms);
        let grown = |delay: &Duration| Some(delay.mul_f64(rule.factor).min(cap));
        let growing = std::iter::successors(Some(Duration::from_millis(rule.base_ms)), grown);
        let delays = std::iter::once(Duration::ZERO).chain(growing).take(attempts).collect();
        Ok(Self { rule: Some(rule), ..Self::try_new(delays)? })
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
}

impl Default for RetrySchedule {
    fn default() -> Self {
        Self { delays: DEFAULT_DELAYS_SECS.into_iter().map(Duration::from_secs).collect(), rule: None }
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

/// Reads either form, and says of each what is wrong with it.
impl<'de> Deserialize<'de> for RetrySchedule {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct EitherForm;
        impl<'de> Visitor<'de> for EitherForm {
            type Value = RetrySchedule;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of seconds, or an object with `baseMs`, `factor`, `capMs` and `attempts`")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut members: A) -> Result<RetrySchedule, A::Error> {
                let mut delays = Vec::new();
                while let Some(Seconds(seconds)) = members.next_element()? {
                    // The rest only counts for the error.
                    if delays.len() <= MAX_ATTEMPTS {
                        delays.push(seconds);
                    }
                }
                delays.try_into().map_err(de::Error::custom)
            }

            fn visit_map<A: MapAccess<'de>>(self, members: A) -> Result<RetrySchedule, A::Error> {
                let rule = Exponential::deserialize(MapAccessDeserializer::new(members))?;
                RetrySchedule::exponential(rule).map_err(de::Error::custom)
            }
        }
        deserializer.deserialize_any(EitherForm)
    }
}

/// A delay as a list has it.
struct Seconds(u64);

impl<'de> Deserialize<'de> for Seconds {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        bounds::read::<DelayS, _, D>(deserializer).map(Self)
    }
}

/// Reads a factor, whatever is there instead.
fn factor<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    let value = Value::deserialize(deserializer)?;
    value.as_f64().filter(|factor| FACTORS.contains(factor)).ok_or_else(|| de::Error::custom(FACTOR_IS))
}

impl From<RetrySchedule> for Written {
    fn from(schedule: RetrySchedule) -> Self {
        schedule.rule.map_or_else(|| Self::Delays(schedule.into()), Self::Rule)
    }
}

/// An attempt that has ended, as far as it matters to what follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ended {
    /// What the delivery waited for.
    pub scheduled: Scheduled,
    /// When its message was accepted.
    pub accepted: UnixMs,
    /// What the end means.
    pub verdict: Verdict,
    /// The status code, if there was an answer.
    pub status: Option<u16>,
    /// How long the endpoint asked to wait, already clamped.
    pub retry_after: Option<Duration>,
}

/// Decides what follows from an attempt that ended at `now`. `random` in 0..1
/// is the jitter.
///
/// The age limit holds for the schedule that begins with acceptance: a person
/// who replays a delivery wants it whatever its age. The last attempt comes when
/// the limit is reached, or later if the endpoint asked for that.
#[must_use]
pub fn decide(rules: &Rules, ended: &Ended, now: UnixMs, random: f64) -> Next {
    let Ended { scheduled, accepted, verdict, status, retry_after } = *ended;
    if verdict == Verdict::Success {
        return Next::Delivered;
    }
    if scheduled.trigger == Trigger::Resent {
        return Next::AsBefore;
    }
    if rules.is_final(status, verdict) {
        return Next::Dead { reason: DeadReason::Refused };
    }
    let limit = rules.max_age.filter(|_| scheduled.trigger == Trigger::Scheduled).map(|age| accepted + age);
    if limit.is_some_and(|limit| limit <= now) {
        return Next::Dead { reason: DeadReason::TooOld };
    }
    let Some(delay) = rules.schedule.delay(scheduled.step.saturating_add(1)) else {
        return Next::Dead { reason: DeadReason::AttemptsExhausted };
    };
    let due = now + rules.jitter.apply(delay, random);
    let due = limit.map_or(due, |limit| due.min(limit));
    Next::Retry { due: due.max(now + retry_after.unwrap_or_default()) }
}

#[cfg(test)]
mod tests;
