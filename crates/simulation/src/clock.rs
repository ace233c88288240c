//! Simulated time, as the product is given it.

use std::cell::Cell;
use std::time::Duration;

use postrider_model::time::{Clock, UnixMs};

/// When every run begins.
const BEGIN: UnixMs = UnixMs(1_800_000_000_000);

thread_local! {
    static OUTSIDE_MS: Cell<u64> = const { Cell::new(0) };
}

/// The clock of the simulation that the caller runs in.
pub(crate) struct SimClock;

/// Milliseconds since the run began.
pub(crate) fn now_ms() -> u64 {
    u64::try_from(elapsed().as_millis()).unwrap_or(u64::MAX)
}

/// The same on the wall clock.
pub(crate) fn wall(ms: u64) -> UnixMs {
    BEGIN + Duration::from_millis(ms)
}

/// Says what time it is for whoever asks from outside of all hosts.
pub(crate) fn outside(ms: u64) {
    OUTSIDE_MS.set(ms);
}

fn elapsed() -> Duration {
    turmoil::sim_elapsed().unwrap_or_else(|| Duration::from_millis(OUTSIDE_MS.get()))
}

impl Clock for SimClock {
    fn now(&self) -> UnixMs {
        BEGIN + elapsed()
    }

    fn monotonic(&self) -> Duration {
        elapsed()
    }
}
