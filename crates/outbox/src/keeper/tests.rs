//! The keeper as a body of work for a thread.

use postrider_model::delivery::DeliveryKey;
use postrider_model::lane::{DeliveryStore as _, LaneEvent};
use postrider_model::ports::{Accept as _, Configure as _, Control as _};

use super::*;
use crate::disk::RealDisk;
use crate::index::{Index, IndexOptions};
use crate::tests::stepper;
use crate::tests::support::{ManualClock, message, options, wait};
use crate::{Opened, Options, Outbox, open};

#[test]
fn signals_do_not_pile_up() {
    let (signal, woken) = KeeperSignal::new();
    assert!(woken.try_recv().is_err());
    signal.wake();
    signal.wake();
    assert!(woken.try_recv().is_ok() && woken.try_recv().is_err());
    assert!(!signal.stop.load(Ordering::Acquire));
    signal.stop();
    assert!(woken.try_recv().is_ok() && signal.stop.load(Ordering::Acquire));
    drop(woken);
    signal.wake();
}

/// What the scheduler hears of next that waits; `None` if it hears of nothing for long.
fn waits(outbox: &Outbox) -> Option<Vec<DeliveryKey>> {
    let patience = Duration::from_secs(10);
    let mut events = vec![];
    wait(async { tokio::time::timeout(patience, outbox.changed()).await }).ok()?;
    outbox.take(&mut events);
    let waiting = events.iter().filter_map(|event| match event {
        LaneEvent::Waiting { key, .. } => Some(*key),
        _ => None,
    });
    Some(waiting.collect())
}

#[test]
fn it_works_until_it_is_told_to_stop() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let narrow = Options { lane_window: 4, segment_bytes: 1 << 20, body_limit_bytes: 1 << 10, ..options(dir.path()) };
    let index = Index::open(&IndexOptions::new(dir.path().join("index"))).expect("a directory can be made");
    let opened = open(narrow, Arc::new(RealDisk), ManualClock::new(), index).expect("an empty directory opens");
    let Opened { outbox, committer, keeper, .. } = opened;
    let committer = std::thread::spawn(move || committer.run());
    let keeper = std::thread::spawn(move || keeper.run());
    wait(outbox.execute(stepper::app("shop"))).expect("it is legal");
    wait(outbox.execute(stepper::endpoint("shop", "e", &["order.paid"]))).expect("it is legal");
    let sent = (0..10).map(|_| wait(outbox.accept(message("shop", "order.paid", "{}"))).expect("there is room").id);
    let sent: Vec<_> = sent.collect();
    let (app, endpoint) = {
        let config = outbox.shared.config.read();
        let endpoint = config.apps().flat_map(|entry| entry.endpoints()).next().expect("it was made");
        (endpoint.app, endpoint.id)
    };
    // Of the four in the window three are cancelled, and the keeper brings others in their place.
    for cancelled in &sent[..4] {
        wait(outbox.cancel(app, *cancelled, endpoint)).expect("it waits");
    }
    let mut told = std::collections::BTreeSet::new();
    while told.len() < 6 {
        told.extend(waits(&outbox).expect("the keeper fills the window"));
    }
    assert!(!keeper.is_finished());
    outbox.stop();
    keeper.join().expect("it does not panic");
    committer.join().expect("it does not panic").expect("the disk works");
}

#[test]
fn it_does_not_wait_for_a_committer_that_has_just_ended() {
    let world = stepper::SimWorld::new();
    let mut stepper = world.start(options(&stepper::sim_dir())).expect("it is empty");
    let keeper = stepper.keeper.take().expect("it is there");
    let mut committer = stepper.committer.take().expect("it has not ended");
    committer.end();
    let (told, heard) = std::sync::mpsc::channel();
    std::thread::spawn(move || told.send(keeper.ask(Errand::RemoveTornTails)));
    assert_eq!(heard.recv_timeout(Duration::from_secs(10)), Ok(None));
    // What it shares with the keeper is there until then.
    drop(committer);
}
