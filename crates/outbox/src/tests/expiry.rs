//! What ends by its age does so when its time has come, all of it, and not before.

use std::sync::Arc;
use std::time::Duration;

use postrider_model::audit::{Actor, Audit as _, AuditFilter, Call, Origin, Target};
use postrider_model::command::Command;
use postrider_model::delivery::{DeadReason, DeliveryState, Next};
use postrider_model::id::MessageId;
use postrider_model::ports::{Accept as _, Configure as _, Control as _};
use postrider_model::query::{DeliveryFilter, PageRequest, Query as _};
use postrider_model::time::{Clock as _, UnixMs};

use super::stepper::{self, SimWorld, sim_dir};
use super::support::{ManualClock, ORG, Running, message, options, wait};
use crate::Options;

const HOUR: Duration = Duration::from_secs(3_600);
const MOMENT: Duration = Duration::from_millis(1);
const PAID: &str = "order.paid";
const DIES: Next = Next::Dead { reason: DeadReason::AttemptsExhausted };

fn hourly(dir: &std::path::Path) -> Options {
    Options { retain_held: HOUR, retain_dead_letters: HOUR, retention_grace: Duration::ZERO, ..options(dir) }
}

fn pause(endpoint: String) -> Command {
    Command::PauseEndpoint { org: ORG, app: "shop".into(), endpoint, paused: true }
}

/// A round of the keeper at a time.
fn round_at(running: &mut Running, clock: &Arc<ManualClock>, at: UnixMs) {
    clock.forward(at.since(clock.now()));
    assert_eq!(clock.now(), at, "it is not over yet");
    running.keeper.round();
}

fn dead(running: &Running) -> Vec<(MessageId, DeliveryState)> {
    let page = PageRequest { descending: false, ..PageRequest::default() };
    let listed = running.outbox.dead_letters(&DeliveryFilter::default(), &page).expect("they are listed");
    listed.items.iter().map(|delivery| (delivery.message, delivery.state)).collect()
}

#[test]
fn a_delivery_waits_on_a_held_endpoint_until_the_limit_and_no_longer() {
    let (dir, clock) = (tempfile::tempdir().expect("a temporary directory"), ManualClock::new());
    let mut running = Running::start(hourly(dir.path()), &clock).expect("an empty directory opens");
    running.app("shop");
    let endpoint = running.endpoint("shop", &[PAID]);
    let early = running.send("shop", PAID, "early");
    clock.forward(HOUR / 2);
    running.command(pause(endpoint.id.to_string()));
    let held_since = {
        let config = running.outbox.shared.config.read();
        let endpoint = config.endpoint(endpoint.id).expect("it is there");
        config.hold(endpoint).expect("it is paused").1
    };
    clock.forward(HOUR / 4);
    let late = running.send("shop", PAID, "late");
    // That it waited before counts for nothing.
    round_at(&mut running, &clock, held_since + HOUR - MOMENT);
    assert_eq!(dead(&running), []);
    round_at(&mut running, &clock, held_since + HOUR);
    let gone = |of: MessageId| move |(message, _): &(MessageId, DeliveryState)| *message == of;
    assert!(dead(&running).iter().all(gone(early.id)) && dead(&running).len() == 1, "{:?}", dead(&running));
    round_at(&mut running, &clock, late.at + HOUR - MOMENT);
    assert_eq!(dead(&running).len(), 1);
    round_at(&mut running, &clock, late.at + HOUR);
    let states: Vec<_> = dead(&running).into_iter().map(|(_, state)| state).collect();
    let held = |state: &DeliveryState| {
        matches!(state, DeliveryState::Dead { reason: DeadReason::HeldTooLong, attempt: 0, .. })
    };
    assert!(states.len() == 2 && states.iter().all(held), "{states:?}");
    running.stop();
}

#[test]
fn a_dead_letter_is_kept_until_the_limit_and_longer_while_it_is_resent() {
    let (dir, clock) = (tempfile::tempdir().expect("a temporary directory"), ManualClock::new());
    let mut running = Running::start(hourly(dir.path()), &clock).expect("an empty directory opens");
    running.app("shop");
    let endpoint = running.endpoint("shop", &[PAID]);
    let [one, resent] = ["one", "resent"].map(|body| running.send("shop", PAID, body).id);
    for (key, _) in running.waiting() {
        running.attempt(key, 500, DIES);
    }
    let died = match dead(&running)[..] {
        [(first, DeliveryState::Dead { at, .. }), (second, _)] if (first, second) == (one, resent) => at,
        ref other => panic!("{other:?}"),
    };
    wait(running.outbox.resend(endpoint.app, resent, endpoint.id)).expect("it is dead");
    let listed = |running: &Running| dead(running).into_iter().map(|(message, _)| message).collect::<Vec<_>>();
    round_at(&mut running, &clock, died + HOUR - MOMENT);
    assert_eq!(listed(&running), [one, resent]);
    round_at(&mut running, &clock, died + HOUR);
    assert_eq!(listed(&running), [resent], "it may yet be delivered");
    let (key, _) = running.waiting()[0];
    running.attempt(key, 500, Next::AsBefore);
    assert_eq!(listed(&running), [resent]);
    running.keeper.round();
    assert_eq!(listed(&running), []);
    running.stop();
}

#[test]
fn however_many_there_are_one_round_ends_them_all() {
    const MANY: usize = 2_001;
    let world = SimWorld::new();
    let large = Options { segment_bytes: 2 << 20, body_limit_bytes: 1 << 10, ..hourly(&sim_dir()) };
    let mut stepper = world.start(large).expect("an empty directory opens");
    let outbox = stepper.outbox.clone();
    stepper.ask(outbox.execute(stepper::app("shop"))).expect("it is legal");
    stepper.ask(outbox.execute(stepper::endpoint("shop", "e", &[PAID]))).expect("it is legal");
    stepper.ask(outbox.execute(pause("e".into()))).expect("it is legal");
    let accepted = stepper.ask(outbox.accept_all(vec![message("shop", PAID, "{}"); MANY]));
    assert!(accepted.iter().all(Result::is_ok));
    let figures = |stepper: &stepper::Stepper| {
        let stats = stepper.outbox.stats();
        (stats.pending, stats.dead_letters)
    };
    assert_eq!(figures(&stepper), (MANY as u64, 0));
    world.clock.forward(HOUR + Duration::from_secs(10));
    stepper.keeper(|keeper| keeper.round());
    assert_eq!(figures(&stepper), (0, MANY as u64));
    world.clock.forward(HOUR + Duration::from_secs(10));
    stepper.keeper(|keeper| keeper.round());
    assert_eq!(figures(&stepper), (0, 0));
}

/// What it asks for is refused then, and asked for again by a later one.
#[test]
fn on_a_full_disk_a_round_ends_all_the_same() {
    let world = SimWorld::new();
    let small = Options {
        segment_bytes: 64 << 10,
        max_bytes: Some(5 * (64 << 10)),
        body_limit_bytes: 8 << 10,
        ..hourly(&sim_dir())
    };
    let mut stepper = world.start(small).expect("an empty directory opens");
    let outbox = stepper.outbox.clone();
    stepper.ask(outbox.execute(stepper::app("shop"))).expect("it is legal");
    stepper.ask(outbox.execute(stepper::endpoint("shop", "e", &[PAID]))).expect("it is legal");
    stepper.ask(outbox.execute(pause("e".into()))).expect("it is legal");
    // The first segment is history alone.
    let filler = || message("shop", "order.seen", &"x".repeat(7_000));
    for _ in 0..12 {
        stepper.ask(outbox.accept(filler())).expect("there is room");
    }
    stepper.ask(outbox.accept(message("shop", PAID, "{}"))).expect("there is room");
    let other = stepper.ask(outbox.accept(message("shop", PAID, "{}"))).expect("there is room").id;
    while stepper.ask(outbox.accept(filler())).is_ok() {}
    assert!(outbox.is_full());
    // What is reserved for outcomes and for such changes is used up, too.
    let (app, endpoint) = (stepper.app_id("shop"), stepper.endpoint_id("shop", "e"));
    let (app, endpoint) = (app.expect("it was made"), endpoint.expect("it was made"));
    let refused = (0..5_000).find(|n| {
        let change = if n % 2 == 0 { outbox.cancel(app, other, endpoint) } else { outbox.replay(app, other, endpoint) };
        stepper.ask(change).is_err()
    });
    assert!(refused.is_some());
    world.clock.forward(HOUR + Duration::from_secs(10));
    stepper.keeper(|keeper| keeper.round());
    assert_eq!(outbox.stats().dead_letters, 0, "it cannot be recorded");
    for _ in 0..3 {
        // History goes for want of room.
        stepper.keeper(|keeper| keeper.round());
    }
    assert_eq!(outbox.stats().pending, 0);
    assert!(outbox.stats().dead_letters > 0);
}

#[test]
fn an_entry_of_the_audit_log_is_shown_until_it_is_past_its_retention() {
    let (dir, clock) = (tempfile::tempdir().expect("a temporary directory"), ManualClock::new());
    let hourly = Options { retain_audit: HOUR, ..hourly(dir.path()) };
    let mut running = Running::start(hourly, &clock).expect("an empty directory opens");
    let call = Call {
        operation: "list_endpoints".to_owned(),
        org: ORG,
        actor: Actor::Server,
        from: Origin::Start,
        request_id: None,
        target: Target::default(),
        status: 403,
        status_if_created: 403,
    };
    wait(running.outbox.note(call)).expect("there is room");
    let shown = |running: &Running| {
        let entries = running.outbox.entries(&AuditFilter::default(), &PageRequest::default());
        entries.expect("they can be read").items.into_iter().map(|entry| entry.at()).collect::<Vec<_>>()
    };
    let [at] = shown(&running)[..] else { panic!("one was noted") };
    round_at(&mut running, &clock, at + HOUR);
    assert_eq!(shown(&running), [at]);
    round_at(&mut running, &clock, at + HOUR + MOMENT);
    assert_eq!(shown(&running), []);
    running.stop();
}
