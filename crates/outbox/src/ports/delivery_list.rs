//! Lists of deliveries that wait and of dead letters: over lanes, and in each
//! over sequences, oldest first.

use std::ops::Bound;

use postrider_model::delivery::{DeliveryKey, DeliveryState, Scheduled};
use postrider_model::id::{EndpointId, RawId};
use postrider_model::ports::{Delivery, DeliveryFilter, Page, PageKey, PageRequest, QueryError};
use postrider_model::position::Position;

use super::pager::PAGE_ROWS;
use crate::matching::{self, read_on};
use crate::record::DeliveryRef;
use crate::shared::Shared;

/// Gives the deliveries of an endpoint after a sequence, at most so many.
type Lister<'a> = dyn Fn(&Shared, EndpointId, Bound<Position>, usize) -> Vec<(DeliveryRef, DeliveryState)> + 'a;

impl Shared {
    pub(super) fn listed(&self, delivery: &DeliveryRef, event_type: &str, state: DeliveryState) -> Delivery {
        let config = self.config.read();
        let waits = state.waits_for().is_some();
        let endpoint = config.endpoint(delivery.endpoint).filter(|_| waits);
        Delivery {
            key: delivery.key(),
            app: delivery.app,
            message: delivery.message,
            event_type: event_type.to_owned(),
            accepted: delivery.accepted(),
            state,
            held: endpoint.and_then(|endpoint| config.hold(endpoint)).map(|(hold, _)| hold),
        }
    }

    /// A page over lanes, and in each over sequences. Oldest first.
    pub(super) fn deliveries(
        &self,
        filter: &DeliveryFilter,
        page: &PageRequest,
        list: &Lister<'_>,
    ) -> Result<Page<Delivery>, QueryError> {
        let after = page.after.as_deref().and_then(delivery_key);
        let mut items: Vec<Delivery> = Vec::new();
        let mut looked_at = 0;
        let mut last = after;
        for endpoint in matching::lanes(self, filter) {
            if after.is_some_and(|after| endpoint < after.endpoint) {
                continue;
            }
            let start = after.filter(|after| after.endpoint == endpoint);
            let mut start = start.map_or(Bound::Unbounded, |after| Bound::Excluded(after.message));
            loop {
                let batch = list(self, endpoint, start, page.limit.max(64));
                let Some((newest, _)) = batch.last() else { break };
                start = Bound::Excluded(newest.sequence);
                for (delivery, state) in batch {
                    if items.len() >= page.limit || looked_at >= PAGE_ROWS {
                        return Ok(Page { items, next: last.map(|key| page_key(&key)), done: false });
                    }
                    looked_at += 1;
                    last = Some(delivery.key());
                    items.extend(self.delivery_if(filter, &delivery, state)?);
                }
            }
        }
        Ok(Page { items, next: last.map(|key| page_key(&key)), done: true })
    }

    pub(super) fn delivery_if(
        &self,
        filter: &DeliveryFilter,
        delivery: &DeliveryRef,
        state: DeliveryState,
    ) -> Result<Option<Delivery>, QueryError> {
        let at = if let DeliveryState::Dead { at, .. } = state.without_resend() { at } else { delivery.accepted() };
        let rough = DeliveryFilter { event_types: None, ..filter.clone() };
        if !matching::matches(self, &rough, delivery, at) {
            return Ok(None);
        }
        let found = match self.message_at(delivery.sequence, delivery.position) {
            Ok(found) => found,
            // It is listed all the same: nothing hides in silence.
            Err(QueryError::Damaged { .. }) => None,
            Err(error) => return Err(error),
        };
        let event_type = found.map_or_else(String::new, |found| found.meta.event_type);
        let wanted = filter.event_types.as_ref().is_none_or(|types| types.contains(&event_type));
        Ok(wanted.then(|| self.listed(delivery, &event_type, state)))
    }

    /// The deliveries of a lane that wait, by sequence: those before the cursor
    /// are in the window; after it, most are in the journal only.
    pub(super) fn pending_after(
        &self,
        endpoint: EndpointId,
        after: Bound<Position>,
        limit: usize,
    ) -> Vec<(DeliveryRef, DeliveryState)> {
        let cursor = self.state.lock().lanes.get(&endpoint).and_then(|lane| lane.cursor);
        let end = cursor.map_or(Bound::Unbounded, Bound::Excluded);
        let in_order = !matches!((after, end), (Bound::Excluded(after), Bound::Excluded(end)) if after >= end);
        let mut found = if in_order { self.in_window(endpoint, after, end, limit) } else { vec![] };
        if let Some(cursor) = cursor
            && found.len() < limit
        {
            found.extend(self.behind_after(endpoint, after, cursor, limit));
            found.truncate(limit);
        }
        found
    }

    fn in_window(
        &self,
        endpoint: EndpointId,
        after: Bound<Position>,
        end: Bound<Position>,
        limit: usize,
    ) -> Vec<(DeliveryRef, DeliveryState)> {
        let state = self.state.lock();
        let Some(lane) = state.lanes.get(&endpoint) else { return vec![] };
        let listed = |(sequence, live): (&Position, &crate::state::Live)| {
            let pending = lane.state(*sequence).filter(DeliveryState::is_pending);
            Some((live.delivery(lane.app, endpoint, *sequence), pending?))
        };
        lane.window.range((after, end)).filter_map(listed).take(limit).collect()
    }

    /// What lies behind the cursor of a lane: read from the journal, merged with
    /// what is in the window all the same.
    fn behind_after(
        &self,
        endpoint: EndpointId,
        after: Bound<Position>,
        cursor: Position,
        limit: usize,
    ) -> Vec<(DeliveryRef, DeliveryState)> {
        let after = match after {
            Bound::Excluded(after) if after >= cursor => Bound::Excluded(after),
            _ => Bound::Included(cursor),
        };
        let from = if let Bound::Excluded(after) = after { after } else { cursor };
        let mut read = Vec::new();
        let next = read_on(self, endpoint, from, limit + 1, &mut |_, delivery| read.push(delivery));
        let first = |delivery: &DeliveryRef| DeliveryState::Scheduled(Scheduled::first(delivery.accepted()));
        let mut found: Vec<_> = {
            let state = self.state.lock();
            let lane = state.lanes.get(&endpoint);
            let behind = read.iter().filter(|delivery| lane.is_some_and(|lane| lane.is_behind(delivery)));
            let behind = behind.filter(|delivery| Bound::Excluded(delivery.sequence) != after);
            behind.map(|delivery| (*delivery, first(delivery))).collect()
        };
        let end = if read.len() > limit { Bound::Excluded(next) } else { Bound::Unbounded };
        found.extend(self.in_window(endpoint, after, end, limit));
        found.sort_unstable_by_key(|(delivery, _)| delivery.sequence);
        found
    }
}

/// A delivery's key as a page key: the endpoint's id and the message's sequence.
fn page_key(key: &DeliveryKey) -> PageKey {
    let mut bytes = key.endpoint.as_bytes().to_vec();
    bytes.extend_from_slice(&key.message.as_u64().to_be_bytes());
    bytes
}

fn delivery_key(bytes: &[u8]) -> Option<DeliveryKey> {
    let (endpoint, message) = bytes.split_first_chunk::<20>()?;
    let message = u64::from_be_bytes(message.try_into().ok()?);
    Some(DeliveryKey { endpoint: EndpointId(RawId::from_bytes(*endpoint)), message: Position::from_u64(message) })
}
