//! Turns, order keys, and that nothing is lost between the sets.

use super::*;
use postrider_model::delivery::Trigger;
use proptest::prelude::*;

const NOW: UnixMs = UnixMs(1_000);

fn waits(attempt: u16, due: u64, order_key: u64) -> Waits {
    let scheduled = Scheduled { due: UnixMs(due), attempt, step: attempt - 1, trigger: Trigger::Scheduled };
    Waits { scheduled, order_key, not_before: UnixMs(due) }
}

fn at(raw: u64) -> Position {
    Position::from_u64(raw)
}

fn take_all(queue: &mut Queue, now: UnixMs) -> Vec<u64> {
    std::iter::from_fn(|| queue.take(now).map(|(message, _)| message.as_u64())).collect()
}

#[test]
fn fresh_ones_and_retries_take_turns() {
    let mut queue = Queue::default();
    for message in [3, 1, 2] {
        queue.put(at(message), waits(1, 500, 0), NOW);
    }
    for (message, due) in [(11, 900), (12, 800), (13, 5_000)] {
        queue.put(at(message), waits(2, due, 0), NOW);
    }
    assert_eq!(take_all(&mut queue, NOW), [1, 12, 2, 11, 3]);
    assert_eq!(queue.next_due(), Some(UnixMs(5_000)));
    assert_eq!(take_all(&mut queue, UnixMs(4_999)), [0u64; 0]);
    assert_eq!(take_all(&mut queue, UnixMs(5_000)), [13]);
}

#[test]
fn one_order_key_goes_one_after_the_other() {
    let mut queue = Queue::default();
    for message in [2, 1, 3] {
        queue.put(at(message), waits(1, 0, 7), NOW);
    }
    assert!(queue.is_first(at(1)) && !queue.is_first(at(2)));
    assert_eq!(take_all(&mut queue, NOW), [1]);
    assert_eq!(take_all(&mut queue, NOW), [0u64; 0], "the first is in flight");
    // It failed: while it waits for its retry, the later ones wait too.
    queue.put(at(1), waits(2, 2_000, 7), NOW);
    queue.done(7, NOW);
    assert_eq!(take_all(&mut queue, NOW), [0u64; 0]);
    assert_eq!(take_all(&mut queue, UnixMs(2_000)), [1]);
    queue.done(7, NOW);
    assert_eq!(take_all(&mut queue, NOW), [2]);
}

#[test]
fn an_earlier_one_that_comes_later_goes_first() {
    let mut queue = Queue::default();
    queue.put(at(5), waits(1, 0, 7), NOW);
    queue.put(at(4), waits(3, 9_000, 7), NOW);
    assert_eq!(take_all(&mut queue, NOW), [0u64; 0]);
    queue.remove(at(4), NOW);
    assert_eq!(take_all(&mut queue, NOW), [5]);
}

#[derive(Clone, Debug)]
enum Step {
    Put { message: u64, attempt: u16, due: u64, order_key: u64 },
    Remove(u64),
    Take,
    Done,
    Pass(u64),
}

fn any_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (1u64..12, 1u16..4, 0u64..3_000, 0u64..3)
            .prop_map(|(message, attempt, due, order_key)| Step::Put { message, attempt, due, order_key }),
        1 => (1u64..12).prop_map(Step::Remove),
        3 => Just(Step::Take),
        2 => Just(Step::Done),
        1 => (0u64..500).prop_map(Step::Pass),
    ]
}

proptest! {
    /// In any history each delivery that may go is in exactly one queue, and
    /// everything comes out in the end, order kept.
    #[test]
    fn nothing_is_lost_and_order_holds(steps in prop::collection::vec(any_step(), 0..120)) {
        let (mut queue, mut now, mut flights) = (Queue::default(), UnixMs(0), Vec::<(Position, u64)>::new());
        for step in steps {
            match step {
                // A delivery has one order key for life.
                Step::Put { message, attempt, due, order_key } if !flights.iter().any(|(m, _)| *m == at(message)) => {
                    let order_key = if order_key == 0 { 0 } else { 1 + message % 2 };
                    let known = queue.get(at(message)).map_or(order_key, |known| known.order_key);
                    queue.put(at(message), waits(attempt, due, known), now);
                }
                Step::Put { .. } => {}
                Step::Remove(message) => { queue.remove(at(message), now); }
                Step::Take => if let Some((message, taken)) = queue.take(now) {
                    prop_assert!(taken.not_before <= now, "never early");
                    if taken.order_key != 0 {
                        prop_assert!(flights.iter().all(|(_, key)| *key != taken.order_key), "one at a time");
                        let earlier = queue.waits.iter().any(|(m, w)| w.order_key == taken.order_key && *m < message);
                        prop_assert!(!earlier, "in order of sequence");
                    }
                    flights.push((message, taken.order_key));
                },
                Step::Done => if let Some((_, order_key)) = flights.pop() { queue.done(order_key, now) },
                Step::Pass(ms) => now = UnixMs(now.0 + ms),
            }
            for (message, waits) in &queue.waits {
                let queued = usize::from(queue.fresh.contains(message))
                    + usize::from(queue.timed.contains(waits.not_before, *message));
                let first = !queue.waits.iter().any(|(m, w)| w.order_key == waits.order_key && m < message);
                let may = waits.order_key == 0 || (first && !queue.busy.contains(&waits.order_key));
                prop_assert_eq!(queued, usize::from(may));
            }
        }
        for (_, order_key) in flights {
            queue.done(order_key, now);
        }
        while let Some((_, waits)) = queue.take(UnixMs(u64::MAX)) {
            queue.done(waits.order_key, now);
        }
        prop_assert_eq!(queue.len(), 0);
        prop_assert!(queue.fresh.is_empty() && queue.timed.len() == 0 && queue.ordered.is_empty());
    }
}
