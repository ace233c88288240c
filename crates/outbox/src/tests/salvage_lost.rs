//! What a salvage says is lost, and what it keeps all the same.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use postrider_model::delivery::{DeadReason, DeliveryState, Next};
use postrider_model::ports::{Accept as _, Configure as _};
use rustix::io::Errno;

use super::bad_disk::{Bad, BadDisk};
use super::damage::{PAID, Store, dead, flip, salvage_into_new};
use super::one_fails::OneFails;
use super::stepper::{self, SimWorld, Stepper, runtime, sim_dir};
use super::support::{ManualClock, Running, message, options};
use crate::checkpoint::CheckpointError;
use crate::disk::sim::Survival;
use crate::disk::{Disk, RealDisk};
use crate::journal;
use crate::record::{Record, decode};
use crate::{MasterKey, OpenError, Options, Salvaged, UnknownEndpoint, WhatIsKnown, salvage};

/// Where each record of a segment lies in its file, decoded.
fn records(dir: &Path, number: u32) -> Vec<(usize, Record)> {
    let journal = dir.join("journal");
    let store = options(dir).master_key.store_id();
    let mut records = vec![];
    let mut visit = |record: journal::RecordAt<'_>| {
        let decoded = decode(&bytes::Bytes::copy_from_slice(record.bytes)).expect("it is whole");
        records.push((record.position.offset_bytes() as usize, decoded));
    };
    journal::salvage_segment(&RealDisk, &journal, number, store, &mut visit).expect("it can be read");
    records
}

/// Changes a byte of a record.
fn damage(path: &Path, record: usize) {
    let mut bytes = std::fs::read(path).expect("it can be read");
    // In what lies behind its envelope and its head.
    bytes[record + 30] ^= 1;
    std::fs::write(path, bytes).expect("it can be written");
}

fn salvage_from(
    bad: Vec<Bad>,
    options: &Options,
    clock: &ManualClock,
) -> (tempfile::TempDir, Result<Salvaged, OpenError>) {
    let to = tempfile::tempdir().expect("a temporary directory");
    let disk: Arc<dyn Disk> = Arc::new(BadDisk::new(&options.dir, bad));
    let salvaged = salvage(options, to.path(), &disk, clock, &mut |_, _| {});
    (to, salvaged)
}

#[test]
fn of_a_store_that_is_whole_nothing_is_missing() {
    for clean in [true, false] {
        let store = Store::new(clean);
        let all = records(store.dir.path(), 1).len() as u64;
        let (to, salvaged) = salvage_into_new(store.dir.path(), &store.clock);
        assert_eq!(salvaged, Salvaged { records: all, ..Salvaged::default() });
        let mut running = Running::start(options(to.path()), &store.clock).expect("it was salvaged");
        assert_eq!(running.waiting().len(), 2);
        assert!(dead(&running).is_empty());
        running.stop();
    }
}

/// Each segment is copied, and read.
#[test]
fn progress_is_told_step_by_step() {
    let (dir, clock) = (tempfile::tempdir().expect("a temporary directory"), ManualClock::new());
    let small = Options { segment_bytes: 64 << 10, body_limit_bytes: 8 << 10, ..options(dir.path()) };
    let running = Running::start(small.clone(), &clock).expect("an empty directory opens");
    running.app("shop");
    running.endpoint("shop", &[PAID]);
    for _ in 0..30 {
        running.send("shop", PAID, &"x".repeat(5_000));
    }
    running.stop();
    let segments = journal::segment_numbers(&RealDisk, &dir.path().join("journal")).expect("it can be listed");
    let (to, mut told) = (tempfile::tempdir().expect("a temporary directory"), vec![]);
    let disk: Arc<dyn Disk> = Arc::new(RealDisk);
    let salvaged = salvage(&small, to.path(), &disk, &*clock, &mut |done, of| told.push((done, of)));
    let steps = 2 * segments.len();
    assert_eq!(told, (0..=steps).map(|done| (done, steps)).collect::<Vec<_>>());
    let all: usize = segments.iter().map(|number| records(dir.path(), *number).len()).sum();
    assert_eq!(salvaged.expect("all is read").records, all as u64);
}

/// What came later in the journal than a message counts for it as well where the message is damaged.
#[test]
fn a_damaged_message_that_was_delivered_is_no_dead_letter() {
    let store = Store::new(false);
    flip(&store.segment(), "delivered-body");
    let (to, salvaged) = salvage_into_new(store.dir.path(), &store.clock);
    assert_eq!((salvaged.payloads_lost, salvaged.deliveries_lost), (0, 0), "{salvaged:?}");
    let [lost] = salvaged.messages.as_slice() else { panic!("one is: {salvaged:?}") };
    assert_eq!((lost.id, lost.event_type.as_deref()), (store.delivered.id, Some(PAID)));
    let known: Vec<_> = lost.deliveries.values().map(|delivery| (delivery.known, delivery.is_dead_letter)).collect();
    assert_eq!(known, [(WhatIsKnown::Delivered, false)]);
    let mut running = Running::start(options(to.path()), &store.clock).expect("it was salvaged");
    assert!(dead(&running).is_empty());
    assert_eq!(running.waiting().len(), 2);
    running.stop();
}

#[test]
fn a_damaged_message_that_waited_is_a_dead_letter_that_says_so() {
    let store = Store::new(false);
    flip(&store.segment(), "first-live-body");
    let (to, salvaged) = salvage_into_new(store.dir.path(), &store.clock);
    assert_eq!((salvaged.payloads_lost, salvaged.deliveries_lost), (1, 0), "{salvaged:?}");
    let [lost] = salvaged.messages.as_slice() else { panic!("one is: {salvaged:?}") };
    let known: Vec<_> = lost.deliveries.values().map(|delivery| (delivery.known, delivery.is_dead_letter)).collect();
    assert_eq!((lost.id, known), (store.live[0].id, vec![(WhatIsKnown::Named, true)]));
    let mut running = Running::start(options(to.path()), &store.clock).expect("it was salvaged");
    let letters: Vec<_> = dead(&running).iter().map(|letter| (letter.message, letter.state)).collect();
    let [(message, DeliveryState::Dead { reason, .. })] = letters[..] else { panic!("one is: {letters:?}") };
    assert_eq!((message, reason), (store.live[0].id, DeadReason::PayloadDamaged));
    assert_eq!(running.waiting().len(), 1, "the other one");
    running.stop();
}

/// Else a copy would be made that is of no use.
#[test]
fn another_stores_key_is_refused_before_anything_is_copied() {
    let store = Store::new(false);
    let other = Options { master_key: MasterKey::new([8; 32]), ..options(store.dir.path()) };
    let (to, refused) = salvage_from(vec![], &other, &store.clock);
    assert!(matches!(refused, Err(OpenError::Journal(journal::OpenError::ForeignStore { .. }))), "{refused:?}");
    assert_eq!(RealDisk.list(to.path()).expect("it is there"), [""; 0]);
}

#[test]
fn an_endpoint_whose_record_is_damaged_is_named_by_those_that_tell_of_it() {
    let store = Store::new(false);
    let is_sealed = |(_, record): &&(usize, Record)| matches!(record, Record::SealedConfig(_));
    let records = records(store.dir.path(), 1);
    let (at, _) = records.iter().find(is_sealed).expect("an endpoint is sealed");
    damage(&store.segment(), *at);
    let (to, salvaged) = salvage_into_new(store.dir.path(), &store.clock);
    let unknown = UnknownEndpoint { id: store.endpoint.id, app: store.endpoint.app };
    assert_eq!(salvaged.endpoints, [unknown]);
    let [missing] = salvaged.missing.as_slice() else { panic!("one part: {salvaged:?}") };
    let broken: Vec<_> = missing.broken.iter().map(|record| (record.kind, record.message)).collect();
    assert_eq!(broken, [("configuration", None)]);
    assert!(Running::start(options(to.path()), &store.clock).is_ok());
}

#[test]
fn a_checkpoint_that_the_disk_does_not_give_back_is_a_damaged_one() {
    let store = Store::new(true);
    let (path, whole) = (store.dir.path().join("checkpoint"), options(store.dir.path()));
    for bad in [Bad::file(path.clone(), Errno::IO), Bad::part(path.clone(), 0..8, Errno::IO)] {
        let (to, salvaged) = salvage_from(vec![bad], &whole, &store.clock);
        let salvaged = salvaged.expect("the journal has it all");
        let checkpoint = salvaged.checkpoint.expect("it is told");
        assert!(!checkpoint.configuration_saved && checkpoint.damage.contains("checkpoint"), "{checkpoint:?}");
        let mut running = Running::start(options(to.path()), &store.clock).expect("it was salvaged");
        assert_eq!(running.waiting().len(), 2);
        running.stop();
    }
    // Another user may be able to read it.
    let (_, refused) = salvage_from(vec![Bad::file(path, Errno::ACCESS)], &whole, &store.clock);
    assert!(matches!(refused, Err(OpenError::Checkpoint(_))), "{refused:?}");
}

/// A lane that works lets new messages pass what waits behind its window, so that this lies in pieces.
#[test]
fn what_is_lost_is_counted_in_all_pieces_of_a_backlog() {
    let (dir, clock) = (tempfile::tempdir().expect("a temporary directory"), ManualClock::new());
    let small = |dir: &Path| Options { lane_window: 2, ..options(dir) };
    let running = Running::start(small(dir.path()), &clock).expect("an empty directory opens");
    running.app("shop");
    running.endpoint("shop", &[PAID]);
    let sent: Vec<_> = (0..9).map(|n| running.send("shop", PAID, &format!("body-{n}"))).collect();
    running.stop();
    let path: PathBuf = dir.path().join("journal/segment-0000000001.journal");
    let mut bytes = std::fs::read(&path).expect("it can be read");
    for lost in [1, 6] {
        let id = sent[lost].id.0.as_bytes();
        let at = bytes.windows(id.len()).position(|window| window == id).expect("the record holds its id");
        bytes[at + 8] ^= 1;
    }
    std::fs::write(&path, bytes).expect("it can be written");
    let disk: Arc<dyn Disk> = Arc::new(RealDisk);
    let to = tempfile::tempdir().expect("a temporary directory");
    let salvaged = salvage(&small(dir.path()), to.path(), &disk, &*clock, &mut |_, _| {}).expect("the rest is read");
    assert_eq!((salvaged.payloads_lost, salvaged.deliveries_lost), (0, 2), "{salvaged:?}");
    let running = Running::start(small(to.path()), &clock).expect("it was salvaged");
    assert_eq!(running.outbox.stats().pending, 7);
    running.stop();
}

#[test]
fn bytes_at_the_end_that_were_never_synced_are_told_by_their_number() {
    let store = Store::new(false);
    let path = store.segment();
    let mut torn = std::fs::read(&path).expect("it can be read");
    let end = (torn.iter().rposition(|byte| *byte != 0).expect("it is not empty") + 1).next_multiple_of(8);
    torn[end..end + 8].copy_from_slice(b"PRFRtorn");
    std::fs::write(&path, torn).expect("it can be written");
    let (_to, salvaged) = salvage_into_new(store.dir.path(), &store.clock);
    assert!(salvaged.torn_bytes >= 8, "{salvaged:?}");
    let all = records(store.dir.path(), 1).len() as u64;
    assert_eq!(salvaged, Salvaged { records: all, torn_bytes: salvaged.torn_bytes, ..Salvaged::default() });
}

/// Nothing that is read tells of a file that is gone.
#[test]
fn a_lane_reads_on_behind_a_segment_that_is_gone_and_what_it_held_is_counted() {
    let (dir, clock) = (tempfile::tempdir().expect("a temporary directory"), ManualClock::new());
    let small =
        |dir: &Path| Options { segment_bytes: 64 << 10, body_limit_bytes: 8 << 10, lane_window: 2, ..options(dir) };
    let running = Running::start(small(dir.path()), &clock).expect("an empty directory opens");
    running.app("shop");
    running.endpoint("shop", &[PAID]);
    for _ in 0..24 {
        running.send("shop", PAID, &"x".repeat(7_000));
    }
    running.stop();
    let is_message = |(_, record): &&(usize, Record)| matches!(record, Record::Accepted(..));
    let held = records(dir.path(), 2).iter().filter(is_message).count() as u64;
    assert!(held > 2 && records(dir.path(), 3).iter().any(|record| is_message(&record)), "it is in the middle");
    std::fs::remove_file(dir.path().join("journal/segment-0000000002.journal")).expect("it is there");
    let (to, salvaged) = salvage_from(vec![], &small(dir.path()), &clock);
    let salvaged = salvaged.expect("the rest is read");
    assert_eq!(salvaged.payloads_lost + salvaged.deliveries_lost, held, "{salvaged:?}");
    let mut running = Running::start(small(to.path()), &clock).expect("it was salvaged");
    assert_eq!(running.outbox.stats().pending, 24 - held);
    while let Some((key, _)) = running.waiting().first().copied() {
        running.attempt(key, 200, Next::Delivered);
        running.keeper.round();
    }
    assert_eq!(running.outbox.stats().pending, 0, "nothing hangs");
    running.stop();
}

/// A store that was killed, with messages in a window, behind it, and in one frame of which two records are damaged.
fn killed_and_damaged(options: Options) -> SimWorld {
    let world = SimWorld::new();
    let mut stepper = world.start(options).expect("it is empty");
    let outbox = stepper.outbox.clone();
    stepper.ask(outbox.execute(stepper::app("shop"))).expect("it is legal");
    stepper.ask(outbox.execute(stepper::endpoint("shop", "e", &[PAID]))).expect("it is legal");
    for n in 0..4 {
        stepper.ask(outbox.accept(message("shop", PAID, &format!("body-{n}")))).expect("there is room");
    }
    let group = (4..9).map(|n| message("shop", PAID, &format!("body-{n}"))).collect();
    assert!(stepper.ask(outbox.accept_all(group)).iter().all(Result::is_ok));
    stepper.ask(outbox.accept(message("shop", PAID, "body-9"))).expect("there is room");
    let path = journal::segment_path(&sim_dir().join("journal"), 1);
    let bytes = world.disk.content(&path).expect("it is there");
    for damaged in ["body-1", "body-5", "body-6"] {
        let is_there = |window: &[u8]| window == damaged.as_bytes();
        let at = bytes.windows(damaged.len()).position(is_there).expect("the text is there");
        world.disk.flip(&path, at, 1).expect("it is there");
    }
    world
}

/// What is not read for a while is not lost: a salvage says all that is missing, or fails.
#[test]
fn a_salvage_that_cannot_read_what_it_has_copied_fails_and_takes_nothing_for_lost() {
    let small =
        |dir: &Path| Options { segment_bytes: 64 << 10, body_limit_bytes: 8 << 10, lane_window: 2, ..options(dir) };
    let new = Path::new("/new");
    let (world, index) = (killed_and_damaged(small(&sim_dir())), tempfile::tempdir().expect("a temporary directory"));
    let failing_after = |spared, error| {
        let sim = world.disk.crash(Survival::Everything);
        sim.create_dir_all(new).expect("it is free");
        let failing = OneFails::after(spared, &sim, new, error);
        let disk: Arc<dyn Disk> = Arc::<OneFails>::clone(&failing);
        let salvaged = salvage(&small(&sim_dir()), new, &disk, &*world.clock, &mut |_, _| {});
        let all = salvaged.map(|salvaged| {
            let started = Stepper::start(small(new), index.path(), &world.clock, Arc::new(sim), &runtime());
            let stats = started.expect("it was salvaged").outbox.stats();
            (salvaged, stats.pending, stats.dead_letters)
        });
        (failing.has_failed(), all)
    };
    let (_, whole) = failing_after(1_000_000, Errno::IO);
    let (salvaged, pending, dead_letters) = whole.as_ref().expect("nothing fails");
    assert_eq!((salvaged.messages.len(), pending + dead_letters + salvaged.deliveries_lost), (3, 10), "{whole:?}");
    for error in [Errno::MFILE, Errno::IO] {
        let mut spared = 0;
        loop {
            let (has_failed, all) = failing_after(spared, error);
            let (path, source) = match all {
                Err(OpenError::Io { path, source, .. }) => (path, source),
                Err(OpenError::Journal(journal::OpenError::Io { path, source, .. })) => (path, source),
                Err(OpenError::Checkpoint(CheckpointError::Io { path, source, .. })) => (path, source),
                Err(other) => panic!("{spared} {error}: {other}"),
                // It did not need to look there.
                Ok(_) => {
                    assert_eq!(all.ok().as_ref(), whole.as_ref().ok(), "{spared} {error}");
                    if !has_failed {
                        break;
                    }
                    spared += 1;
                    continue;
                }
            };
            assert!(path.starts_with(new) && path.is_absolute(), "{}: {source}", path.display());
            assert_eq!(Errno::from_io_error(&source), Some(error), "{spared}");
            spared += 1;
        }
        assert!(spared > 10, "{spared}");
    }
}
