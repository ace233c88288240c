//! Replay of what is missing: the messages of a span of time that an endpoint
//! asks for and that never went to it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use postrider_model::command::Command;
use postrider_model::delivery::{DeadReason, Next};
use postrider_model::endpoint::Endpoint;
use postrider_model::expunge::Expunge as _;
use postrider_model::id::MessageId;
use postrider_model::ports::Control as _;
use postrider_model::query::{MessageFilter, PageRequest, Query as _};
use postrider_model::task::{EndpointSpan, Task, TaskWork};
use postrider_model::time::UnixMs;

use super::support::{ManualClock, ORG, Running, options, wait};
use super::tasking::{OTHER, windowed};
use crate::Options;

const PAID: &str = "order.paid";
const SECOND: Duration = Duration::from_secs(1);
const DEAD: Next = Next::Dead { reason: DeadReason::AttemptsExhausted };

fn open(options: Options, clock: &Arc<ManualClock>) -> Running {
    let mut running = Running::start(options, clock).expect("the store opens");
    running.keeper.round();
    running
}

fn begin(running: &Running, endpoint: &Endpoint, since: UnixMs, until: Option<UnixMs>) -> Task {
    let span = EndpointSpan { app: endpoint.app, endpoint: endpoint.id, since, until };
    wait(running.outbox.start_task(TaskWork::ReplayMissing(span))).expect("it is recorded")
}

/// Delivers all that waits, with the keeper at work, and counts how often each message went.
fn drain(running: &mut Running) -> BTreeMap<MessageId, u32> {
    let mut went = BTreeMap::new();
    running.keeper.round();
    while let waiting @ [_, ..] = running.waiting().as_slice() {
        for (key, _) in waiting {
            *went.entry(running.attempt(*key, 204, Next::Delivered).message).or_default() += 1;
        }
        running.keeper.round();
    }
    went
}

fn went_to(running: &Running, endpoint: &Endpoint) -> Vec<MessageId> {
    let page = PageRequest { descending: false, ..PageRequest::default() };
    let filter = MessageFilter::default();
    let listed = running.outbox.messages_of_endpoint(endpoint.app, endpoint.id, &filter, None, &page);
    listed.expect("they can be read").items.iter().map(|found| found.message.id).collect()
}

#[test]
fn what_never_went_to_an_endpoint_goes_there_once() {
    let (dir, clock) = (tempfile::tempdir().expect("a temporary directory"), ManualClock::new());
    let mut running = open(options(dir.path()), &clock);
    running.app("shop");
    let one = |running: &Running, event_type| {
        clock.forward(SECOND);
        running.send("shop", event_type, "body").id
    };
    let early = one(&running, PAID);
    let [missing, replayed, gone] = [(); 3].map(|()| one(&running, PAID));
    one(&running, OTHER);
    let endpoint = running.endpoint("shop", &[PAID]);
    let [delivered, dead, cancelled, waits] = [(); 4].map(|()| one(&running, PAID));
    let last = one(&running, PAID);
    let key = |running: &mut Running, message: MessageId| {
        let waiting = running.waiting();
        let sequence = running.outbox.shared.mask.position(message.0);
        waiting.iter().map(|(key, _)| *key).find(|key| key.message == sequence).expect("it waits")
    };
    wait(running.outbox.replay(endpoint.app, replayed, endpoint.id)).expect("nothing hinders it");
    wait(running.outbox.expunge_payload(endpoint.app, gone)).expect("it is there");
    for (message, status, next) in
        [(replayed, 204, Next::Delivered), (delivered, 204, Next::Delivered), (dead, 500, DEAD)]
    {
        let key = key(&mut running, message);
        running.attempt(key, status, next);
    }
    wait(running.outbox.cancel(endpoint.app, cancelled, endpoint.id)).expect("it waits");

    let task = begin(&running, &endpoint, missing.0.time(), Some(last.0.time()));
    let later = one(&running, PAID);
    assert_eq!(running.finish(&task), 1, "all but one of them went there, or is gone");
    let waiting: Vec<_> = running.waiting().iter().map(|(key, scheduled)| (key.message, scheduled.attempt)).collect();
    let expected = [missing, waits, last, later].map(|message| (running.outbox.shared.mask.position(message.0), 1));
    assert_eq!(waiting, expected);
    assert!(!went_to(&running, &endpoint).contains(&early), "it was accepted before the span");

    // Once more finds the same, and so nothing; without an end the first one is still too early.
    let again = begin(&running, &endpoint, missing.0.time(), None);
    assert_eq!(running.finish(&again), 0);
    drain(&mut running);
    running.kill();
    let mut running = open(options(dir.path()), &clock);
    let again = begin(&running, &endpoint, UnixMs(0), None);
    assert_eq!(running.finish(&again), 1, "the early one");
    assert_eq!(drain(&mut running), [(early, 1)].into());
    running.stop();
}

#[test]
fn it_takes_what_was_there_when_it_was_asked_for() {
    let (dir, clock) = (tempfile::tempdir().expect("a temporary directory"), ManualClock::new());
    let mut running = open(options(dir.path()), &clock);
    running.app("shop");
    let before = running.send("shop", PAID, "before").id;
    // No time goes by between these; nothing asks for `OTHER` when they are accepted.
    let endpoint = running.endpoint("shop", &[OTHER]);
    let first = running.send("shop", PAID, "first").id;
    let task = begin(&running, &endpoint, UnixMs(0), None);
    let after = running.send("shop", PAID, "after").id;
    widen(&running, &endpoint);
    running.keeper.round();
    let ids = [before, first, after].map(|message| running.outbox.shared.mask.position(message.0));
    let waiting: Vec<_> = running.waiting().iter().map(|(key, _)| key.message).collect();
    assert_eq!(waiting, ids[..2], "by the filters as they are now");
    assert_eq!(running.finish(&task), 2);
    running.stop();
}

/// Lets the endpoint ask for `PAID`.
fn widen(running: &Running, endpoint: &Endpoint) {
    running.edit(endpoint, |fields| fields.event_types = Some([PAID.to_owned()].into()));
}

#[test]
fn it_goes_on_after_a_restart_and_waits_for_room_and_for_the_index() {
    const MANY: u64 = 700;
    const WINDOW: usize = 300;
    let (dir, clock) = (tempfile::tempdir().expect("a temporary directory"), ManualClock::new());
    let mut running = open(windowed(dir.path(), WINDOW), &clock);
    running.app("shop");
    for n in 0..MANY {
        running.send("shop", PAID, &n.to_string());
    }
    let endpoint = running.endpoint("shop", &[PAID]);
    let task = begin(&running, &endpoint, UnixMs(0), None);
    running.keeper.round();
    running.keeper.round();
    assert_eq!(running.sent_by(&task), (WINDOW as u64, false), "no more than the lane's window holds");

    running.kill();
    std::fs::remove_dir_all(dir.path().join("index")).expect("it is there");
    let mut running = Running::start(windowed(dir.path(), WINDOW), &clock).expect("the store opens");
    let mut went = BTreeMap::new();
    for (key, _) in running.waiting().into_iter().take(100) {
        *went.entry(running.attempt(key, 204, Next::Delivered).message).or_default() += 1;
    }
    running.keeper.work_on_tasks();
    assert_eq!(running.sent_by(&task), (WINDOW as u64, false), "the index is being rebuilt");
    for (message, count) in drain(&mut running) {
        *went.entry(message).or_default() += count;
    }
    assert_eq!(running.finish(&task), MANY);
    assert_eq!((went.len() as u64, went.values().max()), (MANY, Some(&1)), "each once");
    running.stop();
}

#[test]
fn it_ends_with_its_endpoint() {
    let (dir, clock) = (tempfile::tempdir().expect("a temporary directory"), ManualClock::new());
    let mut running = open(options(dir.path()), &clock);
    running.app("shop");
    running.send("shop", PAID, "body");
    let endpoint = running.endpoint("shop", &[PAID]);
    let task = begin(&running, &endpoint, UnixMs(0), None);
    running.command(Command::DeleteEndpoint { org: ORG, app: "shop".to_owned(), endpoint: endpoint.id.to_string() });
    assert_eq!(running.finish(&task), 0);
    running.stop();
}
