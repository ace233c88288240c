//! Messages that come together, and messages for one endpoint alone.

use std::collections::BTreeSet;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};

use parking_lot::Mutex;
use postrider_model::command::Command;
use postrider_model::message::{Accepted, NewMessage};
use postrider_model::ports::{Accept, AcceptError, Configure, Receipt};
use tempfile::TempDir;

use super::stepper::{self, Stepper, runtime};
use super::support::{ManualClock, ORG, message, options};
use crate::Options;
use crate::disk::RealDisk;

/// A stepper with an application that has two endpoints.
fn shop(dir: &TempDir, options: Options) -> Stepper {
    let index = dir.path().join("no-index");
    let clock = ManualClock::new();
    let mut stepper =
        Stepper::start(options, &index, &clock, Arc::new(RealDisk), &runtime()).expect("an empty directory opens");
    let outbox = stepper.outbox.clone();
    stepper.ask(outbox.execute(stepper::app("shop"))).expect("it is new");
    for uid in ["one", "two"] {
        stepper.ask(outbox.execute(stepper::endpoint("shop", uid, &["order.paid"]))).expect("it is new");
    }
    stepper
}

type Answers = Pin<Box<dyn Future<Output = Vec<Result<Accepted, AcceptError>>> + Send>>;

/// Looks once whether they are there.
fn poll(answers: &mut Answers) -> Option<Vec<Result<Accepted, AcceptError>>> {
    let runtime = runtime();
    let _entered = runtime.enter();
    match answers.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(answers) => Some(answers),
        Poll::Pending => None,
    }
}

fn with_key(key: &str, body: &str) -> NewMessage {
    NewMessage { idempotency_key: Some(key.to_owned()), ..message("shop", "order.paid", body) }
}

#[test]
fn a_group_takes_one_frame_and_each_member_hears_its_own_answer() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut stepper = shop(&dir, Options { body_limit_bytes: 1_000, ..options(dir.path()) });
    let mut group: Vec<NewMessage> = (0..100).map(|n| message("shop", "order.paid", &n.to_string())).collect();
    group.push(message("shop", "order.paid", &"x".repeat(1_001)));
    group.push(message("nobody", "order.paid", "1"));
    group.push(message("shop", "not a type", "1"));
    group.extend([with_key("k", "1"), with_key("k", "1"), with_key("k", "2")]);
    let room = stepper.outbox.room.available_permits();
    let mut answers = stepper.outbox.accept_all(group);
    assert_eq!(poll(&mut answers), None);
    stepper.step();
    let answers = poll(&mut answers).expect("one step is enough for all");

    let ids: BTreeSet<_> = answers.iter().flatten().map(|accepted| accepted.id).collect();
    assert_eq!(ids.len(), 101);
    assert!(answers[..100].iter().flatten().is_sorted_by_key(|accepted| accepted.id));
    assert!(answers[..100].iter().all(|answer| answer.as_ref().is_ok_and(|accepted| accepted.deliveries == 2)));
    assert_eq!(answers[100], Err(AcceptError::TooLarge { bytes: 1_001, limit_bytes: 1_000 }));
    assert_eq!(answers[101], Err(AcceptError::UnknownApplication));
    assert!(matches!(answers[102], Err(AcceptError::Invalid(_))));
    let (first, again) = (answers[103].as_ref().expect("it is fine"), answers[104].as_ref().expect("it is the same"));
    assert_eq!((first.id, first.duplicate, again.id, again.duplicate), (first.id, false, first.id, true));
    assert_eq!(answers[105], Err(AcceptError::KeyReused));
    assert_eq!(stepper.outbox.room.available_permits(), room, "all room is given back");
}

/// Many in one task, which has only so much budget a turn.
#[test]
fn messages_are_accepted_in_the_order_in_which_they_are_first_asked_for() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut stepper = shop(&dir, options(dir.path()));
    let outbox = stepper.outbox.clone();
    let mut accepting: Vec<_> =
        (0..1_000).map(|n| outbox.accept(message("shop", "order.paid", &n.to_string()))).collect();
    runtime().block_on(std::future::poll_fn(|cx| {
        assert!(accepting.iter_mut().all(|answer| answer.as_mut().poll(cx).is_pending()));
        Poll::Ready(())
    }));
    assert_eq!(outbox.ingest.len(), 1_000, "each has its place after it was polled once");
    let ids: Vec<_> = accepting.into_iter().map(|answer| stepper.ask(answer).expect("it is fine").id).collect();
    assert!(ids.is_sorted());
}

#[test]
fn a_group_that_finds_no_room_in_time_is_refused_as_a_whole() {
    let dir = tempfile::tempdir().expect("a directory");
    let short = std::time::Duration::from_millis(1);
    let mut stepper = shop(&dir, Options { overload_wait: short, ..options(dir.path()) });
    let all = u32::try_from(stepper.outbox.room.available_permits()).expect("it is a u32");
    let taken = Arc::clone(&stepper.outbox.room).try_acquire_many_owned(all).expect("it is free");
    let group = vec![message("shop", "order.paid", "1"), message("shop", "order.paid", "2")];
    let answers = stepper.outbox.accept_all(group);
    let answers = stepper.ask(answers);
    assert_eq!(answers.len(), 2);
    assert!(answers.iter().all(|answer| matches!(answer, Err(AcceptError::Unavailable(_)))), "{answers:?}");
    drop(taken);
    assert_eq!(stepper.outbox.stats().pending, 0);
}

/// W2: the one endpoint is what counts, also when the configuration has changed
/// between the door and the committer.
#[test]
fn a_message_for_one_endpoint_goes_there_and_nowhere_else() {
    let dir = tempfile::tempdir().expect("a directory");
    let small = Options { segment_bytes: 64 << 10, body_limit_bytes: 8 << 10, ..options(dir.path()) };
    let mut stepper = shop(&dir, small);
    let outbox = stepper.outbox.clone();
    let only = stepper.endpoint_id("shop", "one");
    let example = || NewMessage { only, ..message("shop", "nobody.asked", "1") };
    // More than a frame holds: the last one goes into a later frame than the command.
    let behind_others = || {
        let filler = (0..20).map(|_| message("shop", "filler", &"x".repeat(8 << 10)));
        filler.chain([example()]).collect::<Vec<_>>()
    };

    let mut waits = outbox.accept_all(behind_others());
    assert_eq!(poll(&mut waits), None, "it lies in the committer's channel");
    let more = outbox.execute(stepper::endpoint("shop", "three", &["nobody.asked"]));
    stepper.ask(more).expect("it is new");
    let answers = stepper.ask(waits);
    assert_eq!(answers[20].as_ref().expect("it is there").deliveries, 1);
    let lanes = ["one", "two", "three"].map(|uid| {
        let endpoint = stepper.endpoint_id("shop", uid).expect("it is there");
        outbox.shared.state.lock().lanes.get(&endpoint).map_or(0, |lane| lane.pending())
    });
    assert_eq!(lanes, [1, 0, 0]);

    let mut waits = outbox.accept_all(behind_others());
    assert_eq!(poll(&mut waits), None);
    let delete = Command::DeleteEndpoint { org: ORG, app: "shop".to_owned(), endpoint: "one".to_owned() };
    stepper.ask(outbox.execute(delete)).expect("it is there");
    let answers = stepper.ask(waits);
    assert!(answers[0].is_ok());
    assert_eq!(answers[20], Err(AcceptError::UnknownEndpoint));
    assert_eq!(stepper.ask(outbox.accept(example())), Err(AcceptError::UnknownEndpoint));
}

/// Looks, when it is woken, which of some receipts are there.
struct Look {
    receipts: Mutex<Vec<Receipt>>,
    there: Mutex<Vec<bool>>,
}

impl Wake for Look {
    fn wake(self: Arc<Self>) {
        let mut nobody = Context::from_waker(Waker::noop());
        let look = |receipt: &mut Receipt| receipt.as_mut().poll(&mut nobody).is_ready();
        self.there.lock().extend(self.receipts.lock().iter_mut().map(look));
    }
}

#[test]
fn who_waits_for_the_first_receipt_of_a_frame_finds_all_when_it_comes() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut stepper = shop(&dir, options(dir.path()));
    let outbox = stepper.outbox.clone();
    let queue = |n: usize| outbox.queue(message("shop", "order.paid", &n.to_string()));
    let mut receipts: Vec<_> = (0..100).map(|n| stepper.ask(queue(n)).expect("there is room")).collect();
    let mut first = receipts.remove(0);
    let look = Arc::new(Look { receipts: receipts.into(), there: Mutex::default() });
    assert!(first.as_mut().poll(&mut Context::from_waker(&Arc::clone(&look).into())).is_pending());
    stepper.step();
    assert_eq!(*look.there.lock(), [true; 99]);
    assert!(stepper.ask(first).is_ok());
}
