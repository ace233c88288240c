//! A disk without room: messages are refused first, then requests; outcomes wait; and all goes on
//! by itself when there is room.

use postrider_model::audit::{Actor, Audit as _, Call, Origin, Target};
use postrider_model::delivery::{DeliveryKey, Next};
use postrider_model::expunge::Expunge as _;
use postrider_model::lane::DeliveryStore as _;
use postrider_model::once::{Answered, KeyedRequest, Once as _};
use postrider_model::ports::{Accept as _, AcceptError, Configure as _, Control as _, ControlError, Unavailable};
use postrider_model::query::DeliveryFilter;
use postrider_model::task::TaskWork;

use super::logged::Logged;
use super::stepper::{SimWorld, Stepper, app, endpoint, sim_dir};
use super::support::{ORG, message};
use crate::{MasterKey, Options};

const FULL: Unavailable = Unavailable::DiskFull;

fn store(world: &SimWorld) -> Stepper {
    let options = Options {
        segment_bytes: 16 << 10,
        body_limit_bytes: 8 << 10,
        ..Options::new(sim_dir(), MasterKey::new([7; 32]))
    };
    let mut stepper = world.start(options).expect("it is empty");
    let outbox = stepper.outbox.clone();
    stepper.ask(outbox.execute(app("shop"))).expect("it is new");
    stepper.ask(outbox.execute(endpoint("shop", "e", &["order.paid"]))).expect("it is new");
    stepper
}

/// Until there is no room for messages.
fn fill(stepper: &mut Stepper) {
    for _ in 0..20 {
        let outbox = stepper.outbox.clone();
        match stepper.ask(outbox.accept(message("shop", "nobody.asked", &"x".repeat(5_000)))) {
            Ok(_) => {}
            Err(error) => return assert_eq!(error, AcceptError::Unavailable(FULL)),
        }
    }
    panic!("there is room for ever");
}

fn call() -> Call {
    Call {
        operation: "noted".to_owned(),
        org: ORG,
        actor: Actor::Server,
        from: Origin::Unix { uid: 17, pid: None },
        request_id: None,
        target: Target::default(),
        status: 200,
        status_if_created: 201,
    }
}

fn keyed(key: &str) -> KeyedRequest {
    let (route, key, query) = ("/x".to_owned(), key.to_owned(), String::new());
    KeyedRequest { org: ORG, app: None, route, key, query, body: bytes::Bytes::new() }
}

/// Until there is no room for the smallest request.
fn use_up_the_reserve(stepper: &mut Stepper) {
    for n in 0..500 {
        let kept = stepper.outbox.keep(&keyed(&n.to_string()), Answered { status: 200, body: bytes::Bytes::new() });
        if stepper.ask(kept).is_err() {
            return;
        }
    }
    panic!("there is room for ever");
}

#[test]
fn messages_are_refused_before_requests_and_outcomes_never() {
    let world = SimWorld::new();
    let mut stepper = store(&world);
    let outbox = stepper.outbox.clone();
    let sent = stepper.ask(outbox.accept(message("shop", "order.paid", "1"))).expect("there is room");
    let (shop, e) = (stepper.app_id("shop").expect("it is there"), stepper.endpoint_id("shop", "e").expect("it is"));
    let key = DeliveryKey { endpoint: e, message: outbox.shared.mask.position(sent.id.0) };
    let job = stepper.ask(outbox.job(key)).expect("it waits");
    assert!(!outbox.is_full());

    world.disk.set_free_bytes(0);
    fill(&mut stepper);
    assert!(outbox.is_full());
    assert!(outbox.shared.wants_room.load(std::sync::atomic::Ordering::Acquire), "history is to go");
    stepper.ask(outbox.note(call())).expect("what is kept in reserve is for requests and outcomes");
    use_up_the_reserve(&mut stepper);

    let request = keyed("k");
    let answer = Answered { status: 200, body: bytes::Bytes::new() };
    let work = || TaskWork::ReplayDeadLetters(DeliveryFilter::default());
    let refused: [Result<(), ControlError>; 6] = [
        stepper.ask(outbox.execute(app("other"))).map(drop),
        stepper.ask(outbox.cancel(shop, sent.id, e)),
        stepper.ask(outbox.start_task(work())).map(drop),
        stepper.ask(outbox.expunge_payload(shop, sent.id)),
        stepper.ask(outbox.keep(&request, answer.clone())).map(drop),
        stepper.ask(outbox.note(call())),
    ];
    assert_eq!(refused, [(); 6].map(|()| Err(ControlError::Unavailable(FULL))));
    stepper.post(&job, 200, Next::Delivered, false);
    stepper.step();
    assert_eq!(outbox.stats().in_flight, 1, "its outcome waits");

    world.disk.set_free_bytes(1 << 30);
    stepper.step();
    assert!(!outbox.is_full() && !outbox.shared.wants_room.load(std::sync::atomic::Ordering::Acquire));
    assert_eq!(
        (outbox.stats().in_flight, outbox.stats().pending),
        (0, 0),
        "it is recorded, and nothing was refused of it"
    );
    assert_eq!(stepper.app_id("other"), None);
    stepper.ask(outbox.accept(message("shop", "order.paid", "2"))).expect("there is room again");
    stepper.ask(outbox.execute(app("other"))).expect("there is room again");
    stepper.ask(outbox.start_task(work())).expect("there is room again");
    stepper.ask(outbox.keep(&request, answer)).expect("there is room again");
}

#[test]
fn that_it_is_full_is_said_once_until_there_is_room() {
    let world = SimWorld::new();
    let mut stepper = store(&world);
    let mut said = |work: &mut dyn FnMut(&mut Stepper)| {
        let lines = Logged::of("journal", || work(&mut stepper));
        let count = |text: &str| lines.iter().filter(|line| line.contains(text)).count();
        [
            count("the journal is full: messages are refused"),
            count("no room for another journal segment"),
            count("there is room in the journal again"),
        ]
    };
    for _ in 0..2 {
        world.disk.set_free_bytes(0);
        assert_eq!(said(&mut fill), [1, 1, 0]);
        assert_eq!(said(&mut fill), [0, 0, 0], "it was said");
        world.disk.set_free_bytes(1 << 30);
        assert_eq!(said(&mut Stepper::step), [0, 0, 1]);
        assert_eq!(said(&mut Stepper::step), [0, 0, 0], "it was said");
    }
}

#[test]
fn it_is_full_no_longer_than_files_cannot_be_opened() {
    let world = SimWorld::new();
    let mut stepper = store(&world);
    world.disk.set_out_of_files(true);
    fill(&mut stepper);
    assert!(stepper.outbox.is_full());
    world.disk.set_out_of_files(false);
    stepper.step();
    assert!(!stepper.outbox.is_full());
    stepper.ask(stepper.outbox.clone().accept(message("shop", "order.paid", "1"))).expect("there is room");
}

#[test]
fn a_stop_without_room_waits_for_none() {
    let world = SimWorld::new();
    let mut stepper = store(&world);
    let outbox = stepper.outbox.clone();
    let sent = stepper.ask(outbox.accept(message("shop", "order.paid", "1"))).expect("there is room");
    let endpoint = stepper.endpoint_id("shop", "e").expect("it is there");
    let key = DeliveryKey { endpoint, message: outbox.shared.mask.position(sent.id.0) };
    let job = stepper.ask(outbox.job(key)).expect("it waits");
    world.disk.set_free_bytes(0);
    fill(&mut stepper);
    use_up_the_reserve(&mut stepper);
    stepper.post(&job, 200, Next::Delivered, false);
    outbox.stop();
    let committer = stepper.committer.take().expect("it has not ended");
    assert!(committer.run_until_stopped().is_ok(), "the attempt is made again after the next start");
    drop(stepper);
    world.disk.set_free_bytes(1 << 30);
    let options = Options { segment_bytes: 16 << 10, ..Options::new(sim_dir(), MasterKey::new([7; 32])) };
    let stepper = world.start(options).expect("it opens");
    assert_eq!(stepper.outbox.stats().pending, 1);
}
