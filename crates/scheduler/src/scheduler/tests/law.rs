//! Any history of events, outcomes, times and changes of policies keeps the
//! rules: one attempt in flight per delivery (W5) and the caps (asserted by the
//! world at each pick), nothing early, no rate exceeded, no order inverted, the
//! number in flight within its bounds, counts that are equal to a recount, and
//! nothing forgotten.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use proptest::prelude::*;
use proptest::sample::Index;
use proptest::test_runner::RngSeed;

use super::*;
use postrider_model::job::AttemptResult;
use postrider_model::lane::DeliveryStore;
use postrider_model::order::{AfterDead, OrderRule};
use postrider_model::rate::Rate;

use crate::flights::MAX_SETTLING;
use crate::testing::with_policy;

const APP_RATE: u32 = 4;
/// What an endpoint may ask for; they begin with the first.
pub(super) const POLICIES: [&str; 11] = [
    r#"{}"#,
    r#"{"rate":{"count":3}}"#,
    r#"{"order":{"by":"fifo"},"finalStatuses":["4xx","500"]}"#,
    r#"{"order":{"by":"fifo","afterDead":"hold"},"finalStatuses":["4xx","500"],"maxInFlight":2}"#,
    r#"{"order":{"afterDead":"hold"},"finalStatuses":["4xx","500"]}"#,
    r#"{"order":{"by":"none"},"maxInFlight":3}"#,
    r#"{"rate":{"count":5,"burst":3},"order":{"by":"fifo"}}"#,
    r#"{"rate":{"count":20,"per":"minute","burst":4},"breaker":{"failures":1,"pauseMinMs":100,"pauseMaxMs":300}}"#,
    r#"{"batch":{"maxMessages":3,"maxWaitMs":700}}"#,
    r#"{"batch":{"maxMessages":4,"maxWaitMs":0},"order":{"afterDead":"hold"},"finalStatuses":["4xx","500"],"rate":{"count":3}}"#,
    r#"{"batch":{"maxMessages":20,"maxWaitMs":3000},"breaker":{"failures":1},"maxInFlight":2}"#,
];
/// Lanes 1 and 2 are of application 1, 3 and 4 of application 2, which is
/// throttled, 5 is alone.
const LANES: [(u8, u8); 5] = [(1, 1), (1, 2), (2, 3), (2, 4), (3, 5)];

#[derive(Clone, Debug)]
enum Step {
    Accept {
        lane: Index,
        order_key: u64,
        count: u64,
    },
    Cancel(Index),
    Replay(Index),
    Resend(Index),
    CallOff(Index),
    Purge(Index),
    Hold(Index, bool),
    Policy(Index, Index),
    Standard {
        rate: Option<u32>,
        failures: u32,
    },
    Remove(Index),
    Pick(u8),
    Fetch,
    FailJobs(Index, bool),
    Answer(Index, AttemptResult),
    /// Of a batch every second one has failed.
    AnswerHalf(Index),
    HoldBack(bool),
    Pass(u64),
    Leap(i64),
}

pub(super) fn any_result() -> impl Strategy<Value = AttemptResult> {
    prop_oneof![
        4 => Just(answered(200)),
        1 => Just(answered(404)),
        1 => Just(answered(410)),
        1 => Just(answered(500)),
        1 => Just(asking(429, "3")),
        1 => Just(failed(FailureKind::Timeout)),
        1 => Just(failed(FailureKind::Internal)),
        2 => Just(failed(FailureKind::Connect)),
    ]
}

fn any_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (any::<Index>(), 0u64..3, 1u64..6)
            .prop_map(|(lane, order_key, count)| Step::Accept { lane, order_key, count }),
        1 => any::<Index>().prop_map(Step::Cancel),
        1 => any::<Index>().prop_map(Step::Replay),
        3 => any::<Index>().prop_map(Step::Resend),
        1 => any::<Index>().prop_map(Step::CallOff),
        1 => any::<Index>().prop_map(Step::Purge),
        2 => (any::<Index>(), any::<bool>()).prop_map(|(lane, on)| Step::Hold(lane, on)),
        4 => any::<(Index, Index)>().prop_map(|(lane, policy)| Step::Policy(lane, policy)),
        1 => (prop::option::of(1u32..9), 1u32..9).prop_map(|(rate, failures)| Step::Standard { rate, failures }),
        1 => any::<Index>().prop_map(Step::Remove),
        8 => (1u8..6).prop_map(Step::Pick),
        8 => Just(Step::Fetch),
        1 => (any::<Index>(), any::<bool>()).prop_map(|(key, on)| Step::FailJobs(key, on)),
        10 => (any::<Index>(), any_result()).prop_map(|(key, result)| Step::Answer(key, result)),
        3 => any::<Index>().prop_map(Step::AnswerHalf),
        2 => any::<bool>().prop_map(Step::HoldBack),
        6 => (1u64..3_000).prop_map(Step::Pass),
        1 => (-7_000_000i64..7_000_000).prop_map(Step::Leap),
    ]
}

struct History {
    world: World,
    policies: BTreeMap<u8, &'static str>,
    removed: BTreeSet<u8>,
    /// When attempts of which lane were picked, and at which rate.
    paced: Vec<(Duration, EndpointId, Rate)>,
    next: u64,
    /// When an attempt last began that no ramp bounded.
    unbounded: Option<Duration>,
}

impl History {
    fn new() -> Self {
        let schedule = RetrySchedule::try_new(vec![Duration::ZERO, S, 4 * S, 4 * S]);
        let options = Options {
            max_in_flight: 7,
            in_flight_per_application: 5,
            ramp_start: 2,
            rules: Rules { max_in_flight: 4, schedule: schedule.expect("valid"), ..Rules::default() },
            ..Options::default()
        };
        let (world, policies) = (World::new(options), LANES.map(|(_, number)| (number, POLICIES[0])).into());
        let mut history = Self { world, policies, removed: BTreeSet::new(), paced: vec![], next: 0, unbounded: None };
        for (of, number) in LANES {
            history.world.configure(history.facts(of, number));
        }
        history
    }

    fn facts(&self, of: u8, number: u8) -> Facts {
        let lane = Facts { app_throttle_per_second: (of == 2).then_some(APP_RATE), ..lane(of, number) };
        with_policy(lane, self.policies[&number])
    }

    /// Picks one, if one may start, and looks whether it may by its lane's rules.
    fn pick(&mut self) -> bool {
        if !self.world.pick() {
            return false;
        }
        let (at, key) = *self.world.picks.last().expect("one was picked");
        self.check_ramp();
        let lane = self.world.scheduler.lanes.get(&key.endpoint).expect("it is of a lane");
        assert!(lane.counts().in_flight <= lane.flow(None, self.world.at).allowed_in_flight);
        assert!(lane.counts().settling < MAX_SETTLING);
        let members = self.world.members(key);
        for member in &members {
            check_order(&self.world, *member, &lane.rules().order);
        }
        let most = lane.rules().batch.map_or(1, |rule| rule.max_messages as usize);
        assert!(members.len() <= most, "{} go together", members.len());
        check_unrecorded(&self.world, key);
        self.paced.extend(lane.rules().rate.map(|rate| (at, key.endpoint, rate)));
        true
    }

    /// The ramp's limit, which is noted if it is none.
    fn see_ramp(&mut self) -> usize {
        let limit = self.world.scheduler.ramp.limit(self.world.at.monotonic);
        if limit == self.world.options.max_in_flight {
            self.unbounded = Some(self.world.at.monotonic);
        }
        limit as usize
    }

    /// Of what is in flight no more was picked just now than the ramp lets begin.
    fn check_ramp(&mut self) {
        let (limit, world) = (self.see_ramp(), &self.world);
        let beginning =
            world.at.monotonic.saturating_sub(world.options.ramp_beginning).max(self.unbounded.unwrap_or_default());
        let just_now = world.picks.iter().rev().take_while(|(at, _)| *at > beginning).map(|(_, key)| key);
        let on = just_now.filter(|key| world.sent.contains_key(key)).collect::<BTreeSet<_>>().len();
        assert!(on + world.fetching.len() <= limit, "{on} and {} begin at once, {limit} may", world.fetching.len());
    }

    fn pick_lane(&self, index: Index) -> Option<(u8, u8)> {
        Some(*index.get(&LANES)).filter(|(_, number)| !self.removed.contains(number))
    }

    fn pick_key(&self, index: Index) -> Option<DeliveryKey> {
        let keys: Vec<_> = self.world.outbox.inner.lock().deliveries.keys().copied().collect();
        (!keys.is_empty()).then(|| *index.get(&keys))
    }

    fn accept(&mut self, lane: u8, order_key: u64, count: u64) {
        for _ in 0..count {
            self.next += 1;
            self.world.outbox.accept(key(lane, self.next), order_key, self.world.at.now);
        }
    }

    fn person(&self, index: Index, event: DeliveryEvent) {
        if let Some(key) = self.pick_key(index) {
            self.world.outbox.happen(key, event);
        }
    }

    fn step(&mut self, step: Step) {
        let at = self.world.at.now;
        match step {
            Step::Accept { lane, order_key, count } => {
                if let Some((_, lane)) = self.pick_lane(lane) {
                    self.accept(lane, order_key, count);
                }
            }
            Step::Cancel(index) => self.person(index, DeliveryEvent::Cancelled { at }),
            Step::Replay(index) => self.person(index, DeliveryEvent::Replayed { at }),
            Step::Resend(index) => self.person(index, DeliveryEvent::Resent { at }),
            Step::CallOff(index) => self.person(index, DeliveryEvent::CalledOff),
            Step::Purge(index) => self.person(index, DeliveryEvent::Purged { at }),
            Step::Hold(index, on) => {
                if let Some((of, number)) = self.pick_lane(index) {
                    self.world.hold(self.facts(of, number), on.then_some(Hold::Paused));
                }
            }
            Step::Policy(lane, policy) => {
                if let Some((of, number)) = self.pick_lane(lane) {
                    self.policies.insert(number, *policy.get(&POLICIES));
                    self.world.configure(self.facts(of, number));
                }
            }
            Step::Standard { rate, failures } => {
                let mut rules = self.world.options.rules.clone();
                (rules.rate, rules.breaker.failures) = (rate.map(Rate::per_second), failures);
                self.world.scheduler.set_rules(rules, self.world.at);
            }
            Step::Remove(index) => {
                if let Some((_, number)) = self.pick_lane(index).filter(|_| self.removed.len() < 2) {
                    self.removed.insert(number);
                    self.world.outbox.remove(endpoint(number));
                }
            }
            Step::Pick(count) => {
                self.world.observe();
                for _ in 0..count {
                    self.pick();
                }
            }
            Step::Fetch => {
                self.world.fetch();
                self.see_ramp();
            }
            Step::FailJobs(index, on) => {
                if let Some(key) = self.pick_key(index) {
                    self.world.fail_jobs(key, on.then(|| JobError::Failed(String::new())));
                }
            }
            Step::Answer(index, result) => {
                let sent: Vec<_> = self.world.sent.keys().copied().collect();
                if !sent.is_empty() {
                    self.world.answer(*index.get(&sent), result);
                }
            }
            Step::AnswerHalf(index) => {
                let sent: Vec<_> = self.world.sent.keys().copied().collect();
                if !sent.is_empty() {
                    let lead = *index.get(&sent);
                    let is_batch = self.world.others.contains_key(&lead);
                    let half = self.world.members(lead).into_iter().step_by(2).filter(|_| is_batch);
                    self.world.answer(lead, naming(half));
                }
            }
            Step::HoldBack(on) => {
                self.world.outbox.inner.lock().hold_back = on;
                if !on {
                    self.world.outbox.record();
                }
            }
            Step::Pass(ms) => self.world.pass(Duration::from_millis(ms)),
            Step::Leap(ms) => {
                self.world.at.now = UnixMs(at.0.saturating_add_signed(ms));
                self.world.scheduler.advance(self.world.at);
            }
        }
    }

    /// Everything comes right: all is delivered, or died by its schedule; dead
    /// letters are purged where others wait behind them.
    fn finish(&mut self) {
        // What is recorded now may disable an endpoint.
        self.step(Step::HoldBack(false));
        for (of, number) in LANES {
            if !self.removed.contains(&number) {
                self.world.hold(self.facts(of, number), None);
            }
        }
        self.world.outbox.inner.lock().job_errors.clear();
        self.world.observe();
        for key in self.world.outbox.dead() {
            let lane = self.world.scheduler.lanes.get(&key.endpoint).expect("it is there");
            if lane.rules().order.after_dead == AfterDead::Hold {
                self.world.outbox.happen(key, DeliveryEvent::Purged { at: self.world.at.now });
            }
        }
        for _ in 0..3_000 {
            self.world.fetch();
            self.world.observe();
            while self.pick() {
                self.world.fetch();
            }
            while let Some(key) = self.world.sent.keys().next().copied() {
                self.world.answer(key, answered(200));
            }
            self.world.observe();
            if self.world.scheduler.unrecorded() == 0 && self.world.scheduler.waiting == 0 {
                break;
            }
            self.world.sleep();
        }
    }
}

/// Of those in the same order none is in flight beside what was picked, none that
/// waits is earlier, and none that is dead, if that counts.
fn check_order(world: &World, picked: DeliveryKey, rule: &OrderRule) {
    let outbox = world.outbox.inner.lock();
    let order_of = |key: &DeliveryKey| outbox.deliveries.get(key).map_or(0, |(_, key)| rule.by.order(*key));
    let order = order_of(&picked);
    let others = outbox.deliveries.iter().filter(|(key, _)| key.endpoint == picked.endpoint && **key != picked);
    for (key, (state, _)) in others.filter(|(key, _)| order != 0 && order_of(key) == order) {
        let in_flight = world.is_on_its_way(*key) || outbox.handed_out.contains_key(key);
        assert!(!in_flight, "{key:?} is in flight beside {picked:?}");
        let holds = state.waits_for().is_some()
            || rule.after_dead == AfterDead::Hold && matches!(state, DeliveryState::Dead { .. });
        assert!(!holds || key.message > picked.message, "{picked:?} overtakes {key:?}, {state:?}");
    }
}

/// Nothing starts on an endpoint that is being disabled, and there is room for every outcome.
fn check_unrecorded(world: &World, picked: DeliveryKey) {
    let outbox = world.outbox.inner.lock();
    let of_lane = |settlement: &&Settlement| settlement.outcome.key.endpoint == picked.endpoint;
    let disables = outbox.unrecorded.iter().filter(of_lane).any(|settlement| settlement.disable.is_some());
    assert!(!disables, "{picked:?} starts while its endpoint is being disabled");
    // Those of an endpoint that is gone are waited for no longer.
    let waited_for = |settlement: &&Settlement| outbox.lanes.contains_key(&settlement.outcome.key.endpoint);
    let unrecorded = outbox.unrecorded.iter().filter(waited_for).count();
    let all = unrecorded + world.sent.len() + world.fetching.len();
    assert!(all <= world.options.max_in_flight as usize, "{all} attempts are not recorded");
}

/// The counters are what a count of everything gives, and all that waits in the
/// outbox is known here.
fn check_counts(world: &World) {
    let scheduler = &world.scheduler;
    let waiting: usize = scheduler.lanes.values().map(|lane| lane.counts().waiting).sum();
    let in_flight: u32 = scheduler.lanes.values().map(|lane| lane.counts().in_flight).sum();
    let fetching: u32 = scheduler.lanes.values().map(|lane| lane.counts().fetching).sum();
    let settling: u32 = scheduler.lanes.values().map(|lane| lane.counts().settling).sum();
    let counted = (scheduler.waiting, scheduler.in_flight, scheduler.fetching, scheduler.settling);
    assert_eq!(counted, (waiting, in_flight, fetching, settling));
    assert!(in_flight as usize >= world.sent.len() + world.fetching.len());
    let mut apps = HashMap::new();
    for lane in scheduler.lanes.values() {
        *apps.entry(lane.app()).or_insert(0) += lane.counts().in_flight;
    }
    for (app, count) in apps {
        assert_eq!(scheduler.fair.in_flight(app), count);
    }
    for lane in scheduler.lanes.values() {
        let allowed = lane.flow(None, world.at).allowed_in_flight;
        assert!((1..=lane.rules().max_in_flight).contains(&allowed), "{allowed} in flight are allowed");
    }
    let places = |is: fn(&Readiness) -> bool| scheduler.lanes.values().filter(|lane| is(&lane.place)).count();
    assert_eq!(scheduler.due.len(), places(|place| matches!(place, Readiness::Due(_))));
    assert_eq!(scheduler.paced.len(), places(|place| matches!(place, Readiness::Paced(_))));
    assert_eq!(scheduler.fair.ready(), places(|place| *place == Readiness::Ready));
    let mut events = Vec::new();
    world.outbox.take(&mut events);
    let untold = !events.is_empty();
    world.outbox.inner.lock().events = events;
    for key in world.outbox.pending() {
        assert!(untold || scheduler.why(key, world.at).is_some(), "{key:?} is forgotten");
    }
}

fn check_rate(times: &[Duration], rate: Rate) {
    for (first, start) in times.iter().enumerate() {
        let within = times.iter().skip(first).take_while(|other| **other < *start + rate.per.duration()).count();
        assert!(within <= rate.count as usize, "{within} in a window of {rate:?}");
    }
}

/// Whatever the policies were in between: what went out at a rate keeps to it.
fn check_rates(history: &History) {
    for (_, endpoint, rate) in &history.paced {
        let same = history.paced.iter().filter(|(_, of, at)| (of, at) == (endpoint, rate));
        check_rate(&same.map(|(at, ..)| *at).collect::<Vec<_>>(), *rate);
    }
    let throttled = |key: &DeliveryKey| [3, 4].map(endpoint).contains(&key.endpoint);
    let picks = history.world.picks.iter().filter(|(_, key)| throttled(key));
    check_rate(&picks.map(|(at, _)| *at).collect::<Vec<_>>(), Rate::per_second(APP_RATE));
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: postrider_proof::cases(400),
        rng_seed: postrider_proof::seed().map_or(RngSeed::Random, RngSeed::Fixed),
        ..ProptestConfig::default()
    })]

    #[test]
    fn any_history_keeps_the_rules(steps in prop::collection::vec(any_step(), 1..200)) {
        let mut history = History::new();
        for step in steps {
            history.step(step);
            check_counts(&history.world);
        }
        history.finish();
        check_counts(&history.world);
        prop_assert!(history.world.outbox.pending().is_empty(), "{:?}", history.world.outbox.pending());
        let gauges = history.world.scheduler.gauges(history.world.at);
        prop_assert_eq!((gauges.waiting, gauges.in_flight), (0, 0));
        prop_assert_eq!(gauges.lanes, LANES.len() - history.removed.len());
        prop_assert_eq!(history.world.scheduler.next_wake(history.world.at).filter(|wait| wait.is_zero()), None);
        check_rates(&history);
    }
}
