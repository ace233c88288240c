//! What is checked of a task at its beginning and of each of its parts.

use std::task::{Context, Waker};

use postrider_model::command::{Command, CommandError};
use postrider_model::delivery::{DeliveryKey, DeliveryState, Next};
use postrider_model::expunge::Expunge as _;
use postrider_model::id::{AppId, EndpointId, RawId, TaskId};
use postrider_model::ports::{Accept as _, Configure as _, Control as _, ControlError};
use postrider_model::query::{DeliveryFilter, Query as _};
use postrider_model::task::{EndpointSpan, MAX_RUNNING_TASKS, Task, TaskWork};
use postrider_model::time::UnixMs;
use tokio::sync::oneshot;

use super::stepper::{SimWorld, Stepper, app, endpoint, sim_dir};
use super::support::{ORG, message, options};
use crate::Options;
use crate::committer::request::{Batched, Meant, TaskBatch, Urgent};
use crate::record::DeliveryRef;

fn store(world: &SimWorld, lane_window: usize) -> Stepper {
    let mut stepper = world.start(Options { lane_window, ..options(&sim_dir()) }).expect("it is empty");
    let outbox = stepper.outbox.clone();
    for command in [app("shop"), app("other"), endpoint("shop", "e", &["order.paid"])] {
        stepper.ask(outbox.execute(command)).expect("it is new");
    }
    stepper
}

/// Asks for so many tasks of an application at the same moment.
fn begin(stepper: &mut Stepper, app: Option<AppId>, count: usize) -> Vec<Result<Task, ControlError>> {
    let outbox = stepper.outbox.clone();
    let work = || TaskWork::ReplayDeadLetters(DeliveryFilter { app, ..DeliveryFilter::default() });
    let mut asked: Vec<_> = (0..count).map(|_| outbox.start_task(work())).collect();
    let mut nobody = Context::from_waker(Waker::noop());
    assert!(asked.iter_mut().all(|task| task.as_mut().poll(&mut nobody).is_pending()));
    asked.into_iter().map(|task| stepper.ask(task)).collect()
}

#[test]
fn no_more_tasks_of_an_application_run_than_may() {
    let world = SimWorld::new();
    let mut stepper = store(&world, 10);
    let [shop, other] = ["shop", "other"].map(|uid| stepper.app_id(uid));
    let limit = CommandError::Limit { what: "running tasks of one application", limit: MAX_RUNNING_TASKS };
    let begun = begin(&mut stepper, shop, MAX_RUNNING_TASKS - 2);
    assert!(begun.iter().all(Result::is_ok));
    let refused = || Err(ControlError::Command(limit.clone()));
    let last = begin(&mut stepper, shop, 3);
    assert!(matches!(&last[..2], [Ok(_), Ok(_)]), "one is seen, be it in the same frame: {last:?}");
    assert_eq!(last[2], refused());
    for elsewhere in [other, None] {
        assert!(begin(&mut stepper, elsewhere, 1)[0].is_ok(), "each application by itself");
    }
    assert_eq!(begin(&mut stepper, shop, 1), [refused()]);

    let finished = begun[0].as_ref().expect("it was begun").id;
    stepper.outbox.urgent.send(Urgent::FinishTask(finished)).expect("the committer is there");
    stepper.step();
    let again = begin(&mut stepper, shop, 2);
    assert!(again[0].is_ok(), "one has ended: {again:?}");
    assert_eq!(again[1], refused());
}

#[test]
fn a_task_is_for_an_endpoint_that_is_there() {
    let world = SimWorld::new();
    let mut stepper = store(&world, 10);
    let app = stepper.app_id("shop").expect("it is there");
    let there = stepper.endpoint_id("shop", "e").expect("it is there");
    let gone = EndpointId(RawId::from_bytes([9; 20]));
    for (endpoint, is_there) in [(there, true), (gone, false)] {
        let span = EndpointSpan { app, endpoint, since: UnixMs(0), until: None };
        for work in [TaskWork::Recover(span), TaskWork::ReplayMissing(span)] {
            let outbox = stepper.outbox.clone();
            let begun = stepper.ask(outbox.start_task(work)).map(drop);
            assert_eq!(begun, if is_there { Ok(()) } else { Err(ControlError::NotFound { kind: "endpoint" }) });
        }
    }
}

/// Sends a message, and delivers it.
fn delivered(stepper: &mut Stepper) -> DeliveryRef {
    let outbox = stepper.outbox.clone();
    let (app, endpoint) = (stepper.app_id("shop"), stepper.endpoint_id("shop", "e").expect("it is there"));
    let sent = stepper.ask(outbox.accept(message("shop", "order.paid", "1"))).expect("there is room");
    let found = outbox.shared.find_message(app.expect("it is there"), sent.id).expect("it can be read");
    let delivery = found.expect("it is there").delivery(endpoint);
    stepper.attempt(delivery.key(), 200, Next::Delivered).expect("it waits");
    delivery
}

/// A part of a task that means these, as it has seen them.
fn part(stepper: &mut Stepper, deliveries: &[DeliveryRef], known: Option<DeliveryState>) -> Option<Batched> {
    let task = TaskId(RawId::from_bytes([1; 20]));
    let cursor = deliveries.last().expect("there is one").key();
    let meant = |delivery: &DeliveryRef| Meant { delivery: *delivery, known, attempts_made: 1 };
    let (reply, answer) = oneshot::channel();
    let batch = TaskBatch { task, cursor, deliveries: deliveries.iter().map(meant).collect(), reply };
    stepper.outbox.urgent.send(Urgent::Batch(batch)).expect("the committer is there");
    stepper.ask(answer).ok()
}

fn pending(stepper: &Stepper) -> u64 {
    stepper.outbox.stats().pending
}

#[test]
fn a_part_that_has_no_room_in_the_window_does_nothing() {
    const WINDOW: usize = 3;
    let world = SimWorld::new();
    let mut stepper = store(&world, WINDOW);
    let all = [(); WINDOW + 1].map(|()| delivered(&mut stepper));
    assert_eq!(part(&mut stepper, &all, None), Some(Batched::NoRoom));
    assert_eq!(pending(&stepper), 0);
    let two = part(&mut stepper, &all[..2], None);
    assert_eq!((two, pending(&stepper)), (Some(Batched::Recorded), 2));
    assert_eq!(part(&mut stepper, &all[2..], None), Some(Batched::NoRoom), "there is room for one");
    let third = part(&mut stepper, &all[2..3], None);
    assert_eq!((third, pending(&stepper)), (Some(Batched::Recorded), 3));
}

#[test]
fn a_part_leaves_out_what_is_not_any_more_what_its_task_has_seen() {
    let world = SimWorld::new();
    let mut stepper = store(&world, 10);
    let outbox = stepper.outbox.clone();
    let [again, expunged, still] = [(); 3].map(|()| delivered(&mut stepper));
    stepper.ask(outbox.replay(again.app, again.message, again.endpoint)).expect("it can be sent again");
    stepper.ask(outbox.expunge_payload(expunged.app, expunged.message)).expect("it is there");
    let before = outbox.deliveries_of(again.app, again.message).expect("it can be read");
    let done = part(&mut stepper, &[again, expunged, still], None);
    assert_eq!((done, pending(&stepper)), (Some(Batched::Recorded), 2), "the last one is sent, too");
    assert_eq!(outbox.deliveries_of(again.app, again.message).expect("it can be read"), before);
    let waits =
        |delivery: DeliveryRef| outbox.shared.state.lock().waits(delivery.key()).map(|(_, waits)| waits.attempt);
    assert_eq!([again, expunged, still].map(waits), [Some(2), None, Some(2)]);
    // As a dead letter none of them is known.
    let dead =
        DeliveryState::Dead { at: UnixMs(1), reason: postrider_model::delivery::DeadReason::Refused, attempt: 1 };
    let other = delivered(&mut stepper);
    let done = part(&mut stepper, &[other], Some(dead));
    assert_eq!((done, pending(&stepper)), (Some(Batched::Recorded), 2));
}

/// Its cursor is on record, and it goes on with what other endpoints have.
#[test]
fn a_part_for_an_endpoint_that_is_gone_changes_nothing() {
    let world = SimWorld::new();
    let mut stepper = store(&world, 10);
    let delivery = delivered(&mut stepper);
    let delete = Command::DeleteEndpoint { org: ORG, app: "shop".to_owned(), endpoint: "e".to_owned() };
    stepper.ask(stepper.outbox.clone().execute(delete)).expect("it is there");
    assert_eq!(part(&mut stepper, &[delivery], None), Some(Batched::Recorded));
    assert_eq!(pending(&stepper), 0);
    let key = DeliveryKey { endpoint: delivery.endpoint, message: delivery.sequence };
    assert_eq!(stepper.outbox.shared.state.lock().waits(key), None);
}

/// It was replayed and delivered again since the task looked: what is known of it is nothing, as then.
#[test]
fn a_part_leaves_out_what_was_sent_again_since_its_task_looked() {
    let world = SimWorld::new();
    let mut stepper = store(&world, 10);
    let outbox = stepper.outbox.clone();
    let again = delivered(&mut stepper);
    stepper.ask(outbox.replay(again.app, again.message, again.endpoint)).expect("it can be sent again");
    stepper.attempt(again.key(), 200, Next::Delivered).expect("it waits");
    let recorded = part(&mut stepper, &[again], None);
    assert_eq!((recorded, pending(&stepper)), (Some(Batched::Recorded), 0));
}
