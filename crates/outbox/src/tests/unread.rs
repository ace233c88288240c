//! What cannot be read for a while is not taken for something that is not there; what can be read no more is passed over.

use std::path::Path;
use std::sync::Arc;

use postrider_model::delivery::{DeliveryState, Next};
use postrider_model::id::{AppId, MessageId};
use postrider_model::query::{Query as _, QueryError};
use tempfile::TempDir;

use super::stepper::sim_dir;
use super::support::{ManualClock, Running};
use super::tasking::{OTHER, windowed};
use crate::disk::sim::SimDisk;
use crate::disk::{Disk, RealDisk};

const PAID: &str = "order.paid";

/// Fills a segment, so that what comes next lies in another one.
fn fill(running: &Running) {
    for _ in 0..10 {
        running.send("shop", OTHER, &"x".repeat(8_000));
    }
}

/// A store with a message in its first segment, and in the second the attempt that delivered it. The
/// file of the first is open, that of the second is not.
fn store(dir: &Path, disk: &Arc<dyn Disk>) -> (TempDir, Running, AppId, MessageId) {
    let (index, clock) = (tempfile::tempdir().expect("a temporary directory"), ManualClock::new());
    let start = || {
        let running = Running::start_beside(windowed(dir, 100), index.path(), &clock, Arc::clone(disk));
        let mut running = running.expect("the store opens");
        running.keeper.round();
        running
    };
    let mut running = start();
    running.app("shop");
    let app = running.endpoint("shop", &[PAID]).app;
    let sent = running.send("shop", PAID, "1").id;
    fill(&running);
    let (key, _) = running.waiting()[0];
    running.attempt(key, 200, Next::Delivered);
    fill(&running);
    running.keeper.round();
    running.stop();

    let running = start();
    assert!(running.outbox.message(app, sent).is_ok_and(|found| found.is_some()));
    (index, running, app, sent)
}

fn state(running: &Running, app: AppId, message: MessageId) -> Result<DeliveryState, QueryError> {
    running.outbox.deliveries_of(app, message).map(|deliveries| deliveries[0].state)
}

#[test]
fn how_a_delivery_has_ended_is_not_guessed_while_its_attempts_cannot_be_read() {
    let sim = SimDisk::new();
    let disk: Arc<dyn Disk> = Arc::new(sim.clone());
    let (_index, running, app, message) = store(&sim_dir(), &disk);
    sim.set_out_of_files(true);
    let unread = state(&running, app, message);
    assert!(matches!(unread, Err(QueryError::Failed(_))), "{unread:?}");
    sim.set_out_of_files(false);
    let read = state(&running, app, message);
    assert!(matches!(read, Ok(DeliveryState::Delivered { attempt: 1, .. })), "{read:?}");
    running.stop();
}

#[test]
fn what_the_disk_gives_back_no_more_does_not_hide_the_rest_of_a_message() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let disk: Arc<dyn Disk> = Arc::new(RealDisk);
    let (_index, running, app, message) = store(dir.path(), &disk);
    let segment = dir.path().join("journal/segment-0000000002.journal");
    std::fs::rename(&segment, dir.path().join("aside")).expect("it is there");
    std::fs::create_dir(&segment).expect("its name is free");
    let known = state(&running, app, message).expect("what is left is told");
    assert!(!matches!(known, DeliveryState::Delivered { attempt: 1, .. }), "how it ended lies there: {known:?}");
    running.stop();
}
