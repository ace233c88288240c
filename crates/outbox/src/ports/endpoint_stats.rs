//! How many deliveries of an endpoint are in which state.

use std::collections::HashSet;
use std::ops::Bound;
use std::time::Duration;

use postrider_model::delivery::DeliveryKey;
use postrider_model::id::EndpointId;
use postrider_model::position::Position;
use postrider_model::query::{EndpointStats, QueryError};
use postrider_model::time::UnixMs;

use crate::lookup::query_error;
use crate::rows;
use crate::shared::Shared;

/// Rows of each kind that are counted at most; below a second of work.
const COUNTED_ROWS: usize = 1_000_000;
/// Dead letters that are counted at once, under the lock of the state.
const AT_ONCE: usize = 10_000;
/// Rows go by the time at which they were recorded. An attempt is recorded when
/// it has ended, and later only by as much as it waits for that.
const RECORD_LAG: Duration = Duration::from_secs(600);

/// Counts rows, newest first.
struct Count {
    since: UnixMs,
    until: UnixMs,
    rows: usize,
    counted: u64,
    /// The limit was reached here.
    stopped_at: Option<UnixMs>,
}

impl Count {
    /// Looks at a row; `false` when those that follow are too old.
    fn look(&mut self, at: UnixMs, counts: bool) -> bool {
        self.rows += 1;
        if counts && (self.since..self.until).contains(&at) {
            self.counted += 1;
        }
        if self.rows >= COUNTED_ROWS {
            self.stopped_at = Some(at);
        }
        at + RECORD_LAG >= self.since
    }
}

impl Shared {
    pub(super) fn endpoint_stats(
        &self,
        endpoint: EndpointId,
        since: UnixMs,
        until: UnixMs,
    ) -> Result<EndpointStats, QueryError> {
        let begin = || Count { since, until, rows: 0, counted: 0, stopped_at: None };
        let (mut delivered, mut cancelled) = (begin(), begin());
        let attempts = self.index.attempts_of_endpoint(endpoint, None, true, COUNTED_ROWS, &mut |row| {
            delivered.look(row.ended, row.delivered)
        });
        attempts.map_err(query_error)?;
        // A message that was carried brings along that it was cancelled.
        let mut seen = HashSet::new();
        let settled = self.index.settled_of_endpoint(endpoint, COUNTED_ROWS, &mut |row| {
            cancelled.look(row.at, row.state == rows::CANCELLED && seen.insert(row.message))
        });
        settled.map_err(query_error)?;
        let stopped = [delivered.stopped_at, cancelled.stopped_at].into_iter().flatten().max();
        let (pending, sending) = self.waiting(endpoint);
        Ok(EndpointStats {
            success: delivered.counted,
            canceled: cancelled.counted,
            fail: self.died(endpoint, since, until),
            pending,
            sending,
            filtered: self.held_back.of(endpoint),
            since: stopped.map_or(since, |at| at.max(since)),
        })
    }

    /// Deliveries that wait, and those that are in flight.
    fn waiting(&self, endpoint: EndpointId) -> (u64, u64) {
        let state = self.state.lock();
        let Some(lane) = state.lanes.get(&endpoint) else { return (0, 0) };
        let pending = lane.pending_by_schedule();
        let in_flight = self.in_flight.lock();
        // Not those that have ended and are resent, nor what was cancelled meanwhile.
        let is_pending = |key: &&DeliveryKey| lane.state(key.message).is_some_and(|state| state.is_pending());
        let sending = in_flight.keys().filter(|key| key.endpoint == endpoint).filter(is_pending).count() as u64;
        (pending.saturating_sub(sending), sending)
    }

    fn died(&self, endpoint: EndpointId, since: UnixMs, until: UnixMs) -> u64 {
        let (mut count, mut after) = (0, Bound::Unbounded);
        loop {
            let state = self.state.lock();
            let Some(lane) = state.lanes.get(&endpoint) else { return count };
            let mut last: Option<Position> = None;
            for (sequence, dead) in lane.dead.range((after, Bound::Unbounded)).take(AT_ONCE) {
                count += u64::from((since..until).contains(&dead.died));
                last = Some(*sequence);
            }
            let Some(last) = last else { return count };
            after = Bound::Excluded(last);
        }
    }
}

#[cfg(test)]
mod tests;
