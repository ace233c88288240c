//! Reads messages, attempts and deliveries. An index row says where a record
//! lies; the record is read from the journal.

use std::collections::BTreeMap;

use postrider_model::attempt::Attempt;
use postrider_model::delivery::{DeadReason, DeliveryState, Next};
use postrider_model::id::{AppId, AttemptId, EndpointId, MessageId, RawId};
use postrider_model::message::{JSON, Message};
use postrider_model::position::Position;
use postrider_model::query::{
    AttemptFilter, AttemptsOf, Delivery, DeliveryFilter, EndpointMessage, EndpointStats, MessageFilter, Page, PageKey,
    PageRequest, Query, QueryError,
};
use postrider_model::status::MessageStatus;
use postrider_model::time::UnixMs;

use super::delivery_list::listed;
use super::pager::{PAGE_ROWS, Pager};
use crate::Outbox;
use crate::index::AttemptRow;
use crate::keys;
use crate::lookup::{Found, ReadRecordError, query_error};
use crate::record::{Content, DeliveryRef, Outcome, Record};
use crate::rows;
use crate::shared::Shared;

impl Query for Outbox {
    fn message(&self, app: AppId, id: MessageId) -> Result<Option<Message>, QueryError> {
        Ok(self.shared.find_message(app, id)?.map(message))
    }

    fn message_by_event_id(&self, app: AppId, event_id: &str) -> Result<Option<Message>, QueryError> {
        let Some((position, _)) = self.shared.message_with_key(keys::event_id(app, event_id))? else { return Ok(None) };
        Ok(self.shared.message_at(position, position)?.filter(|found| found.meta.app == app).map(message))
    }

    fn messages(&self, app: AppId, filter: &MessageFilter, page: &PageRequest) -> Result<Page<Message>, QueryError> {
        self.shared.messages(app, filter, page)
    }

    fn messages_of_endpoint(
        &self,
        app: AppId,
        endpoint: EndpointId,
        filter: &MessageFilter,
        statuses: Option<&[MessageStatus]>,
        page: &PageRequest,
    ) -> Result<Page<EndpointMessage>, QueryError> {
        self.shared.messages_of_endpoint(app, endpoint, filter, statuses, page)
    }

    fn endpoint_stats(&self, endpoint: EndpointId, since: UnixMs, until: UnixMs) -> Result<EndpointStats, QueryError> {
        self.shared.endpoint_stats(endpoint, since, until)
    }

    fn attempt(&self, app: AppId, id: AttemptId) -> Result<Option<Attempt>, QueryError> {
        let position = self.shared.mask.position(id.0);
        match self.shared.read_record(position) {
            Ok(Record::Outcome(outcome, body)) if outcome.id == id && outcome.delivery.app == app => {
                Ok(Some(attempt(outcome, body)))
            }
            Err(crate::lookup::ReadRecordError::Damaged(detail)) => Err(QueryError::Damaged { detail }),
            _ => Ok(None),
        }
    }

    fn attempts(
        &self,
        app: AppId,
        of: AttemptsOf,
        filter: &AttemptFilter,
        page: &PageRequest,
    ) -> Result<Page<Attempt>, QueryError> {
        let shared = &self.shared;
        let after = shared.sequence_of(page.after.as_ref());
        let mut pager = Pager::new(page.limit);
        let mut each = |row: &AttemptRow| {
            if !attempt_row_matches(row, filter) {
                return pager.look(row, false);
            }
            match shared.read_record(row.position) {
                Ok(Record::Outcome(outcome, body))
                    if outcome.delivery.app == app && shared.type_matches(&outcome, filter) =>
                {
                    let key = outcome.id.as_bytes().to_vec();
                    pager.take(attempt(outcome, body), key)
                }
                // Past retention, although its row is not yet.
                Ok(_) | Err(crate::lookup::ReadRecordError::NotFound(_)) => pager.look(row, false),
                Err(crate::lookup::ReadRecordError::Damaged(detail)) => pager.damaged(row, &detail),
                Err(error) => pager.fail(QueryError::Failed(error.to_string())),
            }
        };
        let index = &shared.index;
        let scanned = match of {
            AttemptsOf::Endpoint(endpoint) => {
                index.attempts_of_endpoint(endpoint, after, page.descending, PAGE_ROWS, &mut each)
            }
            AttemptsOf::Message(message) => {
                let sequence = shared.mask.position(message.0);
                index.attempts_of_message(app, sequence, after, page.descending, PAGE_ROWS, &mut each)
            }
        };
        scanned.map_err(query_error)?;
        pager.finish(|row: AttemptRow| shared.key_at(row.ended, row.position))
    }

    fn deliveries_of(&self, app: AppId, id: MessageId) -> Result<Vec<Delivery>, QueryError> {
        let Some(found) = self.shared.find_message(app, id)? else { return Ok(vec![]) };
        // Memory first: what ends after that is among the ended, and not the other way round.
        let mut endpoints = self.shared.known_deliveries(&found);
        let ended = self.shared.ended_states(&found)?;
        // A replay added these, and they have ended.
        let added = ended.keys().filter(|endpoint| !endpoints.iter().any(|(known, _)| known == *endpoint));
        endpoints.extend(added.map(|endpoint| (*endpoint, None)).collect::<Vec<_>>());
        let deliveries = endpoints.into_iter().map(|(endpoint, known)| {
            known.unwrap_or_else(|| {
                // If nothing tells of it, its endpoint was deleted, which cancels it.
                let cancelled = || DeliveryState::Cancelled { at: found.meta.at(), attempt: 0 };
                let state = ended.get(&endpoint).copied().unwrap_or_else(cancelled);
                listed(&found.delivery(endpoint), &found.meta.event_type, state, None)
            })
        });
        Ok(deliveries.collect())
    }

    fn pending(&self, filter: &DeliveryFilter, page: &PageRequest) -> Result<Page<Delivery>, QueryError> {
        self.shared.deliveries(filter, page, &Shared::pending_part)
    }

    fn in_flight(&self, filter: &DeliveryFilter, page: &PageRequest) -> Result<Page<Delivery>, QueryError> {
        self.shared.deliveries(filter, page, &|shared, endpoint, walk| Ok(shared.in_flight_part(endpoint, walk)))
    }

    fn dead_letter(
        &self,
        app: AppId,
        message: MessageId,
        endpoint: EndpointId,
    ) -> Result<Option<Delivery>, QueryError> {
        self.shared.dead_letter(app, message, endpoint)
    }

    fn dead_letters(&self, filter: &DeliveryFilter, page: &PageRequest) -> Result<Page<Delivery>, QueryError> {
        self.shared.deliveries(filter, page, &|shared, endpoint, walk| Ok(shared.dead_part(endpoint, walk)))
    }
}

/// The state in which an attempt left its delivery, if that ended it.
fn ended(row: &AttemptRow, outcome: &Outcome) -> Option<DeliveryState> {
    let (at, attempt) = (row.ended, outcome.ended.attempt);
    match outcome.next {
        Next::Delivered => Some(DeliveryState::Delivered { at, attempt }),
        Next::Dead { reason } => Some(DeliveryState::Dead { at, reason, attempt }),
        Next::Retry { .. } | Next::AsBefore => None,
    }
}

fn attempt_row_matches(row: &AttemptRow, filter: &AttemptFilter) -> bool {
    filter.before.is_none_or(|before| row.ended < before)
        && filter.after.is_none_or(|after| row.ended > after)
        && filter.endpoint.is_none_or(|endpoint| endpoint == row.endpoint)
        && filter.succeeded.is_none_or(|succeeded| succeeded == row.succeeded)
        && filter.status_class.is_none_or(|class| row.status / 100 == class)
}

pub(super) fn message(found: Found) -> Message {
    let Found { sequence, meta, body, .. } = found;
    Message {
        id: meta.id,
        sequence,
        app: meta.app,
        at: meta.at(),
        event_type: meta.event_type,
        event_id: meta.event_id,
        channels: meta.channels.into_iter().collect(),
        tags: meta.tags.into_iter().collect(),
        content_type: meta.content_type.unwrap_or_else(|| JSON.to_owned()),
        body,
        endpoints: meta.endpoints,
    }
}

fn attempt(outcome: Outcome, body: Content) -> Attempt {
    let delivery = outcome.delivery;
    Attempt {
        id: outcome.id,
        app: delivery.app,
        endpoint: delivery.endpoint,
        message: delivery.message,
        message_sequence: delivery.sequence,
        number: outcome.ended.attempt,
        url: outcome.url,
        started: outcome.started,
        duration_ms: outcome.duration_ms,
        status: outcome.status,
        failure: outcome.failure,
        response: body,
        trigger: outcome.trigger,
        stale: outcome.stale,
    }
}

impl Shared {
    /// A message's endpoints, and its deliveries that are live or dead letters, these all of one moment.
    fn known_deliveries(&self, found: &Found) -> Vec<(EndpointId, Option<Delivery>)> {
        let endpoints = self.endpoints_of(found);
        let state = self.state.lock();
        let known = endpoints.into_iter().map(|endpoint| {
            let delivery = found.delivery(endpoint);
            let known = state.delivery(&delivery);
            let listed = |state| listed(&delivery, &found.meta.event_type, state, self.hold(endpoint));
            (endpoint, known.map(listed))
        });
        known.collect()
    }

    /// The sequence in a page key, which is the bytes of an id.
    pub(crate) fn sequence_of(&self, key: Option<&PageKey>) -> Option<Position> {
        let bytes: [u8; 20] = key?.as_slice().try_into().ok()?;
        Some(self.mask.position(RawId::from_bytes(bytes)))
    }

    /// A key that leads to the place after a row, also where its record can be read no longer: an id is
    /// its time and its place, and by chance the rest.
    pub(crate) fn key_at(&self, at: UnixMs, position: Position) -> PageKey {
        self.mask.clone().id(at, position, [0; 6]).as_bytes().to_vec()
    }

    fn type_matches(&self, outcome: &Outcome, filter: &AttemptFilter) -> bool {
        let Some(types) = &filter.event_types else { return true };
        let DeliveryRef { sequence, position, .. } = outcome.delivery;
        matches!(self.message_at(sequence, position), Ok(Some(found)) if types.contains(&found.meta.event_type))
    }

    /// The attempts of a message on record, with one endpoint or with all, behind `after` if it is given, oldest first. Those that
    /// retention has removed and those that cannot be read any more are passed over; that reading fails for now is no reason to
    /// say that there was none.
    pub(crate) fn outcomes_of(
        &self,
        app: AppId,
        message: Position,
        only: Option<EndpointId>,
        after: Option<Position>,
        take: &mut dyn FnMut(&AttemptRow, &Outcome),
    ) -> Result<(), QueryError> {
        let mut failed = None;
        let scanned = self.index.attempts_of_message(app, message, after, false, usize::MAX, &mut |row| {
            if only.is_some_and(|only| row.endpoint != only) {
                return true;
            }
            match self.read_record(row.position) {
                Ok(Record::Outcome(outcome, _)) => take(row, &outcome),
                Err(ReadRecordError::Read(error)) if error.may_pass() => failed = Some(error),
                Err(ReadRecordError::Read(error)) => tracing::error!(%error, "an attempt on record cannot be read"),
                Ok(_) | Err(_) => {}
            }
            failed.is_none()
        });
        scanned.map_err(query_error)?;
        failed.map_or(Ok(()), |error| Err(QueryError::Failed(error.to_string())))
    }

    /// How the deliveries of a message ended that are neither live nor dead letters.
    pub(crate) fn ended_states(&self, found: &Found) -> Result<BTreeMap<EndpointId, DeliveryState>, QueryError> {
        let app = found.meta.app;
        let mut newest: BTreeMap<EndpointId, (Position, DeliveryState)> = BTreeMap::new();
        let mut attempts: BTreeMap<EndpointId, u16> = BTreeMap::new();
        self.outcomes_of(app, found.sequence, None, None, &mut |row, outcome| {
            if !outcome.stale {
                attempts.insert(row.endpoint, outcome.ended.attempt);
                newest.extend(ended(row, outcome).map(|state| (row.endpoint, (row.position, state))));
            }
        })?;
        for row in self.index.settled_of_message(app, found.sequence).map_err(query_error)? {
            let (at, attempt) = (row.at, row.attempt);
            let state = match row.state {
                rows::CANCELLED => DeliveryState::Cancelled { at, attempt },
                rows::DELIVERED => DeliveryState::Delivered { at, attempt },
                rows::EXPUNGED => DeliveryState::Dead { at, reason: DeadReason::PayloadExpunged, attempt },
                _ => DeliveryState::Dead { at, reason: DeadReason::HeldTooLong, attempt },
            };
            let earlier = newest.get(&row.endpoint).is_some_and(|(position, _)| *position > row.position);
            if !earlier {
                newest.insert(row.endpoint, (row.position, state));
            }
        }
        // A resend that failed has changed nothing but the number of attempts.
        let counted = newest.into_iter().map(|(endpoint, (_, state))| {
            let made = attempts.get(&endpoint).map_or(0, |made| *made);
            (endpoint, state.with_attempts_made(made.max(state.attempts_made())))
        });
        Ok(counted.collect())
    }
}
