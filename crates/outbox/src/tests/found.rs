//! A message is found by its ids, wherever its record lies, with its payload for as long as that is kept.

use std::time::Duration;

use postrider_model::delivery::{DeadReason, DeliveryState};
use postrider_model::expunge::Expunge as _;
use postrider_model::id::MessageId;
use postrider_model::lane::{DeliveryStore as _, JobError};
use postrider_model::message::{Accepted, NewMessage};
use postrider_model::ports::Control as _;
use postrider_model::position::Position;
use postrider_model::query::{DeliveryFilter, MessageFilter, PageRequest, Query as _};

use super::machine::one_way;
use super::shop::{PAID, Shop};
use super::stepper::sim_dir;
use super::support::{message, options};
use super::tasking::OTHER;
use crate::index::{EndpointMask, MessageRow, Row, SettledRow};
use crate::{Options, keys, rows};

const HOUR: Duration = Duration::from_secs(3_600);

fn small() -> Options {
    Options {
        segment_bytes: 16 << 10,
        waiting_bytes: 64 << 10,
        body_limit_bytes: 8 << 10,
        max_in_flight: 16,
        retain_history: HOUR,
        retention_grace: Duration::ZERO,
        ..options(&sim_dir())
    }
}

/// Fills a segment or more with what nobody needs, lets that become old, and removes it.
fn retire(shop: &mut Shop) {
    for _ in 0..8 {
        shop.accept(message("shop", OTHER, &"x".repeat(5_000)));
    }
    shop.world.clock.forward(2 * HOUR);
    shop.stepper.keeper(|keeper| keeper.round());
    let first = shop.stepper.outbox.shared.reader.segments().first().map(|segment| segment.number);
    assert!(first > Some(1), "old segments are gone");
}

#[test]
fn a_message_is_shown_by_its_own_ids_to_its_own_application_also_after_it_was_carried() {
    let mut shop = Shop::with(small());
    let other = shop.other_app();
    shop.endpoint("e", &[PAID]);
    let sent =
        shop.accept(NewMessage { event_id: Some("event-1".to_owned()), ..message("shop", PAID, "to be carried") });
    let check = |shop: &Shop| {
        let outbox = shop.outbox();
        let shown = outbox.message(shop.app, sent.id).expect("it can be read").expect("it is there");
        assert_eq!((shown.id, shown.body.as_deref()), (sent.id, Some(&b"to be carried"[..])));
        assert_eq!(outbox.message_by_event_id(shop.app, "event-1"), Ok(Some(shown)));
        assert_eq!(outbox.message_by_event_id(shop.app, "event-2"), Ok(None));
        assert_eq!(outbox.message_by_event_id(other, "event-1"), Ok(None));
        assert_eq!(outbox.message(other, sent.id), Ok(None));
        assert_eq!(outbox.message(shop.app, MessageId(shop.forged(sent.id.0))), Ok(None));
    };
    check(&shop);
    retire(&mut shop);
    let outbox = shop.outbox();
    let shown = outbox.message(shop.app, sent.id).expect("it can be read").expect("it is needed");
    assert_eq!((shown.id, shown.body.as_deref()), (sent.id, Some(&b"to be carried"[..])));
    assert_eq!(outbox.message(other, sent.id), Ok(None));
    assert_eq!(outbox.message(shop.app, MessageId(shop.forged(sent.id.0))), Ok(None));

    // Who knows where it lay before is led to where it lies now.
    let sequence = outbox.shared.mask.position(sent.id.0);
    let found = outbox.shared.message_from(shop.app, (sequence, sequence)).expect("it can be read");
    assert!(found.is_some_and(|found| found.meta.id == sent.id && found.position > sequence));
}

/// Retention removes the record of a message before its row.
#[test]
fn a_message_whose_record_is_gone_while_its_row_is_there_is_passed_over() {
    let mut shop = Shop::open();
    let endpoint = shop.endpoint("e", &[PAID]);
    let sent = shop.send(PAID);
    let (gone, shared) = (Position::new(77, 64), &shop.stepper.outbox.shared);
    shared.index.insert_all(
        77,
        [Row::Message(MessageRow {
            app: shop.app,
            sequence: gone,
            position: gone,
            accepted: sent.at,
            endpoints: EndpointMask::of(&[endpoint]),
            event_type: keys::event_type(PAID),
        })],
    );
    assert!(shared.message_from(shop.app, (gone, gone)).expect("nothing fails").is_none());
    let filter = MessageFilter::default();
    let listed = one_way(50, true, |page| shop.stepper.outbox.messages(shop.app, &filter, page));
    assert_eq!(listed.iter().map(|message| message.id).collect::<Vec<_>>(), [sent.id]);
}

#[test]
fn a_payload_is_shown_and_sent_until_its_own_retention_is_over() {
    const KEPT: Duration = Duration::from_secs(3_600);
    let mut shop = Shop::open();
    let endpoint = shop.endpoint("e", &[PAID]);
    let short = NewMessage { payload_retention: Some(KEPT), ..message("shop", PAID, "short-lived") };
    let sent = shop.accept(short);
    let (key, outbox, app) = (shop.key(endpoint, &sent), shop.outbox(), shop.app);
    let body = || outbox.message(app, sent.id).expect("it can be read").expect("it stays").body;
    let at_once = |shop: &Shop| {
        let mut jobs = vec![];
        shop.stepper.outbox.jobs_at_once(&[key], &mut jobs);
        jobs.pop().expect("one is asked for").map(|job| job.map(|job| job.body))
    };
    let left = (sent.at + KEPT).since(outbox.shared.now());
    shop.world.clock.forward(left - Duration::from_millis(1));
    assert_eq!(body().as_deref(), Some(&b"short-lived"[..]));
    assert_eq!(at_once(&shop), Some(Ok("short-lived".into())));
    outbox.hand_back(&mut vec![key]);

    shop.world.clock.forward(Duration::from_millis(1));
    assert_eq!(body(), None);
    assert_eq!(at_once(&shop), None, "it has to be looked for");
    let job = shop.stepper.ask(outbox.job(key)).map(|job| job.body);
    assert!(matches!(job, Err(JobError::NoPayload(_))), "{job:?}");
    shop.stepper.step();
    let dead = outbox.dead_letters(&DeliveryFilter::default(), &PageRequest::default()).expect("they are listed");
    assert_eq!(dead.items.iter().map(|letter| letter.message).collect::<Vec<_>>(), [sent.id]);
}

#[test]
fn how_a_delivery_has_ended_without_an_attempt_is_found() {
    let mut shop = Shop::open();
    let endpoint = shop.endpoint("e", &[PAID]);
    let [cancelled, expunged, given_up, waits] = [(); 4].map(|()| shop.send(PAID));
    let outbox = shop.outbox();
    let found = |of: &Accepted| {
        let found = outbox.shared.find_message(shop.app, of.id).expect("it can be read");
        found.expect("it is there")
    };
    let delivery = found(&given_up).delivery(endpoint);
    let row = SettledRow {
        app: delivery.app,
        endpoint,
        message: delivery.sequence,
        position: outbox.shared.state.lock().applied,
        state: rows::DEAD,
        at: given_up.at,
        attempt: 0,
    };
    outbox.shared.index.insert_all(row.position.segment(), [Row::Settled(row)]);
    let end = |of: &Accepted| outbox.shared.ended_states(&found(of)).expect("it can be read").get(&endpoint).copied();
    shop.stepper.ask(outbox.cancel(shop.app, cancelled.id, endpoint)).expect("it waits");
    shop.stepper.ask(outbox.expunge_payload(shop.app, expunged.id)).expect("it is there");
    assert!(matches!(end(&cancelled), Some(DeliveryState::Cancelled { attempt: 0, .. })));
    assert!(matches!(end(&expunged), Some(DeliveryState::Dead { reason: DeadReason::PayloadExpunged, .. })));
    assert!(matches!(end(&given_up), Some(DeliveryState::Dead { reason: DeadReason::HeldTooLong, .. })));
    assert_eq!(end(&waits), None);
}
