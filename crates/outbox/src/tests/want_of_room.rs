//! What is done when there is no room for another segment: history goes early, and what is live is
//! carried only where that pays.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tempfile::TempDir;

use super::retention::{OTHER, PAID, crowded, fill, pending, send, small};
use super::stepper::Stepper;
use super::support::{ManualClock, Running, Unopenable};
use crate::Outbox;
use crate::disk::sim::SimDisk;

/// A round of the keeper while room is wanted; gives the oldest segment's number after it.
fn round(stepper: &mut Stepper) -> Option<u32> {
    stepper.outbox.shared.wants_room.store(true, Ordering::Release);
    stepper.keeper(|keeper| keeper.round());
    first(&stepper.outbox)
}

fn first(outbox: &Outbox) -> Option<u32> {
    outbox.shared.reader.segments().first().map(|segment| segment.number)
}

/// A store with room, and some sealed segments of messages with these types in turn.
fn store(clock: &Arc<ManualClock>, index: &TempDir, types: &[&str]) -> Stepper {
    let mut stepper = crowded(clock, &SimDisk::new(), index, 40, 10_000);
    for n in 0..60 {
        send(&mut stepper, types[n % types.len()], n).expect("there is room");
    }
    let sealed = stepper.outbox.shared.reader.segments().iter().filter(|segment| segment.sealed).count();
    assert!(sealed > 3, "{sealed} are sealed");
    stepper
}

fn applied(stepper: &Stepper) -> postrider_model::position::Position {
    stepper.outbox.shared.state.lock().applied
}

#[test]
fn each_round_makes_some_room_while_it_is_wanted() {
    let (clock, index) = (ManualClock::new(), tempfile::tempdir().expect("a temporary directory"));
    let mut stepper = store(&clock, &index, &[OTHER]);
    for oldest in 2..=4 {
        assert_eq!(round(&mut stepper), Some(oldest));
    }
    stepper.outbox.shared.wants_room.store(false, Ordering::Release);
    stepper.keeper(|keeper| keeper.round());
    assert_eq!(first(&stepper.outbox), Some(4));
}

#[test]
fn what_is_live_is_carried_only_where_half_of_a_segment_is_history() {
    for (types, pays) in [(&[PAID][..], false), (&[PAID, PAID, OTHER], false), (&[PAID, OTHER, OTHER], true)] {
        let (clock, index) = (ManualClock::new(), tempfile::tempdir().expect("a temporary directory"));
        let mut stepper = store(&clock, &index, types);
        let (waits, end) = (pending(&stepper), applied(&stepper));
        let first = round(&mut stepper);
        assert_eq!((first, applied(&stepper) > end), (Some(if pays { 2 } else { 1 }), pays), "{types:?}");
        let still: Vec<_> = pending(&stepper).iter().map(|delivery| delivery.key).collect();
        assert_eq!(still, waits.iter().map(|delivery| delivery.key).collect::<Vec<_>>(), "{types:?}");
    }
}

/// What keeps room from being made may pass, as where no more files may be open.
#[test]
fn where_no_room_can_be_made_that_is_tried_again_after_a_record_or_ten_seconds() {
    let (dir, clock) = (tempfile::tempdir().expect("a temporary directory"), ManualClock::new());
    let start = || Running::start(small(dir.path()), &clock).expect("the store opens");
    let mut running = start();
    running.app("shop");
    fill(&running, 40);
    running.keeper.round();
    running.stop();
    // No file is open yet, and those that are to be read cannot be opened.
    let mut running = start();
    running.keeper.round();
    let round = |running: &mut Running| {
        running.outbox.shared.wants_room.store(true, Ordering::Release);
        running.keeper.round();
        first(&running.outbox)
    };
    let hidden = Unopenable::new(dir.path(), 1);
    assert_eq!(round(&mut running), Some(1), "it cannot be read");
    hidden.give_back();
    assert_eq!(round(&mut running), Some(1), "nothing has come since");
    clock.forward(Duration::from_millis(9_999));
    assert_eq!(round(&mut running), Some(1));
    clock.forward(Duration::from_millis(1));
    assert_eq!(round(&mut running), Some(2));
    let hidden = Unopenable::new(dir.path(), 2);
    assert_eq!(round(&mut running), Some(2), "it cannot be read");
    hidden.give_back();
    running.send("shop", OTHER, "a record");
    assert_eq!(round(&mut running), Some(3));
    running.stop();
}
