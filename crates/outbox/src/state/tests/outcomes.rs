//! What an attempt, a change or a new place makes of a delivery.

use postrider_model::delivery::Next;

use super::*;
use crate::record::DeliveryChange;

const RETRY: Next = Next::Retry { due: UnixMs(9_000) };

/// The attempt that a delivery waits for.
fn waits_for(world: &World, n: u8, sequence: Position) -> Option<u16> {
    let key = DeliveryKey { endpoint: endpoint(n), message: sequence };
    world.state.waits(key).map(|(_, scheduled)| scheduled.attempt)
}

/// The one event, that an attempt is on record: what its delivery waits for, and whether it is a dead letter.
fn recorded(events: &[LaneEvent]) -> (Option<u16>, bool) {
    match events {
        [LaneEvent::Recorded { waits, dead, .. }] => (waits.map(|scheduled| scheduled.attempt), *dead),
        other => panic!("{other:?}"),
    }
}

/// More than the window of endpoint 1 holds: the last ones lie behind it.
fn backlogged() -> World {
    let mut world = World::new();
    for n in 1..=25 {
        world.accept(at(1, n), &[1]);
    }
    world
}

#[test]
fn an_attempt_that_came_too_late_changes_nothing() {
    let mut world = World::new();
    world.accept(at(1, 100), &[1]);
    let late = |next| Outcome { stale: true, ..ended(1, at(1, 100), 1, next) };
    assert_eq!(recorded(&world.end(late(Next::Delivered))), (Some(1), false));
    assert_eq!(recorded(&world.end(ended(1, at(1, 100), 1, DIES))), (None, true));
    assert_eq!(recorded(&world.end(late(RETRY))), (None, true));
    assert_eq!(recorded(&world.end(Outcome { stale: true, ..ended(1, at(1, 200), 1, RETRY) })), (None, false));
}

#[test]
fn an_endpoint_fails_since_its_first_failure_after_the_last_success() {
    let mut world = World::new();
    for n in [100, 200, 300] {
        world.accept(at(1, n), &[1]);
    }
    let mut attempt = |started: u64, outcome: Outcome| {
        world.end(Outcome { started: UnixMs(started), ..outcome });
        world.lane(1).failing_since
    };
    assert_eq!(attempt(1_000, ended(1, at(1, 100), 1, RETRY)), Some(UnixMs(1_050)));
    assert_eq!(attempt(2_000, ended(1, at(1, 200), 1, RETRY)), Some(UnixMs(1_050)));
    assert_eq!(attempt(3_000, ended(1, at(1, 100), 2, Next::Delivered)), None);
    let ours = Outcome {
        status: None,
        failure: Some(postrider_model::job::FailureKind::Internal),
        ..ended(1, at(1, 200), 2, RETRY)
    };
    assert_eq!(attempt(4_000, ours), None, "that was not the endpoint's fault");
    assert_eq!(attempt(5_000, ended(1, at(1, 300), 1, RETRY)), Some(UnixMs(5_050)));
}

/// After a crash a delivery may lie behind the cursor of the checkpoint again.
#[test]
fn the_record_of_an_attempt_tells_what_its_delivery_was_where_nothing_is_known_of_it() {
    let mut world = World::new();
    assert_eq!(recorded(&world.end(ended(1, at(1, 100), 3, RETRY))), (Some(4), false));
    assert_eq!(waits_for(&world, 1, at(1, 100)), Some(4));
    let mut resent = ended(1, at(1, 200), 3, Next::AsBefore);
    resent.ended.trigger = Trigger::Resent;
    assert_eq!(recorded(&world.end(resent)), (None, false), "it has ended, and that is forgotten");
    assert_eq!(waits_for(&world, 1, at(1, 200)), None);
    // Its endpoint was deleted in the same frame.
    assert_eq!(recorded(&world.end(ended(8, at(1, 300), 1, RETRY))), (None, false));
    assert_eq!(world.state.pending_total(), 1);
}

#[test]
fn a_delivery_behind_the_window_waits_for_its_first_attempt() {
    let mut world = backlogged();
    let first = |n| Some(DeliveryState::Scheduled(Scheduled::first(UnixMs(n))));
    assert_eq!(world.state.delivery(&delivery(1, at(1, 5))), first(5), "in the window");
    assert_eq!(world.state.delivery(&delivery(1, at(1, 22))), first(22), "behind it");
    assert_eq!(waits_for(&world, 1, at(1, 22)), None, "there is no job for it yet");
    let added = DeliveryRef { added: true, ..delivery(1, at(1, 22)) };
    assert_eq!(world.state.delivery(&added), None, "what a replay adds is never there");
    assert_eq!(world.state.delivery(&delivery(1, at(0, 9))), None);
    assert_eq!(world.state.delivery(&delivery(2, at(1, 22))), None, "it went to another endpoint");
    world.end(ended(1, at(1, 22), 1, RETRY));
    assert_eq!(waits_for(&world, 1, at(1, 22)), Some(2));
    world.end(ended(1, at(1, 23), 1, Next::Delivered));
    assert_eq!(world.state.delivery(&delivery(1, at(1, 23))), None);
}

#[test]
fn a_change_is_told_as_what_it_makes_of_a_delivery() {
    let mut world = World::new();
    for n in [100, 200] {
        world.accept(at(1, n), &[1]);
    }
    let (one, other, never) = (delivery(1, at(1, 100)), delivery(1, at(1, 200)), delivery(1, at(1, 300)));
    let left = |of: &DeliveryRef| vec![LaneEvent::Left(of.key())];
    let died = |of: &DeliveryRef| vec![LaneEvent::Died { key: of.key(), order_key: 0 }];
    assert_eq!(world.change(DeliveryChange::Cancelled, vec![one, never]), left(&one), "there is nothing to cancel");
    assert_eq!(world.change(DeliveryChange::Expired(DeadReason::HeldTooLong), vec![other]), died(&other));
    let told = world.change(DeliveryChange::Replayed { attempts_made: 4 }, vec![one, other, never]);
    let waits: Vec<_> = told
        .iter()
        .map(|event| match event {
            LaneEvent::Waiting { key, scheduled, .. } => (key.message, scheduled.attempt, scheduled.trigger),
            other => panic!("{other:?}"),
        })
        .collect();
    let manual = Trigger::Manual;
    assert_eq!(waits, [(one.sequence, 5, manual), (other.sequence, 1, manual), (never.sequence, 5, manual)]);
    world.end(ended(1, at(1, 200), 1, DIES));
    assert_eq!(world.change(DeliveryChange::Forgotten, vec![other]), left(&other));
    assert_eq!(world.state.delivery(&other), None);
}

#[test]
fn what_is_carried_moves_and_only_what_lay_behind_the_window_is_news() {
    let mut world = backlogged();
    world.end(ended(1, at(1, 2), 1, DIES));
    let scheduled = |n: u64| DeliveryState::Scheduled(Scheduled::first(UnixMs(n)));
    let dead = world.state.delivery(&delivery(1, at(1, 2))).expect("it is a dead letter");
    let delivered = DeliveryState::Delivered { at: UnixMs(5), attempt: 1 };
    let resent = DeliveryState::Resending(postrider_model::resend::Resending {
        scheduled: Scheduled::first(UnixMs(4)),
        before: postrider_model::resend::Before::Delivered { at: UnixMs(4), attempt: 1 },
    });
    for (n, state, told) in [
        (1, scheduled(1), false),
        (2, dead, false),
        (22, scheduled(22), true),
        (3, delivered, false),
        (4, resent, false),
    ] {
        let (from, to) = (at(1, n), at(5, n));
        let carried = Carried { message: message(from, &[1]), sequence: from, states: vec![(endpoint(1), state)] };
        let events = world.apply(to, &Record::Carried(carried, None));
        assert_eq!(!events.is_empty(), told, "{state:?}");
        let here = world.state.position(&delivery(1, from));
        assert_eq!(here, Some(if n == 3 { from } else { to }), "{state:?}");
    }
    assert_eq!(world.state.pending_of(app(1)), 24, "each once");
    // The attempt began before the message was carried.
    world.end(ended(1, at(1, 1), 1, RETRY));
    assert_eq!(world.state.position(&delivery(1, at(1, 1))), Some(at(5, 1)));
}

#[test]
fn an_expunged_payload_ends_what_waits_and_what_is_dead() {
    let mut world = World::new();
    world.accept(at(1, 100), &[1, 2]);
    world.end(ended(2, at(1, 100), 1, DIES));
    let (waits, dead) = (delivery(1, at(1, 100)), delivery(2, at(1, 100)));
    let what = ExpungedContent::Payload { message: waits.message, sequence: waits.sequence };
    let expunged = Expunged { at: UnixMs(3_000), app: app(1), what, waiting: vec![waits], dead: vec![dead] };
    let told = world.apply(at(2, 64), &Record::Expunged(expunged));
    assert_eq!(told, [&waits, &dead].map(|of| LaneEvent::Died { key: of.key(), order_key: 0 }));
    let states = [&waits, &dead].map(|of| world.state.delivery(of));
    let gone = |ms, attempt| Some(DeliveryState::Dead { at: UnixMs(ms), reason: DeadReason::PayloadExpunged, attempt });
    assert_eq!(states, [gone(3_000, 0), gone(1_050, 1)], "it died when it did");
    assert!(world.state.expunging.contains(waits.sequence));
}
