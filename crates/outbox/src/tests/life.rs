//! From acceptance to the end of a delivery, with restarts in between.

use std::time::Duration;

use postrider_model::command::CommandError;
use postrider_model::delivery::{DeadReason, DeliveryState, Next};
use postrider_model::ports::{AcceptError, Configure, Control, ControlError, Unavailable};
use postrider_model::query::{AttemptFilter, AttemptsOf, DeliveryFilter, PageRequest, Query};
use postrider_model::task::TaskWork;

use super::support::{ManualClock, Running, Unopenable, message, options, wait};

const RETRY: Duration = Duration::from_secs(5);

#[test]
fn a_message_is_delivered_and_its_history_is_read_back() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let clock = ManualClock::new();
    let mut running = Running::start(options(dir.path()), &clock).expect("an empty directory opens");
    running.app("shop");
    let endpoint = running.endpoint("shop", &["order.paid"]);
    running.endpoint("shop", &["order.sent"]);
    let accepted = running.send("shop", "order.paid", r#"{"order":  17.0}"#);
    assert_eq!(accepted.deliveries, 1, "one of the two endpoints asked for it");

    let waiting = running.waiting();
    let [(key, scheduled)] = waiting.as_slice() else { panic!("one delivery waits: {waiting:?}") };
    assert_eq!((key.endpoint, scheduled.attempt), (endpoint.id, 1));
    let due = scheduled.due + RETRY;
    let job = running.attempt(*key, 500, Next::Retry { due });
    assert_eq!(job.body.as_ref(), br#"{"order":  17.0}"#);
    assert_eq!(job.message, accepted.id);
    assert_eq!(running.waiting()[0].1.attempt, 2);
    running.attempt(*key, 204, Next::Delivered);
    assert!(running.waiting().is_empty());

    running.keeper.round();
    let of = AttemptsOf::Message(accepted.id);
    let attempts = running.outbox.attempts(endpoint.app, of, &AttemptFilter::default(), &PageRequest::default());
    let statuses: Vec<_> = attempts.expect("the index is there").items.iter().map(|a| (a.number, a.status)).collect();
    assert_eq!(statuses, [(2, Some(204)), (1, Some(500))]);
    let states = running.outbox.deliveries_of(endpoint.app, accepted.id).expect("it is there");
    assert!(matches!(states[0].state, DeliveryState::Delivered { attempt: 2, .. }), "{states:?}");
    running.stop();
}

#[test]
fn what_waits_is_there_after_a_clean_stop_and_after_a_kill() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let clock = ManualClock::new();
    let mut running = Running::start(options(dir.path()), &clock).expect("an empty directory opens");
    running.app("shop");
    running.endpoint("shop", &["order.paid"]);
    let first = running.send("shop", "order.paid", "1");
    let key = running.waiting()[0].0;
    let due = postrider_model::time::UnixMs(first.at.as_u64() + 5_000);
    running.attempt(key, 503, Next::Retry { due });
    running.stop();

    let mut running = Running::start(options(dir.path()), &clock).expect("a clean store opens");
    assert!(running.report.clean);
    assert_eq!(running.report.records, 0, "the checkpoint has it all");
    let second = running.send("shop", "order.paid", "2");
    let before = running.waiting();
    assert_eq!(before.len(), 2);
    assert_eq!((before[0].1.attempt, before[0].1.due), (2, due));
    // No stop: the process is gone, and with it all memory.
    let job = running.job(before[1].0);
    assert_eq!((job.message, job.body.as_ref()), (second.id, b"2".as_ref()));
    running.outbox.stop();
    drop(running);

    let mut running = Running::start(options(dir.path()), &clock).expect("the journal is whole");
    assert_eq!(running.waiting(), before);
    running.stop();
}

#[test]
fn an_idempotency_key_answers_the_same_id_also_after_a_restart() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let clock = ManualClock::new();
    let mut running = Running::start(options(dir.path()), &clock).expect("an empty directory opens");
    running.keeper.round();
    running.app("shop");
    let keyed = |body: &str| {
        let mut message = message("shop", "order.paid", body);
        message.idempotency_key = Some("k1".into());
        message
    };
    let first = running.accept(keyed("1")).expect("it is new");
    let again = running.accept(keyed("1")).expect("it is the same");
    assert_eq!((again.id, again.duplicate), (first.id, true));
    assert_eq!(running.accept(keyed("2")), Err(AcceptError::KeyReused));
    running.stop();

    let mut running = Running::start(options(dir.path()), &clock).expect("a clean store opens");
    running.keeper.round();
    assert_eq!(running.accept(keyed("1")).expect("it is the same").id, first.id);
    clock.forward(Duration::from_secs(24 * 3600 + 1));
    assert_ne!(running.accept(keyed("1")).expect("the key is forgotten").id, first.id);
    running.stop();
}

#[test]
fn dead_letters_are_listed_and_replayed_by_filter() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let clock = ManualClock::new();
    let mut running = Running::start(options(dir.path()), &clock).expect("an empty directory opens");
    running.app("shop");
    let endpoint = running.endpoint("shop", &["order.paid"]);
    for n in 0..5 {
        running.send("shop", "order.paid", &n.to_string());
    }
    for (key, _) in running.waiting() {
        running.attempt(key, 500, Next::Dead { reason: DeadReason::AttemptsExhausted });
    }
    let filter = DeliveryFilter { app: Some(endpoint.app), ..DeliveryFilter::default() };
    let dead = running.outbox.dead_letters(&filter, &PageRequest::default()).expect("they can be read");
    assert_eq!((dead.items.len(), dead.done), (5, true));
    let task = wait(running.outbox.start_task(TaskWork::ReplayDeadLetters(filter))).expect("it is recorded");
    running.keeper.round();
    let shown = running.outbox.task(task.id).expect("it is known");
    assert_eq!(shown.sent, 5);
    let waiting = running.waiting();
    assert!(waiting.len() == 5 && waiting.iter().all(|(_, scheduled)| scheduled.attempt == 2));
    running.stop();
}

#[test]
fn a_lane_reads_on_behind_its_window() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let clock = ManualClock::new();
    let small = || crate::Options { lane_window: 4, ..options(dir.path()) };
    let mut running = Running::start(small(), &clock).expect("an empty directory opens");
    running.app("shop");
    let endpoint = running.endpoint("shop", &["order.paid"]);
    let sent: Vec<_> = (0..20).map(|n| running.send("shop", "order.paid", &n.to_string()).id).collect();
    assert_eq!(running.waiting().len(), 4);
    let filter = DeliveryFilter { endpoint: Some(endpoint.id), ..DeliveryFilter::default() };
    for descending in [false, true] {
        let page = PageRequest { limit: 7, descending, after: None };
        let first = running.outbox.pending(&filter, &page).expect("they can be read");
        let rest = PageRequest { limit: 50, descending, after: first.next.clone() };
        let rest = running.outbox.pending(&filter, &rest).expect("they can be read");
        let listed: Vec<_> = first.items.iter().chain(&rest.items).map(|delivery| delivery.message).collect();
        let expected: Vec<_> = if descending { sent.iter().rev().copied().collect() } else { sent.clone() };
        assert_eq!(listed, expected, "the list looks behind the window");
    }

    let mut delivered = vec![];
    loop {
        let waiting = running.waiting();
        let Some((key, _)) = waiting.first() else { break };
        delivered.push(running.attempt(*key, 200, Next::Delivered).message);
        if delivered.len() == 9 {
            running.stop();
            running = Running::start(small(), &clock).expect("a clean store opens");
        }
        running.keeper.round();
    }
    assert_eq!(delivered, sent);
    running.stop();
}

#[test]
fn a_lane_waits_for_a_segment_that_cannot_be_read_for_a_while() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let clock = ManualClock::new();
    let small =
        || crate::Options { lane_window: 4, segment_bytes: 64 << 10, body_limit_bytes: 8 << 10, ..options(dir.path()) };
    let running = Running::start(small(), &clock).expect("an empty directory opens");
    running.app("shop");
    running.endpoint("shop", &["order.paid"]);
    let body = "x".repeat(5_000);
    let sent: Vec<_> = (0..40).map(|_| running.send("shop", "order.paid", &body).id).collect();
    running.stop();

    // No file is open yet. The second segment is there, but opening it fails.
    let mut running = Running::start(small(), &clock).expect("a clean store opens");
    let hidden = Unopenable::new(dir.path(), 2);
    let mut delivered = vec![];
    deliver_all(&mut running, &mut delivered);
    assert!((4..sent.len()).contains(&delivered.len()), "{} were delivered", delivered.len());

    hidden.give_back();
    running.keeper.round();
    deliver_all(&mut running, &mut delivered);
    assert_eq!(delivered, sent, "each once, and in order");
    running.stop();
}

fn deliver_all(running: &mut Running, delivered: &mut Vec<postrider_model::id::MessageId>) {
    while let Some((key, _)) = running.waiting().first() {
        delivered.push(running.attempt(*key, 200, Next::Delivered).message);
        running.keeper.round();
    }
}

#[test]
fn the_limits_of_endpoints_and_keys_hold() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let limits = crate::Options { endpoints_per_application: 1, idempotency_keys: 0, ..options(dir.path()) };
    let running = Running::start(limits, &ManualClock::new()).expect("an empty directory opens");
    running.app("shop");
    running.endpoint("shop", &["order.paid"]);
    let second = wait(running.outbox.execute(super::stepper::endpoint("shop", "second", &["order.paid"])));
    let refused = CommandError::Limit { what: "endpoints of one application", limit: 1 };
    assert_eq!(second, Err(ControlError::Command(refused)));
    let mut keyed = message("shop", "order.paid", "1");
    keyed.idempotency_key = Some("k1".into());
    assert!(matches!(running.accept(keyed), Err(AcceptError::Unavailable(Unavailable::Overloaded { .. }))));
    running.send("shop", "order.paid", "without a key");
    running.stop();
}
