//! The seconds after a start, in which very much may be due at once.

use std::collections::BTreeMap;

use super::*;

const HUNG: u8 = 240;
const GOOD: u8 = 10;
const TICK: Duration = Duration::from_millis(10);

/// For how long a good lane's message waited at most in the first ten seconds, while so many
/// others hang, each in an application of its own.
fn longest_wait(hung: u8) -> Duration {
    let mut world = World::new(Options::default());
    for number in 1..=hung {
        world.configure(lane(number, number));
        let scheduled = Scheduled { due: START, attempt: 3, step: 2, trigger: Trigger::Scheduled };
        world.outbox.put(key(number, 1), 0, scheduled);
        world.accept(number, [2]);
    }
    // Among equals it is the last ones' turn last.
    let good = || hung + 1..=hung + GOOD;
    for number in good() {
        world.configure(lane(number, number));
    }
    let (began, mut longest, mut accepted) = (world.at.monotonic, Duration::ZERO, BTreeMap::new());
    for tick in 0..1_000 {
        if tick % 10 == 0 {
            for number in good() {
                world.accept(number, [tick]);
                accepted.insert(key(number, tick), world.at.monotonic);
            }
        }
        world.run();
        let answers: Vec<_> = world.sent.keys().filter(|key| accepted.contains_key(key)).copied().collect();
        for key in answers {
            let since = accepted.remove(&key).expect("it was just found");
            longest = longest.max(world.at.monotonic - since);
            world.answer(key, answered(200));
        }
        world.pass(TICK);
    }
    assert_eq!(world.at.monotonic - began, 10 * S);
    assert!(accepted.is_empty(), "{} good ones were not sent", accepted.len());
    assert_eq!(world.sent.len(), usize::from(hung), "the others have one attempt each");
    longest
}

#[test]
fn endpoints_that_hang_cost_the_others_a_moment_even_after_a_start() {
    assert_eq!(longest_wait(0), Duration::ZERO);
    let beside = longest_wait(HUNG);
    assert!(beside <= S / 2, "{beside:?}");
}
