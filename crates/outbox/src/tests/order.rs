//! What others wait for in order is on disk before they are told of it.

use std::collections::BTreeMap;
use std::sync::Arc;

use postrider_model::command::{Command, Reply, Write};
use postrider_model::delivery::{DeadReason, DeliveryKey, Next};
use postrider_model::filter::Filter;
use postrider_model::id::EndpointId;
use postrider_model::lane::{DeliveryStore as _, LaneEvent};
use postrider_model::message::NewMessage;
use postrider_model::order::{AfterDead, OrderBy, OrderRule};
use postrider_model::ports::{Accept as _, Configure as _, Control as _};
use postrider_model::query::{DeliveryFilter, PageRequest, Query as _};
use postrider_model::task::TaskWork;

use super::stepper::{self, SimWorld, Stepper, runtime, sim_dir};
use super::support::{ManualClock, ORG, message, options};
use crate::disk::sim::{SimDisk, Survival};
use crate::{Keeper, Options, keys};

const PAID: &str = "order.paid";

fn take(stepper: &Stepper) -> Vec<LaneEvent> {
    let mut events = vec![];
    stepper.outbox.take(&mut events);
    events
}

fn waiting(events: &[LaneEvent]) -> Vec<DeliveryKey> {
    let waiting = events.iter().filter_map(|event| match event {
        LaneEvent::Waiting { key, .. } => Some(*key),
        _ => None,
    });
    waiting.collect()
}

fn dead(events: &[LaneEvent]) -> Vec<DeliveryKey> {
    let dead = events.iter().filter_map(|event| match event {
        LaneEvent::Died { key, .. } => Some(*key),
        _ => None,
    });
    dead.collect()
}

struct Store {
    disk: Arc<SimDisk>,
    index: tempfile::TempDir,
    clock: Arc<ManualClock>,
}

impl Store {
    fn start(&self, disk: &Arc<SimDisk>) -> Stepper {
        self.start_with(disk, OrderRule::default())
    }

    fn start_with(&self, disk: &Arc<SimDisk>, default_order: OrderRule) -> Stepper {
        let disk = Arc::<SimDisk>::clone(disk);
        let options = Options { lane_window: 4, default_order, ..options(std::path::Path::new("/store")) };
        Stepper::start(options, self.index.path(), &self.clock, disk, &runtime()).expect("it opens")
    }
}

fn store() -> (Store, Stepper) {
    let index = tempfile::tempdir().expect("a temporary directory");
    let store = Store { disk: Arc::new(SimDisk::new()), index, clock: ManualClock::new() };
    let mut stepper = store.start(&store.disk);
    let outbox = stepper.outbox.clone();
    stepper.ask(outbox.execute(stepper::app("shop"))).expect("it is new");
    stepper.ask(outbox.execute(stepper::endpoint("shop", "e", &[PAID]))).expect("it is new");
    (store, stepper)
}

fn send(stepper: &mut Stepper) -> DeliveryKey {
    take(stepper);
    let outbox = stepper.outbox.clone();
    stepper.ask(outbox.accept(message("shop", PAID, "{}"))).expect("there is room");
    *waiting(&take(stepper)).first().expect("it has a delivery")
}

fn fifo(after_dead: AfterDead) -> OrderRule {
    OrderRule { by: OrderBy::Fifo, pointer: None, after_dead }
}

fn set_order(stepper: &mut Stepper, order: Option<OrderRule>) -> EndpointId {
    let command = Command::Endpoint {
        org: ORG,
        app: "shop".into(),
        endpoint: "e".into(),
        write: Write::Update,
        secret: None,
        disabled: None,
        edit: Box::new(move |fields| {
            fields.policy.order = order;
        }),
    };
    let outbox = stepper.outbox.clone();
    match stepper.ask(outbox.execute(command)).expect("it is legal") {
        Reply::Endpoint { endpoint, .. } => endpoint.id,
        other => panic!("another reply: {other:?}"),
    }
}

#[test]
fn an_outcome_that_others_wait_for_survives_a_power_cut_once_it_is_told() {
    for ordered in [true, false] {
        let (store, mut stepper) = store();
        let key = send(&mut stepper);
        let job = stepper.ask(stepper.outbox.job(key)).expect("it waits");
        stepper.settle_in_order(&job, 200, Next::Delivered, ordered);
        let told =
            take(&stepper).iter().any(|event| matches!(event, LaneEvent::Recorded { key: of, .. } if *of == key));
        assert!(told, "the next may go out by now");
        let after = Arc::new(store.disk.crash(Survival::Nothing));
        let waits = waiting(&take(&store.start(&after)));
        assert_eq!(waits.is_empty(), ordered, "only what nobody waits for may be forgotten");
    }
}

#[test]
fn dead_letters_that_hold_others_up_are_told_after_a_start_and_a_change() {
    let (store, mut stepper) = store();
    let (first, second) = (send(&mut stepper), send(&mut stepper));
    let dies = Next::Dead { reason: DeadReason::AttemptsExhausted };
    stepper.attempt(first, 500, dies).expect("it waits");
    take(&stepper);
    assert!(dead(&take(&store.start(&Arc::new(store.disk.crash(Survival::Everything))))).is_empty(), "nobody asked");

    set_order(&mut stepper, Some(fifo(AfterDead::Hold)));
    assert_eq!(dead(&take(&stepper)), [first]);
    let started = take(&store.start(&Arc::new(store.disk.crash(Survival::Everything))));
    assert_eq!((dead(&started), waiting(&started)), (vec![first], vec![second]));

    let app = stepper.app_id("shop").expect("it is there");
    let outbox = stepper.outbox.clone();
    let filter = DeliveryFilter { app: Some(app), ..DeliveryFilter::default() };
    let page = outbox.dead_letters(&filter, &PageRequest::default()).expect("it can be read");
    let message = page.items.first().expect("it is dead").message;
    stepper.ask(outbox.replay(app, message, first.endpoint)).expect("it is dead");
    assert_eq!(waiting(&take(&stepper)), [first], "it waits itself, and holds nobody up by being dead");
}

#[test]
fn dead_letters_are_told_by_the_servers_order_where_an_endpoint_has_none_of_its_own() {
    let (store, mut stepper) = store();
    let first = send(&mut stepper);
    stepper.attempt(first, 500, Next::Dead { reason: DeadReason::AttemptsExhausted }).expect("it waits");
    let disk = Arc::new(store.disk.crash(Survival::Everything));
    let start = |disk: &Arc<SimDisk>| store.start_with(disk, fifo(AfterDead::Hold));
    let mut stepper = start(&disk);
    assert_eq!(dead(&take(&stepper)), [first]);

    set_order(&mut stepper, Some(fifo(AfterDead::Continue)));
    assert!(dead(&take(&stepper)).is_empty());
    assert!(dead(&take(&start(&Arc::new(disk.crash(Survival::Everything))))).is_empty());

    set_order(&mut stepper, None);
    assert_eq!(dead(&take(&stepper)), [first], "it is left to the server again");
}

/// The dead letter that a task is to replay may be what keeps the window full.
#[test]
fn a_window_full_of_what_cannot_move_does_not_keep_out_the_replay_that_moves_it() {
    let (_store, mut stepper) = store();
    set_order(&mut stepper, Some(fifo(AfterDead::Hold)));
    let first = send(&mut stepper);
    stepper.attempt(first, 500, Next::Dead { reason: DeadReason::AttemptsExhausted }).expect("it waits");
    let outbox = stepper.outbox.clone();
    for _ in 0..9 {
        stepper.ask(outbox.accept(message("shop", PAID, "{}"))).expect("there is room");
    }
    take(&stepper);
    let app = stepper.app_id("shop").expect("it is there");
    let work = TaskWork::ReplayDeadLetters(DeliveryFilter { app: Some(app), ..DeliveryFilter::default() });
    let task = stepper.ask(outbox.start_task(work)).expect("it is legal").id;
    stepper.keeper(Keeper::work_on_tasks);
    stepper.step();
    assert_eq!(waiting(&take(&stepper)), [first]);
    let task = outbox.task(task).expect("it is known");
    assert_eq!((task.sent, task.finished), (1, true));
}

#[test]
fn what_was_held_begins_as_one_that_has_not_failed() {
    let (_store, mut stepper) = store();
    let failing = |events: &[LaneEvent]| {
        let mut endpoints = events.iter().filter_map(|event| match event {
            LaneEvent::Endpoint(lane) => Some(lane.failing_since),
            _ => None,
        });
        endpoints.next_back().expect("it was told of the endpoint")
    };
    let pause = |paused| Command::PauseEndpoint { org: ORG, app: "shop".into(), endpoint: "e".into(), paused };
    let outbox = stepper.outbox.clone();
    for (hold, go_on) in [
        (pause(true), pause(false)),
        (Command::PauseDispatch { paused: true }, Command::PauseDispatch { paused: false }),
    ] {
        let key = send(&mut stepper);
        stepper.attempt(key, 500, Next::Dead { reason: DeadReason::AttemptsExhausted }).expect("it waits");
        stepper.ask(outbox.execute(hold)).expect("it is legal");
        assert!(failing(&take(&stepper)).is_some());
        stepper.ask(outbox.execute(go_on)).expect("it is legal");
        assert_eq!(failing(&take(&stepper)), None);
    }
    // One that was not held still fails, whatever else of it is changed.
    let key = send(&mut stepper);
    stepper.attempt(key, 500, Next::Dead { reason: DeadReason::AttemptsExhausted }).expect("it waits");
    set_order(&mut stepper, Some(fifo(AfterDead::Continue)));
    assert!(failing(&take(&stepper)).is_some());
}

/// Deliveries of one message to endpoints that look for the key at different places.
#[test]
fn each_endpoint_orders_by_the_key_where_it_looks_for_it() {
    let world = SimWorld::new();
    let mut stepper = world.start(options(&sim_dir())).expect("it is empty");
    let outbox = stepper.outbox.clone();
    stepper.ask(outbox.execute(stepper::app("shop"))).expect("it is new");
    let uids = ["e", "at-a", "plain", "at-b"];
    for uid in uids {
        stepper.ask(outbox.execute(stepper::endpoint("shop", uid, &[PAID]))).expect("it is legal");
    }
    let orders = |stepper: &mut Stepper, body: &str| {
        take(stepper);
        let sent = NewMessage { order_key: Some("own".to_owned()), ..message("shop", PAID, body) };
        stepper.ask(outbox.accept(sent)).expect("there is room");
        let events = take(stepper);
        let of = |uid: &str| {
            let endpoint = stepper.endpoint_id("shop", uid).expect("it is there");
            let found = events.iter().find_map(|event| match event {
                LaneEvent::Waiting { key, order_key, .. } if key.endpoint == endpoint => Some(*order_key),
                _ => None,
            });
            found.expect("it goes there")
        };
        uids.map(of)
    };
    let [own, a, b] = ["own", "1", "x"].map(|key| keys::order_key(Some(key)));
    assert_eq!(orders(&mut stepper, r#"{"a":1,"b":"x"}"#), [own; 4], "nobody looks there");
    for (uid, pointer) in [("at-a", "/a"), ("at-b", "/b")] {
        let rule = OrderRule { by: OrderBy::Key, pointer: Some(pointer.to_owned()), after_dead: AfterDead::Continue };
        let command = Command::Endpoint {
            org: ORG,
            app: "shop".into(),
            endpoint: uid.into(),
            write: Write::Update,
            secret: None,
            disabled: None,
            edit: Box::new(move |fields| fields.policy.order = Some(rule)),
        };
        stepper.ask(outbox.execute(command)).expect("it is legal");
    }
    for (body, expected) in [
        (r#"{"a":1,"b":"x"}"#, [own, a, own, b]),
        (r#"{"b":"x"}"#, [own, 0, own, b]),
        (r#"{"a":"1"}"#, [own, a, own, 0]),
        ("[]", [own, 0, own, 0]),
    ] {
        assert_eq!(orders(&mut stepper, body), expected, "{body}");
    }
    // A filter keeps it from the first: the others' keys stay theirs.
    let only_others = Filter::new("@.a == 1");
    let command = Command::Endpoint {
        org: ORG,
        app: "shop".into(),
        endpoint: "at-a".into(),
        write: Write::Update,
        secret: None,
        disabled: None,
        edit: Box::new(move |fields| fields.filter = Some(only_others)),
    };
    stepper.ask(outbox.execute(command)).expect("it is legal");
    take(&stepper);
    stepper.ask(outbox.accept(message("shop", PAID, r#"{"a":2,"b":"x"}"#))).expect("there is room");
    let waiting = |event: LaneEvent| match event {
        LaneEvent::Waiting { key, order_key, .. } => Some((key.endpoint, order_key)),
        _ => None,
    };
    let went: BTreeMap<_, _> = take(&stepper).into_iter().filter_map(waiting).collect();
    let expected = [("e", 0), ("plain", 0), ("at-b", b)];
    let expected = expected.map(|(uid, order)| (stepper.endpoint_id("shop", uid).expect("it is there"), order));
    assert_eq!(went, BTreeMap::from(expected));
}
