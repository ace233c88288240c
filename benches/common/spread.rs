//! Percentiles.

use serde::Serialize;

/// Percentiles of lengths of time, in microseconds.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub(crate) struct Spread {
    pub(crate) p50: f64,
    pub(crate) p99: f64,
    pub(crate) max: f64,
}

impl Spread {
    /// Of lengths in nanoseconds.
    pub(crate) fn of_nanos(mut lengths: Vec<u64>) -> Self {
        lengths.sort_unstable();
        let at = |percent: usize| {
            let place = lengths.len().saturating_sub(1) * percent / 100;
            lengths.get(place).map_or(0.0, |nanos| *nanos as f64 / 1e3)
        };
        Self { p50: at(50), p99: at(99), max: at(100) }
    }
}
