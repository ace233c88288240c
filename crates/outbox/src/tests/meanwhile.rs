//! Much time may pass between looking and recording: what is recorded goes by how it stands then.

mod content;

use std::collections::BTreeMap;
use std::task::{Context, Waker};
use std::time::Duration;

use postrider_model::command::Command;
use postrider_model::delivery::{DeadReason, DeliveryKey, DeliveryState, Next};
use postrider_model::expunge::Expunge as _;
use postrider_model::id::{AppId, EndpointId};
use postrider_model::lane::DeliveryStore as _;
use postrider_model::ports::{Accept as _, Configure as _, Control as _, ControlError};
use postrider_model::position::Position;
use postrider_model::query::Query as _;
use postrider_model::time::Clock as _;
use tokio::sync::oneshot;

use super::stepper::{SimWorld, Stepper, app, endpoint};
use super::support::{ManualClock, ORG, Running, message, options, wait};
use crate::Options;
use crate::committer::request::{CarryRequest, Carrying, DeliveriesRequest, Urgent};
use crate::disk::sim::Survival;
use crate::lookup::Found;
use crate::record::{DeliveryChange, DeliveryRef};

/// With segments that are quickly read again.
fn small() -> Options {
    Options { segment_bytes: 64 << 10, body_limit_bytes: 8 << 10, ..options("/data".as_ref()) }
}

/// A store with a message for one endpoint.
struct Store {
    stepper: Stepper,
    app: AppId,
    endpoint: EndpointId,
    found: Found,
    world: SimWorld,
}

impl Store {
    fn new() -> Self {
        let world = SimWorld::new();
        let mut stepper = world.start(small()).expect("it is empty");
        let outbox = stepper.outbox.clone();
        stepper.ask(outbox.execute(app("shop"))).expect("it is new");
        stepper.ask(outbox.execute(endpoint("shop", "e", &["order.paid"]))).expect("it is new");
        let accepted = stepper.ask(outbox.accept(message("shop", "order.paid", "1")));
        let app = stepper.app_id("shop").expect("it was made");
        let found = outbox.shared.find_message(app, accepted.expect("it is fine").id).expect("it can be read");
        let endpoint = stepper.endpoint_id("shop", "e").expect("it was made");
        Self { stepper, app, endpoint, found: found.expect("it was accepted"), world }
    }

    fn delivery(&self) -> DeliveryRef {
        self.found.delivery(self.endpoint)
    }

    fn state(&self) -> DeliveryState {
        let message = self.found.meta.id;
        self.stepper.outbox.deliveries_of(self.app, message).expect("it can be read")[0].state
    }

    fn pause(&self, paused: bool) -> Command {
        Command::PauseEndpoint { org: ORG, app: "shop".into(), endpoint: "e".into(), paused }
    }

    fn attempt(&mut self, status: u16, next: Next) {
        self.stepper.attempt(self.delivery().key(), status, next).expect("it waits");
    }

    /// The keeper asks for a change of the delivery.
    fn change(&mut self, what: DeliveryChange) -> Result<u64, ControlError> {
        let outbox = self.stepper.outbox.clone();
        let deliveries = vec![self.delivery()];
        let request = |reply| Urgent::Deliveries(DeliveriesRequest { what, deliveries, reply });
        self.stepper.ask(outbox.ask(request))
    }
}

impl Store {
    /// The keeper asks for two changes of the delivery, which lie before the committer at the same moment.
    fn change_both(
        &mut self,
        first: DeliveryChange,
        second: DeliveryChange,
    ) -> (Result<u64, ControlError>, Result<u64, ControlError>) {
        let outbox = self.stepper.outbox.clone();
        let delivery = self.delivery();
        let change = |what| {
            let deliveries = vec![delivery];
            outbox.ask(move |reply| Urgent::Deliveries(DeliveriesRequest { what, deliveries, reply }))
        };
        let both = async { tokio::join!(change(first), change(second)) };
        self.stepper.ask(both)
    }

    /// The same store after a power cut.
    fn crash(self) -> Self {
        let Self { stepper, app, endpoint, found, mut world } = self;
        drop(stepper);
        world.disk = world.disk.crash(Survival::Nothing);
        let stepper = world.start(small()).expect("it opens");
        Self { stepper, app, endpoint, found, world }
    }
}

const HELD_TOO_LONG: DeliveryChange = DeliveryChange::Expired(DeadReason::HeldTooLong);

#[test]
fn what_goes_on_again_is_not_given_up_for_having_been_held() {
    let mut store = Store::new();
    let outbox = store.stepper.outbox.clone();
    store.stepper.ask(outbox.execute(store.pause(true))).expect("it is there");
    store.stepper.ask(outbox.execute(store.pause(false))).expect("it is there");
    let given_up = store.change(HELD_TOO_LONG);
    assert!(given_up.is_err(), "{given_up:?}");
    assert!(matches!(store.state(), DeliveryState::Scheduled(_)), "{:?}", store.state());

    store.stepper.ask(outbox.execute(store.pause(true))).expect("it is there");
    assert!(store.change(HELD_TOO_LONG).is_err(), "it is held anew");
    store.world.clock.forward(options("/data".as_ref()).retain_held);
    assert_eq!(store.change(HELD_TOO_LONG), Ok(1));
    assert!(matches!(store.state(), DeliveryState::Dead { reason: DeadReason::HeldTooLong, .. }));
}

#[test]
fn a_letter_that_has_died_anew_is_not_forgotten_for_the_old_one() {
    let mut store = Store::new();
    store.attempt(400, Next::Dead { reason: DeadReason::Refused });
    assert_eq!(store.change(DeliveryChange::Forgotten), Ok(0));
    assert!(matches!(store.state(), DeliveryState::Dead { .. }));
}

#[test]
fn a_message_is_not_carried_without_an_end_that_came_after_the_look() {
    let mut store = Store::new();
    store.attempt(200, Next::Delivered);
    let really_ended = store.stepper.outbox.shared.ended_states(&store.found).expect("it can be read");
    let mut carried = |known: Vec<EndpointId>, ended| {
        let (reply, answer) = oneshot::channel();
        let Found { sequence, meta, body, .. } = &store.found;
        let (message, sequence, body, endpoints) = (meta.clone(), *sequence, body.clone(), vec![store.endpoint]);
        let request = CarryRequest { message, sequence, endpoints, known, body, ended, reply };
        store.stepper.outbox.urgent.send(Urgent::Carry(request)).expect("the committer is there");
        store.stepper.ask(answer).expect("it is answered")
    };
    assert!(matches!(carried(vec![store.endpoint], BTreeMap::new()), Carrying::LookAgain));
    assert!(matches!(carried(vec![], really_ended), Carrying::Done));
}

#[test]
fn what_is_expunged_in_flight_is_not_read_ahead_any_more() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let mut running =
        Running::start(Options { fresh_body_bytes: 64 << 10, ..options(dir.path()) }, &ManualClock::new())
            .expect("an empty directory opens");
    running.app("shop");
    let app = running.endpoint("shop", &["order.paid"]).app;
    let sent: Vec<_> = (0..400).map(|n| running.send("shop", "order.paid", &format!("{n:0>512}"))).collect();
    let waiting = running.waiting();
    let secret = waiting[1].0;
    drop(running.job(secret));
    wait(running.outbox.expunge_payload(app, sent[1].id)).expect("it is there");
    drop(running.job(waiting[0].0));
    let cached = |place: usize| running.outbox.shared.bodies.find(waiting[place].0.message).is_some();
    assert!(cached(2), "others are read ahead");
    assert!(!cached(1));
    running.stop();
}

#[test]
fn a_resend_in_flight_is_none_of_those_that_wait() {
    let mut store = Store::new();
    store.attempt(200, Next::Delivered);
    let outbox = store.stepper.outbox.clone();
    let resent = outbox.resend(store.app, store.found.meta.id, store.endpoint);
    store.stepper.ask(resent).expect("it can be sent again");
    store.stepper.ask(outbox.job(store.delivery().key())).expect("it waits");
    let now = outbox.shared.now();
    let stats = outbox.endpoint_stats(store.endpoint, now, now).expect("it can be read");
    assert_eq!((stats.pending, stats.sending), (0, 0));
}

#[test]
fn a_page_goes_on_after_a_row_whatever_has_become_of_its_record() {
    let store = Store::new();
    let shared = &store.stepper.outbox.shared;
    let key = shared.key_at(store.found.meta.at(), store.found.sequence);
    assert_eq!(shared.sequence_of(Some(&key)), Some(store.found.sequence));
}

/// Its end may be told by a segment that goes before the one to which the message is carried.
#[test]
fn a_delivery_that_ends_while_its_message_is_carried_has_ended() {
    const SEGMENT_BYTES: u32 = 16 << 10;
    let world = SimWorld::new();
    let hour = Duration::from_secs(3_600);
    let small = Options {
        segment_bytes: SEGMENT_BYTES,
        body_limit_bytes: 8 << 10,
        retain_history: hour,
        retention_grace: Duration::ZERO,
        ..options("/data".as_ref())
    };
    let mut stepper = world.start(small).expect("it is empty");
    let outbox = stepper.outbox.clone();
    stepper.ask(outbox.execute(app("shop"))).expect("it is new");
    for uid in ["ends", "waits"] {
        stepper.ask(outbox.execute(endpoint("shop", uid, &["order.paid"]))).expect("it is new");
    }
    let large = message("shop", "order.paid", &"x".repeat(6_000));
    let sent = stepper.ask(outbox.accept(large)).expect("it is fine").id;
    // There is room for an outcome before the end of a segment, and none for the message.
    let left = || SEGMENT_BYTES - outbox.shared.reader.end().offset_bytes();
    while outbox.shared.reader.end().segment() < 3 || !(2_000..5_000).contains(&left()) {
        stepper.ask(outbox.accept(message("shop", "order.seen", &"x".repeat(1_000)))).expect("it is fine");
    }
    let told_in = outbox.shared.reader.end().segment();
    let sequence = outbox.shared.mask.position(sent.0);
    let [ends, waits] = ["ends", "waits"].map(|uid| stepper.endpoint_id("shop", uid).expect("it was made"));
    let job = stepper.ask(outbox.job(DeliveryKey { endpoint: ends, message: sequence })).expect("it waits");
    world.clock.forward(2 * hour);
    let mut keeper = stepper.keeper.take().expect("it is here");
    std::thread::scope(|scope| {
        let retiring = scope.spawn(|| keeper.remove_old_segments());
        while outbox.urgent.is_empty() && !retiring.is_finished() {
            std::thread::yield_now();
        }
        // The keeper has looked, and asks that the message is carried.
        stepper.post(&job, 200, Next::Delivered, false);
        while !retiring.is_finished() {
            if stepper.has_work() {
                stepper.step();
            } else {
                std::thread::yield_now();
            }
        }
    });
    let key = DeliveryKey { endpoint: waits, message: sequence };
    let carried_to = outbox.shared.state.lock().waits(key).map(|(delivery, _)| delivery.position.segment());
    assert_eq!(carried_to, Some(told_in + 1));
    world.clock.forward(2 * hour);
    stepper.keeper = Some(keeper);
    stepper.keeper(|keeper| keeper.remove_old_segments());
    assert_eq!(outbox.shared.reader.segments().first().map(|segment| segment.number), carried_to);
    let app = stepper.app_id("shop").expect("it was made");
    let deliveries = outbox.deliveries_of(app, sent).expect("it can be read");
    let states: BTreeMap<_, _> = deliveries.iter().map(|delivery| (delivery.key.endpoint, delivery.state)).collect();
    assert!(matches!(states.get(&ends), Some(DeliveryState::Delivered { attempt: 1, .. })), "{states:?}");
    assert!(matches!(states.get(&waits), Some(DeliveryState::Scheduled(_))), "{states:?}");
}

#[test]
fn the_second_of_two_changes_goes_by_what_the_first_has_made_of_it() {
    let cancelled = || DeliveryChange::Cancelled;
    let replayed = DeliveryChange::Replayed { attempts_made: 0 };
    let mut store = Store::new();
    let (first, second) = store.change_both(cancelled(), cancelled());
    assert_eq!((first, second), (Ok(1), Err(ControlError::NotFound { kind: "delivery" })), "one cancels it");
    let (first, second) = store.change_both(replayed, replayed);
    assert!(first == Ok(1) && second.is_err(), "one replays it: {second:?}");
    let (first, second) = store.change_both(cancelled(), replayed);
    assert_eq!((first, second), (Ok(1), Ok(1)));
    assert!(matches!(store.state(), DeliveryState::Scheduled(_)), "{:?}", store.state());
    let (first, second) = store.change_both(replayed, cancelled());
    assert!(first.is_err() && second == Ok(1), "it waits: {first:?}");
    let store = store.crash();
    assert!(matches!(store.state(), DeliveryState::Cancelled { .. }), "{:?}", store.state());
}

/// Two were asked for at the same moment, and by the time that the second is recorded the attempt of
/// the first is over.
#[test]
fn each_of_two_replays_that_looked_at_the_same_moment_has_a_number_of_its_own() {
    for is_resend in [false, true] {
        let mut store = Store::new();
        store.attempt(200, Next::Delivered);
        let (ended, outbox) = (store.state(), store.stepper.outbox.clone());
        let looked_at = outbox.shared.state.lock().applied;
        let what = if is_resend {
            DeliveryChange::Resent { ended: Some(ended) }
        } else {
            DeliveryChange::Replayed { attempts_made: ended.attempts_made() }
        };
        for number in [2, 3] {
            let deliveries = vec![store.delivery()];
            let request = |reply| Urgent::SendAgain(DeliveriesRequest { what, deliveries, reply }, looked_at);
            assert_eq!(store.stepper.ask(outbox.ask(request)), Ok(1));
            assert_eq!(store.state().waits_for().map(|scheduled| scheduled.attempt), Some(number), "{what:?}");
            store.attempt(200, Next::Delivered);
        }
        assert_eq!(store.state().attempts_made(), 3);
        // The outcome of the last one was not synced yet; what it was asked for is on record.
        assert_eq!(store.crash().state().waits_for().map(|scheduled| scheduled.attempt), Some(3));
    }
}

#[test]
fn one_that_is_called_off_stays_what_it_was() {
    let mut store = Store::new();
    store.attempt(200, Next::Delivered);
    let DeliveryState::Delivered { at: delivered, .. } = store.state() else { panic!("it was delivered") };
    let is_as_before = |store: &Store| matches!(store.state(), DeliveryState::Delivered { at, .. } if at == delivered);
    let outbox = store.stepper.outbox.clone();
    store.stepper.ask(outbox.resend(store.app, store.found.meta.id, store.endpoint)).expect("it can be sent again");
    assert_eq!(store.change(DeliveryChange::Cancelled), Ok(1));
    assert!(is_as_before(&store), "{:?}", store.state());
    let job = store.stepper.ask(outbox.job(store.delivery().key()));
    assert!(job.is_err(), "it is not sent: {job:?}");
    assert!(store.change(DeliveryChange::Cancelled).is_err(), "nothing waits any more");
    let mut store = store.crash();
    assert!(is_as_before(&store), "{:?}", store.state());
    let outbox = store.stepper.outbox.clone();
    let job = store.stepper.ask(outbox.job(store.delivery().key()));
    assert!(job.is_err(), "it is not sent: {job:?}");
}

#[test]
fn what_retention_has_removed_does_not_come_back() {
    let mut store = Store::new();
    store.attempt(200, Next::Delivered);
    let there = store.delivery();
    let change = |store: &mut Store, delivery: DeliveryRef| {
        let (outbox, what) = (store.stepper.outbox.clone(), DeliveryChange::Replayed { attempts_made: 1 });
        let request = |reply| Urgent::Deliveries(DeliveriesRequest { what, deliveries: vec![delivery], reply });
        store.stepper.ask(outbox.ask(request))
    };
    let segments = store.stepper.outbox.shared.reader.segments();
    let other = segments.iter().map(|segment| segment.number).max().expect("there is one") + 1;
    let removed = DeliveryRef { position: Position::new(other, 64), ..there };
    assert_eq!(change(&mut store, removed), Err(ControlError::NotFound { kind: "delivery" }));
    assert_eq!(store.stepper.outbox.stats().pending, 0);
    assert_eq!(change(&mut store, there), Ok(1));
    assert_eq!(store.stepper.outbox.stats().pending, 1);
}

#[test]
fn a_letter_is_forgotten_when_its_time_is_over_and_not_before() {
    let mut store = Store::new();
    store.attempt(400, Next::Dead { reason: DeadReason::Refused });
    let DeliveryState::Dead { at, .. } = store.state() else { panic!("it is a dead letter") };
    let limit = options("/data".as_ref()).retain_dead_letters;
    let left = (at + limit).since(store.world.clock.now());
    store.world.clock.forward(left - Duration::from_millis(1));
    assert_eq!(store.change(DeliveryChange::Forgotten), Ok(0));
    assert!(matches!(store.state(), DeliveryState::Dead { .. }));
    store.world.clock.forward(Duration::from_millis(1));
    assert_eq!(store.change(DeliveryChange::Forgotten), Ok(1));
    assert_eq!(store.stepper.outbox.stats().dead_letters, 0);
}

/// An outcome disables another endpoint, so the command waits for the next frame, and stands there before
/// what the keeper asks for.
#[test]
fn what_is_let_go_on_in_the_same_frame_is_not_given_up_for_having_been_held() {
    let mut store = Store::new();
    let outbox = store.stepper.outbox.clone();
    store.stepper.ask(outbox.execute(endpoint("shop", "f", &["order.sent"]))).expect("it is new");
    let sent = store.stepper.ask(outbox.accept(message("shop", "order.sent", "1"))).expect("it is fine");
    let f = store.stepper.endpoint_id("shop", "f").expect("it was made");
    let key = DeliveryKey { endpoint: f, message: outbox.shared.mask.position(sent.id.0) };
    let job = store.stepper.ask(outbox.job(key)).expect("it waits");
    store.stepper.ask(outbox.execute(store.pause(true))).expect("it is there");
    store.world.clock.forward(options("/data".as_ref()).retain_held);

    store.stepper.post(&job, 410, Next::Retry { due: job.scheduled.due }, false);
    let mut goes_on = outbox.execute(store.pause(false));
    let mut nobody = Context::from_waker(Waker::noop());
    assert!(goes_on.as_mut().poll(&mut nobody).is_pending());
    store.stepper.step();
    assert!(goes_on.as_mut().poll(&mut nobody).is_pending(), "it waits for the next frame");
    let given_up = store.change(HELD_TOO_LONG);
    assert!(given_up.is_err(), "{given_up:?}");
    assert!(store.stepper.ask(goes_on).is_ok());
    assert!(matches!(store.state(), DeliveryState::Scheduled(_)), "{:?}", store.state());
}
