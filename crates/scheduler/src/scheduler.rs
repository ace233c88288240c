//! The step machine: everything that the scheduler knows and decides.
//!
//! ```text
//!   observe(LaneEvent) --+                    +--> pick()      start an attempt
//!   fetched / no_job   --+--> lanes, rings ---+--> settle()    what to record
//!   settle(Outcome)    --+     and timers     +--> next_wake() when to look again
//!   advance(Moment)    --+
//! ```
//!
//! A lane is in one place at a time: in the ring of those that may send now,
//! parked until a wall-clock or a monotonic time, or idle until an event or an
//! outcome comes. Every change of a lane goes through one function, which counts
//! and puts it into its place again; so no event costs more than its own lane.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use postrider_model::check_invariant;
use postrider_model::delivery::{DeliveryKey, Scheduled};
use postrider_model::endpoint::Hold;
use postrider_model::id::EndpointId;
use postrider_model::job::{Job, Outcome};
use postrider_model::lane::{JobError, LaneEvent, Settlement};
use postrider_model::policy::Rules;
use postrider_model::position::Position;
use postrider_model::time::UnixMs;

use crate::fair::Fair;
use crate::flights::News;
use crate::lane::{Batch, End, Lane, Readiness};
use crate::moment::Moment;
use crate::options::Options;
use crate::pace::Signal;
use crate::queue::Waits;
use crate::ramp::Ramp;
use crate::settle::{self, Asked, Flown};
use crate::timers::Timers;

/// Lanes that one look at the clocks brings back at most, so that a step stays short.
const WAKES_PER_STEP: usize = 1_024;

/// An attempt that starts: read its job, send it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pick {
    /// The delivery.
    pub key: DeliveryKey,
    /// What it waited for.
    pub scheduled: Scheduled,
    /// How long after its due time it starts.
    pub late: Duration,
    /// What goes in the same request, if the endpoint gets batches.
    pub batch: Option<Together>,
}

/// Attempts that are one request with another one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Together {
    /// Their deliveries; there may be none.
    pub others: Vec<DeliveryKey>,
    /// Bytes of the body at most, as [`postrider_model::batch::element_bytes`] has them.
    pub max_bytes: usize,
}

/// The scheduler has stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Drained {
    /// Attempts whose outcome was not recorded before the deadline. They are due
    /// again after the next start.
    pub in_flight: usize,
}

/// Everything that the scheduler knows and decides.
#[derive(Debug)]
pub struct Scheduler {
    options: Options,
    /// What counts where a policy says nothing.
    standard: Arc<Rules>,
    lanes: HashMap<EndpointId, Lane>,
    fair: Fair,
    due: Timers<UnixMs, EndpointId>,
    paced: Timers<Duration, EndpointId>,
    ramp: Ramp,
    leap: u32,
    started: UnixMs,
    waiting: usize,
    in_flight: u32,
    /// Those of them whose jobs are being read.
    fetching: u32,
    /// Outcomes on their way to the disk.
    settling: u32,
    stop_by: Option<Duration>,
}

impl Scheduler {
    /// A scheduler that knows of nothing yet.
    #[must_use]
    pub fn new(options: Options, at: Moment) -> Self {
        Self {
            lanes: HashMap::new(),
            fair: Fair::new(options.in_flight_per_application.max(1)),
            due: Timers::default(),
            paced: Timers::default(),
            ramp: Ramp::new(&options, at),
            leap: 0,
            started: at.now,
            waiting: 0,
            in_flight: 0,
            fetching: 0,
            settling: 0,
            stop_by: None,
            standard: Arc::new(options.rules.clone()),
            options,
        }
    }

    /// Takes in what has happened in the outbox. An event of an endpoint that is
    /// not known comes too late and says nothing.
    pub fn observe(&mut self, event: LaneEvent, at: Moment) {
        match event {
            LaneEvent::Endpoint(facts) => self.configure(&facts, at),
            LaneEvent::EndpointGone(endpoint) => {
                self.change(endpoint, at, |lane| lane.end(at));
            }
            LaneEvent::Waiting { key, scheduled, order_key } => {
                self.change(key.endpoint, at, |lane| {
                    let waits = Waits::told(scheduled, order_key, at.now);
                    lane.tell(key.message, News::Waits(waits), at);
                });
            }
            LaneEvent::Left(key) => {
                self.change(key.endpoint, at, |lane| lane.tell(key.message, News::Left, at));
            }
            LaneEvent::Died { key, order_key } => {
                self.change(key.endpoint, at, |lane| lane.tell(key.message, News::Died(order_key), at));
            }
            LaneEvent::Recorded { key, waits, dead, order_key } => {
                self.change(key.endpoint, at, |lane| {
                    let news = match waits {
                        Some(scheduled) => News::Waits(Waits::told(scheduled, order_key, at.now)),
                        None if dead => News::Died(order_key),
                        None => News::Left,
                    };
                    lane.recorded(key.message, news, at);
                });
            }
        }
    }

    /// A batch by its deliveries.
    fn together(&self, endpoint: EndpointId, batch: &Batch) -> Together {
        let others = batch.riders.iter().map(|message| DeliveryKey { endpoint, message: *message }).collect();
        let own = batch.max_bytes.map_or(usize::MAX, |bytes| bytes as usize);
        Together { others, max_bytes: own.min(self.options.batch_bytes) }
    }

    fn configure(&mut self, facts: &postrider_model::lane::Lane, at: Moment) {
        let (endpoint, app) = (facts.endpoint, facts.app);
        if let std::collections::hash_map::Entry::Vacant(place) = self.lanes.entry(endpoint) {
            place.insert(Lane::new(facts, &self.standard, self.leap, self.started, at.monotonic));
            self.fair.join(app, endpoint, at.monotonic);
        }
        self.fair.set_rate(app, facts.app_throttle_per_second, at.monotonic);
        let standard = Arc::clone(&self.standard);
        let was = self.change(endpoint, at, |lane| {
            let was = lane.hold();
            lane.configure(facts, &standard, at);
            was
        });
        if was == Some(Some(Hold::AllPaused)) && facts.hold.is_none() {
            // All lanes come back at once; what became overdue meanwhile is a storm too.
            self.ramp.restart(at);
        }
    }

    /// Looks at the clocks: brings back the lanes whose time has come. If there
    /// are very many, [`Self::next_wake`] is zero and the next call brings back more.
    pub fn advance(&mut self, at: Moment) {
        if self.ramp.leapt(at) {
            self.leap = self.leap.wrapping_add(1);
        }
        for _ in 0..WAKES_PER_STEP {
            let due = self.due.pop_due(at.now).or_else(|| self.paced.pop_due(at.monotonic));
            let Some(endpoint) = due else { break };
            self.change(endpoint, at, |lane| lane.place = Readiness::Idle);
        }
        self.fair.advance(at.monotonic);
        self.ramp.advance(at.monotonic);
    }

    /// The next attempt to start, if one may start now. It is in flight by that.
    pub fn pick(&mut self, at: Moment) -> Option<Pick> {
        if self.stop_by.is_some() {
            return None;
        }
        while self.has_room(at) {
            let next = self.fair.next(at.monotonic)?;
            let endpoint = next.endpoint;
            let started = self.change(endpoint, at, |lane| {
                lane.place = Readiness::Idle;
                lane.start(at, next.price).map(|started| (lane.app(), started))
            });
            if let Some((app, started)) = started.flatten() {
                self.fair.took(app, next, at.monotonic);
                let (key, scheduled) = (DeliveryKey { endpoint, message: started.message }, started.scheduled);
                let batch = started.batch.map(|batch| self.together(endpoint, &batch));
                return Some(Pick { key, scheduled, late: at.now.since(scheduled.due), batch });
            }
        }
        None
    }

    /// The outbox has room for as many outcomes as may be in flight, so what is on its way
    /// to the disk counts there, too.
    fn has_room(&self, at: Moment) -> bool {
        self.unrecorded() < self.options.max_in_flight && self.ramp.has_room(self.fetching, at.monotonic)
    }

    /// Attempts that were picked and whose outcomes are not recorded.
    fn unrecorded(&self) -> u32 {
        self.in_flight + self.settling
    }

    /// The job of a pick was handed out, for the attempt that the delivery waits
    /// for. True if it is to be sent, which is so unless the key was never picked.
    pub fn fetched(&mut self, key: DeliveryKey, scheduled: Scheduled, accepted: UnixMs, at: Moment) -> bool {
        let sent = self.change(key.endpoint, at, |lane| lane.fetched(key.message, scheduled, accepted, at));
        if sent == Some(true) {
            self.ramp.sent(key, at.monotonic);
        }
        sent.unwrap_or(false)
    }

    /// Jobs of a batch were handed out whose pick is known by `lead`. What is not to be sent
    /// is taken out of the list.
    pub(crate) fn fetched_together(&mut self, lead: DeliveryKey, jobs: &mut Vec<Job>, at: Moment) {
        if self.change(lead.endpoint, at, |lane| lane.fetched_together(lead.message, jobs, at)).is_none() {
            jobs.clear();
        }
        // By the key of its lead it is known from now on.
        let messages = || jobs.iter().map(|job| job.key);
        let lead = messages().find(|key| *key == lead).or_else(|| messages().next());
        lead.into_iter().for_each(|lead| self.ramp.sent(lead, at.monotonic));
    }

    /// There is no job for a pick. No attempt is consumed. True if the operator
    /// is to be told: the first failure in a row of the lane.
    pub fn no_job(&mut self, key: DeliveryKey, error: &JobError, at: Moment) -> bool {
        let tell = self.change(key.endpoint, at, |lane| match error {
            JobError::NotLive => {
                lane.not_live(key.message, at);
                false
            }
            JobError::NoPayload(_) => {
                lane.damaged(key.message, at);
                true
            }
            JobError::NoRoom => {
                lane.left_behind(key.message, at);
                false
            }
            JobError::Failed(_) => lane.fetch_failed(key.message, at),
        });
        tell.unwrap_or(false)
    }

    /// An attempt has ended: adds what is to be recorded, for each member if it was one of a
    /// batch. `random` in 0..1 is the jitter. The next attempt may start by that; these
    /// deliveries are held until events say that they are recorded.
    pub fn settle(&mut self, outcome: Outcome, at: Moment, random: f64, into: &mut Vec<Settlement>) {
        let key = outcome.key;
        let lane = self.lanes.get(&key.endpoint);
        let flown = lane.and_then(|lane| Some((lane, lane.sent(key.message)?)));
        let known = check_invariant!("W5", flown.is_some(), "an outcome came for a delivery that was not in flight");
        let Some((lane, flown)) = flown.filter(|_| known) else { return };
        let (app, rules, riders) = (lane.app(), lane.rules(), lane.riders(key.message));
        let asked = Asked::of(&outcome.result, at.now, self.options.retry_after_max);
        let ended = outcome.started + Duration::from_millis(outcome.duration.as_millis() as u64);
        let signal = Signal::of(&outcome, riders.len() + 1);
        let no_token = outcome.result.has_no_token();
        self.fair.ended(app, key.endpoint, flown.price, outcome.duration);
        self.ramp.ended(key, flown.sent);
        let others = riders.iter().filter_map(|rider| Some((*rider, lane.sent(*rider)?)));
        let one = |outcome, flown: &Flown| settle::settle(outcome, flown, rules, asked.retry_after, at.now, random);
        let from = into.len();
        if riders.is_empty() {
            into.push(one(outcome, &flown));
        } else {
            let members = std::iter::once((key.message, flown)).chain(others).collect();
            into.extend(settle::each(&outcome, members).map(|(outcome, flown)| one(outcome, &flown)));
        }
        let disables = settle::disable_once(into.get_mut(from..).unwrap_or_default());
        let end = End { signal, pause: asked.pause, at: ended, no_token, disables };
        self.change(key.endpoint, at, |lane| {
            lane.ended(key.message, &end, at, random);
            riders.iter().for_each(|rider| lane.rider_ended(*rider, at));
        });
    }

    /// Takes back an attempt that was not made because there was no token for it: its delivery waits
    /// as before, and nothing is recorded. `None` if it is to be settled as others are; true if the
    /// operator is to be told: the first in a row of the lane. Adds the deliveries that are to be handed
    /// back: of a batch those are that are not for the record, and the outcome is that of the others.
    pub fn take_back(&mut self, outcome: &mut Outcome, at: Moment, back: &mut Vec<DeliveryKey>) -> Option<bool> {
        if !outcome.result.has_no_token() {
            return None;
        }
        let key = outcome.key;
        // A leap of the wall clock since it was picked is seen by that.
        self.change(key.endpoint, at, |_| ())?;
        let lane = self.lanes.get(&key.endpoint)?;
        let (flown, app, riders) = (lane.sent(key.message)?, lane.app(), lane.riders(key.message));
        let long = lane.misses_token_for_long(at);
        let wait = Some(self.options.token_wait).filter(|wait| lane.misses_token_for(at) >= *wait);
        let waits = |message: &Position| {
            let (rules, flown) = (lane.rules(), lane.sent(*message));
            flown.is_some_and(|flown| !settle::is_for_the_record(&flown, rules, wait, long, at.now))
        };
        let (waiting, recorded): (Vec<_>, Vec<_>) = std::iter::once(key.message).chain(riders).partition(waits);
        let lead = recorded.first().and_then(|lead| Some((*lead, lane.sent(*lead)?.scheduled.attempt)));
        back.extend(waiting.iter().map(|message| DeliveryKey { message: *message, ..key }));
        if let Some((lead, attempt)) = lead {
            (outcome.key.message, outcome.attempt) = (lead, attempt);
            self.change(key.endpoint, at, |lane| lane.leave_to(key.message, lead, &waiting, at));
            return None;
        }
        self.fair.ended(app, key.endpoint, flown.price, outcome.duration);
        self.ramp.ended(key, flown.sent);
        self.change(key.endpoint, at, |lane| {
            waiting.iter().filter(|message| **message != key.message).for_each(|rider| lane.rider_back(*rider, at));
            lane.taken_back(key.message, at)
        })
    }

    /// How long nothing will happen by itself; `None` if for ever.
    #[must_use]
    pub fn next_wake(&self, at: Moment) -> Option<Duration> {
        let blocked = self.stop_by.is_none() && self.fair.has_ready();
        let ramp = if blocked { self.ramp.next(at.monotonic) } else { None };
        let paced = [self.paced.next(), self.fair.next_wake(), ramp, self.stop_by].into_iter().flatten().min();
        let due = self.due.next().map(|due| due.since(at.now));
        due.into_iter().chain(paced.map(|paced| paced.saturating_sub(at.monotonic))).min()
    }

    /// From now on nothing is picked. What is in flight is still settled until `by`,
    /// a monotonic time; the earliest of several calls counts.
    pub fn stop(&mut self, by: Duration) {
        self.stop_by = Some(self.stop_by.map_or(by, |earlier| earlier.min(by)));
    }

    /// Whether [`Self::stop`] was called and is done: all is recorded, or it is too late.
    #[must_use]
    pub fn drained(&self, at: Moment) -> Option<Drained> {
        let by = self.stop_by?;
        let done = self.unrecorded() == 0 || by <= at.monotonic;
        done.then_some(Drained { in_flight: self.unrecorded() as usize })
    }

    /// Whether [`Self::stop`] was called.
    #[must_use]
    pub fn is_stopping(&self) -> bool {
        self.stop_by.is_some()
    }

    /// Takes other rules for the lanes whose policies say nothing else. They count
    /// at once, for what waits already, too.
    pub fn set_rules(&mut self, rules: Rules, at: Moment) {
        let standard = Arc::new(rules);
        self.standard = Arc::clone(&standard);
        let endpoints: Vec<_> = self.lanes.keys().copied().collect();
        for endpoint in endpoints {
            self.change(endpoint, at, |lane| lane.set_standard(&standard, at));
        }
    }

    /// The numbers of [`Self::gauges`] that cost nothing: deliveries that wait,
    /// attempts that are not recorded, lanes.
    pub(crate) fn counts(&self) -> (usize, u32, usize) {
        (self.waiting, self.unrecorded(), self.lanes.len())
    }

    /// The one way to change a lane: counts what has changed, and puts the lane
    /// into its place again.
    fn change<R>(&mut self, endpoint: EndpointId, at: Moment, change: impl FnOnce(&mut Lane) -> R) -> Option<R> {
        let lane = self.lanes.get_mut(&endpoint)?;
        lane.see_leap(self.leap);
        let (app, before) = (lane.app(), lane.counts());
        let result = change(lane);
        // A lane that was taken out of its place for this change is idle here.
        let (after, place) = (lane.counts(), lane.place);
        let next = match place {
            // It is found out at its turn that it may not send any more.
            Readiness::Ready => Readiness::Ready,
            _ => lane.readiness(at),
        };
        let over = lane.is_over();
        lane.place = next;
        self.waiting = (self.waiting + after.waiting).saturating_sub(before.waiting);
        self.in_flight = (self.in_flight + after.in_flight).saturating_sub(before.in_flight);
        self.fetching = (self.fetching + after.fetching).saturating_sub(before.fetching);
        self.settling = (self.settling + after.settling).saturating_sub(before.settling);
        self.fair.count(app, before.in_flight, after.in_flight);
        if over {
            self.unpark(endpoint, place);
            self.fair.leave(app, endpoint);
            self.lanes.remove(&endpoint);
        } else if next != place {
            self.unpark(endpoint, place);
            match next {
                Readiness::Ready => self.fair.enter(app, endpoint),
                Readiness::Due(due) => self.due.insert(due, endpoint),
                Readiness::Paced(then) => self.paced.insert(then, endpoint),
                Readiness::Idle => {}
            }
        }
        Some(result)
    }

    fn unpark(&mut self, endpoint: EndpointId, place: Readiness) {
        match place {
            Readiness::Due(due) => self.due.remove(due, endpoint),
            Readiness::Paced(then) => self.paced.remove(then, endpoint),
            Readiness::Ready | Readiness::Idle => false,
        };
    }
}

mod why;

#[cfg(test)]
mod tests;
