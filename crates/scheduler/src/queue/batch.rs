//! What goes together in a batch.
//!
//! First attempts go with first attempts. What has failed goes with what has failed, and
//! each time in batches a quarter as large: so one message that the receiver cannot take
//! is soon alone, and does not take the others with it.

use postrider_model::position::Position;
use postrider_model::time::UnixMs;

use super::{Queue, Waits, first};

/// Messages of a batch in which one has failed so often, of at most `max`.
fn share(max: usize, step: u16) -> usize {
    (max >> (2 * u32::from(step)).min(usize::BITS - 1)).max(1)
}

impl Queue {
    /// When a batch is full, if nothing else comes: the past if one is.
    pub(crate) fn full_at(&self, max: usize) -> Option<UnixMs> {
        if self.fresh.len() + self.backlog.len() >= max {
            return Some(UnixMs(0));
        }
        let (_, message) = self.timed.first()?;
        let step = self.waits.get(message)?.scheduled.step;
        self.timed.nth(share(max, step) - 1)
    }

    /// Since when the oldest first attempt waits, while there are too few of them for a batch.
    pub(crate) fn gathers_since(&self, max: usize) -> Option<UnixMs> {
        let firsts = first(&self.fresh).into_iter().chain(first(&self.backlog));
        let oldest = firsts.filter_map(|message| self.get(message)).map(|waits| waits.not_before).min();
        oldest.filter(|_| self.fresh.len() + self.backlog.len() < max)
    }

    /// Takes out the earliest of those that are due by a time of their own.
    pub(crate) fn take_retry(&mut self, now: UnixMs) -> Option<(Position, Waits)> {
        let (_, message) = self.timed.first().filter(|(due, _)| *due <= now)?;
        self.take_out(message)
    }

    /// Takes out one more that may go with one that has failed so often, in a batch that
    /// has so many members of at most `max`.
    pub(crate) fn take_with(
        &mut self,
        step: u16,
        members: usize,
        max: usize,
        now: UnixMs,
    ) -> Option<(Position, Waits)> {
        let retry = self.timed.first().filter(|(due, _)| *due <= now).map(|(_, message)| message);
        let step_of = |message: &Position| self.waits.get(*message).map_or(0, |waits| waits.scheduled.step);
        let next = if step == 0 {
            let untried = first(&self.fresh).or_else(|| first(&self.backlog));
            untried.or_else(|| retry.filter(|message| step_of(message) == 0)).filter(|_| members < max)
        } else {
            let fits = |message: &Position| step_of(message) > 0 && members < share(max, step.max(step_of(message)));
            retry.filter(fits)
        };
        self.take_out(next?)
    }
}
