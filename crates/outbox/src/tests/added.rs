//! Deliveries that a replay added: the message's record does not name their endpoint.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use postrider_model::delivery::{DeadReason, DeliveryKey, DeliveryState, Next, Trigger};
use postrider_model::endpoint::Endpoint;
use postrider_model::id::MessageId;
use postrider_model::ports::{Control as _, ControlError};
use postrider_model::query::{MessageFilter, PageRequest, Query as _};

use super::support::{ManualClock, Running, options, wait};
use crate::Options;

const DAY: Duration = Duration::from_secs(86_400);
const PAID: &str = "order.paid";
/// Nobody asks for it.
const OTHER: &str = "order.seen";

fn small(dir: &Path) -> Options {
    let segment_bytes = 64 << 10;
    Options {
        segment_bytes,
        body_limit_bytes: 8 << 10,
        fresh_body_bytes: 0,
        retention_grace: Duration::ZERO,
        ..options(dir)
    }
}

fn open(dir: &Path, clock: &Arc<ManualClock>) -> Running {
    let mut running = Running::start(small(dir), clock).expect("the store opens");
    running.keeper.round();
    running
}

fn key(running: &Running, to: &Endpoint, message: MessageId) -> DeliveryKey {
    let found = running.outbox.message(to.app, message).expect("it can be read").expect("it is there");
    DeliveryKey { endpoint: to.id, message: found.sequence }
}

fn states(running: &Running, of: &Endpoint, message: MessageId) -> Vec<DeliveryState> {
    let deliveries = running.outbox.deliveries_of(of.app, message).expect("they can be read");
    deliveries.iter().map(|delivery| delivery.state).collect()
}

fn replay(running: &Running, to: &Endpoint, message: MessageId) {
    wait(running.outbox.replay(to.app, message, to.id)).expect("nothing hinders it");
}

/// The messages that went to an endpoint, oldest first.
fn went_to(running: &Running, endpoint: &Endpoint) -> Vec<MessageId> {
    let page = PageRequest { descending: false, ..PageRequest::default() };
    let listed = running.outbox.messages_of_endpoint(endpoint.app, endpoint.id, &MessageFilter::default(), None, &page);
    listed.expect("they can be read").items.iter().map(|found| found.message.id).collect()
}

#[test]
fn a_message_is_replayed_to_an_endpoint_that_it_did_not_match() {
    let (dir, clock) = (tempfile::tempdir().expect("a temporary directory"), ManualClock::new());
    let running = open(dir.path(), &clock);
    running.app("shop");
    let endpoint = running.endpoint("shop", &[PAID]);
    let [added, left] = ["added", "left"].map(|body| running.send("shop", OTHER, body).id);
    let named = running.send("shop", PAID, "named").id;
    let cancel = |running: &Running, message| wait(running.outbox.cancel(endpoint.app, message, endpoint.id));
    assert_eq!(cancel(&running, added), Err(ControlError::NotFound { kind: "delivery" }));
    replay(&running, &endpoint, added);
    let again = wait(running.outbox.replay(endpoint.app, added, endpoint.id));
    assert!(matches!(again, Err(ControlError::Transition(_))), "it waits: {again:?}");

    running.kill();
    let mut running = open(dir.path(), &clock);
    let waiting: Vec<_> = running.waiting().iter().map(|(key, scheduled)| (*key, scheduled.attempt)).collect();
    assert_eq!(waiting, [(key(&running, &endpoint, added), 1), (key(&running, &endpoint, named), 1)]);
    assert_eq!(went_to(&running, &endpoint), [added, named]);
    let job = running.attempt(key(&running, &endpoint, added), 200, Next::Delivered);
    assert_eq!((job.message, job.body.as_ref()), (added, b"added".as_ref()));

    running.stop();
    let running = open(dir.path(), &clock);
    let found = states(&running, &endpoint, added);
    assert!(matches!(found.as_slice(), [DeliveryState::Delivered { attempt: 1, .. }]), "{found:?}");
    assert_eq!(states(&running, &endpoint, left), []);
    assert_eq!(went_to(&running, &endpoint), [added, named], "also after it was delivered");
    let cancelled = cancel(&running, added);
    assert!(matches!(cancelled, Err(ControlError::Transition(_))), "it has ended: {cancelled:?}");
    running.stop();
}

#[test]
fn what_a_replay_added_is_carried_out_of_old_segments() {
    let (dir, clock) = (tempfile::tempdir().expect("a temporary directory"), ManualClock::new());
    let mut running = open(dir.path(), &clock);
    running.app("shop");
    let (a, b) = (running.endpoint("shop", &[PAID]), running.endpoint("shop", &[PAID]));
    let [live, dead, both] = ["live", "dead", "both"].map(|body| running.send("shop", OTHER, body).id);
    for (to, message) in [(&a, live), (&a, dead), (&a, both), (&b, both)] {
        replay(&running, to, message);
    }
    let dies = Next::Dead { reason: DeadReason::AttemptsExhausted };
    running.attempt(key(&running, &a, dead), 500, dies);
    running.attempt(key(&running, &a, both), 200, Next::Delivered);
    for _ in 0..30 {
        running.send("shop", OTHER, &"x".repeat(7_000));
    }

    let check = |running: &mut Running| {
        use DeliveryState::{Dead, Delivered, Scheduled};
        let first = running.outbox.shared.reader.segments().first().map(|segment| segment.number);
        assert!(first > Some(1), "old segments are gone");
        let found = states(running, &a, live);
        assert!(matches!(found.as_slice(), [Scheduled(_)]), "{found:?}");
        let found = states(running, &a, dead);
        assert!(matches!(found.as_slice(), [Dead { attempt: 1, .. }]), "{found:?}");
        let found = states(running, &a, both);
        assert!(
            matches!(found.as_slice(), [Scheduled(_), Delivered { .. }] | [Delivered { .. }, Scheduled(_)]),
            "{found:?}"
        );
        assert_eq!(went_to(running, &a), [live, dead, both]);
        for (to, message, body) in [(&a, live, "live"), (&b, both, "both")] {
            assert_eq!(running.job(key(running, to, message)).body.as_ref(), body.as_bytes());
        }
        running.outbox.shared.in_flight.lock().clear();
    };
    for _ in 0..2 {
        clock.forward(8 * DAY);
        running.keeper.round();
        check(&mut running);
        running.stop();
        running = open(dir.path(), &clock);
        check(&mut running);
        running.kill();
        running = open(dir.path(), &clock);
        check(&mut running);
        // Once more, from where they are now.
        for _ in 0..30 {
            running.send("shop", OTHER, &"x".repeat(7_000));
        }
    }
    running.stop();
}

#[test]
fn a_resend_goes_where_the_message_never_went_and_beside_what_a_replay_added() {
    let (dir, clock) = (tempfile::tempdir().expect("a temporary directory"), ManualClock::new());
    let mut running = open(dir.path(), &clock);
    running.app("shop");
    let endpoint = running.endpoint("shop", &[PAID]);
    let message = running.send("shop", OTHER, "added").id;
    let delivery = key(&running, &endpoint, message);
    let resend = |running: &Running| {
        wait(running.outbox.resend(endpoint.app, message, endpoint.id)).expect("nothing hinders it");
    };
    resend(&running);
    let [DeliveryState::Scheduled(waiting)] = states(&running, &endpoint, message)[..] else { panic!("a replay") };
    assert_eq!((waiting.attempt, waiting.step, waiting.trigger), (1, 0, Trigger::Manual));
    running.attempt(delivery, 200, Next::Delivered);

    // It has ended now: that it is resent changes nothing of it.
    resend(&running);
    running.kill();
    let mut running = open(dir.path(), &clock);
    running.attempt(delivery, 500, Next::AsBefore);
    let after = states(&running, &endpoint, message);
    assert!(matches!(after[..], [DeliveryState::Delivered { .. }]), "{after:?}");
    assert_eq!(went_to(&running, &endpoint), [message]);
    running.stop();
}

#[test]
fn what_a_replay_added_does_not_count_as_backlog() {
    let (dir, clock) = (tempfile::tempdir().expect("a temporary directory"), ManualClock::new());
    let start = || Options { lane_window: 2, ..small(dir.path()) };
    let mut running = Running::start(start(), &clock).expect("the store opens");
    running.keeper.round();
    running.app("shop");
    let endpoint = running.endpoint("shop", &[PAID]);
    let mut sent = vec![];
    let mut other = vec![];
    for n in 0..6 {
        sent.push(running.send("shop", PAID, &n.to_string()).id);
        other.push(running.send("shop", OTHER, &n.to_string()).id);
    }
    // It lies between messages that wait behind the window.
    let added = other[4];
    replay(&running, &endpoint, added);
    running.kill();
    let mut running = Running::start(start(), &clock).expect("the store opens");
    running.keeper.round();
    assert_eq!(running.outbox.stats().pending, 7);
    let mut delivered = vec![];
    while let Some((key, _)) = running.waiting().first() {
        delivered.push(running.attempt(*key, 200, Next::Delivered).message);
        running.keeper.round();
    }
    delivered.sort_unstable();
    sent.push(added);
    sent.sort_unstable();
    assert_eq!(delivered, sent, "each once");
    assert_eq!(running.outbox.stats().pending, 0);
    running.stop();
}
