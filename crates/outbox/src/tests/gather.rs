//! Outcomes for which nobody waits gather; nobody who waits is held up by that.

use std::time::Duration;

use postrider_model::delivery::{DeliveryKey, Next, Trigger};
use postrider_model::id::{EndpointId, RawId};
use postrider_model::job::{AttemptResult, Job, Outcome, Response};
use postrider_model::lane::{DeliveryStore as _, LaneEvent, Settlement};
use postrider_model::position::Position;
use postrider_model::time::UnixMs;

use super::counted::Counted;
use super::support::{ManualClock, Running, options};
use crate::Options;
use crate::outcomes::Outcomes;

/// An outbox in which outcomes would gather for ever, with two deliveries that wait.
fn running(dir: &tempfile::TempDir) -> (Running, [DeliveryKey; 2]) {
    let gathering = Options { outcome_gather: Duration::from_secs(100_000), ..options(dir.path()) };
    let mut running = Running::start(gathering, &ManualClock::new()).expect("an empty directory opens");
    running.app("shop");
    running.endpoint("shop", &["order.paid"]);
    running.send("shop", "order.paid", "1");
    running.send("shop", "order.paid", "2");
    let waiting: Vec<_> = running.waiting().into_iter().map(|(key, _)| key).collect();
    let keys = waiting.try_into().expect("two wait");
    (running, keys)
}

pub(super) fn settle(running: &Running, job: &Job, ordered: bool) {
    let outcome = Outcome {
        key: job.key,
        attempt: job.scheduled.attempt,
        started: running.outbox.shared.clock.now(),
        duration: Duration::from_millis(3),
        url: job.target.url.clone(),
        result: AttemptResult::Answered(Response { status: 200, ..Response::default() }),
    };
    let (trigger, next) = (job.scheduled.trigger, Next::Delivered);
    running.outbox.settle(&mut vec![Settlement { outcome, trigger, next, disable: None, ordered }]);
}

fn is_recorded(running: &Running, job: &Job) -> bool {
    let mut events = vec![];
    running.outbox.take(&mut events);
    events.iter().any(|event| matches!(event, LaneEvent::Recorded { key, .. } if *key == job.key))
}

#[test]
fn a_message_waits_for_no_outcome_and_takes_along_those_that_gather() {
    let dir = tempfile::tempdir().expect("a directory");
    let (running, [first, _]) = running(&dir);
    let job = running.job(first);
    settle(&running, &job, false);
    running.send("shop", "order.paid", "3");
    assert!(is_recorded(&running, &job), "in the same frame, or in one before");
    running.stop();
}

#[test]
fn an_outcome_behind_which_others_wait_does_not_gather() {
    let dir = tempfile::tempdir().expect("a directory");
    let (running, [first, second]) = running(&dir);
    let (lazy, ordered) = (running.job(first), running.job(second));
    settle(&running, &lazy, false);
    settle(&running, &ordered, true);
    let mut recorded = false;
    while !recorded {
        super::support::wait(running.outbox.changed());
        recorded = is_recorded(&running, &ordered);
    }
    running.stop();
}

#[test]
fn a_stop_records_what_gathers() {
    let dir = tempfile::tempdir().expect("a directory");
    let (running, [first, _]) = running(&dir);
    let job = running.job(first);
    settle(&running, &job, false);
    running.stop();
    let mut running = Running::start(options(dir.path()), &ManualClock::new()).expect("it opens");
    assert_eq!(running.waiting().len(), 1, "the other one");
    running.stop();
}

/// One waits for nobody, and the next for the first, so each two share a frame.
#[test]
fn outcomes_gather_until_somebody_waits_for_one() {
    const PAIRS: u64 = 20;
    let (dir, counted) = (tempfile::tempdir().expect("a directory"), Counted::default());
    let (running, [of_endpoint, _]) = metrics::with_local_recorder(&counted, || running(&dir));
    let frames = || counted.counter("postrider_journal_frames_total");
    for _ in 0..PAIRS {
        let [lazy, ordered] = [(); 2].map(|()| {
            let accepted = running.send("shop", "order.paid", "{}");
            let message = running.outbox.shared.mask.position(accepted.id.0);
            running.job(DeliveryKey { message, ..of_endpoint })
        });
        let before = frames();
        settle(&running, &lazy, false);
        settle(&running, &ordered, true);
        while running.outbox.shared.in_flight.lock().contains_key(&ordered.key) {
            super::support::wait(running.outbox.changed());
            running.outbox.take(&mut vec![]);
        }
        assert!(!running.outbox.shared.in_flight.lock().contains_key(&lazy.key), "it is recorded with the other");
        assert_eq!(frames(), before + 1);
    }
    running.stop();
}

/// The outcome of an attempt with this number.
fn outcome(attempt: u16, ordered: bool) -> Settlement {
    let outcome = Outcome {
        key: DeliveryKey { endpoint: EndpointId(RawId::from_bytes([1; 20])), message: Position::new(1, 64) },
        attempt,
        started: UnixMs(1),
        duration: Duration::ZERO,
        url: std::sync::Arc::new("https://example.com/".parse().expect("it is a URL")),
        result: AttemptResult::Answered(Response::default()),
    };
    Settlement { outcome, trigger: Trigger::Scheduled, next: Next::Delivered, disable: None, ordered }
}

fn numbers(outcomes: &[Settlement]) -> Vec<u16> {
    outcomes.iter().map(|settlement| settlement.outcome.attempt).collect()
}

#[test]
fn outcomes_beyond_the_limit_are_left_and_the_others_keep_their_order() {
    let outcomes = Outcomes::new(3);
    assert_eq!((outcomes.limit(), outcomes.len(), outcomes.is_empty()), (3, 0, true));
    for (brings, leaves, waiting) in
        [(vec![], vec![], 0), (vec![1, 2], vec![], 2), (vec![3, 4, 5], vec![4, 5], 3), (vec![6], vec![6], 3)]
    {
        let mut brings: Vec<_> = brings.into_iter().map(|attempt| outcome(attempt, false)).collect();
        outcomes.push(&mut brings);
        assert_eq!((numbers(&brings), outcomes.len(), outcomes.is_empty()), (leaves, waiting, waiting == 0));
    }
    let mut taken = vec![];
    outcomes.take(&mut taken);
    assert_eq!((numbers(&taken), outcomes.len(), outcomes.is_empty()), (vec![1, 2, 3], 0, true));
    outcomes.push(&mut vec![outcome(7, false)]);
    assert_eq!(outcomes.len(), 1, "there is room again");
}

#[test]
fn the_first_outcome_is_announced_and_one_that_others_wait_for_hurries() {
    let outcomes = Outcomes::new(5);
    let said = || (outcomes.announced().try_recv().is_ok(), outcomes.hurried().try_recv().is_ok());
    outcomes.push(&mut vec![]);
    assert_eq!(said(), (false, false), "nothing waits");
    outcomes.push(&mut vec![outcome(1, false)]);
    assert_eq!(said(), (true, false));
    outcomes.push(&mut vec![outcome(2, false)]);
    assert_eq!(said(), (false, false), "that some wait was said");
    outcomes.push(&mut vec![outcome(3, false), outcome(4, true)]);
    assert_eq!(said(), (false, true));
    outcomes.take(&mut vec![]);
    for ordered in [false, true] {
        outcomes.push(&mut vec![outcome(5, ordered)]);
        outcomes.take(&mut vec![]);
        assert_eq!(said(), (false, false), "what was taken is heard of no more");
    }
    let none = Outcomes::new(0);
    none.push(&mut vec![outcome(1, false)]);
    assert!(none.announced().is_empty(), "nothing came in");
}

#[test]
fn outcomes_that_wait_are_among_the_requests_that_do() {
    let dir = tempfile::tempdir().expect("a directory");
    let (running, keys) = running(&dir);
    let jobs = keys.map(|key| running.job(key));
    for (waiting, job) in (1..).zip(&jobs) {
        settle(&running, job, false);
        assert_eq!(running.outbox.stats().waiting_requests, waiting, "they gather");
    }
    let counted = Counted::default();
    metrics::with_local_recorder(&counted, || running.outbox.publish_gauges());
    let gauge = |name: &str| counted.gauge(&format!("{name} requests_to_commit"));
    let (depth, limit) = (gauge("postrider_queue_depth"), gauge("postrider_queue_limit"));
    assert_eq!(depth, Some(2.0));
    let least = running.outbox.shared.options.max_in_flight as f64;
    assert!(limit.is_some_and(|limit| limit > least), "there is room for all that may be in flight: {limit:?}");
    running.stop();
    let mut running = Running::start(options(dir.path()), &ManualClock::new()).expect("it opens");
    assert_eq!((running.outbox.stats().waiting_requests, running.waiting().len()), (0, 0));
    running.stop();
}
