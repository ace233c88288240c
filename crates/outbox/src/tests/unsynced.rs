//! Outcomes are written without a sync, which comes at the next moment without work, and at a stop.

use std::sync::Arc;
use std::time::Duration;

use postrider_model::delivery::{DeliveryKey, Next};
use postrider_model::ports::{Accept as _, Configure as _};

use super::gather::settle;
use super::stepper::{self, SimWorld, sim_dir};
use super::support::{ManualClock, Running, message, options};
use crate::Options;
use crate::disk::Disk as _;
use crate::disk::sim::{SimDisk, Survival};
use crate::open::CLEAN_MARKER;

const PAID: &str = "order.paid";

/// All bytes of the journal.
fn journal(disk: &SimDisk) -> Vec<(String, Vec<u8>)> {
    let dir = sim_dir().join("journal");
    let names = disk.list(&dir).expect("it is there");
    names.into_iter().map(|name| (name.clone(), disk.content(&dir.join(name)).expect("it is there"))).collect()
}

fn is_synced(disk: &SimDisk) -> bool {
    journal(&disk.crash(Survival::Nothing)) == journal(disk)
}

#[test]
fn it_comes_when_there_is_nothing_to_do() {
    let world = SimWorld::new();
    let mut stepper = world.start(options(&sim_dir())).expect("an empty directory opens");
    let outbox = stepper.outbox.clone();
    stepper.ask(outbox.execute(stepper::app("shop"))).expect("it is legal");
    stepper.ask(outbox.execute(stepper::endpoint("shop", "e", &[PAID]))).expect("it is legal");
    let accepted = stepper.ask(outbox.accept(message("shop", PAID, "1"))).expect("there is room");
    let endpoint = stepper.endpoint_id("shop", "e").expect("it is there");
    let key = DeliveryKey { endpoint, message: outbox.shared.mask.position(accepted.id.0) };
    stepper.attempt(key, 200, Next::Delivered).expect("it is recorded");
    assert!(!is_synced(&world.disk), "nobody waits for it");
    stepper.step();
    assert!(is_synced(&world.disk));
}

/// Else the next start would take for whole what the process in between has left.
#[test]
fn a_clean_stop_is_forgotten_for_good_at_the_next_start() {
    let world = SimWorld::new();
    world.start(options(&sim_dir())).expect("an empty directory opens").stop();
    let stepper = world.start(options(&sim_dir())).expect("it opens");
    assert!(stepper.report.clean);
    let marker = sim_dir().join(CLEAN_MARKER);
    assert!(world.disk.crash(Survival::Nothing).content(&marker).is_err(), "it does not come back");
}

#[test]
fn it_does_not_come_with_each_of_them() {
    let (disk, index) = (SimDisk::new(), tempfile::tempdir().expect("a temporary directory"));
    let never = Duration::from_secs(100_000);
    let seldom = Options { outcome_gather: Duration::ZERO, outcome_sync: never, ..options(&sim_dir()) };
    let started = Running::start_beside(seldom, index.path(), &ManualClock::new(), Arc::new(disk.clone()));
    let mut running = started.expect("an empty directory opens");
    running.app("shop");
    running.endpoint("shop", &[PAID]);
    for _ in 0..4 {
        running.send("shop", PAID, "1");
    }
    let (before, all) = (journal(&disk.crash(Survival::Nothing)), running.waiting());
    for (key, _) in all {
        running.attempt(key, 200, Next::Delivered);
    }
    assert!(journal(&disk) != before, "they are recorded");
    assert!(journal(&disk.crash(Survival::Nothing)) == before, "nobody waits for them");
    running.stop();
    assert!(is_synced(&disk));
}

#[test]
fn it_comes_at_a_stop() {
    let (disk, index) = (SimDisk::new(), tempfile::tempdir().expect("a temporary directory"));
    let never = Duration::from_secs(100_000);
    // What gathers is first written at the stop.
    let gathering = Options { outcome_gather: never, outcome_sync: never, ..options(&sim_dir()) };
    let started = Running::start_beside(gathering, index.path(), &ManualClock::new(), Arc::new(disk.clone()));
    let mut running = started.expect("an empty directory opens");
    running.app("shop");
    running.endpoint("shop", &[PAID]);
    running.send("shop", PAID, "1");
    let (key, _) = running.waiting().pop().expect("it waits");
    let before = journal(&disk);
    settle(&running, &running.job(key), false);
    running.stop();
    assert!(journal(&disk) != before, "it is recorded");
    assert!(is_synced(&disk));
}
