//! Outcomes for which nobody waits gather; nobody who waits is held up by that.

use std::time::Duration;

use postrider_model::delivery::{DeliveryKey, Next};
use postrider_model::job::{AttemptResult, Job, Outcome, Response};
use postrider_model::lane::{DeliveryStore as _, LaneEvent, Settlement};

use super::support::{ManualClock, Running, options};
use crate::Options;

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
