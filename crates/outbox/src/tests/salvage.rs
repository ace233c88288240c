//! What a salvage makes of damage, beside what `damage.rs` shows.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use postrider_model::ports::{Accept as _, Configure as _};
use rustix::io::Errno;

use super::bad_disk::{Bad, BadDisk};
use super::damage::{PAID, Store, salvage_into_new};
use super::stepper::{self, SimWorld, sim_dir};
use super::support::{ManualClock, Running, message, options};
use crate::disk::sim::Survival;
use crate::disk::{Disk, RealDisk};
use crate::journal::DamageKind;
use crate::{Options, Unread, WhatIsKnown, salvage};

/// Configuration that lies in no segment any more is in the checkpoint alone.
#[test]
fn configuration_comes_out_of_a_damaged_checkpoint_as_far_as_it_proves_itself() {
    for is_in_config in [false, true] {
        let (dir, clock) = (tempfile::tempdir().expect("a temporary directory"), ManualClock::new());
        let running = Running::start(options(dir.path()), &clock).expect("an empty directory opens");
        running.app("shop");
        running.endpoint("shop", &[PAID]);
        running.send("shop", PAID, "more");
        running.stop();
        let path = dir.path().join("checkpoint");
        let mut bytes = std::fs::read(&path).expect("a clean stop leaves one");
        let at = if is_in_config { 100 } else { bytes.len() - 1 };
        bytes[at] ^= 1;
        std::fs::write(&path, bytes).expect("it can be written");
        // The journal is gone with all that made the configuration.
        std::fs::remove_file(dir.path().join("journal/segment-0000000001.journal")).expect("it is there");
        let (to, salvaged) = salvage_into_new(dir.path(), &clock);
        let checkpoint = salvaged.checkpoint.expect("it is damaged");
        assert_eq!(checkpoint.configuration_saved, !is_in_config, "{checkpoint:?}");
        let running = Running::start(options(to.path()), &clock).expect("it was salvaged");
        let mut endpoints = 0;
        running.outbox.with_config(&mut |config| {
            endpoints = config.apps().map(|app| app.endpoints().count()).sum();
        });
        assert_eq!(endpoints, usize::from(!is_in_config));
        running.stop();
    }
}

#[test]
fn what_the_disk_does_not_give_back_is_named_and_the_rest_is_kept() {
    let store = Store::new(true);
    let bytes = std::fs::read(store.segment()).expect("it can be read");
    let body = b"first-live-body";
    let at = bytes.windows(body.len()).position(|window| window == body).expect("the text is there");
    let block = at as u64 / 4_096 * 4_096;
    let bad = Bad::part(store.segment(), block..block + 4_096, Errno::IO);
    let disk: Arc<dyn Disk> = Arc::new(BadDisk::new(store.dir.path(), vec![bad]));
    let to = tempfile::tempdir().expect("a temporary directory");
    let salvaged =
        salvage(&options(store.dir.path()), to.path(), &disk, &*store.clock, &mut |_, _| {}).expect("the rest works");
    let [unread] = salvaged.unread.as_slice() else { panic!("one block: {salvaged:?}") };
    assert_eq!((unread.from, unread.to, &unread.path), (block, block + 4_096, &store.segment()));
    assert!(!salvaged.missing.is_empty() && !salvaged.messages.is_empty(), "{salvaged:?}");
    assert!(Running::start(options(to.path()), &store.clock).is_ok());
}

/// Where not even the id of a message is left, nobody can say more than how many there were.
#[test]
fn deliveries_without_a_name_are_counted_and_those_around_them_are_kept() {
    let (dir, clock) = (tempfile::tempdir().expect("a temporary directory"), ManualClock::new());
    let small = |dir: &Path| Options { lane_window: 2, ..options(dir) };
    let running = Running::start(small(dir.path()), &clock).expect("an empty directory opens");
    running.app("shop");
    running.endpoint("shop", &[PAID]);
    let sent: Vec<_> = (0..9).map(|n| running.send("shop", PAID, &format!("body-{n}"))).collect();
    running.stop();
    let path = dir.path().join("journal/segment-0000000001.journal");
    let mut bytes = std::fs::read(&path).expect("it can be read");
    let id = sent[6].id.0.as_bytes();
    let at = bytes.windows(id.len()).position(|window| window == id).expect("the record holds its id");
    bytes[at + 8] ^= 1;
    std::fs::write(&path, bytes).expect("it can be written");
    let disk: Arc<dyn Disk> = Arc::new(RealDisk);
    let to = tempfile::tempdir().expect("a temporary directory");
    let salvaged =
        salvage(&small(dir.path()), to.path(), &disk, &*clock, &mut |_, _| {}).expect("the file system works");
    assert_eq!((salvaged.payloads_lost, salvaged.deliveries_lost), (0, 1), "{salvaged:?}");
    let [missing] = salvaged.missing.as_slice() else { panic!("one part: {salvaged:?}") };
    assert_eq!(
        missing.broken.iter().map(|record| (record.kind, record.message)).collect::<Vec<_>>(),
        [("message", None)]
    );
    assert_eq!(salvaged.messages, []);
    let running = Running::start(small(to.path()), &clock).expect("it was salvaged");
    assert_eq!(running.outbox.stats().pending, 8);
    running.stop();
}

/// What was recorded of a message tells its name, where its own record is gone with its segment.
#[test]
fn a_segment_that_is_gone_is_named_with_what_refers_to_it() {
    let (dir, clock) = (tempfile::tempdir().expect("a temporary directory"), ManualClock::new());
    let small = |dir: &Path| Options { segment_bytes: 64 << 10, body_limit_bytes: 8 << 10, ..options(dir) };
    let mut running = Running::start(small(dir.path()), &clock).expect("an empty directory opens");
    running.app("shop");
    let endpoint = running.endpoint("shop", &[PAID]);
    let sent: Vec<_> = (0..30).map(|_| running.send("shop", PAID, &"x".repeat(7_000))).collect();
    for (key, _) in running.waiting() {
        running.attempt(key, 200, postrider_model::delivery::Next::Delivered);
    }
    running.kill();
    let path = dir.path().join("journal/segment-0000000002.journal");
    // The disk does not open it: it is as good as gone.
    let bad: Arc<dyn Disk> = Arc::new(BadDisk::new(dir.path(), vec![Bad::file(path.clone(), Errno::IO)]));
    let to = tempfile::tempdir().expect("a temporary directory");
    let unopened = salvage(&small(dir.path()), to.path(), &bad, &*clock, &mut |_, _| {}).expect("the rest works");
    assert_eq!(unopened.unread, [Unread { path: path.clone(), from: 0, to: 0 }]);
    std::fs::remove_file(path).expect("it is there");
    let disk: Arc<dyn Disk> = Arc::new(RealDisk);
    let to = tempfile::tempdir().expect("a temporary directory");
    let salvaged =
        salvage(&small(dir.path()), to.path(), &disk, &*clock, &mut |_, _| {}).expect("the file system works");
    assert_eq!(salvaged.missing, unopened.missing);
    let [missing] = salvaged.missing.as_slice() else { panic!("one part: {salvaged:?}") };
    assert_eq!((missing.segment, missing.what, missing.is_covered), (2, DamageKind::MissingSegment, false));
    let (before, after) = (missing.before.expect("a frame"), missing.after.expect("a frame"));
    assert_eq!((before.position.segment(), after.position.segment()), (1, 3));
    assert!(!salvaged.messages.is_empty() && salvaged.messages.iter().all(|lost| lost.sequence.segment() == 2));
    for lost in &salvaged.messages {
        assert!(sent.iter().any(|accepted| accepted.id == lost.id), "{lost:?}");
        assert_eq!(lost.deliveries.get(&endpoint.id).map(|delivery| delivery.known), Some(WhatIsKnown::Delivered));
    }
    assert!(Running::start(small(to.path()), &clock).is_ok());
}

#[test]
fn what_was_salvaged_is_there_after_a_power_cut() {
    let (world, to) = (SimWorld::new(), PathBuf::from("/new"));
    let mut stepper = world.start(options(&sim_dir())).expect("an empty directory opens");
    let outbox = stepper.outbox.clone();
    stepper.ask(outbox.execute(stepper::app("shop"))).expect("it is legal");
    stepper.ask(outbox.accept(message("shop", PAID, "1"))).expect("there is room");
    stepper.stop();
    let disk: Arc<dyn Disk> = Arc::new(world.disk.clone());
    disk.create_dir_all(&to).expect("it is free");
    salvage(&options(&sim_dir()), &to, &disk, &*world.clock, &mut |_, _| {}).expect("the disk works");
    let left = world.disk.crash(Survival::Nothing);
    let names = disk.list(&to.join("journal")).expect("it is there");
    let journal = names.iter().map(|name| to.join("journal").join(name));
    for path in journal.chain([to.join("checkpoint")]) {
        let whole = world.disk.content(&path).expect("it is there");
        assert!(left.content(&path).is_ok_and(|kept| kept == whole), "{}", path.display());
    }
}
