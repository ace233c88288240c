//! Any history of events, outcomes and times keeps the rules: one attempt in
//! flight per delivery (W5) and the caps (asserted by the world at each pick),
//! nothing early, no rate exceeded, counts that are equal to a recount, and
//! nothing forgotten.

use std::collections::{BTreeSet, HashMap};

use proptest::prelude::*;
use proptest::sample::Index;

use super::*;
use postrider_model::job::AttemptResult;
use postrider_model::lane::DeliveryStore;
use postrider_model::policy::Policy;
use postrider_model::rate::Rate;

const LANE_RATE: u32 = 3;
const APP_RATE: u32 = 4;
/// Lanes 1 and 2 are of application 1, 3 and 4 of application 2, which is
/// throttled, 5 is alone and throttled itself.
const LANES: [(u8, u8); 5] = [(1, 1), (1, 2), (2, 3), (2, 4), (3, 5)];

#[derive(Clone, Debug)]
enum Step {
    Accept { lane: Index, order_key: u64, count: u64 },
    Cancel(Index),
    Replay(Index),
    Resend(Index),
    CallOff(Index),
    Purge(Index),
    Hold(Index, bool),
    Remove(Index),
    Pick(u8),
    Fetch,
    FailJobs(Index, bool),
    Answer(Index, AttemptResult),
    HoldBack(bool),
    Pass(u64),
    Leap(i64),
}

fn any_result() -> impl Strategy<Value = AttemptResult> {
    prop_oneof![
        4 => Just(answered(200)),
        1 => Just(answered(404)),
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
        1 => any::<Index>().prop_map(Step::Remove),
        8 => (1u8..6).prop_map(Step::Pick),
        8 => Just(Step::Fetch),
        1 => (any::<Index>(), any::<bool>()).prop_map(|(key, on)| Step::FailJobs(key, on)),
        10 => (any::<Index>(), any_result()).prop_map(|(key, result)| Step::Answer(key, result)),
        2 => any::<bool>().prop_map(Step::HoldBack),
        6 => (1u64..3_000).prop_map(Step::Pass),
        1 => (-7_000_000i64..7_000_000).prop_map(Step::Leap),
    ]
}

struct History {
    world: World,
    removed: BTreeSet<u8>,
    next: u64,
}

impl History {
    fn new() -> Self {
        let schedule = RetrySchedule::try_new(vec![Duration::ZERO, S, 4 * S, 4 * S]);
        let options = Options {
            max_in_flight: 7,
            in_flight_per_application: 5,
            ramp_start_in_flight: 2,
            rules: Rules { max_in_flight: 4, schedule: schedule.expect("valid"), ..Rules::default() },
            ..Options::default()
        };
        let mut history = Self { world: World::new(options), removed: BTreeSet::new(), next: 0 };
        for (of, number) in LANES {
            history.world.configure(facts(of, number));
        }
        history
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
                    self.world.hold(facts(of, number), on.then_some(Hold::Paused));
                }
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
                    self.world.pick();
                }
            }
            Step::Fetch => drop(self.world.fetch()),
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

    /// Everything comes right: all is delivered, or died by its schedule.
    fn finish(&mut self) {
        for (of, number) in LANES {
            if !self.removed.contains(&number) {
                self.world.hold(facts(of, number), None);
            }
        }
        self.world.outbox.inner.lock().job_errors.clear();
        self.step(Step::HoldBack(false));
        for _ in 0..3_000 {
            self.world.fetch();
            self.world.run();
            while let Some(key) = self.world.sent.keys().next().copied() {
                self.world.answer(key, answered(200));
            }
            self.world.observe();
            if self.world.scheduler.in_flight == 0 && self.world.scheduler.waiting == 0 {
                break;
            }
            self.world.sleep();
        }
    }
}

fn facts(of: u8, number: u8) -> Facts {
    let rate = Some(Rate::per_second(LANE_RATE)).filter(|_| number == 5);
    let policy = rate.map(|_| Arc::new(Policy { rate, ..Policy::default() }));
    Facts { policy, app_throttle_per_second: (of == 2).then_some(APP_RATE), ..lane(of, number) }
}

/// The counters are what a count of everything gives, and all that waits in the
/// outbox is known here.
fn check_counts(world: &World) {
    let scheduler = &world.scheduler;
    let waiting: usize = scheduler.lanes.values().map(|lane| lane.counts().waiting).sum();
    let in_flight: u32 = scheduler.lanes.values().map(|lane| lane.counts().in_flight).sum();
    assert_eq!((scheduler.waiting, scheduler.in_flight), (waiting, in_flight));
    assert!(in_flight as usize >= world.sent.len() + world.fetching.len());
    let mut apps = HashMap::new();
    for lane in scheduler.lanes.values() {
        *apps.entry(lane.app()).or_insert(0) += lane.counts().in_flight;
    }
    for (app, count) in apps {
        assert_eq!(scheduler.fair.in_flight(app), count);
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

fn check_rate(world: &World, of: &[u8], rate: u32) {
    let of_them = |key: &DeliveryKey| of.iter().any(|number| key.endpoint == endpoint(*number));
    let times: Vec<_> = world.picks.iter().filter(|(_, key)| of_them(key)).map(|(at, _)| *at).collect();
    for (first, start) in times.iter().enumerate() {
        let within = times.iter().skip(first).take_while(|other| **other < *start + S).count();
        assert!(within <= rate as usize, "{within} in a second, {rate} are allowed");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

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
        check_rate(&history.world, &[5], LANE_RATE);
        check_rate(&history.world, &[3, 4], APP_RATE);
    }
}
