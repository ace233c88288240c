//! Order: first in first out, by key, and behind dead letters.

use super::*;
use crate::testing::with_policy;

const FIFO: &str = r#"{"order":{"by":"fifo"},"retrySchedule":[0,5],"retryJitterPercent":0}"#;
const HOLD: &str = r#"{"order":{"by":"fifo","afterDead":"hold"},"retrySchedule":[0]}"#;

fn lane_waits(world: &World) -> Option<Wait> {
    world.scheduler.flow(endpoint(1), world.at).expect("the lane is known").waits
}

#[test]
fn first_in_first_out_holds_through_failures_and_goes_on_after_a_dead_letter() {
    let mut world = World::with(&[]);
    world.configure(with_policy(lane(1, 1), FIFO));
    world.accept(1, [1, 2, 3]);
    assert_eq!(world.run(), [key(1, 1)]);
    assert_eq!(lane_waits(&world), Some(Wait::Behind { message: None }), "the first is in flight");
    world.answer(key(1, 1), answered(404));
    assert_eq!(world.run(), [], "the failed one holds the line");
    assert_eq!(world.scheduler.behind(key(1, 3)), Some(key(1, 1)), "not the one before it");
    assert_eq!(world.scheduler.behind(key(1, 1)), None);
    assert_eq!(world.scheduler.why(key(1, 2), world.at), Some(Wait::Behind { message: None }));
    world.pass(5 * S);
    assert_eq!(world.run(), [key(1, 1)]);
    world.answer(key(1, 1), answered(404));
    assert_eq!(world.run(), [key(1, 2)], "it is dead now");
    assert_eq!(world.scheduler.behind(key(1, 3)), Some(key(1, 2)), "it is in flight");
    world.answer(key(1, 2), answered(200));
    assert_eq!(world.run(), [key(1, 3)]);
}

#[test]
fn the_next_goes_out_only_when_the_one_before_is_recorded() {
    let mut world = World::with(&[]);
    world.configure(with_policy(lane(1, 1), FIFO));
    world.accept(1, [1, 2]);
    world.outbox.inner.lock().hold_back = true;
    world.run();
    world.answer(key(1, 1), answered(200));
    assert!(world.outbox.inner.lock().unrecorded.iter().all(|settlement| settlement.ordered), "it is synced at once");
    assert_eq!(world.run(), []);
    world.outbox.record();
    assert_eq!(world.run(), [key(1, 2)]);
}

#[test]
fn behind_a_dead_letter_others_wait_until_it_is_replayed_or_gone() {
    let mut world = World::with(&[]);
    world.configure(with_policy(lane(1, 1), HOLD));
    world.accept(1, [1, 2]);
    world.run();
    world.answer(key(1, 1), answered(404));
    assert_eq!(world.run(), []);
    assert_eq!(world.scheduler.why(key(1, 2), world.at), Some(Wait::BehindDeadLetter { message: None }));
    assert_eq!(lane_waits(&world), Some(Wait::BehindDeadLetter { message: None }));
    assert_eq!(world.scheduler.behind(key(1, 2)), Some(key(1, 1)), "the dead letter");
    world.outbox.happen(key(1, 1), DeliveryEvent::Replayed { at: world.at.now });
    assert_eq!(world.run(), [key(1, 1)]);
    world.answer(key(1, 1), answered(404));
    assert_eq!(world.run(), [], "dead again");
    world.outbox.tell_left(key(1, 1));
    assert_eq!(world.run(), [key(1, 2)], "it was purged");
}

#[test]
fn an_endpoint_may_change_its_mind() {
    let mut world = World::with(&[]);
    world.configure(with_policy(lane(1, 1), HOLD));
    world.accept(1, [1, 2]);
    world.run();
    world.answer(key(1, 1), answered(404));
    assert_eq!(world.run(), []);
    world.configure(with_policy(lane(1, 1), FIFO));
    assert_eq!(world.run(), [key(1, 2)]);
}

#[test]
fn keys_may_be_ignored() {
    let mut world = World::with(&[]);
    world.configure(with_policy(lane(1, 1), r#"{"order":{"by":"none"}}"#));
    for message in [1, 2, 3] {
        world.outbox.accept(key(1, message), 7, world.at.now);
    }
    world.run();
    world.answer(key(1, 1), answered(404));
    assert_eq!(world.run(), [key(1, 2)], "the failed one does not hold the line");
}
