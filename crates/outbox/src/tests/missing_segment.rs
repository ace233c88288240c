//! A segment file that is gone, behind the checkpoint, where a start reads nothing.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use postrider_model::delivery::Next;
use tempfile::TempDir;

use super::damage::{PAID, salvage_into_new};
use super::support::{ManualClock, Running, options};
use crate::Options;

const MESSAGES: usize = 60;

fn small(dir: &Path) -> Options {
    Options { segment_bytes: 64 << 10, body_limit_bytes: 8 << 10, ..options(dir) }
}

fn segments(dir: &Path) -> Vec<PathBuf> {
    let names = std::fs::read_dir(dir.join("journal")).expect("it is there").map(|entry| entry.expect("it is there"));
    let mut paths: Vec<_> = names.map(|entry| entry.path()).filter(|path| path.extension().is_some()).collect();
    paths.sort();
    paths
}

/// A store of some segments that was stopped; its messages were delivered, or wait.
fn store(delivered: bool) -> (TempDir, Arc<ManualClock>) {
    let (dir, clock) = (tempfile::tempdir().expect("a temporary directory"), ManualClock::new());
    let mut running = Running::start(small(dir.path()), &clock).expect("an empty directory opens");
    running.app("shop");
    running.endpoint("shop", &[PAID]);
    for n in 0..MESSAGES {
        running.send("shop", PAID, &format!("{n} {}", "x".repeat(5_000)));
    }
    while let Some((key, _)) = running.waiting().first().copied().filter(|_| delivered) {
        running.attempt(key, 200, Next::Delivered);
    }
    running.stop();
    assert!(segments(dir.path()).len() > 4, "{:?}", segments(dir.path()));
    (dir, clock)
}

#[test]
fn it_is_named_where_nothing_live_needs_it() {
    let (dir, clock) = store(true);
    let gone = segments(dir.path()).swap_remove(1);
    std::fs::remove_file(&gone).expect("it is there");
    for _ in 0..2 {
        let running = Running::start(small(dir.path()), &clock).expect("nothing live needs it");
        let [named] = running.report.quarantined.as_slice() else { panic!("one is: {:?}", running.report) };
        assert!(named.contains(&gone.display().to_string()) && named.ends_with("the segment is missing"), "{named}");
        running.stop();
    }
}

#[test]
fn the_oldest_may_be_gone_as_when_retention_has_removed_it() {
    let (dir, clock) = store(true);
    std::fs::remove_file(&segments(dir.path())[0]).expect("it is there");
    let running = Running::start(small(dir.path()), &clock).expect("nothing live needs it");
    assert_eq!(running.report.quarantined, [""; 0]);
    running.stop();
}

#[test]
fn it_stops_the_start_where_deliveries_wait_for_what_it_held() {
    for which in [0, 1] {
        let (dir, clock) = store(false);
        let gone = segments(dir.path()).swap_remove(which);
        std::fs::remove_file(&gone).expect("it is there");
        let Err(error) = Running::start(small(dir.path()), &clock) else { panic!("{} is needed", gone.display()) };
        assert!(error.is_damage() && error.to_string().contains(&gone.display().to_string()), "{error}");

        let (salvaged_dir, salvaged) = salvage_into_new(dir.path(), &clock);
        assert!(salvaged.payloads_lost > 5, "{salvaged:?}");
        let mut running = Running::start(small(salvaged_dir.path()), &clock).expect("it was salvaged");
        assert_eq!(running.waiting().len() + salvaged.payloads_lost as usize, MESSAGES, "nothing is lost in silence");
        running.send("shop", PAID, "more");
        running.stop();
    }
}

/// What lies behind a lane's window is known by its place in the journal alone.
#[test]
fn it_stops_the_start_where_a_lane_has_not_read_it_yet() {
    let (dir, clock) = (tempfile::tempdir().expect("a temporary directory"), ManualClock::new());
    let narrow = || Options { lane_window: 4, ..small(dir.path()) };
    let running = Running::start(narrow(), &clock).expect("an empty directory opens");
    running.app("shop");
    running.endpoint("shop", &[PAID]);
    for n in 0..MESSAGES {
        running.send("shop", PAID, &format!("{n} {}", "x".repeat(5_000)));
    }
    running.stop();
    std::fs::remove_file(&segments(dir.path())[2]).expect("it is there");
    assert!(Running::start(narrow(), &clock).is_err_and(|error| error.is_damage()));
}
