//! How much one frame takes, and that what it takes has room in it.

use std::task::{Context, Waker};

use bytes::Bytes;
use postrider_model::audit::Audit as _;
use postrider_model::command::{Command, Write};
use postrider_model::delivery::{DeliveryKey, Next};
use postrider_model::job::Job;
use postrider_model::lane::DeliveryStore as _;
use postrider_model::ports::{Accept as _, Answer, Configure as _};

use super::audit::call;
use super::stepper::{SimWorld, Stepper, app, endpoint, runtime, sim_dir};
use super::support::{ORG, message, options};
use crate::Options;
use crate::committer::request::FrameBound as _;

/// Of messages, of requests and of outcomes: so many bytes of each.
const SHARE: usize = 4 << 20;

fn store(world: &SimWorld, options: Options) -> Stepper {
    let mut stepper = world.start(options).expect("it is empty");
    let outbox = stepper.outbox.clone();
    stepper.ask(outbox.execute(app("shop"))).expect("it is new");
    stepper.ask(outbox.execute(endpoint("shop", "e", &["order.paid"]))).expect("it is new");
    stepper
}

/// Small segments, so that many frames come to the end of one.
fn small() -> Options {
    Options { segment_bytes: 64 << 10, body_limit_bytes: 8 << 10, ..options(&sim_dir()) }
}

/// Puts requests before the committer.
fn put<T>(answers: &mut [Answer<T>]) {
    let runtime = runtime();
    let _entered = runtime.enter();
    let mut nobody = Context::from_waker(Waker::noop());
    assert!(answers.iter_mut().all(|answer| answer.as_mut().poll(&mut nobody).is_pending()));
}

#[test]
fn a_frame_takes_no_more_messages_than_its_share() {
    let world = SimWorld::new();
    let mut stepper = store(&world, options(&sim_dir()));
    let outbox = stepper.outbox.clone();
    put(&mut [outbox.accept(message("shop", "order.paid", ""))]);
    let committer = stepper.committer.as_ref().expect("it has not ended");
    let empty = committer.ingest.try_recv().expect("it was put there").bound_bytes();
    // Four are the whole share.
    let body = "x".repeat(SHARE / 4 - empty);
    let mut waiting: Vec<_> = (0..7).map(|_| outbox.accept(message("shop", "order.paid", &body))).collect();
    put(&mut waiting);
    for left in [3, 0] {
        stepper.step();
        assert_eq!(outbox.ingest.len(), left);
    }
    assert!(waiting.into_iter().all(|accepted| stepper.ask(accepted).is_ok()));
}

#[test]
fn a_frame_takes_no_more_requests_than_their_share_and_that_leaves_room_for_messages() {
    let call = call("noted");
    let world = SimWorld::new();
    let mut stepper = store(&world, options(&sim_dir()));
    let outbox = stepper.outbox.clone();
    put(&mut [outbox.note(call.clone())]);
    let committer = stepper.committer.as_ref().expect("it has not ended");
    let one = committer.urgent.try_recv().expect("it was put there").bound_bytes();
    assert_eq!(SHARE % one, 0, "so many are the whole share");
    let mut waiting: Vec<_> = (0..SHARE / one + 100).map(|_| outbox.note(call.clone())).collect();
    put(&mut waiting);
    let mut accepted = [outbox.accept(message("shop", "order.paid", "1"))];
    put(&mut accepted);
    stepper.step();
    assert_eq!((outbox.urgent.len(), outbox.ingest.len()), (100, 0));
    stepper.step();
    assert_eq!(outbox.urgent.len(), 0);
    assert!(waiting.into_iter().all(|noted| stepper.ask(noted).is_ok()));
}

/// Jobs of so many messages, sent together.
fn jobs(stepper: &mut Stepper, count: usize) -> Vec<Job> {
    let outbox = stepper.outbox.clone();
    let group = (0..count).map(|n| message("shop", "order.paid", &n.to_string())).collect();
    let accepted = stepper.ask(outbox.accept_all(group));
    let endpoint = stepper.endpoint_id("shop", "e").expect("it is there");
    let job = |accepted: Result<postrider_model::message::Accepted, _>| {
        let message = outbox.shared.mask.position(accepted.expect("there is room").id.0);
        stepper.ask(outbox.job(DeliveryKey { endpoint, message })).expect("it waits")
    };
    accepted.into_iter().map(job).collect()
}

#[test]
fn a_frame_takes_no_more_outcomes_than_their_share() {
    const KEPT: usize = 16 << 10;
    const COUNT: usize = 270;
    let world = SimWorld::new();
    let mut stepper = store(&world, options(&sim_dir()));
    let outbox = stepper.outbox.clone();
    for job in jobs(&mut stepper, COUNT) {
        stepper.post_answer(&job, 500, Bytes::from(vec![7; KEPT]), Next::Delivered);
    }
    stepper.step();
    let left = outbox.stats().in_flight;
    let most = (SHARE / KEPT) as u64;
    assert!((COUNT as u64 - most..COUNT as u64 / 2).contains(&left), "{left} are left");
    stepper.step();
    assert_eq!(outbox.stats().in_flight, 0);
}

#[test]
fn what_comes_to_the_end_of_a_segment_goes_into_the_next() {
    let world = SimWorld::new();
    let mut stepper = store(&world, small());
    let outbox = stepper.outbox.clone();
    let mut segments = outbox.shared.reader.segments().len();
    for n in 0..60 {
        // Records of many sizes, so that each kind comes to the end once.
        let kept = Bytes::from(vec![7; (n * 997) % (8 << 10)]);
        let [job] = &jobs(&mut stepper, 1)[..] else { panic!("one was sent") };
        stepper.post_answer(job, 500, kept, Next::Delivered);
        stepper.step();
        assert_eq!(outbox.stats().in_flight, 0, "outcome {n}");
        stepper.ask(outbox.execute(endpoint("shop", &format!("e{n}"), &["b"]))).expect("a command has room, too");
    }
    segments = outbox.shared.reader.segments().len() - segments;
    assert!(segments > 4, "{segments} ends were reached");
}

/// Each record is as long as an outcome's can be, and the segments are as small as they may be.
#[test]
fn the_longest_outcomes_come_to_the_end_of_a_segment_and_into_the_next() {
    let world = SimWorld::new();
    let mut stepper = store(&world, small());
    let outbox = stepper.outbox.clone();
    let url = format!("https://example.com/{}", "u".repeat(7_900));
    let longer = Command::Endpoint {
        org: ORG,
        app: "shop".to_owned(),
        endpoint: "e".to_owned(),
        write: Write::Update,
        secret: None,
        disabled: None,
        edit: Box::new(move |fields| fields.url = url),
    };
    stepper.ask(outbox.execute(longer)).expect("it is legal");
    let first = outbox.shared.reader.segments().len();
    for n in 0..40 {
        let filler = message("shop", "nobody.asked", &"x".repeat((n * 997) % (8 << 10)));
        stepper.ask(outbox.accept(filler)).expect("there is room");
        let [job] = &jobs(&mut stepper, 1)[..] else { panic!("one was sent") };
        stepper.post_answer(job, 500, Bytes::from(vec![7; 16 << 10]), Next::Delivered);
        stepper.step();
        assert_eq!(outbox.stats().in_flight, 0, "outcome {n} is recorded");
    }
    assert!(outbox.shared.reader.segments().len() > first + 10);
}

/// Nobody knows how large an edited object is, so a command counts as a quarter of a frame.
#[test]
fn commands_come_to_the_end_of_a_segment_and_into_the_next() {
    let world = SimWorld::new();
    let mut stepper = store(&world, Options { segment_bytes: 16 << 10, ..small() });
    let outbox = stepper.outbox.clone();
    let first = outbox.shared.reader.segments().len();
    for n in 0..300 {
        let done = stepper.ask(outbox.execute(app(&format!("app-{n}"))));
        assert!(done.is_ok(), "command {n}: {done:?}");
    }
    assert!(outbox.shared.reader.segments().len() > first + 1);
}
