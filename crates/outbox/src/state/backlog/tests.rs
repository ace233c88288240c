//! What a backlog holds, counts and takes for lost.

use super::*;

fn at(n: u32) -> Position {
    Position::new(1, n)
}

/// Deliveries at 10, 20 and 30, which those at 40 and 45 have passed, and then at 50 and 60.
fn backlog() -> Backlog {
    let mut backlog = Backlog::default();
    for n in [10, 20, 30] {
        backlog.push(at(n), false);
    }
    for n in [40, 45] {
        backlog.pass(at(n));
    }
    for n in [50, 60] {
        backlog.push(at(n), false);
    }
    backlog
}

#[test]
fn it_holds_what_lies_in_its_stretches_and_not_what_passed_them() {
    let backlog = backlog();
    assert_eq!((backlog.count(), backlog.next(), backlog.is_passed()), (5, Some((at(10), at(40))), false));
    for (n, holds) in
        [(9, false), (10, true), (15, true), (39, true), (40, false), (45, false), (49, false), (50, true), (99, true)]
    {
        assert_eq!(backlog.holds(at(n)), holds, "{n}");
    }
    let nothing = Backlog::default();
    assert!(nothing.is_empty() && !nothing.holds(at(10)) && !nothing.is_passed());
    assert_eq!((nothing.count(), nothing.next(), nothing.cursor()), (0, None, None));
}

#[test]
fn it_overlaps_a_span_in_which_one_of_its_deliveries_may_lie() {
    let backlog = backlog();
    for (from, to, overlaps) in
        [(0, 10, false), (0, 11, true), (15, 16, true), (39, 50, true), (40, 50, false), (40, 51, true), (70, 80, true)]
    {
        assert_eq!(backlog.overlaps(at(from), at(to)), overlaps, "{from} to {to}");
    }
}

#[test]
fn nothing_passes_where_there_are_many_stretches_or_some_are_in_an_order() {
    let mut backlog = Backlog::default();
    let mut n = 0;
    for stretches in 1..=MAX_STRETCHES {
        backlog.push(at(n), false);
        assert_eq!(backlog.may_be_passed(), stretches < MAX_STRETCHES, "{stretches} stretches");
        backlog.pass(at(n + 1));
        n += 2;
    }
    for (orders, passes) in
        [([false, false], true), ([true, false], false), ([false, true], false), ([true, true], false)]
    {
        let mut backlog = Backlog::default();
        for (n, ordered) in (0..).zip(orders) {
            backlog.push(at(n), ordered);
        }
        assert_eq!(backlog.may_be_passed(), passes, "{orders:?}");
        backlog.pass(at(9));
        backlog.push(at(10), false);
        assert_eq!(backlog.may_be_passed(), passes, "{orders:?} and one more stretch");
    }
}

#[test]
fn what_is_dealt_with_before_its_turn_is_not_read_again() {
    let mut backlog = backlog();
    backlog.skip(at(20));
    assert!(!backlog.holds(at(20)) && backlog.holds(at(10)));
    assert_eq!(backlog.count(), 4);
    assert!(backlog.take(at(10)) && !backlog.take(at(20)) && backlog.take(at(30)));
    assert_eq!((backlog.count(), backlog.advance(at(40))), (2, 0));
    assert_eq!(backlog.next(), Some((at(50), Position::MAX)));
    // What was never here is not taken, nor more than there was.
    assert!(!backlog.take(at(45)));
    assert!(backlog.take(at(50)) && backlog.take(at(60)) && !backlog.take(at(60)));
    assert_eq!((backlog.count(), backlog.advance(at(61))), (0, 0));
    assert_eq!(backlog, Backlog::default());
}

#[test]
fn of_what_was_all_dealt_with_before_its_turn_nothing_is_kept() {
    let mut early = backlog();
    for n in [10, 20, 30] {
        early.skip(at(n));
    }
    assert_eq!((early.count(), early.cursor()), (2, Some(at(50))));
    for n in [50, 60] {
        early.skip(at(n));
    }
    assert_eq!(early, Backlog::default());
    // Those before one that was dealt with early are read, and none after it.
    let mut read = backlog();
    read.skip(at(60));
    for n in [10, 20, 30, 50] {
        assert!(read.take(at(n)));
    }
    assert_eq!(read.advance(at(51)), 0);
    assert_eq!(read, Backlog::default());
}

#[test]
fn reading_goes_on_where_it_stopped_and_what_was_not_met_by_then_is_lost() {
    let mut backlog = backlog();
    assert_eq!((backlog.advance(at(5)), backlog.cursor()), (0, Some(at(10))), "it never goes back");
    assert!(backlog.take(at(10)));
    assert_eq!((backlog.advance(at(25)), backlog.next()), (0, Some((at(25), at(40)))), "the rest may still come");
    assert!(!backlog.holds(at(20)) && backlog.holds(at(30)));
    assert_eq!((backlog.advance(at(39)), backlog.cursor()), (0, Some(at(39))));
    assert_eq!((backlog.advance(at(40)), backlog.cursor()), (2, Some(at(50))), "nothing more of it can come");
    assert_eq!((backlog.advance(Position::MAX), backlog.count()), (0, 2), "the last stretch has no end");
}

#[test]
fn several_stretches_are_lost_together() {
    let mut backlog = backlog();
    backlog.pass(at(70));
    assert!(backlog.is_passed());
    assert_eq!((backlog.advance(at(70)), backlog), (5, Backlog::default()));
}

#[test]
fn what_cannot_be_found_is_lost() {
    for (found, lost, left) in [
        (vec![], 5, None),
        (vec![10, 20, 30, 50, 60], 0, Some(at(10))),
        (vec![30, 50, 60], 2, Some(at(10))),
        (vec![50], 4, Some(at(50))),
        (vec![40, 45, 9], 5, None),
    ] {
        let mut backlog = backlog();
        backlog.skip(at(20));
        backlog.skip(at(60));
        let there: Vec<_> = found.iter().copied().filter(|n| ![20, 60].contains(n)).map(at).collect();
        let early = 2 - found.iter().filter(|n| [20, 60].contains(n)).count() as u64;
        let has_lost = backlog.expect(there.iter().copied());
        assert_eq!((has_lost + early, backlog.cursor()), (lost, left), "{found:?}");
        assert_eq!(backlog.count() + has_lost, 3, "{found:?}");
        assert_eq!(backlog.is_empty(), backlog == Backlog::default(), "{found:?}");
    }
}
