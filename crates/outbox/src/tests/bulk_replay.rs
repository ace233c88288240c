//! Bulk replay: messages that went to an endpoint go there again.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use postrider_model::delivery::{DeadReason, Next};
use postrider_model::endpoint::Endpoint;
use postrider_model::expunge::Expunge as _;
use postrider_model::id::MessageId;
use postrider_model::ports::Control as _;
use postrider_model::status::MessageStatus;
use postrider_model::task::{BulkReplay, EndpointSpan, Task, TaskWork};
use postrider_model::time::UnixMs;

use super::support::{ManualClock, Running, options, wait};
use super::tasking::{OTHER, windowed};

const PAID: &str = "order.paid";
const SENT: &str = "order.sent";
const SECOND: Duration = Duration::from_secs(1);
const DEAD: Next = Next::Dead { reason: DeadReason::AttemptsExhausted };

fn all_of(endpoint: &Endpoint) -> BulkReplay {
    let span = EndpointSpan { app: endpoint.app, endpoint: endpoint.id, since: UnixMs(0), until: None };
    BulkReplay { span, event_types: None, channel: None, tag: None, status: None, status_class: None }
}

fn begin(running: &Running, bulk: BulkReplay) -> Task {
    wait(running.outbox.start_task(TaskWork::BulkReplay(bulk))).expect("it is recorded")
}

/// Delivers all that waits, with the keeper at work; gives the attempts by message.
fn drain(running: &mut Running) -> BTreeMap<MessageId, Vec<u16>> {
    let mut went: BTreeMap<MessageId, Vec<u16>> = BTreeMap::new();
    running.keeper.round();
    while let waiting @ [_, ..] = running.waiting().as_slice() {
        for (key, scheduled) in waiting {
            went.entry(running.attempt(*key, 204, Next::Delivered).message).or_default().push(scheduled.attempt);
        }
        running.keeper.round();
    }
    went
}

#[test]
fn what_has_ended_as_is_asked_for_goes_again() {
    let (dir, clock) = (tempfile::tempdir().expect("a temporary directory"), ManualClock::new());
    let mut running = Running::start(options(dir.path()), &clock).expect("the store opens");
    running.app("shop");
    let endpoint = running.endpoint("shop", &[PAID, SENT]);
    let one = |running: &Running, event_type| {
        clock.forward(SECOND);
        running.send("shop", event_type, "body").id
    };
    let [good, second, bad, worse, cancelled, gone] =
        [PAID, SENT, PAID, SENT, PAID, PAID].map(|event_type| one(&running, event_type));
    one(&running, OTHER);
    let place = |running: &Running, message: MessageId| running.outbox.shared.mask.position(message.0);
    for (message, status, next) in [
        (good, 204, Next::Delivered),
        (second, 200, Next::Delivered),
        (bad, 404, DEAD),
        (worse, 500, DEAD),
        (gone, 204, Next::Delivered),
    ] {
        let key = postrider_model::delivery::DeliveryKey { endpoint: endpoint.id, message: place(&running, message) };
        running.attempt(key, status, next);
    }
    wait(running.outbox.cancel(endpoint.app, cancelled, endpoint.id)).expect("it waits");
    wait(running.outbox.expunge_payload(endpoint.app, gone)).expect("it is there");
    running.send("shop", PAID, "waits");
    let waits = drain(&mut running);
    assert_eq!(waits.len(), 1);

    let within = |bulk: BulkReplay| {
        let span = EndpointSpan { until: Some(UnixMs(gone.0.time().as_u64() + 1)), ..bulk.span };
        BulkReplay { span, ..bulk }
    };
    let all = within(all_of(&endpoint));
    let status = |status| BulkReplay { status: Some(status), ..all.clone() };
    let class = |class| BulkReplay { status_class: Some(class), ..all.clone() };
    let types = BulkReplay { event_types: Some(vec![SENT.to_owned()]), ..all.clone() };
    let since = BulkReplay { span: EndpointSpan { since: second.0.time(), ..all.span }, ..types.clone() };
    let nobody = BulkReplay { channel: Some("nobody".to_owned()), ..all.clone() };
    let untagged = BulkReplay { tag: Some("nothing".to_owned()), ..all.clone() };
    for (bulk, expected) in [
        (nobody, vec![]),
        (untagged, vec![]),
        (class(0), vec![]),
        (class(5), vec![(worse, vec![2])]),
        (status(MessageStatus::Fail), vec![(bad, vec![2])]),
        (status(MessageStatus::Canceled), vec![(cancelled, vec![1])]),
        (types, vec![(second, vec![2]), (worse, vec![3])]),
        (since, vec![(second, vec![3]), (worse, vec![4])]),
        (all.clone(), vec![(good, vec![2]), (second, vec![4]), (bad, vec![3]), (worse, vec![5]), (cancelled, vec![2])]),
    ] {
        let asked = format!("{bulk:?}");
        let task = begin(&running, bulk);
        assert_eq!(running.finish(&task), expected.len() as u64, "{asked}");
        assert_eq!(drain(&mut running), expected.into_iter().collect(), "{asked}");
    }
    running.stop();
}

#[test]
fn it_goes_on_after_a_restart_and_leaves_alone_what_waits_and_what_comes_later() {
    const MANY: u64 = 700;
    const WINDOW: usize = 300;
    let (dir, clock): (_, Arc<ManualClock>) = (tempfile::tempdir().expect("a temporary directory"), ManualClock::new());
    let mut running = Running::start(windowed(dir.path(), WINDOW), &clock).expect("the store opens");
    running.app("shop");
    let endpoint = running.endpoint("shop", &[PAID]);
    for n in 0..MANY {
        running.send("shop", PAID, &n.to_string());
    }
    assert_eq!(drain(&mut running).len() as u64, MANY);
    let waits = running.send("shop", PAID, "waits").id;
    let task = begin(&running, all_of(&endpoint));
    clock.forward(SECOND);
    running.send("shop", PAID, "later");
    running.keeper.round();
    running.keeper.round();
    let room = WINDOW as u64 - 2;
    assert_eq!(running.sent_by(&task), (room, false), "no more than the lane's window holds");

    running.kill();
    let mut running = Running::start(windowed(dir.path(), WINDOW), &clock).expect("the store opens");
    let went = drain(&mut running);
    assert_eq!(running.finish(&task), MANY);
    assert_eq!(went.len() as u64, MANY + 2);
    assert_eq!(went.values().filter(|attempts| **attempts == [2]).count() as u64, MANY, "each once more");
    assert_eq!(went.get(&waits), Some(&vec![1]));
    running.stop();
}
