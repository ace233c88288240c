//! A limit of how many attempts may start in what time.

use std::ops::RangeInclusive;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::bounds::Bounds;

/// So many attempts in so long a time: in no window of that length are there
/// more, bursts included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Rate {
    /// Attempts.
    pub count: u32,
    /// In this time.
    #[serde(default)]
    pub per: Per,
    /// How many of them may start at once after a quiet time, 1 to half of `count`.
    /// What a burst may take is taken from the steady rate, which is
    /// `count - burst + 1`: else a burst and what follows it would be more than
    /// `count`.
    #[serde(default = "one")]
    pub burst: u32,
}

const fn one() -> u32 {
    1
}

/// The time that a rate is counted in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Per {
    /// A second.
    #[default]
    Second,
    /// A minute.
    Minute,
}

/// Attempts that may be allowed in a rate's time, whatever that is.
#[derive(Clone, Copy, Debug)]
pub enum RateCount {}

impl Bounds for RateCount {
    const RANGE: RangeInclusive<u32> = 1..=*Per::Minute.count_range().end();

    fn allowed() -> String {
        let most = |per: Per| *per.count_range().end();
        format!("1 to {} a second or 1 to {} a minute are allowed", most(Per::Second), most(Per::Minute))
    }
}

/// Attempts that may start at once.
#[derive(Clone, Copy, Debug)]
pub enum RateBurst {}

impl RateBurst {
    /// With such a count. A larger burst would leave next to nothing of the steady
    /// rate: `count - burst + 1`.
    #[must_use]
    pub const fn range(count: u32) -> RangeInclusive<u32> {
        1..=if count < 2 { 1 } else { count / 2 }
    }
}

impl Bounds for RateBurst {
    const RANGE: RangeInclusive<u32> = Self::range(*RateCount::RANGE.end());

    fn allowed() -> String {
        "1 to half of `count` are allowed".to_owned()
    }
}

impl Per {
    /// The words for it.
    pub const WORDS: &str = "`second` or `minute`";

    /// How long it is.
    #[must_use]
    pub const fn duration(self) -> Duration {
        match self {
            Self::Second => Duration::from_secs(1),
            Self::Minute => Duration::from_secs(60),
        }
    }

    /// Attempts that may be allowed in it.
    #[must_use]
    pub const fn count_range(self) -> RangeInclusive<u32> {
        match self {
            Self::Second => 1..=10_000,
            Self::Minute => 1..=600_000,
        }
    }
}

impl Rate {
    /// Evenly spaced attempts, so many per second.
    #[must_use]
    pub const fn per_second(count: u32) -> Self {
        Self { count, per: Per::Second, burst: 1 }
    }

    /// The one of two limits that lets less through in a minute.
    #[must_use]
    pub fn stricter(one: Option<Self>, other: Option<Self>) -> Option<Self> {
        let per_minute = |rate: &Self| u64::from(rate.count) * (60 / rate.per.duration().as_secs());
        one.into_iter().chain(other).min_by_key(per_minute)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stricter_of_two_limits_counts() {
        let minute = |count| Rate { count, per: Per::Minute, burst: 1 };
        let (slow, fast) = (minute(90), Rate::per_second(2));
        assert_eq!(Rate::stricter(Some(fast), Some(slow)), Some(slow));
        assert_eq!(Rate::stricter(Some(minute(300)), Some(fast)), Some(fast));
        assert_eq!(Rate::stricter(None, Some(slow)), Some(slow));
        assert_eq!(Rate::stricter(Some(slow), None), Some(slow));
        assert_eq!(Rate::stricter(None, None), None);
    }
}
