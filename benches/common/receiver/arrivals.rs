//! When each event arrived.

use std::ops::Range;
use std::sync::atomic::{AtomicU16, AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use tokio::sync::Notify;

use crate::common::clock;

/// The arrivals of all events of a run.
pub(crate) struct Arrivals {
    /// To how many endpoints each event goes.
    endpoints: usize,
    events: Vec<Event>,
    count: AtomicUsize,
    /// Wakes the waiter when so many have arrived.
    awaited: AtomicUsize,
    all_there: Notify,
    twice: AtomicUsize,
    wrong: AtomicUsize,
}

#[derive(Default)]
struct Event {
    /// At the last of its endpoints, by [`clock::now`]. Zero means: not yet.
    arrived: AtomicU64,
    /// A bit for each endpoint that has it.
    endpoints: AtomicU16,
}

impl Arrivals {
    /// For events with numbers below `events` that go to so many endpoints each, at most 16.
    pub(crate) fn new(events: usize, endpoints: usize) -> Self {
        Self {
            endpoints,
            events: std::iter::repeat_with(Event::default).take(events).collect(),
            count: AtomicUsize::new(0),
            awaited: AtomicUsize::new(usize::MAX),
            all_there: Notify::new(),
            twice: AtomicUsize::new(0),
            wrong: AtomicUsize::new(0),
        }
    }

    /// This one has arrived now at an endpoint, with a good signature. Only the first time counts.
    pub(crate) fn arrived(&self, n: usize, endpoint: usize) {
        let Some(event) = self.events.get(n).filter(|_| endpoint < self.endpoints) else { return self.refused() };
        let bit = 1 << endpoint;
        if event.endpoints.fetch_or(bit, Relaxed) & bit != 0 {
            self.twice.fetch_add(1, Relaxed);
            return;
        }
        event.arrived.fetch_max(clock::now(), Relaxed);
        let count = self.count.fetch_add(1, Relaxed) + 1;
        if count >= self.awaited.load(Relaxed) {
            self.all_there.notify_one();
        }
    }

    /// Something else has arrived, or something without a good signature.
    pub(crate) fn refused(&self) {
        self.wrong.fetch_add(1, Relaxed);
    }

    /// Waits until so many have arrived, each endpoint counted, or until `limit` has passed; gives how many there are.
    pub(crate) async fn wait_for(&self, count: usize, limit: Duration) -> usize {
        self.awaited.store(count, Relaxed);
        let all = async {
            while self.count.load(Relaxed) < count {
                self.all_there.notified().await;
            }
        };
        let _ = tokio::time::timeout(limit, all).await;
        self.count.load(Relaxed)
    }

    /// How many arrivals there were of what had arrived before, and of what was not ours or not signed.
    pub(crate) fn odd(&self) -> (usize, usize) {
        (self.twice.load(Relaxed), self.wrong.load(Relaxed))
    }

    /// When these had arrived at all of their endpoints.
    pub(crate) fn times(&self, events: Range<usize>) -> Vec<u64> {
        let events = self.events.get(events).unwrap_or_default();
        events.iter().map(|event| event.arrived.load(Relaxed)).collect()
    }
}
