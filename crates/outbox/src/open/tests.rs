//! What a start says of what it finds, and the limits that it sets.

use postrider_model::batch::MAX_MESSAGES;
use postrider_model::ports::{Accept as _, Configure as _};

use super::*;
use crate::MasterKey;
use crate::disk::RealDisk;
use crate::disk::sim::{SimDisk, Survival};
use crate::tests::stepper::{self, SimWorld, sim_dir};
use crate::tests::support::{ManualClock, Running, message};

fn options(dir: &Path) -> Options {
    Options {
        segment_bytes: 16 << 10,
        waiting_bytes: 64 << 10,
        max_in_flight: 16,
        ..Options::new(dir, MasterKey::new([7; 32]))
    }
}

#[test]
fn only_damage_asks_for_a_salvage() {
    let path = || std::path::PathBuf::from("/data/checkpoint");
    let source = || std::io::Error::from(std::io::ErrorKind::PermissionDenied);
    for (error, is_damage) in [
        (OpenError::Damaged { what: "a part".into(), why: "it is needed" }, true),
        (CheckpointError::Damaged { path: path(), detail: "it is too short".into() }.into(), true),
        (CheckpointError::Io { what: "read", path: path(), source: source() }.into(), false),
        (CheckpointError::Newer { path: path() }.into(), false),
        (CheckpointError::OtherKey { path: path() }.into(), false),
        (CheckpointError::NoKey { path: path(), number: 1 }.into(), false),
        (OpenError::Newer { position: Position::ZERO, detail: "unknown".into() }, false),
        (OpenError::NoKey { what: "a record".into(), number: 1 }, false),
        (OpenError::HalfRestored { dir: path() }, false),
        (OpenError::Io { what: "read", path: path(), source: source() }, false),
    ] {
        assert_eq!(error.is_damage(), is_damage, "{error}");
    }
}

#[test]
fn the_journal_takes_as_much_as_is_said_or_four_fifths_of_the_file_system() {
    let disk = SimDisk::new();
    let said = Options { max_bytes: Some(17), ..options(&sim_dir()) };
    assert_eq!(max_bytes(&said, &disk).expect("it is said"), 17);
    let total = disk.space(&sim_dir()).expect("it is there").total_bytes;
    let taken = max_bytes(&options(&sim_dir()), &disk).expect("it can be looked at");
    assert!((total / 5 * 4).abs_diff(taken) < 100, "{taken} of {total}");
    disk.crash_after(0);
    let failed = max_bytes(&options(&sim_dir()), &disk);
    assert!(matches!(failed, Err(OpenError::Io { what: "look at", .. })), "{failed:?}");
    assert_eq!(max_bytes(&said, &disk).expect("it is said"), 17);
}

#[test]
fn a_start_counts_the_records_that_it_has_read() {
    let world = SimWorld::new();
    let mut first = world.start(options(&sim_dir())).expect("an empty directory opens");
    assert_eq!((first.report.records, first.report.clean), (0, false));
    let outbox = first.outbox.clone();
    first.ask(outbox.execute(stepper::app("shop"))).expect("it is legal");
    first.ask(outbox.execute(stepper::endpoint("shop", "e", &["a"]))).expect("it is legal");
    for n in 0..3 {
        first.ask(outbox.accept(message("shop", "a", &n.to_string()))).expect("there is room");
    }
    drop((first, outbox));
    let after_a_kill = world.start(options(&sim_dir())).expect("it opens");
    assert_eq!((after_a_kill.report.records, after_a_kill.report.clean), (5, false));
    after_a_kill.stop();
    let after_a_stop = world.start(options(&sim_dir())).expect("it opens");
    assert_eq!((after_a_stop.report.records, after_a_stop.report.clean), (0, true), "the checkpoint has it all");
}

#[test]
fn what_may_wait_is_bounded_by_the_options() {
    let stepper = SimWorld::new().start(options(&sim_dir())).expect("an empty directory opens");
    let outbox = &stepper.outbox;
    assert_eq!(outbox.room.available_permits(), 64 << 10, "bytes of messages");
    assert_eq!(outbox.ingest.capacity(), Some(64), "messages, of 1 KiB at least");
    // The keeper asks for up to 1,000 changes at once, and none who asks waits for a place.
    let requests = outbox.requests.available_permits();
    assert_eq!(outbox.urgent.capacity(), Some(16 + requests + 1_024));
    // Each attempt in flight may be of a whole batch, and there are those not recorded yet.
    assert_eq!(outbox.shared.outcomes.limit(), 16 * MAX_MESSAGES as usize + 16);
}

#[test]
fn a_clean_stop_is_forgotten_for_good_or_the_start_fails() {
    let disk = SimDisk::new();
    disk.create_dir_all(&sim_dir()).expect("there is room");
    assert!(forget_clean_stop(&disk, &sim_dir()).is_ok(), "there was none");
    let marker = sim_dir().join(CLEAN_MARKER);
    disk.create(&marker).expect("there is room");
    disk.sync_dir(&sim_dir()).expect("the disk works");
    forget_clean_stop(&disk, &sim_dir()).expect("the disk works");
    assert!(disk.crash(Survival::Nothing).content(&marker).is_err(), "also after a power cut");
    disk.fail_sync_after(0);
    assert!(forget_clean_stop(&disk, &sim_dir()).is_err());

    // A file that cannot be removed.
    let dir = tempfile::tempdir().expect("a temporary directory");
    std::fs::create_dir(dir.path().join(CLEAN_MARKER)).expect("there is room");
    let failed = Running::start(options(dir.path()), &ManualClock::new()).map(drop);
    assert!(matches!(failed, Err(OpenError::Io { what: "remove", .. })), "{failed:?}");
}

#[test]
fn without_a_checkpoint_the_first_segment_must_be_there() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let missing = || missing_checkpoint(&options(dir.path()), &RealDisk);
    assert_eq!(missing().expect("there is nothing"), None, "a new store");
    let journal = dir.path().join(JOURNAL);
    std::fs::create_dir(&journal).expect("there is room");
    assert_eq!(missing().expect("it can be listed"), None, "an empty one");
    for (number, is_missing) in [(3, true), (2, true), (1, false)] {
        std::fs::write(journal.join(journal::segment_name(number)), "").expect("there is room");
        let told = missing().expect("it can be listed");
        assert_eq!(told.is_some(), is_missing, "{number}");
        let named = told.is_none_or(|told| told.ends_with(&format!("so are the segments before number {number}")));
        assert!(named, "{number}");
    }
    std::fs::remove_dir_all(&journal).expect("it is there");
    std::fs::write(&journal, "no directory").expect("there is room");
    let failed = missing();
    assert!(matches!(failed, Err(OpenError::Io { what: "list", .. })), "{failed:?}");
}
