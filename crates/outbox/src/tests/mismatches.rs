//! A program that sends what its event type's schema does not allow does so with every event.

use std::sync::Arc;
use std::time::Duration;

use postrider_model::config::ConfigChange;
use postrider_model::event_type::{EventType, EventTypeFields, Validation};
use postrider_model::ports::{Accept as _, AcceptError, Configure as _};
use postrider_model::schema::Schemas;
use postrider_model::time::UnixMs;
use serde_json::json;

use super::counted::Counted;
use super::logged::Logged;
use super::stepper::{SimWorld, Stepper, app, sim_dir};
use super::support::{ORG, message, options};
use crate::meters::MISMATCHES;

const PAID: &str = "order.paid";

/// A store that compares payloads of one type, which are to be objects.
fn store(world: &SimWorld, validation: Validation) -> Stepper {
    let mut stepper = world.start(options(&sim_dir())).expect("it is empty");
    stepper.ask(stepper.outbox.clone().execute(app("shop"))).expect("it is new");
    let schemas = Schemas::new([("1".to_owned(), json!({ "type": "object" }))].into_iter().collect());
    let fields = EventTypeFields { schemas: Some(schemas), validation: Some(validation), ..EventTypeFields::default() };
    let (org, name, at) = (ORG, PAID.to_owned(), UnixMs(1));
    let event_type = Arc::new(EventType { org, name, fields, created: at, updated: at });
    stepper.outbox.shared.config.write().apply(&ConfigChange::EventType(event_type));
    stepper
}

#[test]
fn there_is_a_line_of_it_each_second_at_most_which_says_how_many_there_were_in_between() {
    let world = SimWorld::new();
    let mut stepper = store(&world, Validation::Warn);
    let mut lines = |forward_ms: u64, messages: usize| {
        world.clock.forward(Duration::from_millis(forward_ms));
        Logged::of("differs from the schema", || {
            for _ in 0..messages {
                let outbox = stepper.outbox.clone();
                stepper.ask(outbox.accept(message("shop", PAID, "[]"))).expect("it is only a warning");
            }
        })
    };
    for (forward_ms, messages, untold) in
        [(0, 3, Some(0)), (999, 1, None), (1, 1, Some(3)), (1_000, 2, Some(0)), (1_500, 1, Some(1))]
    {
        let lines = lines(forward_ms, messages);
        let expected: Vec<_> = untold.into_iter().map(|untold| format!("untold={untold} ")).collect();
        assert_eq!(lines.len(), expected.len(), "{lines:?}");
        assert!(lines.iter().zip(&expected).all(|(line, expected)| line.contains(expected)), "{lines:?}, {expected:?}");
    }
}

#[test]
fn each_is_counted_and_only_what_is_to_be_refused_is() {
    for validation in [Validation::Off, Validation::Warn, Validation::Refuse] {
        let world = SimWorld::new();
        let mut stepper = store(&world, validation);
        let counted = Counted::default();
        metrics::with_local_recorder(&counted, || {
            for _ in 0..2 {
                let outbox = stepper.outbox.clone();
                let accepted = stepper.ask(outbox.accept(message("shop", PAID, "[]")));
                let is_refused = matches!(accepted, Err(AcceptError::Mismatch(_)));
                assert_eq!((is_refused, accepted.is_ok()), (validation == Validation::Refuse, !is_refused));
            }
            stepper.ask(stepper.outbox.clone().accept(message("shop", PAID, "{}"))).expect("it is an object");
        });
        let expected = if validation == Validation::Off { 0 } else { 2 };
        assert_eq!(counted.counter(&format!("{MISMATCHES} {}", validation.as_str())), expected, "{validation:?}");
        assert_eq!(counted.counter(MISMATCHES), expected, "{validation:?}");
    }
}
