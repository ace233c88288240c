//! A lane whose endpoint gets batches: when one goes out, and who goes with whom.
//!
//! ```text
//!   gather: so many are due, or the oldest that is due has waited so long
//!      -> start: one leads, the others ride; one slot, one price, one turn of the rate
//!      -> fetched: who has no job stays behind; if it led, another one leads
//!      -> ended: the lead ends the request for pace and breaker, each is recorded by itself
//! ```
//!
//! Of those in one order only the first is in the queue, so no batch has two of them.

use std::time::Duration;

use postrider_model::batch::BatchRule;
use postrider_model::job::Job;
use postrider_model::position::Position;

use super::Lane;
use crate::flights::{Flight, News, Phase};
use crate::moment::Moment;
use crate::queue::Waits;

/// Those that go with the one that leads.
#[derive(Clone, Debug)]
pub(crate) struct Batch {
    pub(crate) riders: Vec<Position>,
    /// Bytes of the body at most, if the endpoint says so.
    pub(crate) max_bytes: Option<u32>,
}

impl Lane {
    /// Until when the next batch gathers; `None` if it may go. Something is due. The wait
    /// is measured by the monotonic clock, so that it ends if the wall clock is set back.
    pub(super) fn gather(&mut self, rule: BatchRule, at: Moment) -> Option<Duration> {
        let full = self.queue.full_at(rule.max_messages as usize);
        if full.is_some_and(|full| full <= at.now) {
            self.gathers_until = None;
            return None;
        }
        let waited = self.queue.oldest_due().map_or(Duration::ZERO, |due| at.now.since(due));
        let until = at.monotonic + rule.max_wait().saturating_sub(waited);
        let until = self.gathers_until.map_or(until, |earlier| earlier.min(until));
        self.gathers_until = Some(until);
        let full = full.map(|full| at.monotonic + full.since(at.now));
        let then = full.map_or(until, |full| full.min(until));
        (then > at.monotonic).then_some(then)
    }

    /// Takes out the delivery whose turn it is to lead. First attempts that still gather are
    /// not sent early because a retry is due.
    pub(super) fn take_lead(&mut self, rule: BatchRule, at: Moment) -> Option<(Position, Waits)> {
        let since = self.queue.gathers_since(rule.max_messages as usize);
        let gathers = since.is_some_and(|since| at.now.since(since) < rule.max_wait());
        let retry = if gathers { self.queue.take_retry(at.now) } else { None };
        retry.or_else(|| self.queue.take(at.now))
    }

    /// Lets others go with one that has started.
    pub(super) fn start_riders(&mut self, rule: BatchRule, lead: Position, step: u16, at: Moment) -> Batch {
        self.gathers_until = None;
        let (mut riders, mut step, max) = (Vec::new(), step, rule.max_messages as usize);
        while let Some((message, waits)) = self.queue.take_with(step, riders.len() + 1, max, at.now) {
            if !self.may_fly(message, waits, at) {
                break;
            }
            step = step.max(waits.scheduled.step);
            self.flights.begin(message, Flight { lead: Some(lead), ..Flight::begun(waits) });
            riders.push(message);
        }
        Batch { riders, max_bytes: rule.max_bytes }
    }

    /// Jobs of the batch that this one leads were handed out. What is not to be sent is
    /// taken out of the list; the first that stays leads if the lead has no job.
    pub(crate) fn fetched_together(&mut self, lead: Position, jobs: &mut Vec<Job>, at: Moment) {
        let messages = || jobs.iter().map(|job| job.key.message);
        if let Some(first) = messages().next()
            && messages().all(|message| message != lead)
        {
            self.flights.change_lead(lead, first);
        }
        jobs.retain(|job| self.fetched(job.key.message, job.scheduled, job.message.0.time(), at));
    }

    /// There was no room in the batch: it waits as it did.
    pub(crate) fn left_behind(&mut self, message: Position, at: Moment) {
        let as_before = |flight: &Flight| News::Waits(Waits::told(flight.scheduled, flight.order_key, at.now));
        self.withdraw(message, at, as_before);
    }

    /// Those that ride in the batch that this one leads.
    pub(crate) fn riders(&self, lead: Position) -> Vec<Position> {
        self.flights.riders(lead)
    }

    /// Those of a batch that wait leave its request to the others, of which this one leads from now on.
    pub(crate) fn leave_to(&mut self, from: Position, lead: Position, waiting: &[Position], at: Moment) {
        if from != lead {
            self.flights.change_lead(from, lead);
        }
        waiting.iter().for_each(|rider| self.rider_back(*rider, at));
    }

    /// The request that it rode in was not made: its delivery waits as before.
    pub(crate) fn rider_back(&mut self, message: Position, at: Moment) {
        let Some(flight) = self.flights.get(message).filter(|flight| flight.phase == Phase::Sent) else { return };
        let Flight { scheduled, order_key, order, news, .. } = *flight;
        let as_before = News::Waits(Waits { scheduled, order_key, order, not_before: scheduled.due });
        self.flights.tell(message, news.unwrap_or(as_before));
        self.land(message, at);
    }

    /// The request that it rode in has ended, and its outcome is on its way to the disk.
    pub(crate) fn rider_ended(&mut self, message: Position, at: Moment) {
        if self.flights.enter(message, Phase::Settling).is_some() && self.gone {
            self.land(message, at);
        }
    }
}
