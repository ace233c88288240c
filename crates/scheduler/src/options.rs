//! The scheduler's limits.

use std::time::Duration;

use postrider_model::policy::Rules;

use crate::error::Error;

/// The most attempts in flight that may be configured.
const MAX_IN_FLIGHT: u32 = 1 << 20;

/// The scheduler's limits, each with its unit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// Attempts in flight in all, 1 to 1,048,576, those among them whose outcome is
    /// not recorded yet. Also the capacity of the channel of outcomes.
    pub max_in_flight: u32,
    /// Attempts in flight per application.
    pub in_flight_per_application: u32,
    /// Bytes of a batch's body at most, unless one message alone has more.
    pub batch_bytes: usize,
    /// What counts for an endpoint whose policy says nothing else;
    /// [`crate::Handle::set_rules`] changes it.
    pub rules: Rules,
    /// The longest `Retry-After` that is honoured.
    pub retry_after_max: Duration,
    /// For how long a delivery waits for a token that its endpoint's requests get in with,
    /// from when it was due and the token was first missing; then it is a dead letter.
    pub token_wait: Duration,
    /// Attempts that may be at their beginning at the same time right after a start,
    /// after a forward jump of the wall clock by over an hour, and when all dispatch is
    /// resumed, so that what has become overdue meanwhile is no storm.
    pub ramp_start: u32,
    /// The time in which that number doubles, until it reaches `max_in_flight`.
    pub ramp_doubling: Duration,
    /// For how long an attempt is at its beginning once its job is read, if it has not
    /// ended before.
    pub ramp_beginning: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            max_in_flight: 4_096,
            in_flight_per_application: 256,
            batch_bytes: 1 << 20,
            rules: Rules::default(),
            retry_after_max: Duration::from_secs(24 * 3_600),
            token_wait: Duration::from_secs(30 * 86_400),
            ramp_start: 64,
            ramp_doubling: Duration::from_secs(2),
            ramp_beginning: Duration::from_millis(100),
        }
    }
}

impl Options {
    /// Checks every value.
    ///
    /// # Errors
    /// A limit is zero, or so large that it is none.
    pub fn validate(&self) -> Result<(), Error> {
        within("max_in_flight", self.max_in_flight.into(), 1, MAX_IN_FLIGHT.into())?;
        within("max_in_flight of an endpoint", self.rules.max_in_flight.into(), 1, MAX_IN_FLIGHT.into())?;
        within("in_flight_per_application", self.in_flight_per_application.into(), 1, MAX_IN_FLIGHT.into())?;
        within("ramp_start", self.ramp_start.into(), 1, MAX_IN_FLIGHT.into())?;
        within("ramp_doubling in ms", millis(self.ramp_doubling), 1, 3_600_000)?;
        within("ramp_beginning in ms", millis(self.ramp_beginning), 1, 3_600_000)?;
        within("retry_after_max in ms", millis(self.retry_after_max), 0, 30 * 86_400_000)
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn within(name: &'static str, value: u64, min: u64, max: u64) -> Result<(), Error> {
    if (min..=max).contains(&value) { Ok(()) } else { Err(Error::Option { name, value, min, max }) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_allowed_and_zero_is_not() {
        assert_eq!(Options::default().validate(), Ok(()));
        let none = Options { in_flight_per_application: 0, ..Options::default() };
        let error = none.validate().expect_err("zero in flight would be a standstill");
        assert_eq!(error.to_string(), "scheduler option `in_flight_per_application` is 0, allowed is 1 to 1048576");
        let endless = Options { ramp_doubling: Duration::MAX, ..Options::default() };
        assert!(endless.validate().is_err());
    }

    #[test]
    fn each_limit_is_allowed_up_to_its_bounds_and_not_beyond() {
        type Set = fn(&mut Options, u64);
        let most = 1_048_576;
        let hour_ms = 60 * 60 * 1_000;
        let limits: [(&str, u64, u64, Set); 7] = [
            ("max_in_flight", 1, most, |options, value| options.max_in_flight = value as u32),
            ("max_in_flight of an endpoint", 1, most, |options, value| options.rules.max_in_flight = value as u32),
            ("in_flight_per_application", 1, most, |options, value| options.in_flight_per_application = value as u32),
            ("ramp_start", 1, most, |options, value| options.ramp_start = value as u32),
            ("ramp_doubling in ms", 1, hour_ms, |options, ms| options.ramp_doubling = Duration::from_millis(ms)),
            ("ramp_beginning in ms", 1, hour_ms, |options, ms| options.ramp_beginning = Duration::from_millis(ms)),
            ("retry_after_max in ms", 0, 30 * 24 * hour_ms, |options, ms| {
                options.retry_after_max = Duration::from_millis(ms);
            }),
        ];
        for (name, min, max, set) in limits {
            let with = |value| {
                let mut options = Options::default();
                set(&mut options, value);
                options.validate()
            };
            assert_eq!((with(min), with(max)), (Ok(()), Ok(())), "{name}");
            assert_eq!(with(max + 1), Err(Error::Option { name, value: max + 1, min, max }));
            if let Some(value) = min.checked_sub(1) {
                assert_eq!(with(value), Err(Error::Option { name, value, min, max }));
            }
        }
    }
}
