//! Lists of deliveries that wait and of dead letters: over lanes, and in each
//! over sequences, from the first to the last or back.

use std::ops::{Bound, RangeBounds as _};

use postrider_model::delivery::{DeliveryKey, DeliveryState, Scheduled};
use postrider_model::endpoint::Hold;
use postrider_model::id::{EndpointId, RawId};
use postrider_model::position::Position;
use postrider_model::query::{Delivery, DeliveryFilter, Page, PageRequest, QueryError, delivery_page_key};

use super::pager::PAGE_ROWS;
use crate::lookup::query_error;
use crate::matching;
use crate::record::DeliveryRef;
use crate::shared::Shared;
use crate::state::LaneState;

/// Deliveries of a lane that are asked for at once, at least.
const BATCH: usize = 64;

/// Which deliveries of a lane are asked for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Walk {
    /// Those that come after this sequence in the order of the list.
    after: Option<Position>,
    descending: bool,
    /// At most so many.
    limit: usize,
}

/// A part of a lane, in the order of the list.
pub(super) struct Part {
    found: Vec<(DeliveryRef, DeliveryState)>,
    /// Why the lane was held at the moment of these states, if it was.
    hold: Option<Hold>,
    /// Rows that were looked at for it.
    rows: usize,
    /// Where to go on, unless this was the end of the lane.
    reached: Option<Position>,
}

impl Walk {
    /// The sequences that are asked for.
    fn range(&self) -> (Bound<Position>, Bound<Position>) {
        let after = self.after.map_or(Bound::Unbounded, Bound::Excluded);
        if self.descending { (Bound::Unbounded, after) } else { (after, Bound::Unbounded) }
    }

    /// The first so many of `all`, which are those of [`Walk::range`] in ascending order.
    pub(super) fn part(&self, all: impl DoubleEndedIterator<Item = (DeliveryRef, DeliveryState)>) -> Part {
        let limit = self.limit;
        let found: Vec<_> = if self.descending { all.rev().take(limit).collect() } else { all.take(limit).collect() };
        let last = found.last().map(|(delivery, _)| delivery.sequence);
        let reached = if found.len() < limit { None } else { last };
        Part { found, hold: None, rows: 0, reached }
    }

    /// Whether `sequence` lies after `place` in the order of the list.
    fn is_past(&self, sequence: Position, place: Position) -> bool {
        if self.descending { sequence < place } else { sequence > place }
    }
}

/// Gives the deliveries of an endpoint.
type Lister<'a> = dyn Fn(&Shared, EndpointId, &Walk) -> Result<Part, QueryError> + 'a;

impl Shared {
    /// A page over lanes, and in each over sequences.
    pub(super) fn deliveries(
        &self,
        filter: &DeliveryFilter,
        page: &PageRequest,
        list: &Lister<'_>,
    ) -> Result<Page<Delivery>, QueryError> {
        let PageRequest { limit, descending, .. } = *page;
        let mut last = page.after.as_deref().and_then(delivery_key);
        let mut items: Vec<Delivery> = Vec::new();
        let mut looked_at = 0;
        let mut lanes = matching::lanes(self, filter);
        if descending {
            lanes.reverse();
        }
        if let Some(last) = last {
            lanes.retain(|lane| *lane == last.endpoint || (*lane < last.endpoint) == descending);
        }
        for endpoint in lanes {
            let after = last.filter(|last| last.endpoint == endpoint).map(|last| last.message);
            let mut walk = Walk { after, descending, limit: limit.max(BATCH) };
            loop {
                let Part { found, hold, rows, reached } = list(self, endpoint, &walk)?;
                looked_at += rows;
                for (delivery, state) in found {
                    if items.len() >= limit || looked_at >= 2 * PAGE_ROWS {
                        return Ok(Page { items, next: last.as_ref().map(delivery_page_key), done: false });
                    }
                    looked_at += 1;
                    last = Some(delivery.key());
                    items.extend(self.delivery_if(filter, &delivery, (state, hold))?);
                }
                let Some(reached) = reached else { break };
                last = Some(DeliveryKey { endpoint, message: reached });
                walk.after = Some(reached);
                if looked_at >= PAGE_ROWS {
                    return Ok(Page { items, next: last.as_ref().map(delivery_page_key), done: false });
                }
            }
        }
        Ok(Page { items, next: last.as_ref().map(delivery_page_key), done: true })
    }

    pub(super) fn delivery_if(
        &self,
        filter: &DeliveryFilter,
        delivery: &DeliveryRef,
        (state, hold): (DeliveryState, Option<Hold>),
    ) -> Result<Option<Delivery>, QueryError> {
        if !matching::matches_but_type(filter, delivery, &state) {
            return Ok(None);
        }
        let found = match self.message_from(delivery.app, (delivery.sequence, delivery.position)) {
            Ok(found) => found,
            // It is listed all the same: nothing hides in silence.
            Err(QueryError::Damaged { .. }) => None,
            Err(error) => return Err(error),
        };
        let event_type = found.map_or_else(String::new, |found| found.meta.event_type);
        let wanted = filter.event_types.as_ref().is_none_or(|types| types.contains(&event_type));
        Ok(wanted.then(|| listed(delivery, &event_type, state, hold)))
    }

    /// The deliveries of a lane that wait. Those before the cursor are in the
    /// window; from it on, most are in the journal only.
    pub(super) fn pending_part(&self, endpoint: EndpointId, walk: &Walk) -> Result<Part, QueryError> {
        let Behind { read, rows, reached } = self.behind(endpoint, walk)?;
        let state = self.state.lock();
        let hold = self.hold(endpoint);
        let Some(lane) = state.lanes.get(&endpoint) else { return Ok(Part { rows, ..walk.part(std::iter::empty()) }) };
        // What has moved into the window since it was read is found there.
        let first = |delivery: &DeliveryRef| DeliveryState::Scheduled(Scheduled::first(delivery.accepted()));
        let behind = read.iter().filter(|delivery| lane.is_behind(delivery));
        let mut found: Vec<_> = behind.map(|delivery| (*delivery, first(delivery))).collect();
        let window = lane.window.range(walk.range()).filter_map(|(sequence, live)| {
            let pending = lane.state(sequence).filter(DeliveryState::is_pending)?;
            Some((live.delivery(lane.app, endpoint, sequence), pending))
        });
        // As many of the window as are asked for; what lies behind it is known up to `reached`.
        found.extend(walk.part(window).found);
        found.retain(|(delivery, _)| reached.is_none_or(|reached| !walk.is_past(delivery.sequence, reached)));
        found.sort_unstable_by_key(|(delivery, _)| delivery.sequence);
        let part = walk.part(found.into_iter());
        Ok(Part { hold, rows, reached: part.reached.or(reached), ..part })
    }

    /// What lies behind the window of a lane, by the index: at most [`PAGE_ROWS`]
    /// messages are looked at, and at most as many deliveries read as are asked for.
    fn behind(&self, endpoint: EndpointId, walk: &Walk) -> Result<Behind, QueryError> {
        let lane = self.state.lock().lanes.get(&endpoint).and_then(|lane| Some((lane.app, lane.backlog.cursor()?)));
        let mut behind = Behind { read: vec![], rows: 0, reached: None };
        let Some((app, cursor)) = lane else { return Ok(behind) };
        let before_cursor = Position::from_u64(cursor.as_u64().saturating_sub(1));
        let after = if walk.descending { walk.after } else { walk.after.max(Some(before_cursor)) };
        let mut error = None;
        let scanned = self.index.messages(app, after, walk.descending, PAGE_ROWS, &mut |row| {
            if row.sequence < cursor {
                return false;
            }
            behind.rows += 1;
            let is_behind = |lane: &LaneState| lane.would_be_behind(row.sequence);
            if row.endpoints.may_hold(endpoint) && self.state.lock().lanes.get(&endpoint).is_some_and(is_behind) {
                match self.message_at(row.sequence, row.position) {
                    Ok(Some(found)) if found.meta.endpoints.contains(&endpoint) => {
                        behind.read.push(found.delivery(endpoint));
                    }
                    // A lane does not reach what is damaged.
                    Ok(_) | Err(QueryError::Damaged { .. }) => {}
                    Err(failed) => error = Some(failed),
                }
            }
            let is_full = behind.rows >= PAGE_ROWS || behind.read.len() >= walk.limit;
            if is_full {
                behind.reached = Some(row.sequence);
            }
            !is_full && error.is_none()
        });
        scanned.map_err(query_error)?;
        error.map_or(Ok(behind), Err)
    }

    /// The deliveries of a lane that are in flight, of those that wait.
    pub(super) fn in_flight_part(&self, endpoint: EndpointId, walk: &Walk) -> Part {
        let state = self.state.lock();
        let Some(lane) = state.lanes.get(&endpoint) else { return walk.part(std::iter::empty()) };
        let range = walk.range();
        let mut flying: Vec<Position> = {
            let in_flight = self.in_flight.lock();
            let theirs = in_flight.keys().filter(|key| key.endpoint == endpoint && range.contains(&key.message));
            theirs.map(|key| key.message).collect()
        };
        flying.sort_unstable();
        let part = walk.part(flying.into_iter().filter_map(|sequence| {
            let pending = lane.state(sequence).filter(DeliveryState::is_pending)?;
            let live = lane.window.get(&sequence)?;
            Some((live.delivery(lane.app, endpoint, sequence), pending))
        }));
        Part { hold: self.hold(endpoint), ..part }
    }

    /// The dead letters of a lane.
    pub(super) fn dead_part(&self, endpoint: EndpointId, walk: &Walk) -> Part {
        let state = self.state.lock();
        let Some(lane) = state.lanes.get(&endpoint) else { return walk.part(std::iter::empty()) };
        let part = walk.part(lane.dead.range(walk.range()).map(|(sequence, dead)| {
            let state = lane.state(*sequence).unwrap_or_else(|| dead.state());
            (dead.delivery(lane.app, endpoint, *sequence), state)
        }));
        Part { hold: self.hold(endpoint), ..part }
    }

    /// Why an endpoint gets nothing, if so. It changes together with the state of its
    /// deliveries, as an outcome may disable it: to be asked under the state's lock.
    pub(super) fn hold(&self, endpoint: EndpointId) -> Option<Hold> {
        let config = self.config.read();
        config.hold(config.endpoint(endpoint)?).map(|(hold, _)| hold)
    }
}

/// A delivery as it is shown.
pub(super) fn listed(delivery: &DeliveryRef, event_type: &str, state: DeliveryState, hold: Option<Hold>) -> Delivery {
    Delivery {
        key: delivery.key(),
        app: delivery.app,
        message: delivery.message,
        event_type: event_type.to_owned(),
        accepted: delivery.accepted(),
        state,
        held: hold.filter(|_| state.waits_for().is_some()),
    }
}

/// What was read of the deliveries behind a window.
struct Behind {
    read: Vec<DeliveryRef>,
    rows: usize,
    /// Where to go on, unless that is all of them.
    reached: Option<Position>,
}

/// The delivery that a page key names.
fn delivery_key(bytes: &[u8]) -> Option<DeliveryKey> {
    let (endpoint, message) = bytes.split_first_chunk::<20>()?;
    let message = u64::from_be_bytes(message.try_into().ok()?);
    Some(DeliveryKey { endpoint: EndpointId(RawId::from_bytes(*endpoint)), message: Position::from_u64(message) })
}
