//! Which deliveries a filter means.

use std::collections::HashSet;
use std::ops::ControlFlow;

use postrider_model::delivery::DeliveryState;
use postrider_model::id::{AppId, EndpointId, OrgId};
use postrider_model::position::Position;
use postrider_model::query::{DeliveryFilter, QueryError};

use crate::lookup::scan;
use crate::record::{Accepted, DeliveryRef, Record};
use crate::shared::Shared;

/// Deliveries behind a window that are read at once.
const AT_ONCE: usize = 1_000;

/// The pending deliveries that match, in steps: so many are read at once, however
/// many there are.
pub(crate) struct Pending {
    filter: DeliveryFilter,
    lanes: Vec<EndpointId>,
    /// The lane of which those behind the window are being read, and where to go on.
    behind: Option<(EndpointId, Position)>,
    /// What comes later was not there when this began.
    end: Position,
    /// A part could not be read. The others are gone through all the same.
    failed: Option<QueryError>,
}

impl Pending {
    pub(crate) fn new(shared: &Shared, filter: DeliveryFilter) -> Self {
        let lanes = lanes(shared, &filter);
        Self { filter, lanes, behind: None, end: shared.state.lock().applied, failed: None }
    }

    /// Some more of them; `None` if that was all. Blocks: it reads the journal for
    /// those behind a window, and for a filter of event types.
    ///
    /// # Errors
    /// That was all, but for what could not be read.
    pub(crate) fn next(&mut self, shared: &Shared) -> Result<Option<Vec<DeliveryRef>>, QueryError> {
        let (endpoint, from) = match self.behind.take() {
            Some(begun) => begun,
            None => {
                let Some(endpoint) = self.lanes.pop() else { return self.failed.take().map_or(Ok(None), Err) };
                let cursor = shared.state.lock().lanes.get(&endpoint).and_then(|lane| lane.backlog.cursor());
                (endpoint, cursor.unwrap_or(self.end))
            }
        };
        if from >= self.end {
            // What has moved into the window meanwhile is found here.
            return Ok(Some(self.window(shared, endpoint)));
        }
        let mut read = Vec::new();
        let next = read_on(shared, endpoint, (from, self.end), AT_ONCE, &mut |meta, delivery| {
            if one_of(&self.filter, &meta.event_type) {
                read.push(delivery);
            }
        });
        // Where reading fails, the rest of the lane cannot be read either.
        self.behind = Some((endpoint, if next > from { next } else { self.end }));
        if next <= from {
            let detail = || QueryError::Failed(format!("what waits for {endpoint} cannot be read on at {from}"));
            self.failed.get_or_insert_with(detail);
        }
        let state = shared.state.lock();
        read.retain(|delivery| match state.delivery(delivery) {
            Some(now @ DeliveryState::Scheduled(_)) => matches_but_type(&self.filter, delivery, &now),
            _ => false,
        });
        Ok(Some(read))
    }

    /// Those in the window of a lane.
    fn window(&self, shared: &Shared, endpoint: EndpointId) -> Vec<DeliveryRef> {
        let mut found: Vec<DeliveryRef> = {
            let state = shared.state.lock();
            let Some(lane) = state.lanes.get(&endpoint) else { return vec![] };
            let pending = lane.pending_window().filter_map(|(sequence, live)| {
                let delivery = live.delivery(lane.app, endpoint, sequence);
                matches_but_type(&self.filter, &delivery, &lane.state(sequence)?).then_some(delivery)
            });
            pending.collect()
        };
        found.retain(|delivery| delivery.sequence < self.end && type_matches(shared, &self.filter, delivery));
        found
    }
}

/// The endpoints that a filter names.
pub(crate) fn lanes(shared: &Shared, filter: &DeliveryFilter) -> Vec<EndpointId> {
    let apps = filter.org.map(|org| apps_of(shared, org));
    let state = shared.state.lock();
    let mut lanes: Vec<_> = match filter.endpoint {
        Some(endpoint) => state.lanes.get_key_value(&endpoint).into_iter().collect(),
        None => state.lanes.iter().collect(),
    };
    lanes.retain(|(_, lane)| filter.app.is_none_or(|app| app == lane.app));
    lanes.retain(|(_, lane)| apps.as_ref().is_none_or(|apps| apps.contains(&lane.app)));
    let mut endpoints: Vec<_> = lanes.into_iter().map(|(endpoint, _)| *endpoint).collect();
    endpoints.sort_unstable();
    endpoints
}

/// The applications of a tenant.
fn apps_of(shared: &Shared, org: OrgId) -> HashSet<AppId> {
    let config = shared.config.read();
    config.apps().filter(|entry| entry.app.org == org).map(|entry| entry.app.id).collect()
}

/// Whether a delivery is meant.
pub(crate) fn matches(shared: &Shared, filter: &DeliveryFilter, delivery: &DeliveryRef, state: &DeliveryState) -> bool {
    matches_but_type(filter, delivery, state) && type_matches(shared, filter, delivery)
}

/// The same, whatever its event type.
pub(crate) fn matches_but_type(filter: &DeliveryFilter, delivery: &DeliveryRef, state: &DeliveryState) -> bool {
    let (at, due) = match state.without_resend() {
        DeliveryState::Dead { at, .. } => (at, None),
        _ => (delivery.accepted(), state.waits_for().map(|scheduled| scheduled.due)),
    };
    filter.message.is_none_or(|message| message == delivery.message)
        && filter.after.is_none_or(|after| at > after)
        && filter.before.is_none_or(|before| at < before)
        && filter.due_after.is_none_or(|after| due.is_some_and(|due| due > after))
        && filter.due_before.is_none_or(|before| due.is_some_and(|due| due < before))
}

fn type_matches(shared: &Shared, filter: &DeliveryFilter, delivery: &DeliveryRef) -> bool {
    if filter.event_types.is_none() {
        return true;
    }
    let found = shared.message_from(delivery.app, (delivery.sequence, delivery.position));
    matches!(found, Ok(Some(found)) if one_of(filter, &found.meta.event_type))
}

fn one_of(filter: &DeliveryFilter, event_type: &String) -> bool {
    filter.event_types.as_ref().is_none_or(|types| types.contains(event_type))
}

/// Reads a lane's deliveries from the journal between two positions, at most
/// `limit`. Gives where reading would go on.
pub(crate) fn read_on(
    shared: &Shared,
    endpoint: EndpointId,
    (from, end): (Position, Position),
    limit: usize,
    take: &mut dyn FnMut(&Accepted, DeliveryRef),
) -> Position {
    let mut left = limit;
    // What is not applied yet is not synced either.
    let end = end.min(shared.state.lock().applied);
    let (next, unreadable) = scan(&shared.reader, from, end, &mut |position, record| {
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
    // Where damage spans the end, what is whole after it is read by who asks for that.
    next.min(end)
}

#[cfg(test)]
mod tests {
    use postrider_model::delivery::{DeadReason, DeliveryEvent, Scheduled, transition};
    use postrider_model::id::{MessageId, RawId};
    use postrider_model::time::UnixMs;

    use super::*;
    use crate::record::tests::delivery;

    #[test]
    fn times_are_bounds_that_do_not_count_themselves() {
        let accepted = UnixMs(50);
        let delivery = DeliveryRef {
            app: AppId(RawId::from_bytes([1; 20])),
            endpoint: EndpointId(RawId::from_bytes([2; 20])),
            message: MessageId(RawId::new(accepted, 7, [0; 6])),
            sequence: Position::ZERO,
            position: Position::ZERO,
            order_key: 0,
            added: false,
        };
        let waits = DeliveryState::Scheduled(Scheduled { due: UnixMs(70), ..Scheduled::first(accepted) });
        let is_meant = |filter| matches_but_type(&filter, &delivery, &waits);
        for (ms, after, before) in [(49, true, false), (50, false, false), (51, false, true)] {
            assert_eq!(
                is_meant(DeliveryFilter { after: Some(UnixMs(ms)), ..DeliveryFilter::default() }),
                after,
                "{ms}"
            );
            assert_eq!(
                is_meant(DeliveryFilter { before: Some(UnixMs(ms)), ..DeliveryFilter::default() }),
                before,
                "{ms}"
            );
        }
        for (ms, after, before) in [(69, true, false), (70, false, false), (71, false, true)] {
            let (due_after, due_before) = (Some(UnixMs(ms)), Some(UnixMs(ms)));
            assert_eq!(is_meant(DeliveryFilter { due_after, ..DeliveryFilter::default() }), after, "{ms}");
            assert_eq!(is_meant(DeliveryFilter { due_before, ..DeliveryFilter::default() }), before, "{ms}");
        }
    }

    #[test]
    fn a_dead_letter_goes_by_the_time_of_its_death_and_is_never_due() {
        let delivery = DeliveryRef { message: MessageId(RawId::new(UnixMs(50), 7, [0; 6])), ..delivery() };
        let dead = DeliveryState::Dead { at: UnixMs(90), reason: DeadReason::Refused, attempt: 1 };
        let resent = transition(&dead, &DeliveryEvent::Resent { at: UnixMs(95) }).expect("it has its payload");
        let any = DeliveryFilter::default;
        for (filter, is_meant) in [
            (any(), true),
            (DeliveryFilter { after: Some(UnixMs(89)), ..any() }, true),
            (DeliveryFilter { after: Some(UnixMs(90)), ..any() }, false),
            (DeliveryFilter { before: Some(UnixMs(91)), ..any() }, true),
            (DeliveryFilter { before: Some(UnixMs(90)), ..any() }, false),
            (DeliveryFilter { due_after: Some(UnixMs(0)), ..any() }, false),
            (DeliveryFilter { due_before: Some(UnixMs(u64::MAX)), ..any() }, false),
            (DeliveryFilter { message: Some(delivery.message), ..any() }, true),
            (DeliveryFilter { message: Some(MessageId(RawId::from_bytes([9; 20]))), ..any() }, false),
        ] {
            assert_eq!(matches_but_type(&filter, &delivery, &dead), is_meant, "{filter:?}");
            assert_eq!(matches_but_type(&filter, &delivery, &resent), is_meant, "{filter:?}");
        }
    }
}
