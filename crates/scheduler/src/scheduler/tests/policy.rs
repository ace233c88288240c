//! An endpoint's own rules: they count, they count at once, and only for it.

use super::*;
use crate::testing::with_policy;
use postrider_model::endpoint::Hold;
use postrider_model::explain::BreakerState;

fn dead(world: &World, delivery: DeliveryKey) -> Option<DeadReason> {
    match world.outbox.state(delivery) {
        Some(DeliveryState::Dead { reason, .. }) => Some(reason),
        _ => None,
    }
}

fn flow(world: &World, lane: u8) -> Flow {
    world.scheduler.flow(endpoint(lane), world.at).expect("the lane is known")
}

/// What waits, by reason, as the metrics have it.
fn counted(world: &World) -> Vec<(&'static str, usize)> {
    let counted: Vec<_> = world.scheduler.gauges(world.at).waiting_by.into_iter().collect();
    assert!(counted.iter().all(|(reason, _)| Wait::OF_LANES.contains(reason)), "{counted:?}");
    counted
}

#[test]
fn each_endpoint_has_its_own_schedule_and_final_answers() {
    let mut world = World::with(&[(1, 3)]);
    world.configure(with_policy(lane(1, 1), r#"{"retrySchedule":[0,7],"retryJitterPercent":0}"#));
    world.configure(with_policy(lane(1, 2), r#"{"finalStatuses":["4xx"]}"#));
    for number in [1, 2, 3] {
        world.accept(number, [1]);
    }
    world.run();
    for number in [1, 2, 3] {
        world.answer(key(number, 1), answered(404));
    }
    world.run();
    assert_eq!(dead(&world, key(2, 1)), Some(DeadReason::Refused));
    assert_eq!(dead(&world, key(3, 1)), None);
    let due = world.at.now + 7 * S;
    assert_eq!(world.scheduler.why(key(1, 1), world.at), Some(Wait::NotDue { due }));
    world.pass(7 * S);
    assert!(world.run().contains(&key(1, 1)));
    world.answer(key(1, 1), answered(500));
    assert_eq!(dead(&world, key(1, 1)), Some(DeadReason::AttemptsExhausted));
}

#[test]
fn a_shorter_schedule_counts_for_what_waits() {
    let mut world = World::with(&[(1, 1)]);
    world.accept(1, [1, 2]);
    for message in [1, 2] {
        assert_eq!(world.run(), [key(1, message)]);
        world.answer(key(1, message), answered(404));
    }
    world.pass(20 * S);
    for message in [1, 2] {
        assert_eq!(world.run(), [key(1, message)]);
        world.answer(key(1, message), answered(404));
    }
    world.run();
    let waits = |world: &World| world.scheduler.why(key(1, 1), world.at);
    assert_eq!(waits(&world), Some(Wait::NotDue { due: world.at.now + 300 * S }));
    world.hastened = true;
    world.configure(with_policy(lane(1, 1), r#"{"retrySchedule":[0,5,10],"retryJitterPercent":0}"#));
    assert_eq!(world.run(), []);
    assert_eq!(waits(&world), Some(Wait::NotDue { due: world.at.now + 10 * S }));
    assert_eq!(world.sleep(), Some(10 * S), "it wakes for the new time");
    assert_eq!(world.run(), [key(1, 1)]);
}

/// What does not wait for the schedule: a first attempt, and one that a person asked for.
#[test]
fn another_schedule_does_not_hasten_what_could_not_be_read() {
    for (step, trigger) in [(0, Trigger::Scheduled), (1, Trigger::Resent)] {
        let mut world = World::with(&[(1, 1)]);
        world.outbox.put(key(1, 1), 0, Scheduled { due: world.at.now, attempt: step + 1, step, trigger });
        world.fail_jobs(key(1, 1), Some(JobError::Failed("disk".to_owned())));
        assert_eq!(world.run(), []);
        world.configure(with_policy(lane(1, 1), r#"{"retrySchedule":[0,0]}"#));
        assert_eq!(world.run(), []);
        assert_eq!(world.sleep(), Some(S), "{trigger:?}: it is read again after a second, as before");
    }
}

#[test]
fn a_delivery_is_given_up_at_its_age_limit() {
    let mut world = World::with(&[]);
    world.accepted = world.at.now;
    world.configure(with_policy(lane(1, 1), r#"{"retrySchedule":[0,50,50,50],"retryJitterPercent":0,"maxAgeS":60}"#));
    world.accept(1, [1]);
    world.run();
    world.answer(key(1, 1), answered(404));
    world.pass(50 * S);
    assert_eq!(world.run(), [key(1, 1)]);
    world.answer(key(1, 1), answered(404));
    world.run();
    assert_eq!(world.sleep(), Some(10 * S), "the last attempt comes at the limit");
    assert_eq!(world.run(), [key(1, 1)]);
    world.answer(key(1, 1), answered(404));
    assert_eq!(dead(&world, key(1, 1)), Some(DeadReason::TooOld));
}

#[test]
fn the_breaker_goes_from_closed_over_open_and_half_open_to_closed() {
    let mut world = World::with(&[]);
    let policy = r#"{"breaker":{"failures":2,"pauseMinMs":4000,"pauseMaxMs":9000},"retrySchedule":[0,0,0,0,0,0]}"#;
    world.configure(with_policy(lane(1, 1), policy));
    world.accept(1, [1, 2]);
    for _ in 0..2 {
        assert_eq!(world.run().len(), 1);
        assert_eq!(flow(&world, 1).breaker, BreakerState::Closed);
        world.answer_lane(1, &answered(500));
    }
    for pause in [4 * S, 8 * S, 9 * S] {
        assert_eq!(world.run(), [], "an open breaker burns no attempt");
        let until = world.at.now + pause;
        assert_eq!(flow(&world, 1).breaker, BreakerState::Open { until });
        assert_eq!(world.scheduler.why(key(1, 1), world.at), Some(Wait::BreakerOpen { until }));
        assert_eq!(world.sleep(), Some(pause));
        let probe = *world.run().first().expect("one probe");
        assert_eq!(world.run(), [], "there is one probe only");
        assert_eq!(flow(&world, 1).breaker, BreakerState::HalfOpen);
        let other = if probe == key(1, 1) { key(1, 2) } else { key(1, 1) };
        assert_eq!(world.scheduler.why(other, world.at), Some(Wait::BreakerHalfOpen));
        world.answer(probe, failed(FailureKind::Connect));
    }
    assert_eq!(world.run(), []);
    world.sleep();
    assert_eq!(world.run().len(), 1);
    world.answer_lane(1, &answered(200));
    assert_eq!(flow(&world, 1).breaker, BreakerState::Closed);
}

#[test]
fn a_rate_with_a_burst_holds_per_minute_and_says_so() {
    let mut world = World::with(&[]);
    world.configure(with_policy(lane(1, 1), r#"{"rate":{"count":6,"per":"minute","burst":3},"maxInFlight":1}"#));
    world.observe();
    world.pass(600 * S);
    world.accept(1, 0..9);
    let begin = world.at.monotonic;
    while world.picks.len() < 9 {
        if world.run().is_empty() {
            let wait = world.scheduler.why(key(1, 8), world.at);
            assert!(matches!(wait, Some(Wait::RateLimited { until }) if until > world.at.now), "{wait:?}");
            world.sleep();
        }
        world.answer_lane(1, &answered(200));
    }
    let starts: Vec<_> = world.picks.iter().map(|(at, _)| (*at - begin).as_secs()).collect();
    assert_eq!(starts, [0, 0, 0, 15, 30, 45, 60, 75, 90]);
}

#[test]
fn an_endpoint_that_only_fails_is_disabled_after_its_time_and_begins_anew() {
    let mut world = World::with(&[]);
    let lane = with_policy(lane(1, 1), r#"{"disableAfterS":60,"retrySchedule":[0,30,30,30],"retryJitterPercent":0}"#);
    world.configure(lane.clone());
    world.accept(1, [1]);
    let began = world.at.now;
    for _ in 0..3 {
        assert_eq!(world.run(), [key(1, 1)]);
        world.answer(key(1, 1), answered(404));
        assert_eq!(flow(&world, 1).failing_since, Some(began));
        world.pass(30 * S);
    }
    assert_eq!(world.run(), []);
    let held = Some(Wait::Held(Hold::Disabled(DisabledBy::Failing)));
    assert_eq!(world.scheduler.why(key(1, 1), world.at), held, "the delivery waits, it is not lost");
    world.hold(lane, None);
    assert_eq!(world.run(), [key(1, 1)]);
    assert_eq!(flow(&world, 1).failing_since, None);
    world.answer(key(1, 1), answered(200));
    assert_eq!(flow(&world, 1).failing_since, None);
}

#[test]
fn what_is_on_record_of_failures_counts_after_a_start() {
    let mut world = World::with(&[]);
    let lane = with_policy(lane(1, 1), r#"{"disableAfterS":60}"#);
    world.configure(Facts { failing_since: Some(START), ..lane });
    world.accept(1, [1]);
    world.run();
    world.answer(key(1, 1), answered(500));
    world.run();
    assert_eq!(flow(&world, 1).hold, Some(Hold::Disabled(DisabledBy::Failing)));
}

#[test]
fn a_change_of_an_endpoint_that_is_not_held_lets_its_lane_go_on() {
    let mut world = World::with(&[(1, 1)]);
    world.accept(1, 0..100);
    for _ in 0..10 {
        world.run();
        world.answer_lane(1, &answered(200));
    }
    assert_eq!(flow(&world, 1).allowed_in_flight, 11);
    world.configure(lane(1, 1));
    world.run();
    assert_eq!(flow(&world, 1).allowed_in_flight, 11, "only one that was held begins at one again");
}

#[test]
fn fewer_in_flight_count_at_once() {
    let mut world = World::with(&[(1, 1)]);
    world.accept(1, 0..1_000);
    for _ in 0..20 {
        world.run();
        world.answer_lane(1, &answered(200));
    }
    assert!(world.run().len() > 2);
    world.configure(with_policy(lane(1, 1), r#"{"maxInFlight":2}"#));
    world.answer_lane(1, &answered(200));
    assert_eq!(world.run().len(), 2);
    assert_eq!(flow(&world, 1).allowed_in_flight, 2);
}

#[test]
fn what_waits_for_its_application_says_so() {
    let mut world = World::with(&[(1, 1), (1, 2)]);
    world.configure(Facts { app_throttle_per_second: Some(1), ..lane(1, 1) });
    world.accept(1, [1, 2]);
    assert_eq!(world.run(), []);
    let until = world.at.now + S;
    let limited = Wait::ApplicationRateLimited { until };
    assert_eq!(world.scheduler.why(key(1, 1), world.at), Some(limited.clone()));
    assert_eq!(flow(&world, 1).waits, Some(limited));
    assert_eq!(counted(&world), [("application_rate_limited", 2)]);
    assert_eq!(world.sleep(), Some(S));
    assert_eq!(world.scheduler.why(key(1, 1), world.at), Some(Wait::Turn), "its time has come");
    assert_eq!(world.run(), [key(1, 1)]);
}

#[test]
fn of_the_lanes_time_and_its_applications_the_later_one_is_said() {
    let mut world = World::with(&[]);
    for (number, rate) in [(1, r#"{"count":2}"#), (2, r#"{"count":1}"#), (3, r#"{"count":1,"per":"minute"}"#)] {
        let lane = with_policy(lane(1, number), &format!(r#"{{"rate":{rate}}}"#));
        world.configure(Facts { app_throttle_per_second: Some(1), ..lane });
        world.accept(number, [1]);
    }
    assert_eq!(world.run(), []);
    let at = world.at.now;
    let expected = [
        (1, Wait::ApplicationRateLimited { until: at + S }),
        // Its own comes first where both are the same.
        (2, Wait::RateLimited { until: at + S }),
        (3, Wait::RateLimited { until: at + 60 * S }),
    ];
    for (number, wait) in expected {
        assert_eq!(world.scheduler.why(key(number, 1), world.at), Some(wait), "{number}");
    }
}

#[test]
fn what_waits_for_its_applications_cap_says_so() {
    let mut world = World::new(Options { in_flight_per_application: 1, ..Options::default() });
    world.pass(60 * S);
    world.configure(lane(1, 1));
    world.configure(lane(1, 2));
    world.accept(1, [1]);
    assert_eq!(world.run(), [key(1, 1)]);
    world.accept(2, [1, 2]);
    assert_eq!(world.run(), []);
    let busy = Wait::ApplicationBusy { in_flight: 1, limit: 1 };
    assert_eq!(world.scheduler.why(key(2, 1), world.at), Some(busy.clone()));
    assert_eq!(flow(&world, 2).waits, Some(busy));
    assert_eq!(counted(&world), [("application_busy", 2)]);
}

#[test]
fn what_holds_longest_is_said() {
    let mut world = World::with(&[]);
    let breaker = r#""breaker":{"failures":1,"pauseMinMs":10000}"#;
    let lane = |number, rest: &str| with_policy(lane(number, number), &format!(r#"{{"retryJitterPercent":0,{rest}}}"#));
    world.configure(lane(1, &format!(r#""retrySchedule":[0,3],{breaker}"#)));
    world.configure(lane(2, &format!(r#""retrySchedule":[0,30],{breaker}"#)));
    world.configure(lane(3, r#""retrySchedule":[0,3],"rate":{"count":1,"per":"minute"}"#));
    world.configure(Facts { app_throttle_per_second: Some(1), ..lane(4, r#""retrySchedule":[0,0]"#) });
    world.configure(lane(5, r#""retrySchedule":[0,3]"#));
    world.configure(lane(6, r#""retrySchedule":[0,90],"rate":{"count":1,"per":"minute"}"#));
    world.configure(lane(7, r#""retrySchedule":[0,90]"#));
    for number in 1..=7 {
        world.accept(number, [1]);
    }
    for number in [5, 7] {
        world.accept(number, [2]);
    }
    world.observe();
    world.pass(60 * S);
    assert_eq!(world.run().len(), 7);
    for number in 1..=7 {
        world.answer(key(number, 1), answered(500));
    }
    assert_eq!(world.run(), [key(5, 2), key(7, 2)]);
    for number in [5, 7] {
        world.answer(key(number, 2), asking(429, "20"));
        world.outbox.happen(key(number, 2), DeliveryEvent::Cancelled { at: world.at.now });
    }
    assert_eq!(world.run(), []);
    let at = world.at.now;
    let expected = [
        (1, Wait::BreakerOpen { until: at + 10 * S }),
        (2, Wait::NotDue { due: at + 30 * S }),
        (3, Wait::RateLimited { until: at + 60 * S }),
        (4, Wait::ApplicationRateLimited { until: at + S }),
        (5, Wait::LanePaused { until: at + 20 * S }),
        (6, Wait::NotDue { due: at + 90 * S }),
        (7, Wait::NotDue { due: at + 90 * S }),
    ];
    for (number, wait) in expected {
        assert_eq!(world.scheduler.why(key(number, 1), world.at), Some(wait.clone()), "{number}");
        assert_eq!(flow(&world, number).waits, Some(wait), "{number}");
    }
}

#[test]
fn what_waits_is_counted_by_what_its_lane_waits_for() {
    let mut world = World::with(&[(1, 1), (1, 2)]);
    world.configure(with_policy(lane(1, 3), r#"{"rate":{"count":1,"per":"minute"}}"#));
    world.hold(lane(1, 4), Some(Hold::Paused));
    for number in [1, 3, 4] {
        world.accept(number, 0..5);
    }
    assert_eq!(world.run(), [key(1, 0)]);
    assert_eq!(counted(&world), [("endpoint_paused", 5), ("lane_busy", 4), ("rate_limited", 5)]);
}
