//! The rows of sealed segments come into the index on disk, from memory or from the journal.

use std::path::Path;
use std::sync::Arc;

use postrider_model::id::{AppId, MessageId};
use postrider_model::query::{MessageFilter, PageRequest, Query as _, QueryError};
use rustix::io::Errno;

use super::bad_disk::{Bad, BadDisk};
use super::stepper::sim_dir;
use super::support::{ManualClock, Running, Unopenable, options};
use crate::Options;
use crate::disk::RealDisk;
use crate::disk::sim::SimDisk;
use crate::journal::{segment_name, segment_numbers};

fn small(dir: &Path) -> Options {
    Options { segment_bytes: 64 << 10, body_limit_bytes: 8 << 10, ..options(dir) }
}

fn send(running: &Running, messages: usize) -> Vec<MessageId> {
    (0..messages).map(|_| running.send("shop", "order.seen", &"x".repeat(7_000)).id).collect()
}

/// Makes a store of some segments, which has stopped. Gives its application, and what was sent.
fn filled(dir: &Path, clock: &Arc<ManualClock>) -> (AppId, Vec<MessageId>) {
    let running = Running::start(small(dir), clock).expect("an empty directory opens");
    running.app("shop");
    let app = running.endpoint("shop", &["order.paid"]).app;
    let sent = send(&running, 30);
    running.stop();
    (app, sent)
}

fn listed(running: &Running, app: AppId) -> Result<Vec<MessageId>, QueryError> {
    let page = PageRequest { limit: 100, after: None, descending: false };
    let page = running.outbox.messages(app, &MessageFilter::default(), &page)?;
    Ok(page.items.iter().map(|message| message.id).collect())
}

#[test]
fn the_rows_of_a_sealed_segment_move_from_memory_to_the_disk() {
    let (dir, clock) = (tempfile::tempdir().expect("a temporary directory"), ManualClock::new());
    let mut running = Running::start(small(dir.path()), &clock).expect("an empty directory opens");
    running.keeper.round();
    running.app("shop");
    send(&running, 30);
    running.keeper.round();
    let segments = running.outbox.shared.reader.segments();
    assert!(segments.iter().filter(|segment| segment.sealed).count() > 2, "{segments:?}");
    for segment in segments.iter().filter(|segment| segment.first_frame_time.is_some()) {
        let index = &running.outbox.shared.index;
        let places = (index.is_live(segment.number), index.holds(segment.number));
        assert_eq!(places, (!segment.sealed, segment.sealed), "{segment:?}");
    }
    running.stop();
}

/// As where no more files may be open: what it holds is not taken for nothing.
#[test]
fn a_segment_that_cannot_be_read_at_present_comes_into_the_index_later() {
    let (dir, clock) = (tempfile::tempdir().expect("a temporary directory"), ManualClock::new());
    let sim = SimDisk::new();
    let start = |index| {
        let index = dir.path().join(index);
        Running::start_beside(small(&sim_dir()), &index, &clock, Arc::new(sim.clone())).expect("the store opens")
    };
    let running = start("index");
    running.app("shop");
    let app = running.endpoint("shop", &["order.paid"]).app;
    let sent = send(&running, 30);
    running.stop();

    let mut running = start("another index");
    sim.set_out_of_files(true);
    running.keeper.round();
    let incomplete = listed(&running, app);
    assert!(matches!(incomplete, Err(QueryError::Unavailable(_))), "{incomplete:?}");
    sim.set_out_of_files(false);
    running.keeper.round();
    assert_eq!(listed(&running, app), Ok(sent));
    running.stop();
}

/// What the disk gives back no more is lost; lists go on without it.
#[test]
fn a_segment_that_can_be_read_no_more_does_not_keep_the_index_from_being_built() {
    let (dir, clock) = (tempfile::tempdir().expect("a temporary directory"), ManualClock::new());
    let (app, sent) = filled(dir.path(), &clock);
    std::fs::remove_dir_all(dir.path().join("index")).expect("it is there");

    let mut running = Running::start(small(dir.path()), &clock).expect("the journal is the truth");
    let hidden = Unopenable::new(dir.path(), 2);
    running.keeper.round();
    let left = listed(&running, app).expect("the index is built");
    assert!(left.len() > 10 && left.len() < 25 && left.iter().all(|id| sent.contains(id)), "{left:?}");
    hidden.give_back();
    running.stop();
}

/// For want of files: it may be opened the next time.
#[test]
fn a_segment_that_a_start_cannot_open_is_taken_for_neither_damaged_nor_empty() {
    let (dir, clock) = (tempfile::tempdir().expect("a temporary directory"), ManualClock::new());
    let (app, sent) = filled(dir.path(), &clock);
    let numbers = segment_numbers(&RealDisk, &dir.path().join("journal")).expect("it can be listed");
    // The newest of them, and a spare one, are opened some times.
    for (number, opened) in numbers.into_iter().flat_map(|number| (0..6).map(move |opened| (number, opened))) {
        let path = dir.path().join("journal").join(segment_name(number));
        let disk = BadDisk::new(Path::new("/elsewhere"), vec![Bad::file_after(path, opened, Errno::MFILE)]);
        match Running::start_on(small(dir.path()), &clock, Arc::new(disk)) {
            Err(error) => assert!(!error.is_damage(), "{number}: {error}"),
            Ok(mut running) => {
                running.keeper.round();
                let found = listed(&running, app);
                assert!(found.is_err() || found.as_ref() == Ok(&sent), "{number}: {found:?}");
                running.stop();
            }
        }
    }
    let mut running = Running::start(small(dir.path()), &clock).expect("nothing is damaged");
    running.keeper.round();
    assert_eq!(listed(&running, app), Ok(sent));
    running.stop();
}
