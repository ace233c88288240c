use super::*;
use crate::standing::Place;

const NEVER_LOST: u64 = 0;

fn begun(number: u16, trigger: Cause, step: u16) -> Begun {
    Begun { number, trigger, step }
}

/// Of a schedule of three attempts.
fn end(number: u16, success: bool) -> End {
    End { number, resend: false, success, attempts: (3, 3) }
}

fn waits(step: u16, replayed: bool, made: u16) -> Option<Standing> {
    Some(Standing { place: Place::Waits { step, replayed }, made, resent: false })
}

fn is(place: Place, made: u16) -> Option<Standing> {
    Some(Standing { place, made, resent: false })
}

fn kept(numbers: &[u16]) -> Vec<Kept> {
    numbers.iter().map(|number| Kept { number: *number, stale: false }).collect()
}

fn stale(number: u16) -> Kept {
    Kept { number, stale: true }
}

/// A delivery whose attempts of these numbers have failed, each read.
fn failed(numbers: u16) -> Succession {
    let mut followed = Succession::default();
    for number in 1..=numbers {
        followed.begun(begun(number, Cause::Schedule, number - 1)).ok().expect("it is due");
        followed.ended(end(number, false), 0);
    }
    followed
}

/// The rule that is broken.
fn broken(legal: Result<(), Illegal>) -> Option<&'static str> {
    legal.err().map(|illegal| illegal.rule)
}

fn read(followed: &mut Succession, standing: Option<Standing>, history: &[Kept]) -> Option<&'static str> {
    broken(followed.read("W3", (standing, history), NEVER_LOST))
}

#[test]
fn attempts_follow_one_another_to_the_end_of_the_schedule() {
    let mut followed = failed(3);
    assert_eq!(read(&mut followed, is(Place::Dead, 3), &kept(&[1, 2, 3])), None);
    assert_eq!(broken(followed.begun(begun(4, Cause::Schedule, 3))), Some("W3"), "a dead letter is attempted");
    let mut followed = failed(2);
    followed.begun(begun(3, Cause::Schedule, 2)).ok().expect("it is due");
    followed.ended(end(3, true), 0);
    assert_eq!(read(&mut followed, is(Place::Delivered, 3), &kept(&[1, 2, 3])), None);
}

#[test]
fn what_is_told_before_it_is_on_record_is_as_it_was() {
    let mut followed = failed(1);
    assert_eq!(read(&mut followed, waits(0, false, 0), &[]), None);
    assert_eq!(read(&mut followed, waits(1, false, 1), &kept(&[1])), None);
    assert_eq!(read(&mut followed, waits(0, false, 0), &[]), Some("W3"), "it goes back");
}

#[test]
fn a_number_that_skips_or_goes_back_is_noticed() {
    assert_eq!(broken(failed(1).begun(begun(3, Cause::Schedule, 2))), Some("W3"));
    assert_eq!(broken(failed(1).begun(begun(1, Cause::Schedule, 0))), Some("W3"));
    assert_eq!(broken(failed(1).begun(begun(2, Cause::Schedule, 0))), Some("W3"), "its schedule begins anew");
    assert_eq!(broken(failed(1).begun(begun(2, Cause::Replay, 1))), Some("W3"), "nobody has replayed it");
    assert_eq!(read(&mut failed(1), waits(1, false, 2), &kept(&[1])), Some("W3"));
    assert_eq!(read(&mut failed(2), is(Place::Dead, 2), &kept(&[1, 2])), Some("W3"), "it dies too early");
    assert_eq!(read(&mut failed(3), waits(3, false, 3), &kept(&[1, 2, 3])), Some("W3"), "it does not die");
    assert_eq!(read(&mut failed(1), is(Place::Delivered, 1), &kept(&[1])), Some("W3"), "nobody confirmed it");
}

#[test]
fn what_is_delivered_waits_again_only_if_somebody_has_asked() {
    let delivered = || {
        let mut followed = failed(0);
        followed.begun(begun(1, Cause::Schedule, 0)).ok().expect("it is due");
        followed.ended(end(1, true), 0);
        assert_eq!(read(&mut followed, is(Place::Delivered, 1), &kept(&[1])), None);
        followed
    };
    assert_eq!(read(&mut delivered(), waits(0, true, 1), &kept(&[1])), Some("W3"));
    let mut followed = delivered();
    let asked = followed.asked(Deed::Replay);
    assert_eq!(read(&mut followed, is(Place::Delivered, 1), &kept(&[1])), None, "not yet");
    assert_eq!(broken(followed.answered(asked, true)), None);
    assert_eq!(read(&mut followed, is(Place::Delivered, 1), &kept(&[1])), Some("W3"), "it was answered");
    assert_eq!(read(&mut followed, waits(0, true, 0), &kept(&[1])), Some("W3"), "the number is used");
    assert_eq!(read(&mut followed, waits(0, true, 1), &kept(&[1])), None);
    let mut followed = delivered();
    let asked = followed.asked(Deed::Cancel);
    assert_eq!(broken(followed.answered(asked, true)), Some("W3"), "there is nothing to cancel");
}

#[test]
fn a_deed_that_is_refused_changes_nothing() {
    let mut followed = failed(3);
    let asked = followed.asked(Deed::Purge);
    assert_eq!(broken(followed.answered(asked, false)), None);
    assert_eq!(read(&mut followed, is(Place::Cancelled, 3), &kept(&[1, 2, 3])), Some("W3"));
    assert_eq!(read(&mut followed, is(Place::Dead, 3), &kept(&[1, 2, 3])), None);
}

#[test]
fn a_resend_goes_beside_the_schedule() {
    let mut followed = failed(1);
    let asked = followed.asked(Deed::Resend);
    assert_eq!(broken(followed.answered(asked, true)), None);
    assert_eq!(broken(followed.begun(begun(2, Cause::Resend, 1))), None);
    followed.ended(End { resend: true, ..end(2, false) }, 0);
    assert_eq!(read(&mut followed, waits(2, false, 2), &kept(&[1, 2])), Some("W3"), "it took a step of the schedule");
    assert_eq!(read(&mut followed, waits(1, false, 2), &kept(&[1, 2])), None);
}

/// A delivery that was cancelled while its first attempt is under way, and replayed.
fn overtaken() -> Succession {
    let mut followed = failed(0);
    followed.begun(begun(1, Cause::Schedule, 0)).ok().expect("it is due");
    for deed in [Deed::Cancel, Deed::Replay] {
        let asked = followed.asked(deed);
        followed.answered(asked, true).ok().expect("it can be done");
    }
    assert_eq!(read(&mut followed, waits(0, true, 1), &[]), None);
    followed
}

#[test]
fn an_outcome_that_comes_too_late_changes_nothing_and_is_kept() {
    let late = || {
        let mut followed = overtaken();
        followed.ended(end(1, true), 100);
        followed
    };
    assert_eq!(read(&mut late(), waits(0, true, 1), &[stale(1)]), None);
    assert_eq!(read(&mut late(), is(Place::Delivered, 1), &[stale(1)]), Some("W6"), "it has changed the state");
    assert_eq!(read(&mut late(), waits(0, true, 1), &kept(&[1])), Some("W6"), "it counts");
    assert_eq!(broken(overtaken().begun(begun(1, Cause::Replay, 0))), Some("W3"), "its number comes again");
    let not_kept = |until| broken(late().read("W3", (waits(0, true, 1), &[]), until));
    assert_eq!(not_kept(100), None, "it may be on its way");
    assert_eq!(not_kept(101), Some("W6"));
}

#[test]
fn a_number_is_used_once_it_may_have_been_begun() {
    let mut followed = failed(0);
    for deed in [Deed::Cancel, Deed::Replay] {
        let asked = followed.asked(deed);
        followed.answered(asked, true).ok().expect("it can be done");
    }
    assert_eq!(broken(followed.begun(begun(1, Cause::Schedule, 0))), None, "it was under way when it was cancelled");
    assert_eq!(broken(followed.begun(begun(3, Cause::Replay, 0))), Some("W3"));
}

#[test]
fn what_was_read_is_so_after_the_process_has_died() {
    let after = |read_before: &[u16], unsynced_from, standing, history: &[u16]| {
        let mut followed = failed(2);
        let before = read_before.len() as u16;
        assert_eq!(read(&mut followed, waits(before, false, before), &kept(read_before)), None);
        followed.died(unsynced_from);
        broken(followed.read("W4", (standing, &kept(history)), NEVER_LOST))
    };
    assert_eq!(after(&[1, 2], u64::MAX, waits(2, false, 2), &[1, 2]), None);
    assert_eq!(after(&[1, 2], u64::MAX, waits(1, false, 1), &[1]), Some("W4"), "it was on disk");
    assert_eq!(after(&[1, 2], 0, waits(1, false, 1), &[1]), None, "it was not synced");
    assert_eq!(after(&[1, 2], 0, waits(1, false, 1), &[1, 2]), Some("W4"), "one half is lost");
    assert_eq!(after(&[1], u64::MAX, waits(2, false, 2), &[1, 2]), None, "further than was read");
    assert_eq!(after(&[1], u64::MAX, is(Place::Dead, 2), &[1, 2]), Some("W4"), "by no legal way");
}

#[test]
fn what_was_answered_is_so_after_the_process_has_died_and_all_before_it() {
    let cancelled = |standing, history: &[u16]| {
        let mut followed = failed(1);
        assert_eq!(read(&mut followed, waits(1, false, 1), &kept(&[1])), None);
        let asked = followed.asked(Deed::Cancel);
        followed.answered(asked, true).ok().expect("it can be done");
        followed.died(0);
        broken(followed.read("W4", (standing, &kept(history)), NEVER_LOST))
    };
    assert_eq!(cancelled(is(Place::Cancelled, 1), &[1]), None);
    assert_eq!(cancelled(waits(1, false, 1), &[1]), Some("W4"));
    assert_eq!(cancelled(is(Place::Cancelled, 0), &[]), Some("W4"), "the outcome was synced with it");
}

#[test]
fn what_nobody_answered_is_done_or_not_after_the_process_has_died() {
    for standing in [waits(1, false, 1), is(Place::Cancelled, 1)] {
        let mut followed = failed(1);
        followed.asked(Deed::Cancel);
        followed.died(u64::MAX);
        assert_eq!(broken(followed.read("W4", (standing, &kept(&[1])), NEVER_LOST)), None);
        assert_eq!(read(&mut followed, waits(2, false, 2), &kept(&[1, 2])), Some("W3"), "nothing has happened since");
    }
}

#[test]
fn a_task_replays_what_is_dead_and_nothing_after_its_end() {
    let mut followed = failed(3);
    assert_eq!(read(&mut followed, is(Place::Dead, 3), &kept(&[1, 2, 3])), None);
    followed.asked(Deed::ReplayIfDead);
    followed.died(u64::MAX);
    assert_eq!(read(&mut followed, is(Place::Dead, 3), &kept(&[1, 2, 3])), None);
    assert_eq!(broken(followed.begun(begun(4, Cause::Replay, 0))), None, "it goes on after the start");
    let mut followed = failed(3);
    assert_eq!(read(&mut followed, is(Place::Dead, 3), &kept(&[1, 2, 3])), None);
    followed.asked(Deed::ReplayIfDead);
    followed.tasks_ended();
    assert_eq!(broken(followed.begun(begun(4, Cause::Replay, 0))), Some("W3"));
}
