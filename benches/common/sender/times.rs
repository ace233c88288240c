//! When each event was sent and answered.

use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::common::clock;

/// The times of all events, by [`clock::now`]. Zero means: not yet.
pub(crate) struct Times {
    sent: Vec<AtomicU64>,
    answered: Vec<AtomicU64>,
}

impl Times {
    /// For events with numbers below `events`.
    pub(crate) fn new(events: usize) -> Self {
        let none = || std::iter::repeat_with(AtomicU64::default).take(events).collect();
        Self { sent: none(), answered: none() }
    }

    /// These are sent now.
    pub(crate) fn sent(&self, events: Range<usize>) {
        let now = clock::now();
        for sent in self.sent.get(events).unwrap_or_default() {
            sent.store(now, Relaxed);
        }
    }

    /// The answer to this one is there now.
    pub(crate) fn answered(&self, n: usize) {
        if let Some(answered) = self.answered.get(n) {
            answered.store(clock::now(), Relaxed);
        }
    }

    /// When these were sent, and then when they were answered.
    pub(crate) fn of(&self, events: &Range<usize>) -> Vec<u64> {
        let both = [&self.sent, &self.answered].into_iter();
        let times = both.flat_map(|times| times.get(events.clone()).unwrap_or_default());
        times.map(|time| time.load(Relaxed)).collect()
    }
}
