//! Whatever waits for the committer when the stop comes is recorded and answered.

use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use postrider_model::audit::{Audit as _, AuditFilter};
use postrider_model::delivery::{DeliveryKey, Next};
use postrider_model::lane::DeliveryStore as _;
use postrider_model::ports::{Accept as _, AcceptError, Answer, Configure as _, ControlError, Unavailable};
use postrider_model::query::PageRequest;
use tokio::sync::Semaphore;

use super::audit::call;
use super::stepper::{SimWorld, Stepper, app, endpoint, runtime, sim_dir};
use super::support::{message, options, wait};
use crate::Options;

fn store(world: &SimWorld) -> Stepper {
    store_with(world, options(&sim_dir()))
}

fn store_with(world: &SimWorld, options: Options) -> Stepper {
    let mut stepper = world.start(options).expect("it is empty");
    let outbox = stepper.outbox.clone();
    stepper.ask(outbox.execute(app("shop"))).expect("it is new");
    stepper.ask(outbox.execute(endpoint("shop", "e", &["order.paid"]))).expect("it is new");
    stepper
}

/// Puts requests before the committer.
fn put<T>(answers: &mut [Answer<T>]) {
    let runtime = runtime();
    let _entered = runtime.enter();
    let mut nobody = Context::from_waker(Waker::noop());
    assert!(answers.iter_mut().all(|answer| answer.as_mut().poll(&mut nobody).is_pending()));
}

/// Stops, and lets the committer work until it has ended.
fn stop(stepper: &mut Stepper) {
    stepper.outbox.stop();
    let committer = stepper.committer.take().expect("it has not ended");
    assert!(committer.run_until_stopped().is_ok(), "the disk works");
}

#[test]
fn messages_of_more_than_one_frame_are() {
    let world = SimWorld::new();
    let mut stepper = store(&world);
    let outbox = stepper.outbox.clone();
    let body = "x".repeat(1_048_000);
    let mut accepting: Vec<_> = (0..5).map(|_| outbox.accept(message("shop", "order.paid", &body))).collect();
    put(&mut accepting);
    stop(&mut stepper);
    for accepted in accepting {
        assert!(wait(accepted).is_ok());
    }
    assert_eq!(outbox.stats().pending, 5);
}

#[test]
fn commands_of_which_a_frame_takes_one_and_notes_of_more_than_a_frame_are() {
    let call = call("noted");
    let world = SimWorld::new();
    let mut stepper = store(&world);
    let outbox = stepper.outbox.clone();
    let mut commands: Vec<_> = (0..5).map(|n| outbox.execute(app(&format!("app-{n}")))).collect();
    let mut notes: Vec<_> = (0..600).map(|_| outbox.note(call.clone())).collect();
    put(&mut notes);
    put(&mut commands);
    stop(&mut stepper);
    assert!(notes.into_iter().all(|noted| wait(noted).is_ok()));
    assert!(commands.into_iter().all(|done| wait(done).is_ok()));
    assert!((0..5).all(|n| stepper.app_id(&format!("app-{n}")).is_some()));
    let page = PageRequest { limit: 1_000, ..PageRequest::default() };
    assert_eq!(outbox.entries(&AuditFilter::default(), &page).expect("they are read").items.len(), 600);
}

/// More outcomes than a frame takes. Their jobs are out when the stop comes.
fn post_more_than_a_frame(stepper: &mut Stepper) {
    const BATCH: usize = 260;
    let outbox = stepper.outbox.clone();
    let group = (0..BATCH).map(|n| message("shop", "order.paid", &n.to_string())).collect();
    let accepted = stepper.ask(outbox.accept_all(group));
    let endpoint = stepper.endpoint_id("shop", "e").expect("it is there");
    let body = bytes::Bytes::from(vec![7; 16 << 10]);
    for accepted in accepted {
        let message = outbox.shared.mask.position(accepted.expect("there is room").id.0);
        let job = stepper.ask(outbox.job(DeliveryKey { endpoint, message })).expect("it waits");
        stepper.post_answer(&job, 500, body.clone(), Next::Delivered);
    }
}

#[test]
fn outcomes_of_more_than_one_frame_are() {
    let world = SimWorld::new();
    let mut stepper = store(&world);
    let outbox = stepper.outbox.clone();
    post_more_than_a_frame(&mut stepper);
    stop(&mut stepper);
    assert_eq!((outbox.stats().in_flight, outbox.stats().pending), (0, 0));
}

/// Else they could wait for as long as there is always more to be written.
#[test]
fn outcomes_are_synced_when_it_is_time_though_more_are_still_to_be_written() {
    let operations = |outcome_sync| {
        let world = SimWorld::new();
        let mut stepper = store_with(&world, Options { outcome_sync, ..options(&sim_dir()) });
        post_more_than_a_frame(&mut stepper);
        let before = world.disk.operations();
        stop(&mut stepper);
        world.disk.operations() - before
    };
    let (at_once, late) = (operations(Duration::ZERO), operations(Duration::from_secs(100_000)));
    assert!(at_once > late, "{at_once} operations of the disk, and {late} where a sync is not due");
}

/// They are many more than a frame takes, and nobody sends more.
#[test]
fn what_is_left_after_a_frame_waits_for_nothing_else() {
    let world = SimWorld::new();
    let mut stepper = store(&world);
    let outbox = stepper.outbox.clone();
    let mut commands: Vec<_> = (0..5).map(|n| outbox.execute(app(&format!("app-{n}")))).collect();
    put(&mut commands);
    let committer = stepper.committer.take().expect("it has not ended");
    let working = std::thread::spawn(move || committer.run_until_stopped().is_ok());
    assert!(commands.into_iter().all(|done| wait(done).is_ok()));
    outbox.stop();
    assert!(working.join().expect("it does not panic"));
    assert!((0..5).all(|n| stepper.app_id(&format!("app-{n}")).is_some()));
}

/// It had looked whether the process stops before, and waited for room.
#[test]
fn what_comes_at_the_moment_at_which_the_committer_ends_is_refused() {
    let world = SimWorld::new();
    let mut stepper = store(&world);
    let outbox = stepper.outbox.clone();
    let all = |room: &Arc<Semaphore>| {
        let places = u32::try_from(room.available_permits()).expect("there are not so many");
        Arc::clone(room).try_acquire_many_owned(places).expect("they are free")
    };
    let taken = [all(&outbox.room), all(&outbox.requests)];
    let runtime = runtime();
    let _entered = runtime.enter();
    let mut nobody = Context::from_waker(Waker::noop());
    let (mut accepting, mut executing) =
        (outbox.accept(message("shop", "order.paid", "1")), outbox.execute(app("other")));
    assert!(accepting.as_mut().poll(&mut nobody).is_pending() && executing.as_mut().poll(&mut nobody).is_pending());
    let mut committer = stepper.committer.take().expect("it has not ended");
    committer.end();
    drop(taken);
    let accepted = accepting.as_mut().poll(&mut nobody);
    assert_eq!(accepted, Poll::Ready(Err(AcceptError::Unavailable(Unavailable::Stopping))));
    let done = executing.as_mut().poll(&mut nobody).map_ok(drop);
    assert_eq!(done, Poll::Ready(Err(ControlError::Unavailable(Unavailable::Stopping))));
}

#[test]
fn nothing_is_taken_in_after_the_stop_was_asked_for() {
    let world = SimWorld::new();
    let mut stepper = store(&world);
    let outbox = stepper.outbox.clone();
    outbox.stop();
    let accepted = stepper.ask(outbox.accept(message("shop", "order.paid", "1")));
    assert_eq!(accepted, Err(AcceptError::Unavailable(Unavailable::Stopping)));
    let done = stepper.ask(outbox.execute(app("other")));
    assert_eq!(done.map(drop), Err(ControlError::Unavailable(Unavailable::Stopping)));
}
