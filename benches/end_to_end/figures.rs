//! What is measured in one round of one scenario.

use std::time::Duration;

use serde::Serialize;

use crate::common::spread::Spread;
use crate::common::traffic::{Passage, per_second};

/// The figures of one round of one scenario.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Figures {
    /// Events that were measured; those of the warm-up are not among them.
    pub(crate) events: usize,
    /// From the first event sent to the last answer; for a client alone there is no such thing.
    pub(crate) accepted_per_s: Option<f64>,
    /// Deliveries, from the first event sent to the last arrival; none where nothing is delivered.
    pub(crate) delivered_per_s: Option<f64>,
    /// From an event sent to its answer.
    pub(crate) sent_to_answer_us: Spread,
    /// From an event sent to its arrival at the last of its endpoints.
    pub(crate) sent_to_arrival_us: Option<Spread>,
    /// From the answer to that arrival; 0 where the arrival came first.
    pub(crate) answer_to_arrival_us: Option<Spread>,
    /// Processor time for each event: of the server, or of the client alone.
    pub(crate) cpu_us_per_event: f64,
    /// The same of those who send to the doors.
    pub(crate) load_cpu_us_per_event: Option<f64>,
    /// The same of the receiver.
    pub(crate) receiver_cpu_us_per_event: f64,
    /// The part of the machine that programs other than these have used meanwhile.
    pub(crate) others_cpu_share: f64,
    /// What the store has done; a client alone has none.
    pub(crate) store: Option<Store>,
    /// Arrivals of what had arrived before.
    pub(crate) arrived_twice: usize,
}

/// What the server's store has done.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Store {
    /// Bytes that the server made the kernel write, for each event.
    pub(crate) written_bytes_per_event: f64,
    /// How often the journal was synced.
    pub(crate) syncs: f64,
    /// Frames appended to the journal.
    pub(crate) frames: f64,
    /// The most memory the server had resident, in MiB.
    pub(crate) peak_rss_mib: Option<f64>,
}

/// Processor times of one round.
pub(crate) struct Cpu {
    /// Of the server, or of the client alone.
    pub(crate) subject: Duration,
    /// Of those who send to the doors.
    pub(crate) load: Option<Duration>,
    pub(crate) receiver: Duration,
    pub(crate) others: Duration,
    /// What the machine had to give: all its cores, all the time.
    pub(crate) available: Duration,
}

impl Figures {
    /// Out of the times of the events, of which each went to so many endpoints.
    pub(crate) fn new(
        passages: &[Passage],
        endpoints: usize,
        cpu: &Cpu,
        store: Option<Store>,
        arrived_twice: usize,
    ) -> Self {
        let spread = |length: fn(&Passage) -> u64| Spread::of_nanos(passages.iter().map(length).collect());
        let delivered = endpoints > 0;
        let per_event = |time: Duration| time.as_secs_f64() * 1e6 / passages.len().max(1) as f64;
        Self {
            events: passages.len(),
            accepted_per_s: (store.is_some() || !delivered).then(|| per_second(passages, |passage| passage.answered)),
            delivered_per_s: delivered.then(|| endpoints as f64 * per_second(passages, |passage| passage.arrived)),
            sent_to_answer_us: spread(|passage| passage.answered.saturating_sub(passage.sent)),
            sent_to_arrival_us: delivered.then(|| spread(|passage| passage.arrived.saturating_sub(passage.sent))),
            answer_to_arrival_us: delivered.then(|| spread(|passage| passage.arrived.saturating_sub(passage.answered))),
            cpu_us_per_event: per_event(cpu.subject),
            load_cpu_us_per_event: cpu.load.map(per_event),
            receiver_cpu_us_per_event: per_event(cpu.receiver),
            others_cpu_share: cpu.others.as_secs_f64() / cpu.available.as_secs_f64().max(1e-9),
            store,
            arrived_twice,
        }
    }

    /// The same with what comes before it: a sync of one record before a request.
    pub(crate) fn after(mut self, sync: &Self) -> Self {
        self.sent_to_answer_us.p50 += sync.sent_to_answer_us.p50;
        self.sent_to_answer_us.p99 += sync.sent_to_answer_us.p99;
        self
    }

    /// What is compared: deliveries a second, or what is accepted where nothing is delivered.
    pub(crate) fn rate(&self) -> f64 {
        self.delivered_per_s.or(self.accepted_per_s).unwrap_or_default()
    }

    /// Events on one sync.
    pub(crate) fn per_sync(&self) -> Option<f64> {
        self.store.map(|store| self.events as f64 / store.syncs.max(1.0))
    }
}
