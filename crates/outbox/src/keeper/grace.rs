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
}
