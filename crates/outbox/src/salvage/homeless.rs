//! Messages of applications of which the configuration is gone: nobody gets them from the new store.

use std::collections::{BTreeMap, BTreeSet};

use postrider_model::config::Config;
use postrider_model::delivery::Next;
use postrider_model::id::{AppId, EndpointId};
use postrider_model::position::Position;

use super::found::{LostDelivery, LostMessage, WhatIsKnown};
use crate::record::{Accepted, Record};

/// Those that not every endpoint has confirmed; others are history.
#[derive(Default)]
pub(super) struct Homeless {
    /// Applications that are known beforehand. `None`: all configuration is there.
    known: Option<BTreeSet<AppId>>,
    messages: BTreeMap<Position, LostMessage>,
}

impl Homeless {
    /// Some configuration may be gone.
    pub(super) fn look_for(&mut self, known: &Config) {
        self.known = Some(known.apps().map(|entry| entry.app.id).collect());
    }

    pub(super) fn see(&mut self, at: Position, record: &Record) {
        match record {
            Record::Accepted(meta, _) => self.add(at, meta, &meta.endpoints),
            Record::Carried(carried, _) => {
                let endpoints: Vec<EndpointId> = carried.states.iter().map(|(endpoint, _)| *endpoint).collect();
                self.add(carried.sequence, &carried.message, &endpoints);
            }
            Record::Outcome(outcome, _) if !outcome.stale => {
                let Some(lost) = self.messages.get_mut(&outcome.delivery.sequence) else { return };
                let known = match outcome.next {
                    Next::Delivered => None,
                    Next::Dead { .. } => Some(WhatIsKnown::Ended),
                    _ => Some(WhatIsKnown::Open),
                };
                match known.map(|known| LostDelivery { known, is_dead_letter: false }) {
                    Some(delivery) => drop(lost.deliveries.insert(outcome.delivery.endpoint, delivery)),
                    None => drop(lost.deliveries.remove(&outcome.delivery.endpoint)),
                }
                if lost.deliveries.is_empty() {
                    self.messages.remove(&outcome.delivery.sequence);
                }
            }
            _ => {}
        }
    }

    fn add(&mut self, sequence: Position, meta: &Accepted, endpoints: &[EndpointId]) {
        if endpoints.is_empty() || self.known.as_ref().is_none_or(|known| known.contains(&meta.app)) {
            return;
        }
        let named = LostDelivery { known: WhatIsKnown::Named, is_dead_letter: false };
        self.messages.entry(sequence).or_insert_with(|| LostMessage {
            id: meta.id,
            app: meta.app,
            sequence,
            event_type: Some(meta.event_type.clone()),
            deliveries: endpoints.iter().map(|endpoint| (*endpoint, named)).collect(),
        });
    }

    /// Those whose application is nowhere, and was not deleted either.
    pub(super) fn into_lost(self, config: &Config, gone: &BTreeSet<AppId>) -> impl Iterator<Item = LostMessage> {
        self.messages.into_values().filter(|lost| config.app(lost.app).is_none() && !gone.contains(&lost.app))
    }
}
