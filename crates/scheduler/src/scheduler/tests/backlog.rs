//! What waited while an endpoint failed, and what came after.

use super::*;
use crate::testing::with_policy;

/// Three messages wait behind the one that is in flight. Each of these answers comes
/// after so many seconds; a message that is accepted after the last of them goes out
/// at this place.
fn place_of_a_new_one(answers: &[(u32, u16)]) -> Option<usize> {
    let mut world = World::with(&[]);
    world.configure(with_policy(lane(1, 1), r#"{"maxInFlight":1,"finalStatuses":["4xx"]}"#));
    world.accept(1, 1..=(answers.len() as u64 + 3));
    for (seconds, status) in answers {
        assert_eq!(world.run().len(), 1);
        world.pass(S * *seconds);
        world.answer_lane(1, &answered(*status));
    }
    world.accept(1, [99]);
    let mut order = Vec::new();
    while let [next] = world.run().as_slice() {
        order.push(*next);
        world.answer(*next, answered(200));
    }
    assert_eq!(order.len(), 4);
    order.iter().position(|delivery| *delivery == key(1, 99))
}

#[test]
fn a_new_message_passes_a_backlog_when_its_endpoint_answers_after_a_minute_of_failures() {
    assert_eq!(place_of_a_new_one(&[(1, 404), (60, 200)]), Some(0));
    assert_eq!(place_of_a_new_one(&[(1, 404), (59, 200)]), Some(3), "that was no long time");
    assert_eq!(place_of_a_new_one(&[(1, 200)]), Some(3), "it had not failed");
    assert_eq!(place_of_a_new_one(&[(1, 404), (60, 404)]), Some(3), "it fails still");
}
