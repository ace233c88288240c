//! What the scheduler is told of endpoints, and of dead letters that hold others up.

use postrider_model::application::{Application, ApplicationFields};
use postrider_model::config::ConfigChange;
use postrider_model::endpoint::{Endpoint, EndpointFields};
use postrider_model::order::{AfterDead, OrderBy};
use postrider_model::policy::Policy;

use super::*;
use crate::record::DeliveryChange;

fn hold() -> OrderRule {
    OrderRule { after_dead: AfterDead::Hold, ..OrderRule::default() }
}

/// What is told in short: of which endpoints, and which messages are dead letters.
fn told(events: &[LaneEvent]) -> (Vec<EndpointId>, Vec<Position>) {
    let (mut endpoints, mut dead) = (vec![], vec![]);
    for event in events {
        match event {
            LaneEvent::Endpoint(lane) => endpoints.push(lane.endpoint),
            LaneEvent::Died { key, .. } => dead.push(key.message),
            other => panic!("{other:?}"),
        }
    }
    (endpoints, dead)
}

/// Endpoint 1 with two dead letters, one of which is being resent.
fn with_dead_letters(default_order: OrderRule) -> World {
    let mut world = World::new();
    world.state.default_order = default_order;
    world.config.apply(&ConfigChange::Application(application(None).into()));
    world.config.apply(&ConfigChange::Endpoint(made(1, None).into()));
    for n in [10, 20] {
        world.accept(at(1, n), &[1]);
        world.end(ended(1, at(1, n), 1, DIES));
    }
    world.change(DeliveryChange::Resent { ended: None }, vec![delivery(1, at(1, 20))]);
    world
}

fn edit(world: &mut World, order: Option<OrderRule>) -> (Vec<EndpointId>, Vec<Position>) {
    told(&world.apply(at(2, 0), &Record::Config(ConfigChange::Endpoint(made(1, order).into()))))
}

#[test]
fn dead_letters_are_told_when_an_order_begins_in_which_others_wait_behind_them() {
    let one = vec![endpoint(1)];
    let mut world = with_dead_letters(OrderRule::default());
    let mut introduced = vec![];
    world.state.introduce(&world.config, &mut introduced);
    assert!(!introduced.iter().any(|event| matches!(event, LaneEvent::Died { .. })), "nobody waits behind them");
    assert_eq!(edit(&mut world, None), (one.clone(), vec![]), "all is as it was");
    assert_eq!(edit(&mut world, Some(hold())), (one.clone(), vec![at(1, 10)]), "the other one waits itself");
    assert_eq!(edit(&mut world, Some(hold())), (one.clone(), vec![]), "that is known");
    assert_eq!(edit(&mut world, None), (one.clone(), vec![]));
    // By the server's order, where an endpoint has none of its own.
    let mut world = with_dead_letters(hold());
    let mut introduced = vec![];
    world.state.introduce(&world.config, &mut introduced);
    let died = introduced.iter().filter(|event| matches!(event, LaneEvent::Died { .. })).count();
    assert_eq!(died, 1);
    assert_eq!(edit(&mut world, Some(hold())), (one.clone(), vec![]), "it is the same order");
    assert_eq!(edit(&mut world, Some(OrderRule::default())), (one.clone(), vec![]));
    assert_eq!(edit(&mut world, None), (one, vec![at(1, 10)]));
}

#[test]
fn a_change_of_an_application_is_told_to_each_of_its_endpoints() {
    let mut world = World::new();
    world.config.apply(&ConfigChange::Application(application(None).into()));
    for n in [1, 2] {
        world.config.apply(&ConfigChange::Endpoint(made(n, None).into()));
    }
    let events = world.apply(at(2, 0), &Record::Config(ConfigChange::Application(application(Some(7)).into())));
    let limits: Vec<_> = events
        .iter()
        .map(|event| match event {
            LaneEvent::Endpoint(lane) => (lane.endpoint, lane.app_throttle_per_second),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(limits, [(endpoint(1), Some(7)), (endpoint(2), Some(7))]);
}

#[test]
fn new_deliveries_claim_a_place_before_a_backlog_unless_they_wait_or_are_in_an_order() {
    let by = |by| Some(OrderRule { by, ..OrderRule::default() });
    let (key, fifo, none) = (by(OrderBy::Key), by(OrderBy::Fifo), by(OrderBy::None));
    for (order, order_key, paused, claim) in [
        (None, 0, false, Claim::New),
        (None, 5, false, Claim::New),
        (key.clone(), 0, false, Claim::New),
        (key.clone(), 5, false, Claim::Ordered),
        (fifo.clone(), 0, false, Claim::Ordered),
        (none.clone(), 5, false, Claim::New),
        (key.clone(), 0, true, Claim::Old),
        (none, 5, true, Claim::Old),
        (key, 5, true, Claim::Ordered),
        (fifo, 0, true, Claim::Ordered),
    ] {
        let mut config = Config::default();
        config.apply(&ConfigChange::Application(application(None).into()));
        let paused = paused.then_some(UnixMs(5));
        config.apply(&ConfigChange::Endpoint(Endpoint { paused, ..made(1, order.clone()) }.into()));
        let delivery = DeliveryRef { order_key, ..delivery(1, at(1, 10)) };
        // The server's order counts where the endpoint has none.
        assert_eq!(Claim::of(&config, OrderBy::None, &delivery), claim, "{order:?}, {order_key}, {paused:?}");
    }
    let nobody = delivery(1, at(1, 10));
    assert_eq!(Claim::of(&Config::default(), OrderBy::Fifo, &nobody), Claim::Old, "its endpoint is gone");
}

pub(super) fn application(throttle_per_second: Option<u32>) -> Application {
    let fields = ApplicationFields { name: "Shop".into(), throttle_per_second, ..ApplicationFields::default() };
    Application { id: app(1), org: OrgId(raw(3)), fields, created: UnixMs(1), updated: UnixMs(1) }
}

pub(super) fn made(n: u8, order: Option<OrderRule>) -> Endpoint {
    let policy = Policy { order, ..Policy::default() };
    Endpoint {
        id: endpoint(n),
        app: app(1),
        fields: EndpointFields { url: "https://example.com/hook".into(), policy, ..EndpointFields::default() },
        secrets: vec![],
        disabled: None,
        paused: None,
        unverified: None,
        allowed_per_minute: None,
        created: UnixMs(1),
        updated: UnixMs(1),
    }
}
