//! What ends by its age: waiting on a held endpoint, and dead letters.

use std::time::Duration;

use postrider_model::delivery::DeadReason;
use postrider_model::id::EndpointId;
use postrider_model::time::UnixMs;
use tokio::sync::oneshot;

use super::Keeper;
use crate::committer::request::{DeliveriesRequest, Urgent};
use crate::record::{DeliveryChange, DeliveryRef};
use crate::state::Live;

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// Deliveries that one record changes at most.
const BATCH: usize = 1_000;

impl Keeper {
    /// Deliveries that have waited too long on a disabled or paused endpoint
    /// become dead letters that say so.
    pub(super) fn expire_held(&self) {
        let now = self.shared.clock.now();
        let limit = self.shared.options.retain_held;
        for (endpoint, since) in self.held_lanes() {
            if now.since(since) < limit {
                continue;
            }
            self.in_batches(DeliveryChange::Expired(DeadReason::HeldTooLong), || {
                let (state, config) = (self.shared.state.lock(), self.shared.config.read());
                let Some(lane) = state.lanes.get(&endpoint) else { return vec![] };
                let hold = config.endpoint(endpoint).and_then(|found| config.hold(found));
                if hold.is_none_or(|(_, held_since)| held_since != since) {
                    return vec![];
                }
                let waits_since = |live: &Live| live.message.0.time().max(live.scheduled.due).max(since);
                let old = lane.window.iter().filter(|(_, live)| now.since(waits_since(live)) >= limit);
                old.take(BATCH).map(|(sequence, live)| live.delivery(lane.app, endpoint, sequence)).collect()
            });
        }
    }

    /// Dead letters past their retention are removed (W10).
    pub(super) fn forget_dead_letters(&self) {
        let now = self.shared.clock.now();
        let limit = self.shared.options.retain_dead_letters;
        let lanes: Vec<EndpointId> = self.shared.state.lock().lanes.keys().copied().collect();
        for endpoint in lanes {
            self.in_batches(DeliveryChange::Forgotten, || {
                let state = self.shared.state.lock();
                let Some(lane) = state.lanes.get(&endpoint) else { return vec![] };
                // One that is resent may yet be delivered.
                let idle = lane.dead.iter().filter(|(sequence, _)| !lane.window.contains_key(sequence));
                let old = idle.filter(|(_, dead)| now.since(dead.died) >= limit);
                old.take(BATCH).map(|(sequence, dead)| dead.delivery(lane.app, endpoint, *sequence)).collect()
            });
        }
    }

    /// Entries of the audit log past their retention are not shown and not carried any more.
    pub(super) fn forget_old_entries(&self) {
        let oldest_ms = self.shared.clock.now().as_u64().saturating_sub(millis(self.shared.options.retain_audit));
        self.shared.state.lock().audit.forget_before(UnixMs(oldest_ms));
    }

    fn held_lanes(&self) -> Vec<(EndpointId, UnixMs)> {
        let config = self.shared.config.read();
        let endpoints = config.apps().flat_map(|entry| entry.endpoints());
        endpoints.filter_map(|endpoint| Some((endpoint.id, config.hold(endpoint)?.1))).collect()
    }

    /// Records the change of what `find` finds until it finds nothing more.
    fn in_batches(&self, what: DeliveryChange, find: impl Fn() -> Vec<DeliveryRef>) {
        while !self.shared.is_stopping() {
            let deliveries = find();
            if deliveries.is_empty() {
                return;
            }
            let (reply, answer) = oneshot::channel();
            let request = DeliveriesRequest { what, deliveries, reply: reply.into() };
            let sent = self.shared.hand(&self.urgent, Urgent::Deliveries(request));
            // Nothing changed: something else holds them; a later round looks again.
            if !sent || !matches!(self.answers.wait(answer), Some(Ok(changed)) if changed > 0) {
                return;
            }
        }
    }
}
