//! The handle by which everybody speaks to the outbox.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crossbeam_channel::Sender;
use postrider_model::audit::Told;
use postrider_model::restoration::Restoration;
use postrider_model::time::{Clock, UnixMs};
use tokio::sync::Semaphore;

use crate::committer::request::{Errand, Ingest, Urgent};
use crate::keeper::KeeperSignal;
use crate::meters;
use crate::ports::Bound;
use crate::shared::Shared;

/// Cheap to clone; implements the ports of `postrider_model`.
#[derive(Clone)]
pub struct Outbox {
    pub(crate) shared: Arc<Shared>,
    /// In boxes: the channel has a place for each that may wait, and touches all of them at the start.
    pub(crate) ingest: Sender<Box<Ingest>>,
    pub(crate) urgent: Sender<Urgent>,
    pub(crate) errands: Sender<Errand>,
    pub(crate) keeper: KeeperSignal,
    /// Bytes of messages that may wait for the committer.
    pub(crate) room: Arc<Semaphore>,
    /// Requests that may wait for the committer.
    pub(crate) requests: Arc<Semaphore>,
    /// A turn for each message whose payload takes long to look into.
    pub(crate) looking: Arc<Semaphore>,
    /// The request with an idempotency key that this handle is for, if it is for one.
    pub(crate) bound: Option<Arc<Bound>>,
    /// The call that this handle's changes tell of, if it is for one.
    pub(crate) call: Option<Arc<Told>>,
}

/// See [`Outbox::clock`].
struct RecordClock(Arc<Shared>);

impl Clock for RecordClock {
    fn now(&self) -> UnixMs {
        self.0.now()
    }

    fn monotonic(&self) -> Duration {
        self.0.clock.monotonic()
    }
}

/// Figures of the outbox, for metrics and for a status view.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Deliveries that wait.
    pub pending: u64,
    /// Of those, the ones that lie behind their lane's window.
    pub behind_window: u64,
    /// Dead letters.
    pub dead_letters: u64,
    /// Deliveries whose job was handed out and whose outcome is not recorded.
    pub in_flight: u64,
    /// Deliveries that wait on an endpoint that is held.
    pub held: u64,
    /// The age of the oldest delivery that waits, in milliseconds.
    pub oldest_pending_ms: u64,
    /// Payloads and answers that were expunged and whose bytes may still be on disk.
    pub expunged_on_disk: u64,
    /// The journal's files, in bytes.
    pub journal_bytes: u64,
    /// The index, in bytes.
    pub index_bytes: u64,
    /// Bodies of fresh messages in memory, in bytes.
    pub fresh_body_bytes: u64,
    /// Messages that wait for the committer.
    pub waiting_messages: u64,
    /// Outcomes and requests that wait for the committer.
    pub waiting_requests: u64,
    /// There is no room for messages.
    pub full: bool,
}

impl Outbox {
    /// The clock that the scheduler goes by: never behind the newest record.
    #[must_use]
    pub fn clock(&self) -> Arc<dyn Clock> {
        Arc::new(RecordClock(Arc::clone(&self.shared)))
    }

    /// The figures of this moment. Reads directories.
    #[must_use]
    pub fn stats(&self) -> Stats {
        let now = self.shared.now();
        let journal_bytes = self.shared.reader.segments().iter().map(|segment| segment.bytes_allocated).sum();
        let index_bytes = self.shared.index.size_bytes();
        let state = self.shared.state.lock();
        let config = self.shared.config.read();
        let oldest = state.lanes.values().filter_map(|lane| lane.window.values().next());
        let oldest = oldest.map(|live| live.message.0.time()).min();
        let is_held = |id| config.endpoint(id).is_none_or(|endpoint| config.hold(endpoint).is_some());
        // An endpoint is looked for only where something waits.
        let busy = state.lanes.iter().filter(|(_, lane)| lane.pending() > 0);
        Stats {
            pending: state.pending_total(),
            behind_window: state.lanes.values().map(|lane| lane.backlog.count()).sum(),
            dead_letters: state.lanes.values().map(|lane| lane.dead.len() as u64).sum(),
            in_flight: self.shared.in_flight.lock().len() as u64,
            held: busy.filter(|(id, _)| is_held(**id)).map(|(_, lane)| lane.pending()).sum(),
            oldest_pending_ms: oldest.map_or(0, |at| now.as_u64().saturating_sub(at.as_u64())),
            expunged_on_disk: state.expunging.len() as u64,
            journal_bytes,
            index_bytes,
            fresh_body_bytes: self.shared.bodies.bytes() as u64,
            waiting_messages: self.ingest.len() as u64,
            waiting_requests: (self.urgent.len() + self.shared.outcomes.len()) as u64,
            full: self.is_full(),
        }
    }

    /// The store was restored from a backup, and all dispatch is paused since.
    #[must_use]
    pub fn restoration(&self) -> Option<Restoration> {
        self.shared.config.read().restoration()
    }

    /// Whether messages are refused, because there is no room for them.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.shared.full.load(Ordering::Acquire)
    }

    /// Sets the gauges of the installed recorder to the figures of this moment.
    pub fn publish_gauges(&self) {
        let limit = |capacity: Option<usize>| capacity.unwrap_or(0) as u64;
        let limits = meters::Limits {
            waiting_messages: limit(self.ingest.capacity()),
            waiting_requests: limit(self.urgent.capacity()) + self.shared.outcomes.limit() as u64,
        };
        meters::set_gauges(&self.stats(), &limits);
    }

    /// Nothing is accepted from now on; what waits is still recorded. Then the
    /// committer and the keeper end.
    pub fn stop(&self) {
        self.shared.stopping.store(true, Ordering::Release);
        self.room.close();
        self.keeper.stop();
        let _ = self.errands.send(Errand::Stop);
    }
}
