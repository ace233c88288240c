//! Which deliveries a filter means.

use std::ops::ControlFlow;

use postrider_model::delivery::DeliveryState;
use postrider_model::id::EndpointId;
use postrider_model::ports::{DeliveryFilter, QueryError};
use postrider_model::position::Position;
use postrider_model::time::UnixMs;

use crate::lookup::scan;
use crate::record::{Accepted, DeliveryRef, Record};
use crate::shared::Shared;

/// The pending deliveries that match at this moment. Blocks: it reads the
/// journal for those behind a window, and for a filter of event types.
pub(crate) fn pending(shared: &Shared, filter: &DeliveryFilter) -> Result<Vec<DeliveryRef>, QueryError> {
    let mut found = Vec::new();
    for endpoint in lanes(shared, filter) {
        // What moves into the window meanwhile is found there.
        found.extend(behind(shared, endpoint, filter));
        let window: Vec<_> = {
            let state = shared.state.lock();
            let lane = state.lanes.get(&endpoint);
            let pending = lane.into_iter().flat_map(|lane| lane.pending_window().map(|live| (lane.app, live)));
            pending.map(|(app, (sequence, live))| live.delivery(app, endpoint, *sequence)).collect()
        };
        found.extend(window.into_iter().filter(|delivery| matches(shared, filter, delivery, delivery.accepted())));
    }
    found.sort_unstable_by_key(DeliveryRef::key);
    found.dedup_by_key(|delivery| delivery.key());
    Ok(found)
}

/// The endpoints that a filter names.
pub(crate) fn lanes(shared: &Shared, filter: &DeliveryFilter) -> Vec<EndpointId> {
    let state = shared.state.lock();
    let mut lanes: Vec<_> = match filter.endpoint {
        Some(endpoint) => state.lanes.get_key_value(&endpoint).into_iter().collect(),
        None => state.lanes.iter().collect(),
    };
    lanes.retain(|(_, lane)| filter.app.is_none_or(|app| app == lane.app));
    let mut endpoints: Vec<_> = lanes.into_iter().map(|(endpoint, _)| *endpoint).collect();
    endpoints.sort_unstable();
    endpoints
}

/// Whether a delivery is meant. `at` is the time that the filter looks at.
pub(crate) fn matches(shared: &Shared, filter: &DeliveryFilter, delivery: &DeliveryRef, at: UnixMs) -> bool {
    let rough = filter.message.is_none_or(|message| message == delivery.message)
        && filter.after.is_none_or(|after| at > after)
        && filter.before.is_none_or(|before| at < before);
    if !rough {
        return false;
    }
    let Some(types) = &filter.event_types else { return true };
    match shared.message_at(delivery.sequence, delivery.position) {
        Ok(Some(found)) => types.contains(&found.meta.event_type),
        _ => false,
    }
}

/// The matching deliveries of a lane that lie behind its window.
fn behind(shared: &Shared, endpoint: EndpointId, filter: &DeliveryFilter) -> Vec<DeliveryRef> {
    let cursor = shared.state.lock().lanes.get(&endpoint).and_then(|lane| lane.cursor);
    let Some(cursor) = cursor else { return vec![] };
    let mut read = Vec::new();
    read_on(shared, endpoint, cursor, usize::MAX, &mut |meta, delivery| {
        let at = delivery.accepted();
        let wanted = filter.event_types.as_ref().is_none_or(|types| types.contains(&meta.event_type))
            && filter.message.is_none_or(|message| message == delivery.message)
            && filter.after.is_none_or(|after| at > after)
            && filter.before.is_none_or(|before| at < before);
        if wanted {
            read.push(delivery);
        }
    });
    let state = shared.state.lock();
    read.retain(|delivery| matches!(state.delivery(delivery), Some(DeliveryState::Scheduled(_))));
    read
}

/// Reads a lane's deliveries from the journal, from `cursor` on, at most
/// `limit`. Gives where reading would go on.
pub(crate) fn read_on(
    shared: &Shared,
    endpoint: EndpointId,
    cursor: Position,
    limit: usize,
    take: &mut dyn FnMut(&Accepted, DeliveryRef),
) -> Position {
    let mut left = limit;
    // What is not applied yet is not synced either.
    let end = shared.state.lock().applied;
    let (next, unreadable) = scan(&shared.reader, cursor, end, &mut |position, record| {
        if let Record::Accepted(meta, _) = record
            && meta.endpoints.contains(&endpoint)
        {
            take(&meta, meta.named_delivery(endpoint, position, position));
            left -= 1;
        }
        if left == 0 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    for part in unreadable {
        tracing::error!(%endpoint, detail = part.detail, "a lane cannot read a part of the journal");
    }
    next
}
