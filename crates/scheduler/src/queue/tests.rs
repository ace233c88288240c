//! Turns, order keys, and that nothing is lost between the sets.

use super::*;
use postrider_model::delivery::Trigger;
use proptest::prelude::*;

const NOW: UnixMs = UnixMs(1_000);

fn waits(attempt: u16, due: u64, order_key: u64) -> Waits {
    let scheduled = Scheduled { due: UnixMs(due), attempt, step: attempt - 1, trigger: Trigger::Scheduled };
    Waits { scheduled, order_key, order: order_key, not_before: UnixMs(due) }
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
fn what_is_new_goes_beside_what_a_pause_left_behind() {
    let mut queue = Queue::opened(UnixMs(100));
    // From before the start, then new ones.
    for (message, due) in [(1, 50), (2, 60), (3, 70), (4, 150)] {
        queue.put(at(message), waits(1, due, 0), NOW);
    }
    queue.put(at(9), waits(2, 900, 0), NOW);
    assert_eq!(queue.take(NOW).map(|(message, _)| message), Some(at(4)));
    assert_eq!(queue.take(NOW).map(|(message, _)| message), Some(at(1)));
    queue.put(at(5), waits(1, 160, 0), NOW);
    queue.open(UnixMs(500));
    queue.put(at(6), waits(1, 600, 0), NOW);
    // A retry, the new one, and then what waited when the lane opened.
    assert_eq!(take_all(&mut queue, NOW), [9, 6, 2, 3, 5]);
    assert_eq!(queue.next_due(), None);
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

#[test]
fn a_batch_gathers_until_as_many_wait_as_belong_in_it() {
    let mut queue = Queue::opened(UnixMs(100));
    // Two from before the lane opened, and one that is new: together they fill it.
    for (message, due, gathers_since) in [(1, 50, Some(UnixMs(50))), (2, 60, Some(UnixMs(50))), (3, 500, None)] {
        queue.put(at(message), waits(1, due, 0), NOW);
        assert_eq!(queue.gathers_since(3), gathers_since, "{message}");
    }
    assert_eq!(queue.full_at(3), Some(UnixMs(0)));
    assert_eq!(queue.full_at(4), None);
}

#[test]
fn what_has_failed_however_often_is_a_batch_by_itself() {
    for attempt in [6, 40, u16::MAX] {
        let mut queue = Queue::default();
        queue.put(at(1), waits(attempt, 900, 0), NOW);
        assert_eq!(queue.full_at(1_000), Some(UnixMs(900)), "{attempt}");
    }
}

#[test]
fn what_has_not_failed_goes_along_with_nothing_that_has() {
    let mut queue = Queue::default();
    // It waits for a time of its own, as what was asked for anew does, but has not failed.
    let scheduled = Scheduled { due: UnixMs(900), attempt: 2, step: 0, trigger: Trigger::Resent };
    queue.put(at(1), Waits { scheduled, ..waits(2, 900, 0) }, NOW);
    assert_eq!(queue.take_with(1, 1, 100, NOW).map(|(message, _)| message), None);
    assert_eq!(queue.take_with(0, 1, 100, NOW).map(|(message, _)| message), Some(at(1)));
}

#[derive(Clone, Debug)]
enum Step {
    Put { message: u64, attempt: u16, due: u64, order_key: u64 },
    Remove(u64),
    Bury(u64),
    Unbury(u64),
    Reorder(OrderBy),
    Take,
    Done,
    Pass(u64),
    Open,
}

fn any_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (1u64..12, 1u16..4, 0u64..3_000, 0u64..3)
            .prop_map(|(message, attempt, due, order_key)| Step::Put { message, attempt, due, order_key }),
        1 => (1u64..12).prop_map(Step::Remove),
        1 => (1u64..12).prop_map(Step::Bury),
        2 => (1u64..12).prop_map(Step::Unbury),
        1 => prop_oneof![Just(OrderBy::Key), Just(OrderBy::Fifo), Just(OrderBy::None)].prop_map(Step::Reorder),
        3 => Just(Step::Take),
        2 => Just(Step::Done),
        1 => (0u64..500).prop_map(Step::Pass),
        1 => Just(Step::Open),
    ]
}

#[test]
fn a_dead_letter_holds_up_what_follows_it_in_its_order_only() {
    let mut queue = Queue::default();
    for (message, order_key) in [(2, 7), (3, 7), (1, 7), (4, 8)] {
        queue.put(at(message), waits(1, 0, order_key), NOW);
    }
    assert_eq!(queue.take(NOW).map(|(message, _)| message), Some(at(1)));
    queue.bury(at(1), 7, OrderBy::Key);
    queue.done(7, NOW);
    assert_eq!(take_all(&mut queue, NOW), [4]);
    assert!(queue.is_held_by_dead(at(2)) && queue.is_held_by_dead(at(3)));
    queue.unbury(at(1), OrderBy::Key, NOW);
    assert_eq!(take_all(&mut queue, NOW), [2]);
}

#[test]
fn another_order_counts_for_what_waits_and_what_is_in_flight() {
    let mut queue = Queue::default();
    for (message, order_key) in [(1, 7), (2, 8), (3, 0)] {
        queue.put(at(message), waits(1, 0, order_key), NOW);
    }
    assert_eq!(queue.take(NOW).map(|(message, _)| message), Some(at(1)));
    queue.reorder(OrderBy::Fifo, vec![OrderBy::Fifo.order(7)], NOW);
    assert_eq!(take_all(&mut queue, NOW), [0u64; 0], "all wait for the first");
    queue.done(OrderBy::Fifo.order(7), NOW);
    assert_eq!(take_all(&mut queue, NOW), [2]);
    queue.reorder(OrderBy::None, vec![], NOW);
    assert_eq!(take_all(&mut queue, NOW), [3]);
}

proptest! {
    /// In any history each delivery that may go is in exactly one queue, and
    /// everything comes out in the end, order kept.
    #[test]
    fn nothing_is_lost_and_order_holds(steps in prop::collection::vec(any_step(), 0..120)) {
        let (mut queue, mut now, mut by) = (Queue::default(), UnixMs(0), OrderBy::Key);
        // In flight, with the order key.
        let mut flights = Vec::<(Position, u64)>::new();
        for step in steps {
            match step {
                // A delivery has one order key for life.
                Step::Put { message, attempt, due, order_key } if !flights.iter().any(|(m, _)| *m == at(message)) => {
                    let order_key = if order_key == 0 { 0 } else { 1 + message % 2 };
                    let order_key = queue.dead.get(&at(message)).copied().unwrap_or(order_key);
                    let known = queue.get(at(message)).map_or(order_key, |known| known.order_key);
                    queue.unbury(at(message), by, now);
                    queue.put(at(message), Waits { order: by.order(known), ..waits(attempt, due, known) }, now);
                }
                Step::Put { .. } => {}
                Step::Remove(message) => { queue.remove(at(message), now); }
                Step::Bury(message) => {
                    let known = queue.remove(at(message), now).map(|known| known.order_key);
                    let key = known.unwrap_or(1 + message % 2);
                    queue.bury(at(message), key, by);
                }
                Step::Unbury(message) => queue.unbury(at(message), by, now),
                Step::Reorder(other) => {
                    by = other;
                    let busy = flights.iter().map(|(_, key)| by.order(*key)).filter(|order| *order != 0);
                    queue.reorder(by, busy.collect(), now);
                }
                Step::Take => if let Some((message, taken)) = queue.take(now) {
                    prop_assert!(taken.not_before <= now, "never early");
                    if taken.order != 0 {
                        let busy = flights.iter().any(|(_, key)| by.order(*key) == taken.order);
                        prop_assert!(!busy, "one at a time");
                        let earlier = |other: &Position, order| order == taken.order && *other < message;
                        prop_assert!(!queue.waits.iter().any(|(m, w)| earlier(&m, w.order)), "in order of sequence");
                        prop_assert!(!queue.dead.iter().any(|(m, key)| earlier(m, by.order(*key))), "none behind the dead");
                    }
                    flights.push((message, taken.order_key));
                },
                Step::Done => if let Some((_, order_key)) = flights.pop() { queue.done(by.order(order_key), now) },
                Step::Open => queue.open(now),
                Step::Pass(ms) => now = UnixMs(now.0 + ms),
            }
            for (message, waits) in queue.waits.iter() {
                let queued = usize::from(queue.fresh.contains_key(&message))
                    + usize::from(queue.backlog.contains_key(&message))
                    + usize::from(queue.timed.contains(waits.not_before, message));
                let first = !queue.waits.iter().any(|(m, w)| w.order == waits.order && m < message);
                let held = queue.dead.iter().any(|(m, key)| by.order(*key) == waits.order && *m < message);
                let may = waits.order == 0 || (first && !held && !queue.busy.contains(&waits.order));
                prop_assert_eq!(queued, usize::from(may));
            }
        }
        for (_, order_key) in flights {
            queue.done(by.order(order_key), now);
        }
        queue.unbury_all(now);
        while let Some((_, waits)) = queue.take(UnixMs(u64::MAX)) {
            queue.done(waits.order, now);
        }
        prop_assert_eq!(queue.len(), 0);
        prop_assert!(queue.fresh.is_empty() && queue.backlog.is_empty() && queue.timed.len() == 0 && queue.ordered.is_empty());
    }
}
