//! Between the end of an attempt and its record.

use super::*;
use crate::flights::MAX_SETTLING;
use crate::testing::with_policy;

/// A lane that has grown to four in flight, whose outcomes are held back from now on.
fn grown() -> World {
    let mut world = World::with(&[]);
    world.configure(with_policy(lane(1, 1), r#"{"maxInFlight":4}"#));
    world.accept(1, 0..10);
    while !world.outbox.pending().is_empty() {
        world.run();
        world.answer_lane(1, &answered(200));
    }
    world.outbox.inner.lock().hold_back = true;
    world
}

#[test]
fn an_outcome_on_its_way_to_the_disk_does_not_hold_up_the_next_request() {
    let mut world = grown();
    world.accept(1, 10..100);
    assert_eq!(world.run().len(), 4);
    for next in 14..30 {
        world.answer(key(1, next - 4), answered(200));
        assert_eq!(world.run(), [key(1, next)]);
    }
    let flow = world.scheduler.flow(endpoint(1), world.at).expect("it is there");
    assert_eq!((flow.in_flight, flow.allowed_in_flight), (4, 4));
    assert_eq!(world.scheduler.why(key(1, 12), world.at), Some(Wait::InFlight), "it is not recorded");
    assert_eq!(world.scheduler.gauges(world.at).in_flight, 20, "all that is not recorded");
    world.outbox.record();
    world.run();
    assert_eq!(world.scheduler.gauges(world.at).in_flight, 4);
}

#[test]
fn so_many_outcomes_and_the_lane_waits_for_the_disk() {
    let mut world = grown();
    world.accept(1, 10..200);
    world.accept(1, 200..300);
    let mut ended = 0;
    while let Some(sent) = world.run().into_iter().next().or_else(|| world.sent.keys().next().copied()) {
        world.answer(sent, answered(200));
        ended += 1;
    }
    assert_eq!(ended, MAX_SETTLING + 3, "those that were in flight beside the last one end, too");
    assert_eq!(world.scheduler.next_wake(world.at), None);
    world.outbox.record();
    assert_eq!(world.run().len(), 4);
}

#[test]
fn what_is_being_recorded_is_not_picked_again_whatever_is_told() {
    let mut world = grown();
    world.accept(1, [10]);
    world.run();
    world.answer(key(1, 10), answered(500));
    world.outbox.happen(key(1, 10), DeliveryEvent::Resent { at: world.at.now });
    world.pass(10 * S);
    assert_eq!(world.run(), []);
    world.outbox.record();
    assert_eq!(world.run(), [key(1, 10)]);
}

#[test]
fn a_lane_that_is_being_disabled_starts_nothing() {
    let mut world = grown();
    world.accept(1, 10..20);
    assert_eq!(world.run().len(), 4);
    world.answer(key(1, 11), answered(410));
    world.answer(key(1, 12), answered(200));
    assert_eq!(world.run(), []);
    world.outbox.record();
    assert_eq!(world.run(), []);
    let held = Some(Wait::Held(Hold::Disabled(DisabledBy::Gone)));
    assert_eq!(world.scheduler.why(key(1, 15), world.at), held);
}

#[test]
fn the_end_of_an_endpoint_waits_for_no_record() {
    let mut world = grown();
    world.accept(1, 10..20);
    world.run();
    world.answer(key(1, 10), answered(200));
    world.answer(key(1, 11), answered(410));
    world.outbox.remove(endpoint(1));
    world.run();
    assert_eq!(world.scheduler.gauges(world.at).in_flight, 2);
    world.answer_lane(1, &answered(200));
    world.outbox.record();
    world.run();
    let gauges = world.scheduler.gauges(world.at);
    assert_eq!((gauges.lanes, gauges.in_flight, gauges.waiting), (0, 0, 0));
}

#[test]
fn all_lanes_together_have_no_more_outcomes_than_the_outbox_has_room_for() {
    let mut world = World::new(Options { max_in_flight: 5, ..Options::default() });
    for number in 1..=5 {
        world.configure(lane(number, number));
        world.accept(number, 0..5);
    }
    world.outbox.inner.lock().hold_back = true;
    let mut ended = 0;
    while let Some(sent) = world.run().into_iter().next().or_else(|| world.sent.keys().next().copied()) {
        world.answer(sent, answered(200));
        ended += 1;
    }
    assert_eq!(ended, 5);
}

#[test]
fn a_damaged_payload_that_nobody_waits_for_any_more_is_over_at_once() {
    for removed in [false, true] {
        let mut world = World::with(&[(1, 1)]);
        world.accept(1, [1]);
        world.observe();
        assert!(world.pick());
        if removed {
            world.outbox.remove(endpoint(1));
        } else {
            world.outbox.happen(key(1, 1), DeliveryEvent::Cancelled { at: world.at.now });
        }
        world.observe();
        world.fail_jobs(key(1, 1), Some(JobError::NoPayload("segment 3".to_owned())));
        world.fetch();
        let gauges = world.scheduler.gauges(world.at);
        assert_eq!((gauges.in_flight, gauges.lanes), (0, usize::from(!removed)));
    }
}

#[test]
fn the_number_of_an_attempt_is_known_while_it_waits_and_while_it_is_in_flight() {
    let mut world = World::with(&[(1, 1)]);
    world.accept(1, [1]);
    for attempt in 1..=3 {
        world.observe();
        assert_eq!(world.scheduler.attempt(key(1, 1)), Some(attempt));
        while world.run().is_empty() {
            world.sleep();
        }
        assert_eq!(world.scheduler.attempt(key(1, 1)), Some(attempt));
        world.answer(key(1, 1), answered(500));
    }
    assert_eq!(world.scheduler.attempt(key(1, 2)), None);
}

#[test]
fn what_was_paid_for_a_turn_is_known_when_it_ends() {
    let mut world = World::with(&[(1, 1)]);
    world.accept(1, [1]);
    world.run();
    let lane = world.scheduler.lanes.get(&endpoint(1)).expect("it is there");
    let flown = lane.sent(key(1, 1).message).expect("it is in flight");
    assert!(flown.price > Duration::ZERO, "or each turn is paid for twice");
}
