//! Reads messages from the journal before their turn.
//!
//! A lane that has more to send than [`crate::bodies`] keeps would read one message
//! after the other. Those that it sends next lie near each other, so one reading
//! brings a part of the journal, and what the lane needs of it into the cache.

use std::collections::BTreeSet;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::ops::ControlFlow;

use postrider_model::id::EndpointId;
use postrider_model::position::Position;

use crate::bodies::Fresh;
use crate::lookup::{ReadRecordError, scan};
use crate::record::{DeliveryRef, Record};
use crate::shared::Shared;

/// Bytes of the journal that are read at once: some hundred messages of 1 KiB.
const AHEAD_BYTES: u32 = 256 << 10;
/// Where the next message of the lane lies farther off, it is read by itself.
const GAP_BYTES: u32 = 16 << 10;
/// Lanes that read at the same time.
const TURNS: usize = 16;

/// Whose turn it is to read: attempts of one lane that begin together wait for
/// the first of them, and then find what they need.
#[derive(Default)]
pub(crate) struct Turns([tokio::sync::Mutex<()>; TURNS]);

impl Turns {
    pub(crate) async fn of(&self, endpoint: EndpointId) -> Option<tokio::sync::MutexGuard<'_, ()>> {
        let mut hasher = DefaultHasher::new();
        endpoint.hash(&mut hasher);
        let turn = self.0.get(hasher.finish() as usize % TURNS)?;
        Some(turn.lock().await)
    }
}

impl Shared {
    /// Reads the message of a delivery, and those that its lane sends next into the
    /// cache as far as they lie near. Blocks.
    pub(crate) fn read_ahead(&self, delivery: &DeliveryRef) -> Result<Record, ReadRecordError> {
        let near = self.near(delivery);
        if let (Some(first), Some(last)) = (near.first(), near.last()) {
            self.read_into_cache(delivery.endpoint, &near, (*first, *last));
        }
        self.read_record(delivery.position)
    }

    /// Where the messages lie that a lane has not tried yet, after a delivery and near it.
    fn near(&self, delivery: &DeliveryRef) -> BTreeSet<Position> {
        let from = delivery.position;
        let bytes = AHEAD_BYTES.min(u32::try_from(self.options.fresh_body_bytes / 4).unwrap_or(u32::MAX));
        let to = Position::new(from.segment(), from.offset_bytes().saturating_add(bytes));
        let state = self.state.lock();
        let Some(lane) = state.lanes.get(&delivery.endpoint) else { return BTreeSet::new() };
        let mut end = from.offset_bytes();
        let after = lane.window.range(delivery.sequence..).skip(1).map(|(_, live)| live);
        let untried = after.filter(|live| live.scheduled.attempt == 1).map(|live| live.position);
        let near = untried.take_while(|position| {
            let gap = position.offset_bytes().saturating_sub(end);
            end = position.offset_bytes();
            (from..to).contains(position) && gap <= GAP_BYTES
        });
        near.collect()
    }

    fn read_into_cache(&self, endpoint: EndpointId, wanted: &BTreeSet<Position>, (first, last): (Position, Position)) {
        let mut read = Vec::with_capacity(wanted.len());
        let end = Position::new(last.segment(), last.offset_bytes().saturating_add(1));
        // What cannot be read is found out when its turn comes.
        scan(&self.reader, first, end, &mut |position, record| {
            if let Record::Accepted(meta, Some(body)) = record
                && wanted.contains(&position)
            {
                read.push((position, Fresh::new(&meta, body), meta.endpoints.len()));
            }
            ControlFlow::Continue(())
        });
        // Under the lock, so that what is expunged meanwhile is taken out after this.
        let state = self.state.lock();
        let Some(lane) = state.lanes.get(&endpoint) else { return };
        for (position, fresh, deliveries) in read {
            // One in flight is still in the window when its payload is expunged.
            let is_there = lane.window.get(&position).is_some_and(|live| live.position == position);
            if is_there && !state.expunging.contains(position) {
                self.bodies.insert(position, fresh, deliveries);
            }
        }
    }
}
