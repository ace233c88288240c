//! Storms, leaps of the wall clock, and rates.

use postrider_model::position::Position;

use super::*;
use crate::testing::with_policy;

fn overdue(world: &mut World, lanes: u8) {
    for number in 1..=lanes {
        world.configure(lane(number, number));
        let scheduled = Scheduled { due: START, attempt: 3, step: 2, trigger: Trigger::Scheduled };
        for message in 0..5 {
            world.outbox.put(key(number, message), 0, scheduled);
        }
    }
}

#[test]
fn overdue_retries_after_a_start_are_released_ramped() {
    let mut world = World::new(Options { ramp_start: 2, ..Options::default() });
    world.leap(24 * 3_600 * S);
    overdue(&mut world, 200);
    let mut in_tenths = vec![world.run().len()];
    while world.sent.len() < 200 {
        assert_eq!(world.sleep(), Some(S / 10));
        in_tenths.push(world.run().len());
    }
    let doubling = [2; 20].into_iter().chain([4; 20]).chain([8; 10]);
    assert_eq!(in_tenths, doubling.collect::<Vec<_>>(), "nothing was answered");
    assert_eq!(world.sleep(), None, "each lane begins at one");
}

#[test]
fn what_is_being_read_and_what_ended_early_count_as_they_should_for_the_ramp() {
    let mut world = World::new(Options { ramp_start: 4, ..Options::default() });
    world.leap(24 * 3_600 * S);
    overdue(&mut world, 40);
    world.observe();
    while world.pick() {}
    assert_eq!(world.fetching.len(), 4);
    world.pass(S);
    assert!(!world.pick(), "reading is our own work, however long it takes");
    let first = world.fetch();
    assert!(!world.pick(), "what was read begins now");
    world.answer(*first.first().expect("four were read"), answered(200));
    assert_eq!(world.run().len(), 1, "one has ended");
    assert_eq!(world.sleep(), Some(S / 10));
    assert_eq!(world.run().len(), 4, "the others go on, and make room");
}

#[test]
fn lanes_begin_at_one_again_after_a_leap_of_the_wall_clock() {
    let mut world = World::with(&[(1, 1)]);
    world.accept(1, 0..1_000);
    for _ in 0..10 {
        world.run();
        world.answer_lane(1, &answered(200));
    }
    assert!(world.run().len() > 4, "the lane has grown");
    world.answer_lane(1, &answered(200));
    world.leap(3_601 * S);
    assert_eq!(world.run().len(), 1);
}

#[test]
fn what_is_overdue_after_a_leap_or_a_long_pause_is_ramped() {
    let mut world = World::new(Options { ramp_start: 4, ..Options::default() });
    world.pass(60 * S);
    overdue(&mut world, 40);
    world.observe();
    world.leap(3_601 * S);
    assert_eq!(world.run().len(), 4);
    world.pass(60 * S);
    assert_eq!(world.run().len(), 36);
    for number in 1..=40 {
        world.answer_lane(number, &answered(200));
        world.hold(lane(number, number), Some(Hold::AllPaused));
    }
    assert_eq!(world.run(), []);
    for number in 1..=40 {
        world.hold(lane(number, number), None);
    }
    assert_eq!(world.run().len(), 4, "all lanes come back at once");
}

#[test]
fn only_the_end_of_a_pause_of_all_begins_the_ramp_anew() {
    let mut world = World::with(&[(1, 1), (1, 2)]);
    let mut limit_after = |hold| {
        world.hold(lane(1, 1), hold);
        world.observe();
        world.scheduler.gauges(world.at).beginning_limit
    };
    for hold in [None, Some(Hold::Paused), None, Some(Hold::AllPaused), Some(Hold::Paused), None, Some(Hold::AllPaused)]
    {
        assert_eq!(limit_after(hold), 4_096);
    }
    assert_eq!(limit_after(None), 64);
}

#[test]
fn very_many_lanes_that_are_due_at_once_come_back_in_steps() {
    let mut world = World::new(Options { max_in_flight: 1 << 20, ramp_start: 1 << 20, ..Options::default() });
    let lanes = WAKES_PER_STEP as u64 + 10;
    for number in 0..lanes {
        let bytes = std::array::from_fn(|index| number.to_be_bytes().get(index).copied().unwrap_or(0));
        let endpoint = EndpointId(postrider_model::id::RawId::from_bytes(bytes));
        world.configure(Facts { endpoint, ..lane((number % 100) as u8, 0) });
        let scheduled = Scheduled { due: START + S, attempt: 2, step: 1, trigger: Trigger::Scheduled };
        world.outbox.put(DeliveryKey { endpoint, message: Position::ZERO }, 0, scheduled);
    }
    assert_eq!(world.run(), []);
    world.pass(S);
    assert_eq!(world.run().len(), WAKES_PER_STEP);
    assert_eq!(world.sleep(), Some(Duration::ZERO));
    assert_eq!(world.run().len(), 10);
    assert_eq!(world.scheduler.next_wake(world.at), None);
}

#[test]
fn a_wall_clock_that_goes_back_makes_nothing_early() {
    let mut world = World::with(&[(1, 1)]);
    world.accept(1, [1]);
    world.run();
    world.answer(key(1, 1), answered(500));
    world.run();
    world.at.now = START - 1_000 * S;
    world.pass(10 * S);
    assert_eq!(world.run(), []);
    assert_eq!(world.sleep(), Some(1_000 * S + 55 * S), "until the wall clock is there");
    assert_eq!(world.run(), [key(1, 1)]);
}

#[test]
fn a_new_message_does_not_wait_for_a_wall_clock_that_went_back() {
    let mut world = World::with(&[(1, 1)]);
    world.accept(1, [1, 2]);
    world.observe();
    // The outbox's own time never goes back, so what comes now is due in the future.
    let ahead = world.at.now;
    world.at.now = START - 1_000 * S;
    world.outbox.accept(key(1, 3), 0, ahead);
    for message in [1, 2, 3] {
        assert_eq!(world.run(), [key(1, message)]);
        world.answer(key(1, message), answered(404));
    }
}

#[test]
fn rates_of_endpoint_and_application_hold() {
    let mut world = World::with(&[]);
    for number in [1, 2] {
        world.configure(Facts { app_throttle_per_second: Some(5), ..lane(1, number) });
        world.accept(number, 0..100);
    }
    world.configure(with_policy(lane(2, 3), r#"{"rate":{"count":2}}"#));
    world.accept(3, 0..100);
    let end = world.at.monotonic + 10 * S;
    while world.at.monotonic < end {
        for sent in world.run() {
            world.answer(sent, answered(200));
        }
        // Recording is at once here, so a lane may be ready again.
        world.run();
        for number in [1, 2, 3] {
            world.answer_lane(number, &answered(200));
        }
        world.observe();
        world.sleep();
    }
    let count = |of: &[u8]| world.picks.iter().filter(|(_, k)| of.iter().any(|n| k.endpoint == endpoint(*n))).count();
    assert!((48..=50).contains(&count(&[1, 2])), "{}", count(&[1, 2]));
    assert!((19..=20).contains(&count(&[3])), "{}", count(&[3]));
    assert!(count(&[1]).abs_diff(count(&[2])) <= 1, "the lanes share the application's rate");
}
