//! All that is derived from the journal and kept in memory, and the one
//! function that derives it: [`State::apply`], used live and in recovery alike.

mod audit;
mod backlog;
mod endpoints;
mod expunging;
mod lane;
mod task;
#[cfg(test)]
mod tests;

pub(crate) use audit::{AuditLog, AuditRow};
pub(crate) use expunging::Expunging;
pub(crate) use lane::{Claim, LaneState, Live};
pub(crate) use task::TaskState;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use postrider_model::check_invariant;
use postrider_model::config::{AppEntry, Config};
use postrider_model::delivery::{
    DeadReason, DeliveryEvent, DeliveryKey, DeliveryState, Scheduled, Trigger, transition,
};
use postrider_model::id::{AppId, EndpointId, TaskId};
use postrider_model::lane::LaneEvent;
use postrider_model::order::OrderRule;
use postrider_model::position::Position;
use postrider_model::time::UnixMs;

use crate::options::Options;
use crate::record::{Accepted, Carried, Deliveries, DeliveryRef, Expunged, Outcome, Record};

/// Live deliveries, dead letters, tasks. The configuration lies beside
/// it, because others read it without waiting for this.
#[derive(Clone, Debug, Default)]
pub(crate) struct State {
    pub(crate) lanes: HashMap<EndpointId, LaneState>,
    pub(crate) tasks: BTreeMap<TaskId, TaskState>,
    pub(crate) expunging: Expunging,
    pub(crate) audit: AuditLog,
    /// The time of the newest record: time never goes back behind it.
    pub(crate) last_record: UnixMs,
    /// Everything in the journal before this has been applied.
    pub(crate) applied: Position,
    /// Lanes whose window has room while more lies behind it.
    pub(crate) thirsty: BTreeSet<EndpointId>,
    /// Deliveries that wait, by application.
    pending: HashMap<AppId, u64>,
    /// Deliveries of one lane that may be in memory.
    lane_window: usize,
    /// The order of endpoints that have none of their own.
    default_order: OrderRule,
    /// Entries of the audit log.
    audit_entries: usize,
}

impl State {
    pub(crate) fn new(options: &Options) -> Self {
        let Options { lane_window, default_order, audit_entries, .. } = options;
        Self {
            lane_window: *lane_window,
            default_order: default_order.clone(),
            audit_entries: *audit_entries,
            ..Self::default()
        }
    }

    /// Applies one record: every record applies, since its legality was checked
    /// before it was written. `events` tells the scheduler what it means.
    pub(crate) fn apply(
        &mut self,
        config: &mut Config,
        position: Position,
        record: &Record,
        events: &mut Vec<LaneEvent>,
    ) {
        match record {
            Record::Accepted(accepted, _) => self.apply_accepted(config, position, accepted, events),
            Record::Outcome(outcome, _) => self.apply_outcome(outcome, events),
            Record::Config(change) => self.apply_config(config, change, events),
            // Whoever reads the journal opens it first.
            Record::SealedConfig(_) => {
                let _ = check_invariant!("W4", false, "a sealed change of the configuration is applied");
            }
            Record::Deliveries(change) => self.apply_deliveries(change, events),
            Record::TaskStarted(started) => {
                self.see_time(started.created);
                self.forget_oldest_task();
                self.tasks.insert(started.id, TaskState::new(started));
            }
            Record::TaskFinished(finished) => {
                self.see_time(finished.at);
                if let Some(task) = self.tasks.get_mut(&finished.id) {
                    task.finish(finished.at);
                }
            }
            Record::Carried(carried, _) => self.apply_carried(position, carried, events),
            Record::Expunged(expunged) => self.apply_expunged(position, expunged, events),
            // The index finds it.
            Record::Answered(answered, _) => self.see_time(answered.at),
            Record::Audit(entry) => {
                self.see_time(entry.at());
                self.audit.add(position, entry, self.audit_entries);
            }
        }
    }

    /// Deliveries of an application that wait, in number.
    pub(crate) fn pending_of(&self, app: AppId) -> u64 {
        self.pending.get(&app).copied().unwrap_or(0)
    }

    /// Deliveries that wait, in number.
    pub(crate) fn pending_total(&self) -> u64 {
        self.pending.values().sum()
    }

    /// Everything that the scheduler has to know after a start.
    pub(crate) fn introduce(&self, config: &Config, events: &mut Vec<LaneEvent>) {
        for entry in config.apps() {
            for endpoint in entry.endpoints() {
                events.push(self.lane_event(config, endpoint));
                self.tell_dead(endpoint, events);
                if let Some(lane) = self.lanes.get(&endpoint.id) {
                    events.extend(lane.window.iter().map(|(sequence, live)| waiting(endpoint.id, sequence, &live)));
                }
            }
        }
    }

    /// Takes deliveries into a lane's window that were read from the journal
    /// between `from` and `next`. If the lane's cursor has moved since they were
    /// read, they are left alone.
    pub(crate) fn fill(
        &mut self,
        endpoint: EndpointId,
        (from, next): (Position, Position),
        read: &[DeliveryRef],
        events: &mut Vec<LaneEvent>,
    ) {
        let at_end = next >= self.applied;
        let lost = self.change_lane(endpoint, |lane, _| {
            if lane.backlog.cursor() != Some(from) {
                return 0;
            }
            let (filled, lost) = lane.fill(read, next);
            events.extend(filled.iter().map(|(sequence, live)| waiting(endpoint, *sequence, live)));
            lost + if at_end { lane.backlog.expect(std::iter::empty()) } else { 0 }
        });
        if let Some(lost @ 1..) = lost {
            metrics::counter!(crate::meters::LOST).increment(lost);
            tracing::error!(%endpoint, lost, "deliveries are lost: damage in the journal holds their messages");
        }
    }

    /// The state of a delivery, as far as it is known here: live or dead.
    pub(crate) fn delivery(&self, delivery: &DeliveryRef) -> Option<DeliveryState> {
        let lane = self.lanes.get(&delivery.endpoint)?;
        match lane.state(delivery.sequence) {
            None if lane.is_behind(delivery) => Some(DeliveryState::Scheduled(Scheduled::first(delivery.accepted()))),
            known => known,
        }
    }

    /// A delivery that waits and the attempt that it waits for.
    pub(crate) fn waits(&self, key: DeliveryKey) -> Option<(DeliveryRef, Scheduled)> {
        let lane = self.lanes.get(&key.endpoint)?;
        let live = lane.window.get(&key.message)?;
        Some((live.delivery(lane.app, key.endpoint, key.message), live.scheduled))
    }

    /// The records between two positions that live deliveries and dead letters
    /// need, and whether a lane has to read on from before their end.
    pub(crate) fn needed(&self, from: Position, to: Position) -> (Vec<Position>, bool) {
        let positions = self.needed_positions().filter(|position| (from..to).contains(position)).collect();
        (positions, self.lanes.values().any(|lane| lane.backlog.overlaps(from, to)))
    }

    /// Live deliveries and dead letters whose record lies in a segment, in
    /// number, if there are any.
    pub(crate) fn still_in(&self, segment: u32) -> Option<usize> {
        let count = self.needed_segments().filter(|needed| *needed == segment).count();
        (count > 0).then_some(count)
    }

    /// Where the records are that live deliveries and dead letters need.
    pub(crate) fn needed_positions(&self) -> impl Iterator<Item = Position> {
        let live = self.lanes.values().flat_map(|lane| lane.window.values().map(|live| live.position));
        let dead = self.lanes.values().flat_map(|lane| lane.dead.values().filter(|dead| dead.has_payload()));
        live.chain(dead.map(|dead| dead.position))
    }

    /// The segment of each of them.
    pub(crate) fn needed_segments(&self) -> impl Iterator<Item = u32> {
        self.needed_positions().map(Position::segment)
    }

    /// The first segment that a live delivery, a dead letter or a backlog needs.
    pub(crate) fn first_needed(&self) -> Option<u32> {
        let cursors = self.lanes.values().filter_map(|lane| lane.backlog.cursor()).map(Position::segment);
        self.needed_segments().chain(cursors).min()
    }

    /// Where the records of messages lie that were added to an endpoint by a
    /// replay and are live or dead letters there: between two positions.
    pub(crate) fn added_within(&self, from: Position, to: Position) -> HashSet<Position> {
        let added = self.lanes.values().flat_map(LaneState::added);
        added.filter(|position| (from..to).contains(position)).collect()
    }

    /// The endpoints of an application to which a replay added a message that is
    /// live or a dead letter there.
    pub(crate) fn added_to(&self, app: &AppEntry, message: Position) -> Vec<EndpointId> {
        let has_added = |endpoint: &EndpointId| self.lanes.get(endpoint).is_some_and(|lane| lane.has_added(message));
        app.endpoints().map(|endpoint| endpoint.id).filter(has_added).collect()
    }

    /// Where the record of a delivery lies, if it is in memory.
    pub(crate) fn position(&self, delivery: &DeliveryRef) -> Option<Position> {
        let lane = self.lanes.get(&delivery.endpoint)?;
        let live = lane.window.get(&delivery.sequence).map(|live| live.position);
        live.or_else(|| lane.dead.get(&delivery.sequence).map(|dead| dead.position))
    }

    /// Keeps the list of tasks that have ended short.
    fn forget_oldest_task(&mut self) {
        const FINISHED_TASKS_KEPT: usize = 1_000;
        let finished = self.tasks.iter().filter(|(_, task)| task.finished);
        if finished.clone().count() >= FINISHED_TASKS_KEPT
            && let Some(oldest) = finished.map(|(id, _)| *id).next()
        {
            self.tasks.remove(&oldest);
        }
    }

    fn see_time(&mut self, at: UnixMs) {
        self.last_record = self.last_record.max(at);
    }

    /// Lets `change` work on a lane and keeps the counters true. Gives `None`
    /// when there is no such lane.
    fn change_lane<T>(&mut self, endpoint: EndpointId, change: impl FnOnce(&mut LaneState, usize) -> T) -> Option<T> {
        let lane = self.lanes.get_mut(&endpoint)?;
        let before = lane.pending();
        let result = change(lane, self.lane_window);
        if lane.is_thirsty(self.lane_window) {
            self.thirsty.insert(endpoint);
        }
        let (app, after) = (lane.app, lane.pending());
        let pending = self.pending.entry(app).or_default();
        *pending = (*pending + after).saturating_sub(before);
        Some(result)
    }

    fn apply_accepted(
        &mut self,
        config: &Config,
        position: Position,
        accepted: &Accepted,
        events: &mut Vec<LaneEvent>,
    ) {
        self.see_time(accepted.at());
        let (scheduled, order_by) = (Scheduled::first(accepted.at()), self.default_order.by);
        for endpoint in &accepted.endpoints {
            let delivery = accepted.named_delivery(*endpoint, position, position);
            // An endpoint that was deleted in the same frame has no lane any more.
            let in_window = self.change_lane(*endpoint, |lane, window| {
                lane.accept(&delivery, scheduled, || Claim::of(config, order_by, &delivery), window)
            });
            if in_window == Some(true) {
                events.push(LaneEvent::Waiting { key: delivery.key(), scheduled, order_key: delivery.order_key });
            }
        }
    }

    fn apply_outcome(&mut self, outcome: &Outcome, events: &mut Vec<LaneEvent>) {
        let at = outcome.started + std::time::Duration::from_millis(u64::from(outcome.duration_ms));
        self.see_time(at);
        if let Some(lane) = self.lanes.get_mut(&outcome.delivery.endpoint) {
            match outcome.succeeded() {
                Some(true) => lane.succeeded(at),
                Some(false) => lane.failing_since = lane.failing_since.or(Some(at)),
                None => {}
            }
        }
        let after = self.after_outcome(outcome, at);
        let waits = after.and_then(|after| self.put(&outcome.delivery, &after));
        let dead = matches!(after, Some(DeliveryState::Dead { .. }));
        let DeliveryRef { order_key, .. } = outcome.delivery;
        events.push(LaneEvent::Recorded { key: outcome.delivery.key(), waits, dead, order_key });
    }

    /// What a delivery is after an attempt that ended at `at`; `None` if nothing
    /// is known of it.
    fn after_outcome(&self, outcome: &Outcome, at: UnixMs) -> Option<DeliveryState> {
        let resend = outcome.ended.trigger == Trigger::Resent;
        let event = DeliveryEvent::AttemptEnded { attempt: outcome.ended.attempt, resend, at, next: outcome.next };
        let known = self.delivery(&outcome.delivery);
        if outcome.stale {
            return known;
        }
        // After a crash the delivery may lie behind the cursor of the checkpoint
        // again; the record tells what it was waiting for. One that was resent never does.
        let unknown = Some(DeliveryState::Scheduled(outcome.ended)).filter(|_| !resend);
        let before = known.or(unknown)?;
        let after = transition(&before, &event);
        let legal = check_invariant!("W3", after.is_ok(), "the record of an outcome applies to its delivery");
        Some(if legal { after.unwrap_or(before) } else { before })
    }

    fn apply_deliveries(&mut self, change: &Deliveries, events: &mut Vec<LaneEvent>) {
        self.see_time(change.at);
        if let Some((id, cursor)) = change.task
            && let Some(task) = self.tasks.get_mut(&id)
        {
            task.advance(cursor, change.deliveries.len() as u64, change.at);
        }
        for delivery in &change.deliveries {
            let Some(event) = change.what.event(change.at) else {
                self.change_lane(delivery.endpoint, |lane, _| lane.dead.remove(&delivery.sequence));
                events.push(LaneEvent::Left(delivery.key()));
                continue;
            };
            let known = self.delivery(delivery);
            let Some(before) = known.or_else(|| change.what.assumes(change.at)) else { continue };
            if let Ok(after) = transition(&before, &event) {
                self.put(delivery, &after);
                events.push(told(delivery, &after));
            }
        }
    }

    fn apply_carried(&mut self, position: Position, carried: &Carried, events: &mut Vec<LaneEvent>) {
        for (endpoint, state) in &carried.states {
            let delivery = carried.message.delivery(*endpoint, carried.sequence, position);
            let Some(lane) = self.lanes.get_mut(endpoint) else { continue };
            if delivery.added {
                lane.note_added(delivery.sequence);
            }
            match state {
                // The scheduler knows those in the window already, and one of them may be in flight.
                DeliveryState::Scheduled(_) if lane.is_behind(&delivery) => {
                    self.put(&delivery, state);
                    events.push(told(&delivery, state));
                }
                DeliveryState::Scheduled(_) | DeliveryState::Dead { .. } | DeliveryState::Resending(_) => {
                    self.put(&delivery, state);
                }
                DeliveryState::Delivered { .. } | DeliveryState::Cancelled { .. } => {}
            }
        }
    }

    fn apply_expunged(&mut self, position: Position, expunged: &Expunged, events: &mut Vec<LaneEvent>) {
        self.see_time(expunged.at);
        self.expunging.add(position, expunged);
        let event = DeliveryEvent::Expired { at: expunged.at, reason: DeadReason::PayloadExpunged };
        for delivery in expunged.waiting.iter().chain(&expunged.dead) {
            let Some(before) = self.delivery(delivery) else { continue };
            if let Ok(after) = transition(&before, &event) {
                self.put(delivery, &after);
                events.push(told(delivery, &after));
            }
        }
    }

    /// Puts a delivery into its new state. Gives the attempt that it waits for,
    /// if it waits for one; if its endpoint was deleted in the same frame, it
    /// does not.
    fn put(&mut self, delivery: &DeliveryRef, state: &DeliveryState) -> Option<Scheduled> {
        self.change_lane(delivery.endpoint, |lane, _| lane.put(delivery, state))?;
        state.waits_for()
    }

    /// Rebuilds the counters after the lanes were put in place by a checkpoint.
    pub(crate) fn recount(&mut self) {
        self.pending.clear();
        for (endpoint, lane) in &self.lanes {
            *self.pending.entry(lane.app).or_default() += lane.pending();
            if !lane.backlog.is_empty() {
                self.thirsty.insert(*endpoint);
            }
        }
    }
}

fn told(delivery: &DeliveryRef, state: &DeliveryState) -> LaneEvent {
    let (key, order_key) = (delivery.key(), delivery.order_key);
    match (state.waits_for(), state) {
        (Some(scheduled), _) => LaneEvent::Waiting { key, scheduled, order_key },
        (None, DeliveryState::Dead { .. }) => LaneEvent::Died { key, order_key },
        (None, _) => LaneEvent::Left(key),
    }
}

fn waiting(endpoint: EndpointId, sequence: Position, live: &Live) -> LaneEvent {
    let key = DeliveryKey { endpoint, message: sequence };
    LaneEvent::Waiting { key, scheduled: live.scheduled, order_key: live.order_key }
}
