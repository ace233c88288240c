//! What is told of the store itself: the event and what it tells of are on disk together
//! or not at all.

mod kinds;

use std::collections::BTreeMap;
use std::time::Duration;

use postrider_model::command::Command;
use postrider_model::delivery::{DeadReason, DeliveryKey, Next};
use postrider_model::expunge::Expunge as _;
use postrider_model::lane::DeliveryStore as _;
use postrider_model::ports::{Accept as _, Configure as _};
use postrider_model::query::{MessageFilter, PageRequest, Query as _};
use postrider_model::time::UnixMs;
use serde_json::Value;

use super::counted::Counted;
use super::stepper::{SimWorld, Stepper, app, endpoint, sim_dir};
use super::support::{ManualClock, ORG, Running, message};
use crate::committer::Committer;
use crate::disk::sim::Survival;
use crate::options::OperationalEvents;
use crate::{MasterKey, Options};

const TYPES: [&str; 3] = ["endpoint.created", "message.attempt.exhausted", "endpoint.recovered"];

fn options() -> Options {
    let operational_events = Some(OperationalEvents { application: "ops".to_owned(), failing_after: 4 });
    Options {
        segment_bytes: 64 << 10,
        waiting_bytes: 64 << 10,
        max_in_flight: 16,
        body_limit_bytes: 4 << 10,
        operational_events,
        ..Options::new(sim_dir(), MasterKey::new([7; 32]))
    }
}

fn start(world: &SimWorld, options: Options) -> Stepper {
    world.start(options).expect("it starts")
}

/// Does it, if the disk still works.
fn execute(stepper: &mut Stepper, command: Command) -> Option<()> {
    stepper.ask(stepper.outbox.clone().execute(command)).ok().map(drop)
}

fn first_key(stepper: &Stepper) -> Option<DeliveryKey> {
    let main = stepper.endpoint_id("shop", "main")?;
    let state = stepper.outbox.shared.state.lock();
    let (sequence, _) = state.lanes.get(&main)?.window.iter().next()?;
    Some(DeliveryKey { endpoint: main, message: sequence })
}

/// An application that is told, and one whose endpoint fails, and at last works.
fn prepare(stepper: &mut Stepper) -> Option<()> {
    execute(stepper, Command::EnsureDefaultOrg { wish: Some(ORG) })?;
    execute(stepper, app("ops"))?;
    execute(stepper, endpoint("ops", "sink", &TYPES))?;
    execute(stepper, app("shop"))?;
    execute(stepper, endpoint("shop", "main", &["a"]))
}

fn attempt(stepper: &mut Stepper, world: &SimWorld, status: u16, next: Next) -> Option<()> {
    world.clock.forward(Duration::from_secs(61));
    stepper.ask(stepper.outbox.accept(message("shop", "a", "{}"))).ok()?;
    let key = first_key(stepper)?;
    stepper.attempt(key, status, next)
}

const MINUTE: Duration = Duration::from_secs(60);
const DEAD: Next = Next::Dead { reason: DeadReason::AttemptsExhausted };

fn run(stepper: &mut Stepper, world: &SimWorld) -> Option<()> {
    prepare(stepper)?;
    attempt(stepper, world, 500, DEAD)?;
    attempt(stepper, world, 500, DEAD)?;
    attempt(stepper, world, 200, Next::Delivered)
}

/// The events that were told, by type; each has gone to who asked for it.
fn told(stepper: &Stepper) -> BTreeMap<String, Vec<Value>> {
    let Some(ops) = stepper.app_id("ops") else { return BTreeMap::new() };
    let page = PageRequest { limit: 1_000, after: None, descending: false };
    let found = stepper.outbox.messages(ops, &MessageFilter::default(), &page).expect("they are read").items;
    let mut told = BTreeMap::<_, Vec<Value>>::new();
    for message in found {
        assert_eq!(stepper.outbox.deliveries_of(ops, message.id).expect("they are read").len(), 1);
        let body = message.body.expect("it is there");
        told.entry(message.event_type).or_default().push(serde_json::from_slice(&body).expect("it is JSON"));
    }
    told
}

#[test]
fn at_every_crash_point_there_is_an_event_for_each_cause_and_a_cause_for_each_event() {
    let mut has_finished = false;
    for count in 0..400 {
        let mut world = SimWorld::new();
        let mut stepper = start(&world, options());
        world.disk.crash_after(count);
        has_finished = run(&mut stepper, &world).is_some();
        drop(stepper);
        let dead = world.disk.clone();
        for survival in [Survival::Nothing, Survival::Everything, Survival::Mixed { seed: count }] {
            world.disk = dead.crash(survival);
            let stepper = start(&world, options());
            let told = told(&stepper);
            let number = |kind: &str| told.get(kind).map_or(0, Vec::len);
            let main = stepper.endpoint_id("shop", "main");
            let state = stepper.outbox.shared.state.lock();
            let lane = main.and_then(|main| state.lanes.get(&main));
            let dead = lane.map_or(0, |lane| lane.dead.len());
            let recovered = lane.is_some_and(|lane| dead > 0 && lane.failing_since.is_none());
            let seen = (number(TYPES[0]), number(TYPES[1]), number(TYPES[2]));
            let case = format!("after {count} operations, {survival:?}");
            assert_eq!(seen, (usize::from(main.is_some()), dead, usize::from(recovered)), "{case}");
        }
        if has_finished {
            break;
        }
    }
    assert!(has_finished);
}

#[test]
fn an_event_names_what_it_is_about_by_ids_and_by_uids() {
    let world = SimWorld::new();
    let mut stepper = start(&world, options());
    run(&mut stepper, &world).expect("the disk works");
    let shop = stepper.app_id("shop").expect("it is there").to_string();
    let main = stepper.endpoint_id("shop", "main").expect("it is there").to_string();
    let told = told(&stepper);
    assert_eq!(told.len(), TYPES.len());
    for data in told.values().flatten().map(|event| &event["data"]) {
        assert_eq!(data["appId"], shop.as_str());
        assert_eq!(data["appUid"], "shop");
        assert_eq!(data["endpointId"], main.as_str());
        assert_eq!(data["endpointUid"], "main");
    }
}

#[test]
fn what_cannot_be_taken_in_is_left_out_and_its_cause_is_not() {
    let world = SimWorld::new();
    let mut stepper = start(&world, Options { pending_per_application: 1, ..options() });
    prepare(&mut stepper).expect("the disk works");
    assert_eq!(told(&stepper).len(), 1);
    attempt(&mut stepper, &world, 500, DEAD).expect("the disk works");
    assert_eq!(told(&stepper).len(), 1, "the application has as many pending as it may have");
    let main = stepper.endpoint_id("shop", "main").expect("it is there");
    assert_eq!(stepper.outbox.shared.state.lock().lanes.get(&main).map(|lane| lane.dead.len()), Some(1));
}

#[test]
fn nothing_is_told_of_the_application_itself_nor_without_it() {
    let world = SimWorld::new();
    let mut stepper = start(&world, options());
    prepare(&mut stepper).expect("the disk works");
    let before = told(&stepper);
    assert_eq!(before[TYPES[0]][0]["data"]["endpointUid"], "main");
    execute(&mut stepper, endpoint("ops", "other", &["x"])).expect("the disk works");
    assert_eq!(told(&stepper), before);
    execute(&mut stepper, Command::DeleteApplication { org: ORG, app: "ops".to_owned() }).expect("it is there");
    execute(&mut stepper, endpoint("shop", "next", &["x"])).expect("the disk works");
    execute(&mut stepper, app("ops")).expect("the disk works");
    assert_eq!(told(&stepper), BTreeMap::new());
    execute(&mut stepper, endpoint("ops", "sink", &TYPES)).expect("the disk works");
    execute(&mut stepper, endpoint("shop", "last", &["x"])).expect("the disk works");
    assert_eq!(told(&stepper)[TYPES[0]].len(), 1, "by its uid it is found again");
}

#[test]
fn an_attempt_without_its_payload_any_more_dies_and_that_is_told_and_synced() {
    let mut world = SimWorld::new();
    let mut stepper = start(&world, options());
    prepare(&mut stepper).expect("the disk works");
    stepper.ask(stepper.outbox.accept(message("shop", "a", "{}"))).expect("it is taken in");
    let key = first_key(&stepper).expect("it waits");
    let job = stepper.ask(stepper.outbox.job(key)).expect("it is due");
    let shop = stepper.app_id("shop").expect("it is there");
    stepper.ask(stepper.outbox.expunge_payload(shop, job.message)).expect("it is there");
    stepper.settle(&job, 500, Next::Retry { due: UnixMs(u64::MAX) });
    world.disk = world.disk.crash(Survival::Nothing);
    drop(stepper);
    let stepper = start(&world, options());
    let told = told(&stepper);
    assert_eq!(told[TYPES[1]][0]["data"]["reason"], "payload_expunged");
    let main = stepper.endpoint_id("shop", "main").expect("it is there");
    assert_eq!(stepper.outbox.shared.state.lock().lanes.get(&main).map(|lane| lane.dead.len()), Some(1));
}

/// How much is kept of when endpoints' events were told.
fn kept(stepper: &Stepper) -> Option<usize> {
    stepper.committer.as_ref().map(Committer::quiet_len)
}

#[test]
fn nothing_is_kept_of_an_endpoint_that_is_gone_nor_without_the_application() {
    let world = SimWorld::new();
    let mut stepper = start(&world, options());
    prepare(&mut stepper).expect("the disk works");
    let types = [TYPES[0], TYPES[1], "endpoint.deleted"];
    execute(&mut stepper, endpoint("ops", "sink", &types)).expect("the disk works");
    stepper.ask(stepper.outbox.accept(message("shop", "a", "{}"))).expect("it is taken in");
    let key = first_key(&stepper).expect("it waits");
    let job = stepper.ask(stepper.outbox.job(key)).expect("it is due");
    stepper.post(&job, 500, DEAD, false);
    let delete = Command::DeleteEndpoint { org: ORG, app: "shop".to_owned(), endpoint: "main".to_owned() };
    execute(&mut stepper, delete).expect("it is there");
    assert_eq!(told(&stepper)[TYPES[1]].len(), 1, "its last, in the frame in which it went");
    assert_eq!(kept(&stepper), Some(0));

    execute(&mut stepper, endpoint("shop", "main", &["a"])).expect("the disk works");
    attempt(&mut stepper, &world, 500, DEAD).expect("the disk works");
    assert_eq!(kept(&stepper), Some(1));
    execute(&mut stepper, Command::DeleteApplication { org: ORG, app: "ops".to_owned() }).expect("it is there");
    execute(&mut stepper, app("other")).expect("the disk works");
    assert_eq!(kept(&stepper), Some(0));
}

#[test]
fn an_event_that_is_left_out_counts_as_often_as_what_it_stands_for() {
    let world = SimWorld::new();
    let mut stepper = start(&world, Options { pending_per_application: 1, ..options() });
    prepare(&mut stepper).expect("the disk works");
    let counted = Counted::default();
    let dropped = || counted.counter(crate::meters::EVENTS_DROPPED);
    metrics::with_local_recorder(&counted, || {
        attempt(&mut stepper, &world, 500, DEAD).expect("the disk works");
        stepper.ask(stepper.outbox.accept(message("shop", "a", "{}"))).expect("it is taken in");
        let key = first_key(&stepper).expect("it waits");
        stepper.attempt(key, 500, DEAD).expect("the disk works");
        assert_eq!(dropped(), 1, "the second one waits for its turn");
        attempt(&mut stepper, &world, 500, DEAD).expect("the disk works");
        assert_eq!(dropped(), 2, "its minute was over before the third one came");
        world.clock.forward(MINUTE);
        stepper.step();
    });
    assert_eq!(dropped(), 3);
}

/// Makes a dead letter of a new message, without a wait before. Gives the message's id.
fn dead_letter(stepper: &mut Stepper) -> Value {
    let accepted = stepper.ask(stepper.outbox.accept(message("shop", "a", "{}"))).expect("it is taken in");
    let key = first_key(stepper).expect("it waits");
    stepper.attempt(key, 500, DEAD).expect("the disk works");
    Value::from(accepted.id.to_string())
}

/// Of each event about dead letters how many it stands for, and the message of the last.
fn exhausted(stepper: &Stepper) -> Vec<(u64, Value)> {
    let mut told = told(stepper).remove(TYPES[1]).unwrap_or_default();
    told.sort_by_key(|event| event["data"]["lastAttempt"]["timestamp"].to_string());
    let shown =
        |event: &Value| (event["data"]["count"].as_u64().expect("it is counted"), event["data"]["msgId"].clone());
    told.iter().map(shown).collect()
}

#[test]
fn what_was_counted_is_told_when_its_minute_is_over_though_nothing_comes() {
    let mut world = SimWorld::new();
    let mut stepper = start(&world, options());
    prepare(&mut stepper).expect("the disk works");
    let first = dead_letter(&mut stepper);
    world.clock.forward(MINUTE / 4);
    dead_letter(&mut stepper);
    world.clock.forward(MINUTE / 4);
    let last = dead_letter(&mut stepper);
    world.clock.forward(MINUTE / 2 - Duration::from_millis(1));
    stepper.step();
    assert_eq!(exhausted(&stepper), [(1, first.clone())]);
    world.clock.forward(Duration::from_millis(1));
    stepper.step();
    let expected = [(1, first), (2, last)];
    assert_eq!(exhausted(&stepper), expected);
    world.clock.forward(2 * MINUTE);
    stepper.step();
    assert_eq!(exhausted(&stepper), expected, "and nothing where nothing was counted");
    // It is on disk as soon as anybody hears of it.
    drop(stepper);
    world.disk = world.disk.crash(Survival::Nothing);
    assert_eq!(exhausted(&start(&world, options())), expected);
}

#[test]
fn what_was_counted_is_told_at_a_clean_stop_and_not_after_a_crash() {
    let mut world = SimWorld::new();
    let mut stepper = start(&world, options());
    prepare(&mut stepper).expect("the disk works");
    let first = dead_letter(&mut stepper);
    let second = dead_letter(&mut stepper);
    let disk = world.disk.clone();
    let crashed = disk.crash(Survival::Everything);
    stepper.stop();
    assert_eq!(exhausted(&start(&world, options())), [(1, first.clone()), (1, second)]);
    world.disk = crashed;
    let mut stepper = start(&world, options());
    world.clock.forward(2 * MINUTE);
    stepper.step();
    assert_eq!(exhausted(&stepper), [(1, first)]);
    let main = stepper.endpoint_id("shop", "main").expect("it is there");
    assert_eq!(stepper.outbox.shared.state.lock().lanes.get(&main).map(|lane| lane.dead.len()), Some(2));
}

#[test]
fn what_was_counted_of_an_endpoint_that_is_gone_is_told_at_its_time() {
    let world = SimWorld::new();
    let mut stepper = start(&world, options());
    prepare(&mut stepper).expect("the disk works");
    let types = [TYPES[0], TYPES[1], "endpoint.deleted"];
    execute(&mut stepper, endpoint("ops", "sink", &types)).expect("the disk works");
    let first = dead_letter(&mut stepper);
    let second = dead_letter(&mut stepper);
    let delete = Command::DeleteEndpoint { org: ORG, app: "shop".to_owned(), endpoint: "main".to_owned() };
    execute(&mut stepper, delete).expect("it is there");
    assert_eq!((exhausted(&stepper).len(), kept(&stepper)), (1, Some(1)));
    world.clock.forward(MINUTE);
    stepper.step();
    assert_eq!(exhausted(&stepper), [(1, first), (1, second)]);
    assert_eq!(told(&stepper)[TYPES[1]][0]["data"]["endpointUid"], "main");
    assert_eq!(kept(&stepper), Some(0));
}

#[test]
fn what_was_counted_is_told_to_nobody_once_the_application_is_gone() {
    let world = SimWorld::new();
    let mut stepper = start(&world, options());
    prepare(&mut stepper).expect("the disk works");
    dead_letter(&mut stepper);
    dead_letter(&mut stepper);
    execute(&mut stepper, Command::DeleteApplication { org: ORG, app: "ops".to_owned() }).expect("it is there");
    world.clock.forward(MINUTE);
    stepper.step();
    assert_eq!(kept(&stepper), Some(0));
    assert!(stepper.committer.as_ref().is_some_and(Committer::is_idle), "nothing is left to do");
}

/// The thread of the committer wakes up for it.
#[test]
fn nobody_has_to_wake_the_committer_for_it() {
    let dir = tempfile::tempdir().expect("a directory");
    let (clock, telling) = (ManualClock::new(), options().operational_events);
    let options = Options { operational_events: telling, ..super::support::options(dir.path()) };
    let mut running = Running::start(options, &clock).expect("an empty directory opens");
    running.command(Command::EnsureDefaultOrg { wish: Some(ORG) });
    for name in ["ops", "shop", "quiet"] {
        running.app(name);
    }
    let (sink, main) = (running.endpoint("ops", &[TYPES[1]]).id, running.endpoint("shop", &["a"]).id);
    let told = |running: &mut Running| running.waiting().iter().filter(|(key, _)| key.endpoint == sink).count();
    for _ in 0..2 {
        running.send("shop", "a", "{}");
        let waiting = running.waiting();
        let (key, _) = *waiting.iter().find(|(key, _)| key.endpoint == main).expect("it waits");
        running.attempt(key, 500, DEAD);
    }
    assert_eq!(told(&mut running), 1);
    // The last that comes is in the minute; the rest of it is short.
    let rest = Duration::from_millis(5);
    clock.forward(MINUTE - rest);
    running.send("quiet", "b", "{}");
    assert_eq!(told(&mut running), 1);
    clock.forward(rest);
    while told(&mut running) < 2 {
        super::support::wait(running.outbox.changed());
    }
    running.stop();
}
