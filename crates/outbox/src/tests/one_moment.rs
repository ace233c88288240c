//! What is shown of a delivery is of one moment, while outcomes are recorded.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use postrider_model::command::{Command, Write};
use postrider_model::delivery::{DeliveryState, Next};
use postrider_model::endpoint::Endpoint;
use postrider_model::id::{AppId, MessageId};
use postrider_model::query::{Delivery, Query as _};
use tempfile::TempDir;

use super::support::{ManualClock, ORG, Running, options};
use crate::Outbox;

/// Enough that a reader comes between any two steps of the committer.
const ROUNDS: usize = 150;

fn store() -> (TempDir, Running, Arc<Endpoint>) {
    let dir = tempfile::tempdir().expect("a directory");
    let running = Running::start(options(dir.path()), &ManualClock::new()).expect("an empty directory opens");
    running.app("shop");
    let endpoint = running.endpoint("shop", &["order.paid"]);
    (dir, running, endpoint)
}

/// Looks at a message's only delivery again and again until `seen` says that it is over.
fn look(
    outbox: &Outbox,
    (app, message): (AppId, MessageId),
    looked: &AtomicBool,
    mut seen: impl FnMut(&Delivery) -> bool,
) {
    loop {
        let deliveries = outbox.deliveries_of(app, message).expect("it can be read");
        assert_eq!(deliveries.len(), 1);
        let over = seen(&deliveries[0]);
        looked.store(true, Ordering::Release);
        if over {
            return;
        }
    }
}

/// Settles the only delivery that waits while another thread looks at it.
fn settle_watched(
    (running, app): (&mut Running, AppId),
    (status, next): (u16, Next),
    seen: impl FnMut(&Delivery) -> bool + Send,
) {
    let (key, _) = running.waiting()[0];
    let job = running.job(key);
    let (outbox, looked) = (running.outbox.clone(), AtomicBool::new(false));
    let message = (app, job.message);
    std::thread::scope(|scope| {
        let watching = scope.spawn(|| look(&outbox, message, &looked, seen));
        while !looked.load(Ordering::Acquire) && !watching.is_finished() {
            std::hint::spin_loop();
        }
        running.settle(&job, status, next);
        watching.join().expect("what is seen is as it should be");
    });
}

#[test]
fn a_delivery_that_ends_is_never_shown_as_one_that_was_cancelled() {
    let (_dir, mut running, endpoint) = store();
    let app = endpoint.app;
    for _ in 0..ROUNDS {
        running.send("shop", "order.paid", "1");
        settle_watched((&mut running, app), (200, Next::Delivered), |delivery| match delivery.state {
            DeliveryState::Scheduled(scheduled) => {
                assert_eq!(scheduled.attempt, 1);
                false
            }
            DeliveryState::Delivered { attempt, .. } => {
                assert_eq!(attempt, 1);
                true
            }
            other => panic!("{other:?}"),
        });
    }
    running.stop();
}

#[test]
fn a_delivery_waits_for_its_disabled_endpoint_from_the_attempt_on_that_disabled_it() {
    let (_dir, mut running, endpoint) = store();
    running.send("shop", "order.paid", "1");
    for made in 1..=ROUNDS {
        let next = Next::Retry { due: running.outbox.shared.now() };
        settle_watched((&mut running, endpoint.app), (410, next), |delivery| {
            let scheduled = delivery.state.waits_for().expect("it waits");
            assert_eq!(delivery.held.is_some(), usize::from(scheduled.attempt) > made, "{delivery:?}");
            delivery.held.is_some()
        });
        enable(&running, &endpoint);
    }
    running.stop();
}

/// A replay goes on with the next number: two attempts of one number could not be told apart.
#[test]
fn an_attempt_is_in_flight_or_on_record_at_every_moment() {
    let (_dir, mut running, endpoint) = store();
    let app = endpoint.app;
    for _ in 0..ROUNDS {
        running.send("shop", "order.paid", "1");
        let shared = Arc::clone(&running.outbox.shared);
        settle_watched((&mut running, app), (200, Next::Delivered), |delivery| {
            let found = shared.find_message(app, delivery.message).expect("it can be read").expect("it is there");
            let delivery_ref = found.delivery(delivery.key.endpoint);
            assert_eq!(shared.attempts_made(app, &delivery_ref), Ok(1));
            !delivery.state.is_pending()
        });
    }
    running.stop();
}

fn enable(running: &Running, endpoint: &Endpoint) {
    running.command(Command::Endpoint {
        org: ORG,
        app: "shop".to_owned(),
        endpoint: endpoint.id.to_string(),
        write: Write::Update,
        secret: None,
        disabled: Some(false),
        edit: Box::new(|_| {}),
    });
}
