//! What a person removed is shown and sent no more, and leaves the disk.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use postrider_model::delivery::{DeadReason, DeliveryKey, DeliveryState, Next, TransitionError};
use postrider_model::endpoint::Endpoint;
use postrider_model::expunge::Expunge as _;
use postrider_model::id::{AttemptId, MessageId};
use postrider_model::lane::{DeliveryStore as _, JobError};
use postrider_model::message::Accepted;
use postrider_model::ports::{Control as _, ControlError};
use postrider_model::query::{AttemptFilter, AttemptsOf, DeliveryFilter, PageRequest, Query as _};
use postrider_model::task::TaskWork;
use tempfile::TempDir;

use super::support::{ManualClock, Running, message, options, wait};
use crate::Options;

const HOUR: Duration = Duration::from_secs(3_600);
const DAY: Duration = Duration::from_secs(86_400);
const PAID: &str = "order.paid";
const SECRET: &str = "a card number that nobody should have sent";
const RETRY: Next = Next::Retry { due: postrider_model::time::UnixMs(1_800_000_005_000) };
const DIES: Next = Next::Dead { reason: DeadReason::AttemptsExhausted };

struct Store {
    dir: TempDir,
    clock: Arc<ManualClock>,
    options: Options,
}

impl Store {
    fn new() -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let options = Options { segment_bytes: 64 << 10, body_limit_bytes: 8 << 10, ..options(dir.path()) };
        Self { dir, clock: ManualClock::new(), options }
    }

    fn open(&self) -> Running {
        let mut running = Running::start(self.options.clone(), &self.clock).expect("the store opens");
        running.keeper.round();
        running
    }

    /// Whether the text stands in some file of the data directory.
    fn holds(&self, text: &str) -> bool {
        fn any(dir: &Path, text: &[u8]) -> bool {
            std::fs::read_dir(dir).expect("it is there").any(|entry| {
                let path = entry.expect("it is there").path();
                if path.is_dir() {
                    return any(&path, text);
                }
                std::fs::read(path).expect("it can be read").windows(text.len()).any(|window| window == text)
            })
        }
        any(self.dir.path(), text.as_bytes())
    }

    /// Lets the time pass after which the disk must be rid of it.
    fn erase(&self, running: &mut Running) {
        // Records may be some milliseconds ahead of the clock.
        self.clock.forward(HOUR + Duration::from_secs(1));
        for _ in 0..100 {
            if running.outbox.stats().expunged_on_disk == 0 {
                return;
            }
            running.keeper.expunge_some();
        }
        panic!("it is still on disk");
    }
}

fn key(running: &Running, to: &Endpoint, message: MessageId) -> DeliveryKey {
    let found = running.outbox.message(to.app, message).expect("it can be read").expect("it is there");
    DeliveryKey { endpoint: to.id, message: found.sequence }
}

fn expunge(running: &Running, of: &Endpoint, message: MessageId) {
    wait(running.outbox.expunge_payload(of.app, message)).expect("it is there");
}

/// Enough history for some segments.
fn fill(running: &Running) {
    for _ in 0..20 {
        running.send("shop", "nobody.asked", &"x".repeat(7_000));
    }
}

fn states(running: &Running, of: &Endpoint, message: MessageId) -> Vec<DeliveryState> {
    let deliveries = running.outbox.deliveries_of(of.app, message).expect("they can be read");
    deliveries.iter().map(|delivery| delivery.state).collect()
}

/// The payload of the message is shown nowhere, and no attempt gets it.
fn check_gone(running: &Running, endpoints: &[Arc<Endpoint>], sent: &Accepted) {
    let app = endpoints[0].app;
    let found = running.outbox.message(app, sent.id).expect("it can be read").expect("the message itself stays");
    assert_eq!((found.body, found.event_type.as_str()), (None, PAID));
    let listed =
        running.outbox.messages(app, &Default::default(), &PageRequest::default()).expect("the index is there");
    assert!(listed.items.iter().filter(|message| message.id == sent.id).all(|message| message.body.is_none()));
    for endpoint in endpoints {
        let key = DeliveryKey { endpoint: endpoint.id, message: found.sequence };
        assert_eq!(wait(running.outbox.job(key)).map(|job| job.key), Err(JobError::NotLive));
        let replayed = wait(running.outbox.replay(app, sent.id, endpoint.id));
        assert_eq!(replayed, Err(ControlError::Transition(TransitionError::NoPayload)));
        let resent = wait(running.outbox.resend(app, sent.id, endpoint.id));
        assert_eq!(resent, Err(ControlError::Transition(TransitionError::NoPayload)));
    }
}

#[test]
fn an_expunged_payload_is_gone_at_once_and_an_hour_later_from_the_disk() {
    let store = Store::new();
    let mut running = store.open();
    running.app("shop");
    let endpoints = [(); 4].map(|()| running.endpoint("shop", &[PAID]));
    let [delivered, dead, cancelled, waiting] = &endpoints;
    let sent = running.send("shop", PAID, SECRET);
    let kept = running.send("shop", PAID, "another payload");
    running.attempt(key(&running, delivered, sent.id), 200, Next::Delivered);
    running.attempt(key(&running, dead, sent.id), 500, DIES);
    wait(running.outbox.cancel(cancelled.app, sent.id, cancelled.id)).expect("it waits");
    running.attempt(key(&running, waiting, sent.id), 500, RETRY);

    expunge(&running, delivered, sent.id);
    let check = |running: &Running| {
        check_gone(running, &endpoints, &sent);
        let reason = DeadReason::PayloadExpunged;
        let found = states(running, delivered, sent.id);
        assert!(
            matches!(
                found.as_slice(),
                [
                    DeliveryState::Delivered { attempt: 1, .. },
                    DeliveryState::Dead { reason: of_dead, attempt: 1, .. },
                    DeliveryState::Cancelled { .. },
                    DeliveryState::Dead { reason: of_waiting, attempt: 1, .. },
                ] if (*of_dead, *of_waiting) == (reason, reason)
            ),
            "{found:?}"
        );
    };
    check(&running);
    assert!(store.holds(SECRET));
    assert_eq!(running.outbox.stats().expunged_on_disk, 1);
    expunge(&running, delivered, sent.id);
    assert_eq!(running.outbox.stats().expunged_on_disk, 1, "once more is no more");
    // A bulk replay passes it over.
    let filter = DeliveryFilter { app: Some(dead.app), ..DeliveryFilter::default() };
    let task = wait(running.outbox.start_task(TaskWork::ReplayDeadLetters(filter))).expect("it is recorded");
    running.keeper.round();
    assert_eq!(running.outbox.task(task.id).map(|task| task.sent), Some(0));

    // A crash brings nothing back.
    running.kill();
    let mut running = store.open();
    check(&running);
    assert_eq!(running.outbox.stats().expunged_on_disk, 1);
    store.clock.forward(HOUR / 2);
    running.keeper.round();
    assert!(store.holds(SECRET), "not yet");
    store.erase(&mut running);
    assert!(!store.holds(SECRET));
    check(&running);
    expunge(&running, delivered, sent.id);
    check(&running);
    store.erase(&mut running);

    // Nor does an older checkpoint.
    running.kill();
    let mut running = store.open();
    check(&running);
    store.erase(&mut running);
    running.stop();
    let mut running = store.open();
    check(&running);
    assert_eq!(running.outbox.stats().expunged_on_disk, 0);
    let job = running.attempt(key(&running, waiting, kept.id), 200, Next::Delivered);
    assert_eq!(job.body.as_ref(), b"another payload", "what lay beside it is whole");
    assert_eq!(running.outbox.shared.reader.scrub(1).expect("it can be read"), []);
    running.stop();
}

#[test]
fn what_is_in_flight_ends_as_it_ends_and_is_not_attempted_again() {
    let store = Store::new();
    let mut running = store.open();
    running.app("shop");
    let (good, bad) = (running.endpoint("shop", &[PAID]), running.endpoint("shop", &[PAID]));
    let sent = running.send("shop", PAID, SECRET);
    assert_eq!(running.waiting().len(), 2);
    let [to_good, to_bad] = [&good, &bad].map(|endpoint| running.job(key(&running, endpoint, sent.id)));
    expunge(&running, &good, sent.id);
    let before = states(&running, &good, sent.id);
    assert!(before.iter().all(|state| matches!(state, DeliveryState::Scheduled(_))), "they are in flight: {before:?}");
    running.settle(&to_good, 200, Next::Delivered);
    running.settle(&to_bad, 500, RETRY);
    let ended = states(&running, &good, sent.id);
    assert!(
        matches!(
            ended.as_slice(),
            [
                DeliveryState::Delivered { attempt: 1, .. },
                DeliveryState::Dead { reason: DeadReason::PayloadExpunged, attempt: 1, .. }
            ]
        ),
        "{ended:?}"
    );
    running.stop();
}

#[test]
fn what_was_in_flight_at_a_crash_is_given_up_when_its_turn_comes() {
    let store = Store::new();
    let running = store.open();
    running.app("shop");
    let endpoint = running.endpoint("shop", &[PAID]);
    let sent = running.send("shop", PAID, SECRET);
    let key = key(&running, &endpoint, sent.id);
    running.job(key);
    expunge(&running, &endpoint, sent.id);
    running.kill();

    let mut running = store.open();
    assert_eq!(running.waiting().len(), 1);
    let job = wait(running.outbox.job(key));
    assert!(matches!(job, Err(JobError::NoPayload(_))), "{job:?}");
    wait(running.outbox.changed());
    let ended = states(&running, &endpoint, sent.id);
    assert!(
        matches!(ended.as_slice(), [DeliveryState::Dead { reason: DeadReason::PayloadExpunged, attempt: 0, .. }]),
        "{ended:?}"
    );
    running.stop();
}

#[test]
fn deliveries_behind_the_window_end_too() {
    let mut store = Store::new();
    store.options.lane_window = 1;
    let mut running = store.open();
    running.app("shop");
    let endpoint = running.endpoint("shop", &[PAID]);
    running.send("shop", PAID, "the first");
    let sent = running.send("shop", PAID, SECRET);
    running.send("shop", PAID, "the last");
    expunge(&running, &endpoint, sent.id);
    let mut bodies = vec![];
    while let Some((key, _)) = running.waiting().first().copied() {
        bodies.push(running.attempt(key, 200, Next::Delivered).body);
        running.keeper.round();
    }
    assert_eq!(bodies, ["the first", "the last"]);
    check_gone(&running, &[endpoint], &sent);
    running.stop();
}

fn attempt(running: &Running, of: &Endpoint, message: MessageId) -> (AttemptId, Option<bytes::Bytes>) {
    let (of, page) = ((of.app, AttemptsOf::Message(message)), PageRequest::default());
    let listed = running.outbox.attempts(of.0, of.1, &AttemptFilter::default(), &page).expect("the index is there");
    let attempt = listed.items.first().expect("there was one").clone();
    assert_eq!(running.outbox.attempt(of.0, attempt.id), Ok(Some(attempt.clone())));
    (attempt.id, attempt.response)
}

#[test]
fn an_expunged_answer_is_gone_at_once_and_then_from_the_disk() {
    let store = Store::new();
    let mut running = store.open();
    running.app("shop");
    let endpoint = running.endpoint("shop", &[PAID]);
    let (sent, other) = (running.send("shop", PAID, "1"), running.send("shop", PAID, "2"));
    running.waiting();
    running.attempt(key(&running, &endpoint, sent.id), 200, Next::Delivered);
    let (id, answer) = attempt(&running, &endpoint, sent.id);
    assert_eq!(answer.as_deref(), Some(b"answer".as_ref()));
    let expunge = |app, message, id| wait(running.outbox.expunge_response(app, message, id));
    let unknown = Err(ControlError::NotFound { kind: "attempt" });
    assert_eq!(expunge(endpoint.app, other.id, id), unknown, "it is another message's");
    assert_eq!(expunge(endpoint.app, sent.id, AttemptId(sent.id.0)), unknown, "it is no attempt's id");
    assert_eq!(expunge(endpoint.app, sent.id, id), Ok(()));
    assert_eq!(expunge(endpoint.app, sent.id, id), Ok(()), "twice");
    assert_eq!(attempt(&running, &endpoint, sent.id), (id, None));
    assert!(store.holds("answer"));
    store.erase(&mut running);
    assert!(!store.holds("answer"));
    assert_eq!(attempt(&running, &endpoint, sent.id), (id, None));
    assert!(running.outbox.message(endpoint.app, sent.id).is_ok_and(|found| found.is_some_and(|it| it.body.is_some())));
    running.stop();
}

#[test]
fn nothing_is_expunged_that_is_somebody_elses_or_never_was() {
    let store = Store::new();
    let running = store.open();
    running.app("shop");
    running.app("other");
    let (endpoint, other) = (running.endpoint("shop", &[PAID]), running.endpoint("other", &[PAID]));
    let sent = running.send("shop", PAID, SECRET);
    let refused = wait(running.outbox.expunge_payload(other.app, sent.id));
    assert_eq!(refused, Err(ControlError::NotFound { kind: "message" }));
    assert_eq!(running.outbox.stats().expunged_on_disk, 0);
    assert_eq!(running.job(key(&running, &endpoint, sent.id)).body, SECRET);
    running.stop();
}

#[test]
fn every_place_to_which_a_message_was_carried_is_cleaned() {
    let mut store = Store::new();
    store.options.fresh_body_bytes = 0;
    let mut running = store.open();
    running.app("shop");
    let endpoint = running.endpoint("shop", &[PAID]);
    let mut secret = message("shop", PAID, SECRET);
    secret.idempotency_key = Some("k".into());
    let sent = running.accept(secret).expect("it is new");
    running.attempt(key(&running, &endpoint, sent.id), 500, DIES);
    let first = |running: &Running| running.outbox.shared.reader.segments().first().map(|segment| segment.number);
    fill(&running);
    // A checkpoint that cannot be written keeps the old segment after its
    // messages were carried, and they are carried once more.
    let obstacle = store.dir.path().join("checkpoint.new");
    std::fs::create_dir(&obstacle).expect("its name is free");
    for _ in 0..2 {
        store.clock.forward(8 * DAY);
        running.keeper.round();
        fill(&running);
    }
    assert_eq!(first(&running), Some(1), "it stays");
    // A crash left a copy in a torn tail.
    let torn = store.dir.path().join("journal/torn-1-64");
    std::fs::write(&torn, SECRET).expect("it can be written");
    expunge(&running, &endpoint, sent.id);
    std::fs::remove_dir(&obstacle).expect("it is empty");
    check_gone(&running, std::slice::from_ref(&endpoint), &sent);
    store.erase(&mut running);
    assert!(!store.holds(SECRET));
    assert!(!torn.exists());

    // What is carried from now on is carried without it.
    store.clock.forward(8 * DAY);
    running.keeper.round();
    assert!(first(&running) > Some(1), "the old segments are gone");
    check_gone(&running, std::slice::from_ref(&endpoint), &sent);
    running.kill();
    let running = store.open();
    check_gone(&running, &[endpoint], &sent);
    assert!(!store.holds(SECRET));
    running.stop();
}

#[test]
fn a_payload_past_its_own_retention_is_shown_sent_and_carried_no_more() {
    let store = Store::new();
    let mut running = store.open();
    running.app("shop");
    let (endpoint, other) = (running.endpoint("shop", &[PAID]), running.endpoint("shop", &[PAID]));
    let mut short = message("shop", PAID, SECRET);
    short.payload_retention = Some(10 * DAY);
    let sent = running.accept(short).expect("it is new");
    let until = sent.at + 10 * DAY;
    running.attempt(key(&running, &other, sent.id), 500, DIES);
    let job = running.job(key(&running, &endpoint, sent.id));
    assert_eq!(job.body, SECRET);
    running.settle(&job, 500, RETRY);
    fill(&running);
    let shown = |running: &Running| {
        let found = running.outbox.message(endpoint.app, sent.id).expect("it can be read");
        found.expect("something needs it").body
    };
    store.clock.forward(until.since(sent.at) - Duration::from_millis(1));
    assert!(shown(&running).is_some(), "the last moment");
    // It is carried while it may be sent.
    running.keeper.round();
    assert!(running.outbox.shared.reader.segments().first().is_some_and(|first| first.number > 1));
    assert!(shown(&running).is_some());
    assert!(store.holds(SECRET));
    store.clock.forward(Duration::from_millis(1));
    assert_eq!(shown(&running), None);

    let replayed = wait(running.outbox.replay(other.app, sent.id, other.id));
    assert_eq!(replayed, Err(ControlError::Transition(TransitionError::NoPayload)));
    let (key, _) = *running.waiting().first().expect("it waits for its second attempt");
    let job = wait(running.outbox.job(key));
    assert!(matches!(job, Err(JobError::NoPayload(_))), "{job:?}");
    while !running.waiting().is_empty() {
        wait(running.outbox.changed());
    }
    let ended = states(&running, &endpoint, sent.id);
    assert!(
        matches!(ended[0], DeliveryState::Dead { reason: DeadReason::PayloadExpunged, attempt: 1, .. }),
        "{ended:?}"
    );

    fill(&running);
    store.clock.forward(8 * DAY);
    running.keeper.round();
    assert_eq!(shown(&running), None, "the dead letters are carried");
    assert!(!store.holds(SECRET), "and the payload is not");
    running.stop();
}
