//! One endpoint's lane: what waits, what is in flight, what holds it.
//!
//! A delivery is either in the queue or in the flights, never both (W5). It leaves
//! the flights when its outcome is recorded, not before; its slot is free as soon as
//! its attempt has ended.

mod batch;
mod why;

use std::sync::Arc;
use std::time::Duration;

use postrider_model::check_invariant;
use postrider_model::delivery::{Scheduled, Trigger};
use postrider_model::endpoint::Hold;
use postrider_model::id::AppId;
use postrider_model::lane::{Lane as Facts, is_long};
use postrider_model::order::AfterDead;
use postrider_model::policy::{Policy, Rules};
use postrider_model::position::Position;
use postrider_model::time::UnixMs;

pub(crate) use self::batch::Batch;
use crate::flights::{Flight, Flights, News, Phase};
use crate::moment::Moment;
use crate::pace::{Pace, Signal, Start};
use crate::queue::{Queue, Waits};
use crate::settle::Flown;

/// The first and the longest wait after a job could not be read.
const FETCH_BACKOFF_MIN: Duration = Duration::from_secs(1);
const FETCH_BACKOFF_MAX: Duration = Duration::from_secs(60);

/// What a lane could do at this moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Readiness {
    /// Start an attempt.
    Ready,
    /// Nothing before a wall-clock time.
    Due(UnixMs),
    /// Nothing before a monotonic time.
    Paced(Duration),
    /// Nothing before an event or an outcome comes.
    Idle,
}

/// An attempt that starts.
#[derive(Clone, Debug)]
pub(crate) struct Started {
    pub(crate) message: Position,
    pub(crate) scheduled: Scheduled,
    /// The others of its batch, if it is one.
    pub(crate) batch: Option<Batch>,
}

/// How many deliveries of a lane wait, are in flight, which of these have jobs that are
/// being read, and are being recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) waiting: usize,
    pub(crate) in_flight: u32,
    pub(crate) fetching: u32,
    pub(crate) settling: u32,
}

/// What the end of an attempt says about its endpoint.
#[derive(Clone, Copy, Debug)]
pub(crate) struct End {
    pub(crate) signal: Signal,
    /// How long the endpoint asked to wait, already clamped.
    pub(crate) pause: Option<Duration>,
    /// When it ended, as its record has it.
    pub(crate) at: UnixMs,
    /// It was not made, because there was no token for it.
    pub(crate) no_token: bool,
    /// Its record disables the endpoint.
    pub(crate) disables: bool,
}

/// One endpoint's lane.
#[derive(Clone, Debug)]
pub(crate) struct Lane {
    /// Where the scheduler has put it; only the scheduler changes it.
    pub(crate) place: Readiness,
    app: AppId,
    hold: Option<Hold>,
    gone: bool,
    queue: Queue,
    flights: Flights,
    pace: Pace,
    /// What the endpoint's owner says, if anything.
    policy: Option<Arc<Policy>>,
    /// What follows from that; lanes without a policy share one.
    rules: Arc<Rules>,
    /// The end of the first attempt that failed after the last success.
    failing_since: Option<UnixMs>,
    /// The leap of the wall clock that the pace knows of.
    leap: u32,
    fetch_failures: u32,
    /// Until when the batch gathers that goes out next, if it does.
    gathers_until: Option<Duration>,
}

impl Lane {
    /// A lane of a scheduler that has run since `started`.
    pub(crate) fn new(facts: &Facts, standard: &Arc<Rules>, leap: u32, started: UnixMs, monotonic: Duration) -> Self {
        let rules = rules(facts.policy.as_deref(), standard);
        Self {
            place: Readiness::Idle,
            app: facts.app,
            hold: facts.hold,
            gone: false,
            queue: Queue::opened(started),
            flights: Flights::default(),
            pace: Pace::new(&rules, monotonic),
            policy: facts.policy.clone(),
            rules,
            failing_since: facts.failing_since,
            leap,
            fetch_failures: 0,
            gathers_until: None,
        }
    }

    /// The endpoint has changed. A lane that is held no longer begins at one in
    /// flight, and as one that has not failed.
    pub(crate) fn configure(&mut self, facts: &Facts, standard: &Arc<Rules>, at: Moment) {
        if self.hold.is_some() && facts.hold.is_none() {
            self.pace.restart();
            self.queue.open(at.now);
            self.failing_since = facts.failing_since;
        }
        // What was wrong with it may be mended.
        self.pace.expect_token();
        (self.hold, self.gone) = (facts.hold, false);
        self.policy.clone_from(&facts.policy);
        self.set_standard(standard, at);
    }

    /// What counts where the policy says nothing has changed, or the policy has.
    /// It counts at once: a delivery that waits for a later attempt does not wait
    /// longer than if the one before had ended now.
    pub(crate) fn set_standard(&mut self, standard: &Arc<Rules>, at: Moment) {
        let rules = rules(self.policy.as_deref(), standard);
        self.pace.configure(&rules, at.monotonic);
        if rules.order.by != self.rules.order.by {
            let busy = self.flights.reorder(|order_key| rules.order.by.order(order_key));
            self.queue.reorder(rules.order.by, busy, at.now);
        }
        if rules.order.after_dead == AfterDead::Continue {
            self.queue.unbury_all(at.now);
        }
        if rules.schedule != self.rules.schedule {
            let by_schedule = |scheduled: &Scheduled| scheduled.step > 0 && scheduled.trigger != Trigger::Resent;
            self.queue.hasten(at.now, |scheduled| {
                let delay = rules.schedule.delay(scheduled.step).filter(|_| by_schedule(scheduled))?;
                Some(at.now + rules.jitter.apply(delay, 1.0))
            });
        }
        self.rules = rules;
    }

    /// Begins at one in flight again, once for each leap of the wall clock.
    pub(crate) fn see_leap(&mut self, leap: u32) {
        if self.leap != leap {
            self.leap = leap;
            self.pace.restart();
        }
    }

    pub(crate) fn app(&self) -> AppId {
        self.app
    }

    pub(crate) fn hold(&self) -> Option<Hold> {
        self.hold
    }

    pub(crate) fn counts(&self) -> Counts {
        let Self { queue, flights, .. } = self;
        let (in_flight, fetching, settling) = (flights.in_flight(), flights.fetching(), flights.settling());
        Counts { waiting: queue.len(), in_flight, fetching, settling }
    }

    /// Whether it is gone and none of its attempts goes on.
    pub(crate) fn is_over(&self) -> bool {
        self.gone && self.flights.is_empty()
    }

    /// The earliest due time, unless the lane is held.
    pub(crate) fn oldest_due(&self) -> Option<UnixMs> {
        if self.hold.is_none() { self.queue.oldest_due() } else { None }
    }

    /// Something was told of a delivery. If it is in flight, it counts when that
    /// has ended.
    pub(crate) fn tell(&mut self, message: Position, news: News, at: Moment) {
        match self.flights.tell(message, news) {
            Some(Phase::Damaged) => self.land(message, at),
            Some(_) => {}
            None => self.apply(message, news, at),
        }
    }

    /// The outcome of an attempt is on record; the news tell what its delivery is now.
    pub(crate) fn recorded(&mut self, message: Position, news: News, at: Moment) {
        match self.flights.tell(message, news) {
            Some(_) => self.land(message, at),
            None => self.apply(message, news, at),
        }
    }

    /// The endpoint is gone. What the dispatcher has is still settled.
    pub(crate) fn end(&mut self, at: Moment) {
        self.gone = true;
        self.queue.clear();
        let over = |flight: &Flight| flight.phase.is_settling() || flight.phase == Phase::Damaged;
        while let Some(message) = self.flights.find(over) {
            self.land(message, at);
        }
    }

    /// What the lane could do now.
    pub(crate) fn readiness(&mut self, at: Moment) -> Readiness {
        let Some(due) = self.queue.next_due().filter(|_| self.hold.is_none() && !self.gone) else {
            self.gathers_until = None;
            return Readiness::Idle;
        };
        if due > at.now {
            self.gathers_until = None;
            return Readiness::Due(due);
        }
        if let Some(rule) = self.rules.batch
            && let Some(then) = self.gather(rule, at)
        {
            return Readiness::Paced(then);
        }
        if !self.flights.lets_start() {
            return Readiness::Idle;
        }
        match self.pace.start(at.monotonic, self.flights.in_flight()) {
            Start::Now => Readiness::Ready,
            Start::NotBefore(then, _) => Readiness::Paced(then),
            Start::Full | Start::Probing => Readiness::Idle,
        }
    }

    /// Starts the attempt whose turn it is, if one may start; `price` was paid for it.
    pub(crate) fn start(&mut self, at: Moment, price: Duration) -> Option<Started> {
        if self.readiness(at) != Readiness::Ready {
            return None;
        }
        let (message, waits) = match self.rules.batch {
            None => self.queue.take(at.now)?,
            Some(rule) => self.take_lead(rule, at)?,
        };
        if !self.may_fly(message, waits, at) {
            return None;
        }
        let scheduled = waits.scheduled;
        let probe = self.pace.started(at.monotonic);
        self.flights.begin(message, Flight { price, probe, ..Flight::begun(waits) });
        let batch = self.rules.batch.map(|rule| self.start_riders(rule, message, scheduled.step, at));
        Some(Started { message, scheduled, batch })
    }

    /// Whether no attempt is in flight of a delivery that was taken out of the queue.
    fn may_fly(&mut self, message: Position, waits: Waits, at: Moment) -> bool {
        let free = self.flights.get(message).is_none();
        if check_invariant!("W5", free, "a delivery was picked while an attempt of it is in flight") {
            return true;
        }
        self.queue.done(waits.order, at.now);
        false
    }

    /// A job was handed out, for the attempt that the delivery waits for by now;
    /// true if it is to be sent.
    ///
    /// It is sent even if the lane is held or the delivery cancelled since it was
    /// picked: the outbox counts on the settlement of every job that it handed out.
    pub(crate) fn fetched(&mut self, message: Position, scheduled: Scheduled, accepted: UnixMs, at: Moment) -> bool {
        let Some(flight) = self.fetched_as(message, Phase::Sent) else { return false };
        (flight.accepted, flight.sent) = (accepted, at.monotonic);
        // The outbox may be ahead; what it says is what counts (W6).
        flight.scheduled = scheduled;
        self.fetch_failures = 0;
        true
    }

    /// There is no job because the delivery waits no longer.
    pub(crate) fn not_live(&mut self, message: Position, at: Moment) {
        self.withdraw(message, at, |_| News::Left);
    }

    /// There is no job because the payload is damaged.
    pub(crate) fn damaged(&mut self, message: Position, at: Moment) {
        let gone = self.gone;
        let Some(flight) = self.fetched_as(message, Phase::Damaged) else { return };
        let (probe, told) = (flight.probe, flight.news.is_some());
        self.pace.withdrawn(at.monotonic, probe);
        if told || gone {
            self.land(message, at);
        }
    }

    /// There is no job because reading failed; true if it is the lane's first in a row.
    pub(crate) fn fetch_failed(&mut self, message: Position, at: Moment) -> bool {
        let backoff = FETCH_BACKOFF_MIN.saturating_mul(1 << self.fetch_failures.min(16)).min(FETCH_BACKOFF_MAX);
        let again = |flight: &Flight| {
            let Flight { scheduled, order_key, order, .. } = *flight;
            News::Waits(Waits { scheduled, order_key, order, not_before: scheduled.due.max(at.now + backoff) })
        };
        let withdrawn = self.withdraw(message, at, again);
        self.fetch_failures = self.fetch_failures.saturating_add(u32::from(withdrawn));
        withdrawn && self.fetch_failures == 1
    }

    /// What is known of an attempt that the dispatcher has.
    pub(crate) fn sent(&self, message: Position) -> Option<Flown> {
        let flight = self.flights.get(message).filter(|flight| flight.phase == Phase::Sent)?;
        let Flight { scheduled, accepted, order, price, sent, .. } = *flight;
        Some(Flown { scheduled, accepted, failing_since: self.failing_since, ordered: order != 0, price, sent })
    }

    /// What counts for this lane.
    pub(crate) fn rules(&self) -> &Rules {
        &self.rules
    }

    /// The attempt has ended, and its outcome is on its way to the disk. `random`
    /// in 0..1 spreads pauses.
    pub(crate) fn ended(&mut self, message: Position, end: &End, at: Moment, random: f64) {
        if matches!(end.signal, Signal::Success | Signal::Slow) && is_long(self.failing_since, end.at) {
            self.queue.open(at.now);
        }
        self.failing_since = match end.signal {
            Signal::Success | Signal::Slow => None,
            Signal::Alive | Signal::Overload | Signal::Down => self.failing_since.or(Some(end.at)),
            Signal::Unknown => self.failing_since,
        };
        let gone = self.gone;
        let phase = if end.disables { Phase::Disabling } else { Phase::Settling };
        let Some(flight) = self.flights.enter(message, phase) else { return };
        let probe = flight.probe;
        self.pace.ended(at.monotonic, probe, end.signal, end.pause, random);
        if end.no_token {
            self.pace.missed_token(at.monotonic);
        }
        if gone {
            self.land(message, at);
        }
    }

    /// The attempt was not made, because there was no token for it: its delivery waits as before,
    /// and the lane pauses. True if it is the lane's first in a row.
    pub(crate) fn taken_back(&mut self, message: Position, at: Moment) -> bool {
        let Some(flight) = self.flights.get(message).filter(|flight| flight.phase == Phase::Sent) else { return false };
        let Flight { scheduled, order_key, order, probe, news, .. } = *flight;
        let as_before = News::Waits(Waits { scheduled, order_key, order, not_before: scheduled.due });
        self.flights.tell(message, news.unwrap_or(as_before));
        self.pace.withdrawn(at.monotonic, probe);
        let is_first = self.pace.missed_token(at.monotonic);
        self.land(message, at);
        is_first
    }

    /// Whether a token that is missing now has been missing through the longest pause.
    pub(crate) fn misses_token_for_long(&self, at: Moment) -> bool {
        self.pace.misses_token_for_long(at.monotonic)
    }

    /// For how long a token that is missing now has been missing.
    pub(crate) fn misses_token_for(&self, at: Moment) -> Duration {
        self.pace.misses_token_for(at.monotonic)
    }

    fn fetching(&self, message: Position) -> Option<&Flight> {
        self.flights.get(message).filter(|flight| flight.phase == Phase::Fetching)
    }

    /// A job was asked for, and this is what came of it.
    fn fetched_as(&mut self, message: Position, phase: Phase) -> Option<&mut Flight> {
        self.fetching(message)?;
        self.flights.enter(message, phase)
    }

    /// Takes back an attempt for which there is no job. What was told of the
    /// delivery meanwhile counts, else what `otherwise` says.
    fn withdraw(&mut self, message: Position, at: Moment, otherwise: impl Fn(&Flight) -> News) -> bool {
        let Some(flight) = self.fetching(message) else { return false };
        let (news, probe) = (flight.news.unwrap_or_else(|| otherwise(flight)), flight.probe);
        self.flights.tell(message, news);
        self.pace.withdrawn(at.monotonic, probe);
        self.land(message, at);
        true
    }

    /// Ends a flight, and then does what was told of its delivery.
    fn land(&mut self, message: Position, at: Moment) {
        let Some(flight) = self.flights.land(message) else { return };
        if let Some(news) = flight.news {
            self.apply(message, news, at);
        }
        self.queue.done(flight.order, at.now);
    }

    fn apply(&mut self, message: Position, news: News, at: Moment) {
        let by = self.rules.order.by;
        if let News::Died(order_key) = news
            && !self.gone
            && self.rules.order.after_dead == AfterDead::Hold
        {
            self.queue.bury(message, order_key, by);
        } else {
            self.queue.unbury(message, by, at.now);
        }
        match news {
            // Which order it is in is known only here: the policy may have changed since it was told.
            News::Waits(waits) if !self.gone => {
                self.queue.put(message, Waits { order: by.order(waits.order_key), ..waits }, at.now);
            }
            News::Waits(_) | News::Left | News::Died(_) => {
                self.queue.remove(message, at.now);
            }
        }
    }
}

fn rules(policy: Option<&Policy>, standard: &Arc<Rules>) -> Arc<Rules> {
    policy.map_or_else(|| Arc::clone(standard), |policy| Arc::new(standard.with(policy)))
}
