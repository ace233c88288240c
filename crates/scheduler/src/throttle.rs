//! A rate limit: so many attempts in so long a time, for one endpoint or one
//! application.
//!
//! The generic cell rate algorithm (ITU-T I.371): one number, the theoretical
//! arrival time of the next attempt. In every window as long as the rate's time
//! there are at most as many attempts as it allows, bursts included.

use std::time::Duration;

use postrider_model::rate::Rate;

/// How much earlier than evenly spaced an attempt may start when the rate is so
/// high that the space between two is less than a timer can tell apart. It costs
/// this part of the rate.
const TOLERANCE: Duration = Duration::from_millis(20);

/// When the next attempt may start, as far as the rate is concerned.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Throttle {
    rate: Option<Rate>,
    interval: Duration,
    tolerance: Duration,
    expected: Duration,
}

impl Throttle {
    /// An empty bucket: the first attempt waits for one interval, so that a
    /// restart does not exceed the rate either.
    pub(crate) fn new(rate: Option<Rate>, monotonic: Duration) -> Self {
        let mut throttle =
            Self { rate: None, interval: Duration::ZERO, tolerance: Duration::ZERO, expected: monotonic };
        throttle.set_rate(rate, monotonic);
        throttle
    }

    /// Takes another rate; the bucket is empty again if it is another one. The next
    /// attempt comes no earlier than at the rate before, unless there is none now.
    pub(crate) fn set_rate(&mut self, rate: Option<Rate>, monotonic: Duration) {
        if self.rate == rate {
            return;
        }
        self.rate = rate;
        let Some(rate) = rate else {
            (self.interval, self.tolerance, self.expected) = (Duration::ZERO, Duration::ZERO, monotonic);
            return;
        };
        let before = self.next();
        (self.interval, self.tolerance) = spacing(rate);
        self.expected = before.max(monotonic + self.interval) + self.tolerance;
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

/// The space between two attempts, and how much earlier one may start.
///
/// With an interval `i` and a tolerance `t` a window of length `w` has at most
/// `(w + t) / i` attempts, rounded up. The intervals are such that this is the
/// rate's count; they are rounded up for the same reason.
fn spacing(rate: Rate) -> (Duration, Duration) {
    let (count, window) = (rate.count.max(1), rate.per.duration());
    let burst = rate.burst.clamp(1, count);
    let interval = divided(window, count - burst + 1);
    let tolerance = interval * (burst - 1);
    // Else there are no bursts, or they are shorter than what a timer can tell apart.
    if tolerance >= TOLERANCE {
        return (interval, tolerance);
    }
    let tolerance = if window / count > TOLERANCE { Duration::ZERO } else { TOLERANCE };
    (divided(window + tolerance, count), tolerance)
}

fn divided(time: Duration, parts: u32) -> Duration {
    (time + Duration::from_nanos(u64::from(parts) - 1)) / parts
}

#[cfg(test)]
mod tests {
    use super::*;
    use postrider_model::rate::Per;
    use proptest::prelude::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn any_rate() -> impl Strategy<Value = Rate> {
        (1u32..400, prop_oneof![Just(Per::Second), Just(Per::Minute)], prop_oneof![Just(1), 1u32..400])
            .prop_map(|(count, per, burst)| Rate { count, per, burst: burst.min(count) })
    }

    proptest! {
        /// The steps are parts of the window: most of them far shorter, some of
        /// them long enough for a whole burst. A restart comes among them.
        #[test]
        fn no_window_has_more_than_the_rate(
            rate in any_rate(), steps in prop::collection::vec((0u32..1_000, 1u32..100, any::<bool>()), 1..300),
        ) {
            let window = rate.per.duration();
            let mut throttle = Throttle::new(Some(rate), Duration::ZERO);
            let mut now = Duration::ZERO;
            let mut starts: Vec<Duration> = Vec::new();
            for (step, part, restart) in steps {
                now += window * step / 1_000 / part;
                if restart && part == 1 {
                    throttle = Throttle::new(Some(rate), now);
                }
                while throttle.next() <= now && starts.len() < 3_000 {
                    throttle.take(now);
                    starts.push(now);
                }
            }
            for (first, start) in starts.iter().enumerate() {
                let within = starts.iter().skip(first).take_while(|other| **other < *start + window).count();
                prop_assert!(within <= rate.count as usize, "{} in a window at {:?}", within, rate);
            }
        }

        #[test]
        fn a_busy_sender_gets_nearly_the_whole_rate(rate in 1u32..2_000) {
            let mut throttle = Throttle::new(Some(Rate::per_second(rate)), Duration::ZERO);
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
    fn after_a_quiet_time_a_burst_starts_at_once() {
        let rate = Rate { count: 60, per: Per::Minute, burst: 10 };
        let mut throttle = Throttle::new(Some(rate), Duration::ZERO);
        let now = SECOND * 600;
        let started = std::iter::from_fn(|| (throttle.next() <= now).then(|| throttle.take(now))).take(100).count();
        assert_eq!(started, 10);
        let interval = divided(SECOND * 60, 51);
        assert_eq!(throttle.next(), now + interval, "what follows is evenly spaced");
    }

    /// So high a rate is caught up with after a quiet time, as far as the tolerance goes.
    #[test]
    fn no_second_has_more_than_the_rate_however_close_its_attempts_are() {
        for count in [51, 100, 500] {
            let mut throttle = Throttle::new(Some(Rate::per_second(count)), Duration::ZERO);
            let mut starts = Vec::new();
            for ms in 10_000..12_000 {
                let now = Duration::from_millis(ms);
                while throttle.next() <= now {
                    throttle.take(now);
                    starts.push(now);
                }
            }
            let most =
                starts.iter().map(|from| starts.iter().filter(|at| (*from..*from + SECOND).contains(*at)).count());
            assert_eq!(most.max(), Some(count as usize));
        }
    }

    #[test]
    fn from_fifty_a_second_on_an_attempt_may_start_a_little_early() {
        assert_eq!(spacing(Rate::per_second(49)), (divided(SECOND, 49), Duration::ZERO));
        assert_eq!(spacing(Rate::per_second(50)), (divided(SECOND + TOLERANCE, 50), TOLERANCE));
    }

    #[test]
    fn what_a_burst_may_take_is_not_waited_for_after_another_rate() {
        let bursts = Rate { count: 60, per: Per::Minute, burst: 60 };
        let mut throttle = Throttle::new(Some(bursts), Duration::ZERO);
        assert_eq!(throttle.next(), SECOND * 60);
        throttle.set_rate(Some(Rate::per_second(1)), SECOND);
        assert_eq!(throttle.next(), SECOND * 60, "no earlier and no later than before");
        throttle.set_rate(None, SECOND);
        assert_eq!(throttle.next(), SECOND);
    }

    #[test]
    fn without_a_rate_every_moment_is_right() {
        let mut throttle = Throttle::new(None, SECOND);
        for _ in 0..1_000 {
            assert!(throttle.next() <= SECOND);
            throttle.take(SECOND);
        }
        throttle.set_rate(Some(Rate::per_second(1)), SECOND * 2);
        assert_eq!(throttle.next(), SECOND * 3, "a new limit begins with an empty bucket");
    }
}
