//! One clock for all processes of a run.

use rustix::time::{ClockId, clock_gettime};

/// Nanoseconds of the system's monotonic clock; never 0.
pub(crate) fn now() -> u64 {
    let time = clock_gettime(ClockId::Monotonic);
    let part = |part: i64| u64::try_from(part).unwrap_or_default();
    (part(time.tv_sec) * 1_000_000_000 + part(time.tv_nsec)).max(1)
}
