//! When retention and expiry stand still: a wrong clock must not empty the store.

use std::time::Duration;

use postrider_model::time::UnixMs;

use crate::options::Options;

/// A jump of the wall clock against the monotonic one by more than this begins
/// the grace anew.
const JUMP: Duration = Duration::from_secs(3_600);
/// Between two rounds of retention.
const PACE: Duration = Duration::from_secs(60);

/// Watches both clocks.
pub(super) struct Grace {
    since: Duration,
    last_round: Option<Duration>,
    seen: (UnixMs, Duration),
}

impl Grace {
    pub(super) fn new(now: UnixMs, monotonic: Duration) -> Self {
        Self { since: monotonic, last_round: None, seen: (now, monotonic) }
    }

    /// Whether a round of retention may run now.
    pub(super) fn allows(&mut self, now: UnixMs, monotonic: Duration, options: &Options) -> bool {
        let (seen_wall, seen_monotonic) = self.seen;
        self.seen = (now, monotonic);
        let expected = seen_wall + monotonic.saturating_sub(seen_monotonic);
        if now.since(expected) > JUMP {
            tracing::warn!("the clock jumped forward; retention stands still for a while");
            self.since = monotonic;
        }
        let graced = monotonic.saturating_sub(self.since) < options.retention_grace;
        let paced =
            self.last_round.is_some_and(|last| monotonic.saturating_sub(last) < PACE.min(options.retention_grace));
        if graced || paced {
            return false;
        }
        self.last_round = Some(monotonic);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::MasterKey;

    const HOUR: Duration = Duration::from_secs(3_600);

    #[test]
    fn the_first_hour_and_the_hour_after_a_jump_are_graced() {
        let options = Options::new("unused", MasterKey::new([0; 32]));
        let start = UnixMs(1_000_000);
        let mut grace = Grace::new(start, Duration::ZERO);
        assert!(!grace.allows(start + HOUR / 2, HOUR / 2, &options), "too early");
        assert!(grace.allows(start + HOUR, HOUR, &options));
        assert!(!grace.allows(start + HOUR, HOUR, &options), "once a minute");
        assert!(grace.allows(start + HOUR * 2, HOUR * 2, &options));
        let jumped = start + HOUR * 50;
        assert!(!grace.allows(jumped, HOUR * 2 + PACE, &options), "the clock jumped");
        assert!(!grace.allows(jumped + HOUR / 2, HOUR * 5 / 2, &options));
        assert!(grace.allows(jumped + HOUR * 2, HOUR * 4, &options));
    }

    #[test]
    fn the_clocks_may_drift_apart_by_an_hour_between_two_looks() {
        const MOMENT: Duration = Duration::from_millis(1);
        let options = Options::new("unused", MasterKey::new([0; 32]));
        let start = UnixMs(1_000_000);
        for (jump, allowed) in [(Duration::ZERO, true), (JUMP, true), (JUMP + MOMENT, false)] {
            let mut grace = Grace::new(start, HOUR);
            assert!(!grace.allows(start + HOUR - MOMENT, HOUR * 2 - MOMENT, &options), "too early");
            assert!(grace.allows(start + HOUR, HOUR * 2, &options));
            assert_eq!(grace.allows(start + HOUR * 2 + jump, HOUR * 3, &options), allowed, "{jump:?}");
            assert!(!grace.allows(start + HOUR * 3 + jump - MOMENT, HOUR * 4 - MOMENT, &options) || allowed);
            assert!(grace.allows(start + HOUR * 4 + jump, HOUR * 5, &options), "an hour later at the latest");
        }
        // A clock that goes back makes nothing old.
        let mut grace = Grace::new(start + HOUR * 9, Duration::ZERO);
        assert!(grace.allows(start, HOUR, &options));
    }

    #[test]
    fn rounds_are_a_minute_apart_or_less_where_the_grace_is_shorter() {
        const SECOND: Duration = Duration::from_secs(1);
        for (grace_time, pace) in [(HOUR, PACE), (PACE, PACE), (SECOND * 3, SECOND * 3)] {
            let options = Options { retention_grace: grace_time, ..Options::new("unused", MasterKey::new([0; 32])) };
            let mut grace = Grace::new(UnixMs(0), Duration::ZERO);
            let mut allows = |at: Duration| grace.allows(UnixMs(0) + at, at, &options);
            assert!(allows(grace_time));
            assert!(!allows(grace_time + pace - Duration::from_millis(1)), "{grace_time:?}");
            assert!(allows(grace_time + pace), "{grace_time:?}");
            assert!(!allows(grace_time + pace), "{grace_time:?}");
        }
        let none = Options { retention_grace: Duration::ZERO, ..Options::new("unused", MasterKey::new([0; 32])) };
        let mut grace = Grace::new(UnixMs(0), Duration::ZERO);
        assert!(grace.allows(UnixMs(0), Duration::ZERO, &none) && grace.allows(UnixMs(0), Duration::ZERO, &none));
    }
}
