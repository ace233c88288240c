//! Simulated time, as the product is given it.

use std::time::Duration;

use postrider_model::time::{Clock, UnixMs};

/// When every run begins.
const BEGIN: UnixMs = UnixMs(1_800_000_000_000);

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

fn elapsed() -> Duration {
    // Outside of a host nobody waits for a time.
    turmoil::sim_elapsed().unwrap_or_default()
}

impl Clock for SimClock {
    fn now(&self) -> UnixMs {
        BEGIN + elapsed()
    }

    fn monotonic(&self) -> Duration {
        elapsed()
    }
}
