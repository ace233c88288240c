//! A step machine, an outbox and a dispatcher that does what the test says, all
//! in manual time.

use std::collections::BTreeMap;
use std::time::Duration;

use postrider_model::delivery::{DeliveryKey, Trigger};
use postrider_model::endpoint::Hold;
use postrider_model::id::{AppId, EndpointId};
use postrider_model::job::{AttemptResult, Outcome};
use postrider_model::lane::{DeliveryStore, JobError, Lane};
use postrider_model::time::UnixMs;

use super::{Outbox, key, lane, outcome};
use crate::moment::Moment;
use crate::options::Options;
use crate::scheduler::Scheduler;

pub(crate) const START: UnixMs = UnixMs(1_700_000_000_000);

pub(crate) struct World {
    pub(crate) outbox: Outbox,
    pub(crate) scheduler: Scheduler,
    pub(crate) at: Moment,
    pub(crate) options: Options,
    /// What the dispatcher has, with the attempt's number.
    pub(crate) sent: BTreeMap<DeliveryKey, u16>,
    /// Picked, and the job not read yet.
    pub(crate) fetching: Vec<DeliveryKey>,
    /// Of those and of what is sent, what goes with it in a batch.
    pub(crate) others: BTreeMap<DeliveryKey, Vec<DeliveryKey>>,
    /// When attempts were picked.
    pub(crate) picks: Vec<(Duration, DeliveryKey)>,
    /// When the messages were accepted, as their ids say.
    pub(crate) accepted: UnixMs,
    /// A schedule was changed: attempts may start before what is on record.
    pub(crate) hastened: bool,
    apps: BTreeMap<EndpointId, AppId>,
}

impl World {
    pub(crate) fn new(options: Options) -> Self {
        let at = Moment { now: START, monotonic: Duration::from_secs(100) };
        Self {
            outbox: Outbox::default(),
            scheduler: Scheduler::new(options.clone(), at),
            at,
            options,
            sent: BTreeMap::new(),
            fetching: Vec::new(),
            others: BTreeMap::new(),
            picks: Vec::new(),
            accepted: at.now,
            hastened: false,
            apps: BTreeMap::new(),
        }
    }

    /// A world in which the ramp is over, with these lanes: application, endpoint.
    pub(crate) fn with(lanes: &[(u8, u8)]) -> Self {
        let mut world = Self::new(Options::default());
        world.pass(Duration::from_secs(60));
        for (of, number) in lanes {
            world.configure(lane(*of, *number));
        }
        world
    }

    pub(crate) fn configure(&mut self, lane: Lane) {
        self.apps.insert(lane.endpoint, lane.app);
        self.outbox.configure(lane);
    }

    pub(crate) fn hold(&mut self, mut lane: Lane, hold: Option<Hold>) {
        lane.hold = hold;
        self.configure(lane);
    }

    /// Messages with these sequences are accepted.
    pub(crate) fn accept(&mut self, lane: u8, messages: impl IntoIterator<Item = u64>) {
        for message in messages {
            self.outbox.accept(key(lane, message), 0, self.at.now);
        }
    }

    pub(crate) fn pass(&mut self, time: Duration) {
        self.at = Moment { now: self.at.now + time, monotonic: self.at.monotonic + time };
        self.scheduler.advance(self.at);
    }

    pub(crate) fn leap(&mut self, time: Duration) {
        self.at.now = self.at.now + time;
        self.scheduler.advance(self.at);
    }

    /// Takes in events and starts what may start; gives what went to the dispatcher.
    pub(crate) fn run(&mut self) -> Vec<DeliveryKey> {
        self.observe();
        let mut sent = Vec::new();
        while self.pick() {
            sent.extend(self.fetch());
        }
        sent
    }

    pub(crate) fn observe(&mut self) {
        let mut events = Vec::new();
        self.outbox.take(&mut events);
        for event in events {
            self.scheduler.observe(event, self.at);
        }
    }

    /// Picks one; its job is not read yet.
    pub(crate) fn pick(&mut self) -> bool {
        let Some(pick) = self.scheduler.pick(self.at) else { return false };
        let resent = pick.scheduled.trigger == Trigger::Resent;
        let early = self.hastened || pick.scheduled.step == 0 || resent;
        assert!(pick.scheduled.due <= self.at.now || early, "no retry fires early");
        let members: Vec<_> = pick.batch.iter().flat_map(|batch| &batch.others).chain([&pick.key]).collect();
        assert!(members.iter().all(|key| !self.is_on_its_way(**key)), "W5");
        self.fetching.push(pick.key);
        self.others.extend(pick.batch.map(|batch| (pick.key, batch.others)));
        self.picks.push((self.at.monotonic, pick.key));
        self.check_caps();
        true
    }

    /// Reads the jobs of all picks and sends them.
    pub(crate) fn fetch(&mut self) -> Vec<DeliveryKey> {
        let mut sent = Vec::new();
        for key in std::mem::take(&mut self.fetching) {
            if let Some(others) = self.others.remove(&key) {
                sent.extend(self.fetch_together(key, others));
                continue;
            }
            match self.outbox.job_now(key) {
                Ok(job) => {
                    if self.scheduler.fetched(key, job.scheduled, self.accepted, self.at) {
                        self.sent.insert(key, job.scheduled.attempt);
                        sent.push(key);
                    }
                }
                Err(error) => {
                    self.scheduler.no_job(key, &error, self.at);
                }
            }
        }
        sent
    }

    /// The same for a batch; what has no job stays behind.
    fn fetch_together(&mut self, lead: DeliveryKey, others: Vec<DeliveryKey>) -> Vec<DeliveryKey> {
        let (mut jobs, mut without) = (Vec::new(), Vec::new());
        for key in std::iter::once(lead).chain(others) {
            match self.outbox.job_now(key) {
                Ok(job) => jobs.push(job),
                Err(error) => without.push((key, error)),
            }
        }
        self.scheduler.fetched_together(lead, &mut jobs, self.at);
        for (key, error) in without {
            self.scheduler.no_job(key, &error, self.at);
        }
        let keys: Vec<_> = jobs.iter().map(|job| job.key).collect();
        if let Some((first, rest)) = jobs.split_first() {
            self.sent.insert(first.key, first.scheduled.attempt);
            self.others.insert(first.key, rest.iter().map(|job| job.key).collect());
        }
        keys
    }

    /// Whether an attempt of it was picked and has not ended.
    pub(crate) fn is_on_its_way(&self, key: DeliveryKey) -> bool {
        let leads = self.sent.contains_key(&key) || self.fetching.contains(&key);
        leads || self.others.values().flatten().any(|other| *other == key)
    }

    /// What goes in one request with this one, itself among them.
    pub(crate) fn members(&self, lead: DeliveryKey) -> Vec<DeliveryKey> {
        std::iter::once(lead).chain(self.others.get(&lead).into_iter().flatten().copied()).collect()
    }

    /// The dispatcher answers; the outcome goes to the outbox.
    pub(crate) fn answer(&mut self, key: DeliveryKey, result: AttemptResult) {
        self.answer_after(key, result, Duration::ZERO);
    }

    /// The same for an attempt that has taken so long.
    pub(crate) fn answer_after(&mut self, key: DeliveryKey, result: AttemptResult, duration: Duration) {
        let attempt = self.sent.remove(&key).expect("the dispatcher has it");
        let members = self.others.remove(&key).map_or(1, |others| others.len() + 1);
        let outcome = Outcome { duration, ..outcome(key, attempt, self.at.now, result) };
        let mut settlements = Vec::new();
        self.scheduler.settle(outcome, self.at, 0.5, &mut settlements);
        assert_eq!(settlements.len(), members, "all of it is in flight");
        assert!(settlements.iter().skip(1).all(|settlement| settlement.disable.is_none()), "it is disabled once");
        self.outbox.settle(&mut settlements);
    }

    /// Answers everything that the dispatcher has of a lane.
    pub(crate) fn answer_lane(&mut self, lane: u8, result: &AttemptResult) {
        let of_lane: Vec<_> = self.sent.keys().filter(|sent| sent.endpoint == key(lane, 0).endpoint).copied().collect();
        for key in of_lane {
            self.answer(key, result.clone());
        }
    }

    /// Goes on to the next moment at which something can happen by itself.
    pub(crate) fn sleep(&mut self) -> Option<Duration> {
        let wait = self.scheduler.next_wake(self.at)?;
        self.pass(wait);
        Some(wait)
    }

    pub(crate) fn fail_jobs(&self, key: DeliveryKey, error: Option<JobError>) {
        let errors = &mut self.outbox.inner.lock().job_errors;
        match error {
            Some(error) => errors.insert(key, error),
            None => errors.remove(&key),
        };
    }

    fn check_caps(&self) {
        let (mut lanes, mut apps) = (BTreeMap::new(), BTreeMap::new());
        for key in self.sent.keys().chain(&self.fetching) {
            *lanes.entry(key.endpoint).or_insert(0u32) += 1;
            *apps.entry(self.apps.get(&key.endpoint)).or_insert(0u32) += 1;
        }
        assert!(lanes.values().all(|count| *count <= self.options.rules.max_in_flight));
        assert!(apps.values().all(|count| *count <= self.options.in_flight_per_application));
        let all: u32 = lanes.values().sum();
        assert!(all <= self.options.max_in_flight);
    }
}
