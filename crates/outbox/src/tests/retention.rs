//! What goes with time or for want of room, and what stays whatever happens.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use postrider_model::command::Command;
use postrider_model::delivery::{DeadReason, DeliveryKey, DeliveryState, Next};
use postrider_model::endpoint::Endpoint;
use postrider_model::id::MessageId;
use postrider_model::message::Accepted;
use postrider_model::ports::{Accept as _, AcceptError, Configure as _, Control as _, Unavailable};
use postrider_model::query::{Delivery, DeliveryFilter, PageRequest, Query as _};
use tempfile::TempDir;

use super::stepper::{self, Stepper, runtime, sim_dir};
use super::support::{ManualClock, ORG, Running, message, options, wait};
use crate::Options;
use crate::disk::sim::SimDisk;

const DAY: Duration = Duration::from_secs(86_400);
const HOUR: Duration = Duration::from_secs(3_600);
const SEGMENT_BYTES: u32 = 64 << 10;
pub(super) const PAID: &str = "order.paid";
/// Nobody asks for it: what is sent so is history at once.
pub(super) const OTHER: &str = "order.seen";

pub(super) fn small(dir: &Path) -> Options {
    // Bodies are always read from the journal.
    Options { segment_bytes: SEGMENT_BYTES, body_limit_bytes: 8 << 10, fresh_body_bytes: 0, ..options(dir) }
}

fn open(dir: &TempDir, clock: &Arc<ManualClock>) -> Running {
    let mut running = Running::start(small(dir.path()), clock).expect("the store opens");
    running.keeper.round();
    running
}

/// Lets the grace after the start pass, and then some time.
fn later(running: &mut Running, clock: &ManualClock, time: Duration) {
    clock.forward(time.max(HOUR));
    running.keeper.round();
}

pub(super) fn fill(running: &Running, messages: usize) {
    for _ in 0..messages {
        running.send("shop", OTHER, &"x".repeat(7_000));
    }
}

fn states(running: &Running, of: &Endpoint, message: MessageId) -> Vec<DeliveryState> {
    let deliveries = running.outbox.deliveries_of(of.app, message).expect("they can be read");
    deliveries.iter().map(|delivery| delivery.state).collect()
}

fn dead(running: &Running) -> Vec<Delivery> {
    running.outbox.dead_letters(&DeliveryFilter::default(), &PageRequest::default()).expect("they are listed").items
}

fn key(running: &Running, to: &Endpoint, message: MessageId) -> DeliveryKey {
    let found = running.outbox.message(to.app, message).expect("it can be read").expect("it is there");
    DeliveryKey { endpoint: to.id, message: found.sequence }
}

/// A store with history, and in it deliveries in every state.
struct History {
    a: Arc<Endpoint>,
    b: Arc<Endpoint>,
    /// Delivered to a; b has had one attempt.
    live: Accepted,
    /// Dead for a, delivered to b.
    dead: Accepted,
    /// Cancelled for a, never attempted for b.
    cancelled: Accepted,
    /// Delivered to both.
    delivered: Accepted,
}

fn history(running: &mut Running) -> History {
    running.app("shop");
    let (a, b) = (running.endpoint("shop", &[PAID]), running.endpoint("shop", &[PAID]));
    let [live, dead, cancelled, delivered] =
        ["live", "dead", "cancelled", "delivered"].map(|body| running.send("shop", PAID, body));
    let retry = Next::Retry { due: live.at + Duration::from_secs(5) };
    let no_more = Next::Dead { reason: DeadReason::AttemptsExhausted };
    for (to, accepted, status, next) in [
        (&a, &live, 200, Next::Delivered),
        (&b, &live, 500, retry),
        (&a, &dead, 500, no_more),
        (&b, &dead, 200, Next::Delivered),
        (&a, &delivered, 200, Next::Delivered),
        (&b, &delivered, 200, Next::Delivered),
    ] {
        running.attempt(key(running, to, accepted.id), status, next);
    }
    wait(running.outbox.cancel(a.app, cancelled.id, a.id)).expect("it waits");
    fill(running, 30);
    History { a, b, live, dead, cancelled, delivered }
}

fn check_carried(running: &mut Running, history: &History) {
    let History { a, b, live, dead: buried, cancelled, delivered } = history;
    let first = running.outbox.shared.reader.segments().first().map(|segment| segment.number);
    assert!(first > Some(1), "old segments are gone");
    assert_eq!(running.outbox.message(a.app, delivered.id), Ok(None), "nobody needs it");
    use DeliveryState::{Cancelled, Dead, Delivered, Scheduled};
    let found = states(running, a, live.id);
    assert!(
        matches!(found.as_slice(), [Delivered { attempt: 1, .. }, Scheduled(scheduled)] if scheduled.attempt == 2),
        "{found:?}"
    );
    let found = states(running, a, buried.id);
    assert!(matches!(found.as_slice(), [Dead { attempt: 1, .. }, Delivered { attempt: 1, .. }]), "{found:?}");
    let found = states(running, a, cancelled.id);
    assert!(
        matches!(found.as_slice(), [Cancelled { .. }, Scheduled(scheduled)] if scheduled.attempt == 1),
        "{found:?}"
    );
    let listed: Vec<_> = dead(running).iter().map(|delivery| (delivery.message, delivery.key.endpoint)).collect();
    assert_eq!(listed, [(buried.id, a.id)]);
    for (accepted, body) in [(live, "live"), (buried, "dead"), (cancelled, "cancelled")] {
        let found = running.outbox.message(a.app, accepted.id).expect("it can be read").expect("it is needed");
        assert_eq!((found.id, found.body.as_deref()), (accepted.id, Some(body.as_bytes())));
        assert_eq!(found.at, accepted.at, "it is as old as it was");
    }
    let job = running.job(key(running, b, live.id));
    assert_eq!((job.message, job.body.as_ref(), job.scheduled.attempt), (live.id, b"live".as_ref(), 2));
    running.outbox.shared.in_flight.lock().clear();
    assert_eq!(running.waiting().len(), 2);
}

#[test]
fn old_history_goes_and_what_is_live_or_dead_is_carried() {
    let (dir, clock) = (tempfile::tempdir().expect("a temporary directory"), ManualClock::new());
    let mut running = open(&dir, &clock);
    let history = history(&mut running);
    later(&mut running, &clock, 6 * DAY);
    assert!(running.outbox.message(history.a.app, history.delivered.id).is_ok_and(|found| found.is_some()));
    later(&mut running, &clock, 2 * DAY);
    check_carried(&mut running, &history);
    running.stop();

    let mut running = open(&dir, &clock);
    check_carried(&mut running, &history);
    running.kill();

    let mut running = open(&dir, &clock);
    check_carried(&mut running, &history);
    let job = running.attempt(key(&running, &history.b, history.live.id), 200, Next::Delivered);
    assert_eq!(job.body.as_ref(), b"live");
    let found = states(&running, &history.a, history.live.id);
    assert!(
        matches!(
            found.as_slice(),
            [DeliveryState::Delivered { attempt: 1, .. }, DeliveryState::Delivered { attempt: 2, .. }]
        ),
        "{found:?}"
    );
    running.stop();
}

#[test]
fn what_was_carried_is_carried_again_and_a_dead_letter_goes_in_its_time() {
    let (dir, clock) = (tempfile::tempdir().expect("a temporary directory"), ManualClock::new());
    let mut running = open(&dir, &clock);
    let history = history(&mut running);
    // Its age counts from its death, and each round of removal carries it on.
    for _ in 0..3 {
        later(&mut running, &clock, 8 * DAY);
        fill(&running, 20);
    }
    check_carried(&mut running, &history);
    later(&mut running, &clock, 7 * DAY);
    assert_eq!(dead(&running), [], "30 days are over");
    fill(&running, 20);
    later(&mut running, &clock, 8 * DAY);
    assert_eq!(running.outbox.message(history.a.app, history.dead.id), Ok(None));
    assert!(running.outbox.message(history.a.app, history.live.id).is_ok_and(|found| found.is_some()), "it waits");
    running.stop();
}

#[test]
fn a_delivery_held_too_long_becomes_a_dead_letter_that_says_so() {
    let (dir, clock) = (tempfile::tempdir().expect("a temporary directory"), ManualClock::new());
    let mut running = open(&dir, &clock);
    running.app("shop");
    let (held, free) = (running.endpoint("shop", &[PAID]), running.endpoint("shop", &[PAID]));
    let endpoint = held.id.to_string();
    running.command(Command::PauseEndpoint { org: ORG, app: "shop".into(), endpoint, paused: true });
    let accepted = running.send("shop", PAID, "1");
    later(&mut running, &clock, 29 * DAY);
    assert_eq!(dead(&running), []);
    let late = running.send("shop", PAID, "2");
    later(&mut running, &clock, 2 * DAY);
    let listed = dead(&running);
    let [letter] = listed.as_slice() else { panic!("one is held too long: {listed:?}") };
    assert_eq!((letter.message, letter.key.endpoint), (accepted.id, held.id));
    assert!(matches!(letter.state, DeliveryState::Dead { reason: DeadReason::HeldTooLong, attempt: 0, .. }));
    let waiting: Vec<_> = running.waiting().iter().map(|(key, _)| key.endpoint).collect();
    assert_eq!(waiting.iter().filter(|endpoint| **endpoint == free.id).count(), 2, "it holds nobody else");
    assert!(matches!(states(&running, &held, late.id).as_slice(), [DeliveryState::Scheduled(_), _]));
    running.stop();
}

#[test]
fn retention_stands_still_after_a_start_and_after_a_jump_of_the_clock() {
    let (dir, clock) = (tempfile::tempdir().expect("a temporary directory"), ManualClock::new());
    let mut running = open(&dir, &clock);
    let history = history(&mut running);
    running.stop();
    clock.forward(40 * DAY);
    let mut running = open(&dir, &clock);
    clock.forward(HOUR / 2);
    running.keeper.round();
    let is_there = |running: &Running| {
        let found = running.outbox.message(history.a.app, history.delivered.id);
        found.is_ok_and(|found| found.is_some()) && dead(running).len() == 1
    };
    assert!(is_there(&running), "the first half hour after a start");
    // The wall clock alone is wrong now.
    clock.jump(400 * DAY);
    running.keeper.round();
    clock.forward(HOUR * 3 / 4);
    running.keeper.round();
    assert!(is_there(&running), "the first hour after a jump");
    clock.forward(HOUR / 2);
    running.keeper.round();
    assert!(!is_there(&running), "then it is believed");
    running.stop();
}

/// A stepper with one endpoint, with room for so many segments.
pub(super) fn crowded(
    clock: &Arc<ManualClock>,
    disk: &SimDisk,
    index: &TempDir,
    segments: u64,
    lane_window: usize,
) -> Stepper {
    let options = Options {
        dir: sim_dir(),
        max_bytes: Some(segments * u64::from(SEGMENT_BYTES)),
        lane_window,
        ..small(&sim_dir())
    };
    let disk = Arc::new(disk.clone());
    let stepper = Stepper::start(options, index.path(), clock, disk, &runtime());
    let mut stepper = stepper.expect("nothing is damaged");
    let outbox = stepper.outbox.clone();
    stepper.ask(outbox.execute(stepper::app("shop"))).expect("it is legal");
    stepper.ask(outbox.execute(stepper::endpoint("shop", "a", &[PAID]))).expect("it is legal");
    stepper
}

pub(super) fn send(stepper: &mut Stepper, event_type: &str, n: usize) -> Result<Accepted, AcceptError> {
    let outbox = stepper.outbox.clone();
    let accepted = stepper.ask(outbox.accept(message("shop", event_type, &body(n))));
    stepper.keeper(|keeper| keeper.round());
    accepted
}

fn body(n: usize) -> String {
    format!("{n} {}", "x".repeat(5_000))
}

/// What waits, oldest first.
pub(super) fn pending(stepper: &Stepper) -> Vec<Delivery> {
    let page = PageRequest { limit: 1_000, after: None, descending: false };
    stepper.outbox.pending(&DeliveryFilter::default(), &page).expect("they are listed").items
}

fn deliver_all(stepper: &mut Stepper) -> Vec<MessageId> {
    let mut delivered = vec![];
    loop {
        stepper.keeper(|keeper| keeper.round());
        let Some(delivery) = pending(stepper).into_iter().next() else { return delivered };
        stepper.attempt(delivery.key, 200, Next::Delivered).expect("it can be read");
        delivered.push(delivery.message);
    }
}

#[test]
fn want_of_room_takes_delivered_history_first_and_refuses_only_what_has_no_room() {
    let (clock, disk) = (ManualClock::new(), SimDisk::new());
    let index = tempfile::tempdir().expect("a temporary directory");
    let mut stepper = crowded(&clock, &disk, &index, 8, 10_000);
    let mut keyed = message("shop", PAID, "keyed");
    keyed.idempotency_key = Some("k".into());
    keyed.event_id = Some("e".into());
    let outbox = stepper.outbox.clone();
    let first = stepper.ask(outbox.accept(keyed.clone())).expect("there is room");
    for n in 0..200 {
        clock.forward(Duration::from_secs(60));
        let sent = send(&mut stepper, PAID, n).unwrap_or_else(|error| panic!("message {n}: {error}"));
        assert!(!sent.duplicate);
        deliver_all(&mut stepper);
    }
    let first_segment = stepper.outbox.shared.reader.segments().first().map(|segment| segment.number);
    assert!(first_segment > Some(8), "history went early: {first_segment:?}");
    let again = stepper.ask(outbox.accept(keyed.clone())).expect("a key is no reason to refuse");
    assert_eq!((again.id, again.duplicate), (first.id, true), "a key of the last 24 hours outlives want of room");
    let mut other = keyed;
    other.idempotency_key = None;
    assert_eq!(stepper.ask(outbox.accept(other)), Err(AcceptError::EventIdTaken { existing: first.id }));

    // Now nothing is delivered any more.
    let mut live = vec![];
    let refused = loop {
        match send(&mut stepper, PAID, live.len()) {
            Ok(accepted) => live.push(accepted.id),
            Err(error) => break error,
        }
    };
    assert_eq!(refused, Unavailable::DiskFull.into());
    assert!(live.len() > 30, "{} were taken in before", live.len());
    for n in 0..20 {
        assert_eq!(send(&mut stepper, PAID, n), Err(Unavailable::DiskFull.into()));
    }
    assert_eq!(deliver_all(&mut stepper), live, "each once, in order");
    let taken = (0..20).filter(|n| send(&mut stepper, PAID, *n).is_ok()).count();
    assert!(taken > 15, "{taken} of 20 are accepted again");
}

#[test]
fn a_backlog_behind_the_window_keeps_its_segments_until_room_is_short() {
    let (clock, disk) = (ManualClock::new(), SimDisk::new());
    let index = tempfile::tempdir().expect("a temporary directory");
    let mut stepper = crowded(&clock, &disk, &index, 20, 4);
    let mut backlog = vec![];
    for n in 0..60 {
        let event_type = if n % 6 == 0 { PAID } else { OTHER };
        let accepted = send(&mut stepper, event_type, n).expect("there is room");
        backlog.extend((event_type == PAID).then_some(accepted.id));
    }
    clock.forward(8 * DAY);
    stepper.keeper(|keeper| keeper.round());
    let first = |stepper: &Stepper| stepper.outbox.shared.reader.segments().first().map(|segment| segment.number);
    let cursor = stepper.outbox.shared.state.lock().lanes.values().find_map(|lane| lane.backlog.cursor());
    assert_eq!(first(&stepper), cursor.map(|cursor| cursor.segment()), "the lane has not read it yet");
    let listed = |stepper: &Stepper| pending(stepper).iter().map(|delivery| delivery.message).collect::<Vec<_>>();
    assert_eq!(listed(&stepper), backlog);

    for n in 0..400 {
        send(&mut stepper, OTHER, n).unwrap_or_else(|error| panic!("message {n}: {error}"));
        // Not by age.
        clock.forward(Duration::from_secs(1));
    }
    assert!(first(&stepper) > Some(10));
    assert_eq!(listed(&stepper), backlog, "it was carried");
    drop(stepper);
    let mut stepper = crowded(&clock, &disk, &index, 20, 4);
    assert_eq!(listed(&stepper), backlog, "after a kill too");
    assert_eq!(deliver_all(&mut stepper), backlog);
}

/// What has no live delivery may be needed all the same: its key is one of the last day.
#[test]
fn a_segment_stays_until_all_that_is_needed_of_it_is_carried() {
    let (dir, clock) = (tempfile::tempdir().expect("a temporary directory"), ManualClock::new());
    let short = || Options { retain_history: HOUR, ..small(dir.path()) };
    let running = Running::start(short(), &clock).expect("the store opens");
    running.app("shop");
    let mut keyed = message("shop", OTHER, "keyed");
    keyed.idempotency_key = Some("k".into());
    let first = running.accept(keyed.clone()).expect("there is room").id;
    fill(&running, 20);
    running.stop();
    std::fs::remove_dir_all(dir.path().join("index")).expect("it is there");

    let mut running = Running::start(short(), &clock).expect("the store opens");
    let oldest = |running: &Running| running.outbox.shared.reader.segments().first().map(|segment| segment.number);
    clock.forward(2 * HOUR);
    // How its deliveries ended is not known before the index is there again.
    running.keeper.remove_old_segments();
    assert_eq!(oldest(&running), Some(1));
    running.keeper.round();
    assert!(oldest(&running) > Some(1));
    let again = running.accept(keyed).expect("it is the same");
    assert_eq!((again.id, again.duplicate), (first, true));
    running.stop();
}
