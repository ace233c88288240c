//! Tasks that go through the messages of an application: those of a span of time
//! that were accepted before the task was asked for, oldest first. The cursor is
//! on record with what it has passed, so each message is looked at once, also
//! over a restart.

use std::sync::Arc;

use postrider_model::delivery::{DeliveryKey, DeliveryState};
use postrider_model::endpoint::Endpoint;
use postrider_model::filter;
use postrider_model::id::TaskId;
use postrider_model::position::Position;
use postrider_model::query::{MessageFilter, PageRequest, QueryError};
use postrider_model::status::MessageStatus;
use postrider_model::task::{BulkReplay, EndpointSpan, TaskWork};
use postrider_model::time::UnixMs;

use super::{Batch, Progress};
use crate::committer::request::Meant;
use crate::keeper::Keeper;
use crate::lookup::{Found, query_error};
use crate::ports::Wanted;
use crate::record::DeliveryRef;
use crate::shared::Shared;
use crate::state::{LaneState, TaskState};

/// Rows of the index that one batch looks at at most.
const ROWS: usize = 10_000;
/// Messages that one batch reads at most: it may take several look-ups to find
/// out how a delivery has ended.
const READS: usize = 250;
/// Steps of the endpoint's filter that count as a read: those of a batch take some 160 ms.
const READ_STEPS: u64 = filter::MAX_STEPS / READS as u64;

/// A part of the messages.
#[derive(Default)]
struct Part {
    deliveries: Vec<Meant>,
    /// The last message that was looked at; `None` if there is no more.
    last: Option<Position>,
    reads: usize,
}

impl Keeper {
    /// One batch of a task over the messages of a span.
    pub(super) fn messages_of(&self, id: TaskId, task: &TaskState, span: &EndpointSpan) -> Progress {
        let endpoint = self.shared.config.read().endpoint(span.endpoint).map(Arc::clone);
        // Its endpoint was deleted.
        let (Some(endpoint), Some(room)) = (endpoint, self.room_of(span.endpoint, LaneState::room)) else {
            return Progress::Done;
        };
        if room == 0 {
            return Progress::Waits;
        }
        match self.shared.next_part(id, task, (span, &endpoint), room) {
            Ok(Part { last: None, .. }) => Progress::Done,
            Ok(Part { deliveries, last: Some(message), .. }) => {
                let cursor = DeliveryKey { endpoint: span.endpoint, message };
                self.record(id, Batch { deliveries, cursor })
            }
            // The index is being rebuilt.
            Err(QueryError::Unavailable(_)) => Progress::Waits,
            Err(error) => {
                tracing::warn!(task = %id, %error, "a task waits");
                Progress::Waits
            }
        }
    }
}

impl Shared {
    /// What comes after a task's cursor, with at most `room` deliveries. Blocks.
    fn next_part(
        &self,
        id: TaskId,
        task: &TaskState,
        (span, endpoint): (&EndpointSpan, &Arc<Endpoint>),
        room: usize,
    ) -> Result<Part, QueryError> {
        let filter = meant(&task.work, span, endpoint);
        let wanted = Wanted::new(&filter, false);
        let after = match task.cursor {
            Some(cursor) => Some(cursor.message),
            None => self.beginning(span.app, &filter, &PageRequest { descending: false, ..PageRequest::default() })?,
        };
        // What was accepted later lies behind the record of the task.
        let end = self.mask.position(id.0);
        let (mut part, mut failed) = (Part::default(), None);
        let scanned = self.index.messages(span.app, after, false, ROWS, &mut |row| {
            if row.sequence >= end || wanted.past(row) {
                return false;
            }
            if wanted.row(row) {
                part.reads += 1;
                match self.message_at(row.sequence, row.position) {
                    Ok(Some(found)) if wanted.record(&found) && found.body.is_some() => {
                        match self.if_meant(task, &found, endpoint) {
                            Ok(meant) => part.deliveries.extend(meant),
                            Err(error) => failed = Some(error),
                        }
                    }
                    // It is gone, or is not meant.
                    Ok(_) => {}
                    Err(QueryError::Damaged { detail }) => {
                        tracing::error!(task = %id, detail, "a task passes over a message that is damaged");
                    }
                    Err(error) => failed = Some(error),
                }
            }
            part.reads += usize::try_from(wanted.take_steps() / READ_STEPS).unwrap_or(READS);
            if failed.is_none() {
                part.last = Some(row.sequence);
            }
            failed.is_none() && part.reads < READS && part.deliveries.len() < room
        });
        scanned.map_err(query_error)?;
        // What lies before the one that failed can be recorded.
        match failed {
            Some(error) if part.last.is_none() => Err(error),
            _ => Ok(part),
        }
    }

    fn if_meant(&self, task: &TaskState, found: &Found, endpoint: &Endpoint) -> Result<Option<Meant>, QueryError> {
        match &task.work {
            TaskWork::BulkReplay(bulk) => self.if_stands_so((bulk, task.created), found, endpoint),
            _ => self.if_missing(found, endpoint),
        }
    }

    /// The delivery of a message to an endpoint if it has ended as is asked for.
    fn if_stands_so(
        &self,
        (bulk, ended_until): (&BulkReplay, UnixMs),
        found: &Found,
        endpoint: &Endpoint,
    ) -> Result<Option<Meant>, QueryError> {
        let delivery = found.delivery(endpoint.id);
        let known = self.state.lock().delivery(&delivery).map(|state| state.without_resend());
        let state = if known.is_some() { known } else { self.ended_state(found, endpoint.id)? };
        // What waited when the task was asked for has been sent since.
        let had_ended = |state: &DeliveryState| ended_at(state).is_some_and(|at| at <= ended_until);
        if !state.is_some_and(|state| had_ended(&state) && bulk.means(MessageStatus::of(&state, false))) {
            return Ok(None);
        }
        if bulk.status_class.is_some() && self.last_status_class(&delivery)? != bulk.status_class {
            return Ok(None);
        }
        let attempts_made = if known.is_some() { 0 } else { self.attempts_made(endpoint.app, &delivery)? };
        Ok(Some(Meant { delivery, known, attempts_made }))
    }

    /// The hundred of the status that the last attempt was answered with, 0 if it
    /// had no answer; `None` if there was no attempt.
    fn last_status_class(&self, delivery: &DeliveryRef) -> Result<Option<u16>, QueryError> {
        let mut class = None;
        let DeliveryRef { app, endpoint, sequence, .. } = *delivery;
        let scanned = self.index.attempts_of_message(app, sequence, None, true, usize::MAX, &mut |row| {
            if row.endpoint == endpoint {
                class = Some(row.status / 100);
            }
            class.is_none()
        });
        scanned.map_err(query_error)?;
        Ok(class)
    }

    /// The delivery of a message to an endpoint if it never went there.
    fn if_missing(&self, found: &Found, endpoint: &Endpoint) -> Result<Option<Meant>, QueryError> {
        let delivery = found.delivery(endpoint.id);
        let may_have_ended = {
            let state = self.state.lock();
            if !delivery.added || state.delivery(&delivery).is_some() {
                return Ok(None);
            }
            state.lanes.get(&endpoint.id).is_some_and(|lane| lane.may_have_added(delivery.sequence))
        };
        if may_have_ended && self.ended_states(found)?.contains_key(&endpoint.id) {
            return Ok(None);
        }
        Ok(Some(Meant { delivery, known: None, attempts_made: 0 }))
    }
}

/// When a delivery ended that waits no more.
const fn ended_at(state: &DeliveryState) -> Option<UnixMs> {
    match *state {
        DeliveryState::Delivered { at, .. } | DeliveryState::Dead { at, .. } | DeliveryState::Cancelled { at, .. } => {
            Some(at)
        }
        DeliveryState::Scheduled(_) | DeliveryState::Resending(_) => None,
    }
}

/// Which messages are meant, all but for what has become of their deliveries.
fn meant(work: &TaskWork, span: &EndpointSpan, endpoint: &Arc<Endpoint>) -> MessageFilter {
    let after = span.since.as_u64().checked_sub(1).map(UnixMs);
    let of_span = MessageFilter { before: span.until, after, ..MessageFilter::default() };
    match work {
        TaskWork::BulkReplay(BulkReplay { event_types, channel, tag, .. }) => {
            MessageFilter { event_types: event_types.clone(), channel: channel.clone(), tag: tag.clone(), ..of_span }
        }
        _ => MessageFilter { wanted_by: Some(Arc::clone(endpoint)), ..of_span },
    }
}

#[cfg(test)]
mod tests;
