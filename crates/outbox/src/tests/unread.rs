//! What cannot be read for a while is not taken for something that is not there; what can be read no more is passed over.

use std::path::Path;
use std::sync::Arc;

use postrider_model::delivery::{DeliveryKey, DeliveryState, Next};
use postrider_model::id::{AppId, MessageId};
use postrider_model::ports::{Accept as _, Configure as _};
use postrider_model::query::{Query as _, QueryError};
use rustix::io::Errno;
use tempfile::TempDir;

use super::one_fails::OneFails;
use super::stepper::{self, SimWorld, sim_dir};
use super::support::{ManualClock, Running, message, options};
use super::tasking::{OTHER, windowed};
use crate::disk::sim::{SimDisk, Survival};
use crate::disk::{Disk, RealDisk};
use crate::index::{Index, IndexOptions};
use crate::journal::segment_path;
use crate::{OpenError, Opened, Options, open};

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

fn small() -> Options {
    Options { segment_bytes: 64 << 10, body_limit_bytes: 8 << 10, ..options(&sim_dir()) }
}

/// A store with two messages, of which each was delivered, or waits.
fn two_messages(delivered: bool, clean: bool) -> SimWorld {
    let world = SimWorld::new();
    let mut stepper = world.start(small()).expect("it is empty");
    let outbox = stepper.outbox.clone();
    stepper.ask(outbox.execute(stepper::app("shop"))).expect("it is legal");
    stepper.ask(outbox.execute(stepper::endpoint("shop", "e", &[PAID]))).expect("it is legal");
    let endpoint = stepper.endpoint_id("shop", "e").expect("it was made");
    for body in ["1", "2"] {
        let sent = stepper.ask(outbox.accept(message("shop", PAID, body))).expect("there is room");
        let key = DeliveryKey { endpoint, message: outbox.shared.mask.position(sent.id.0) };
        if delivered {
            stepper.attempt(key, 200, Next::Delivered).expect("it is recorded");
        }
    }
    if clean {
        stepper.stop();
    }
    world
}

/// Each of the looks at it in turn. Only what is read is damaged or is not.
#[test]
fn a_start_that_cannot_read_the_newest_segment_is_refused_with_that_and_takes_nothing_away() {
    let newest = segment_path(&sim_dir().join("journal"), 1);
    for (delivered, clean) in [(true, true), (true, false), (false, true), (false, false)] {
        let world = two_messages(delivered, clean);
        let before = world.disk.content(&newest).expect("it is there");
        let used = before.iter().rposition(|byte| *byte != 0).expect("it is not empty");
        for spared in 0.. {
            let sim = world.disk.crash(Survival::Everything);
            let index = tempfile::tempdir().expect("a temporary directory");
            let start = |disk: Arc<dyn Disk>| {
                let index = Index::open(&IndexOptions::new(index.path())).expect("a directory can be made");
                open(small(), disk, ManualClock::new(), index)
            };
            let disk = OneFails::after(spared, &sim, &newest, Errno::IO);
            let started = start(Arc::<OneFails>::clone(&disk));
            if !disk.has_failed() {
                assert!(started.is_ok() && spared > 3, "{spared}");
                break;
            }
            let Err(error) = started else { panic!("{delivered} {clean} {spared}: it has not read all") };
            let (OpenError::Io { path, source, .. }
            | OpenError::Journal(crate::journal::OpenError::Io { path, source, .. })) = error
            else {
                panic!("{delivered} {clean} {spared}: {error}")
            };
            assert_eq!((path, Errno::from_io_error(&source)), (newest.clone(), Some(Errno::IO)));
            let after = sim.content(&newest).expect("it is there");
            assert!(before[..=used] == after[..=used], "{delivered} {clean} {spared}: it was changed");
            let Opened { outbox, report, .. } = start(Arc::new(sim)).expect("all of it can be read again");
            assert_eq!((report.quarantined, report.torn_bytes), (vec![], 0));
            assert_eq!(outbox.stats().pending, if delivered { 0 } else { 2 });
        }
    }
}
