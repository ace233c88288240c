//! From the pick of a batch to its assignment, and back.

use super::*;
use crate::testing::with_policy;

fn running(policy: &str, count: u64) -> Running {
    let running = Running::start(Options::default());
    running.outbox.configure(with_policy(lane(1, 1), policy));
    for message in 0..count {
        running.accept(1, message);
    }
    running
}

fn members(assignment: &Assignment) -> Vec<DeliveryKey> {
    let others = assignment.job.others.as_ref().expect("a batch");
    std::iter::once(assignment.job.key).chain(others.iter().map(|job| job.key)).collect()
}

async fn recorded(running: &Running, message: u64) -> DeliveryState {
    loop {
        match running.outbox.state(key(1, message)) {
            Some(DeliveryState::Scheduled(waits)) if waits.attempt == 1 => tokio::time::sleep(S).await,
            state => return state.expect("it is there"),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_batch_is_one_assignment_with_an_outcome_for_each() {
    let mut running = running(r#"{"batch":{"maxMessages":3}}"#, 3);
    let assignment = running.next().await;
    assert_eq!(members(&assignment), [key(1, 0), key(1, 1), key(1, 2)]);
    answer(assignment, answered(200));
    for message in 0..3 {
        assert!(matches!(recorded(&running, message).await, DeliveryState::Delivered { attempt: 1, .. }));
    }
    assert_eq!(running.outbox.inner.lock().settled_together, [3]);
    assert_eq!(running.stop().await, Ok(Drained { in_flight: 0 }));
}

#[tokio::test(start_paused = true)]
async fn one_alone_is_a_batch_after_its_wait() {
    let mut running = running(r#"{"batch":{"maxMessages":3,"maxWaitMs":20000}}"#, 1);
    let assignment = running.next().await;
    let waited = running.began.elapsed();
    assert!(waited >= 20 * S && waited < 20 * S + Duration::from_millis(10), "{waited:?}");
    assert_eq!(members(&assignment), [key(1, 0)]);
    answer(assignment, answered(200));
    assert!(matches!(recorded(&running, 0).await, DeliveryState::Delivered { .. }));
}

#[tokio::test(start_paused = true)]
async fn what_has_no_room_goes_next_and_one_that_is_too_large_goes_alone() {
    let policy = r#"{"batch":{"maxMessages":9,"maxWaitMs":5000,"maxBytes":2048}}"#;
    let mut running = running(policy, 0);
    running.outbox.inner.lock().body = vec![b'x'; 300].into();
    (0..3).for_each(|message| running.accept(1, message));
    let assignment = running.next().await;
    assert_eq!(members(&assignment), [key(1, 0), key(1, 1)], "each is reckoned with some 950 bytes");
    answer(assignment, answered(200));
    let assignment = running.next().await;
    assert_eq!((members(&assignment), assignment.job.scheduled.attempt), (vec![key(1, 2)], 1));
    answer(assignment, answered(200));
    running.outbox.inner.lock().body = vec![b'x'; 3_000].into();
    (3..5).for_each(|message| running.accept(1, message));
    for _ in 3..5 {
        let assignment = running.next().await;
        assert_eq!(members(&assignment).len(), 1);
        answer(assignment, answered(200));
    }
    assert!(matches!(recorded(&running, 4).await, DeliveryState::Delivered { attempt: 1, .. }));
}

#[tokio::test(start_paused = true)]
async fn the_server_bounds_what_an_endpoint_asks_for() {
    let mut running = Running::start(Options { batch_bytes: 1_100, ..Options::default() });
    running.outbox.configure(with_policy(lane(1, 1), r#"{"batch":{"maxMessages":9,"maxWaitMs":0}}"#));
    running.outbox.inner.lock().body = vec![b'x'; 300].into();
    (0..2).for_each(|message| running.accept(1, message));
    assert_eq!(members(&running.next().await).len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_batch_that_is_dropped_fails_on_our_side_and_is_tried_again() {
    let mut running = running(r#"{"batch":{"maxMessages":2}}"#, 2);
    drop(running.next().await);
    let again = running.next().await;
    assert_eq!((again.job.scheduled.attempt, members(&again).len()), (2, 1), "what has failed goes in smaller batches");
    answer(again, answered(200));
    let again = running.next().await;
    assert_eq!(again.job.scheduled.attempt, 2);
}

#[tokio::test(start_paused = true)]
async fn a_reading_that_panics_leaves_nothing_in_flight() {
    let mut running = running(r#"{"batch":{"maxMessages":2}}"#, 0);
    running.outbox.inner.lock().jobs_panic = 1;
    (0..2).for_each(|message| running.accept(1, message));
    let again = running.next().await;
    assert_eq!((members(&again).len(), again.job.scheduled.attempt), (2, 1));
    answer(again, answered(200));
    assert!(matches!(recorded(&running, 1).await, DeliveryState::Delivered { .. }));
    assert_eq!(running.stop().await, Ok(Drained { in_flight: 0 }));
}

#[tokio::test(start_paused = true)]
async fn one_that_waits_no_longer_leaves_the_others_together() {
    let mut running = running(r#"{"batch":{"maxMessages":4}}"#, 0);
    running.outbox.inner.lock().job_errors.insert(key(1, 1), JobError::NotLive);
    (0..4).for_each(|message| running.accept(1, message));
    let assignment = running.next().await;
    assert_eq!(members(&assignment), [key(1, 0), key(1, 2), key(1, 3)]);
    assert_eq!(running.handle.why(key(1, 1), 1), None);
}
