//! What a message's way in allows: up to each limit, and not beyond.

use std::pin::pin;
use std::task::{Context, Poll, Waker};

use postrider_model::command::{Command, Write};
use postrider_model::event_type::Validation;
use postrider_model::message::NewMessage;
use postrider_model::ports::{Accept as _, AcceptError, Unavailable};
use postrider_model::schema::Schemas;
use serde_json::json;

use super::shop::{PAID, SENT, Shop};
use super::stepper::{runtime, sim_dir};
use super::support::{ORG, message, options};
use super::tasking::OTHER;
use crate::Options;
use crate::index::{Day, KeyRow};
use crate::ports::MESSAGE_ROOM_BYTES;

/// Gives to how many endpoints it goes.
fn accept(shop: &mut Shop, message: NewMessage) -> Result<u32, AcceptError> {
    shop.stepper.ask(shop.outbox().accept(message)).map(|accepted| accepted.deliveries)
}

#[test]
fn a_body_may_be_as_long_as_the_limit() {
    let mut shop = Shop::with(Options { body_limit_bytes: 1_000, ..options(&sim_dir()) });
    for (bytes, expected) in [
        (0, Ok(0)),
        (999, Ok(0)),
        (1_000, Ok(0)),
        (1_001, Err(AcceptError::TooLarge { bytes: 1_001, limit_bytes: 1_000 })),
    ] {
        assert_eq!(accept(&mut shop, message("shop", OTHER, &"x".repeat(bytes))), expected, "{bytes}");
    }
}

#[test]
fn an_application_may_have_so_many_pending_deliveries() {
    let mut shop = Shop::with(Options { pending_per_application: 3, ..options(&sim_dir()) });
    let (e, _) = (shop.endpoint("e", &[PAID, SENT]), shop.endpoint("f", &[PAID]));
    let first = shop.send(PAID);
    let accept = |shop: &mut Shop, event_type| accept(shop, message("shop", event_type, "1"));
    let too_many = || Err(AcceptError::Unavailable(Unavailable::TooManyPending { limit: 3 }));
    assert_eq!(accept(&mut shop, PAID), too_many(), "with both of its deliveries there would be four");
    assert_eq!(accept(&mut shop, SENT), Ok(1));
    assert_eq!(accept(&mut shop, SENT), too_many());
    assert_eq!(accept(&mut shop, OTHER), Ok(0), "it adds none");
    shop.cancel(e, &first);
    assert_eq!(accept(&mut shop, SENT), Ok(1));
}

#[test]
fn a_message_that_waits_takes_the_room_of_its_body_and_of_what_goes_with_it() {
    let mut shop = Shop::open();
    let outbox = shop.outbox();
    let free = outbox.room.available_permits();
    let receipts: Vec<_> = [0, 1_000, 5_000]
        .map(|bytes| shop.stepper.ask(outbox.queue(message("shop", OTHER, &"x".repeat(bytes)))).expect("there is room"))
        .into();
    let costs = 3 * usize::try_from(MESSAGE_ROOM_BYTES).expect("it is small");
    assert_eq!(outbox.room.available_permits(), free - 6_000 - costs);
    for receipt in receipts {
        assert!(shop.stepper.ask(receipt).is_ok());
    }
    assert_eq!(outbox.room.available_permits(), free, "all of it is given back");
}

/// A store that remembers at most so many keys, with the key of a sealed segment; and what its filters take, in bytes.
fn with_sealed_key(idempotency_keys: usize) -> (Shop, usize) {
    const SEALED: u32 = 77;
    let shop = Shop::with(Options { idempotency_keys, ..options(&sim_dir()) });
    let shared = &shop.stepper.outbox.shared;
    let (hash, at) = ([1; 16], shared.now());
    let position = postrider_model::position::Position::new(SEALED, 64);
    shared.index.insert(SEALED, crate::index::Row::Key(KeyRow { hash, position, at }));
    shared.index.seal(SEALED, Day::of(at)).expect("the index can be written");
    let bytes = shared.index.key_filter_bytes();
    (shop, bytes)
}

/// They take two bytes of memory each.
#[test]
fn so_many_keys_are_remembered_by_the_memory_that_they_take() {
    let keyed = || NewMessage { idempotency_key: Some("k".to_owned()), ..message("shop", OTHER, "1") };
    let named = || NewMessage { event_id: Some("event-1".to_owned()), ..message("shop", OTHER, "1") };
    let (mut shop, bytes) = with_sealed_key(usize::MAX);
    assert!(bytes > 0);
    assert_eq!(accept(&mut shop, keyed()), Ok(0));
    for (limit, is_room) in [(bytes / 2, false), (bytes / 2 + 1, true)] {
        let (mut shop, _) = with_sealed_key(limit);
        for message in [keyed(), named()] {
            let accepted = accept(&mut shop, message);
            if is_room {
                assert_eq!(accepted, Ok(0));
            } else {
                assert!(matches!(accepted, Err(AcceptError::Unavailable(Unavailable::Overloaded { .. }))));
            }
        }
        assert_eq!(accept(&mut shop, message("shop", OTHER, "1")), Ok(0), "without a key there is always room");
    }
}

#[test]
fn an_application_is_made_by_the_first_message_that_asks_for_it() {
    let mut shop = Shop::open();
    let to = |app: &str| NewMessage { create_app: Some("A new shop".to_owned()), ..message(app, OTHER, "1") };
    assert_eq!(accept(&mut shop, message("new", OTHER, "1")), Err(AcceptError::UnknownApplication));
    for _ in 0..2 {
        assert_eq!(accept(&mut shop, to("new")), Ok(0));
        let made = {
            let config = shop.stepper.outbox.shared.config.read();
            let entry = config.find_app(ORG, "new").expect("it was made");
            (entry.app.id, entry.app.fields.name.clone(), entry.app.fields.uid.clone())
        };
        assert_eq!(made.1, "A new shop");
        assert_eq!(made.2.as_deref(), Some("new"));
        assert_eq!(shop.stepper.outbox.shared.config.read().apps().count(), 2);
    }
    // An id of no application that there is is no uid either.
    let id = shop.app.to_string();
    shop.execute(Command::DeleteApplication { org: ORG, app: id.clone() });
    assert!(matches!(accept(&mut shop, to(&id)), Err(AcceptError::Invalid(_))));
    // What cannot be asked for now is not said to be missing.
    shop.stepper.outbox.requests.close();
    assert_eq!(accept(&mut shop, to("late")), Err(AcceptError::Unavailable(Unavailable::Stopping)));
    shop.stepper.outbox.stop();
    assert_eq!(accept(&mut shop, to("late")), Err(AcceptError::Unavailable(Unavailable::Stopping)));
}

/// W11: where it is not known that it is done in a moment, it is done where it may block.
#[test]
fn a_payload_is_compared_with_a_new_schema_when_there_is_a_turn_for_that() {
    let mut shop = Shop::open();
    let schema = json!({ "type": "object", "required": ["of_this_test_alone"] });
    let schemas = Schemas::new([("1".to_owned(), schema)].into_iter().collect());
    shop.execute(Command::EventType {
        org: ORG,
        name: PAID.to_owned(),
        write: Write::Create,
        edit: Box::new(move |fields| {
            fields.schemas = Some(schemas);
            fields.validation = Some(Validation::Refuse);
        }),
    });
    let outbox = shop.outbox();
    let fits = || message("shop", PAID, r#"{"of_this_test_alone":1}"#);
    let turns = outbox.looking.available_permits();
    let all = outbox.looking.try_acquire_many(u32::try_from(turns).expect("they are few")).expect("all are free");
    runtime().block_on(async {
        let mut queued = pin!(outbox.queue(fits()));
        let looked = std::future::poll_fn(|_| {
            Poll::Ready(queued.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_ready())
        });
        assert!(!looked.await, "all turns are taken");
        drop(all);
        assert!(queued.await.is_ok());
    });
    shop.stepper.step();
    // By now it is known what the schema says.
    let _all = outbox.looking.try_acquire_many(u32::try_from(turns).expect("they are few")).expect("all are free");
    assert_eq!(accept(&mut shop, fits()), Ok(0));
    assert!(matches!(accept(&mut shop, message("shop", PAID, "{}")), Err(AcceptError::Mismatch(_))));
}
