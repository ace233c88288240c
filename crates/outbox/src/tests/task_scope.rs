//! What a task takes: what was there when it was asked for and is meant, as much as there is room for.

use std::time::Duration;

use postrider_model::delivery::{DeadReason, DeliveryKey, Next};
use postrider_model::endpoint::Endpoint;
use postrider_model::id::MessageId;
use postrider_model::ports::Control as _;
use postrider_model::position::Position;
use postrider_model::query::DeliveryFilter;
use postrider_model::task::{BulkReplay, EndpointSpan, Task, TaskWork};
use postrider_model::time::UnixMs;

use super::support::{ManualClock, Running, options, wait};
use super::tasking::OTHER;

const PAID: &str = "order.paid";
const SENT: &str = "order.sent";
const SECOND: Duration = Duration::from_secs(1);
const DIES: Next = Next::Dead { reason: DeadReason::AttemptsExhausted };

fn place(running: &Running, message: MessageId) -> Position {
    running.outbox.shared.mask.position(message.0)
}

fn attempt(running: &mut Running, endpoint: &Endpoint, message: MessageId, status: u16, next: Next) {
    let key = DeliveryKey { endpoint: endpoint.id, message: place(running, message) };
    running.attempt(key, status, next);
}

fn begin(running: &Running, work: TaskWork) -> Task {
    wait(running.outbox.start_task(work)).expect("it is recorded")
}

fn since(endpoint: &Endpoint, since: UnixMs) -> EndpointSpan {
    EndpointSpan { app: endpoint.app, endpoint: endpoint.id, since, until: None }
}

/// The messages that wait after a round.
fn waiting(running: &mut Running) -> Vec<Position> {
    running.keeper.round();
    running.waiting().into_iter().map(|(key, _)| key.message).collect()
}

#[test]
fn a_replay_takes_the_dead_letters_that_match_and_had_died_when_it_was_asked_for() {
    let (dir, clock) = (tempfile::tempdir().expect("a temporary directory"), ManualClock::new());
    let mut running = Running::start(options(dir.path()), &clock).expect("an empty directory opens");
    running.app("shop");
    let endpoint = running.endpoint("shop", &[PAID, SENT]);
    let [paid, sent, late] = [PAID, SENT, PAID].map(|event_type| {
        clock.forward(SECOND);
        running.send("shop", event_type, "body").id
    });
    for message in [paid, sent] {
        attempt(&mut running, &endpoint, message, 500, DIES);
    }
    let filter = DeliveryFilter { event_types: Some(vec![PAID.to_owned()]), ..DeliveryFilter::default() };
    let of_a_type = begin(&running, TaskWork::ReplayDeadLetters(filter));
    clock.forward(SECOND);
    attempt(&mut running, &endpoint, late, 500, DIES);
    assert_eq!(waiting(&mut running), [place(&running, paid)]);
    assert_eq!(running.finish(&of_a_type), 1);

    attempt(&mut running, &endpoint, paid, 500, DIES);
    let recovered = begin(&running, TaskWork::Recover(since(&endpoint, sent.0.time())));
    assert_eq!(waiting(&mut running), [sent, late].map(|message| place(&running, message)));
    assert_eq!(running.finish(&recovered), 2);
    running.stop();
}

#[test]
fn a_bulk_replay_leaves_alone_what_waited_when_it_was_asked_for() {
    let (dir, clock) = (tempfile::tempdir().expect("a temporary directory"), ManualClock::new());
    let mut running = Running::start(options(dir.path()), &clock).expect("an empty directory opens");
    running.app("shop");
    let endpoint = running.endpoint("shop", &[PAID]);
    let [before, since_then] = ["before", "since"].map(|body| running.send("shop", PAID, body).id);
    attempt(&mut running, &endpoint, before, 200, Next::Delivered);
    clock.forward(SECOND);
    let span = since(&endpoint, UnixMs(0));
    let all = BulkReplay { span, event_types: None, channel: None, tag: None, status: None, status_class: None };
    let task = begin(&running, TaskWork::BulkReplay(all));
    clock.forward(SECOND);
    attempt(&mut running, &endpoint, since_then, 200, Next::Delivered);
    assert_eq!(waiting(&mut running), [place(&running, before)]);
    assert_eq!(running.finish(&task), 1);
    running.stop();
}

/// That some were replayed to the endpoint before says nothing of those in between.
#[test]
fn a_replay_of_what_is_missing_takes_what_lies_between_messages_that_were_replayed() {
    let (dir, clock) = (tempfile::tempdir().expect("a temporary directory"), ManualClock::new());
    let mut running = Running::start(options(dir.path()), &clock).expect("an empty directory opens");
    running.app("shop");
    let sent = [(); 5].map(|()| running.send("shop", PAID, "body").id);
    let endpoint = running.endpoint("shop", &[PAID]);
    for replayed in [sent[0], sent[2], sent[4]] {
        wait(running.outbox.replay(endpoint.app, replayed, endpoint.id)).expect("nothing hinders it");
        attempt(&mut running, &endpoint, replayed, 200, Next::Delivered);
    }
    let task = begin(&running, TaskWork::ReplayMissing(since(&endpoint, UnixMs(0))));
    assert_eq!(waiting(&mut running), [sent[1], sent[3]].map(|message| place(&running, message)));
    assert_eq!(running.finish(&task), 2);
    running.stop();
}

#[test]
fn one_round_sends_as_many_as_there_is_room_for() {
    const MANY: usize = 40;
    let (dir, clock) = (tempfile::tempdir().expect("a temporary directory"), ManualClock::new());
    let mut running = Running::start(options(dir.path()), &clock).expect("an empty directory opens");
    running.app("shop");
    for _ in 0..MANY {
        running.send("shop", PAID, "body");
    }
    running.send("shop", OTHER, "body");
    let endpoint = running.endpoint("shop", &[PAID]);
    let missing = begin(&running, TaskWork::ReplayMissing(since(&endpoint, UnixMs(0))));
    assert_eq!(waiting(&mut running).len(), MANY);
    assert_eq!(running.finish(&missing), MANY as u64);
    for (key, _) in running.waiting() {
        running.attempt(key, 500, DIES);
    }
    let recovered = begin(&running, TaskWork::Recover(since(&endpoint, UnixMs(0))));
    assert_eq!(waiting(&mut running).len(), MANY);
    assert_eq!(running.finish(&recovered), MANY as u64);
    running.stop();
}
