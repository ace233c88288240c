//! What Postrider tells of itself, in the frame of what has caused it: neither is there
//! without the other. The configuration and the lanes are still those before the frame.

use std::collections::{BTreeSet, HashMap};
use std::sync::atomic::Ordering;

use postrider_model::config::{Config, ConfigChange};
use postrider_model::delivery::{Next, Trigger};
use postrider_model::endpoint::Endpoint;
use postrider_model::fan_out::FanOut;
use postrider_model::filter::HURRIED_STEPS;
use postrider_model::id::{AppId, EndpointId};
use postrider_model::lane::Settlement;
use postrider_model::payload::Payload;
use postrider_model::time::UnixMs;
use tokio::sync::oneshot;

use super::{Committer, Frame};
use crate::committer::operational::{BODY_BYTES, DISK_FULL, Event, Kind, leave_out};
use crate::committer::request::{Ingest, Urgent, no_id};
use crate::journal::FrameBuilder;
use crate::options::OperationalEvents;
use crate::orders::Pointers;
use crate::record::{self, DeliveryChange, DeliveryRef, Outcome, Record};
use crate::state::State;

/// Events that may come of one request or outcome in a frame, in bytes, and whether any may.
pub(in crate::committer) struct Telling {
    event_bytes: usize,
    /// Endpoints of which an attempt has failed, before this frame or in it.
    failing: HashMap<EndpointId, bool>,
    failing_after: u16,
    pub(in crate::committer) may_tell: bool,
}

impl Committer {
    /// `None` if nothing is told of anything.
    pub(in crate::committer) fn telling(&self) -> Option<Telling> {
        let setting = self.shared.options.operational_events.as_ref()?;
        let endpoints = {
            let config = self.shared.config.read();
            let found = config.default_org().and_then(|org| config.find_app(org, &setting.application));
            found?.endpoint_count()
        };
        // The meta part of the message, its body, its endpoints with their order keys.
        let event_bytes = 2 * BODY_BYTES + endpoints * (34 + 16);
        let failing_after = setting.failing_after;
        Some(Telling { event_bytes, failing: HashMap::new(), failing_after, may_tell: false })
    }

    /// Takes what was counted before, and is to be told with this frame, with the bytes that it takes;
    /// no more than has room in so many.
    pub(in crate::committer) fn counted(&mut self, telling: Option<&Telling>, room: usize) -> (Vec<Event>, usize) {
        let Some(telling) = telling.filter(|_| self.quiet.next().is_some()) else { return (vec![], 0) };
        let most = (room / telling.event_bytes).max(1);
        let counted = self.quiet.take(self.shared.now(), self.stop, most);
        let bytes = counted.len() * telling.event_bytes;
        (counted, bytes.min(room))
    }

    /// Whether something that was counted is to be told now.
    pub(in crate::committer) fn has_counted(&self) -> bool {
        self.quiet.next().is_some_and(|at| self.stop || at <= self.shared.now())
    }

    /// Tells of what is in the frame so far, and of what was counted before.
    pub(in crate::committer) fn stage_operational(
        &mut self,
        counted: Vec<Event>,
        builder: &mut FrameBuilder,
        frame: &mut Frame,
    ) {
        let Some(setting) = self.shared.options.operational_events.clone() else { return };
        let Some((own, events, gone)) = self.events_of(&setting, frame) else {
            // Whoever is told when it is there again is told at once.
            return self.quiet.forget_all();
        };
        for event in counted {
            self.stage_event(own, event, builder, frame);
        }
        for event in events {
            if let Some(event) = self.quiet.turn(event, frame.now) {
                self.stage_event(own, event, builder, frame);
            }
        }
        // Last: the frame may tell of them, too.
        for endpoint in gone {
            self.quiet.forget(endpoint);
        }
    }

    /// The application that is told, what of, and the endpoints that are gone; `None` if the first is not there.
    fn events_of(&self, setting: &OperationalEvents, frame: &Frame) -> Option<(AppId, Vec<Event>, Vec<EndpointId>)> {
        let state = self.shared.state.lock();
        let config = self.shared.config.read();
        let found = config.default_org().and_then(|org| config.find_app(org, &setting.application));
        let own = found?.app.id;
        let mut seen = Seen {
            setting,
            own,
            config: &config,
            state: &state,
            failing: HashMap::new(),
            events: vec![],
            gone: vec![],
        };
        for (_, record) in &frame.records {
            match record {
                Record::Config(change) => seen.config(change),
                Record::Outcome(outcome, _) => seen.outcome(outcome),
                Record::Deliveries(change) => {
                    if let DeliveryChange::Expired(reason) = change.what {
                        seen.dead(&change.deliveries, reason.as_str());
                    }
                }
                Record::Expunged(expunged) => seen.dead(&expunged.waiting, "payload_expunged"),
                _ => {}
            }
        }
        Some((own, seen.events, seen.gone))
    }

    fn stage_event(&mut self, own: AppId, event: Event, builder: &mut FrameBuilder, frame: &mut Frame) {
        let (kind, count, body) = (event.kind.as_str(), event.times, event.body());
        let prepared = {
            let config = self.shared.config.read();
            config.app(own).and_then(|entry| {
                let candidates = entry.candidates(kind, &BTreeSet::new(), None)?;
                let pointers = Pointers::of(entry, candidates.endpoints());
                Some((entry.app.org, entry.version, candidates, pointers))
            })
        };
        let Some((org, config_version, candidates, pointers)) = prepared else { return };
        let (FanOut { endpoints, held_back }, orders) = {
            let payload = Payload::of_type(&body, None).with_steps(HURRIED_STEPS);
            let fan_out = candidates.judge(&payload);
            let orders = pointers.read(&payload, 0, &fan_out.endpoints);
            (fan_out, orders)
        };
        if let Some(reason) = self.no_room_for(own, endpoints.len() as u64) {
            return leave_out(reason, count);
        }
        let meta = record::Accepted {
            id: no_id(),
            app: own,
            config_version,
            event_type: kind.to_owned(),
            content_type: None,
            event_id: None,
            channels: vec![],
            tags: vec![],
            idempotency: None,
            order_key: 0,
            endpoints,
            orders,
            payload_until: None,
        };
        // Nobody waits for the answer.
        let (reply, _) = oneshot::channel();
        let ingest = Ingest {
            org,
            only: None,
            meta,
            asked: vec![],
            held_back,
            mismatch: None,
            event_key: None,
            body,
            payload_retention: None,
            reply,
            room: None,
            more: vec![],
        };
        self.stage_message(Box::new(ingest), builder, frame);
    }

    /// The cause is never refused for the sake of what tells of it.
    fn no_room_for(&self, own: AppId, deliveries: u64) -> Option<&'static str> {
        if self.shared.full.load(Ordering::Acquire) {
            return Some(DISK_FULL);
        }
        let pending = self.shared.state.lock().pending_of(own);
        (pending + deliveries > self.shared.options.pending_per_application).then_some("too_many_pending")
    }
}

impl Telling {
    /// Room for what may be told of an outcome.
    pub(in crate::committer) fn of_outcome(&mut self, state: &State, settlement: &Settlement) -> usize {
        let endpoint = settlement.outcome.key.endpoint;
        let failing = self
            .failing
            .entry(endpoint)
            .or_insert_with(|| state.lanes.get(&endpoint).is_some_and(|lane| lane.failing_since.is_some()));
        let may_tell = match settlement.next {
            Next::Delivered => *failing,
            // Without its payload it becomes a dead letter.
            Next::Retry { .. } if state.expunging.contains(settlement.outcome.key.message) => true,
            Next::Retry { .. } => settlement.outcome.attempt >= self.failing_after,
            Next::Dead { .. } | Next::AsBefore => true,
        };
        *failing |= !matches!(settlement.next, Next::Delivered);
        let events = usize::from(may_tell) + usize::from(settlement.disable.is_some());
        self.may_tell |= events > 0;
        events * self.event_bytes
    }

    /// The same of a request.
    pub(in crate::committer) fn of_request(&mut self, request: &Urgent) -> usize {
        let events = match request {
            Urgent::Command(..) => 2,
            Urgent::Deliveries(request) if matches!(request.what, DeliveryChange::Expired(_)) => {
                endpoints_of(&request.deliveries).len()
            }
            Urgent::Expunge(request) => endpoints_of(&request.deliveries).len(),
            _ => 0,
        };
        events * self.event_bytes
    }
}

/// Each endpoint with its first delivery and how many it has, in the order of the first.
fn endpoints_of(deliveries: &[DeliveryRef]) -> Vec<(DeliveryRef, u64)> {
    let mut places = HashMap::new();
    let mut found: Vec<(DeliveryRef, u64)> = vec![];
    for delivery in deliveries {
        let place = *places.entry(delivery.endpoint).or_insert(found.len());
        match found.get_mut(place) {
            Some((_, count)) => *count += 1,
            None => found.push((*delivery, 1)),
        }
    }
    found
}

/// What is seen of a frame.
struct Seen<'a> {
    setting: &'a OperationalEvents,
    own: AppId,
    config: &'a Config,
    state: &'a State,
    /// Since when endpoints have failed, as of the last outcome that was seen.
    failing: HashMap<EndpointId, Option<UnixMs>>,
    events: Vec<Event>,
    gone: Vec<EndpointId>,
}

impl Seen<'_> {
    fn config(&mut self, change: &ConfigChange) {
        match change {
            ConfigChange::Endpoint(after) if after.app != self.own => self.endpoint(after),
            ConfigChange::EndpointDeleted(id) => {
                self.gone.push(*id);
                let gone = self.config.endpoint(*id).filter(|endpoint| endpoint.app != self.own);
                self.events.extend(gone.map(|endpoint| Event::of(Kind::Deleted, self.config, endpoint)));
            }
            ConfigChange::ApplicationDeleted(id) => {
                let gone = self.config.app(*id).into_iter().flat_map(|entry| entry.endpoints());
                self.gone.extend(gone.map(|endpoint| endpoint.id));
                if *id == self.own {
                    self.warn();
                }
            }
            ConfigChange::Application(app) if app.id == self.own => {
                let name = &self.setting.application;
                if app.fields.uid.as_ref() != Some(name) && app.id.to_string() != *name {
                    self.warn();
                }
            }
            _ => {}
        }
    }

    fn warn(&self) {
        let application = self.setting.application.as_str();
        tracing::warn!(application, "the application for operational events is gone; none are sent");
    }

    fn endpoint(&mut self, after: &Endpoint) {
        let of = |kind| Event::of(kind, self.config, after);
        let Some(before) = self.config.endpoint(after.id) else {
            let created = of(Kind::Created);
            return self.events.push(created);
        };
        let mut events = vec![];
        match (&before.disabled, &after.disabled) {
            (None, Some(disabled)) => {
                let since = self.state.lanes.get(&after.id).and_then(|lane| lane.failing_since);
                let since = since.unwrap_or(disabled.since);
                events.push(of(Kind::Disabled).disabled(disabled).failing_since(since));
            }
            (Some(_), None) => events.push(of(Kind::Enabled)),
            _ => {}
        }
        if before.fields != after.fields || before.secrets != after.secrets {
            events.push(of(Kind::Updated));
        }
        self.events.extend(events);
    }

    fn outcome(&mut self, outcome: &Outcome) {
        let delivery = &outcome.delivery;
        if delivery.app == self.own {
            return;
        }
        let (Some(lane), Some(endpoint)) =
            (self.state.lanes.get(&delivery.endpoint), self.config.endpoint(delivery.endpoint))
        else {
            return;
        };
        let failing = self.failing.entry(delivery.endpoint).or_insert(lane.failing_since);
        match outcome.succeeded() {
            Some(true) => {
                if let Some(since) = failing.take() {
                    let recovered = Event::of(Kind::Recovered, self.config, endpoint);
                    self.events.push(recovered.failing_since(since).after(outcome));
                }
            }
            Some(false) => *failing = failing.or(Some(outcome.started)),
            None => {}
        }
        if outcome.stale {
            return;
        }
        let by_schedule = outcome.ended.trigger != Trigger::Resent;
        match outcome.next {
            Next::Dead { reason } => {
                let dead = Event::of(Kind::Exhausted, self.config, endpoint).dead(reason.as_str(), 1);
                self.events.push(dead.after(outcome));
            }
            Next::Retry { .. } if by_schedule && outcome.ended.step + 1 == self.setting.failing_after => {
                self.events.push(Event::of(Kind::Failing, self.config, endpoint).after(outcome));
            }
            _ => {}
        }
    }

    fn dead(&mut self, deliveries: &[DeliveryRef], reason: &'static str) {
        for (first, count) in endpoints_of(deliveries) {
            if let Some(endpoint) = self.config.endpoint(first.endpoint).filter(|found| found.app != self.own) {
                let dead = Event::of(Kind::Exhausted, self.config, endpoint).dead(reason, count);
                self.events.push(dead.about(&first));
            }
        }
    }
}

#[cfg(test)]
mod tests;
