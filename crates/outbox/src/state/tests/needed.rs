//! Which records something still needs, and where.

use postrider_model::config::ConfigChange;
use postrider_model::delivery::Next;

use super::told::{application, made};
use super::*;
use crate::record::DeliveryChange;

/// In segment 1 one that waits and two that were delivered, in 2 a dead letter and one that waits, in 3 a dead
/// letter that cannot be read, and in 5 what lies behind a window.
fn world() -> World {
    let mut world = World::new();
    for (segment, offset, to) in [(1, 10, 1), (1, 20, 1), (1, 30, 2), (2, 10, 2), (2, 20, 1), (3, 10, 1)] {
        world.accept(at(segment, offset), &[to]);
    }
    world.end(ended(1, at(1, 20), 1, Next::Delivered));
    world.end(ended(2, at(1, 30), 1, Next::Delivered));
    world.end(ended(2, at(2, 10), 1, DIES));
    world.change(DeliveryChange::Expired(DeadReason::PayloadDamaged), vec![delivery(1, at(3, 10))]);
    world.lane(3).backlog.push(at(5, 10), false);
    world.lane(3).backlog.pass(at(5, 30));
    world
}

#[test]
fn what_waits_or_is_dead_needs_its_record_unless_that_cannot_be_read() {
    let world = world();
    for (from, to, positions, reads_on) in [
        (at(1, 0), at(2, 0), vec![at(1, 10)], false),
        (at(1, 10), at(1, 11), vec![at(1, 10)], false),
        (at(1, 11), at(2, 10), vec![], false),
        (at(2, 0), at(3, 0), vec![at(2, 10), at(2, 20)], false),
        (at(3, 0), at(5, 10), vec![], false),
        (at(5, 0), at(5, 11), vec![], true),
        (at(5, 30), at(9, 0), vec![], false),
    ] {
        let (mut found, reads) = world.state.needed(from, to);
        found.sort_unstable();
        assert_eq!((found, reads), (positions, reads_on), "{from} to {to}");
    }
    for (segment, count) in [(0, None), (1, Some(1)), (2, Some(2)), (3, None), (5, None)] {
        assert_eq!(world.state.still_in(segment), count, "{segment}");
    }
}

#[test]
fn the_first_segment_that_is_needed_is_that_of_a_record_or_of_what_is_to_be_read() {
    let mut world = world();
    assert_eq!(world.state.first_needed(), Some(1));
    world.end(ended(1, at(1, 10), 1, Next::Delivered));
    assert_eq!(world.state.first_needed(), Some(2));
    world.end(ended(1, at(2, 20), 1, Next::Delivered));
    assert_eq!(world.state.first_needed(), Some(2), "a dead letter");
    world.change(DeliveryChange::Purged, vec![delivery(2, at(2, 10))]);
    assert_eq!(world.state.first_needed(), Some(5));
    world.lane(3).backlog.skip(at(5, 10));
    assert_eq!(world.state.first_needed(), None);
}

#[test]
fn a_delivery_in_memory_tells_where_its_record_lies() {
    let world = world();
    for (to, sequence, position) in [
        (1, at(1, 10), Some(at(1, 10))),
        (2, at(2, 10), Some(at(2, 10))),
        (1, at(1, 20), None),
        (2, at(1, 10), None),
        (3, at(5, 10), None),
        (8, at(1, 10), None),
    ] {
        assert_eq!(world.state.position(&delivery(to, sequence)), position, "{sequence} to {to}");
    }
}

/// An application with the endpoints 1 and 2.
fn configure(world: &mut World) {
    world.config.apply(&ConfigChange::Application(application(None).into()));
    for n in [1, 2] {
        world.config.apply(&ConfigChange::Endpoint(made(n, None).into()));
    }
}

#[test]
fn what_a_replay_added_is_known_while_it_waits_or_is_dead() {
    let mut world = World::new();
    configure(&mut world);
    let replayed = DeliveryChange::Replayed { attempts_made: 0 };
    let added = |to, n| DeliveryRef { added: true, ..delivery(to, at(1, n)) };
    world.accept(at(1, 20), &[1]);
    world.change(replayed, vec![added(1, 10), added(1, 30), added(1, 50), added(2, 30)]);
    let outcome = |n, next| Outcome { delivery: added(1, n), ..ended(1, at(1, n), 1, next) };
    world.end(outcome(30, DIES));
    world.end(outcome(50, Next::Delivered));

    let entry = world.config.app(app(1)).expect("it is there");
    for (n, endpoints) in [(10, vec![1]), (20, vec![]), (30, vec![1, 2]), (40, vec![]), (50, vec![]), (60, vec![])] {
        let found = world.state.added_to(entry, at(1, n));
        assert_eq!(found, endpoints.into_iter().map(endpoint).collect::<Vec<_>>(), "{n}");
    }
    for (from, to, positions) in [(0, 99, vec![10, 30]), (10, 30, vec![10]), (11, 31, vec![30]), (31, 99, vec![])] {
        let positions = positions.into_iter().map(|n| at(1, n)).collect();
        assert_eq!(world.state.added_within(at(1, from), at(1, to)), positions, "{from} to {to}");
    }
    let lane = world.lane(1);
    for (n, may) in [(9, false), (10, true), (20, true), (50, true), (51, false)] {
        assert_eq!(lane.may_have_added(at(1, n)), may, "also of what has ended: {n}");
    }
    assert_eq!(lane.known(endpoint(1), at(1, 30)), Some(added(1, 30)));
    assert_eq!(lane.known(endpoint(1), at(1, 10)), Some(added(1, 10)));
    assert_eq!(lane.known(endpoint(1), at(1, 50)), None);
}

#[test]
fn after_a_start_the_scheduler_hears_of_each_endpoint_and_of_what_waits_in_its_window() {
    let mut world = World::new();
    configure(&mut world);
    for n in [10, 20, 30] {
        world.accept(at(1, n), &[1]);
    }
    world.end(ended(1, at(1, 10), 1, DIES));
    let mut events = vec![];
    world.state.introduce(&world.config, &mut events);
    let heard: Vec<_> = events
        .iter()
        .map(|event| match event {
            LaneEvent::Endpoint(lane) => (lane.endpoint, lane.failing_since, None),
            LaneEvent::Waiting { key, scheduled, .. } => (key.endpoint, None, Some((key.message, scheduled.attempt))),
            other => panic!("{other:?}"),
        })
        .collect();
    let (one, other) = (endpoint(1), endpoint(2));
    let waits = |n| Some((at(1, n), 1));
    assert_eq!(
        heard,
        [(one, Some(UnixMs(1_050)), None), (one, None, waits(20)), (one, None, waits(30)), (other, None, None)]
    );
}

#[test]
fn with_an_endpoint_or_its_application_go_its_deliveries() {
    let mut world = World::new();
    configure(&mut world);
    for n in [10, 20] {
        world.accept(at(1, n), &[1]);
    }
    world.accept(at(1, 30), &[2]);
    world.accept(at(1, 40), &[3]);
    let gone = |n| vec![LaneEvent::EndpointGone(endpoint(n))];
    assert_eq!(world.apply(at(2, 0), &Record::Config(ConfigChange::EndpointDeleted(endpoint(1)))), gone(1));
    assert_eq!([1, 2].map(|n| world.state.pending_of(app(n))), [1, 1]);
    assert_eq!(world.apply(at(2, 0), &Record::Config(ConfigChange::ApplicationDeleted(app(1)))), gone(2));
    assert_eq!([1, 2].map(|n| world.state.pending_of(app(n))), [0, 1]);
    assert_eq!(world.state.lanes.keys().copied().collect::<Vec<_>>(), [endpoint(3)]);
    assert_eq!(world.state.waits(delivery(1, at(1, 10)).key()), None);
}
