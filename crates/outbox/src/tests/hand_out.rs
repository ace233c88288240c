//! What the scheduler is given of the deliveries that it asks for.

use std::time::Duration;

use postrider_model::batch;
use postrider_model::delivery::{DeadReason, DeliveryKey, Next};
use postrider_model::id::{EndpointId, RawId};
use postrider_model::lane::{DeliveryStore as _, JobError};

use super::shop::{PAID, SENT, Shop};
use super::stepper::sim_dir;
use super::support::{message, options};
use crate::Options;

/// Nobody's.
const UNKNOWN: EndpointId = EndpointId(RawId::from_bytes([9; 20]));

#[test]
fn jobs_are_given_at_once_where_the_body_is_in_memory() {
    // Room for two of three.
    let mut shop = Shop::with(Options { fresh_body_bytes: 600, ..options(&sim_dir()) });
    let endpoint = shop.endpoint("e", &[PAID]);
    let sent = ["one", "two", "three"].map(|body| shop.accept(message("shop", PAID, body)));
    let keys = sent.each_ref().map(|of| shop.key(endpoint, of));
    let gone = DeliveryKey { endpoint: UNKNOWN, ..keys[1] };
    let outbox = shop.outbox();
    let at_once = |keys: &[DeliveryKey]| {
        let mut jobs = vec![];
        outbox.jobs_at_once(keys, &mut jobs);
        jobs
    };
    let jobs = at_once(&[keys[0], keys[1], gone, keys[2]]);
    let [None, Some(Ok(two)), Some(Err(JobError::NotLive)), Some(Ok(three))] = jobs.as_slice() else {
        panic!("in the order in which they are asked for: {jobs:?}");
    };
    for (job, key, of, body) in [(two, keys[1], &sent[1], "two"), (three, keys[2], &sent[2], "three")] {
        assert_eq!((job.key, job.message, job.body.as_ref()), (key, of.id, body.as_bytes()));
        assert_eq!((job.scheduled.attempt, &*job.event_type), (1, PAID));
    }
    // W5: one attempt of a delivery at a time.
    let again = at_once(&keys);
    assert!(matches!(again.as_slice(), [None, Some(Err(JobError::Failed(_))), Some(Err(JobError::Failed(_)))]));
    assert_eq!(shop.job(endpoint, &sent[0]).body, "one");
    shop.stepper.settle(two, 200, Next::Delivered);
    assert!(matches!(at_once(&keys[1..2]).as_slice(), [Some(Err(JobError::NotLive))]));
}

#[test]
fn a_job_is_given_if_it_fits_into_what_is_left_of_a_batch() {
    let mut shop = Shop::open();
    let endpoint = shop.endpoint("e", &[PAID]);
    let plain = shop.accept(message("shop", PAID, &"x".repeat(1_000)));
    let mut text = message("shop", PAID, &"x".repeat(1_000));
    text.content_type = Some("text/plain".to_owned());
    let text = shop.accept(text);
    let outbox = shop.outbox();
    for (of, content_type) in [(plain, None), (text, Some("text/plain"))] {
        let (key, bytes) = (shop.key(endpoint, &of), batch::element_bytes(PAID, content_type, 1_000));
        for room in [0, bytes - 1] {
            let job = shop.stepper.ask(outbox.job_within(key, room)).map(|job| job.key);
            assert_eq!(job, Err(JobError::NoRoom), "{room} of {bytes} bytes");
        }
        for room in [bytes, usize::MAX] {
            let job = shop.stepper.ask(outbox.job_within(key, room)).expect("it fits, and is not in flight");
            assert_eq!((job.key, job.content_type.as_deref()), (key, content_type));
            outbox.hand_back(&mut vec![key]);
        }
    }
}

#[test]
fn the_message_of_a_delivery_is_known_while_that_waits_or_is_a_dead_letter() {
    let mut shop = Shop::open();
    let (e, f) = (shop.endpoint("e", &[PAID]), shop.endpoint("f", &[SENT]));
    let [waits, dead, delivered] = [(); 3].map(|()| shop.send(PAID));
    shop.attempt(e, &dead, 500, Next::Dead { reason: DeadReason::Refused });
    shop.attempt(e, &delivered, 200, Next::Delivered);
    let message_of = |to, of| shop.stepper.outbox.message_of(shop.key(to, of));
    assert_eq!(message_of(e, &waits), Some(waits.id));
    assert_eq!(message_of(e, &dead), Some(dead.id));
    assert_eq!(message_of(e, &delivered), None);
    assert_eq!(message_of(f, &waits), None);
    assert_eq!(message_of(UNKNOWN, &waits), None);
}

#[test]
fn what_lies_behind_a_window_is_known_and_counted() {
    let mut shop = Shop::with(Options { lane_window: 4, ..options(&sim_dir()) });
    let endpoint = shop.fifo_endpoint("e", &[PAID]);
    let sent = [(); 8].map(|()| shop.send(PAID));
    let outbox = shop.outbox();
    let behind = || sent.each_ref().map(|of| outbox.is_behind_window(shop.key(endpoint, of)));
    assert_eq!(behind(), [false, false, false, true, true, true, true, true]);
    assert_eq!((outbox.behind_window(endpoint), outbox.behind_window(UNKNOWN)), (5, 0));
    let key = shop.key(endpoint, &sent[3]);
    assert!(!outbox.is_behind_window(DeliveryKey { endpoint: UNKNOWN, ..key }));
    assert_eq!(outbox.stats().behind_window, 5);

    // One that a person cancels there is there no more.
    shop.cancel(endpoint, &sent[5]);
    let behind = sent.each_ref().map(|of| outbox.is_behind_window(shop.key(endpoint, of)));
    assert_eq!(behind, [false, false, false, true, true, false, true, true]);
    assert_eq!(outbox.behind_window(endpoint), 4);
}

#[test]
fn what_was_cancelled_is_not_handed_out() {
    let mut shop = Shop::with(Options { fresh_body_bytes: 0, ..options(&sim_dir()) });
    let endpoint = shop.endpoint("e", &[PAID]);
    let sent = shop.send(PAID);
    shop.attempt(endpoint, &sent, 500, Next::Retry { due: sent.at + Duration::from_secs(60) });
    let (key, outbox) = (shop.key(endpoint, &sent), shop.outbox());
    let job = shop.job(endpoint, &sent);
    assert_eq!((job.scheduled.attempt, job.body.as_ref()), (2, &b"1"[..]));
    outbox.hand_back(&mut vec![key]);
    shop.cancel(endpoint, &sent);
    assert_eq!(shop.stepper.ask(outbox.job(key)).map(|job| job.key), Err(JobError::NotLive));
}
