//! One reading of both clocks.

use std::time::Duration;

use postrider_model::time::{Clock, UnixMs};

/// What both clocks say at one moment. Due times are compared with the wall
/// clock, which may jump; pauses and rates with the monotonic one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    /// The wall clock.
    pub now: UnixMs,
    /// Time since some fixed moment; never goes back.
    pub monotonic: Duration,
}

impl Moment {
    /// Reads both clocks.
    #[must_use]
    pub fn of(clock: &dyn Clock) -> Self {
        Self { now: clock.now(), monotonic: clock.monotonic() }
    }

    /// The wall clock's time at a monotonic moment, if it does not jump meanwhile.
    pub(crate) fn wall(self, monotonic: Duration) -> UnixMs {
        self.now + monotonic.saturating_sub(self.monotonic)
    }
}
