//! The loop with a double of the outbox and a dispatcher made of a channel's
//! end. Time is paused and moves when everything waits.

use std::collections::BTreeSet;

use super::*;
use crate::testing::world::START;
use crate::testing::{Outbox, answered, asking, failed, key, lane, outcome};
use postrider_model::delivery::{DeliveryKey, DeliveryState};
use postrider_model::endpoint::Hold;
use postrider_model::explain::{Explain, Wait};
use postrider_model::id::{EndpointId, RawId};
use postrider_model::job::{AttemptResult, FailureKind};
use postrider_model::lane::{JobError, Lane};
use postrider_model::policy::Rules;
use postrider_model::retry::RetrySchedule;
use postrider_model::time::UnixMs;
use tokio::task::JoinHandle;

mod batch;
mod meters;

const S: Duration = Duration::from_secs(1);

struct TokioClock(Instant);

impl Clock for TokioClock {
    fn now(&self) -> UnixMs {
        START + self.0.elapsed()
    }

    fn monotonic(&self) -> Duration {
        self.0.elapsed()
    }
}

struct Running {
    outbox: Arc<Outbox>,
    handle: Handle,
    assignments: mpsc::Receiver<Assignment>,
    service: JoinHandle<Result<Drained, Error>>,
    began: Instant,
}

impl Running {
    fn start(options: Options) -> Self {
        let outbox = Arc::new(Outbox::default());
        let (sender, assignments) = mpsc::channel(1);
        let began = Instant::now();
        let parts = Parts {
            store: Arc::clone(&outbox) as Arc<dyn DeliveryStore>,
            clock: Arc::new(TokioClock(began)),
            random: Box::new(|| 0.5),
            dispatchers: vec![sender],
        };
        let (service, handle) = Service::new(options, parts).expect("valid options");
        Self { outbox, handle, assignments, service: tokio::spawn(service.run()), began }
    }

    fn with_one_delivery() -> Self {
        let running = Self::start(Options::default());
        running.outbox.configure(lane(1, 1));
        running.accept(1, 1);
        running
    }

    fn accept(&self, lane: u8, message: u64) {
        self.outbox.accept(key(lane, message), 0, START + self.began.elapsed());
    }

    async fn next(&mut self) -> Assignment {
        // An hour of paused time: a test that waits in vain fails instead of hanging.
        let next = tokio::time::timeout(3_600 * S, self.assignments.recv()).await;
        next.expect("an assignment comes").expect("the service runs")
    }

    async fn stop(self) -> Result<Drained, Error> {
        self.handle.stop(30 * S);
        self.service.await.expect("no panic")
    }
}

fn answer(assignment: Assignment, result: AttemptResult) {
    let Assignment { job, reply } = assignment;
    reply(outcome(job.key, job.scheduled.attempt, START, result));
}

#[tokio::test(start_paused = true)]
async fn a_delivery_is_attempted_at_once_and_recorded() {
    let mut running = Running::with_one_delivery();
    let assignment = running.next().await;
    assert_eq!((assignment.job.key, assignment.job.scheduled.attempt), (key(1, 1), 1));
    assert!(running.began.elapsed() < Duration::from_millis(10), "it waits for no timer");
    assert_eq!(running.handle.why(key(1, 1), 1), Some(Wait::InFlight));
    assert_eq!(running.handle.why(key(1, 1), 2), None, "that it waits for another one was read later");
    answer(assignment, answered(200));
    let outbox = Arc::clone(&running.outbox);
    assert_eq!(running.stop().await, Ok(Drained { in_flight: 0 }));
    assert!(matches!(outbox.state(key(1, 1)), Some(DeliveryState::Delivered { attempt: 1, .. })));
}

/// A server that starts paused has much to tell, and the pause comes last.
#[tokio::test(start_paused = true)]
async fn nothing_starts_before_all_that_was_told_is_known() {
    let mut running = Running::start(Options::default());
    running.outbox.configure(lane(1, 1));
    for message in 0..3 * BATCH as u64 {
        running.accept(1, message);
    }
    running.outbox.configure(Lane { hold: Some(Hold::AllPaused), ..lane(1, 1) });
    let started = tokio::time::timeout(S, running.assignments.recv()).await;
    assert!(started.is_err(), "it was paused before the loop began");
    assert_eq!(running.handle.why(key(1, 1), 1), Some(Wait::Held(Hold::AllPaused)));
    running.outbox.configure(lane(1, 1));
    answer(running.next().await, answered(200));
}

#[tokio::test(start_paused = true)]
async fn a_retry_comes_when_it_is_due() {
    let mut running = Running::with_one_delivery();
    let failed = running.next().await;
    answer(failed, answered(500));
    let retry = running.next().await;
    assert_eq!(retry.job.scheduled.attempt, 2);
    let waited = running.began.elapsed();
    assert!(waited >= 5 * S && waited < 5 * S + Duration::from_millis(10), "{waited:?}");
    answer(retry, asking(503, "100"));
    let retry = running.next().await;
    assert!(running.began.elapsed() >= 105 * S);
    answer(retry, answered(200));
    assert_eq!(running.stop().await, Ok(Drained { in_flight: 0 }));
}

#[tokio::test(start_paused = true)]
async fn a_dropped_assignment_answers_for_itself() {
    let mut running = Running::with_one_delivery();
    drop(running.next().await);
    let retry = running.next().await;
    assert_eq!(retry.job.scheduled.attempt, 2, "the lost attempt counts as failed on our side");
    let panicking = tokio::spawn(async move {
        let _assignment = retry;
        panic!("on purpose");
    });
    assert!(panicking.await.is_err());
    let third = running.next().await;
    assert_eq!(third.job.scheduled.attempt, 3);
    answer(third, answered(200));
    assert_eq!(running.stop().await, Ok(Drained { in_flight: 0 }));
}

#[tokio::test(start_paused = true)]
async fn two_full_channels_do_not_lock_each_other() {
    let options = Options { max_in_flight: 8, ramp_start: 8, in_flight_per_application: 8, ..Options::default() };
    let mut running = Running::start(options);
    for number in 1..=40 {
        running.outbox.configure(lane(number, number));
        for message in 0..5 {
            running.accept(number, message);
        }
    }
    let mut left = 200;
    while left > 0 {
        // As many as there may be, answered all at once while the way there is full.
        let mut batch = Vec::new();
        for _ in 0..left.min(8) {
            batch.push(running.next().await);
        }
        left -= batch.len();
        batch.into_iter().for_each(|assignment| answer(assignment, answered(200)));
    }
    let outbox = Arc::clone(&running.outbox);
    assert_eq!(running.stop().await, Ok(Drained { in_flight: 0 }));
    assert!(outbox.pending().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_reading_that_panics_is_tried_again() {
    let mut running = Running::start(Options::default());
    running.outbox.inner.lock().jobs_panic = 2;
    running.outbox.configure(lane(1, 1));
    running.accept(1, 1);
    let assignment = running.next().await;
    assert_eq!(assignment.job.scheduled.attempt, 1);
    let waited = running.began.elapsed();
    assert!(waited >= 3 * S && waited < 3 * S + Duration::from_millis(10), "a second, then two: {waited:?}");
    answer(assignment, answered(200));
    assert_eq!(running.stop().await, Ok(Drained { in_flight: 0 }));
}

#[tokio::test(start_paused = true)]
async fn stopping_waits_for_what_is_in_flight_but_not_for_ever() {
    let mut running = Running::with_one_delivery();
    let hung = running.next().await;
    running.accept(1, 2);
    let began = Instant::now();
    assert_eq!(running.stop().await, Ok(Drained { in_flight: 1 }));
    assert_eq!(began.elapsed().as_secs(), 30);
    answer(hung, answered(200));
}

#[tokio::test(start_paused = true)]
async fn an_outcome_that_is_not_recorded_keeps_the_service_from_ending() {
    let mut running = Running::with_one_delivery();
    running.outbox.inner.lock().hold_back = true;
    let assignment = running.next().await;
    answer(assignment, answered(200));
    running.handle.stop(30 * S);
    tokio::time::sleep(10 * S).await;
    assert!(!running.service.is_finished());
    running.outbox.record();
    assert_eq!(running.stop().await, Ok(Drained { in_flight: 0 }));
}

#[tokio::test(start_paused = true)]
async fn a_dispatcher_that_ends_unasked_is_an_error() {
    let Running { assignments, service, .. } = Running::start(Options::default());
    drop(assignments);
    assert_eq!(service.await.expect("no panic"), Err(Error::DispatcherGone));
}

#[tokio::test(start_paused = true)]
async fn the_handle_counts_explains_and_takes_another_schedule() {
    let mut running = Running::with_one_delivery();
    running.accept(1, 2);
    let first = running.next().await;
    let gauges = running.handle.gauges();
    assert_eq!((gauges.lanes, gauges.applications, gauges.in_flight), (1, 1, 1));
    assert_eq!((gauges.waiting, gauges.beginning_limit), (1, 64));
    assert_eq!(running.handle.why(key(1, 2), 1), Some(Wait::LaneBusy { in_flight: 1, limit: 1 }));
    assert_eq!(running.handle.why(key(1, 9), 1), None);
    running.outbox.inner.lock().hidden = 5;
    assert_eq!(running.handle.why(key(1, 9), 1), Some(Wait::BehindWindow));
    let flow = running.handle.flow(key(1, 1).endpoint).expect("the endpoint is known");
    assert_eq!((flow.in_flight, flow.waiting), (1, 1 + 5), "what lies behind the window waits, too");
    assert_eq!(running.handle.flow(key(9, 1).endpoint), None);
    let schedule = RetrySchedule::try_new(vec![Duration::ZERO]).expect("valid");
    running.handle.set_rules(Rules { schedule, ..Rules::default() });
    answer(first, answered(500));
    answer(running.next().await, answered(200));
    let outbox = Arc::clone(&running.outbox);
    assert_eq!(running.stop().await, Ok(Drained { in_flight: 0 }));
    assert!(matches!(outbox.state(key(1, 1)), Some(DeliveryState::Dead { .. })));
}

/// Turns have a bound, so that others get at the lock; it costs no time.
#[tokio::test(start_paused = true)]
async fn what_is_more_than_one_turn_takes_comes_in_the_next_at_once() {
    let (most, all) = (1 << 20, BATCH + 100);
    let options =
        Options { max_in_flight: most, in_flight_per_application: most, ramp_start: most, ..Options::default() };
    let mut running = Running::start(options);
    for number in 0..all {
        let mut id = [0; 20];
        id[..8].copy_from_slice(&number.to_be_bytes());
        let endpoint = EndpointId(RawId::from_bytes(id));
        running.outbox.configure(Lane { endpoint, ..lane(1, 1) });
        running.outbox.accept(DeliveryKey { endpoint, ..key(1, 1) }, 0, START);
    }
    let mut assignments = Vec::new();
    while assignments.len() < all {
        assignments.push(running.next().await);
    }
    assert!(running.began.elapsed() < Duration::from_millis(10), "no turn was slept over");
    for assignment in assignments {
        answer(assignment, answered(200));
    }
    let outbox = Arc::clone(&running.outbox);
    assert_eq!(running.stop().await, Ok(Drained { in_flight: 0 }));
    assert_eq!(outbox.inner.lock().settled_together, [BATCH, 100]);
}

#[tokio::test(start_paused = true)]
async fn an_endpoint_has_one_dispatcher_however_many_there_are() {
    let outbox = Arc::new(Outbox::default());
    let (senders, receivers): (Vec<_>, Vec<_>) = (0..3).map(|_| mpsc::channel(4)).unzip();
    let parts = Parts {
        store: Arc::clone(&outbox) as Arc<dyn DeliveryStore>,
        clock: Arc::new(TokioClock(Instant::now())),
        random: Box::new(|| 0.5),
        dispatchers: senders,
    };
    let (service, handle) = Service::new(Options::default(), parts).expect("valid options");
    for number in 1..=20 {
        outbox.configure(lane(1, number));
        (0..10).for_each(|message| outbox.accept(key(number, message), 0, START));
    }
    let dispatchers = receivers.into_iter().map(|mut assignments| {
        tokio::spawn(async move {
            let mut seen = BTreeSet::new();
            while let Some(assignment) = assignments.recv().await {
                seen.insert(assignment.job.key.endpoint);
                answer(assignment, answered(200));
            }
            seen
        })
    });
    let dispatchers: Vec<_> = dispatchers.collect();
    let service = tokio::spawn(service.run());
    while !outbox.pending().is_empty() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    handle.stop(30 * S);
    assert_eq!(service.await.expect("no panic"), Ok(Drained { in_flight: 0 }));
    let mut all = BTreeSet::new();
    for dispatcher in dispatchers {
        let seen = dispatcher.await.expect("no panic");
        assert!(!seen.is_empty(), "each has its share");
        assert!(seen.into_iter().all(|endpoint| all.insert(endpoint)), "an endpoint has been at two dispatchers");
    }
    assert_eq!(all.len(), 20);
}

#[tokio::test(start_paused = true)]
async fn without_a_dispatcher_there_is_no_service() {
    let parts = Parts {
        store: Arc::new(Outbox::default()),
        clock: Arc::new(TokioClock(Instant::now())),
        random: Box::new(|| 0.5),
        dispatchers: vec![],
    };
    assert_eq!(Service::new(Options::default(), parts).err(), Some(Error::NoDispatcher));
}

#[tokio::test(start_paused = true)]
async fn a_delivery_whose_job_shows_that_it_waits_no_longer_is_forgotten() {
    let running = Running::start(Options::default());
    running.outbox.configure(lane(1, 1));
    running.outbox.inner.lock().job_errors.insert(key(1, 1), JobError::NotLive);
    running.accept(1, 1);
    tokio::time::sleep(S).await;
    assert_eq!(running.handle.why(key(1, 1), 1), None);
    assert_eq!(running.stop().await, Ok(Drained { in_flight: 0 }));
}

#[tokio::test(start_paused = true)]
async fn an_attempt_without_a_token_is_handed_back_and_made_later() {
    let mut running = Running::with_one_delivery();
    let assignment = running.next().await;
    answer(assignment, failed(FailureKind::Token));
    let again = running.next().await;
    assert_eq!((again.job.key, again.job.scheduled.attempt), (key(1, 1), 1));
    answer(again, answered(200));
    assert_eq!(running.stop().await, Ok(Drained { in_flight: 0 }));
}
