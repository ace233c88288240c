//! What the committer, the readers and the housekeeping share.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use crossbeam_channel::Sender;
use parking_lot::{Mutex, RwLock};
use postrider_model::config::Config;
use postrider_model::delivery::{DeliveryKey, Scheduled};
use postrider_model::endpoint::Endpoint;
use postrider_model::id::EndpointId;
use postrider_model::lane::LaneEvent;
use postrider_model::target::Target;
use postrider_model::time::{Clock, UnixMs};

use crate::bodies::Bodies;
use crate::feed::Feed;
use crate::held_back::HeldBack;
use crate::ids::SequenceMask;
use crate::index::Index;
use crate::journal::JournalReader;
use crate::mismatches::Mismatches;
use crate::options::Options;
use crate::outcomes::Outcomes;
use crate::read_ahead::Turns;
use crate::reads::Reads;
use crate::record::DeliveryRef;
use crate::seal::Sealer;
use crate::state::State;

/// Locks are taken in the order of the fields and held for no I/O.
pub(crate) struct Shared {
    pub(crate) state: Mutex<State>,
    pub(crate) config: RwLock<Config>,
    /// Deliveries for which a job was handed out and no outcome recorded yet.
    pub(crate) in_flight: Mutex<HashMap<DeliveryKey, InFlight>>,
    /// Endpoints as the dispatcher needs them, with what they were made of.
    pub(crate) targets: Mutex<HashMap<EndpointId, Made>>,
    /// What filters have held back.
    pub(crate) held_back: HeldBack,
    /// What is done about payloads that differ from their schema.
    pub(crate) mismatches: Mismatches,
    pub(crate) feed: Feed,
    pub(crate) outcomes: Outcomes,
    pub(crate) bodies: Bodies,
    /// Who reads messages into that.
    pub(crate) turns: Turns,
    pub(crate) reader: JournalReader,
    pub(crate) index: Arc<Index>,
    pub(crate) sealer: Sealer,
    pub(crate) mask: SequenceMask,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) reads: Reads,
    pub(crate) options: Options,
    /// Goes up when segments were written anew without what was expunged: what
    /// was read while it did is read again.
    pub(crate) rewrites: AtomicU64,
    /// Held by the one that writes a checkpoint: at a stop, keeper and committer may meet.
    pub(crate) checkpointing: Mutex<()>,
    /// The time of the newest record.
    pub(crate) last_record_ms: AtomicU64,
    /// When that was noted, by the monotonic clock.
    pub(crate) last_record_noted_ms: AtomicU64,
    /// No room could be found for another segment: old history has to go.
    pub(crate) wants_room: AtomicBool,
    /// There is no room for messages: they are refused.
    pub(crate) full: AtomicBool,
    /// Tells that the configuration has changed.
    pub(crate) configured: tokio::sync::Notify,
    /// Nothing is accepted any more: the process stops, or the journal is poisoned.
    pub(crate) stopping: AtomicBool,
    /// The committer has ended, and takes nothing out of its channels any more.
    pub(crate) ended: RwLock<bool>,
}

/// An endpoint and what was made of it for the dispatcher.
pub(crate) type Made = (Arc<Endpoint>, Arc<Target>);

/// A delivery in flight, as it was when its job was handed out.
#[derive(Clone, Copy, Debug)]
pub(crate) struct InFlight {
    pub(crate) delivery: DeliveryRef,
    pub(crate) scheduled: Scheduled,
}

impl Shared {
    /// The wall clock, which never goes back behind the newest record. While it
    /// is behind that, time goes on from there at half its speed, so that what
    /// waits for a time comes to it, and the wall clock catches up.
    pub(crate) fn now(&self) -> UnixMs {
        let record = UnixMs(self.last_record_ms.load(Ordering::Acquire));
        let noted = Duration::from_millis(self.last_record_noted_ms.load(Ordering::Acquire));
        self.clock.now().max(record + self.clock.monotonic().saturating_sub(noted) / 2)
    }

    /// Notes the time of the newest record. Only the committer does.
    pub(crate) fn note_record(&self, at: UnixMs) {
        if self.last_record_ms.load(Ordering::Acquire) < at.as_u64() {
            let now_ms = u64::try_from(self.clock.monotonic().as_millis()).unwrap_or(u64::MAX);
            // In this order nobody sees the new record's time with the old note's age.
            self.last_record_noted_ms.store(now_ms, Ordering::Release);
            self.last_record_ms.store(at.as_u64(), Ordering::Release);
        }
    }

    /// What was made of endpoints that have changed, or are gone, must not stay: there
    /// are secrets in it. What is still needed is made again.
    pub(crate) fn forget_changed_targets(&self, events: &[LaneEvent]) {
        let mut targets = self.targets.lock();
        for event in events {
            match event {
                LaneEvent::Endpoint(lane) => drop(targets.remove(&lane.endpoint)),
                LaneEvent::EndpointGone(endpoint) => {
                    self.held_back.forget(*endpoint);
                    targets.remove(endpoint);
                }
                _ => {}
            }
        }
    }

    /// Hands something to the committer, unless that has ended: it would stay in the channel then,
    /// and whoever waits for the answer would wait for ever. `false` if it is not taken.
    pub(crate) fn hand<T>(&self, channel: &Sender<T>, what: T) -> bool {
        let ended = self.ended.read();
        !*ended && channel.try_send(what).is_ok()
    }

    pub(crate) fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Acquire)
    }
}
