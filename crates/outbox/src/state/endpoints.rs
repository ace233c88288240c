//! Changes of the configuration, and what the scheduler is told of endpoints.

use std::sync::Arc;

use postrider_model::config::{Config, ConfigChange};
use postrider_model::delivery::DeliveryKey;
use postrider_model::endpoint::Endpoint;
use postrider_model::id::EndpointId;
use postrider_model::lane::{Lane, LaneEvent};
use postrider_model::order::{AfterDead, OrderRule};

use super::{LaneState, State};

impl State {
    pub(super) fn apply_config(&mut self, config: &mut Config, change: &ConfigChange, events: &mut Vec<LaneEvent>) {
        match change {
            ConfigChange::Endpoint(endpoint) => return self.apply_endpoint(config, change, endpoint, events),
            ConfigChange::EndpointDeleted(id) => self.drop_lane(*id, events),
            ConfigChange::ApplicationDeleted(id) => {
                let gone: Vec<_> = config.app(*id).into_iter().flat_map(|entry| entry.endpoints()).collect();
                for endpoint in gone {
                    self.drop_lane(endpoint.id, events);
                }
                self.pending.remove(id);
            }
            _ => {}
        }
        config.apply(change);
        match change {
            ConfigChange::Application(app) => {
                let endpoints = config.app(app.id).into_iter().flat_map(|entry| entry.endpoints());
                events.extend(endpoints.map(|endpoint| self.lane_event(config, endpoint)));
            }
            ConfigChange::DispatchPaused(_) | ConfigChange::Restored(_) => {
                let goes_on = config.dispatch_paused().is_none();
                for endpoint in config.apps().flat_map(|entry| entry.endpoints()) {
                    if goes_on {
                        self.begin_anew(endpoint.id);
                    }
                    events.push(self.lane_event(config, endpoint));
                }
            }
            _ => {}
        }
    }

    fn apply_endpoint(
        &mut self,
        config: &mut Config,
        change: &ConfigChange,
        endpoint: &Endpoint,
        events: &mut Vec<LaneEvent>,
    ) {
        self.see_time(endpoint.updated);
        self.lanes.entry(endpoint.id).or_insert_with(|| LaneState::new(endpoint.app));
        let before = config.endpoint(endpoint.id);
        let was_held = before.is_some_and(|before| config.hold(before).is_some());
        let same_order = before.is_some_and(|before| self.order_of(before) == self.order_of(endpoint));
        config.apply(change);
        if was_held && config.hold(endpoint).is_none() {
            self.begin_anew(endpoint.id);
        }
        events.push(self.lane_event(config, endpoint));
        if !same_order {
            self.tell_dead(endpoint, events);
        }
    }

    /// While it was held nothing was tried, so nothing has failed.
    fn begin_anew(&mut self, endpoint: EndpointId) {
        if let Some(lane) = self.lanes.get_mut(&endpoint) {
            lane.open();
        }
    }

    /// In which order an endpoint gets its messages: as its owner says, else as
    /// the server's setting does.
    pub(crate) fn order_of<'a>(&'a self, endpoint: &'a Endpoint) -> &'a OrderRule {
        endpoint.fields.policy.order.as_ref().unwrap_or(&self.default_order)
    }

    /// Tells of an endpoint's dead letters, if others wait behind them.
    pub(super) fn tell_dead(&self, endpoint: &Endpoint, events: &mut Vec<LaneEvent>) {
        let holds = self.order_of(endpoint).after_dead == AfterDead::Hold;
        let Some(lane) = self.lanes.get(&endpoint.id).filter(|_| holds) else { return };
        // What is resent meanwhile waits itself.
        let dead = lane.dead.iter().filter(|(sequence, _)| !lane.window.contains_key(sequence));
        events.extend(dead.map(|(sequence, dead)| LaneEvent::Died {
            key: DeliveryKey { endpoint: endpoint.id, message: *sequence },
            order_key: dead.order_key,
        }));
    }

    pub(super) fn lane_event(&self, config: &Config, endpoint: &Endpoint) -> LaneEvent {
        let app_throttle = config.app(endpoint.app).and_then(|entry| entry.app.fields.throttle_per_second);
        LaneEvent::Endpoint(Lane {
            endpoint: endpoint.id,
            app: endpoint.app,
            hold: config.hold(endpoint).map(|(hold, _)| hold),
            policy: endpoint.own_policy().map(Arc::new),
            failing_since: self.lanes.get(&endpoint.id).and_then(|lane| lane.failing_since),
            app_throttle_per_second: app_throttle,
        })
    }

    fn drop_lane(&mut self, endpoint: EndpointId, events: &mut Vec<LaneEvent>) {
        let Some(lane) = self.lanes.remove(&endpoint) else { return };
        if let Some(pending) = self.pending.get_mut(&lane.app) {
            *pending = pending.saturating_sub(lane.pending());
        }
        events.push(LaneEvent::EndpointGone(endpoint));
    }
}
