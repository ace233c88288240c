//! Lists of messages: those of an application, and of these the ones that went
//! to one of its endpoints.

use std::cell::Cell;

use postrider_model::delivery::{DeliveryKey, DeliveryState, Scheduled};
use postrider_model::fan_out::{Verdict, WILDCARD};
use postrider_model::id::{AppId, EndpointId, RawId};
use postrider_model::message::Message;
use postrider_model::payload::Payload;
use postrider_model::position::Position;
use postrider_model::query::{EndpointMessage, MessageFilter, Page, PageRequest, QueryError};
use postrider_model::status::MessageStatus;
use postrider_model::time::UnixMs;

use super::pager::{PAGE_ROWS, Pager};
use super::query::message;
use crate::index::MessageRow;
use crate::keys;
use crate::lookup::{Found, query_error};
use crate::record::DeliveryRef;
use crate::shared::Shared;

/// What it costs to find out how a delivery has ended, in rows of a page.
const ENDED_ROWS: usize = 10;
/// Steps of a filter on payloads that cost as much as looking at a row: some 10 µs.
const ROW_STEPS: u64 = 512;

/// What memory knows of a message and an endpoint.
struct Stands {
    /// The state and whether it is in flight, if the message went there and the
    /// delivery is live or a dead letter.
    known: Option<(DeliveryState, bool)>,
    /// A replay may have added it.
    may_be_added: bool,
}

/// A filter, ready to be compared with rows and with records.
pub(crate) struct Wanted<'a> {
    filter: &'a MessageFilter,
    /// The event type is in each of these lists.
    types: Vec<Vec<u64>>,
    descending: bool,
    /// Steps that the endpoint's filter has taken.
    steps: Cell<u64>,
}

impl<'a> Wanted<'a> {
    pub(crate) fn new(filter: &'a MessageFilter, descending: bool) -> Self {
        let asked = filter.event_types.as_ref().map(|types| types.iter().map(|name| keys::event_type(name)).collect());
        let own = filter.wanted_by.as_ref().and_then(|endpoint| endpoint.fields.event_types.as_ref());
        // Rows know a type by its hash, which says nothing of what it begins with.
        let own = own.filter(|types| !types.iter().any(|name| name.ends_with(WILDCARD)));
        let own = own.map(|types| types.iter().map(|name| keys::event_type(name)).collect());
        Self { filter, types: [asked, own].into_iter().flatten().collect(), descending, steps: Cell::default() }
    }

    /// Whether the row's message may be meant; the record tells for sure.
    pub(crate) fn row(&self, row: &MessageRow) -> bool {
        let MessageFilter { before, after, unmatched, .. } = self.filter;
        before.is_none_or(|before| row.accepted < before)
            && after.is_none_or(|after| row.accepted > after)
            && self.types.iter().all(|types| types.contains(&row.event_type))
            && (!*unmatched || row.endpoints.is_empty())
    }

    /// Whether no row after this one can match: rows go by time.
    pub(crate) fn past(&self, row: &MessageRow) -> bool {
        if self.descending {
            self.filter.after.is_some_and(|after| row.accepted <= after)
        } else {
            self.filter.before.is_some_and(|before| row.accepted >= before)
        }
    }

    pub(crate) fn record(&self, found: &Found) -> bool {
        let MessageFilter { event_types, channel, tag, wanted_by, .. } = self.filter;
        let meta = &found.meta;
        event_types.as_ref().is_none_or(|types| types.contains(&meta.event_type))
            && channel.as_ref().is_none_or(|channel| meta.channels.contains(channel))
            && tag.as_ref().is_none_or(|tag| meta.tags.contains(tag))
            && wanted_by.as_ref().is_none_or(|endpoint| {
                let channels = meta.channels.iter().cloned().collect();
                // Nobody can tell any more whether a payload that is gone would pass a filter.
                let payload = match &found.body {
                    Some(body) => Payload::of_type(body, meta.content_type.as_deref()),
                    None => Payload::default(),
                };
                let verdict = endpoint.fields.judge(&meta.event_type, &channels, &payload);
                self.steps.set(self.steps.get() + payload.taken());
                verdict == Verdict::Wanted
            })
    }

    /// The steps that the endpoint's filter has taken since this was asked last.
    pub(crate) fn take_steps(&self) -> u64 {
        self.steps.take()
    }

    /// The same as rows of a page.
    fn take_rows(&self) -> usize {
        usize::try_from(self.take_steps() / ROW_STEPS).unwrap_or(usize::MAX)
    }
}

impl Shared {
    pub(super) fn messages(
        &self,
        app: AppId,
        filter: &MessageFilter,
        page: &PageRequest,
    ) -> Result<Page<Message>, QueryError> {
        let wanted = Wanted::new(filter, page.descending);
        let mut pager = Pager::new(page.limit);
        let after = self.beginning(app, filter, page)?;
        let scanned = self.index.messages(app, after, page.descending, PAGE_ROWS, &mut |row| {
            if !wanted.row(row) {
                return pager.look(row, wanted.past(row));
            }
            let found = self.message_from(app, (row.sequence, row.position));
            let found = found.map(|found| found.filter(|found| wanted.record(found)));
            pager.spend(wanted.take_rows());
            match found {
                Ok(Some(found)) => {
                    let key = found.meta.id.as_bytes().to_vec();
                    pager.take(message(found), key)
                }
                Ok(None) => pager.look(row, false),
                Err(QueryError::Damaged { detail }) => pager.damaged(row, &detail),
                Err(error) => pager.fail(error),
            }
        });
        scanned.map_err(query_error)?;
        pager.finish(|row: MessageRow| self.key_at(row.accepted, row.sequence))
    }

    pub(super) fn messages_of_endpoint(
        &self,
        app: AppId,
        endpoint: EndpointId,
        filter: &MessageFilter,
        statuses: Option<&[MessageStatus]>,
        page: &PageRequest,
    ) -> Result<Page<EndpointMessage>, QueryError> {
        let wanted = Wanted::new(filter, page.descending);
        let is_wanted = |status: MessageStatus| statuses.is_none_or(|statuses| statuses.contains(&status));
        let mut pager = Pager::new(page.limit);
        let after = self.beginning(app, filter, page)?;
        let scanned = self.index.messages(app, after, page.descending, PAGE_ROWS, &mut |row| {
            let Stands { known, may_be_added } = self.known_state(endpoint, row);
            let may_be_wanted = match known {
                Some((state, in_flight)) => is_wanted(MessageStatus::of(&state, in_flight)),
                // It is neither live nor a dead letter: it has ended in one of these ways.
                None => is_wanted(MessageStatus::Success) || is_wanted(MessageStatus::Canceled),
            };
            let may_be_theirs = may_be_added || (row.endpoints.may_hold(endpoint) && may_be_wanted);
            if !(may_be_theirs && wanted.row(row)) {
                return pager.look(row, wanted.past(row));
            }
            let found = self.message_from(app, (row.sequence, row.position));
            let found = found.map(|found| found.filter(|found| wanted.record(found)));
            pager.spend(wanted.take_rows());
            let found = match found {
                Ok(Some(found)) => found,
                Ok(None) => return pager.look(row, false),
                Err(QueryError::Damaged { detail }) => return pager.damaged(row, &detail),
                Err(error) => return pager.fail(error),
            };
            let delivery = found.delivery(endpoint);
            let known = if delivery.added { self.known_of(&delivery) } else { known };
            let (state, in_flight) = match known {
                Some(known) => known,
                None if delivery.added && !may_be_added => return pager.look(row, false),
                None => {
                    pager.spend(ENDED_ROWS);
                    match self.ended_state(&found, endpoint) {
                        Ok(Some(state)) => (state, false),
                        Ok(None) => return pager.look(row, false),
                        Err(QueryError::Damaged { detail }) => return pager.damaged(row, &detail),
                        Err(error) => return pager.fail(error),
                    }
                }
            };
            if !is_wanted(MessageStatus::of(&state, in_flight)) {
                return pager.look(row, false);
            }
            let key = found.meta.id.as_bytes().to_vec();
            pager.take(EndpointMessage { message: message(found), state, in_flight }, key)
        });
        scanned.map_err(query_error)?;
        pager.finish(|row: MessageRow| self.key_at(row.accepted, row.sequence))
    }

    /// Where a list begins: after the page before it, and where the times that
    /// are asked for begin. So a page far in the past costs no more than the newest.
    pub(crate) fn beginning(
        &self,
        app: AppId,
        filter: &MessageFilter,
        page: &PageRequest,
    ) -> Result<Option<Position>, QueryError> {
        let after = self.sequence_of(page.after.as_ref());
        let of_page =
            page.after.as_ref().and_then(|key| Some(RawId::from_bytes(key.as_slice().try_into().ok()?).time()));
        if page.descending {
            let Some(before) = filter.before.filter(|before| of_page.is_none_or(|at| at >= *before)) else {
                return Ok(after);
            };
            let (_, end) = self.index.messages_since(app, before).map_err(query_error)?;
            Ok(Some(after.map_or(end, |after| after.min(end))))
        } else {
            let Some(bound) = filter.after.filter(|bound| of_page.is_none_or(|at| at <= *bound)) else {
                return Ok(after);
            };
            let first = UnixMs(bound.as_u64().saturating_add(1));
            let (begin, _) = self.index.messages_since(app, first).map_err(query_error)?;
            // What is given is the place before the first.
            let begin = begin.as_u64().checked_sub(1).map(Position::from_u64);
            Ok(after.max(begin))
        }
    }

    /// What memory knows of a row's message and the endpoint, before it is known
    /// whether the message went there.
    fn known_state(&self, endpoint: EndpointId, row: &MessageRow) -> Stands {
        let state = self.state.lock();
        let Some(lane) = state.lanes.get(&endpoint) else { return Stands { known: None, may_be_added: false } };
        let behind = || {
            let first = DeliveryState::Scheduled(Scheduled::first(row.accepted));
            lane.would_be_behind(row.sequence).then_some(first)
        };
        let key = DeliveryKey { endpoint, message: row.sequence };
        let known = lane.state(row.sequence).or_else(behind);
        let known = known.map(|state| (state, self.in_flight.lock().contains_key(&key)));
        Stands { known, may_be_added: lane.may_have_added(row.sequence) }
    }

    /// The state of a delivery that is live or dead, and whether it is in flight.
    fn known_of(&self, delivery: &DeliveryRef) -> Option<(DeliveryState, bool)> {
        let known = self.state.lock().delivery(delivery)?;
        Some((known, self.in_flight.lock().contains_key(&delivery.key())))
    }

    /// How a delivery has ended that is neither live nor a dead letter; `None` if
    /// the message never went to the endpoint.
    pub(crate) fn ended_state(&self, found: &Found, endpoint: EndpointId) -> Result<Option<DeliveryState>, QueryError> {
        let ended = self.ended_states(found)?;
        let named = found.meta.endpoints.contains(&endpoint);
        let cancelled = named.then_some(DeliveryState::Cancelled { at: found.meta.at(), attempt: 0 });
        Ok(ended.get(&endpoint).copied().or(cancelled))
    }
}
