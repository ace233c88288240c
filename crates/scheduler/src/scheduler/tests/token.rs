//! Attempts that are not made, because there is no token for them.

use postrider_model::lane::DeliveryStore as _;

use super::*;
use crate::testing::with_policy;

const MS: Duration = Duration::from_millis(1);
/// The pauses through which a token is missing until age counts, in seconds.
const LONG: [u32; 7] = [1, 2, 4, 8, 16, 32, 60];

/// The dispatcher had no token for a delivery; true if it was taken back.
fn no_token(world: &mut World, delivery: DeliveryKey) -> bool {
    let attempt = world.sent[&delivery];
    let mut outcome = crate::testing::outcome(delivery, attempt, world.at.now, failed(FailureKind::Token));
    let mut back = Vec::new();
    let taken_back = world.scheduler.take_back(&mut outcome, world.at, &mut back).is_some();
    if taken_back {
        assert_eq!(back.len(), world.members(delivery).len());
        world.sent.remove(&delivery);
        world.others.remove(&delivery);
        world.outbox.hand_back(&mut back);
    }
    taken_back
}

#[test]
fn it_costs_no_attempt_and_the_lane_pauses_for_a_time_that_grows() {
    let mut world = World::with(&[(1, 1)]);
    world.accept(1, [1, 2]);
    for pause in [1, 2, 4, 8, 16, 32, 60, 60] {
        let [sent] = world.run()[..] else { panic!("one may be in flight") };
        assert!(no_token(&mut world, sent));
        let until = world.at.now + pause * S;
        for message in [1, 2] {
            assert_eq!(world.scheduler.why(key(1, message), world.at), Some(Wait::NoToken { until }));
        }
        let flow = world.scheduler.flow(endpoint(1), world.at).expect("the lane is known");
        assert_eq!((flow.failing_since, flow.in_flight, flow.waiting), (None, 0, 2));
        world.pass(pause * S - MS);
        assert_eq!(world.run(), []);
        world.pass(MS);
    }
    let [sent] = world.run()[..] else { panic!("one may be in flight") };
    world.answer(sent, answered(200));
    assert!(matches!(world.outbox.state(sent), Some(DeliveryState::Delivered { attempt: 1, .. })));
    // What has gone well once begins at a second again.
    let [sent] = world.run()[..] else { panic!("the other one") };
    assert!(no_token(&mut world, sent));
    world.pass(S);
    assert_eq!(world.run(), [sent]);
}

#[test]
fn what_is_due_after_the_pause_waits_for_its_time_and_not_for_the_token() {
    let mut world = World::with(&[]);
    world.configure(with_policy(lane(1, 1), r#"{"retrySchedule":[0,90],"retryJitterPercent":0}"#));
    world.accept(1, [1]);
    world.run();
    world.answer(key(1, 1), answered(500));
    let due = world.at.now + 90 * S;
    world.accept(1, [2]);
    world.run();
    assert!(no_token(&mut world, key(1, 2)));
    assert_eq!(world.scheduler.why(key(1, 1), world.at), Some(Wait::NotDue { due }));
    assert!(matches!(world.scheduler.why(key(1, 2), world.at), Some(Wait::NoToken { .. })));
}

#[test]
fn a_change_of_the_endpoint_ends_the_pause() {
    let mut world = World::with(&[(1, 1)]);
    world.accept(1, [1]);
    world.run();
    assert!(no_token(&mut world, key(1, 1)));
    assert_eq!(world.run(), []);
    world.configure(lane(1, 1));
    assert_eq!(world.run(), [key(1, 1)]);
}

#[test]
fn an_age_limit_and_the_longest_wait_end_it() {
    let mut world = World::with(&[(1, 1)]);
    world.configure(with_policy(lane(1, 2), r#"{"maxAgeS":60}"#));
    world.accepted = world.at.now;
    world.accept(1, [1]);
    world.accept(2, [1]);
    world.run();
    for pause in LONG {
        assert!(no_token(&mut world, key(1, 1)) && no_token(&mut world, key(2, 1)));
        world.pass(pause * S);
        world.run();
    }
    assert!(no_token(&mut world, key(1, 1)) && !no_token(&mut world, key(2, 1)));
    world.answer(key(2, 1), failed(FailureKind::Token));
    let dead = |world: &World, delivery| match world.outbox.state(delivery) {
        Some(DeliveryState::Dead { reason, .. }) => Some(reason),
        _ => None,
    };
    assert_eq!(dead(&world, key(2, 1)), Some(DeadReason::TooOld));
    world.pass(Options::default().token_wait);
    world.run();
    assert!(!no_token(&mut world, key(1, 1)));
    world.answer(key(1, 1), failed(FailureKind::Token));
    assert_eq!(dead(&world, key(1, 1)), Some(DeadReason::HeldTooLong));
}

/// What has waited for another reason, such as a stop of the server, has not waited for a token.
#[test]
fn the_longest_wait_is_one_for_a_token() {
    let mut world = World::new(Options { token_wait: 300 * S, ..Options::default() });
    world.configure(lane(1, 1));
    let dead = |world: &World| match world.outbox.state(key(1, 1)) {
        Some(DeliveryState::Dead { reason, .. }) => Some(reason),
        _ => None,
    };
    world.accept(1, [1]);
    world.pass(1_000 * S);
    let mut missing = Duration::ZERO;
    for pause in LONG.into_iter().chain([60; 3]) {
        assert_eq!(world.run(), [key(1, 1)]);
        assert!(no_token(&mut world, key(1, 1)), "after {missing:?}");
        // A change is tried at once, and the token is as missing as before.
        world.configure(lane(1, 1));
        assert_eq!(world.run(), [key(1, 1)]);
        assert!(no_token(&mut world, key(1, 1)), "after {missing:?}");
        let pass = pause * S;
        world.pass(pass);
        missing += pass;
    }
    assert_eq!(missing, 303 * S);
    assert_eq!((world.run(), dead(&world)), (vec![key(1, 1)], None));
    assert!(!no_token(&mut world, key(1, 1)));
    world.answer(key(1, 1), failed(FailureKind::Token));
    assert_eq!(dead(&world), Some(DeadReason::HeldTooLong));
}

#[test]
fn an_answer_ends_the_wait_for_a_token() {
    let mut world = World::new(Options { token_wait: 30 * S, ..Options::default() });
    world.configure(lane(1, 1));
    world.accept(1, [1, 2]);
    world.pass(1_000 * S);
    for _ in 0..3 {
        let [sent] = world.run()[..] else { panic!("one may be in flight") };
        assert!(no_token(&mut world, sent));
        world.pass(9 * S);
    }
    let [sent] = world.run()[..] else { panic!("one may be in flight") };
    world.answer(sent, answered(200));
    let [sent] = world.run()[..] else { panic!("the other one") };
    assert!(no_token(&mut world, sent));
    world.pass(29 * S);
    assert_eq!(world.run(), [sent]);
    assert!(no_token(&mut world, sent));
    world.pass(2 * S);
    assert_eq!(world.run(), [sent]);
    assert!(!no_token(&mut world, sent));
}

/// A leap of the wall clock makes no wait.
#[test]
fn after_a_leap_of_the_wall_clock_nothing_has_waited_too_long_for_a_token() {
    let mut world = World::with(&[(1, 1)]);
    world.accept(1, [1]);
    assert_eq!(world.run(), [key(1, 1)]);
    assert!(no_token(&mut world, key(1, 1)));
    world.leap(2 * Options::default().token_wait);
    world.pass(60 * S);
    assert_eq!(world.run(), [key(1, 1)]);
    assert!(no_token(&mut world, key(1, 1)));
}

/// Three deliveries that are past their age limit, and that there is no token for.
fn aged() -> World {
    let mut world = World::with(&[]);
    world.configure(with_policy(lane(1, 1), r#"{"maxAgeS":60}"#));
    world.accepted = world.at.now;
    world.accept(1, [1, 2, 3]);
    world.pass(3_600 * S);
    world
}

#[test]
fn age_ends_one_at_a_time_and_none_before_a_token_is_missing_for_long() {
    let mut world = aged();
    for pause in LONG {
        let [sent] = world.run()[..] else { panic!("one may be in flight") };
        assert!(no_token(&mut world, sent));
        world.pass(pause * S);
    }
    for dead in 1..=3 {
        let [sent] = world.run()[..] else { panic!("one may be in flight") };
        assert!(!no_token(&mut world, sent));
        world.answer(sent, failed(FailureKind::Token));
        assert_eq!((world.run(), world.outbox.dead().len()), (vec![], dead));
        world.pass(60 * S - MS);
        assert_eq!(world.run(), []);
        world.pass(MS);
    }
}

#[test]
fn after_a_leap_of_the_wall_clock_a_token_is_not_missing_for_long() {
    let mut world = aged();
    for pause in LONG {
        let [sent] = world.run()[..] else { panic!("one may be in flight") };
        assert!(no_token(&mut world, sent));
        world.pass(pause * S);
    }
    let [sent] = world.run()[..] else { panic!("one may be in flight") };
    world.leap(2 * 3_600 * S);
    assert!(no_token(&mut world, sent));
    world.pass(S);
    assert_eq!(world.run().len(), 1, "it begins at a second again");
    assert_eq!(world.outbox.dead(), []);
}

#[test]
fn a_resend_without_a_token_lets_the_lane_pause_too() {
    let mut world = World::with(&[(1, 1)]);
    world.outbox.put(key(1, 1), 0, Scheduled { trigger: Trigger::Resent, ..Scheduled::first(world.at.now) });
    world.accept(1, [2]);
    let [sent] = world.run()[..] else { panic!("one may be in flight") };
    assert_eq!((sent, no_token(&mut world, sent)), (key(1, 1), false));
    world.answer(sent, failed(FailureKind::Token));
    assert_eq!(world.run(), []);
    assert!(matches!(world.scheduler.why(key(1, 2), world.at), Some(Wait::NoToken { .. })));
}

#[test]
fn what_was_told_meanwhile_counts() {
    let mut world = World::with(&[(1, 1)]);
    world.accept(1, [1]);
    world.run();
    world.outbox.happen(key(1, 1), DeliveryEvent::Cancelled { at: world.at.now });
    world.observe();
    assert!(no_token(&mut world, key(1, 1)));
    world.pass(60 * S);
    assert_eq!(world.run(), []);
    assert_eq!(world.scheduler.why(key(1, 1), world.at), None);
}

#[test]
fn a_batch_goes_back_as_a_whole_but_for_those_that_have_waited_for_too_long() {
    let mut world = World::new(Options { token_wait: 100 * S, ..Options::default() });
    world.pass(60 * S);
    world.configure(with_policy(lane(1, 1), r#"{"batch":{"maxMessages":3,"maxWaitMs":0}}"#));
    world.accept(1, [1]);
    assert_eq!(world.run(), [key(1, 1)]);
    assert!(no_token(&mut world, key(1, 1)));
    world.pass(99 * S);
    world.accept(1, [2]);
    assert_eq!(world.run(), [key(1, 1), key(1, 2)]);
    assert!(no_token(&mut world, key(1, 1)));
    world.pass(2 * S);
    assert_eq!(world.run(), [key(1, 1), key(1, 2)]);
    let mut outcome = crate::testing::outcome(key(1, 1), 1, world.at.now, failed(FailureKind::Token));
    let (mut back, mut settlements) = (Vec::new(), Vec::new());
    assert_eq!(world.scheduler.take_back(&mut outcome, world.at, &mut back), None);
    assert_eq!((outcome.key, back.as_slice()), (key(1, 1), &[key(1, 2)][..]));
    world.outbox.hand_back(&mut back);
    world.scheduler.settle(outcome, world.at, 0.5, &mut settlements);
    assert_eq!(settlements.len(), 1);
    world.outbox.settle(&mut settlements);
    world.observe();
    assert_eq!(
        (world.outbox.dead(), world.outbox.pending().into_iter().collect::<Vec<_>>()),
        (vec![key(1, 1)], vec![key(1, 2)])
    );
}
