//! Schemas that were taken before their depth had a limit.

use std::sync::Arc;

use postrider_model::command::{Command, Write};
use postrider_model::config::ConfigChange;
use postrider_model::event_type::{EventType, EventTypeFields, Validation};
use postrider_model::ports::AcceptError;
use postrider_model::schema::Schemas;
use serde_json::{Value, json};

use super::support::{ManualClock, ORG, Running, message, options};
use crate::seal::Sealer;
use crate::{checkpoint, record};

const NAME: &str = "order.paid";
/// What a request of an event type could have at most: two more objects are around it there.
const DEEPEST: usize = 125;

/// Of a payload that is an object; so many objects lie within each other.
fn deep(depth: usize) -> Value {
    let within = (2..depth).fold(json!({}), |within, _| json!({ "items": within }));
    json!({ "type": "object", "items": within })
}

fn event_type(depth: usize) -> ConfigChange {
    let schemas = Schemas::new([("1".to_owned(), deep(depth))].into_iter().collect());
    ConfigChange::EventType(Arc::new(EventType {
        org: ORG,
        name: NAME.to_owned(),
        fields: EventTypeFields {
            schemas: Some(schemas),
            validation: Some(Validation::Refuse),
            ..EventTypeFields::default()
        },
        created: postrider_model::time::UnixMs(1),
        updated: postrider_model::time::UnixMs(1),
    }))
}

fn check(running: &Running, description: &str) {
    let config = running.outbox.shared.config.read();
    let found = config.event_type(ORG, NAME).expect("it came back");
    assert_eq!(found.fields.description, description);
    let schemas = found.fields.schemas.as_ref().expect("they came back");
    assert_eq!(schemas.newest(), Some(("1", &deep(DEEPEST))));
}

#[test]
fn a_store_with_a_schema_that_would_be_too_deep_now_opens() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let clock = ManualClock::new();
    let running = Running::start(options(dir.path()), &clock).expect("it opens");
    running.app("shop");
    running.outbox.shared.config.write().apply(&event_type(DEEPEST));
    running.stop();

    let running = Running::start(options(dir.path()), &clock).expect("it opens by the checkpoint");
    check(&running, "");
    running.command(Command::EventType {
        org: ORG,
        name: NAME.to_owned(),
        write: Write::Update,
        edit: Box::new(|fields| fields.description = "changed".to_owned()),
    });
    running.kill();

    let running = Running::start(options(dir.path()), &clock).expect("it opens by the journal");
    check(&running, "changed");
    running.send("shop", NAME, "{}");
    let refused = running.accept(message("shop", NAME, "[]"));
    assert!(matches!(refused, Err(AcceptError::Mismatch(_))), "it is compared as before: {refused:?}");
    running.stop();
}

#[test]
fn records_and_checkpoints_with_deep_schemas_are_read_sealed_and_plain() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let options = options(dir.path());
    let sealer = Sealer::new(&options.master_key);
    for depth in 115..=DEEPEST {
        let change = event_type(depth);
        let record = record::Record::Config(change.clone());
        let bytes = bytes::Bytes::copy_from_slice(record::Encoder::default().encode(&record));
        assert_eq!(record::decode(&bytes), Ok(record), "{depth}");
        let changes = vec![change];
        assert_eq!(sealer.open_config(&sealer.seal_config(&changes)), Ok(changes.clone()), "{depth}");
        let mut config = postrider_model::config::Config::default();
        changes.iter().for_each(|change| config.apply(change));
        let state = crate::state::State::new(&options);
        let bytes = checkpoint::encode(&state, &config, &sealer, postrider_model::position::Position::new(3, 64));
        let Ok(restored) = checkpoint::decode(&bytes, &options) else { panic!("{depth}") };
        assert!(restored.config.event_type(ORG, NAME).is_some(), "{depth}");
    }
}
