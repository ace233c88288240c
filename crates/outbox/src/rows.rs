//! What a record adds to the index.

use postrider_model::delivery::{DeadReason, DeliveryState, Next};
use postrider_model::position::Position;
use postrider_model::time::UnixMs;

use crate::index::{AttemptRow, EndpointMask, Index, KeyRow, MessageRow, Row, SettledRow};
use crate::keys;
use crate::record::{Accepted, Carried, DeliveryChange, DeliveryRef, Outcome, Record};

/// [`SettledRow::state`] of a delivery that a person cancelled, or gave up as a dead letter.
pub(crate) const CANCELLED: u8 = 1;
/// [`SettledRow::state`] of a delivery that expired.
pub(crate) const DEAD: u8 = 2;
/// [`SettledRow::state`] of a delivery that was confirmed before its message was carried.
pub(crate) const DELIVERED: u8 = 3;
/// [`SettledRow::state`] of a delivery whose payload was expunged.
pub(crate) const EXPUNGED: u8 = 4;

/// The rows of a frame, by when readers must find them.
#[derive(Default)]
pub(crate) struct FrameRows {
    /// How deliveries ended. They are there before the deliveries are gone from memory: who
    /// finds one there no longer looks for its end here.
    pub(crate) ends: Vec<Row>,
    /// Messages and keys. They are there after memory knows of the deliveries: who finds a
    /// message looks for them there.
    pub(crate) begins: Vec<Row>,
    rows: Rows,
}

impl FrameRows {
    pub(crate) fn take_from(&mut self, records: &[(Position, Record)]) {
        for (position, record) in records {
            self.rows.each(*position, record, &mut |row| match row {
                Row::Attempt(_) | Row::Settled(_) => self.ends.push(row),
                Row::Message(_) | Row::Key(_) => self.begins.push(row),
            });
        }
    }
}

/// Puts rows of these records, which lie in one segment, into the index.
pub(crate) fn index(index: &Index, records: &[(Position, Record)], rows: &mut Vec<Row>) {
    if let Some((position, _)) = records.first().filter(|_| !rows.is_empty()) {
        index.insert_all(position.segment(), rows.drain(..));
    }
}

/// Makes rows of records: the same live and when a segment is indexed anew.
#[derive(Default)]
pub(crate) struct Rows {
    /// An event type and its number: the next message is mostly of the same.
    last_type: Option<(String, u64)>,
}

impl Rows {
    /// The rows of a record.
    pub(crate) fn each(&mut self, position: Position, record: &Record, take: &mut dyn FnMut(Row)) {
        match record {
            Record::Accepted(accepted, _) => self.of_message(position, position, accepted, take),
            Record::Carried(carried, _) => self.of_carried(position, carried, take),
            Record::Outcome(outcome, _) => take(Row::Attempt(attempt_row(position, outcome))),
            Record::Deliveries(change) => {
                let state = match change.what {
                    DeliveryChange::Cancelled | DeliveryChange::Purged => CANCELLED,
                    DeliveryChange::Expired(DeadReason::PayloadExpunged) => EXPUNGED,
                    DeliveryChange::Expired(_) => DEAD,
                    DeliveryChange::Replayed { .. }
                    | DeliveryChange::Resent { .. }
                    | DeliveryChange::CalledOff
                    | DeliveryChange::Forgotten => return,
                };
                settled_rows(position, &change.deliveries, (state, change.at), take);
            }
            Record::Expunged(expunged) => settled_rows(position, &expunged.waiting, (EXPUNGED, expunged.at), take),
            Record::Answered(answered, _) => {
                take(Row::Key(KeyRow { hash: answered.once.key, position, at: answered.at }));
            }
            Record::Config(_)
            | Record::SealedConfig(_)
            | Record::TaskStarted(_)
            | Record::TaskFinished(_)
            | Record::Audit(_) => {}
        }
    }

    fn of_message(&mut self, sequence: Position, position: Position, accepted: &Accepted, take: &mut dyn FnMut(Row)) {
        take(Row::Message(MessageRow {
            app: accepted.app,
            sequence,
            position,
            accepted: accepted.at(),
            endpoints: EndpointMask::of(&accepted.endpoints),
            event_type: self.number_of(&accepted.event_type),
        }));
        let event_key = accepted.event_id.as_deref().map(|event_id| keys::event_id(accepted.app, event_id));
        let idempotency = accepted.idempotency.map(|key| key.key);
        for hash in [event_key, idempotency].into_iter().flatten() {
            take(Row::Key(KeyRow { hash, position, at: accepted.at() }));
        }
    }

    fn of_carried(&mut self, position: Position, carried: &Carried, take: &mut dyn FnMut(Row)) {
        self.of_message(carried.sequence, position, &carried.message, take);
        for (endpoint, state) in &carried.states {
            let (state, at, attempt) = match state.without_resend() {
                // The live table tells these.
                DeliveryState::Scheduled(_) | DeliveryState::Dead { .. } | DeliveryState::Resending(_) => continue,
                DeliveryState::Delivered { at, attempt } => (DELIVERED, at, attempt),
                DeliveryState::Cancelled { at, attempt } => (CANCELLED, at, attempt),
            };
            let (app, message) = (carried.message.app, carried.sequence);
            take(Row::Settled(SettledRow { app, endpoint: *endpoint, message, position, state, at, attempt }));
        }
    }

    fn number_of(&mut self, event_type: &str) -> u64 {
        match &self.last_type {
            Some((last, number)) if last == event_type => *number,
            _ => self.last_type.insert((event_type.to_owned(), keys::event_type(event_type))).1,
        }
    }
}

fn settled_rows(position: Position, deliveries: &[DeliveryRef], (state, at): (u8, UnixMs), take: &mut dyn FnMut(Row)) {
    for delivery in deliveries {
        let DeliveryRef { app, endpoint, sequence: message, .. } = *delivery;
        take(Row::Settled(SettledRow { app, endpoint, message, position, state, at, attempt: 0 }));
    }
}

fn attempt_row(position: Position, outcome: &Outcome) -> AttemptRow {
    AttemptRow {
        app: outcome.delivery.app,
        endpoint: outcome.delivery.endpoint,
        message: outcome.delivery.sequence,
        position,
        ended: UnixMs(outcome.started.as_u64() + u64::from(outcome.duration_ms)),
        status: outcome.status.unwrap_or(0),
        succeeded: outcome.succeeded() == Some(true),
        delivered: !outcome.stale && matches!(outcome.next, Next::Delivered),
    }
}

#[cfg(test)]
mod tests {
    use postrider_model::job::FailureKind;

    use super::*;

    #[test]
    fn each_event_type_has_its_own_number_in_whatever_order_they_come() {
        let mut rows = Rows::default();
        for name in ["", "order.paid", "order.paid", "order.sent", "order.paid", "", "order.sent"] {
            assert_eq!(rows.number_of(name), keys::event_type(name), "{name}");
        }
    }

    #[test]
    fn the_row_of_an_attempt_tells_when_it_ended_and_how() {
        let attempt = |status, failure, next, stale| {
            let outcome = Outcome {
                started: UnixMs(1_000),
                duration_ms: 70,
                status,
                failure,
                next,
                stale,
                ..crate::record::tests::outcome()
            };
            let row = attempt_row(Position::new(1, 2), &outcome);
            let DeliveryRef { app, endpoint, sequence, .. } = outcome.delivery;
            assert_eq!((row.app, row.endpoint, row.message), (app, endpoint, sequence));
            assert_eq!((row.position, row.ended), (Position::new(1, 2), UnixMs(1_070)));
            (row.status, row.succeeded, row.delivered)
        };
        let (retry, dead) = (Next::Retry { due: UnixMs(0) }, Next::Dead { reason: DeadReason::Refused });
        assert_eq!(attempt(Some(204), None, Next::Delivered, false), (204, true, true));
        assert_eq!(attempt(Some(200), None, Next::Delivered, true), (200, true, false), "it came too late");
        assert_eq!(attempt(Some(500), None, retry, false), (500, false, false));
        assert_eq!(attempt(Some(410), None, dead, true), (410, false, false));
        assert_eq!(attempt(None, Some(FailureKind::Timeout), retry, false), (0, false, false));
    }
}
