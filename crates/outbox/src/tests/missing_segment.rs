//! A segment file that is gone or not whole, behind the checkpoint, where a start reads nothing.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use postrider_model::delivery::Next;
use tempfile::TempDir;

use super::damage::{PAID, salvage_into_new};
use super::examine::found;
use super::support::{ManualClock, Running, options};
use crate::disk::RealDisk;
use crate::journal::{DamageKind, RecordAt, read_up_to, store_id};
use crate::record::{Record, decode};
use crate::{Options, WhatIsKnown};

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

/// What is gone of the third segment's file.
#[derive(Clone, Copy, Debug)]
enum Gone {
    File,
    Bytes,
    ButHeader,
    AfterAFrame,
    Zeroed,
}

impl Gone {
    const ALL: [Self; 5] = [Self::File, Self::Bytes, Self::ButHeader, Self::AfterAFrame, Self::Zeroed];

    fn from(self, dir: &Path) -> PathBuf {
        let path = segments(dir).swap_remove(2);
        let whole = std::fs::read(&path).expect("it is there");
        let keep = match self {
            Self::File => return std::fs::remove_file(&path).map(|()| path).expect("it is there"),
            Self::Bytes | Self::Zeroed => 0,
            Self::ButHeader => 64,
            Self::AfterAFrame => end_of_a_frame(dir, 3),
        };
        let file = std::fs::OpenOptions::new().write(true).open(&path).expect("it is there");
        file.set_len(keep).expect("it is ours");
        if matches!(self, Self::Zeroed) {
            file.set_len(whole.len() as u64).expect("it is ours");
        }
        path
    }
}

fn end_of_a_frame(dir: &Path, segment: u32) -> u64 {
    let journal = dir.join("journal");
    let store = store_id(&RealDisk, &journal).expect("it can be read").expect("it has a segment");
    let read = read_up_to(u64::MAX, &RealDisk, &journal, segment, store, &mut |_| {}).expect("it can be read");
    read.ends.expect("it has frames").0.end.into()
}

/// Salvages a store that a start refuses; all that waited waits, or is told as lost.
fn is_salvaged(dir: &Path, window: usize, gone: &Path, case: &str) {
    let (clock, narrow) = (ManualClock::new(), |dir: &Path| Options { lane_window: window, ..small(dir) });
    let Err(error) = Running::start(narrow(dir), &clock) else { panic!("{case}: {} is needed", gone.display()) };
    assert!(error.is_damage() && error.to_string().contains(&gone.display().to_string()), "{case}: {error}");
    let (salvaged_dir, salvaged) = salvage_into_new(dir, &clock);
    let lost = salvaged.payloads_lost + salvaged.deliveries_lost;
    assert!(lost > 5, "{case}: {salvaged:?}");
    let mut running = Running::start(narrow(salvaged_dir.path()), &clock)
        .unwrap_or_else(|error| panic!("{case}: after it was salvaged: {error}"));
    assert_eq!(running.outbox.stats().pending + lost, MESSAGES as u64, "{case}: nothing is lost in silence");
    loop {
        running.keeper.round();
        let waiting = running.waiting();
        if waiting.is_empty() {
            break;
        }
        for (key, _) in waiting {
            running.attempt(key, 200, Next::Delivered);
        }
    }
    assert_eq!(running.outbox.stats().pending, 0, "{case}: nothing hangs");
    running.stop();
}

#[test]
fn a_segment_that_is_not_whole_is_noticed_where_deliveries_wait_for_what_it_held() {
    // What is zeros is damaged where it is read: its deliveries become dead letters that say so.
    for gone in Gone::ALL.into_iter().filter(|gone| !matches!(gone, Gone::Zeroed)) {
        let (dir, _clock) = store(false);
        is_salvaged(dir.path(), MESSAGES, &gone.from(dir.path()), &format!("{gone:?}"));
    }
}

/// What lies behind a lane's window is known by its place in the journal alone.
#[test]
fn so_it_is_where_a_lane_has_not_read_it_yet() {
    for gone in Gone::ALL {
        let (dir, clock) = (tempfile::tempdir().expect("a temporary directory"), ManualClock::new());
        let running = Running::start(Options { lane_window: 4, ..small(dir.path()) }, &clock).expect("it is empty");
        running.app("shop");
        running.endpoint("shop", &[PAID]);
        for n in 0..MESSAGES {
            running.send("shop", PAID, &format!("{n} {}", "x".repeat(5_000)));
        }
        running.stop();
        is_salvaged(dir.path(), 4, &gone.from(dir.path()), &format!("{gone:?} behind the window"));
    }
}

fn messages_in_first(dir: &Path) -> usize {
    let store = options(dir).master_key.store_id();
    let mut messages = 0;
    let mut visit = |record: RecordAt<'_>| {
        let record = decode(&bytes::Bytes::copy_from_slice(record.bytes)).expect("it is whole");
        messages += usize::from(matches!(record, Record::Accepted(..)));
    };
    read_up_to(u64::MAX, &RealDisk, &dir.join("journal"), 1, store, &mut visit).expect("it can be read");
    assert!((1..MESSAGES).contains(&messages));
    messages
}

/// A checkpoint covers what the first segments held before they go; then it is all that is known of it.
#[test]
fn a_checkpoint_that_is_gone_stops_the_start_where_segments_went_by_it() {
    for first_too in [false, true] {
        let (dir, clock) = store(false);
        let _ = std::fs::remove_file(dir.path().join("checkpoint"));
        let held = MESSAGES - messages_in_first(dir.path());
        if first_too {
            std::fs::remove_file(&segments(dir.path())[0]).expect("it is there");
        }
        match Running::start(small(dir.path()), &clock) {
            Ok(running) => {
                assert!(!first_too, "configuration is gone");
                running.stop();
            }
            Err(error) => {
                assert!(first_too && error.is_damage(), "{error}");
                assert!(error.to_string().contains("checkpoint: it is missing"), "{error}");
                let (salvaged_dir, salvaged) = salvage_into_new(dir.path(), &clock);
                assert!(salvaged.checkpoint.is_some() && !salvaged.endpoints.is_empty(), "{salvaged:?}");
                let [missing] = salvaged.missing.as_slice() else { panic!("one is: {salvaged:?}") };
                assert_eq!((missing.segment, missing.what), (1, DamageKind::MissingSegment));
                assert!(missing.before.is_none() && missing.after.is_some() && !missing.is_covered, "{missing:?}");
                // Nobody gets what the other segments hold without the configuration that was in the first.
                assert_eq!(salvaged.messages.len(), held, "{salvaged:?}");
                let deliveries = salvaged.messages.iter().flat_map(|message| message.deliveries.values());
                assert!(deliveries.clone().all(|delivery| delivery.known == WhatIsKnown::Named));
                assert_eq!(deliveries.count(), held);
                Running::start(small(salvaged_dir.path()), &clock).expect("it was salvaged").stop();
            }
        }
    }
}

/// A header holds no deliveries, so what is behind a window is not missed where one is damaged.
#[test]
fn a_damaged_header_behind_the_checkpoint_costs_no_delivery() {
    let (dir, clock) = (tempfile::tempdir().expect("a temporary directory"), ManualClock::new());
    let narrow = || Options { lane_window: 4, ..small(dir.path()) };
    let running = Running::start(narrow(), &clock).expect("it is empty");
    running.app("shop");
    running.endpoint("shop", &[PAID]);
    for n in 0..MESSAGES {
        running.send("shop", PAID, &format!("{n} {}", "x".repeat(5_000)));
    }
    running.stop();
    let path = segments(dir.path()).swap_remove(2);
    let mut bytes = std::fs::read(&path).expect("it is there");
    bytes[40] ^= 1;
    std::fs::write(&path, bytes).expect("it is ours");
    let mut running = Running::start(narrow(), &clock).expect("no delivery lies there");
    let mut delivered = 0;
    while let Some((key, _)) = running.waiting().first().copied() {
        running.attempt(key, 200, Next::Delivered);
        running.keeper.round();
        delivered += 1;
    }
    assert_eq!((delivered, running.outbox.stats().pending), (MESSAGES, 0));
    running.stop();
}

/// What was accepted last stands there, and no checkpoint covers it.
#[test]
fn the_newest_segment_that_was_emptied_or_cut_stops_the_start() {
    for len in [0, 63, 65, 200] {
        let (dir, clock) = (tempfile::tempdir().expect("a temporary directory"), ManualClock::new());
        let running = Running::start(small(dir.path()), &clock).expect("an empty directory opens");
        running.app("shop");
        running.endpoint("shop", &[PAID]);
        for n in 0..MESSAGES {
            running.send("shop", PAID, &format!("{n} {}", "x".repeat(5_000)));
        }
        running.kill();
        // Two stand ready behind it.
        let path = segments(dir.path()).into_iter().rev().nth(2).expect("there are more");
        let file = std::fs::OpenOptions::new().write(true).open(&path).expect("it is there");
        file.set_len(len).expect("it is ours");
        let examined = found(&small(dir.path()), &clock, false);
        let refused = examined.start.expect_err("messages are gone");
        assert!(refused.is_damage() && refused.to_string().contains(&path.display().to_string()), "{len}: {refused}");
        let (salvaged_dir, salvaged) = salvage_into_new(dir.path(), &clock);
        let [missing] = salvaged.missing.as_slice() else { panic!("{len}: one is: {salvaged:?}") };
        assert!(path.ends_with(crate::journal::segment_name(missing.segment)), "{len}: {missing:?}");
        for _ in 0..2 {
            let Err(refused) = Running::start(small(dir.path()), &clock) else { panic!("{len}: messages are gone") };
            assert!(refused.is_damage() && refused.to_string().contains(&path.display().to_string()), "{refused}");
        }
        let running = Running::start(small(salvaged_dir.path()), &clock).expect("it was salvaged");
        let pending = running.outbox.stats().pending;
        assert!((1..MESSAGES as u64).contains(&pending), "{len}: {pending}");
        running.send("shop", PAID, "more");
        running.stop();
        let running = Running::start(small(salvaged_dir.path()), &clock).expect("it goes on");
        assert_eq!(running.outbox.stats().pending, pending + 1);
        running.stop();
    }
}
