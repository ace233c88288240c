//! The loop around the step machine.
//!
//! ```text
//!              changed, take: LaneEvent
//!   outbox ------------------------------> +---------+ <-- stop, why, gauges -- Handle
//!      ^  ^ <----------------------------- | Service |                            |
//!      |  |   settle: Settlement           +---------+ <---- one Mutex around ----+
//!      |  |                                  |     ^         the Scheduler
//!      |  | jobs_at_once(keys)               |     |
//!      |  +------------------------------- Launch -- a task for what must wait: job(key)
//!      |                                     |     |
//!      |                          Assignment v     | Outcome
//!      |                               dispatchers
//! ```
//!
//! Bounded channels lead to the dispatchers and back. The slot of an outcome is
//! reserved before its attempt starts, so the dispatcher's answer never waits: the two
//! cannot lock each other, and the loop itself waits for neither, see [`crate::launch`].
//!
//! One turn of the loop does everything that is ready: it takes in events and
//! outcomes, starts what may start, and sleeps until the next due time. The lock
//! is held for one batch; the outbox is called outside of it.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use metrics::{Gauge, Histogram};
use parking_lot::Mutex;
use postrider_model::delivery::DeliveryKey;
use postrider_model::job::{Assignment, AttemptResult, Outcome};
use postrider_model::lane::{DeliveryStore, LaneEvent, Settlement};
use postrider_model::time::Clock;
use tokio::sync::{Notify, mpsc};
use tokio::time::{Instant, sleep};

use crate::error::Error;
use crate::handle::{Handle, Shared};
use crate::launch::Launch;
use crate::moment::Moment;
use crate::options::Options;
use crate::routes::Routes;
use crate::scheduler::{Drained, Pick, Scheduler};

/// Events, outcomes and picks that one turn handles at most, so that others get
/// at the lock and the loop at its other work.
const BATCH: usize = 1_024;
/// The longest sleep. The wall clock may jump, and only a look at it shows that.
const MAX_SLEEP: Duration = Duration::from_secs(5);

/// What the service is given.
pub struct Parts {
    /// The outbox.
    pub store: Arc<dyn DeliveryStore>,
    /// The clocks.
    pub clock: Arc<dyn Clock>,
    /// Gives the jitter: numbers evenly in 0..1.
    pub random: Box<dyn FnMut() -> f64 + Send>,
    /// Towards the dispatchers, at least one; attempts at one endpoint are all made
    /// by the same. A small capacity is enough: the channels only hand over, what is
    /// in flight is bounded by [`Options::max_in_flight`].
    pub dispatchers: Vec<mpsc::Sender<Assignment>>,
}

/// The loop, ready to run.
pub struct Service {
    shared: Arc<Shared>,
    random: Box<dyn FnMut() -> f64 + Send>,
    launch: Launch,
    outcomes: mpsc::Receiver<Outcome>,
    meters: Meters,
    /// What the outbox told and is not handled yet, the next one last.
    events: Vec<LaneEvent>,
    /// The outbox has told what there is at the start.
    told: bool,
    /// All of that is known. Nothing starts before: behind many deliveries may come that
    /// their endpoint is paused.
    introduced: bool,
    ended: Vec<Outcome>,
    settlements: Vec<Settlement>,
    handed_back: Vec<DeliveryKey>,
    picks: Vec<Pick>,
}

/// What follows from a turn.
struct Turn {
    /// There is more to do at once.
    more: bool,
    wake: Duration,
    stopping: bool,
    drained: Option<Drained>,
}

impl Service {
    /// Puts the service together. Metrics go to the recorder that is installed
    /// when this is called.
    ///
    /// # Errors
    /// An option has a value that is not allowed, or there is no dispatcher.
    pub fn new(options: Options, parts: Parts) -> Result<(Self, Handle), Error> {
        options.validate()?;
        let routes = Routes::new(parts.dispatchers).ok_or(Error::NoDispatcher)?;
        // As many slots as may be in flight: a reserved one is never waited for long.
        let (outcome_slots, outcomes) = mpsc::channel(options.max_in_flight as usize);
        let scheduler = Mutex::new(Scheduler::new(options, Moment::of(&*parts.clock)));
        let shared = Arc::new(Shared { scheduler, wake: Notify::new(), store: parts.store, clock: parts.clock });
        let handle = Handle::new(Arc::clone(&shared));
        let service = Self {
            random: parts.random,
            launch: Launch::new(Arc::clone(&shared), routes, outcome_slots),
            shared,
            outcomes,
            meters: Meters::new(),
            events: Vec::new(),
            told: false,
            introduced: false,
            ended: Vec::new(),
            settlements: Vec::new(),
            handed_back: Vec::new(),
            picks: Vec::new(),
        };
        Ok((service, handle))
    }

    /// Runs until [`Handle::stop`] was called and what was in flight is recorded,
    /// or its deadline has passed. Ends the channels of assignments by that.
    ///
    /// # Errors
    /// A dispatcher has ended without being asked.
    pub async fn run(mut self) -> Result<Drained, Error> {
        let mut changed = self.shared.store.changed();
        let mut timer = Box::pin(sleep(Duration::ZERO));
        let mut broken = pin!(self.launch.broken());
        loop {
            let turn = self.turn();
            if let Some(drained) = turn.drained {
                return Ok(drained);
            }
            if turn.more {
                tokio::task::yield_now().await;
                continue;
            }
            timer.as_mut().reset(Instant::now() + turn.wake);
            // Each turn looks at all but the events itself, so an order that is always
            // the same starves nothing, and equal inputs give equal runs.
            tokio::select! {
                biased;
                () = &mut broken, if !turn.stopping => return Err(Error::DispatcherGone),
                () = &mut changed => {
                    self.take_events();
                    changed = self.shared.store.changed();
                }
                Some(outcome) = self.outcomes.recv() => self.ended.push(outcome),
                () = self.shared.wake.notified() => {}
                () = &mut timer => {}
            }
        }
    }

    /// Only called when all earlier events are handled, so that their order holds.
    fn take_events(&mut self) {
        self.events.shrink_to(BATCH);
        self.shared.store.take(&mut self.events);
        self.events.reverse();
        self.told = true;
    }

    fn turn(&mut self) -> Turn {
        while self.ended.len() < BATCH
            && let Ok(outcome) = self.outcomes.try_recv()
        {
            self.ended.push(outcome);
        }
        let turn = self.step();
        if !self.settlements.is_empty() {
            self.shared.store.settle(&mut self.settlements);
        }
        if !self.handed_back.is_empty() {
            self.shared.store.hand_back(&mut self.handed_back);
        }
        for pick in &self.picks {
            self.meters.lateness.record(pick.late);
        }
        self.launch.start(&mut self.picks);
        turn
    }

    /// The part of a turn that holds the lock.
    fn step(&mut self) -> Turn {
        let at = Moment::of(&*self.shared.clock);
        let mut scheduler = self.shared.scheduler.lock();
        scheduler.advance(at);
        for _ in 0..BATCH {
            let Some(event) = self.events.pop() else { break };
            scheduler.observe(event, at);
        }
        for mut outcome in self.ended.drain(..) {
            if let Some(tell) = scheduler.take_back(&mut outcome, at, &mut self.handed_back) {
                if let (true, AttemptResult::Failed { detail, .. }) = (tell, &outcome.result) {
                    let endpoint = outcome.key.endpoint;
                    tracing::warn!(%endpoint, detail, "no token for an endpoint's requests; its deliveries wait");
                }
                continue;
            }
            scheduler.settle(outcome, at, (self.random)(), &mut self.settlements);
        }
        self.introduced |= self.told && self.events.is_empty();
        while self.introduced
            && self.picks.len() < BATCH
            && let Some(pick) = scheduler.pick(at)
        {
            self.picks.push(pick);
        }
        self.meters.set(&scheduler);
        let wake = scheduler.next_wake(at).unwrap_or(MAX_SLEEP).min(MAX_SLEEP);
        Turn {
            more: !self.events.is_empty() || self.picks.len() == BATCH || wake.is_zero(),
            wake,
            stopping: scheduler.is_stopping(),
            drained: scheduler.drained(at),
        }
    }
}

/// Handles of the metrics, looked up once.
struct Meters {
    lanes: Gauge,
    waiting: Gauge,
    in_flight: Gauge,
    lateness: Histogram,
}

impl Meters {
    fn new() -> Self {
        metrics::describe_gauge!("postrider_scheduler_lanes", "Endpoints that the scheduler knows.");
        metrics::describe_gauge!("postrider_scheduler_waiting", "Deliveries in the lanes' windows that wait.");
        metrics::describe_gauge!("postrider_scheduler_in_flight", "Attempts picked and not yet recorded.");
        metrics::describe_histogram!(
            "postrider_scheduler_lateness_seconds",
            metrics::Unit::Seconds,
            "Time from a delivery's due time to the start of its attempt."
        );
        Self {
            lanes: metrics::gauge!("postrider_scheduler_lanes"),
            waiting: metrics::gauge!("postrider_scheduler_waiting"),
            in_flight: metrics::gauge!("postrider_scheduler_in_flight"),
            lateness: metrics::histogram!("postrider_scheduler_lateness_seconds"),
        }
    }

    fn set(&self, scheduler: &Scheduler) {
        let (waiting, in_flight, lanes) = scheduler.counts();
        self.lanes.set(lanes as f64);
        self.waiting.set(waiting as f64);
        self.in_flight.set(f64::from(in_flight));
    }
}

#[cfg(test)]
mod tests;
