//! A rate limit: so many attempts per second, for one endpoint or one application.
//!
//! The generic cell rate algorithm (ITU-T I.371): one number, the theoretical
//! arrival time of the next attempt. In every window of a second or longer there
//! are at most `rate` attempts per second, bursts included.

use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);
/// How much earlier than evenly spaced an attempt may start when the rate is so
/// high that the space between two is less than a timer can tell apart.
const TOLERANCE: Duration = Duration::from_millis(20);
/// From this rate on the tolerance is granted. It costs 2 % of the rate.
const TOLERANT_FROM_PER_SECOND: u32 = 50;

/// When the next attempt may start, as far as the rate is concerned.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Throttle {
    rate_per_second: Option<u32>,
    interval: Duration,
    tolerance: Duration,
    expected: Duration,
}

impl Throttle {
    /// An empty bucket: the first attempt waits for one interval, so that a
    /// restart does not exceed the rate either.
    pub(crate) fn new(rate_per_second: Option<u32>, monotonic: Duration) -> Self {
        let unlimited =
            Self { rate_per_second: None, interval: Duration::ZERO, tolerance: Duration::ZERO, expected: monotonic };
        let mut throttle = unlimited;
        throttle.set_rate(rate_per_second, monotonic);
        throttle
    }

    /// Takes another rate; the bucket is empty again if it is another one.
    pub(crate) fn set_rate(&mut self, rate_per_second: Option<u32>, monotonic: Duration) {
        if self.rate_per_second == rate_per_second {
            return;
        }
        self.rate_per_second = rate_per_second;
        let Some(rate) = rate_per_second.map(|rate| rate.max(1)) else {
            (self.interval, self.tolerance, self.expected) = (Duration::ZERO, Duration::ZERO, monotonic);
            return;
        };
        self.tolerance = if rate < TOLERANT_FROM_PER_SECOND { Duration::ZERO } else { TOLERANCE };
        // `rate` intervals fill a second and the tolerance, so that one attempt
        // more does not fit into any window of a second. Rounded up for the same reason.
        self.interval = (SECOND + self.tolerance + Duration::from_nanos(u64::from(rate) - 1)) / rate;
        self.expected = self.expected.max(monotonic + self.interval + self.tolerance);
    }

    /// The earliest start of the next attempt.
    pub(crate) fn next(&self) -> Duration {
        self.expected.saturating_sub(self.tolerance)
    }

    /// Counts an attempt that starts now.
    pub(crate) fn take(&mut self, monotonic: Duration) {
        self.expected = self.expected.max(monotonic) + self.interval;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn no_second_has_more_than_the_rate(rate in 1u32..400, waits_us in prop::collection::vec(0u64..200_000, 1..400)) {
            let mut throttle = Throttle::new(Some(rate), Duration::ZERO);
            let mut now = Duration::ZERO;
            let mut starts: Vec<Duration> = Vec::new();
            for wait in waits_us {
                now += Duration::from_micros(wait);
                while throttle.next() <= now && starts.len() < 5_000 {
                    throttle.take(now);
                    starts.push(now);
                }
            }
            for (first, start) in starts.iter().enumerate() {
                let within = starts.iter().skip(first).take_while(|other| **other < *start + SECOND).count();
                prop_assert!(within <= rate as usize, "{} in a second at {}/s", within, rate);
            }
        }

        #[test]
        fn a_busy_sender_gets_nearly_the_whole_rate(rate in 1u32..2_000) {
            let mut throttle = Throttle::new(Some(rate), Duration::ZERO);
            let (mut now, mut count) = (Duration::ZERO, 0u32);
            while now < Duration::from_secs(10) {
                while throttle.next() <= now {
                    throttle.take(now);
                    count += 1;
                }
                now += Duration::from_millis(1);
            }
            prop_assert!(f64::from(count) >= 9.0 * f64::from(rate) * 0.95 - 1.0, "{} of {}", count, rate * 10);
        }
    }

    #[test]
    fn without_a_rate_every_moment_is_right() {
        let mut throttle = Throttle::new(None, SECOND);
        for _ in 0..1_000 {
            assert!(throttle.next() <= SECOND);
            throttle.take(SECOND);
        }
        throttle.set_rate(Some(1), SECOND * 2);
        assert_eq!(throttle.next(), SECOND * 3, "a new limit begins with an empty bucket");
    }
}
