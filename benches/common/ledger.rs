//! When each event was sent, answered, and arrived.

use std::ops::Range;
use std::sync::atomic::{AtomicU16, AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::time::Instant;

use tokio::sync::Notify;

/// The times of all events of one scenario, in nanoseconds since its start.
/// Zero means: not yet.
pub(crate) struct Ledger {
    origin: Instant,
    /// To how many endpoints each event goes.
    endpoints: usize,
    times: Vec<Times>,
    arrivals: AtomicUsize,
    /// Wakes the waiter when so many have arrived.
    awaited: AtomicUsize,
    all_there: Notify,
    twice: AtomicUsize,
    refused: AtomicUsize,
}

#[derive(Default)]
struct Times {
    sent: AtomicU64,
    answered: AtomicU64,
    arrived: AtomicU64,
    /// A bit for each endpoint that has it.
    endpoints: AtomicU16,
}

/// The times of one event, in nanoseconds since the scenario's start.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Passage {
    pub(crate) sent: u64,
    pub(crate) answered: u64,
    /// At the last of its endpoints.
    pub(crate) arrived: u64,
}

impl Ledger {
    /// For events with numbers below `events` that go to one endpoint each.
    pub(crate) fn new(events: usize) -> Self {
        Self::with_endpoints(events, 1)
    }

    /// For events with numbers below `events` that go to so many endpoints each, at most 16.
    pub(crate) fn with_endpoints(events: usize, endpoints: usize) -> Self {
        Self {
            origin: Instant::now(),
            endpoints,
            times: std::iter::repeat_with(Times::default).take(events).collect(),
            arrivals: AtomicUsize::new(0),
            awaited: AtomicUsize::new(usize::MAX),
            all_there: Notify::new(),
            twice: AtomicUsize::new(0),
            refused: AtomicUsize::new(0),
        }
    }

    /// Nanoseconds since the start; never zero.
    fn now(&self) -> u64 {
        u64::try_from(self.origin.elapsed().as_nanos()).unwrap_or(u64::MAX).max(1)
    }

    /// These are sent now.
    pub(crate) fn sent(&self, events: Range<usize>) {
        let now = self.now();
        for times in self.times.get(events).unwrap_or_default() {
            times.sent.store(now, Relaxed);
        }
    }

    /// The answer to this one is there now.
    pub(crate) fn answered(&self, n: usize) {
        if let Some(times) = self.times.get(n) {
            times.answered.store(self.now(), Relaxed);
        }
    }

    /// This one has arrived now at an endpoint, with a good signature. Only the first time counts.
    pub(crate) fn arrived(&self, n: usize, endpoint: usize) {
        let Some(times) = self.times.get(n).filter(|_| endpoint < self.endpoints) else { return self.refused() };
        let bit = 1 << endpoint;
        if times.endpoints.fetch_or(bit, Relaxed) & bit != 0 {
            self.twice.fetch_add(1, Relaxed);
            return;
        }
        times.arrived.fetch_max(self.now(), Relaxed);
        let arrivals = self.arrivals.fetch_add(1, Relaxed) + 1;
        if arrivals >= self.awaited.load(Relaxed) {
            self.all_there.notify_one();
        }
    }

    /// Something else has arrived, or something without a good signature.
    pub(crate) fn refused(&self) {
        self.refused.fetch_add(1, Relaxed);
    }

    /// Waits until so many events have arrived at all of their endpoints.
    pub(crate) async fn all_arrived(&self, events: usize) {
        let arrivals = events * self.endpoints;
        self.awaited.store(arrivals, Relaxed);
        while self.arrivals() < arrivals {
            // Looks again now and then: the last one may come between look and wait.
            let _ = tokio::time::timeout(std::time::Duration::from_millis(100), self.all_there.notified()).await;
        }
    }

    /// How many have arrived, each endpoint counted.
    pub(crate) fn arrivals(&self) -> usize {
        self.arrivals.load(Relaxed)
    }

    /// Arrivals of what had arrived before.
    pub(crate) fn arrived_twice(&self) -> usize {
        self.twice.load(Relaxed)
    }

    /// Arrivals that were not ours or not signed.
    pub(crate) fn arrived_wrong(&self) -> usize {
        self.refused.load(Relaxed)
    }

    /// The times of these events.
    pub(crate) fn passages(&self, events: Range<usize>) -> Vec<Passage> {
        let times = self.times.get(events).unwrap_or_default();
        let passage = |times: &Times| Passage {
            sent: times.sent.load(Relaxed),
            answered: times.answered.load(Relaxed),
            arrived: times.arrived.load(Relaxed),
        };
        times.iter().map(passage).collect()
    }
}
