//! Lanes whose endpoints get batches.

use super::*;
use crate::testing::with_policy;

/// A world with one lane that has this policy, and messages 0 to `count`.
fn world(policy: &str, count: u64) -> World {
    let mut world = World::with(&[]);
    world.configure(with_policy(lane(1, 1), policy));
    world.accept(1, 0..count);
    world
}

fn keys(messages: impl IntoIterator<Item = u64>) -> Vec<DeliveryKey> {
    messages.into_iter().map(|message| key(1, message)).collect()
}

fn waits_for(world: &World, message: u64) -> Option<(u16, UnixMs)> {
    world.outbox.state(key(1, message)).and_then(|state| state.waits_for()).map(|waits| (waits.attempt, waits.due))
}

fn is_delivered(world: &World, message: u64) -> bool {
    matches!(world.outbox.state(key(1, message)), Some(DeliveryState::Delivered { .. }))
}

const THREE: &str = r#"{"batch":{"maxMessages":3,"maxWaitMs":10000},"retrySchedule":[0,60,60]}"#;

#[test]
fn so_many_go_at_once_and_fewer_when_the_oldest_has_waited() {
    let mut world = world(THREE, 4);
    assert_eq!(world.run(), keys(0..3), "one request, for one is allowed in flight");
    world.answer(key(1, 0), answered(200));
    assert_eq!(world.run(), [], "the fourth waits for others");
    let until = world.at.now + 10 * S;
    assert_eq!(world.scheduler.why(key(1, 3), world.at), Some(Wait::Gathering { until }));
    assert_eq!(world.scheduler.gauges(world.at).waiting_by.get("batch"), Some(&1));
    world.pass(9 * S);
    world.accept(1, [4]);
    assert_eq!(world.run(), [], "the newer one makes it wait no longer, and no shorter");
    assert_eq!(world.sleep(), Some(S));
    assert_eq!(world.run(), keys([3, 4]));
}

#[test]
fn what_comes_to_be_due_fills_a_batch_at_that_moment() {
    let mut world = world(r#"{"batch":{"maxMessages":8,"maxWaitMs":60000},"retrySchedule":[0,5]}"#, 8);
    assert_eq!(world.run(), keys(0..8));
    world.answer(key(1, 0), naming(keys([1, 2])));
    assert_eq!(world.run(), []);
    assert_eq!(world.sleep(), Some(5 * S), "then two retries are due, which is as many as go together");
    assert_eq!(world.run(), keys([1, 2]));
}

#[test]
fn a_retry_that_goes_alone_takes_nobody_along_who_still_gathers() {
    let mut world = world(THREE, 3);
    world.run();
    world.answer(key(1, 0), naming([key(1, 1)]));
    world.pass(59 * S);
    world.accept(1, [3]);
    assert_eq!(world.run(), []);
    world.pass(S);
    assert_eq!(world.run(), keys([1]));
    world.answer(key(1, 1), answered(200));
    world.pass(8 * S);
    assert_eq!(world.run(), []);
    world.pass(S);
    assert_eq!(world.run(), keys([3]));
}

#[test]
fn what_has_failed_goes_in_ever_smaller_batches_and_with_nothing_else() {
    let mut world = world(r#"{"batch":{"maxMessages":100,"maxWaitMs":0},"maxInFlight":1}"#, 100);
    let mut sizes = Vec::new();
    // No batch with message 7 in it is ever taken.
    while !world.outbox.pending().is_empty() {
        world.run();
        let Some(lead) = world.sent.keys().next().copied() else {
            world.sleep();
            continue;
        };
        let members = world.members(lead);
        let is_bad = members.contains(&key(1, 7));
        if is_bad {
            sizes.push(members.len());
            world.accept(1, [1_000 + sizes.len() as u64]);
        }
        world.answer(lead, answered(if is_bad { 500 } else { 200 }));
    }
    assert_eq!(sizes.iter().take(4).collect::<Vec<_>>(), [&100, &25, &6, &1]);
    assert_eq!(world.outbox.dead(), keys([7]), "it takes nobody with it");
}

#[test]
fn the_wait_ends_although_the_wall_clock_is_set_back() {
    let mut world = world(THREE, 1);
    assert_eq!(world.run(), []);
    world.at.now = world.at.now - 3_600 * S;
    world.pass(5 * S);
    world.accept(1, [1]);
    assert_eq!(world.run(), []);
    world.pass(5 * S);
    assert_eq!(world.run(), keys(0..2));
}

#[test]
fn a_wait_that_nobody_is_left_for_is_forgotten() {
    let mut world = world(THREE, 1);
    world.run();
    world.pass(9 * S);
    world.outbox.happen(key(1, 0), DeliveryEvent::Cancelled { at: world.at.now });
    assert_eq!(world.run(), []);
    world.pass(9 * S);
    world.accept(1, [1]);
    assert_eq!(world.run(), []);
    world.pass(9 * S);
    assert_eq!(world.run(), [], "it waits for as long as any other");
    world.pass(S);
    assert_eq!(world.run(), keys([1]));
}

#[test]
fn a_batch_is_one_request_for_caps_and_pace() {
    let mut world = world(r#"{"batch":{"maxMessages":10,"maxWaitMs":0},"breaker":{"failures":2}}"#, 100);
    assert_eq!(world.run().len(), 10);
    assert_eq!(world.scheduler.counts(), (90, 1, 1));
    let flow = world.scheduler.flow(endpoint(1), world.at).expect("it is there");
    assert_eq!((flow.in_flight, flow.allowed_in_flight), (1, 1));
    world.answer(key(1, 0), answered(200));
    let flow = world.scheduler.flow(endpoint(1), world.at).expect("it is there");
    assert_eq!(flow.allowed_in_flight, 2, "it grows by one request");
    assert_eq!(world.run().len(), 20);
    world.answer(key(1, 10), answered(500));
    assert_eq!(world.run().len(), 10, "one failure does not open the breaker");
    world.answer(key(1, 20), failed(FailureKind::Connect));
    assert_eq!(world.run(), []);
    assert!(matches!(world.scheduler.why(key(1, 90), world.at), Some(Wait::BreakerOpen { .. })));
}

#[test]
fn a_rate_counts_requests() {
    let mut world = world(r#"{"batch":{"maxMessages":10,"maxWaitMs":0},"rate":{"count":1}}"#, 25);
    world.observe();
    let mut sizes = Vec::new();
    for _ in 0..5 {
        world.pass(S);
        sizes.push(world.run().len());
        world.answer_lane(1, &answered(200));
    }
    assert_eq!(sizes, [10, 10, 5, 0, 0]);
}

#[test]
fn those_that_an_answer_names_are_tried_again_and_no_others() {
    let mut world = world(THREE, 3);
    world.run();
    world.answer(key(1, 0), naming([key(1, 1)]));
    assert!(is_delivered(&world, 0) && is_delivered(&world, 2));
    assert_eq!(waits_for(&world, 1), Some((2, world.at.now + 60 * S)));
    let flow = world.scheduler.flow(endpoint(1), world.at).expect("it is there");
    assert_eq!((flow.allowed_in_flight, flow.failing_since), (2, None), "the endpoint works");
    world.pass(60 * S);
    assert_eq!(world.run(), keys([1]));
    world.answer(key(1, 1), naming([key(1, 1)]));
    let flow = world.scheduler.flow(endpoint(1), world.at).expect("it is there");
    assert_eq!(flow.failing_since, Some(world.at.now), "it took none");
    world.pass(60 * S);
    assert_eq!(world.run(), keys([1]));
    world.answer(key(1, 1), naming([key(1, 1)]));
    assert_eq!(world.outbox.dead(), keys([1]), "its schedule is over");
}

#[test]
fn retry_after_counts_for_each_and_pauses_the_lane_once() {
    let mut world = world(THREE, 4);
    world.run();
    world.answer(key(1, 0), asking(429, "120"));
    let until = world.at.now + 120 * S;
    for message in 0..3 {
        assert_eq!(waits_for(&world, message), Some((2, until)));
    }
    world.pass(10 * S);
    assert_eq!(world.run(), []);
    assert_eq!(world.scheduler.why(key(1, 3), world.at), Some(Wait::LanePaused { until }));
}

#[test]
fn gone_disables_once_and_all_of_it_waits() {
    let mut world = world(THREE, 3);
    world.run();
    world.answer(key(1, 0), answered(410));
    assert_eq!(world.run(), []);
    let hold = Some(Hold::Disabled(DisabledBy::Gone));
    assert_eq!(world.scheduler.flow(endpoint(1), world.at).and_then(|flow| flow.hold), hold);
    assert_eq!(world.outbox.pending().len(), 3);
}

#[test]
fn an_endpoint_that_took_some_of_it_is_not_disabled_for_failing() {
    let policy = r#"{"batch":{"maxMessages":100,"maxWaitMs":0},"disableAfterS":60,"maxInFlight":1,
        "retrySchedule":[0,30,30,30,30,30]}"#;
    let mut world = world(policy, 3);
    world.run();
    world.answer(key(1, 0), answered(500));
    // The first of the next batch is taken; of the batches after it nothing.
    for hold in [None, None, Some(Hold::Disabled(DisabledBy::Failing))] {
        world.pass(90 * S);
        assert!(!world.run().is_empty());
        let lead = *world.sent.keys().next().expect("it was sent");
        let members = world.members(lead);
        world.answer(lead, naming(members.into_iter().rev().take(2)));
        world.observe();
        assert_eq!(world.scheduler.flow(endpoint(1), world.at).and_then(|flow| flow.hold), hold);
    }
}

#[test]
fn who_has_no_job_stays_behind_and_another_one_leads() {
    let mut world = world(THREE, 3);
    world.fail_jobs(key(1, 0), Some(JobError::Failed(String::new())));
    world.fail_jobs(key(1, 1), Some(JobError::NoRoom));
    assert_eq!(world.run(), keys([2]));
    assert_eq!(world.scheduler.counts(), (2, 1, 1));
    world.fail_jobs(key(1, 0), None);
    world.fail_jobs(key(1, 1), None);
    world.answer(key(1, 2), answered(200));
    assert!(is_delivered(&world, 2));
    assert_eq!(waits_for(&world, 1).map(|(attempt, _)| attempt), Some(1), "no attempt is used up");
    world.pass(10 * S);
    assert_eq!(world.run().len(), 2);
}

#[test]
fn a_probe_that_has_no_job_at_its_head_is_a_probe_all_the_same() {
    let mut world = world(r#"{"batch":{"maxMessages":2,"maxWaitMs":0},"breaker":{"failures":1}}"#, 6);
    world.run();
    world.answer(key(1, 0), failed(FailureKind::Connect));
    world.fail_jobs(key(1, 2), Some(JobError::NotLive));
    world.pass(S);
    assert_eq!(world.run(), keys([3]));
    assert_eq!(world.scheduler.why(key(1, 4), world.at), Some(Wait::BreakerHalfOpen));
    world.answer(key(1, 3), answered(200));
    assert_eq!(world.run(), keys([4, 5]), "it has closed the breaker");
}

#[test]
fn of_one_order_key_one_goes_in_each_batch() {
    let mut world = world(r#"{"batch":{"maxMessages":9,"maxWaitMs":0}}"#, 0);
    for (message, order_key) in [(1, 7), (2, 7), (3, 8), (4, 0), (5, 8)] {
        world.outbox.accept(key(1, message), order_key, world.at.now);
    }
    assert_eq!(world.run(), keys([1, 3, 4]));
    world.answer(key(1, 1), naming([key(1, 1)]));
    assert_eq!(world.run(), keys([5]), "the failed one holds up its own key");
    world.answer(key(1, 5), answered(200));
    world.pass(10 * S);
    assert_eq!(world.run(), keys([1]));
    world.answer(key(1, 1), answered(200));
    assert_eq!(world.run(), keys([2]));
}

#[test]
fn an_endpoint_that_goes_leaves_nothing_in_flight() {
    let mut world = world(THREE, 3);
    world.run();
    world.outbox.remove(endpoint(1));
    world.observe();
    assert_eq!(world.scheduler.counts(), (0, 1, 1), "its request goes on");
    let mut settlements = Vec::new();
    let lead = *world.sent.keys().next().expect("it was sent");
    let outcome = crate::testing::outcome(lead, 1, world.at.now, answered(200));
    world.scheduler.settle(outcome, world.at, 0.5, &mut settlements);
    assert_eq!((settlements.len(), world.scheduler.counts()), (3, (0, 0, 0)));
}

#[test]
fn what_is_being_recorded_is_counted_by_its_members() {
    let mut world = World::new(Options { max_in_flight: 4, ..Options::default() });
    world.pass(60 * S);
    for (of, number) in [(1, 1), (2, 2)] {
        world.configure(with_policy(lane(of, number), r#"{"batch":{"maxMessages":5,"maxWaitMs":0}}"#));
        world.accept(number, 0..10);
    }
    world.outbox.inner.lock().hold_back = true;
    world.run();
    world.answer(key(1, 0), answered(200));
    assert_eq!(world.run(), [], "five are on their way to the disk, and four may be in flight");
    world.outbox.record();
    assert!(!world.run().is_empty());
}

#[test]
fn first_attempts_that_have_waited_long_enough_have_their_turn_beside_a_retry() {
    let mut world = world(THREE, 3);
    world.run();
    world.answer(key(1, 0), naming([key(1, 1)]));
    world.pass(50 * S);
    world.accept(1, [3]);
    assert_eq!(world.run(), []);
    world.pass(10 * S);
    // Both are due at this moment, and it is the turn of what is new.
    assert_eq!(world.run(), keys([3, 1]));
}

#[test]
fn an_endpoint_that_takes_one_of_two_works() {
    let mut world = world(r#"{"batch":{"maxMessages":2,"maxWaitMs":0}}"#, 2);
    assert_eq!(world.run(), keys([0, 1]));
    world.answer(key(1, 0), naming([key(1, 1)]));
    let flow = world.scheduler.flow(endpoint(1), world.at).expect("it is there");
    assert_eq!(flow.allowed_in_flight, 2, "its pace grows");
}
