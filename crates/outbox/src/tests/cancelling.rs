//! Deliveries that are cancelled by a filter: all that it means, and no others.

use postrider_model::delivery::DeliveryKey;
use postrider_model::ports::{Accept as _, Control as _, ControlError};
use postrider_model::query::{DeliveryFilter, Query as _, QueryError};

use super::machine::one_way;
use super::shop::{PAID, SENT, Shop};
use super::stepper::sim_dir;
use super::support::{ManualClock, Running, message, options, wait};
use super::tasking::windowed;
use crate::Options;
use crate::matching::Pending;

fn pending(shop: &Shop) -> Vec<DeliveryKey> {
    let filter = DeliveryFilter::default();
    one_way(1_000, false, |page| shop.stepper.outbox.pending(&filter, page)).iter().map(|found| found.key).collect()
}

#[test]
fn what_is_meant_is_cancelled_in_the_window_and_behind_it() {
    let mut shop = Shop::with(Options { lane_window: 4, ..options(&sim_dir()) });
    let (e, f) = (shop.fifo_endpoint("e", &[PAID, SENT]), shop.endpoint("f", &[PAID]));
    let sent = [PAID, SENT, PAID, SENT, PAID, PAID, SENT].map(|event_type| shop.send(event_type));
    let filter = DeliveryFilter {
        endpoint: Some(e),
        event_types: Some(vec![PAID.to_owned()]),
        after: Some(sent[0].at),
        ..DeliveryFilter::default()
    };
    let before = pending(&shop);
    let outbox = shop.outbox();
    assert_eq!(shop.stepper.ask(outbox.cancel_where(filter.clone())), Ok(3));
    let cancelled = [2, 4, 5].map(|place: usize| shop.key(e, &sent[place]));
    let left: Vec<_> = before.into_iter().filter(|key| !cancelled.contains(key)).collect();
    assert_eq!(pending(&shop), left);
    assert_eq!(shop.stepper.ask(outbox.cancel_where(filter)), Ok(0));
    assert_eq!(left.iter().filter(|key| key.endpoint == f).count(), 4);
}

/// More than are read at once behind a window.
#[test]
fn however_many_there_are_all_are_cancelled_and_counted() {
    const MANY: usize = 1_010;
    let mut shop = Shop::with(Options { lane_window: 4, ..options(&sim_dir()) });
    shop.fifo_endpoint("e", &[PAID]);
    let outbox = shop.outbox();
    let accepted = shop.stepper.ask(outbox.accept_all(vec![message("shop", PAID, "1"); MANY]));
    assert!(accepted.iter().all(Result::is_ok));
    let (mut found, mut parts) = (Pending::new(&outbox.shared, DeliveryFilter::default()), vec![]);
    while let Some(part) = found.next(&outbox.shared).expect("it can be read") {
        parts.push(part.len());
    }
    assert_eq!(parts.iter().sum::<usize>(), MANY);
    assert!(parts.iter().all(|part| *part <= 1_000), "they are not all in memory at once: {parts:?}");
    assert_eq!(shop.stepper.ask(outbox.cancel_where(DeliveryFilter::default())), Ok(MANY as u64));
    assert_eq!((outbox.stats().pending, pending(&shop)), (0, vec![]));
}

#[test]
fn what_comes_after_it_was_asked_for_stays() {
    for lane_window in [4, 100] {
        let mut shop = Shop::with(Options { lane_window, ..options(&sim_dir()) });
        let endpoint = shop.fifo_endpoint("e", &[PAID]);
        let before = [(); 6].map(|()| shop.send(PAID));
        let mut found = Pending::new(&shop.stepper.outbox.shared, DeliveryFilter::default());
        shop.send(PAID);
        let mut all = vec![];
        while let Some(some) = found.next(&shop.stepper.outbox.shared).expect("it can be read") {
            all.extend(some.iter().map(crate::record::DeliveryRef::key));
        }
        all.sort_unstable();
        assert_eq!(all, before.each_ref().map(|of| shop.key(endpoint, of)), "a window of {lane_window}");
    }
}

#[test]
fn where_a_part_cannot_be_read_the_rest_is_cancelled_and_that_is_told() {
    let (dir, clock) = (tempfile::tempdir().expect("a temporary directory"), ManualClock::new());
    let running = Running::start(windowed(dir.path(), 4), &clock).expect("an empty directory opens");
    running.app("shop");
    let endpoint = running.endpoint("shop", &[PAID]);
    running.endpoint("shop", &[SENT]);
    let body = "x".repeat(5_000);
    for _ in 0..40 {
        running.send("shop", PAID, &body);
    }
    running.send("shop", SENT, "1");
    running.stop();

    // No file is open yet. The second segment is there, but opening it fails.
    let running = Running::start(windowed(dir.path(), 4), &clock).expect("a clean store opens");
    let (segment, aside) = (dir.path().join("journal/segment-0000000002.journal"), dir.path().join("aside"));
    std::fs::rename(&segment, &aside).expect("it is there");
    std::fs::create_dir(&segment).expect("its name is free");
    let told = wait(running.outbox.cancel_where(DeliveryFilter::default()));
    let Err(ControlError::Query(QueryError::Failed(detail))) = told else { panic!("it cannot be read: {told:?}") };
    assert!(detail.contains(&endpoint.id.to_string()), "{detail}");
    let left = running.outbox.stats().pending;
    assert!((1..40).contains(&left), "{left} are left");

    std::fs::remove_dir(&segment).expect("it is empty");
    std::fs::rename(&aside, &segment).expect("its name is free");
    assert_eq!(wait(running.outbox.cancel_where(DeliveryFilter::default())), Ok(left));
    assert_eq!(running.outbox.stats().pending, 0);
    running.stop();
}
