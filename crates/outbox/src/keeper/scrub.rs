//! Reads sealed segments again, one now and then, so that damage is found
//! while it can still be told apart from the next one.

use std::time::Duration;

use postrider_model::position::Position;

use super::Keeper;

/// Between two segments: 64 MiB in ten minutes is a load that no disk feels,
/// and 100 GiB are through in twelve days.
const PACE: Duration = Duration::from_secs(600);

/// Which segment is next, and when.
pub(super) struct Scrub {
    next_at: Duration,
    next_segment: u32,
}

impl Scrub {
    pub(super) fn new(monotonic: Duration) -> Self {
        Self { next_at: monotonic + PACE, next_segment: 0 }
    }
}

impl Keeper {
    /// Reads one sealed segment again if it is time to.
    pub(super) fn scrub_one(&mut self) {
        let now = self.shared.clock.monotonic();
        if now < self.scrub.next_at {
            return;
        }
        self.scrub.next_at = now + PACE;
        let mut sealed = self.shared.reader.segments();
        sealed.retain(|segment| segment.sealed);
        let next = sealed.iter().find(|segment| segment.number >= self.scrub.next_segment).or_else(|| sealed.first());
        let Some(number) = next.map(|segment| segment.number) else { return };
        self.scrub.next_segment = number + 1;
        match self.shared.reader.scrub(number) {
            Ok(damage) => damage.iter().for_each(|damage| self.report(damage)),
            Err(error) => tracing::warn!(segment = number, %error, "a segment could not be scrubbed"),
        }
    }

    fn report(&self, damage: &crate::journal::Damage) {
        let (from, to) = (Position::new(damage.segment, damage.from), Position::new(damage.segment, damage.to));
        let needed = self.shared.misses(from, to);
        metrics::counter!(crate::meters::DAMAGE).increment(1);
        // What is live there becomes a dead letter that says so when its turn comes.
        tracing::error!(%damage, needed, "a part of the journal is damaged");
    }
}
