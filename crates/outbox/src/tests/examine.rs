//! What an examination says of a store, which it does not change.

use std::path::Path;
use std::sync::Arc;

use postrider_model::delivery::{DeadReason, Next};

use super::at_rest::files;
use super::damage::{PAID, Store, flip};
use super::support::{ManualClock, Running, options};
use crate::disk::{Disk, RealDisk};
use crate::index::{Index, IndexOptions};
use crate::{Examined, MasterKey, OpenError, Options, examine, journal};

fn small(dir: &Path) -> Options {
    Options { segment_bytes: 64 << 10, body_limit_bytes: 8 << 10, ..options(dir) }
}

/// Examines a store; `each` is called before each try to start, with its number from 1 on, and after
/// each segment, with how many of how many were read.
fn look(
    options: &Options,
    clock: &Arc<ManualClock>,
    live: bool,
    each_try: &mut dyn FnMut(usize),
    progress: &mut dyn FnMut(usize, usize),
) -> Result<Examined, OpenError> {
    let index = tempfile::tempdir().expect("a temporary directory");
    let mut tries = 0;
    let mut make_index = || {
        tries += 1;
        each_try(tries);
        let place = index.path().join(tries.to_string());
        Ok(Index::open(&IndexOptions::new(&place)).expect("a directory can be made"))
    };
    let disk: Arc<dyn Disk> = Arc::new(RealDisk);
    examine(options, &disk, Arc::<ManualClock>::clone(clock), &mut make_index, live, progress)
}

/// The same of a store that stays as it is.
pub(super) fn found(options: &Options, clock: &Arc<ManualClock>, live: bool) -> Examined {
    let before = files(&options.dir);
    let examined = look(options, clock, live, &mut |_| {}, &mut |_, _| {}).expect("its files are read");
    assert!(files(&options.dir) == before, "nothing is changed");
    examined
}

/// All records that can be read, by segment.
fn records(options: &Options) -> Vec<u64> {
    let dir = options.dir.join("journal");
    let store = options.master_key.store_id();
    let numbers = journal::segment_numbers(&RealDisk, &dir).expect("it can be listed");
    let count = |number| {
        let mut count = 0;
        journal::salvage_segment(&RealDisk, &dir, number, store, &mut |_| count += 1).expect("it can be read");
        count
    };
    numbers.into_iter().map(count).collect()
}

/// Some segments of messages, of which the first is delivered, the second a dead letter, and the others wait.
fn segments(dir: &Path, clock: &Arc<ManualClock>) -> Options {
    let mut running = Running::start(small(dir), clock).expect("an empty directory opens");
    running.app("shop");
    running.endpoint("shop", &[PAID]);
    for n in 0..30 {
        running.send("shop", PAID, &format!("body-{n:02} {}", "x".repeat(5_000)));
    }
    let [(delivered, _), (dead, _), ..] = running.waiting()[..] else { panic!("they wait") };
    running.attempt(delivered, 200, Next::Delivered);
    running.attempt(dead, 500, Next::Dead { reason: DeadReason::AttemptsExhausted });
    running.stop();
    small(dir)
}

#[test]
fn a_store_that_is_whole_is_read_to_its_end_and_counted() {
    let (dir, clock) = (tempfile::tempdir().expect("a temporary directory"), ManualClock::new());
    let options = segments(dir.path(), &clock);
    let records = records(&options);
    assert!(records.iter().filter(|records| **records > 0).count() > 2, "{records:?}");
    for live in [false, true] {
        let examined = found(&options, &clock, live);
        let report = examined.start.expect("it is whole");
        assert!(report.clean && report.torn_bytes == 0, "{report:?}");
        assert_eq!(examined.damage, [""; 0]);
        assert_eq!((examined.segments, examined.records), (records.len(), records.iter().sum()));
        assert_eq!((examined.waiting, examined.dead_letters), (28, 1));
        assert_eq!(examined.restoration, None);
    }
    let mut told = vec![];
    look(&options, &clock, false, &mut |_| {}, &mut |done, of| told.push((done, of))).expect("its files are read");
    assert_eq!(told, (1..=records.len()).map(|done| (done, records.len())).collect::<Vec<_>>());
}

#[test]
fn damage_that_does_not_stop_a_start_is_named_by_its_file() {
    let (dir, clock) = (tempfile::tempdir().expect("a temporary directory"), ManualClock::new());
    let options = segments(dir.path(), &clock);
    let before = records(&options).iter().sum::<u64>();
    flip(&dir.path().join("journal/segment-0000000001.journal"), "body-00");
    let examined = found(&options, &clock, false);
    assert!(examined.start.is_ok(), "nothing live needs it");
    let [named] = examined.damage.as_slice() else { panic!("one part: {examined:?}") };
    assert!(named.contains("segment-0000000001.journal") && named.ends_with("frames are damaged"), "{named}");
    assert_eq!(examined.records, before - 1, "the others can be read");
    assert_eq!((examined.waiting, examined.dead_letters), (28, 1));
}

#[test]
fn where_a_start_is_refused_for_damage_all_of_it_is_told() {
    let (dir, clock) = (tempfile::tempdir().expect("a temporary directory"), ManualClock::new());
    let options = segments(dir.path(), &clock);
    // Of the segment that is written to at present a start tells, if there is one.
    for body in ["body-00", "body-29"] {
        let holds = |bytes: &Vec<u8>| bytes.windows(body.len()).any(|window| window == body.as_bytes());
        let journal: Vec<_> =
            files(&dir.path().join("journal")).into_iter().filter(|(_, bytes)| holds(bytes)).collect();
        let [(path, _)] = journal.as_slice() else { panic!("it is there once") };
        flip(path, body);
    }
    let examined = found(&options, &clock, false);
    assert!(examined.start.is_err_and(|error| error.is_damage()));
    assert_eq!(examined.damage.len(), 2, "{:?}", examined.damage);
    assert_eq!((examined.waiting, examined.dead_letters), (0, 0));
    let records = records(&options);
    assert_eq!((examined.segments, examined.records), (records.len(), records.iter().sum()));
}

#[test]
fn a_file_that_ends_too_early_is_told_by_what_follows_it() {
    let (dir, clock) = (tempfile::tempdir().expect("a temporary directory"), ManualClock::new());
    let options = segments(dir.path(), &clock);
    let file = std::fs::OpenOptions::new().write(true).open(dir.path().join("journal/segment-0000000002.journal"));
    file.expect("it is there").set_len(64).expect("it is ours");
    let examined = found(&options, &clock, false);
    assert!(examined.start.is_err_and(|error| error.is_damage()));
    let [named] = examined.damage.as_slice() else { panic!("one part: {:?}", examined.damage) };
    assert!(named.contains("segment-0000000002.journal") && named.ends_with("frames are missing"), "{named}");
}

#[test]
fn with_another_key_nothing_is_said_of_what_cannot_be_read() {
    let (dir, clock) = (tempfile::tempdir().expect("a temporary directory"), ManualClock::new());
    let options = segments(dir.path(), &clock);
    let examined = found(&Options { master_key: MasterKey::new([8; 32]), ..options }, &clock, false);
    assert!(examined.start.is_err_and(|error| !error.is_damage()));
    assert_eq!((examined.segments, examined.records, examined.damage), (0, 0, vec![]));
}

/// A server that writes has always an end that is not whole yet.
#[test]
fn a_torn_tail_is_told_by_the_start_and_not_where_a_server_writes() {
    let store = Store::new(false);
    let (path, options) = (store.segment(), options(store.dir.path()));
    let mut torn = std::fs::read(&path).expect("it can be read");
    let end = (torn.iter().rposition(|byte| *byte != 0).expect("it is not empty") + 1).next_multiple_of(8);
    torn[end..end + 8].copy_from_slice(b"PRFRtorn");
    std::fs::write(&path, torn).expect("it can be written");
    for live in [false, true] {
        let examined = found(&options, &store.clock, live);
        let report = examined.start.expect("a torn tail is no damage");
        assert_eq!(report.torn_bytes > 0, !live, "{report:?}");
        assert!(!report.clean && report.records > 0, "{report:?}");
        assert_eq!(examined.damage, [""; 0]);
    }
}

/// What a server writes meanwhile may look like damage; what stays is damage.
#[test]
fn a_start_that_is_refused_beside_a_server_is_tried_again() {
    let store = Store::new(true);
    let (path, options) = (store.segment(), options(store.dir.path()));
    let whole = std::fs::read(&path).expect("it can be read");
    flip(&path, "first-live-body");
    let tries = |live, whole_from: Option<usize>| {
        let mut tries = 0;
        let each_try = &mut |number| {
            tries = number;
            if Some(number) == whole_from {
                std::fs::write(&path, &whole).expect("it can be written");
            }
        };
        let examined = look(&options, &store.clock, live, each_try, &mut |_, _| {}).expect("its files are read");
        (tries, examined.start.is_ok())
    };
    assert_eq!(tries(false, None), (1, false));
    assert_eq!(tries(true, None), (5, false));
    assert_eq!(tries(true, Some(2)), (2, true), "no more than it takes");
}

#[test]
fn a_segment_that_a_server_removes_meanwhile_is_passed_over_and_one_that_cannot_be_read_is_not() {
    for is_removed in [true, false] {
        let (dir, clock) = (tempfile::tempdir().expect("a temporary directory"), ManualClock::new());
        let options = segments(dir.path(), &clock);
        let records = records(&options);
        let third = dir.path().join("journal/segment-0000000003.journal");
        let mut meanwhile = |done, _| {
            if done == 2 {
                std::fs::remove_file(&third).expect("it is there");
                if !is_removed {
                    std::fs::create_dir(&third).expect("it is free");
                }
            }
        };
        let examined = look(&options, &clock, true, &mut |_| {}, &mut meanwhile);
        if is_removed {
            let examined = examined.expect("the others are read");
            assert_eq!(examined.damage, [""; 0]);
            assert_eq!(examined.records, records.iter().sum::<u64>() - records[2]);
        } else {
            assert!(matches!(examined, Err(OpenError::Io { what: "read", .. })), "{examined:?}");
        }
    }
}
