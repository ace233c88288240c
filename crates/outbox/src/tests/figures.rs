//! What is counted: deliveries of an endpoint by how they stand, and the store as a whole.

use std::sync::Arc;
use std::time::Duration;

use postrider_model::command::Command;
use postrider_model::delivery::{DeadReason, Next};
use postrider_model::lane::DeliveryStore as _;
use postrider_model::ports::Configure as _;
use postrider_model::query::{AttemptFilter, AttemptsOf, EndpointStats, Query as _};
use postrider_model::time::UnixMs;

use super::counted::Counted;
use super::machine::one_way;
use super::shop::{PAID, SECOND, SENT, Shop};
use super::stepper::{Stepper, app, sim_dir};
use super::support::{ManualClock, ORG, options};
use super::tasking::windowed;
use crate::committer::request::{DeliveriesRequest, Urgent};
use crate::index::{Row, SettledRow};
use crate::record::DeliveryChange;
use crate::{Options, rows};

const DEAD: Next = Next::Dead { reason: DeadReason::AttemptsExhausted };
const EVER: (UnixMs, UnixMs) = (UnixMs(0), UnixMs(u64::MAX));

#[test]
fn deliveries_of_an_endpoint_are_counted_by_how_they_stand() {
    let mut shop = Shop::with(Options { lane_window: 12, ..options(&sim_dir()) });
    let (e, f) = (shop.fifo_endpoint("e", &[PAID]), shop.endpoint("f", &[PAID]));
    let sent = [(); 14].map(|()| shop.send(PAID));
    let outbox = shop.outbox();
    for of in &sent[..3] {
        shop.attempt(e, of, 200, Next::Delivered);
    }
    // Two attempts of one delivery, which is delivered once.
    shop.attempt(e, &sent[3], 500, Next::Retry { due: sent[3].at });
    shop.attempt(e, &sent[3], 200, Next::Delivered);
    for of in &sent[4..6] {
        shop.attempt(e, of, 500, DEAD);
    }
    for of in &sent[6..8] {
        shop.cancel(e, of);
    }
    // One that is given up is a dead letter, and none that was cancelled.
    let found = outbox.shared.find_message(shop.app, sent[8].id).expect("it can be read").expect("it is there");
    let what = DeliveryChange::Expired(DeadReason::PayloadDamaged);
    let deliveries = vec![found.delivery(e)];
    let request = |reply| Urgent::Deliveries(DeliveriesRequest { what, deliveries, reply });
    shop.stepper.ask(outbox.ask(request)).expect("it waits");
    shop.job(e, &sent[9]);
    for of in &sent[..2] {
        shop.job(f, of);
    }
    let stats = |endpoint, (since, until)| outbox.endpoint_stats(endpoint, since, until).expect("they can be counted");
    let expected = EndpointStats { success: 4, fail: 3, canceled: 2, pending: 4, sending: 1, ..Default::default() };
    assert_eq!(stats(e, EVER), expected);
    assert_eq!(stats(f, EVER), EndpointStats { pending: 12, sending: 2, ..Default::default() });

    // A message that was carried tells once more that it was cancelled.
    let position = outbox.shared.state.lock().applied;
    let carried = SettledRow {
        app: shop.app,
        endpoint: e,
        message: shop.key(e, &sent[6]).message,
        position,
        state: rows::CANCELLED,
        at: outbox.shared.now(),
        attempt: 0,
    };
    outbox.shared.index.insert_all(position.segment(), [Row::Settled(carried)]);
    assert_eq!(stats(e, EVER), expected);
}

#[test]
fn what_has_ended_is_counted_from_a_time_up_to_another() {
    let mut shop = Shop::open();
    let endpoint = shop.endpoint("e", &[PAID]);
    let sent = [(); 6].map(|()| shop.send(PAID));
    for of in &sent[..3] {
        shop.attempt(endpoint, of, 200, Next::Delivered);
    }
    for of in &sent[3..] {
        shop.attempt(endpoint, of, 500, DEAD);
    }
    let (outbox, filter) = (shop.outbox(), AttemptFilter::default());
    let attempts = one_way(50, false, |page| outbox.attempts(shop.app, AttemptsOf::Endpoint(endpoint), &filter, page));
    let ended: Vec<_> =
        attempts.iter().map(|one| one.started + Duration::from_millis(one.duration_ms.into())).collect();
    let after = |at: UnixMs| UnixMs(at.as_u64() + 1);
    for (since, until, success, fail) in [
        (ended[0], ended[2], 2, 0),
        (after(ended[0]), ended[2], 1, 0),
        (ended[0], after(ended[2]), 3, 0),
        (ended[1], ended[4], 2, 1),
        (ended[1], after(ended[4]), 2, 2),
        (after(ended[3]), EVER.1, 0, 2),
        (after(ended[5]), EVER.1, 0, 0),
    ] {
        let stats = outbox.endpoint_stats(endpoint, since, until).expect("they can be counted");
        assert_eq!((stats.success, stats.fail, stats.since), (success, fail, since), "{since} to {until}");
    }
}

/// Attempts are listed by when they were recorded, and an outcome may wait for that.
#[test]
fn an_attempt_counts_also_where_an_older_one_was_recorded_after_it() {
    let mut shop = Shop::open();
    let endpoint = shop.endpoint("e", &[PAID]);
    let [late, first] = [(); 2].map(|()| shop.send(PAID));
    let outbox = shop.outbox();
    let job = shop.job(endpoint, &late);
    shop.stepper.post(&job, 200, Next::Delivered, false);
    let mut waits = vec![];
    outbox.shared.outcomes.take(&mut waits);
    shop.world.clock.forward(Duration::from_secs(300));
    let since = outbox.shared.now();
    shop.attempt(endpoint, &first, 200, Next::Delivered);
    outbox.settle(&mut waits);
    shop.stepper.step();
    let count = |since| outbox.endpoint_stats(endpoint, since, EVER.1).expect("they can be counted").success;
    assert_eq!((count(since), count(UnixMs(0))), (1, 2));
}

#[test]
fn the_stores_figures_are_those_of_the_moment() {
    let mut shop = Shop::open();
    let (e, f, idle) =
        (shop.endpoint("e", &[PAID]), shop.endpoint("f", &[PAID, SENT]), shop.endpoint("idle", &["order.idle"]));
    let oldest = shop.send(PAID);
    shop.send(SENT);
    shop.pause("f");
    shop.pause("idle");
    shop.attempt(e, &oldest, 500, DEAD);
    shop.send(PAID);
    let job = shop.job(f, &oldest);
    let outbox = shop.outbox();
    let stats = outbox.stats();
    assert_eq!((stats.pending, stats.held, stats.dead_letters, stats.in_flight), (4, 3, 1, 1), "{idle} has none");
    assert_eq!(stats.oldest_pending_ms, outbox.shared.now().since(oldest.at).as_millis() as u64);
    assert_eq!((stats.waiting_requests, stats.full, outbox.is_full()), (0, false, false));

    // An outcome and a request for the committer.
    shop.stepper.post(&job, 200, Next::Delivered, false);
    let mut asked = outbox.execute(app("other"));
    let mut nobody = std::task::Context::from_waker(std::task::Waker::noop());
    assert!(asked.as_mut().poll(&mut nobody).is_pending());
    assert_eq!(outbox.stats().waiting_requests, 2);
    shop.stepper.ask(asked).expect("it is new");
    assert_eq!(outbox.stats().waiting_requests, 0);

    outbox.shared.full.store(true, std::sync::atomic::Ordering::Release);
    assert!(outbox.is_full() && outbox.stats().full);
}

#[test]
fn the_clock_never_goes_back_behind_what_is_on_record() {
    let mut shop = Shop::with(windowed(&sim_dir(), 100));
    let clock = shop.outbox().clock();
    assert_eq!((clock.now(), clock.monotonic()), (shop.outbox().shared.now(), Duration::ZERO));
    let sent = shop.send(PAID);
    assert_eq!((clock.now(), clock.monotonic()), (sent.at, SECOND));

    // Somebody sets the wall clock back, and starts the store anew.
    drop(clock);
    let Shop { world, stepper, .. } = shop;
    stepper.stop();
    let earlier = ManualClock::at(UnixMs(sent.at.as_u64() - 60_000));
    let (index, runtime) = (tempfile::tempdir().expect("a temporary directory"), super::stepper::runtime());
    let disk = Arc::new(world.disk);
    let stepper = Stepper::start(windowed(&sim_dir(), 100), index.path(), &earlier, disk, &runtime).expect("it opens");
    let clock = stepper.outbox.clock();
    assert!(clock.now() >= sent.at, "{} is before {}", clock.now(), sent.at);
    let before = clock.now();
    earlier.forward(10 * SECOND);
    assert!(clock.now() > before, "it goes on all the same");
}

#[test]
fn what_is_paused_as_a_whole_is_held() {
    let mut shop = Shop::open();
    shop.endpoint("e", &[PAID]);
    shop.send(PAID);
    let held = |shop: &Shop| shop.stepper.outbox.stats().held;
    assert_eq!(held(&shop), 0);
    shop.execute(Command::PauseDispatch { paused: true });
    assert_eq!(held(&shop), 1);
    shop.execute(Command::PauseDispatch { paused: false });
    shop.execute(Command::PauseEndpoint { org: ORG, app: "shop".into(), endpoint: "e".into(), paused: true });
    assert_eq!(held(&shop), 1);
}

#[test]
fn what_is_published_is_the_figures_and_the_room_of_this_store() {
    let mut shop = Shop::with(Options { max_in_flight: 500, ..options(&sim_dir()) });
    shop.endpoint("e", &[PAID]);
    shop.send(PAID);
    let (outbox, counted) = (shop.outbox(), Counted::default());
    metrics::with_local_recorder(&counted, || outbox.publish_gauges());
    assert_eq!(counted.gauge("postrider_deliveries waiting"), Some(1.0));
    assert_eq!(counted.gauge("postrider_queue_depth requests_to_commit"), Some(0.0));
    // An outcome of each message that may be in flight, and besides some requests of callers and of the keeper.
    let limit = counted.gauge("postrider_queue_limit requests_to_commit").expect("it is set");
    assert!((1_000.0..1_000_000.0).contains(&limit), "{limit}");
}
