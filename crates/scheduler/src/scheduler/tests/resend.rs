//! One attempt more, beside the schedule.

use super::*;

/// A resend of the delivery, as a person asks for it.
fn resend(world: &World, key: DeliveryKey) {
    world.outbox.happen(key, DeliveryEvent::Resent { at: world.at.now });
}

#[test]
fn a_failed_resend_leaves_the_schedule_as_it_was() {
    let mut world = World::with(&[(1, 1)]);
    world.accept(1, [1]);
    world.run();
    world.answer(key(1, 1), answered(500));
    let Some(DeliveryState::Scheduled(before)) = world.outbox.state(key(1, 1)) else { panic!("it waits") };
    world.pass(S);
    resend(&world, key(1, 1));
    assert_eq!(world.run(), [key(1, 1)], "it is due at once");
    world.answer(key(1, 1), answered(500));
    let after = Scheduled { attempt: 3, ..before };
    assert_eq!(world.outbox.state(key(1, 1)), Some(DeliveryState::Scheduled(after)));
    assert_eq!(world.run(), []);
    assert_eq!(world.sleep(), Some(4 * S), "the retry comes when it would have come");
    assert_eq!(world.run(), [key(1, 1)]);
}

#[test]
fn a_resend_waits_for_the_attempt_in_flight_and_is_made_even_after_its_success() {
    let mut world = World::with(&[(1, 1)]);
    world.accept(1, [1]);
    world.run();
    resend(&world, key(1, 1));
    resend(&world, key(1, 1));
    assert_eq!(world.run(), [], "one attempt at a time");
    world.answer(key(1, 1), answered(200));
    assert_eq!(world.run(), [key(1, 1)]);
    world.answer(key(1, 1), answered(500));
    assert_eq!(world.run(), [], "two at once are one");
    assert!(matches!(world.outbox.state(key(1, 1)), Some(DeliveryState::Delivered { attempt: 2, .. })));
    let gauges = world.scheduler.gauges(world.at);
    assert_eq!((gauges.waiting, gauges.in_flight), (0, 0));
}

#[test]
fn a_dead_letter_that_is_resent_dies_no_second_death() {
    let mut world = World::with(&[(1, 1)]);
    let dead = DeliveryState::Dead { at: START, reason: DeadReason::AttemptsExhausted, attempt: 4 };
    world.outbox.inner.lock().deliveries.insert(key(1, 1), (dead, 0));
    resend(&world, key(1, 1));
    assert_eq!(world.run(), [key(1, 1)]);
    world.answer(key(1, 1), failed(FailureKind::Dns));
    let dead = DeliveryState::Dead { at: START, reason: DeadReason::AttemptsExhausted, attempt: 5 };
    assert_eq!(world.outbox.state(key(1, 1)), Some(dead));
    world.accept(1, [2]);
    assert_eq!(world.run(), [key(1, 2)], "the lane goes on");
    world.answer(key(1, 2), answered(200));
    resend(&world, key(1, 1));
    world.run();
    world.answer(key(1, 1), answered(204));
    assert!(matches!(world.outbox.state(key(1, 1)), Some(DeliveryState::Delivered { attempt: 6, .. })));
}

#[test]
fn a_resend_keeps_to_hold_pause_and_order() {
    let mut world = World::with(&[(1, 1)]);
    world.accept(1, [1]);
    world.run();
    world.answer(key(1, 1), answered(200));
    world.hold(lane(1, 1), Some(Hold::Paused));
    resend(&world, key(1, 1));
    assert_eq!(world.run(), []);
    assert_eq!(world.scheduler.why(key(1, 1), world.at), Some(Wait::Held(Hold::Paused)));
    world.hold(lane(1, 1), None);
    assert_eq!(world.run(), [key(1, 1)]);
    world.answer(key(1, 1), asking(429, "120"));
    for message in [2, 3] {
        world.outbox.accept(key(1, message), 77, world.at.now);
    }
    assert_eq!(world.run(), [], "what a resend is told counts for the lane");
    world.pass(120 * S);
    assert_eq!(world.run(), [key(1, 2)]);
    resend(&world, key(1, 3));
    assert_eq!(world.run(), []);
    assert_eq!(world.scheduler.why(key(1, 3), world.at), Some(Wait::Behind { message: None }));
    world.answer(key(1, 2), answered(200));
    assert_eq!(world.run(), [key(1, 3)]);
}

#[test]
fn gone_as_the_answer_to_a_resend_disables_the_endpoint() {
    let mut world = World::with(&[(1, 1)]);
    world.accept(1, [1]);
    world.run();
    world.answer(key(1, 1), answered(200));
    resend(&world, key(1, 1));
    world.run();
    world.answer(key(1, 1), answered(410));
    world.accept(1, [2]);
    assert_eq!(world.run(), []);
    let held = Some(Wait::Held(Hold::Disabled(DisabledBy::Gone)));
    assert_eq!(world.scheduler.why(key(1, 2), world.at), held);
    assert!(matches!(world.outbox.state(key(1, 1)), Some(DeliveryState::Delivered { attempt: 2, .. })));
}

#[test]
fn what_the_job_was_handed_out_for_is_what_counts() {
    let mut world = World::with(&[(1, 1)]);
    world.accept(1, [1]);
    world.observe();
    assert!(world.pick(), "for the schedule");
    resend(&world, key(1, 1));
    assert_eq!(world.fetch(), [key(1, 1)], "for the resend: the outbox is ahead");
    world.answer(key(1, 1), answered(500));
    let waits = Scheduled { attempt: 2, ..Scheduled::first(world.at.now) };
    assert_eq!(world.outbox.state(key(1, 1)), Some(DeliveryState::Scheduled(waits)));
    assert_eq!(world.run(), [key(1, 1)], "the schedule goes on");
}
